/*
 * test_delivery.c: messages onto connections, without a worker: what each policy does to whom, the ledger, the order
 * with replies, what of a queue is the kernel's and what is ours, who gives way when memory is short.
 */
#include "mario/conn/delivery.h"
#include "pool_lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/net/descriptor.h"

enum { BIG = 60000 };

static char noise[BIG];
static struct mario_msg *filler; /* one of them fills a socket's buffers, several */

static const struct slow_policy closing = {.how = MARIO_SLOW_CLOSE, .messages = 64};

/* ---- Helpers ---- */

static struct mario_msg *text(const char *s)
{
    struct mario_msg *m = mario_msg(s, (uint32_t) strlen(s));
    UNIT_ASSERT(m != NULL);
    return m;
}

/* A message made of this text that only the queue of c keeps. */
static void put(struct conn *c, const char *s, const struct slow_policy *p)
{
    struct mario_msg *m = text(s);
    delivery_put(c, m, p);
    mario_msg_free(&m);
}

static void put_key(struct conn *c, const char *s, uint64_t key, const struct slow_policy *p)
{
    struct mario_msg *m = text(s);
    mario_msg_key(m, key);
    delivery_put(c, m, p);
    mario_msg_free(&m);
}

static void put_keep(struct conn *c, const char *s, const struct slow_policy *p)
{
    struct mario_msg *m = text(s);
    mario_msg_keep(m);
    delivery_put(c, m, p);
    mario_msg_free(&m);
}

/* Its peer takes nothing more: the kernel is full, and a message has begun. */
static struct conn *open_stopped(void)
{
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .messages = 1000000};
    struct conn *c = pool_open();
    while (c->outbox == NULL) {
        delivery_put(c, filler, &any);
        delivery_flush(&pool.shard);
    }
    size_t bytes;
    if (outbox_waiting(c->outbox, &bytes) > 0) { /* it was not even begun: take it off */
        UNIT_ASSERT(outbox_drop_oldest(&c->outbox, &pool.shard.delivery.all));
        stats_add(pool.shard.stats, STAT_push_dropped_oldest, 1);
    }
    return c;
}

/* All that its peer gets, behind the filler, with a zero behind it. The peer reads, the kernel is offered more. */
static const char *heard(struct conn *c)
{
    static char got[1 << 20];
    static char all[4096];
    size_t n = 0;
    for (;;) {
        ssize_t r = recv(pool.peers[c->pub.ind], got, sizeof got, MSG_DONTWAIT);
        for (ssize_t i = 0; i < r; i++) {
            if (got[i] != '.') {
                UNIT_ASSERT(n + 1 < sizeof all);
                all[n++] = got[i];
            }
        }
        if (r <= 0 && (c->state != CONN_OPEN || c->outbox == NULL))
            break;
        if (c->state == CONN_OPEN && c->outbox != NULL)
            UNIT_ASSERT(delivery_try(c) == REASON_NONE);
    }
    all[n] = 0;
    return all;
}

/* What the ledger has for all that was put. */
static void check_ledger(void)
{
    delivery_settle(&pool.shard);
    UNIT_ASSERT(pool_stat(STAT_push_targets) ==
                pool_stat(STAT_push_sent) + pool_stat(STAT_push_dropped_oldest) +
                    pool_stat(STAT_push_dropped_newest) + pool_stat(STAT_push_coalesced) +
                    pool_stat(STAT_push_dropped_closed) + pool_stat(STAT_push_unframed) +
                    pool_stat(STAT_push_pending));
}

/* All is over: nothing is pending, and no memory is taken but the filler's. */
static void check_over(void)
{
    for (uint32_t i = 0; i < pool.shard.fresh; i++) {
        if (pool.shard.conns[i].state == CONN_OPEN || pool.shard.conns[i].state == CONN_DRAINING)
            conn_end(&pool.shard.conns[i], REASON_stop);
    }
    conn_pass(&pool.shard);
    check_ledger();
    ck_assert_uint_eq(pool_stat(STAT_push_pending), 0);
    ck_assert(pool.shard.delivery.first == 0 && pool.shard.delivery.last == 0);
    ck_assert_uint_eq(message_memory(), mem_room(filler));
    ck_assert_uint_eq(filler->refs, 1);
}

static void make_filler(void)
{
    pool.settings.linger = 0;
    memset(noise, '.', sizeof noise);
    ck_assert_ptr_nonnull(filler = mario_msg(noise, sizeof noise));
}

