/*
 * fastcgi.c: the records of FastCGI. Pure; any thread.
 */
#include "fastcgi.h"

#include <string.h>

enum { VERSION = 1, BEGIN_REQUEST = 1, END_REQUEST = 3, PARAMS = 4, STDIN = 5 };
enum { RECORD_HEAD = 8, CONTENT_MAX = 65535, REQUEST_ID = 1, ROLE_RESPONDER = 1, COMPLETE = 0 };

/* ---- A request ---- */

static void put(struct fastcgi_out *o, const void *bytes, size_t n)
{
    if (o->room - o->n < n) {
        o->full = true;
        return;
    }
    if (n > 0)
        memcpy(o->bytes + o->n, bytes, n);
    o->n += n;
}

static void open_record(struct fastcgi_out *o, unsigned char type)
{
    const unsigned char head[RECORD_HEAD] = {VERSION, type, 0, REQUEST_ID};
    o->record = o->n;
    put(o, head, sizeof head);
}

/* Its content is whole: say how long it is. */
static void close_record(struct fastcgi_out *o)
{
    size_t len = o->n - o->record - RECORD_HEAD;
    if (o->full || len > CONTENT_MAX) {
        o->full = true;
        return;
    }
    o->bytes[o->record + 4] = (unsigned char) (len >> 8);
    o->bytes[o->record + 5] = (unsigned char) len;
}

static void put_record(struct fastcgi_out *o, unsigned char type, const void *bytes, size_t n)
{
    open_record(o, type);
    put(o, bytes, n);
    close_record(o);
}

void fastcgi_begin(struct fastcgi_out *o, unsigned char *bytes, size_t room)
{
    static const unsigned char begin[8] = {0, ROLE_RESPONDER};
    *o = (struct fastcgi_out){.bytes = bytes, .room = room};
    put_record(o, BEGIN_REQUEST, begin, sizeof begin);
    open_record(o, PARAMS);
}

static void put_length(struct fastcgi_out *o, size_t n)
{
    unsigned char l[4] = {(unsigned char) (0x80 | n >> 24), (unsigned char) (n >> 16),
                          (unsigned char) (n >> 8), (unsigned char) n};
    if (n > 127)
        put(o, l, sizeof l);
    else
        put(o, l + 3, 1);
}

void fastcgi_param(struct fastcgi_out *o, const char *name, size_t name_len, const char *value,
                   size_t value_len)
{
    put_length(o, name_len);
    put_length(o, value_len);
    put(o, name, name_len);
    put(o, value, value_len);
}

void fastcgi_body(struct fastcgi_out *o, const void *bytes, size_t n)
{
    close_record(o);
    put_record(o, PARAMS, NULL, 0);
    if (n > 0)
        put_record(o, STDIN, bytes, n);
    put_record(o, STDIN, NULL, 0);
}

/* ---- An answer ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The head of a record is whole. False: it is none that may come. */
static bool begin_record(struct fastcgi_in *in)
{
    unsigned char type = in->head[1];
    in->at = 0;
    in->left = (uint32_t) in->head[4] << 8 | in->head[5];
    in->over = in->head[6];
    return in->head[0] == VERSION && in->head[2] == 0 && in->head[3] == REQUEST_ID &&
           (type == FASTCGI_STDOUT || type == FASTCGI_STDERR ||
            (type == END_REQUEST && in->left == sizeof in->end));
}

/* n bytes of a record's content. */
static bool take_content(struct fastcgi_in *in, const unsigned char *bytes, size_t n, fastcgi_sink sink,
                         void *arg)
{
    if (in->head[1] != END_REQUEST)
        return n == 0 || sink(arg, (enum fastcgi_stream) in->head[1], bytes, n);
    memcpy(in->end + in->at, bytes, n);
    return true;
}

enum fastcgi_answer fastcgi_read(struct fastcgi_in *in, const unsigned char *bytes, size_t n,
                                 fastcgi_sink sink, void *arg)
{
    while (n > 0) {
        size_t step = least(n, RECORD_HEAD - in->have);
        if (step > 0) {
            memcpy(in->head + in->have, bytes, step);
            in->have += (uint32_t) step;
            if (in->have == RECORD_HEAD && !begin_record(in))
                return FASTCGI_REFUSED;
        } else if (in->left > 0) {
            step = least(n, in->left);
            if (!take_content(in, bytes, step, sink, arg))
                return FASTCGI_REFUSED;
            in->at += (uint32_t) step;
            in->left -= (uint32_t) step;
        } else {
            step = least(n, in->over);
            in->over -= (uint32_t) step;
        }
        bytes += step;
        n -= step;
        if (in->have < RECORD_HEAD || in->left > 0)
            continue;
        if (in->head[1] == END_REQUEST)
            return in->end[4] == COMPLETE ? FASTCGI_DONE : FASTCGI_REFUSED;
        if (in->over == 0)
            in->have = 0;
    }
    return FASTCGI_MORE;
}
