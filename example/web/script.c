/*
 * script.c: the head of a script's answer (RFC 3875, 6). Pure; any thread.
 */
#include "script.h"

#include <string.h>

/* Said by the server alone. */
static const char *const ours[] = {"connection",       "content-length",    "date",    "keep-alive",
                                   "proxy-connection", "transfer-encoding", "trailer", "upgrade"};

/* The line at *at, without its end; *at goes behind it. False if it does not end. */
static bool next_line(const char *bytes, uint32_t n, uint32_t *at, struct head_text *line)
{
    const char *end = memchr(bytes + *at, '\n', n - *at);
    if (end == NULL)
        return false;
    *line = (struct head_text){bytes + *at, (uint32_t) (end - bytes) - *at};
    *at += line->len + 1;
    if (line->len > 0 && line->at[line->len - 1] == '\r')
        line->len--;
    return true;
}

static bool is_clean(const struct head_text *t)
{
    for (uint32_t i = 0; i < t->len; i++) {
        unsigned char c = (unsigned char) t->at[i];
        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/* Three digits, and perhaps a reason. */
static bool parse_status(struct head_text value, struct script_answer *a)
{
    a->status = 0;
    for (uint32_t i = 0; i < 3; i++) {
        if (i >= value.len || value.at[i] < '0' || value.at[i] > '9')
            return false;
        a->status = a->status * 10 + (value.at[i] - '0');
    }
    a->reason = (struct head_text){value.at + 3, value.len - 3};
    if (a->reason.len > 0 && a->reason.at[0] != ' ')
        return false;
    while (a->reason.len > 0 && a->reason.at[0] == ' ')
        a->reason.at++, a->reason.len--;
    return a->status >= 200 && a->status <= 599;
}

static bool is_ours(const struct head_text *name)
{
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (head_is(name, ours[i]))
            return true;
    }
    return false;
}

/* One line of the head. */
static bool parse_line(struct head_text line, struct script_answer *a, bool *has_status)
{
    struct head_field f;
    if (!is_clean(&line) || !head_split_field(line, &f))
        return false;
    if (head_is(&f.name, "status")) {
        bool is_first = !*has_status;
        *has_status = true;
        return is_first && parse_status(f.value, a);
    }
    if (is_ours(&f.name))
        return true;
    if (a->count == HEAD_FIELDS_MAX)
        return false;
    a->fields[a->count++] = f;
    return true;
}

static bool has_field(const struct script_answer *a, const char *name)
{
    for (uint32_t i = 0; i < a->count; i++) {
        if (head_is(&a->fields[i].name, name))
            return true;
    }
    return false;
}

bool script_parse(const char *bytes, size_t n, struct script_answer *a)
{
    uint32_t at = 0, end = n < HEAD_MAX ? (uint32_t) n : HEAD_MAX;
    struct head_text line;
    bool has_status = false;
    memset(a, 0, offsetof(struct script_answer, fields));
    a->status = 200;
    while (next_line(bytes, end, &at, &line)) {
        if (line.len > 0) {
            if (!parse_line(line, a, &has_status))
                return false;
            continue;
        }
        bool moves = has_field(a, "location");
        if (moves && !has_status)
            a->status = 302;
        a->size = at;
        return has_status || moves || has_field(a, "content-type");
    }
    return false;
}