static void free_filler(void)
{
    mario_msg_free(&filler);
    ck_assert_uint_eq(message_memory(), 0);
}

/* ---- Sending ---- */

/* Goal: nothing is sent before the flush, then all of it in order, and nothing is left. */
START_TEST(all_at_the_flush)
{
    struct conn *a = pool_open(), *b = pool_open();
    char byte;
    put(a, "one ", &closing);
    put(a, "two ", &closing);
    put(b, "three", &closing);
    put(a, "four", &closing);
    ck_assert(delivery_is_due(&pool.shard));
    ck_assert_int_eq(recv(pool.peers[a->pub.ind], &byte, 1, MSG_DONTWAIT | MSG_PEEK), -1);
    delivery_flush(&pool.shard);
    ck_assert(!delivery_is_due(&pool.shard) && a->outbox == NULL && b->outbox == NULL);
    ck_assert_str_eq(heard(a), "one two four");
    ck_assert_str_eq(heard(b), "three");
    ck_assert_uint_eq(pool_stat(STAT_push_sent), 4);
    check_over();
}
END_TEST

/* Goal: a reply that comes while pushes are due goes out behind them; what the kernel does not take waits in order. */
START_TEST(in_order_with_replies)
{
    struct conn *c = pool_open(), *slow = open_stopped();
    char reply[] = "reply ", taken[BIG];
    put(c, "push ", &closing);
    ck_assert_int_eq(output_send_bytes(c, reply, 6), OUTPUT_CLEAN);
    put(c, "again", &closing);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(c), "push reply again");
    put(slow, "one ", &closing);
    for (int i = 0; i < 4; i++) /* there is room now, but others were first */
        ck_assert_int_gt(recv(pool.peers[slow->pub.ind], taken, sizeof taken, MSG_DONTWAIT), 0);
    ck_assert_int_eq(output_send_bytes(slow, reply, 6), OUTPUT_PENDING);
    ck_assert_uint_eq(output_pending(slow), 6);
    put(slow, "two", &closing);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(slow), "one reply two");
    check_over();
}
END_TEST

/* Goal: what waits of pushes is neither output.high's nor output.max's, but has write_timeout. */
START_TEST(pushes_are_no_replies)
{
    pool.settings.output_max = pool.settings.output_high = 10;
    struct conn *c = open_stopped();
    char reply[] = "0123456789+";
    for (int i = 0; i < 20; i++)
        put(c, "many bytes of messages ", &closing);
    ck_assert_uint_eq(output_pending(c), 0);
    ck_assert_int_eq(output_send_bytes(c, reply, 10), OUTPUT_PENDING);
    ck_assert_int_eq(output_send_bytes(c, reply, 1), OUTPUT_LIMIT);
    ck_assert_int_eq(conn_overdue(c), REASON_NONE);
    pool.shard.tick += pool.settings.write_timeout + 1;
    ck_assert_int_eq(conn_overdue(c), REASON_write_timeout);
    check_over();
}
END_TEST

/* Goal: a burst beyond the limit is no slow reader: it is sent when the queue is full. */
START_TEST(a_burst_is_sent)
{
    static const struct slow_policy few = {.how = MARIO_SLOW_CLOSE, .messages = 4};
    struct conn *c = pool_open();
    for (int i = 0; i < 1000; i++)
        put(c, "x", &few);
    delivery_flush(&pool.shard);
    ck_assert_uint_eq(pool_stat(STAT_push_sent), 1000);
    ck_assert_uint_eq(strlen(heard(c)), 1000);
    check_over();
}
END_TEST

/* ---- Policies ---- */

START_TEST(close_the_slow)
{
    static const struct slow_policy two = {.how = MARIO_SLOW_CLOSE, .messages = 2};
    struct conn *c = open_stopped();
    put(c, "a", &two);
    put(c, "b", &two);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    put(c, "c", &two);
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    ck_assert_uint_eq(c->reason, REASON_slow_consumer);
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_closed), 4); /* and the one that had begun */
    check_over();
}
END_TEST

/* Goal: before it closes somebody the worker looks once more: he may have read since. */
START_TEST(a_last_look)
{
    static const struct slow_policy two = {.how = MARIO_SLOW_CLOSE, .messages = 2};
    struct conn *c = open_stopped();
    static char got[1 << 20];
    put(c, "a", &two);
    put(c, "b", &two);
    while (recv(pool.peers[c->pub.ind], got, sizeof got, MSG_DONTWAIT) > 0) {
    }
    put(c, "c", &two);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(c), "abc");
    check_over();
}
END_TEST

