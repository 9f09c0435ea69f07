/*
 * test_delivery_memory.c: messages onto connections when memory is short: what counts towards the limit, who gives way,
 * and allocations that fail.
 */
#include "delivery_lab.h"

#include <string.h>
#include <sys/socket.h>

#include "mario/base/mem.h"
#include "mario/conn/output.h"

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

Suite *delivery_memory_suite(void)
{
    Suite *s = suite_create("delivery_memory");
    TCase *c = delivery_case(s, "delivery_memory", 10);
    tcase_add_test(c, the_slowest_give_way);
    tcase_add_test(c, replies_take_nothing_of_it);
    tcase_add_test(c, nothing_left_to_wait_for);
    tcase_add_test(c, queues_are_counted);
    tcase_add_test(c, without_memory);
    return s;
}
