/*
 * outbox.c: the queue of what waits to be sent. Any thread, one at a time: whoever owns the connection.
 */
#include "mario/conn/outbox.h"

#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"

enum {
    BLOCK_LEAST = 256,
    BLOCK_MOST = 65536,     /* of a segment */
    RING_LEAST = 64,        /* bytes of a block with its ring: the smallest blocks of mem.h */
    RING_BURST = 128,       /* for a second message: more will come */
    RING_ROUNDED_MOST = 512 /* beyond, a ring is as large as it has to be: it waits for a slow reader */
};

static bool is_message(uintptr_t word)
{
    return (word & 1) != 0;
}

static struct segment *segment_of(uintptr_t word)
{
    return (struct segment *) word; /* NOLINT(performance-no-int-to-ptr) */
}

static uintptr_t word_of(struct mario_msg *m)
{
    return (uintptr_t) m | 1;
}

static uint32_t place(const struct outbox *o, uint32_t i)
{
    uint32_t at = o->first + i;
    return at < o->size ? at : at - o->size;
}

static uint32_t length_of(uintptr_t word)
{
    return is_message(word) ? outbox_message(word)->len : segment_of(word)->len;
}

/* ---- Memory ---- */

static size_t block_of(uint32_t size)
{
    return sizeof(struct outbox) + size * sizeof(uintptr_t);
}

/* What o counts for. */
static size_t weight(const struct outbox *o)
{
    return o == NULL || outbox_is_single(o) || o->messages == 0 ? 0 : block_of(o->size);
}

static struct outbox *outbox_create(size_t block)
{
    struct outbox *o = block <= RING_ROUNDED_MOST ? mem_try(block) : mem_exact(block);
    if (o != NULL)
        *o = (struct outbox){.size = (uint32_t) ((block - sizeof *o) / sizeof(uintptr_t))};
    return o;
}

/* The next larger block: those of mem.h, then by an eighth. */
static size_t next_block(const struct outbox *o)
{
    if (o == NULL)
        return RING_LEAST;
    size_t block = block_of(o->size);
    return block < RING_ROUNDED_MOST ? block * 2 : block + block / 8 / sizeof(uintptr_t) * sizeof(uintptr_t);
}

/* There is a free place in the ring of *op, which is NULL or has one. False without memory. */
static bool have_place(struct outbox **op, struct outboxes *all)
{
    struct outbox *o = *op;
    if (o != NULL && o->count < o->size)
        return true;
    struct outbox *bigger = outbox_create(next_block(o));
    if (bigger == NULL)
        return false;
    if (o != NULL) {
        uint32_t size = bigger->size, front = o->size - o->first;
        *bigger = *o;
        bigger->first = 0;
        bigger->size = size;
        memcpy(bigger->entry, o->entry + o->first, front * sizeof *o->entry);
        memcpy(bigger->entry + front, o->entry, o->first * sizeof *o->entry);
        all->memory += weight(bigger) - weight(o);
        mem_free(o);
    }
    *op = bigger;
    return true;
}

/* A single message gets a block around it. False without memory. */
static bool unfold(struct outbox **op, size_t block, struct outboxes *all)
{
    struct outbox *o = outbox_create(block);
    if (o == NULL)
        return false;
    o->entry[0] = (uintptr_t) *op;
    o->count = o->messages = 1;
    o->message_bytes = length_of(o->entry[0]);
    all->memory += weight(o);
    *op = o;
    return true;
}

bool outbox_unfold(struct outbox **op, struct outboxes *all)
{
    return !outbox_is_single(*op) || unfold(op, RING_LEAST, all);
}

/* Nothing waits any more. */
static void destroy(struct outbox **op)
{
    CHECK((*op)->count == 0 && (*op)->messages == 0);
    mem_free(*op);
    *op = NULL;
}

/* ---- What goes ahead ---- */

bool outbox_put_ahead(struct outbox **op, uint32_t n, struct outboxes *all)
{
    if (*op == NULL ? (*op = outbox_create(RING_LEAST)) == NULL : !outbox_unfold(op, all))
        return false;
    (*op)->ahead += n;
    (*op)->bytes += n;
    all->bytes += n;
    return true;
}

void outbox_ahead_sent(struct outbox *o, uint32_t n, struct outboxes *all)
{
    CHECK(n <= o->ahead);
    o->ahead -= n;
    o->bytes -= n;
    all->bytes -= n;
}

/* ---- Adding ---- */

/* A new segment at the end, for n bytes or the first of them. As large as all that wait already, so that a trickle
 * makes few, but within bounds: a block goes back as soon as it is sent. NULL without memory. */
