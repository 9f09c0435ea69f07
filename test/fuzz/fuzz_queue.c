/*
 * fuzz_queue.c: a libFuzzer target for a connection's queue: replies and shared messages in one order, taken by the
 * kernel in whatever pieces, dropped whole, without memory at any point, against a plain list. Built and run by ./run.
 *
 * Input: two bytes a step: what is done, and how much of it. What must hold after each: the same bytes stand there as
 * in the list, in the same order; each message is settled once, as the list says; nothing of one that has begun or is
 * to be kept is ever dropped but with the whole queue; at the end nobody has a reference, and no memory is taken.
 */
#include "plain.h"

#include <stdbool.h>
#include <string.h>

#include "mario/conn/outbox.h"

enum { MESSAGES = 16, ROOM = 4096, REPLY_MOST = 700, VEC = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

static uint32_t allocations_left; /* until one fails; 0: none will */

void *__wrap_malloc(size_t n)
{
    bool fails = allocations_left == 1;
    allocations_left -= allocations_left > 0;
    return fails ? NULL : __real_malloc(n);
}

struct piece {
    struct mario_msg *m; /* NULL: a reply */
    const uint8_t *data;
    size_t len, gone;
};

static struct {
    struct piece row[ROOM];
    size_t n;
    uint64_t put[MESSAGES], sent[MESSAGES], dropped[MESSAGES];
} plain;

static struct mario_msg *messages[MESSAGES];
static struct outboxes all;
static uint8_t bytes[REPLY_MOST + 256];

static void count(uint64_t *counts, const struct mario_msg *m)
{
    for (size_t i = 0; i < MESSAGES; i++)
        counts[i] += messages[i] == m;
}

static void take_out(size_t i, uint64_t *counts)
{
    count(counts, plain.row[i].m);
    memmove(plain.row + i, plain.row + i + 1, (--plain.n - i) * sizeof plain.row[0]);
}

static bool may_go(size_t i)
{
    return plain.row[i].m != NULL && !plain.row[i].m->keep && plain.row[i].gone == 0;
}

/* The first one, or the last one with this key, that may be dropped is. */
static bool plain_drop(uint64_t key)
{
    for (size_t k = 0; k < plain.n; k++) {
        size_t i = key == 0 ? k : plain.n - 1 - k;
        if (may_go(i) && (key == 0 || plain.row[i].m->key == key)) {
            take_out(i, plain.dropped);
            return true;
        }
    }
    return false;
}

static void plain_sent(size_t n)
{
    while (n > 0) {
        struct piece *p = &plain.row[0];
        size_t part = n < p->len - p->gone ? n : p->len - p->gone;
        p->gone += part;
        n -= part;
        if (p->gone == p->len)
            take_out(0, plain.sent);
    }
}

static void drop_everything(struct outbox **o)
{
    outbox_drop(o, &all);
    MUST(*o == NULL);
    while (plain.n > 0)
        take_out(0, plain.dropped);
}

static void compare(const struct outbox *o)
{
    struct iovec vec[VEC];
    size_t replies = 0, waits = 0, wait_bytes = 0, said, at = 0;
    uint64_t in_all = 0;
    for (size_t i = 0; i < plain.n; i++) {
        const struct piece *p = &plain.row[i];
        replies += p->m == NULL ? p->len - p->gone : 0;
        in_all += p->m != NULL;
        waits += p->m != NULL && p->gone == 0;
        wait_bytes += p->m != NULL && p->gone == 0 ? p->len : 0;
    }
    MUST((o == NULL) == (plain.n == 0) && outbox_bytes(o) == replies && all.messages == in_all);
    MUST(outbox_waiting(o, &said) == waits && said == wait_bytes);
    if (o == NULL)
        return;
    size_t n = outbox_peek(o, vec, VEC), gone = plain.row[0].gone;
    MUST(n >= 1 && n <= VEC);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < vec[i].iov_len; k++) {
            MUST(((const uint8_t *) vec[i].iov_base)[k] == plain.row[at].data[gone]);
            if (++gone == plain.row[at].len) {
                at++;
                gone = 0;
            }
        }
    }
}