START_TEST(drop_the_oldest)
{
    static const struct slow_policy two = {.how = MARIO_SLOW_DROP_OLDEST, .messages = 2};
    static const struct slow_policy five = {.how = MARIO_SLOW_DROP_OLDEST, .bytes = 5};
    struct conn *c = open_stopped(), *d = open_stopped();
    for (char s[] = "a"; s[0] <= 'e'; s[0]++)
        put(c, s, &two);
    put(d, "abcd", &five); /* there is room as long as less than five bytes wait */
    put(d, "efgh", &five);
    put(d, "i", &five);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(c), "de");
    ck_assert_str_eq(heard(d), "efghi");
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_closed), 0);
    check_over();
}
END_TEST

START_TEST(drop_the_newest)
{
    static const struct slow_policy two = {.how = MARIO_SLOW_DROP_NEWEST, .messages = 2};
    struct conn *c = open_stopped();
    for (char s[] = "a"; s[0] <= 'e'; s[0]++)
        put(c, s, &two);
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_newest), 3);
    ck_assert_str_eq(heard(c), "ab");
    check_over();
}
END_TEST

/* Goal: the later one takes the place of its key, full or not, also before anything was sent. */
START_TEST(the_latest_of_a_key)
{
    static const struct slow_policy three = {.how = MARIO_SLOW_COALESCE, .messages = 3};
    struct conn *c = open_stopped(), *d = pool_open();
    put_key(c, "a1 ", 1, &three);
    put_key(c, "b1 ", 2, &three);
    put_key(c, "a2 ", 1, &three);
    put_key(c, "n1 ", 0, &three);
    ck_assert_uint_eq(pool_stat(STAT_push_coalesced), 1);
    put_key(c, "n2 ", 0, &three); /* none with its key: the oldest goes */
    ck_assert_str_eq(heard(c), "a2 n1 n2 ");
    put_key(d, "old", 1, &three);
    put_key(d, "new", 1, &three);
    put_key(d, " other", 2, &three);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(d), "new other");
    ck_assert_uint_eq(pool_stat(STAT_push_coalesced), 2);
    check_over();
}
END_TEST

/* Goal: one to be kept is never dropped, whatever floods; where there is no room for one the connection closes. */
START_TEST(kept_ones)
{
    static const enum mario_slow hows[] = {MARIO_SLOW_DROP_OLDEST, MARIO_SLOW_DROP_NEWEST,
                                           MARIO_SLOW_COALESCE};
    struct slow_policy p = {.how = hows[_i], .messages = 3};
    struct conn *c = open_stopped();
    put_keep(c, "K", &p);
    put_keep(c, "L", &p);
    for (int i = 0; i < 50; i++)
        put_key(c, "x", 7, &p);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    size_t bytes;
    ck_assert_uint_eq(outbox_waiting(c->outbox, &bytes), 3);
    put_keep(c, "M", &p); /* an x makes room, if it may */
    if (hows[_i] != MARIO_SLOW_DROP_NEWEST) {
        ck_assert_uint_eq(c->state, CONN_OPEN);
        put(c, "x", &p); /* nothing makes room for that one */
        ck_assert_uint_eq(pool_stat(STAT_push_dropped_newest), 1);
        put_keep(c, "N", &p);
    }
    ck_assert_uint_eq(c->reason, REASON_slow_consumer);
    check_over();
}
END_TEST

/* Goal: 0 means no such limit. */
START_TEST(no_limit)
{
    static const struct slow_policy bytes_only = {.how = MARIO_SLOW_CLOSE, .bytes = 1000};
    static const struct slow_policy messages_only = {.how = MARIO_SLOW_CLOSE, .messages = 10};
    struct conn *c = open_stopped(), *d = open_stopped();
    for (int i = 0; i < 1000; i++)
        put(c, "x", &bytes_only);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    for (int i = 0; i < 10; i++)
        delivery_put(d, filler, &messages_only);
    ck_assert_uint_eq(d->state, CONN_OPEN);
    put(c, "x", &bytes_only);
    put(d, "x", &messages_only);
    ck_assert(c->reason == REASON_slow_consumer && d->reason == REASON_slow_consumer);
    check_over();
}
END_TEST

