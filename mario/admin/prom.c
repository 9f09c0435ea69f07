/*
 * prom.c: Prometheus' text format. Any thread, one at a time for each struct prom.
 *
 * Written by hand, since a server of many functions has some thousand lines, and printf() takes most of their time.
 */
#include "mario/admin/prom.h"

#include <string.h>

enum { DIGITS_MAX = 20, NS_DIGITS = 9 };
#define NS_PER_SECOND UINT64_C(1000000000)

static void flush(struct prom *p)
{
    if (evbuffer_add(p->out, p->buf, p->used) != 0)
        p->no_memory = true;
    p->used = 0;
}

static void put(struct prom *p, const char *text, size_t n)
{
    while (n > 0) {
        size_t part = n < sizeof p->buf - p->used ? n : sizeof p->buf - p->used;
        memcpy(p->buf + p->used, text, part);
        p->used += part;
        text += part;
        n -= part;
        if (p->used == sizeof p->buf)
            flush(p);
    }
}

static void put_text(struct prom *p, const char *text)
{
    put(p, text, strlen(text));
}

/* With at least `least` digits. */
static void put_digits(struct prom *p, uint64_t value, int least)
{
    char digits[DIGITS_MAX];
    int at = DIGITS_MAX;
    for (; value != 0 || DIGITS_MAX - at < least; value /= 10)
        digits[--at] = (char) ('0' + value % 10);
    put(p, digits + at, (size_t) (DIGITS_MAX - at));
}

static void put_seconds(struct prom *p, uint64_t ns)
{
    uint64_t part = ns % NS_PER_SECOND;
    int least = NS_DIGITS;
    put_digits(p, ns / NS_PER_SECOND, 1);
    if (part == 0)
        return;
    for (; part % 10 == 0; part /= 10)
        least--;
    put(p, ".", 1);
    put_digits(p, part, least);
}

static void put_escaped(struct prom *p, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\\' || *text == '"')
            put(p, "\\", 1);
        if (*text == '\n')
            put(p, "\\n", 2);
        else
            put(p, text, 1);
    }
}

void prom_begin(struct prom *p, struct evbuffer *out)
{
    p->out = out;
    p->used = 0;
    p->no_memory = false;
}

bool prom_end(struct prom *p)
{
    flush(p);
    return !p->no_memory;
}

void prom_family(struct prom *p, const char *name, enum prom_kind kind, const char *help)
{
    static const char *const kinds[] = {" counter\n", " gauge\n", " histogram\n"};
    p->family = name;
    put_text(p, "# HELP mario_");
    put_text(p, name);
    put(p, " ", 1);
    put_text(p, help);
    put_text(p, "\n# TYPE mario_");
    put_text(p, name);
    put_text(p, kinds[kind]);
}

void prom_sample(struct prom *p, const char *suffix)
{
    put_text(p, "mario_");
    put_text(p, p->family);
    put_text(p, suffix);
    p->labels = 0;
}

static void begin_label(struct prom *p)
{
    put(p, p->labels++ == 0 ? "{" : ",", 1);
}

static void begin_value(struct prom *p, const char *name)
{
    begin_label(p);
    put_text(p, name);
    put(p, "=\"", 2);
}

void prom_label(struct prom *p, const char *name, const char *value)
{
    begin_value(p, name);
    put_escaped(p, value);
    put(p, "\"", 1);
}

void prom_label_number(struct prom *p, const char *name, uint64_t value)
{
    begin_value(p, name);
    put_digits(p, value, 1);
    put(p, "\"", 1);
}

void prom_label_seconds(struct prom *p, const char *name, uint64_t ns)
{
    begin_value(p, name);
    put_seconds(p, ns);
    put(p, "\"", 1);
}

void prom_labels(struct prom *p, const char *text, size_t n)
{
    begin_label(p);
    put(p, text, n);
}

static void end_labels(struct prom *p)
{
    if (p->labels > 0)
        put(p, "}", 1);
    put(p, " ", 1);
}

void prom_number(struct prom *p, uint64_t value)
{
    end_labels(p);
    put_digits(p, value, 1);
    put(p, "\n", 1);
}

void prom_seconds(struct prom *p, uint64_t ns)
{
    end_labels(p);
    put_seconds(p, ns);
    put(p, "\n", 1);
}