static struct segment *append_segment(struct outbox **op, size_t n, struct outboxes *all)
{
    if ((outbox_is_single(*op) && !unfold(op, RING_LEAST, all)) || !have_place(op, all))
        return NULL;
    struct outbox *o = *op;
    size_t block = sizeof(struct segment) + (n > o->bytes ? n : o->bytes);
    block = block < BLOCK_LEAST ? BLOCK_LEAST : block > BLOCK_MOST ? BLOCK_MOST : block;
    struct segment *s = mem_try(block);
    if (s == NULL)
        return NULL;
    s->len = 0;
    s->room = (uint32_t) (mem_room(s) - sizeof *s);
    o->entry[place(o, o->count++)] = (uintptr_t) s;
    return s;
}

/* The segment at the end, if there is room in it. */
static struct segment *last_segment(const struct outbox *o)
{
    if (o == NULL || outbox_is_single(o) || o->count == 0)
        return NULL;
    uintptr_t word = o->entry[place(o, o->count - 1)];
    return is_message(word) || segment_of(word)->len == segment_of(word)->room ? NULL : segment_of(word);
}

bool outbox_add(struct outbox **op, const void *data, size_t n, struct outboxes *all)
{
    const unsigned char *from = data;
    while (n > 0) {
        struct segment *s = last_segment(*op);
        if (s == NULL)
            s = append_segment(op, n, all);
        if (s == NULL)
            return false;
        size_t part = n < s->room - s->len ? n : s->room - s->len;
        memcpy(s->data + s->len, from, part);
        s->len += (uint32_t) part;
        (*op)->bytes += part;
        all->bytes += part;
        from += part;
        n -= part;
    }
    return true;
}

bool outbox_push(struct outbox **op, struct mario_msg *m, struct outboxes *all)
{
    if (*op == NULL) {
        *op = (struct outbox *) word_of(m); /* NOLINT(performance-no-int-to-ptr) */
    } else {
        if ((outbox_is_single(*op) && !unfold(op, RING_BURST, all)) || !have_place(op, all))
            return false;
        struct outbox *o = *op;
        o->entry[place(o, o->count++)] = word_of(m);
        o->message_bytes += m->len;
        if (o->messages++ == 0)
            all->memory += weight(o);
    }
    purse_take(&all->purse, m);
    all->messages++;
    all->bytes += m->len;
    return true;
}

/* ---- Sending ---- */

uint32_t outbox_waiting(const struct outbox *o, size_t *bytes)
{
    *bytes = 0;
    if (o == NULL)
        return 0;
    if (outbox_is_single(o)) {
        *bytes = length_of((uintptr_t) o);
        return 1;
    }
    bool begun = o->sent > 0 && is_message(o->entry[o->first]);
    *bytes = o->message_bytes - (begun ? length_of(o->entry[o->first]) - o->sent : 0);
    return o->messages - begun;
}

static struct iovec piece(uintptr_t word, size_t skip)
{
    if (is_message(word))
        return (struct iovec){.iov_base = outbox_message(word)->data + skip,
                              .iov_len = outbox_message(word)->len - skip};
    return (struct iovec){.iov_base = segment_of(word)->data + skip, .iov_len = segment_of(word)->len - skip};
}

size_t outbox_peek(const struct outbox *o, struct iovec *vec, size_t n)
{
    if (outbox_is_single(o)) {
        vec[0] = piece((uintptr_t) o, 0);
        return 1;
    }
    CHECK(o->count > 0);
    size_t i = 0, skip = o->sent;
    uint32_t at = o->first;
    for (; i < n && i < o->count; i++, skip = 0) {
        vec[i] = piece(o->entry[at], skip);
        at = at + 1 < o->size ? at + 1 : 0;
    }
    return i;
}

/* A message leaves an outbox: its receiver is settled, and its reference goes. */
static void leave(struct mario_msg *m, enum settled how, struct outboxes *all)
{
    message_settle(m, how);
    purse_give(&all->purse, m);
    all->messages--;
}

/* n bytes of the first entry go, which are sent or, with all of the rest, dropped. */
static void take_off(struct outbox *o, size_t n, enum settled how, struct outboxes *all)
{
    uintptr_t word = o->entry[o->first];
    size_t left = length_of(word) - o->sent;
    all->bytes -= n;
    if (is_message(word))
        o->message_bytes -= n;
    else
        o->bytes -= n;
    if (n < left) {
        o->sent += (uint32_t) n;
        return;
    }
    if (is_message(word)) {
        o->messages--;
        leave(outbox_message(word), how, all);
    } else {
        mem_free(segment_of(word));
    }
    o->sent = 0;
    o->first = o->first + 1 < o->size ? o->first + 1 : 0;
    o->count--;
}