/* ---- Ends ---- */

/* Goal: the last message stands behind all that waits, however full it is, and goes out before the FIN. */
START_TEST(last_words)
{
    static const struct slow_policy two = {.how = MARIO_SLOW_CLOSE, .messages = 2};
    struct conn *c = pool_open(), *slow = open_stopped();
    struct mario_msg *m = text("bye");
    put(c, "a", &two);
    put(c, "b", &two);
    put(slow, "a", &two);
    put(slow, "b", &two);
    delivery_put_last(c, m);
    delivery_put_last(slow, m);
    conn_close(c, REASON_kicked);
    conn_close(slow, REASON_kicked);
    ck_assert_uint_eq(c->state, CONN_CLOSING); /* at once: nothing waits */
    ck_assert_uint_eq(slow->state, CONN_DRAINING);
    mario_msg_free(&m);
    delivery_flush(&pool.shard); /* it stood there when it ended */
    ck_assert_str_eq(heard(c), "abbye");
    pool.shard.tick += pool.settings.write_timeout + 1;
    ck_assert_int_eq(conn_overdue(slow), REASON_write_timeout);
    check_over();
}
END_TEST

/* Goal: a place that is used again while it still stands in the list of those due: the newcomer gets his, once, and
 * nothing of the one before. */
START_TEST(a_place_used_again)
{
    struct conn *c = pool_open();
    put(c, "old", &closing);
    conn_end(c, REASON_reset);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_closed), 1);
    struct conn *d = pool_open();
    ck_assert_ptr_eq(c, d);
    put(d, "new", &closing);
    put(d, "er", &closing);
    ck_assert_uint_eq(pool.shard.delivery.due, 1);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(d), "newer");
    check_over();
}
END_TEST

/* Goal: whose peer has gone ends, and what waited is accounted for. */
START_TEST(a_peer_that_has_gone)
{
    struct conn *c = pool_open();
    put(c, "x", &closing);
    put(c, "y", &closing);
    shutdown(pool.peers[c->pub.ind], SHUT_RDWR);
    delivery_flush(&pool.shard);
    ck_assert_uint_eq(c->reason, REASON_reset);
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_closed), 2);
    check_over();
}
END_TEST

/* ---- Memory ---- */

/* Goal: those without progress for longest give way first, first their messages; who gets on is left alone. */
START_TEST(the_slowest_give_way)
{
    struct conn *a = open_stopped(), *b = open_stopped(), *c = pool_open();
    static char got[1 << 20];
    put(a, "a", &closing);
    put_keep(b, "b", &closing);
    put(c, "c", &closing);
    ck_assert_uint_eq(pool.shard.delivery.first, 1 + a->pub.ind);
    while (recv(pool.peers[a->pub.ind], got, sizeof got, MSG_DONTWAIT) > 0) {
    }
    for (int i = 0; i < 40; i++)
        delivery_put(a, filler, &closing);
    ck_assert(delivery_try(a) == REASON_NONE); /* it gets on: b is the slowest now */
    ck_assert_uint_eq(pool.shard.delivery.first, 1 + b->pub.ind);
    ck_assert(delivery_relieve(&pool.shard)); /* messages of a; b has only such as are to be kept */
    ck_assert_uint_eq(pool_stat(STAT_push_victims), 1);
    ck_assert_uint_gt(pool_stat(STAT_push_dropped_oldest), 20);
    ck_assert(a->state == CONN_OPEN && b->state == CONN_OPEN && c->outbox != NULL);
    ck_assert(!delivery_relieve(&pool.shard)); /* now themselves */
    ck_assert(a->reason == REASON_push_memory && b->reason == REASON_push_memory);
    ck_assert_uint_eq(pool_stat(STAT_push_victims), 3);
    ck_assert(!delivery_relieve(&pool.shard));
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(c), "c");
    check_over();
}
END_TEST

/* Goal: whose messages have gone, and for whom only replies wait, holds nothing of what is short: he is not closed for
 * it. */
