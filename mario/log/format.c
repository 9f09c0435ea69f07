/*
 * format.c: a record as a line of text or as JSON. The log thread alone.
 *
 * What comes from outside (a record's text) cannot break out of its line: in text a newline goes on behind a
 * tab, other control characters are written as \xNN; in JSON everything is escaped, and what is no UTF-8 is
 * replaced.
 */
#include "mario/log/format.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/text.h"

enum { FIELD_MAX = 64 }; /* bytes shown of a function's name */

static const char *const level_words[] = {"ERROR", "WARN", "INFO", "DEBUG"}; /* in text */

/* ---- The clock on the wall ---- */

/* The local time of the last second that was asked for: lines of one second share it. */
static struct {
    time_t second;
    int day;
    char stamp[32];
} wall = {.second = -1};

static void look_at_wall(time_t second)
{
    struct tm tm;
    if (second == wall.second)
        return;
    localtime_r(&second, &tm);
    strftime(wall.stamp, sizeof wall.stamp, "%Y-%m-%d %H:%M:%S", &tm);
    wall.day = tm.tm_year * 512 + tm.tm_yday;
    wall.second = second;
}

int log_format_day(time_t second)
{
    look_at_wall(second);
    return wall.day;
}

/* ---- A line that grows ---- */

struct line {
    char *text; /* LOG_LINE_SIZE bytes */
    size_t used;
};

static void add_char(struct line *l, char c)
{
    if (l->used < LOG_LINE_SIZE - 2) /* room for a newline and the NUL, whatever came before */
        l->text[l->used++] = c;
}

static void add(struct line *l, const char *text)
{
    while (*text != '\0')
        add_char(l, *text++);
}

static void addf(struct line *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void addf(struct line *l, const char *fmt, ...)
{
    char piece[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(piece, sizeof piece, fmt, ap);
    va_end(ap);
    add(l, piece);
}

static size_t line_end(struct line *l)
{
    l->text[l->used++] = '\n';
    l->text[l->used] = '\0';
    return l->used;
}

/* 1234567 as 1,234,567. */
static void add_grouped(struct line *l, uint64_t n)
{
    char digits[24];
    size_t len = (size_t) snprintf(digits, sizeof digits, "%" PRIu64, n);
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0)
            add_char(l, ',');
        add_char(l, digits[i]);
    }
}

/* ---- Who ---- */

void log_format_who(const struct log_record *r, char conn[LOG_CONN_SIZE], char peer[LOG_PEER_SIZE])
{
    char address[INET6_ADDRSTRLEN] = "";
    conn[0] = peer[0] = '\0';
    if (!r->with_who)
        return;
    if (r->who.generation == 0) /* no connection has that */
        snprintf(conn, LOG_CONN_SIZE, "udp");
    else
        snprintf(conn, LOG_CONN_SIZE, "%" PRIu32 ".%" PRIu32 ".%" PRIu32, r->who.worker, r->who.slot,
                 r->who.generation);
    if (r->who.peer == LOG_PEER_UNIX)
        snprintf(peer, LOG_PEER_SIZE, "unix");
    if (r->who.peer == LOG_PEER_IPV4 && inet_ntop(AF_INET, r->who.address, address, sizeof address) != NULL)
        snprintf(peer, LOG_PEER_SIZE, "%s:%u", address, ntohs(r->who.port));
    if (r->who.peer == LOG_PEER_IPV6 && inet_ntop(AF_INET6, r->who.address, address, sizeof address) != NULL)
        snprintf(peer, LOG_PEER_SIZE, "[%s]:%u", address, ntohs(r->who.port));
}

/* ---- Text ---- */

static void add_readable(struct line *l, const struct log_record *r)
{
    for (size_t i = 0; i < r->len; i++) {
        unsigned char c = (unsigned char) r->text[i];
        if (c == '\n')
            add(l, "\n\t");
        else if ((c < ' ' && c != '\t') || c == 0x7f)
            addf(l, "\\x%02x", c);
        else if (text_is_c1(r->text + i, r->len - i))
            addf(l, "\\x%02x", (unsigned char) r->text[++i]);
        else
            add_char(l, (char) c);
    }
}

static void add_message(struct line *l, const struct log_record *r, uint64_t repeated)
{
    if (r->func != NULL)
        addf(l, "%.*s: ", FIELD_MAX, r->func);
    if (repeated == 0) {
        add_readable(l, r);
        return;
    }
    add(l, "repeated ");
    add_grouped(l, repeated);
    add(l, " times");
}

static void add_origin(struct line *l, const struct log_record *r)
{
    char conn[LOG_CONN_SIZE], peer[LOG_PEER_SIZE];
    log_format_who(r, conn, peer);
    if (r->with_who)
        addf(l, "[%s%s%s] ", conn, peer[0] != '\0' ? " " : "", peer);
}

static size_t format_text(const struct log_record *r, uint64_t repeated, struct line *l)
{
    if (r->with_time) {
        look_at_wall((time_t) (r->when / 1000000000u));
        addf(l, "%s.%06u %s ", wall.stamp, (unsigned) (r->when % 1000000000u / 1000), r->thread);
    }
    addf(l, "%-5s ", level_words[r->level]);
    if (r->with_time)
        add_origin(l, r);
    add_message(l, r, repeated);
    return line_end(l);
}

static size_t format_body(const struct log_record *r, uint64_t repeated, struct line *l)
{
    addf(l, "%s ", r->thread);
    add_origin(l, r);
    add_message(l, r, repeated);
    return line_end(l);
}

/* ---- JSON ---- */

static void add_quoted(struct line *l, const char *text, size_t len)
{
    add_char(l, '"');
    for (size_t i = 0, used; i < len; i += used) {
        char piece[TEXT_CHAR];
        size_t n = text_json_char(text + i, len - i, &used, piece);
        for (size_t j = 0; j < n; j++)
            add_char(l, piece[j]);
    }
    add_char(l, '"');
}

static void add_field(struct line *l, const char *name, const char *value)
{
    size_t len = value == NULL ? 0 : strlen(value);
    if (len == 0)
        return;
    addf(l, ",\"%s\":", name);
    add_quoted(l, value, len < FIELD_MAX ? len : FIELD_MAX);
}

static size_t format_json(const struct log_record *r, uint64_t repeated, struct line *l)
{
    char stamp[32] = "", conn[LOG_CONN_SIZE] = "", peer[LOG_PEER_SIZE] = "";
    time_t second = (time_t) (r->when / 1000000000u);
    struct tm tm;
    gmtime_r(&second, &tm);
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    log_format_who(r, conn, peer);
    addf(l, "{\"time\":\"%s.%06uZ\"", stamp, (unsigned) (r->when % 1000000000u / 1000));
    add_field(l, "level", log_level_names[r->level]);
    add_field(l, "thread", r->thread);
    add_field(l, "subsystem", log_subsystem_names[r->subsystem]);
    add_field(l, "conn", conn);
    add_field(l, "peer", peer);
    add_field(l, "func", r->func);
    if (repeated > 0)
        addf(l, ",\"repeated\":%" PRIu64, repeated);
    add(l, ",\"text\":");
    add_quoted(l, r->text, r->len);
    add_char(l, '}');
    return line_end(l);
}

size_t log_format(enum log_style style, const struct log_record *r, uint64_t repeated, char *out)
{
    struct line l = {.text = out};
    switch (style) {
    case LOG_STYLE_JSON:
        return format_json(r, repeated, &l);
    case LOG_STYLE_BODY:
        return format_body(r, repeated, &l);
    default:
        return format_text(r, repeated, &l);
    }
}
