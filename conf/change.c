/*
 * change.c: what one configuration would change of another, and taking that over. Table driven: which rows can change
 * while the server runs each row says. No state.
 */
#include "change.h"

#include <stdio.h>
#include <string.h>

#define SHOWN 100 /* bytes of a value; a list may have thousands */

bool change_is(const struct row *row, const struct maritcp_conf *a, const struct maritcp_conf *b)
{
    return row->type != ROW_PORT && !value_is_same(row, a, b);
}

uint32 change_count(const struct maritcp_conf *a, const struct maritcp_conf *b, enum row_when when)
{
    uint32 n = 0;
    struct rows all = rows_of(a, b);
    for (const struct row *row; (row = rows_next(&all)) != NULL;)
        n += row->when == when && change_is(row, a, b);
    return n;
}

static void print_cut(const struct row *row, const struct maritcp_conf *conf, char out[SHOWN + 4])
{
    char value[CONF_LISTEN_SIZE > PATH_MAX ? CONF_LISTEN_SIZE : PATH_MAX];
    value_print(row, conf, value, sizeof value);
    bool whole = strlen(value) <= SHOWN;
    snprintf(out, SHOWN + 4, "%.*s%s", SHOWN, value, whole ? "" : "...");
    text_make_printable(out);
}

void change_print(const struct row *row, const struct maritcp_conf *a, const struct maritcp_conf *b,
                  char out[CHANGE_SIZE])
{
    char from[SHOWN + 4], to[SHOWN + 4];
    print_cut(row, a, from);
    print_cut(row, b, to);
    bool set = origin_of(a, row) == CONF_SET;
    snprintf(out, CHANGE_SIZE, "%s.%s %s%s -> %s", row->section, row->key, from, set ? " (set)" : "", to);
}

void origin_print(const struct row *row, const struct maritcp_conf *conf, char *out, size_t size)
{
    sint32 origin = origin_of(conf, row);
    if (origin > 0)
        snprintf(out, size, "line %d", origin);
    else
        snprintf(out, size, "%s", origin == 0 ? "default" : origin == CONF_SET ? "set" : "-o");
}

void conf_copy(struct maritcp_conf *to, const struct maritcp_conf *from)
{
    memcpy(to, from, sizeof *to);
    conf_settle(to);
}

void conf_take_live(struct maritcp_conf *used, const struct maritcp_conf *next)
{
    struct rows all = rows_of(used, next);
    for (const struct row *row; (row = rows_next(&all)) != NULL;) {
        if (row->when != LIVE || row->type == ROW_PORT)
            continue;
        value_copy(row, used, next);
        origin_set(used, row, origin_of(next, row));
    }
    conf_settle(used);
}

/* output.high follows a smaller output.max if nobody has asked for it: it begins with its default again. */
static sint32 begin_again(struct maritcp_conf *conf, struct conf_error *err)
{
    const struct row *high = row_find("output", "high");
    struct place nowhere = {.file = "default"};
    bool asked = origin_of(conf, high) != 0;
    return asked ? 0 : row_set(high, conf, high->fallback, &nowhere, 0, err);
}

sint32 conf_set(struct maritcp_conf *conf, const char *text, struct conf_error *err)
{
    struct place place = {.file = "config set"};
    if (begin_again(conf, err) != 0 || override_read(conf, text, CONF_SET, &place, LIVE, err) != 0)
        return -1;
    conf_settle(conf);
    return conf_check(conf, NULL, NULL, err);
}
