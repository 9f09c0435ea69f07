/*
 * test_delivery.c: messages onto connections, without a worker: what each policy does to whom, the ledger, the order
 * with replies, what of a queue is the kernel's and what is ours. Memory is test_delivery_memory.c's.
 */
#include "delivery_lab.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mario/conn/output.h"
#include "mario/net/descriptor.h"

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
    TCase *c = delivery_case(s, "delivery", 10);
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
    tcase_add_loop_test(c, one_by_one_or_in_batches, 0, 2);
    tcase_add_loop_test(c, whatever_comes, 0, 4);
    return s;
}
