/*
 * file.c: reading a configuration file. Main thread, before the server starts.
 *
 * libinih splits lines into section, key and value. It gets its lines from here, because by itself it cuts a
 * long line in two, takes an indented line for a continuation, ignores what stands behind a [section], and
 * never reports an unknown section without keys. What this reader hands out is checked, without indentation,
 * and fits.
 */
#include "row.h"

#include <errno.h>
#include <ini.h>
#include <string.h>

struct reader {
    FILE *in;
    struct maritcp_conf *conf;
    struct conf_error *err;
    struct place place; /* the line last handed out */
    bool failed;        /* *err is set: hand out no more */
    bool key_awaited;   /* the line handed out has a key; the handler has not been called with it yet */
    const struct row *list_row;  /* the list that goes on in the next indented line, NULL if none does */
    sint32 list_line;            /* where it began */
    sint32 seen[CONF_ROWS_MAX];  /* the line that set a row, 0 if none did */
    char list[CONF_LISTEN_SIZE]; /* its text so far */
};

/* Read one line into line without its end. Returns its length, -1 at the end of the file, -2 on error. */
static sint32 reader_line(struct reader *r, char *line, int size)
{
    int len = 0, c;
    while ((c = getc(r->in)) != EOF && c != '\n') {
        if (len >= size - 1) {
            r->place.line++;
            conf_fail(r->err, &r->place, NULL, NULL, NULL, "the line is too long (allowed: up to %d bytes)",
                      size - 1);
            return -2;
        }
        line[len++] = (char) c;
    }
    if (c == EOF && ferror(r->in)) {
        r->place.line = 0;
        conf_fail(r->err, &r->place, NULL, NULL, NULL, "cannot be read: %s", strerror(errno));
        return -2;
    }
    if (c == EOF && len == 0)
        return -1;
    r->place.line++;
    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = '\0';
    const char *bad = text_bad(line, (size_t) len);
    if (bad) {
        conf_fail(r->err, &r->place, NULL, NULL, "UTF-8 without control characters",
                  "this is not text: byte 0x%02x in column %d", (unsigned char) *bad, (int) (bad - line) + 1);
        return -2;
    }
    return len;
}

/* Cut an inline comment off a line that goes on with a list; libinih does it for all others. */
static void reader_cut_comment(char *text)
{
    for (char *p = text + 1; *p; p++)
        if (*p == ';' && (p[-1] == ' ' || p[-1] == '\t'))
            *p = '\0';
}

static sint32 reader_check_section(struct reader *r, const char *line)
{
    char name[64];
    const char *end = strchr(line, ']');
    const char *rest = end ? end + 1 + strspn(end + 1, " \t") : "";
    if (!end)
        return conf_fail(r->err, &r->place, NULL, NULL, "[section]", "missing ']'");
    if (*rest != '\0' && *rest != ';')
        return conf_fail(r->err, &r->place, NULL, NULL, "[section] alone in its line",
                         "there is more behind the ']'");
    snprintf(name, sizeof(name), "%.*s", (int) (end - line - 1), line + 1);
    return section_exists(name) ? 0 : conf_fail_section(r->err, &r->place, name);
}

static sint32 reader_check_awaited(struct reader *r)
{
    if (!r->key_awaited)
        return 0;
    return conf_fail(r->err, &r->place, NULL, NULL, "key = value", "missing '='");
}

/* Give the finished list to its row, as if it had stood in the line where it began. */
static sint32 reader_end_list(struct reader *r)
{
    struct place place = r->place;
    const struct row *row = r->list_row;
    place.line = r->list_line;
    r->list_row = NULL;
    return row ? row_set(row, r->conf, r->list, &place, r->list_line, r->err) : 0;
}

/* What a line needs before libinih sees it. Returns 0, or -1 with the error set. */
static sint32 reader_prepare(struct reader *r, char *line)
{
    char *start = line;
    if (r->place.line == 1 && strncmp(start, "\xef\xbb\xbf", 3) == 0)
        start += 3;
    size_t indent = strspn(start, " \t");
    start += indent;
    if (*start == '\0' || *start == ';' || *start == '#') {
        *line = '\0';
        return 0;
    }
    if (r->list_row && indent > 0) {
        reader_cut_comment(start);
        r->key_awaited = true;
        return 0;
    }
    if (reader_end_list(r) != 0)
        return -1;
    memmove(line, start, strlen(start) + 1);
    if (*line == '[')
        return reader_check_section(r, line);
    r->key_awaited = true;
    return 0;
}

/* libinih asks for the next line. size is its own limit, whatever it was built with. */
static char *reader_next(char *line, int size, void *arg)
{
    struct reader *r = arg;
    if (r->failed)
        return NULL;
    sint32 len = -2;
    if (reader_check_awaited(r) == 0)
        len = reader_line(r, line, size);
    if (len == -1 && reader_end_list(r) == 0)
        return NULL;
    if (len >= 0 && reader_prepare(r, line) == 0)
        return line;
    r->failed = true;
    return NULL;
}

/* Add a line to the list. It is complete unless it ends with a comma. */
static sint32 reader_add_to_list(struct reader *r, const char *value)
{
    size_t len = strlen(r->list), more = strlen(value);
    if (len + more >= sizeof(r->list))
        return conf_fail(r->err, &r->place, r->list_row->section, r->list_row->key, NULL,
                         "the list is too long (allowed: up to %zu bytes)", sizeof(r->list) - 1);
    memcpy(r->list + len, value, more + 1);
    return more > 0 && value[more - 1] == ',' ? 0 : reader_end_list(r);
}

static sint32 reader_take(struct reader *r, const char *section, const char *key, const char *value)
{
    if (r->list_row)
        return reader_add_to_list(r, value);
    if (*section == '\0')
        return conf_fail(r->err, &r->place, NULL, NULL, "[section] first", "a key before any [section]");
    const struct row *row = row_find(section, key);
    if (!row)
        return conf_fail_key(r->err, &r->place, section, key);
    sint32 *seen = &r->seen[row_index(row)];
    if (*seen)
        return conf_fail(r->err, &r->place, section, key, "once in a file", "is already set in line %d",
                         *seen);
    *seen = r->place.line;
    if (row->type != ROW_LISTEN)
        return row_set(row, r->conf, value, &r->place, r->place.line, r->err);
    r->list_row = row;
    r->list_line = r->place.line;
    r->list[0] = '\0';
    return reader_add_to_list(r, value);
}

static int reader_handle(void *arg, const char *section, const char *key, const char *value)
{
    struct reader *r = arg;
    r->key_awaited = false;
    if (!r->failed && reader_take(r, section, key, value) != 0)
        r->failed = true;
    return !r->failed;
}

sint32 file_read(struct maritcp_conf *conf, const char *file, struct conf_error *err)
{
    struct reader r = {.conf = conf, .err = err, .place = {.file = file}};
    r.in = fopen(file, "re");
    if (!r.in)
        return conf_fail(err, &r.place, NULL, NULL, NULL, "cannot be opened: %s", strerror(errno));
    int answer = ini_parse_stream(reader_next, &r, reader_handle, &r);
    fclose(r.in);
    if (!r.failed && answer != 0) {
        r.place.line = answer > 0 ? answer : 0;
        conf_fail(err, &r.place, NULL, NULL, NULL, "cannot be parsed");
        r.failed = true;
    }
    return r.failed ? -1 : 0;
}
