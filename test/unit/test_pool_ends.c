/*
 * test_pool_ends.c: how connections end, without a worker: each one that was greeted is said goodbye to once, with the
 * right hook, after its pending output is sent and nobody uses it any more.
 */
#include "pool_lab.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "mario/conn/output.h"
#include "mario/exec/registry.h"
#include "mario/exec/reply.h"
#include "mario/exec/reply.h"

/* ---- Which hook, and when ---- */

/* The hook that is to run for a reason. */
static uint16 hook_of(int reason)
{
    switch ((enum reason) reason) {
    case REASON_peer_closed:
    case REASON_function_closed:
    case REASON_kicked:
    case REASON_replaced:
    case REASON_drain:
    case REASON_stop:
        return g_akg_closed_id;
    case REASON_idle_timeout:
    case REASON_packet_timeout:
    case REASON_first_packet:
    case REASON_write_timeout:
    case REASON_tls_timeout:
        return g_akg_timeout_id;
    default:
        return g_akg_error_id;
    }
}

/* How often a hook has run. */
static unsigned runs_of(uint16 hook)
{
    if (hook == g_akg_error_id)
        return pool.seen.error;
    return hook == g_akg_timeout_id ? pool.seen.timeout : pool.seen.closed;
}

START_TEST(each_reason_has_its_hook)
{
    struct conn *c = pool_open();
    int peer = pool.peers[c->pub.ind];
    char got;
    c->greeted = true;
    pool.seen.closes = pool.seen.writes = true;
    conn_close(c, (enum reason) _i);
    conn_close(c, REASON_reset); /* the first one counts */
    close_conn(&c->pub, 5);
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    ck_assert_uint_eq(pool_ends_seen(), 0); /* not before the pass is over */
    conn_pass(&pool.shard);
    struct log_who who;
    ck_assert(!executor_log_context(&who)); /* nobody's hook or function runs any more */
    ck_assert_uint_eq(runs_of(hook_of(_i)), 1);
    ck_assert_uint_eq(pool_ends_seen(), 1);
    ck_assert_ptr_eq(pool.seen.conn, &c->pub);
    ck_assert_uint_eq(pool.seen.err_type, hook_of(_i));
    ck_assert_uint_eq(pool_stat(stats_of_reason((enum reason) _i)), 1);
    ck_assert_int_eq(recv(peer, &got, 1, MSG_DONTWAIT), 0); /* what the hook wrote is not sent */
    ck_assert_uint_eq(evbuffer_get_length(bufferevent_get_output(pool.executor->discard)), 0);
    ck_assert_uint_eq(pool_stat(STAT_writes_outside), 1);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(pool_ends_seen(), 1);
    ck_assert_uint_eq(pool_stat(STAT_closed), 1);
}
END_TEST

/* Goal: who kicks chooses the hook, as who closes does. */
START_TEST(a_kick_chooses_its_hook)
{
    static const uint16 ids[] = {5, g_akg_closed_id, g_akg_timeout_id, g_akg_error_id};
    struct conn *c = pool_open();
    c->greeted = true;
    c->pub.err_type = ids[_i / 2];
    conn_close(c, _i % 2 == 0 ? REASON_kicked : REASON_replaced);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(pool.seen.closed, _i < 4);
    ck_assert_uint_eq(pool.seen.timeout, ids[_i / 2] == g_akg_timeout_id);
    ck_assert_uint_eq(pool.seen.error, ids[_i / 2] == g_akg_error_id);
    ck_assert_uint_eq(pool.seen.err_type, ids[_i / 2]);
}
END_TEST

START_TEST(a_functions_close_is_only_noted)
{
    static const uint16 ids[] = {0, 42, g_akg_closed_id, g_akg_timeout_id, g_akg_error_id};
    struct conn *c = pool_open();
    c->greeted = true;
    executor_begin(pool.executor, &c->pub, conn_id(c), NULL);
    close_conn(&c->pub, ids[_i]);
    close_conn(&c->pub, 4711); /* the first one counts */
    close_err_conn(&c->pub);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    executor_end(pool.executor);
    ck_assert_uint_eq(output_send(c), OUTPUT_CLEAN);
    conn_close(c, pool.executor->end_reason);
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(runs_of(ids[_i]), 1);
    ck_assert_uint_eq(pool_ends_seen(), 1);
    ck_assert_uint_eq(pool.seen.err_type, ids[_i] == 0 ? g_akg_closed_id : ids[_i]);
}
END_TEST

/* A function on another thread still uses it: its socket and its place stay, its end hook waits. */
START_TEST(who_is_held_is_not_said_goodbye_to)
{
    struct conn *c = pool_open();
    char got;
    c->greeted = true;
    c->refs = 2;
    conn_close(c, REASON_reset);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    ck_assert_int_eq(recv(pool.peers[c->pub.ind], &got, 1, MSG_DONTWAIT), 0); /* the peer knows */
    ck_assert_int_ge(fcntl(c->pub.fd, F_GETFD), 0);
    conn_release(c);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(pool_ends_seen(), 0);
    ck_assert_uint_eq(pool.shard.in_use, 1);
    conn_release(c);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(pool.seen.error, 1);
    ck_assert_uint_eq(c->state, CONN_FREE);
    ck_assert_uint_eq(pool.shard.in_use, 0);
}
END_TEST