START_TEST(replies_take_nothing_of_it)
{
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .bytes = 1000000000};
    struct conn *a = pool_open();
    while (a->outbox == NULL)
        ck_assert_int_ne(output_send_bytes(a, noise, BIG), OUTPUT_BROKEN);
    put(a, "a", &any);
    struct conn *b = open_stopped();
    put_keep(b, "b", &any);
    ck_assert_uint_eq(pool.shard.delivery.first, 1 + a->pub.ind);
    (void) delivery_relieve(&pool.shard);
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_oldest), 1);
    ck_assert_uint_eq(pool.shard.delivery.first, 1 + b->pub.ind);
    (void) delivery_relieve(&pool.shard);
    ck_assert(a->state == CONN_OPEN && a->reason == REASON_NONE && b->reason == REASON_push_memory);
    put(a, "again", &any); /* now he is watched again */
    ck_assert_uint_eq(pool.shard.delivery.first, 1 + a->pub.ind);
    ck_assert_str_eq(heard(a), "again");
    check_over();
}
END_TEST

/* Goal: whose queue is empty then is not watched for writing any more. */
START_TEST(nothing_left_to_wait_for)
{
    struct conn *c = pool_open();
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .bytes = 1000000000};
    char reply[] = "reply";
    while (c->outbox == NULL)
        ck_assert_int_ne(output_send_bytes(c, noise, BIG), OUTPUT_BROKEN);
    conn_poll(c);
    static char got[1 << 20];
    for (int i = 0; i < 10; i++)
        delivery_put(c, filler, &any);
    while (output_pending(c) > 0) {
        ck_assert_int_gt(recv(pool.peers[c->pub.ind], got, sizeof got, MSG_DONTWAIT), 0);
        ck_assert_int_eq(delivery_try(c), REASON_NONE);
    }
    if (c->outbox->sent > 0) /* part of one is sent: that one stays */
        ck_assert(delivery_progress(c, BIG - c->outbox->sent));
    ck_assert(event_get_events(&c->event) & EV_WRITE);
    ck_assert(!delivery_relieve(&pool.shard));
    ck_assert_ptr_null(c->outbox);
    ck_assert(!(event_get_events(&c->event) & EV_WRITE));
    ck_assert_str_eq(heard(c), "");
    ck_assert_int_eq(output_send_bytes(c, reply, 5), OUTPUT_CLEAN);
    check_over();
}
END_TEST

/* Goal: memory of queues counts towards the limit, and comes back. */
START_TEST(queues_are_counted)
{
    struct conn *c = open_stopped();
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .bytes = 1000000000};
    struct mario_msg *m = text("x");
    delivery_settle(&pool.shard);
    size_t before = message_memory();
    for (int i = 0; i < 10000; i++)
        delivery_put(c, m, &any);
    delivery_settle(&pool.shard);
    ck_assert_uint_ge(message_memory(), before + 80000);
    ck_assert_uint_le(message_memory(), before + 100000);
    ck_assert_uint_eq(pool_stat(STAT_push_pending), 10001);
    mario_msg_free(&m);
    check_over();
}
END_TEST

/* All that a queue allocates for: a message that begins, and more and more that wait. How many allocations failed. */
static size_t queue_without_memory(size_t good)
{
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .bytes = 1000000000};
    struct mario_msg *m = text("x");
    struct conn *c = pool_open(), *d = pool_open();
    char reply[] = "reply";
    bool kept = true;
    mem_thread_fini(); /* nothing is at hand */
    unit_heap_fail(good);
    while (c->state == CONN_OPEN && c->outbox == NULL) {
        delivery_put(c, filler, &any);
        delivery_flush(&pool.shard);
    }
    for (int i = 0; i < 100 && c->state == CONN_OPEN; i++)
        delivery_put(c, m, &any);
    if (c->state == CONN_OPEN) {
        enum output o = output_send_bytes(c, reply, 5);
        UNIT_ASSERT(o == OUTPUT_PENDING || o == OUTPUT_NO_MEMORY);
        kept = o == OUTPUT_PENDING;
    }
    for (int i = 0; i < 3 && d->state == CONN_OPEN; i++)
        delivery_put(d, m, &any);
    delivery_flush(&pool.shard);
    size_t refused = unit_heap_heal();
    UNIT_ASSERT(mem_thread_init());
    UNIT_ASSERT(c->state == CONN_OPEN || c->reason == REASON_no_memory);
    UNIT_ASSERT(d->state == CONN_OPEN || d->reason == REASON_no_memory);
    UNIT_ASSERT((refused == 0) == (kept && c->state == CONN_OPEN && d->state == CONN_OPEN));
    mario_msg_free(&m);
    check_over();
    return refused;
}

/* Goal: whichever allocation fails, the connection that it was for ends with no_memory, others do not, and all is
 * accounted for. */
