/*
 * redis_out.c: commands on their way to Redis. Any thread, each its own.
 */
#include "mario/cluster/redis_out.h"

#include <stdlib.h>
#include <string.h>

enum {
    OUT_LEAST = 16384,
    OUT_KEPT = 1 << 20, /* memory that an empty one keeps */
    HEAD_MAX = 24       /* '$' or '*', 20 digits, a line's end */
};

/* Room for n more bytes behind the end. */
static bool make_room(struct redis_out *o, size_t n)
{
    if (o->size - o->end >= n)
        return true;
    size_t len = redis_out_len(o);
    if (o->begin >= len && o->size - len >= n) { /* moving costs no more than what was sent did */
        if (len > 0)
            memcpy(o->bytes, o->bytes + o->begin, len);
    } else {
        size_t size = o->size > 0 ? o->size : OUT_LEAST;
        while (size - len < n)
            size *= 2;
        unsigned char *bytes = malloc(size);
        if (bytes == NULL)
            return false;
        if (len > 0)
            memcpy(bytes, o->bytes + o->begin, len);
        free(o->bytes);
        o->bytes = bytes;
        o->size = size;
    }
    o->begin = 0;
    o->end = len;
    return true;
}

/* There is room. */
static void put(struct redis_out *o, const void *bytes, size_t n)
{
    if (n > 0)
        memcpy(o->bytes + o->end, bytes, n);
    o->end += n;
}

static void put_head(struct redis_out *o, char kind, size_t n)
{
    char text[HEAD_MAX], *at = text + sizeof text;
    *--at = '\n';
    *--at = '\r';
    do
        *--at = (char) ('0' + n % 10);
    while ((n /= 10) > 0);
    *--at = kind;
    put(o, at, (size_t) (text + sizeof text - at));
}

static size_t room_for(const struct redis_word *w, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += w[i].len + w[i].more_len + HEAD_MAX + 2;
    return sum;
}

static void put_words(struct redis_out *o, const struct redis_word *w, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        put_head(o, '$', w[i].len + w[i].more_len);
        put(o, w[i].bytes, w[i].len);
        put(o, w[i].more, w[i].more_len);
        put(o, "\r\n", 2);
    }
}

bool redis_out_command(struct redis_out *o, const struct redis_word *w, size_t n)
{
    if (!make_room(o, HEAD_MAX + room_for(w, n)))
        return false;
    put_head(o, '*', n);
    put_words(o, w, n);
    return true;
}

bool redis_out_words(struct redis_out *o, const struct redis_word *w, size_t n)
{
    if (!make_room(o, room_for(w, n)))
        return false;
    put_words(o, w, n);
    return true;
}

bool redis_out_head(struct redis_out *o, size_t n)
{
    if (!make_room(o, HEAD_MAX))
        return false;
    put_head(o, '*', n);
    return true;
}

bool redis_out_move(struct redis_out *o, struct redis_out *from)
{
    if (!make_room(o, redis_out_len(from)))
        return false;
    put(o, from->bytes + from->begin, redis_out_len(from));
    from->begin = from->end = 0;
    return true;
}

void redis_out_sent(struct redis_out *o, size_t n)
{
    o->begin += n;
    if (o->begin < o->end)
        return;
    o->begin = o->end = 0;
    if (o->size > OUT_KEPT)
        redis_out_clear(o);
}

void redis_out_clear(struct redis_out *o)
{
    free(o->bytes);
    *o = (struct redis_out){.bytes = NULL};
}