/* A function closes another connection of its worker: that one ends, its own goes on. */
START_TEST(a_function_closes_another)
{
    struct conn *a = pool_open(), *b = pool_open();
    a->greeted = b->greeted = true;
    executor_begin(pool.executor, &a->pub, conn_id(a), NULL);
    close_conn(&b->pub, 9);
    ck_assert_uint_eq(b->state, CONN_CLOSING);
    ck_assert_uint_eq(pool.executor->end_reason, REASON_NONE);
    executor_end(pool.executor);
    conn_pass(&pool.shard);
    ck_assert_ptr_eq(pool.seen.conn, &b->pub);
    ck_assert_uint_eq(pool.seen.err_type, 9);
    ck_assert_uint_eq(a->state, CONN_OPEN);
}
END_TEST

static void *close_from_elsewhere(void *arg)
{
    close_conn(arg, 1);
    close_err_conn(arg);
    return NULL;
}

START_TEST(another_thread_may_not_close)
{
    pthread_t thread;
    struct conn *c = pool_open();
    c->greeted = true;
    int nowhere = open("/dev/null", O_WRONLY);
    ck_assert_int_eq(dup2(nowhere, STDERR_FILENO), STDERR_FILENO); /* it complains there */
    close(nowhere);
    ck_assert_int_eq(pthread_create(&thread, NULL, close_from_elsewhere, &c->pub), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    ck_assert_uint_eq(c->reason, REASON_NONE);
}
END_TEST

/* ---- Pending output ---- */

/* Write more than the socket takes, close, then read it all at the other end: everything comes, then the end. */
START_TEST(pending_output_is_sent_before_the_end)
{
    enum { MUCH = 1000000 };
    struct conn *c = pool_open();
    int peer = pool.peers[c->pub.ind];
    unsigned char *data = malloc(MUCH), *got = malloc(MUCH + 1);
    uint64_t random = 3;
    size_t n = 0;
    ck_assert(data != NULL && got != NULL);
    for (size_t i = 0; i < MUCH; i++)
        data[i] = (unsigned char) unit_random(&random);
    c->greeted = true;
    executor_begin(pool.executor, &c->pub, conn_id(c), NULL);
    ck_assert_int_eq(bufferevent_write(pool.executor->reply, data, MUCH), 0);
    close_conn(&c->pub, 0);
    ck_assert_int_eq(bufferevent_write(pool.executor->reply, "behind", 6), 0); /* dropped: it had closed */
    executor_end(pool.executor);
    ck_assert_uint_eq(output_send(c), OUTPUT_PENDING);
    reply_drain(pool.executor);
    conn_close(c, pool.executor->end_reason);
    ck_assert_uint_eq(c->state, CONN_DRAINING);
    ck_assert_uint_eq(pool.seen.closed, 0);
    for (ssize_t one; (one = recv(peer, got + n, MUCH + 1 - n, MSG_DONTWAIT)) != 0;) {
        if (one > 0)
            n += (size_t) one;
        else if (c->state == CONN_DRAINING && output_flush(c) == OUTPUT_CLEAN)
            conn_end(c, REASON_stop); /* the reason noted before stands */
        else
            conn_pass(&pool.shard);
    }
    ck_assert_uint_eq(n, MUCH);
    ck_assert_mem_eq(got, data, MUCH);
    ck_assert_uint_eq(pool.seen.closed, 1);
    ck_assert_uint_eq(pool_stat(stats_of_reason(REASON_function_closed)), 1);
    free(data);
    free(got);
}
END_TEST

/* Freezing the reply is forbidden, but it silences nobody else: the next function's answer is there. */
START_TEST(a_frozen_reply_thaws)
{
    struct executor *t = pool.executor;
    for (int end = 0; end < 2; end++) {
        evbuffer_freeze(t->reply_buf, end);
        if (end == 1)
            ck_assert_int_eq(bufferevent_write(t->reply, "lost", 4), 0);
        reply_drain(t);
        ck_assert_int_eq(bufferevent_write(t->reply, "answer", 6), 0);
        ck_assert_uint_eq(evbuffer_get_length(t->reply_buf), 6);
        reply_drain(t);
        ck_assert_uint_eq(evbuffer_get_length(t->reply_buf), 0);
    }
}
END_TEST

START_TEST(a_dead_socket_does_not_drain)
{
    static char data[1000000];
    struct conn *c = pool_open();
    c->greeted = true;
    ck_assert_int_eq(bufferevent_write(pool.executor->reply, data, sizeof data), 0);
    ck_assert_uint_eq(output_send(c), OUTPUT_PENDING);
    reply_drain(pool.executor);
    conn_close(c, REASON_function_closed);
    ck_assert_uint_eq(c->state, CONN_DRAINING);
    conn_close(c, REASON_function_error); /* nothing new */
    ck_assert_uint_eq(c->state, CONN_DRAINING);
    conn_close(c, REASON_reset);
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    ck_assert_ptr_null(c->outbox);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(pool.seen.error, 1);
    ck_assert_uint_eq(pool_stat(stats_of_reason(REASON_reset)), 1);
}
END_TEST

Suite *pool_ends_suite(void)
{
    Suite *s = suite_create("pool_ends");
    TCase *c = pool_case(s, "ends", 5);
    tcase_add_loop_test(c, each_reason_has_its_hook, REASON_NONE + 1, REASON_COUNT);
    tcase_add_loop_test(c, a_kick_chooses_its_hook, 0, 8);
    tcase_add_loop_test(c, a_functions_close_is_only_noted, 0, 5);
    tcase_add_test(c, who_is_held_is_not_said_goodbye_to);
    tcase_add_test(c, a_function_closes_another);
    tcase_add_test(c, another_thread_may_not_close);
    tcase_add_test(c, pending_output_is_sent_before_the_end);
    tcase_add_test(c, a_dead_socket_does_not_drain);
    tcase_add_test(c, a_frozen_reply_thaws);
    return s;
}