bool outbox_sent(struct outbox **op, size_t n, struct outboxes *all)
{
    if (outbox_is_single(*op)) {
        uintptr_t word = (uintptr_t) *op;
        if (n == length_of(word)) {
            *op = NULL;
            all->bytes -= n;
            leave(outbox_message(word), SETTLED_SENT, all);
            return true;
        }
        if (n > 0 && !unfold(op, RING_LEAST, all))
            return false;
    }
    struct outbox *o = *op;
    size_t before = weight(o);
    while (n > 0) {
        CHECK(o->count > 0);
        size_t left = length_of(o->entry[o->first]) - o->sent, part = n < left ? n : left;
        take_off(o, part, SETTLED_SENT, all);
        n -= part;
    }
    all->memory += weight(o) - before;
    if (!outbox_is_single(o) && o->count == 0 && o->ahead == 0)
        destroy(op);
    return true;
}

/* ---- Dropping ---- */

static bool may_be_dropped(const struct outbox *o, uint32_t i)
{
    uintptr_t word = o->entry[place(o, i)];
    return is_message(word) && !outbox_message(word)->keep && (i > 0 || o->sent == 0);
}

/* The message at i goes; those in front of it, or those behind it, close up. */
static void take_out(struct outbox *o, uint32_t i, struct outboxes *all)
{
    struct mario_msg *m = outbox_message(o->entry[place(o, i)]);
    size_t before = weight(o);
    if (i < o->count / 2) {
        for (; i > 0; i--)
            o->entry[place(o, i)] = o->entry[place(o, i - 1)];
        o->first = place(o, 1);
    } else {
        for (; i + 1 < o->count; i++)
            o->entry[place(o, i)] = o->entry[place(o, i + 1)];
    }
    o->count--;
    o->messages--;
    o->message_bytes -= m->len;
    all->bytes -= m->len;
    all->memory += weight(o) - before;
    leave(m, SETTLED_DROPPED, all);
}

/* The same for a single one; *op is NULL then. False if it is to be kept. */
static bool take_single(struct outbox **op, struct outboxes *all)
{
    struct mario_msg *m = outbox_message((uintptr_t) *op);
    if (m->keep)
        return false;
    *op = NULL;
    all->bytes -= m->len;
    leave(m, SETTLED_DROPPED, all);
    return true;
}

bool outbox_drop_oldest(struct outbox **op, struct outboxes *all)
{
    struct outbox *o = *op;
    if (o == NULL || outbox_is_single(o))
        return o != NULL && take_single(op, all);
    for (uint32_t i = 0; i < o->count; i++) {
        if (may_be_dropped(o, i)) {
            take_out(o, i, all);
            return true;
        }
    }
    return false;
}

bool outbox_drop_key(struct outbox **op, uint64_t key, struct outboxes *all)
{
    struct outbox *o = *op;
    if (o == NULL)
        return false;
    if (outbox_is_single(o))
        return outbox_message((uintptr_t) o)->key == key && take_single(op, all);
    for (uint32_t i = o->count; i-- > 0;) {
        if (may_be_dropped(o, i) && outbox_message(o->entry[place(o, i)])->key == key) {
            take_out(o, i, all);
            return true;
        }
    }
    return false;
}

uint32_t outbox_drop_messages(struct outbox *o, struct outboxes *all)
{
    size_t before = weight(o);
    uint32_t kept = 0, count = o->count;
    for (uint32_t i = 0; i < count; i++) {
        uintptr_t word = o->entry[place(o, i)];
        if (may_be_dropped(o, i)) {
            o->messages--;
            o->message_bytes -= length_of(word);
            all->bytes -= length_of(word);
            leave(outbox_message(word), SETTLED_DROPPED, all);
        } else {
            o->entry[place(o, kept++)] = word;
        }
    }
    o->count = kept;
    all->memory += weight(o) - before;
    return count - kept;
}

void outbox_drop(struct outbox **op, struct outboxes *all)
{
    struct outbox *o = *op;
    if (o == NULL)
        return;
    if (outbox_is_single(o)) {
        *op = NULL;
        all->bytes -= length_of((uintptr_t) o);
        leave(outbox_message((uintptr_t) o), SETTLED_DROPPED, all);
        return;
    }
    all->memory -= weight(o);
    outbox_ahead_sent(o, o->ahead, all);
    while (o->count > 0)
        take_off(o, length_of(o->entry[o->first]) - o->sent, SETTLED_DROPPED, all);
    destroy(op);
}
