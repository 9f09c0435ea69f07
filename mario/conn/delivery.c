/*
 * delivery.c: from a shared message to the sockets of its receivers. Runs on the worker that owns the shard; nothing
 * here may be called from elsewhere.
 *
 * delivery_put -> outbox_push, for all that the worker's rings hold; then delivery_flush -> output_flush, one send for
 * each connection. Who does not read is met by his policy, without a system call: the loop says when he has room again.
 */
#include "mario/conn/delivery.h"

#include <sys/mman.h>

#include "mario/conn/outbox.h"
#include "mario/conn/output.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/conn/uring.h"
#include "mario/conn/variants.h"
#include "mario/net/stream.h"

enum {
    BATCH_LEAST = 16,   /* connections due that are worth a batch */
    FLUSH_AHEAD = 6,    /* connections whose first lines are fetched before their turn */
    RELIEVE_DROPS = 64, /* connections that give their messages up in one call, */
    RELIEVE_ENDS = 16   /* or that end */
};

/* ---- Setup ---- */

bool delivery_setup(struct shard *s)
{
    void *p = mmap(NULL, (size_t) s->count * sizeof *s->delivery.list, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    s->delivery.list = p == MAP_FAILED ? NULL : p;
    if (s->service->push_uring == MARIO_URING_AUTO)
        s->delivery.uring = uring_create(&s->delivery.no_uring);
    bool failed;
    s->delivery.variants = variants_create(s->service, &failed);
    return p != MAP_FAILED && !failed;
}

void delivery_teardown(struct shard *s)
{
    if (s->delivery.list != NULL)
        munmap(s->delivery.list, (size_t) s->count * sizeof *s->delivery.list);
    s->delivery.list = NULL;
    uring_destroy(&s->delivery.uring);
    variants_destroy(&s->delivery.variants);
}

void delivery_say(const struct shard *s)
{
    if (s->ind != 0 || s->service->push_uring == MARIO_URING_OFF)
        return;
    if (s->delivery.uring == NULL)
        slog_warn_t(executor_here->pub.qlog, "push.uring: sending one by one: %s", s->delivery.no_uring);
    else
        slog_info_t(executor_here->pub.qlog, "push.uring: sending in batches");
}

/* ---- Those who wait for room, in the order of their last progress ---- */

static struct outbox *outbox_at(const struct shard *s, uint32_t link)
{
    return s->conns[link - 1].outbox;
}

static bool is_listed(const struct outbox *o)
{
    return o != NULL && !outbox_is_single(o) && o->listed;
}

static void enlist(struct shard *s, const struct conn *c)
{
    struct delivery *d = &s->delivery;
    struct outbox *o = c->outbox;
    o->listed = true;
    o->next = 0;
    o->prev = d->last & 0x7fffffffu; /* a slot, and one */
    if (d->last == 0)
        d->first = c->pub.ind + 1;
    else
        outbox_at(s, d->last)->next = c->pub.ind + 1;
    d->last = c->pub.ind + 1;
}

static void strike(struct shard *s, struct outbox *o)
{
    struct delivery *d = &s->delivery;
    if (o->prev == 0)
        d->first = o->next;
    else
        outbox_at(s, o->prev)->next = o->next;
    if (o->next == 0)
        d->last = o->prev;
    else
        outbox_at(s, o->next)->prev = o->prev;
    o->listed = false;
}

/* Something of a message is left that the kernel did not take. False without memory. */
static bool wait_for_room(struct shard *s, struct conn *c)
{
    if (!outbox_unfold(&c->outbox, &s->delivery.all))
        return false;
    if (!c->outbox->listed && c->outbox->messages > 0)
        enlist(s, c);
    return true;
}

/* ---- What is settled ---- */

bool delivery_progress(struct conn *c, size_t n)
{
    struct shard *s = conn_shard(c);
    struct outboxes *all = &s->delivery.all;
    uint64_t before = all->messages;
    bool was_listed = is_listed(c->outbox);
    if (was_listed)
        strike(s, c->outbox);
    bool ok = outbox_sent(&c->outbox, n, all);
    stats_add(s->stats, STAT_push_sent, before - all->messages);
    if (was_listed && c->outbox != NULL && c->outbox->messages > 0)
        enlist(s, c);
    return ok;
}

void delivery_drop(struct conn *c)
{
    struct shard *s = conn_shard(c);
    uint64_t before = s->delivery.all.messages;
    if (is_listed(c->outbox))
        strike(s, c->outbox);
    outbox_drop(&c->outbox, &s->delivery.all);
    stats_add(s->stats, STAT_push_dropped_closed, before - s->delivery.all.messages);
}

void delivery_settle(struct shard *s)
{
    struct delivery *d = &s->delivery;
    if (d->variants != NULL)
        variants_empty(d->variants);
    if (d->all.purse.used)
        purse_empty(&d->all.purse);
    if (d->all.memory != d->told_memory)
        message_account((ptrdiff_t) (d->all.memory - d->told_memory));
    if (d->all.messages != d->told_messages)
        stats_add(s->stats, STAT_push_pending, d->all.messages - d->told_messages);
    if (d->all.bytes != d->told_bytes)
        stats_add(s->stats, STAT_output_pending, d->all.bytes - d->told_bytes);
    d->told_bytes = d->all.bytes;
    d->told_memory = d->all.memory;
    d->told_messages = d->all.messages;
}

/* ---- Putting ---- */

/* m is not for c any more, before it stood in its queue. */
static void refuse(struct shard *s, struct mario_msg *m, enum counter why)
{
    message_settle(m, SETTLED_DROPPED);
    stats_add(s->stats, why, 1);
}

static void end_for(struct shard *s, struct conn *c, struct mario_msg *m, enum reason reason)
{
    refuse(s, m, STAT_push_dropped_closed);
    conn_close(c, reason);
}

/* It is pushed to: the kernel is to leave what the peer is not ready for to us, where a policy sees it. */
static void begin(const struct shard *s, struct conn *c)
{
    c->lowat = true;
    if (s->set->push_lowat != 0 && conn_is_tcp(c) && conn_has_socket(c))
        stream_hold_back(c->pub.fd, s->set->push_lowat);
}

static void enqueue(struct shard *s, struct conn *c, struct mario_msg *m)
{
    bool is_first = c->outbox == NULL;
    if (!c->lowat)
        begin(s, c);
    if (!outbox_push(&c->outbox, m, &s->delivery.all)) {
        end_for(s, c, m, REASON_no_memory);
        return;
    }
    if (is_first) {
        c->last_tx = s->tick;
        if (!c->dirty)
            s->delivery.list[s->delivery.due++] = c->pub.ind;
        c->dirty = true;
    } else if (!c->dirty && !c->outbox->listed) { /* replies wait for room */
        enlist(s, c);
    }
}

static bool is_full(const struct outbox *o, const struct slow_policy *p)
{
    size_t bytes;
    uint32_t messages = outbox_waiting(o, &bytes);
    return (p->messages != 0 && messages >= p->messages) || (p->bytes != 0 && bytes >= p->bytes);
}

/* The queue is full, and was offered to the kernel as often as is right. Whether m may be put there nevertheless. */
static bool make_room(struct shard *s, struct conn *c, struct mario_msg *m, const struct slow_policy *p)
{
    if (p->how == MARIO_SLOW_DROP_OLDEST || p->how == MARIO_SLOW_COALESCE) {
        while (outbox_drop_oldest(&c->outbox, &s->delivery.all)) {
            stats_add(s->stats, STAT_push_dropped_oldest, 1);
            if (!is_full(c->outbox, p))
                return true;
        }
    }
    if (p->how == MARIO_SLOW_CLOSE || m->keep)
        end_for(s, c, m, REASON_slow_consumer);
    else
        refuse(s, m, STAT_push_dropped_newest);
    return false;
}

/* Whether m may be put behind what waits for c already. */
static bool is_let_in(struct shard *s, struct conn *c, struct mario_msg *m, const struct slow_policy *p)
{
    if (p->how == MARIO_SLOW_COALESCE && m->key != 0 && outbox_drop_key(&c->outbox, m->key, &s->delivery.all))
        stats_add(s->stats, STAT_push_coalesced, 1);
    if (!is_full(c->outbox, p))
        return true;
    /* A burst has filled it, and nobody has offered it to the kernel; or before it closes, the last look. */
    if (!is_listed(c->outbox) || p->how == MARIO_SLOW_CLOSE || m->keep) {
        enum reason r = delivery_try(c);
        if (r != REASON_NONE) {
            end_for(s, c, m, r);
            return false;
        }
        if (!is_full(c->outbox, p))
            return true;
    }
    return make_room(s, c, m, p);
}

static void say_unframed(const struct shard *s, const struct conn *c, const struct mario_msg *m)
{
    static struct log_limit warnings;
    uint32_t held_back;
    if (log_limit_pass(&warnings, 1, &held_back))
        slog_warn_t(executor_here->pub.qlog, "a message of %u bytes is not sent: proto=%s cannot carry it%s",
                    m->len, s->service->framing[c->listener]->name, log_more(held_back).text);
}

/* m as c gets it. NULL: it cannot, or has ended; m is settled for it. */
static struct mario_msg *framed_for(struct shard *s, struct conn *c, struct mario_msg *m)
{
    bool no_memory = false;
    struct mario_msg *framed = variants_find(s, c->listener, m, &no_memory);
    if (no_memory) {
        end_for(s, c, m, REASON_no_memory);
    } else if (framed == NULL) {
        refuse(s, m, STAT_push_unframed);
        say_unframed(s, c, m);
    }
    return framed;
}

void delivery_put(struct conn *c, struct mario_msg *m, const struct slow_policy *policy)
{
    struct shard *s = executor_here->shard;
    CHECK(c->magic == CONN_MAGIC && c->state == CONN_OPEN);
    stats_add(s->stats, STAT_push_targets, 1);
    message_target(m);
    if (s->delivery.variants != NULL && (m = framed_for(s, c, m)) == NULL)
        return;
    if (c->outbox == NULL || is_let_in(s, c, m, policy))
        enqueue(s, c, m);
}

void delivery_put_last(struct conn *c, struct mario_msg *m)
{
    static const struct slow_policy none = {.how = MARIO_SLOW_CLOSE};
    delivery_put(c, m, &none);
}

/* ---- Out ---- */

/* c was offered to the kernel. Why it has to end, or REASON_NONE. */
static enum reason offered(struct conn *c, enum output o)
{
    if (o == OUTPUT_PENDING && !wait_for_room(conn_shard(c), c))
        o = OUTPUT_NO_MEMORY;
    return output_reason(o);
}

enum reason delivery_try(struct conn *c)
{
    return offered(c, output_flush(c));
}

static void go_on(struct conn *c, enum reason r)
{
    if (r != REASON_NONE)
        conn_close(c, r);
    else if (c->outbox != NULL)
        conn_poll(c);
    else
        conn_drained(c);
}

/* The next of those due for whom something waits; NULL: that was the last one. */
static struct conn *next_due(struct shard *s, uint32_t *i)
{
    struct delivery *d = &s->delivery;
    while (*i < d->due) {
        struct conn *c = &s->conns[d->list[*i]];
        if (*i + FLUSH_AHEAD < d->due) {
            __builtin_prefetch(&s->conns[d->list[*i + FLUSH_AHEAD]].pub);
            __builtin_prefetch(&s->conns[d->list[*i + FLUSH_AHEAD]].outbox, 1);
        }
        ++*i;
        c->dirty = false;
        if (c->outbox != NULL)
            return c;
    }
    return NULL;
}

static void done(void *conn, ssize_t result, size_t len)
{
    struct conn *c = conn;
    go_on(c, offered(c, output_took(c, result, len)));
}

/* Do the batch. A ring that fails is not used again. */
static void run_batch(struct delivery *d)
{
    static struct log_limit warnings;
    uint32_t held_back;
    if (uring_run(d->uring, done))
        return;
    uring_destroy(&d->uring);
    if (log_limit_pass(&warnings, 1, &held_back))
        slog_warn_t(executor_here->pub.qlog,
                    "push.uring: the kernel failed, sending one by one from here on%s",
                    log_more(held_back).text);
}

/* Those due from *i on, in batches, as long as there is a ring. */
static void flush_batches(struct shard *s, uint32_t *i)
{
    struct delivery *d = &s->delivery;
    struct conn *c;
    while (d->uring != NULL && (c = next_due(s, i)) != NULL) {
        size_t room;
        struct iovec *vec = uring_next(d->uring, &room);
        if (!conn_has_socket(c) || conn_is_tls(c)) {
            go_on(c, delivery_try(c));
            continue;
        }
        uring_send(d->uring, c->pub.fd, outbox_peek(c->outbox, vec, room), c);
        if (*i == d->due || uring_next(d->uring, &room) == NULL)
            run_batch(d);
    }
    if (d->uring != NULL)
        run_batch(d);
}

void delivery_flush(struct shard *s)
{
    struct delivery *d = &s->delivery;
    struct conn *c;
    uint32_t i = 0;
    CHECK_ON_WORKER(s);
    if (d->uring != NULL && d->due >= BATCH_LEAST)
        flush_batches(s, &i);
    while ((c = next_due(s, &i)) != NULL)
        go_on(c, delivery_try(c));
    d->due = 0;
    delivery_settle(s);
}

/* ---- Memory ---- */

/* Whether all messages take too much still. A quarter is to be free, so that not each new message costs somebody
 * his. */
static bool is_short(struct shard *s)
{
    size_t limit = message_limit();
    delivery_settle(s);
    return message_memory() > limit - limit / 4;
}

/* c's messages that may be dropped are. Whether there were any. */
static bool give_up_messages(struct shard *s, struct conn *c)
{
    uint32_t messages = outbox_drop_messages(c->outbox, &s->delivery.all);
    if (messages == 0)
        return false;
    stats_add(s->stats, STAT_push_dropped_oldest, messages);
    stats_add(s->stats, STAT_push_victims, 1);
    if (c->outbox->messages == 0)
        strike(s, c->outbox); /* replies may wait still: they take nothing of what is short */
    if (c->outbox->count > 0 || c->outbox->ahead > 0)
        return true;
    delivery_drop(c); /* nothing is left to be waited for */
    if (c->state == CONN_DRAINING)
        conn_drained(c);
    else
        conn_poll(c);
    return true;
}

bool delivery_relieve(struct shard *s)
{
    struct delivery *d = &s->delivery;
    uint32_t link = d->first;
    bool any = false;
    CHECK_ON_WORKER(s);
    for (int i = 0; i < RELIEVE_DROPS && link != 0 && is_short(s); i++) {
        struct conn *c = &s->conns[link - 1];
        link = c->outbox->next;
        any = give_up_messages(s, c) || any;
    }
    for (int i = 0; !any && i < RELIEVE_ENDS && d->first != 0 && is_short(s); i++) {
        stats_add(s->stats, STAT_push_victims, 1);
        conn_close(&s->conns[d->first - 1], REASON_push_memory);
    }
    return d->first != 0 && is_short(s);
}
