/*
 * answer_show.c: an answer as text for people or as JSON. What comes from outside cannot break out of its place: a
 * terminal's control characters are shown, JSON is escaped. The admin thread; pure but for the buffer.
 */
#include "mario/admin/answer.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "mario/base/text.h"

enum { COLUMNS_MAX = 48, GAP = 2 };

static void add_text(struct evbuffer *out, const char *text, size_t len, enum answer_form form)
{
    for (size_t i = 0, used; i < len; i += used) {
        char piece[TEXT_CHAR];
        size_t n = form == ANSWER_JSON ? text_json_char(text + i, len - i, &used, piece)
                                       : text_shown_char(text + i, len - i, &used, piece);
        evbuffer_add(out, piece, n);
    }
}

static void add_quoted(struct evbuffer *out, const char *text, size_t len)
{
    evbuffer_add(out, "\"", 1);
    add_text(out, text, len, ANSWER_JSON);
    evbuffer_add(out, "\"", 1);
}

/* What is neither an object nor a list. */
static void add_plain(struct evbuffer *out, const struct answer_item *item, enum answer_form form)
{
    bool json = form == ANSWER_JSON;
    switch (item->kind) {
    case ANSWER_STRING:
        if (json)
            add_quoted(out, item->text, item->text_len);
        else
            add_text(out, item->text, item->text_len, form);
        break;
    case ANSWER_NUMBER:
        evbuffer_add_printf(out, "%" PRIu64, item->number);
        break;
    case ANSWER_SIGNED:
        evbuffer_add_printf(out, "%" PRId64, item->negative);
        break;
    case ANSWER_REAL:
        if (isfinite(item->real))
            evbuffer_add_printf(out, "%.10g", item->real);
        else
            evbuffer_add_printf(out, "%s", json ? "null" : "-");
        break;
    case ANSWER_FLAG:
        evbuffer_add_printf(out, "%s", json ? (item->flag ? "true" : "false") : item->flag ? "yes" : "no");
        break;
    default:
        evbuffer_add_printf(out, "%s", json ? "null" : "-");
        break;
    }
}

/* ---- JSON ---- */

/* The item before *at, with all that is in it. */
static void add_json(const struct mario_answer *a, size_t *at, const struct answer_item *item,
                     struct evbuffer *out)
{
    struct answer_item in;
    bool object = item->kind == ANSWER_OBJECT, first = true;
    if (!object && item->kind != ANSWER_LIST) {
        add_plain(out, item, ANSWER_JSON);
        return;
    }
    evbuffer_add(out, object ? "{" : "[", 1);
    while (answer_next(a, at, &in) && in.kind != ANSWER_END) {
        if (!first)
            evbuffer_add(out, ", ", 2);
        first = false;
        if (object) {
            add_quoted(out, in.key, in.key_len);
            evbuffer_add(out, ": ", 2);
        }
        add_json(a, at, &in, out);
    }
    evbuffer_add(out, object ? "}" : "]", 1);
}

/* ---- Text: a list of objects as a table ---- */

struct column {
    const char *key;
    uint32_t key_len;
    size_t width; /* characters */
    bool numbers; /* nothing else: aligned to the right */
};

struct table {
    struct column columns[COLUMNS_MAX];
    uint32_t count;
    size_t rows;
    struct evbuffer *cell; /* the one that is being made */
};

static bool is_number(enum answer_kind kind)
{
    return kind == ANSWER_NUMBER || kind == ANSWER_SIGNED || kind == ANSWER_REAL || kind == ANSWER_NULL;
}

/* The column of this key, a new one if there is none; COLUMNS_MAX if there are too many: that is left out. */
static uint32_t column_of(struct table *t, const struct answer_item *item)
{
    for (uint32_t i = 0; i < t->count; i++) {
        if (t->columns[i].key_len == item->key_len &&
            memcmp(t->columns[i].key, item->key, item->key_len) == 0)
            return i;
    }
    if (t->count == COLUMNS_MAX)
        return COLUMNS_MAX;
    t->columns[t->count] =
        (struct column){.key = item->key, .key_len = item->key_len, .width = item->key_len, .numbers = true};
    return t->count++;
}

static size_t characters(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char) text[i] & 0xc0) != 0x80;
    return n;
}

/* Into t->cell; what is an object or a list is shown as JSON. */
static void make_cell(struct table *t, const struct mario_answer *a, size_t *at,
                      const struct answer_item *item)
{
    evbuffer_drain(t->cell, evbuffer_get_length(t->cell));
    if (item->kind == ANSWER_OBJECT || item->kind == ANSWER_LIST)
        add_json(a, at, item, t->cell);
    else
        add_plain(t->cell, item, ANSWER_TEXT);
}

static void measure(struct table *t, const struct mario_answer *a, size_t at)
{
    struct answer_item row, item;
    while (answer_next(a, &at, &row) && row.kind == ANSWER_OBJECT) {
        t->rows++;
        while (answer_next(a, &at, &item) && item.kind != ANSWER_END) {
            uint32_t i = column_of(t, &item);
            make_cell(t, a, &at, &item);
            size_t len = evbuffer_get_length(t->cell);
            size_t width = characters((const char *) evbuffer_pullup(t->cell, -1), len);
            if (i == COLUMNS_MAX)
                continue;
            t->columns[i].width = width > t->columns[i].width ? width : t->columns[i].width;
            t->columns[i].numbers = t->columns[i].numbers && is_number(item.kind);
        }
    }
}