/* Messages of all lengths; some have keys, some are to be kept. */
static void make_messages(void)
{
    for (uint32_t i = 0; i < MESSAGES; i++) {
        messages[i] = mario_msg(bytes + i, 1 + i * i);
        MUST(messages[i] != NULL);
        mario_msg_receipt(messages[i], i);
        mario_msg_key(messages[i], i % 4);
        if (i % 8 == 7)
            mario_msg_keep(messages[i]);
    }
}

static void check_settled(void)
{
    purse_empty(&all.purse);
    for (size_t i = 0; i < MESSAGES; i++) {
        MUST(messages[i]->refs == 1 && messages[i]->sent == plain.sent[i]);
        MUST(messages[i]->dropped == plain.dropped[i] && plain.put[i] == plain.sent[i] + plain.dropped[i]);
        mario_msg_free(&messages[i]);
    }
    MUST(all.messages == 0 && all.memory == 0 && message_memory() == 0);
}

static void push(struct outbox **o, struct mario_msg *m)
{
    if (outbox_push(o, m, &all)) {
        plain.row[plain.n++] = (struct piece){.m = m, .data = m->data, .len = m->len};
        count(plain.put, m);
    }
    if (*o != NULL && plain.n == 0)
        drop_everything(o); /* a drop had left it empty, and nothing came */
}

static void reply(struct outbox **o, size_t n)
{
    if (outbox_add(o, bytes + n % 256, n, &all))
        plain.row[plain.n++] = (struct piece){.data = bytes + n % 256, .len = n};
    else
        drop_everything(o);
}

/* The kernel takes a part of what it is shown: `share` of 255. */
static void send_some(struct outbox **o, uint8_t share)
{
    struct iovec vec[VEC];
    size_t n = outbox_peek(*o, vec, VEC), len = 0;
    for (size_t i = 0; i < n; i++)
        len += vec[i].iov_len;
    len = len * share / 255;
    if (outbox_sent(o, len, &all))
        plain_sent(len);
    else
        drop_everything(o);
}

static void drop_messages(struct outbox **o)
{
    size_t before = plain.n;
    if (!outbox_unfold(o, &all))
        return;
    for (size_t i = plain.n; i-- > 0;) {
        if (may_go(i))
            take_out(i, plain.dropped);
    }
    MUST(outbox_drop_messages(*o, &all) == before - plain.n);
    if (plain.n == 0)
        drop_everything(o);
}

static void step(struct outbox **o, uint8_t what, uint8_t much)
{
    struct mario_msg *m = messages[much % MESSAGES];
    switch (what % 8) {
    case 0:
        push(o, m);
        break;
    case 1:
        MUST(outbox_drop_oldest(o, &all) == plain_drop(0));
        push(o, m);
        break;
    case 2:
        if (m->key != 0)
            MUST(outbox_drop_key(o, m->key, &all) == plain_drop(m->key));
        push(o, m);
        break;
    case 3:
        reply(o, 1 + (size_t) much * (REPLY_MOST - 1) / 255);
        break;
    case 4:
        if (*o != NULL)
            send_some(o, much);
        break;
    case 5:
        if (*o != NULL)
            drop_messages(o);
        break;
    case 6:
        allocations_left = much % 4;
        break;
    default:
        for (unsigned i = 0; i < much % 64u && plain.n < ROOM; i++)
            push(o, messages[i % MESSAGES]);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct outbox *o = NULL;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (i * 151 + i / 256);
    memset(&plain, 0, sizeof plain);
    make_messages();
    for (size_t i = 0; i + 1 < size && plain.n < ROOM; i += 2) {
        step(&o, input[i], input[i + 1]);
        compare(o);
    }
    allocations_left = 0;
    drop_everything(&o);
    check_settled();
    return 0;
}