START_TEST(without_memory)
{
    size_t good = 0;
    while (queue_without_memory(good) > 0)
        good++;
    ck_assert_uint_ge(good, 5);
    mem_thread_fini();
    unit_heap_fail(0);
    struct mario_msg *m = mario_msg("x", 1), *p = mario_msg_packet(1, noise, 50000);
    unit_heap_heal();
    ck_assert(mem_thread_init());
    ck_assert(m == NULL && p == NULL);
    ck_assert(!mem_take_failure()); /* who asked was told */
}
END_TEST

/* ---- In batches ---- */

/* As a server with push.uring = auto; nothing is tested where the kernel has no ring. False then. */
static bool send_in_batches(void)
{
    delivery_teardown(&pool.shard);
    pool.service.push_uring = MARIO_URING_AUTO;
    UNIT_ASSERT(delivery_setup(&pool.shard));
    if (pool.shard.delivery.uring == NULL)
        TEST_SKIP_PART("push.uring: %s", pool.shard.delivery.no_uring);
    return pool.shard.delivery.uring != NULL;
}

/* Goal: one by one or in batches, the same becomes of everybody: who reads, who has stopped, who has room for a part or
 * for nothing, whose peer has gone, whose descriptor is not his any more, who has more pieces than one send takes. */
START_TEST(one_by_one_or_in_batches)
{
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .messages = 100000};
    ck_assert(descriptor_setup(1024));
    struct conn *c[35], *slow = open_stopped(), *part = pool_open(), *gone = pool_open(), *lost = pool_open();
    struct conn *full = pool_open();
    if (_i == 1 && !send_in_batches())
        return;
    for (size_t i = 0; i < 35; i++)
        put(c[i] = pool_open(), "hello ", &any);
    for (int i = 0; i < 20; i++)
        delivery_put(part, filler, &any);
    for (int i = 0; i < 1000; i++)
        put(c[7], "x", &any);
    put(slow, "waits", &any);
    while (send(full->pub.fd, noise, BIG, MSG_DONTWAIT) > 0) {
    }
    put(full, "there", &any);
    put(gone, "nobody", &any);
    put(lost, "nobody's", &any);
    put(c[9], "again", &any);
    shutdown(pool.peers[gone->pub.ind], SHUT_RDWR);
    UNIT_ASSERT(descriptor_take(lost->pub.fd) != 0);
    delivery_flush(&pool.shard);
    for (size_t i = 0; i < 35; i++) {
        UNIT_ASSERT(c[i]->outbox == NULL && c[i]->state == CONN_OPEN);
        if (i == 7)
            UNIT_ASSERT(strlen(heard(c[i])) == 1006);
        else
            ck_assert_str_eq(heard(c[i]), i == 9 ? "hello again" : "hello ");
    }
    ck_assert(part->state == CONN_OPEN && part->outbox != NULL && part->outbox->listed);
    ck_assert(event_get_events(&part->event) & EV_WRITE);
    ck_assert(slow->state == CONN_OPEN && slow->outbox != NULL);
    ck_assert(full->state == CONN_OPEN && full->outbox != NULL && full->outbox->listed);
    ck_assert_uint_eq(gone->reason, REASON_reset);
    ck_assert_uint_eq(lost->reason, REASON_fd_closed);
    ck_assert_str_eq(heard(slow), "waits");
    ck_assert_str_eq(heard(full), "there");
    ck_assert_str_eq(heard(part), "");
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_closed), 2);
    check_over();
}
END_TEST

/* ---- All of it, against a plain list ---- */

enum { SUBSCRIBERS = 32 };

struct subscriber {
    struct conn *c;
    uint64_t id;
    uint32_t last; /* number of the last message that it heard */
    char rest[16]; /* of a number that is not whole yet */
    size_t n;
};

/* Its peer reads some. Numbers only grow, and none is cut. */
static void listen_some(struct subscriber *s, uint64_t *random)
{
    char got[3000];
    ssize_t n = recv(pool.peers[s->c->pub.ind], got, 1 + unit_random(random) % sizeof got, MSG_DONTWAIT);
    for (ssize_t i = 0; i < n; i++) {
        s->rest[s->n++] = got[i];
        if (s->n == 8) {
            s->rest[8] = 0;
            uint32_t number = (uint32_t) strtoul(s->rest, NULL, 16);
            UNIT_ASSERT(number > s->last);
            s->last = number;
            s->n = 0;
        }
        UNIT_ASSERT(s->n < sizeof s->rest - 1);
    }
}

