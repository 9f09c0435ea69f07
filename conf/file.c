/*
 * file.c: reading a configuration file. Main thread before the server starts; after that the thread `conf`.
 *
 * A line is a [section], key = value (or key : value), or a comment; a list of addresses goes on in the next line if
 * that is indented. The whole file is read into memory first, once and from its beginning to its end, so that it may
 * be a pipe.
 */
#include "row.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    LINE_SIZE = 200,             /* with its NUL */
    NAME_SIZE = 64,              /* of a section */
    FILE_SIZE_MAX = 1024 * 1024, /* far more than any configuration: somebody has mixed up two files */
    FILE_SIZE_FIRST = 16 * 1024
};

#define BLANKS " \t"

struct reader {
    const char *next, *end; /* the text that is left */
    struct maritcp_conf *conf;
    struct conf_error *err;
    struct place place;          /* the line at hand */
    char section[NAME_SIZE];     /* "" before the first */
    const struct row *list_row;  /* the list that may go on in the next indented line, or NULL */
    sint32 list_line;            /* where it began */
    sint32 seen[CONF_ROWS_MAX];  /* the line that set a row, 0 if none did */
    char list[CONF_LISTEN_SIZE]; /* the list's text so far */
};

/* ---- A line ---- */

/* The next line without its end, in line[]. 1, 0 at the end of the text, -1 with the error set. */
static sint32 next_line(struct reader *r, char line[LINE_SIZE])
{
    if (r->next == r->end)
        return 0;
    const char *newline = memchr(r->next, '\n', (size_t) (r->end - r->next));
    size_t len = (size_t) ((newline != NULL ? newline : r->end) - r->next);
    r->place.line++;
    if (len >= LINE_SIZE)
        return conf_fail(r->err, &r->place, NULL, NULL, NULL,
                         "the line is too long (allowed: up to %d bytes)", LINE_SIZE - 1);
    memcpy(line, r->next, len);
    r->next += len + (newline != NULL);
    if (len > 0 && line[len - 1] == '\r')
        len--;
    line[len] = '\0';
    const char *bad = text_bad(line, len);
    if (bad == NULL)
        return 1;
    return conf_fail(r->err, &r->place, NULL, NULL, "UTF-8 without control characters",
                     "this is not text: byte 0x%02x in column %d", (unsigned char) *bad,
                     (int) (bad - line) + 1);
}

/* Cut a comment off: it begins with a ';' behind a blank. */
static void cut_comment(char *text)
{
    for (char *p = text; (p = strchr(p, ';')) != NULL; p++) {
        if (p > text && strchr(BLANKS, p[-1]) != NULL) {
            *p = '\0';
            return;
        }
    }
}

static void cut_blanks(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(BLANKS, text[len - 1]) != NULL)
        text[--len] = '\0';
}

/* ---- What a line says ---- */

static sint32 take_section(struct reader *r, const char *line)
{
    const char *end = strchr(line, ']');
    const char *rest = end != NULL ? end + 1 + strspn(end + 1, BLANKS) : "";
    if (end == NULL)
        return conf_fail(r->err, &r->place, NULL, NULL, "[section]", "missing ']'");
    if (*rest != '\0' && *rest != ';')
        return conf_fail(r->err, &r->place, NULL, NULL, "[section] alone in its line",
                         "there is more behind the ']'");
    snprintf(r->section, sizeof r->section, "%.*s", (int) (end - line - 1), line + 1);
    if (section_is_tls(r->section))
        return section_begin(r->conf, r->section, &r->place, r->err);
    return section_exists(r->section) ? 0 : conf_fail_section(r->err, &r->place, r->section);
}

/* Give a finished list to its row, as if it had stood in the line where it began. */
static sint32 end_list(struct reader *r)
{
    struct place place = r->place;
    const struct row *row = r->list_row;
    place.line = r->list_line;
    r->list_row = NULL;
    return row != NULL ? row_set(row, r->conf, r->list, &place, r->list_line, r->err) : 0;
}

/* Add a line to the list. It is complete unless it ends with a comma. */
static sint32 add_to_list(struct reader *r, const char *value)
{
    size_t len = strlen(r->list), more = strlen(value);
    if (len + more >= sizeof r->list)
        return conf_fail(r->err, &r->place, r->list_row->section, r->list_row->key, NULL,
                         "the list is too long (allowed: up to %zu bytes)", sizeof r->list - 1);
    memcpy(r->list + len, value, more + 1);
    return more > 0 && value[more - 1] == ',' ? 0 : end_list(r);
}

