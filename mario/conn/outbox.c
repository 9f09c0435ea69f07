/*
 * outbox.c: the queue of what waits to be sent. Any thread, one at a time: whoever owns the connection.
 */
#include "mario/conn/outbox.h"

#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"

enum {
    RING_LEAST = 4, /* places: with its head one of the smallest blocks of mem.h */
    BLOCK_LEAST = 256,
    BLOCK_MOST = 65536 /* of a segment */
};

static struct segment **place(struct outbox *o, uint32_t i)
{
    return &o->segment[(o->first + i) & (o->size - 1)];
}

static struct outbox *outbox_create(uint32_t size)
{
    struct outbox *o = mem_alloc(sizeof *o + size * sizeof(struct segment *));
    if (o != NULL)
        *o = (struct outbox){.size = size};
    return o;
}

/* There is a free place in the ring. False without memory. */
static bool have_place(struct outbox **op)
{
    struct outbox *o = *op;
    if (o != NULL && o->count < o->size)
        return true;
    struct outbox *bigger = outbox_create(o == NULL ? RING_LEAST : o->size * 2);
    if (bigger == NULL)
        return false;
    if (o != NULL) {
        bigger->bytes = o->bytes;
        bigger->sent = o->sent;
        bigger->count = o->count;
        for (uint32_t i = 0; i < o->count; i++)
            bigger->segment[i] = *place(o, i);
        mem_free(o);
    }
    *op = bigger;
    return true;
}

/* A new segment at the end, for n bytes or the first of them. As large as all that wait already, so that a trickle
 * makes few, but within bounds: a block goes back as soon as it is sent. NULL without memory. */
static struct segment *append_segment(struct outbox **op, size_t n)
{
    if (!have_place(op))
        return NULL;
    struct outbox *o = *op;
    size_t block = sizeof(struct segment) + (n > o->bytes ? n : o->bytes);
    block = block < BLOCK_LEAST ? BLOCK_LEAST : block > BLOCK_MOST ? BLOCK_MOST : block;
    struct segment *s = mem_alloc(block);
    if (s == NULL)
        return NULL;
    s->len = 0;
    s->room = (uint32_t) (mem_room(s) - sizeof *s);
    o->count++;
    *place(o, o->count - 1) = s;
    return s;
}

bool outbox_add(struct outbox **op, const void *data, size_t n)
{
    const unsigned char *from = data;
    while (n > 0) {
        struct segment *s = *op == NULL || (*op)->count == 0 ? NULL : *place(*op, (*op)->count - 1);
        if (s == NULL || s->len == s->room)
            s = append_segment(op, n);
        if (s == NULL)
            return false;
        size_t part = n < s->room - s->len ? n : s->room - s->len;
        memcpy(s->data + s->len, from, part);
        s->len += (uint32_t) part;
        (*op)->bytes += part;
        from += part;
        n -= part;
    }
    return true;
}

size_t outbox_peek(const struct outbox *o, struct iovec *vec, size_t n)
{
    size_t i = 0, skip = o->sent;
    CHECK(o->count > 0);
    for (; i < n && i < o->count; i++, skip = 0) {
        struct segment *s = o->segment[(o->first + i) & (o->size - 1)];
        vec[i] = (struct iovec){.iov_base = s->data + skip, .iov_len = s->len - skip};
    }
    return i;
}

void outbox_sent(struct outbox **op, size_t n)
{
    struct outbox *o = *op;
    CHECK(n <= o->bytes);
    o->bytes -= n;
    while (o->count > 0) {
        struct segment *s = *place(o, 0);
        size_t left = s->len - o->sent;
        if (n < left) {
            o->sent += (uint32_t) n;
            return;
        }
        n -= left;
        mem_free(s);
        o->sent = 0;
        o->first = (o->first + 1) & (o->size - 1);
        o->count--;
    }
    mem_free(o);
    *op = NULL;
}

void outbox_drop(struct outbox **op)
{
    if (*op != NULL)
        outbox_sent(op, (*op)->bytes);
    CHECK(*op == NULL);
}