/* Goal: whatever comes in whatever order to readers of all kinds: the order holds, nothing is cut, every message is
 * accounted for, once. */
START_TEST(whatever_comes)
{
    static struct subscriber subs[SUBSCRIBERS];
    uint64_t random = 77 + (uint64_t) _i;
    if (_i % 2 == 1 && !send_in_batches())
        return;
    for (uint32_t number = 1; number < 12000 / UNIT_SLOW; number++) {
        struct subscriber *s = &subs[unit_random(&random) % SUBSCRIBERS];
        struct slow_policy p = {.how = (enum mario_slow)(unit_random(&random) % 64 == 0 ? 0 : s->id % 3 + 1),
                                .messages = 1 + (uint32_t) (s->id % 7)};
        if (s->c == NULL || conn_id(s->c) != s->id || s->c->state != CONN_OPEN) {
            conn_pass(&pool.shard);
            *s = (struct subscriber){.c = pool_open()};
            s->id = conn_id(s->c);
            setsockopt(s->c->pub.fd, SOL_SOCKET, SO_SNDBUF, &(int){4096}, sizeof(int));
        }
        char digits[9];
        snprintf(digits, sizeof digits, "%08x", number);
        for (int k = 0; k < SUBSCRIBERS; k++) {
            struct conn *c = subs[k].c;
            if (c == NULL || c->state != CONN_OPEN || conn_id(c) != subs[k].id)
                continue;
            if (k % 2 == 0 || &subs[k] == s) {
                struct mario_msg *m = text(digits);
                mario_msg_key(m, unit_random(&random) % 4);
                if (unit_random(&random) % 256 == 0)
                    mario_msg_keep(m);
                delivery_put(c, m, &p);
                mario_msg_free(&m);
            }
        }
        if (unit_random(&random) % 2 == 0)
            delivery_flush(&pool.shard);
        if (s->id % 3 != 0 && s->c->state == CONN_OPEN)
            listen_some(s, &random);
        if (s->c->state == CONN_OPEN && s->c->outbox != NULL && unit_random(&random) % 2 == 0)
            UNIT_ASSERT(delivery_try(s->c) == REASON_NONE);
        if (unit_random(&random) % 512 == 0)
            delivery_relieve(&pool.shard);
        if (unit_random(&random) % 512 == 0 && s->c->state == CONN_OPEN)
            conn_close(s->c, REASON_kicked);
        if (number % 64 == 0)
            check_ledger();
    }
    delivery_flush(&pool.shard);
    check_over();
    ck_assert_uint_gt(pool_stat(STAT_push_coalesced), 0);
    ck_assert_uint_gt(pool_stat(STAT_push_dropped_newest), 0);
    ck_assert_uint_gt(pool_stat(STAT_push_dropped_oldest), 0);
    ck_assert_uint_gt(pool_stat(STAT_push_sent), 1000);
}
END_TEST

Suite *delivery_suite(void)
{
    Suite *s = suite_create("delivery");
    TCase *c = pool_case(s, "delivery", 10);
    tcase_add_checked_fixture(c, make_filler, free_filler);
    tcase_add_test(c, all_at_the_flush);
    tcase_add_test(c, in_order_with_replies);
    tcase_add_test(c, pushes_are_no_replies);
    tcase_add_test(c, a_burst_is_sent);
    tcase_add_test(c, close_the_slow);
    tcase_add_test(c, a_last_look);
    tcase_add_test(c, drop_the_oldest);
    tcase_add_test(c, drop_the_newest);
    tcase_add_test(c, the_latest_of_a_key);
    tcase_add_loop_test(c, kept_ones, 0, 3);
    tcase_add_test(c, no_limit);
    tcase_add_test(c, last_words);
    tcase_add_test(c, a_place_used_again);
    tcase_add_test(c, a_peer_that_has_gone);
    tcase_add_test(c, the_slowest_give_way);
    tcase_add_test(c, replies_take_nothing_of_it);
    tcase_add_test(c, nothing_left_to_wait_for);
    tcase_add_test(c, queues_are_counted);
    tcase_add_test(c, without_memory);
    tcase_add_loop_test(c, one_by_one_or_in_batches, 0, 2);
    tcase_add_loop_test(c, whatever_comes, 0, 4);
    return s;
}