/* The last column is not filled up, if it is text. */
static void add_cell(const struct table *t, uint32_t i, const char *text, size_t len, struct evbuffer *out)
{
    const struct column *c = &t->columns[i];
    int fill = (int) (c->width - characters(text, len));
    if (i > 0)
        evbuffer_add_printf(out, "%*s", GAP, "");
    if (c->numbers)
        evbuffer_add_printf(out, "%*s", fill, "");
    evbuffer_add(out, text, len);
    if (!c->numbers && i + 1 < t->count)
        evbuffer_add_printf(out, "%*s", fill, "");
}

/* Over all that is in the item before *at. */
static void skip(const struct mario_answer *a, size_t *at, const struct answer_item *item)
{
    struct answer_item in;
    uint32_t depth = item->kind == ANSWER_OBJECT || item->kind == ANSWER_LIST;
    while (depth > 0 && answer_next(a, at, &in)) {
        if (in.kind == ANSWER_END)
            depth--;
        else if (in.kind == ANSWER_OBJECT || in.kind == ANSWER_LIST)
            depth++;
    }
}

/* The row behind *at, which is at its end then. Members may come in any order. */
static void add_row(struct table *t, const struct mario_answer *a, size_t *at, struct evbuffer *out)
{
    size_t begin = *at, end = *at;
    struct answer_item item;
    for (uint32_t i = 0; i < t->count; i++) {
        bool found = false;
        size_t p = begin;
        while (answer_next(a, &p, &item) && item.kind != ANSWER_END) {
            if (found || column_of(t, &item) != i) {
                skip(a, &p, &item);
                continue;
            }
            make_cell(t, a, &p, &item);
            size_t len = evbuffer_get_length(t->cell);
            add_cell(t, i, (const char *) evbuffer_pullup(t->cell, -1), len, out);
            found = true;
        }
        if (!found)
            add_cell(t, i, "-", 1, out);
        end = p;
    }
    *at = end;
    evbuffer_add(out, "\n", 1);
}

/* The list whose first row is at *at. False without memory. */
static bool add_table(const struct mario_answer *a, size_t *at, struct evbuffer *out)
{
    struct table t = {.cell = evbuffer_new()};
    struct answer_item item;
    if (t.cell == NULL)
        return false;
    measure(&t, a, *at);
    for (uint32_t i = 0; i < t.count; i++)
        add_cell(&t, i, t.columns[i].key, t.columns[i].key_len, out);
    evbuffer_add(out, "\n", 1);
    for (size_t row = 0; row < t.rows && answer_next(a, at, &item); row++)
        add_row(&t, a, at, out);
    evbuffer_free(t.cell);
    return true;
}

/* ---- Text: lines ---- */

struct place {
    char path[512]; /* of the object that the line is in, each key with a point behind it */
    size_t len;
};

static void add_key(struct evbuffer *out, const struct place *in, const struct answer_item *item)
{
    evbuffer_add(out, in->path, in->len);
    add_text(out, item->key, item->key_len, ANSWER_TEXT);
}

static void step_in(struct place *in, const struct answer_item *item)
{
    if (in->len + item->key_len + 1 > sizeof in->path)
        return;
    memcpy(in->path + in->len, item->key, item->key_len);
    in->len += item->key_len;
    in->path[in->len++] = '.';
}

static void add_list(const struct mario_answer *a, size_t *at, const struct answer_item *list,
                     const struct place *in, struct evbuffer *out)
{
    struct answer_item item;
    size_t first = *at;
    bool any = answer_next(a, &first, &item) && item.kind != ANSWER_END;
    if (!any) {
        add_key(out, in, list);
        evbuffer_add_printf(out, " none\n");
    } else if (item.kind == ANSWER_OBJECT) {
        if (evbuffer_get_length(out) > 0)
            evbuffer_add(out, "\n", 1);
        add_table(a, at, out);
    }
    while (answer_next(a, at, &item) && item.kind != ANSWER_END) {
        add_key(out, in, list);
        evbuffer_add(out, " ", 1);
        if (item.kind == ANSWER_OBJECT || item.kind == ANSWER_LIST)
            add_json(a, at, &item, out);
        else
            add_plain(out, &item, ANSWER_TEXT);
        evbuffer_add(out, "\n", 1);
    }
}

static void add_lines(const struct mario_answer *a, size_t *at, struct place in, struct evbuffer *out)
{
    struct answer_item item;
    while (answer_next(a, at, &item) && item.kind != ANSWER_END) {
        if (item.kind == ANSWER_OBJECT) {
            struct place inner = in;
            step_in(&inner, &item);
            add_lines(a, at, inner, out);
        } else if (item.kind == ANSWER_LIST) {
            add_list(a, at, &item, &in, out);
        } else {
            add_key(out, &in, &item);
            evbuffer_add(out, " ", 1);
            add_plain(out, &item, ANSWER_TEXT);
            evbuffer_add(out, "\n", 1);
        }
    }
}

void answer_show(const struct mario_answer *a, enum answer_form form, struct evbuffer *out)
{
    struct answer_item root = {.kind = ANSWER_OBJECT};
    const char *error = answer_error(a);
    size_t at = 0;
    if (answer_status(a) == ANSWER_GOOD && form == ANSWER_JSON) {
        add_json(a, &at, &root, out);
    } else if (answer_status(a) == ANSWER_GOOD) {
        add_lines(a, &at, (struct place){.len = 0}, out);
        return;
    } else if (form == ANSWER_JSON) {
        evbuffer_add_printf(out, "{\"error\": ");
        add_quoted(out, error, strlen(error));
        evbuffer_add(out, "}", 1);
    } else {
        add_text(out, error, strlen(error), form);
    }
    evbuffer_add(out, "\n", 1);
}