static sint32 take_value(struct reader *r, const char *key, const char *value)
{
    if (r->section[0] == '\0')
        return conf_fail(r->err, &r->place, NULL, NULL, "[section] first", "a key before any [section]");
    struct row room;
    const struct row *row = row_find_in(r->conf, r->section, key, &room);
    if (row == NULL)
        return conf_fail_key(r->err, &r->place, r->section, key);
    sint32 seen = row_is_named(row) ? origin_of(r->conf, row) : r->seen[row_index(row)];
    if (seen != 0)
        return conf_fail(r->err, &r->place, r->section, key, "once in a file", "is already set in line %d",
                         seen);
    if (!row_is_named(row))
        r->seen[row_index(row)] = r->place.line;
    if (!row_is_list(row))
        return row_set(row, r->conf, value, &r->place, r->place.line, r->err);
    r->list_row = row;
    r->list_line = r->place.line;
    r->list[0] = '\0';
    return add_to_list(r, value);
}

static sint32 take_key(struct reader *r, char *line)
{
    char *key_end = line + strcspn(line, "=:");
    char *value = key_end + 1;
    if (*key_end == '\0')
        return conf_fail(r->err, &r->place, NULL, NULL, "key = value", "missing '='");
    *key_end = '\0';
    cut_blanks(line);
    value += strspn(value, BLANKS);
    cut_blanks(value);
    return take_value(r, line, value);
}

static sint32 take_line(struct reader *r, char *line)
{
    if (r->place.line == 1 && strncmp(line, "\xef\xbb\xbf", 3) == 0)
        line += 3;
    size_t indent = strspn(line, BLANKS);
    line += indent;
    if (*line == '\0' || *line == ';' || *line == '#')
        return 0;
    bool goes_on = r->list_row != NULL && indent > 0;
    if (!goes_on && end_list(r) != 0)
        return -1;
    if (*line == '[' && !goes_on)
        return take_section(r, line);
    cut_comment(line);
    if (!goes_on)
        return take_key(r, line);
    cut_blanks(line);
    return add_to_list(r, line);
}

/* ---- The file ---- */

/* What can be read again later, and stays the same until then. */
static bool is_regular(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* All that comes out of fd. 0, or -1 with errno; the text is to be freed in any case. */
static sint32 slurp(int fd, char **text, size_t *len)
{
    size_t room = 0;
    for (;;) {
        if (*len == room) {
            room = room == 0 ? FILE_SIZE_FIRST : 2 * room;
            char *more = room <= FILE_SIZE_MAX ? realloc(*text, room) : NULL;
            if (room > FILE_SIZE_MAX)
                errno = EFBIG;
            if (more == NULL)
                return -1;
            *text = more;
        }
        ssize_t n = read(fd, *text + *len, room - *len);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return -1;
        *len += n > 0 ? (size_t) n : 0;
    }
}

static sint32 read_text(struct reader *r, const char *text, size_t len)
{
    char line[LINE_SIZE];
    sint32 more;
    r->next = text;
    r->end = text + len;
    while ((more = next_line(r, line)) > 0) {
        if (take_line(r, line) != 0)
            return -1;
    }
    return more < 0 ? -1 : end_list(r);
}

sint32 file_read(struct maritcp_conf *conf, const char *file, struct conf_error *err)
{
    struct reader r = {.conf = conf, .err = err, .place = {.file = file}};
    char *text = NULL;
    size_t len = 0;
    sint32 answer = -1;
    int fd = open(file, O_RDONLY | O_CLOEXEC | (conf->again ? O_NONBLOCK : 0));
    if (fd < 0)
        return conf_fail(err, &r.place, NULL, NULL, NULL, "cannot be opened: %s", strerror(errno));
    conf->once = !is_regular(fd);
    if (conf->again && conf->once)
        conf_fail(err, &r.place, NULL, NULL, NULL, "is no regular file and not read again");
    else if (slurp(fd, &text, &len) != 0)
        conf_fail(err, &r.place, NULL, NULL, NULL, "cannot be read: %s", strerror(errno));
    else
        answer = read_text(&r, text, len);
    free(text);
    close(fd);
    return answer;
}
