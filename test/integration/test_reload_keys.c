/*
 * test_reload_keys.c: each key that counts at once when it is changed: the server is first seen to do as it was
 * started, then as it is told to. Those of the log, of limits, of admission and of drains are in suites of theirs, the
 * timeouts in reload and config.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ears.h"
#include "leaving.h"
#include "mortal.h"
#include "operator.h"
#include "stuck.h"

/* Change one, "section.key=value", by a connection that has nothing else to do, and wait until it counts. */
static void change(int fd, const char *also)
{
    struct test_reload r = {.times = 0}, back;
    uint64_t reloads = counter_on(fd, "reloads");
    snprintf(r.also, sizeof r.also, "%s", also);
    ck_assert_uint_eq(client_ask(fd, TEST_RELOAD, &r, sizeof r, &back, sizeof back), sizeof back);
    wait_counter(fd, "reloads", reloads + 1);
}

/* ---- Who comes ---- */

START_TEST(when_full)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.connnum=2", "server.when_full=refuse", NULL);
    int fd = client_open(&s), second = client_open(&s);
    client_echo(fd, 10);
    client_echo(second, 10);
    int refused = client_open(&s);
    ck_assert_int_ne(client_ending(refused, NULL, 5000), END_TIMEOUT);
    close(refused);
    change(fd, "server.when_full=wait");
    int waits = client_open(&s);
    ck_assert_int_eq(client_ending(waits, NULL, 300), END_TIMEOUT);
    close(second);
    client_echo(waits, 10);
    close(waits);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_full"), 1);
}
END_TEST

START_TEST(assign)
{
    enum { MORE = 3 };
    struct server s;
    int fds[MORE], more[MORE];
    server_start(&s, "testapp", "server.workernum=2", "server.assign=round_robin", NULL);
    for (int i = 0; i < MORE; i++)
        fds[i] = open_at_worker(&s, 1);
    more[0] = client_open(&s);
    more[1] = client_open(&s);
    ck_assert_uint_eq(who_of(more[0]).worker + who_of(more[1]).worker, 1); /* in turn */
    close(more[0]);
    close(more[1]);
    change(fds[0], "server.assign=least");
    for (int i = 0; i < MORE; i++) {
        more[i] = client_open(&s);
        ck_assert_uint_eq(who_of(more[i]).worker, 0);
    }
    for (int i = 0; i < MORE; i++) {
        close(fds[i]);
        close(more[i]);
    }
    server_finish(&s);
}
END_TEST

/* Whether the kernel probes the server's end of this connection when it is silent. */
static bool is_probed(const struct server *s, int fd)
{
    char line[512];
    unsigned local, remote, timer = 0;
    bool found = false;
    FILE *f = fopen("/proc/net/tcp", "re");
    ck_assert_ptr_nonnull(f);
    while (!found && fgets(line, sizeof line, f) != NULL)
        found = sscanf(line, " %*u: %*8x:%x %*8x:%x %*x %*x:%*x %x:", &local, &remote, &timer) == 3 &&
                local == s->port && remote == client_port(fd);
    fclose(f);
    ck_assert(found);
    return timer == 2;
}

START_TEST(backlog_and_keepalive)
{
    struct server s;
    server_start(&s, "testapp", "server.keepalive=0", "server.backlog=200", operator_option(), NULL);
    int before = client_open(&s);
    client_echo(before, 10);
    ck_assert(!is_probed(&s, before));
    ck_assert_int_eq((int) operator_number(operator_json("listeners"), "backlog"), 200);
    change(before, "server.keepalive=60");
    change(before, "server.backlog=100");
    ck_assert_int_eq((int) operator_number(operator_json("listeners"), "backlog"), 100);
    int fd = client_open(&s);
    client_echo(fd, 10);
    ck_assert(is_probed(&s, fd) && !is_probed(&s, before));
    close(before);
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Functions ---- */

START_TEST(watch_warn_ms)
{
    struct server s;
    char option[48];
    server_start(&s, "testapp", "server.workernum=2", "watch.warn_ms=0", "watch.replace_ms=0", NULL);
    int fd = open_at_worker(&s, 0), other = open_at_worker(&s, 1);
    uint32_t ms = 3 * WARN_MS, back;
    ck_assert_uint_eq(client_ask(fd, TEST_SLEEP, &ms, sizeof ms, &back, sizeof back), sizeof back);
    ck_assert_uint_eq(counter_on(other, "watch_stuck"), 0);
    snprintf(option, sizeof option, "watch.warn_ms=%u", WARN_MS);
    change(other, option);
    stick(fd);
    wait_counter(other, "watch_stuck", 1);
    unstick(other);
    ck_assert_uint_eq(client_recv_packet(fd, TEST_STICK, &back, sizeof back), sizeof back);
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

START_TEST(watch_replace)
{
    struct server s;
    char option[48];
    watch_start(&s, "watch.replace_ms=0", "watch.replace_max=0");
    int fd = open_at_worker(&s, 0), other = open_at_worker(&s, 1);
    snprintf(option, sizeof option, "watch.replace_ms=%u", REPLACE_MS);
    change(other, option);
    stick(fd);
    wait_counter(other, "watch_stuck", 1);
    itest_sleep(2 * REPLACE_MS); /* time itself is the matter: nobody may be replaced */
    ck_assert_uint_eq(counter_on(other, "watch_replaced"), 0);
    change(other, "watch.replace_max=1");
    wait_counter(other, "watch_replaced", 1);
    unstick(other);
    client_expect_fin(fd);
    close(other);
    server_finish(&s);
}
END_TEST

START_TEST(watch_master_ms)
{
    enum { MASTER_MS = 500 * ITEST_SLOW };
    struct server s;
    char option[48];
    uint32_t stall = 2 * MASTER_MS, back;
    mortal_start(&s, (const char *[]){"server.supervise=on", "watch.master_ms=0", NULL});
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_STALL, &stall, sizeof stall, &back, sizeof back), sizeof back);
    snprintf(option, sizeof option, "watch.master_ms=%d", MASTER_MS);
    change(fd, option); /* once it has stalled, and nobody minded */
    stall = 3600 * 1000;
    ck_assert_uint_eq(client_ask(fd, TEST_STALL, &stall, sizeof stall, &back, sizeof back), sizeof back);
    ck_assert_int_ne(client_ending(fd, NULL, BACK_MS), END_TIMEOUT);
    close(fd);
    mortal_served_again(&s);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "died_hung"), 1);
}
END_TEST

START_TEST(slow_and_timing)
{
    struct server s;
    uint32_t ms = 30, back;
    server_start(&s, "testapp", "slow.ms=60000", "stats.timing=off", operator_option(), NULL);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_SLEEP, &ms, sizeof ms, &back, sizeof back), sizeof back);
    ck_assert_uint_eq(counter_on(fd, "function_slow"), 0);
    ck_assert_uint_eq(operator_count(operator_json("functions"), "\"timed\": 0,"),
                      operator_count(operator_json("functions"), "\"timed\": "));
    change(fd, "slow.ms=10");
    change(fd, "stats.timing=all");
    ck_assert_uint_eq(client_ask(fd, TEST_SLEEP, &ms, sizeof ms, &back, sizeof back), sizeof back);
    ck_assert_uint_ge(counter_on(fd, "function_slow"), 1);
    ck_assert_uint_lt(operator_count(operator_json("functions"), "\"timed\": 0,"),
                      operator_count(operator_json("functions"), "\"timed\": "));
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Output ---- */

START_TEST(output_max)
{
    struct server s;
    uint32_t much = 8u << 20;
    server_start(&s, "testapp", "output.max=64m", "server.linger=0", NULL);
    int fd = client_open(&s), reader = client_open_narrow(&s), other = client_open_narrow(&s);
    client_echo(reader, 10);
    client_send_packet(reader, TEST_REPLY, &much, sizeof much);
    client_echo(fd, 10);
    ck_assert(!client_is_closed(reader));
    change(fd, "output.max=256k");
    client_send_packet(other, TEST_REPLY, &much, sizeof much);
    wait_counter(fd, "closed_output_limit", 1);
    ck_assert(!client_is_closed(reader)); /* what waits may wait */
    close(reader);
    close(other);
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Push ---- */

/* Have more sent to number 1, who does not read, than its queue takes. */
static void flood(struct ears *e, uint32_t first)
{
    ear_order(
        e, 0,
        (struct test_order){
            .kind = ORDER_SEND, .to = e->each[1].id, .times = 99, .len = 4000, .sender = 1, .number = first});
}

START_TEST(push_queue_and_slow)
{
    struct server s;
    struct ears e;
    server_start(&s, "testapp", "server.workernum=1", "push.queue=10", "push.slow=drop_newest",
                 "push.lowat=16k", NULL);
    ears_open_narrow(&e, &s, 2);
    ear_deafen(&e, 1, true);
    for (uint32_t n = 0; ear_counter(&e, 0, "push_dropped_newest") == 0; n++)
        flood(&e, n * 100);
    int fd = client_open(&s);
    uint64_t pending = counter_on(fd, "push_pending");
    ck_assert(pending == 10 || pending == 11); /* of one a part may be sent */
    change(fd, "push.slow=drop_oldest");
    change(fd, "push.queue=4");
    flood(&e, 100000);
    ear_wait_counter(&e, 0, "push_dropped_oldest", 1);
    wait_counter(fd, "push_dropped_oldest", 100);
    pending = counter_on(fd, "push_pending");
    ck_assert(pending == 4 || pending == 5);
    close(fd);
    ears_close(&e);
    server_finish(&s);
}
END_TEST

START_TEST(push_memory_and_groups)
{
    struct server s;
    struct ears e;
    struct test_done done;
    struct test_order send = {.kind = ORDER_SEND, .len = 4000, .sender = 1};
    struct test_order join = {.kind = ORDER_JOIN, .to = 1, .times = 2};
    server_start(&s, "testapp", "push.memory=1m", "push.groups=0", NULL);
    ears_open(&e, &s, 2);
    int fd = client_open(&s);
    send.to = e.each[1].id;
    ear_do(&e, 0, TEST_PUSH, &send, 1, &done);
    ck_assert_uint_eq(ear_counter(&e, 0, "push_refused_memory"), 0);
    change(fd, "push.memory=2k");
    ear_do(&e, 0, TEST_PUSH, &send, 1, &done);
    ck_assert_uint_eq(ear_counter(&e, 0, "push_refused_memory"), 1);
    change(fd, "push.memory=1m");
    change(fd, "push.groups=2");
    ear_do(&e, 0, TEST_PUSH, &join, 1, &done);
    ear_wait_counter(&e, 0, "push_refused_groups", 1);
    ears_expect_members(&e, 1, 2, 1);
    ears_expect_members(&e, 1, 3, 0);
    change(fd, "push.groups=3");
    join.to = 3;
    join.times = 0;
    ear_do(&e, 0, TEST_PUSH, &join, 1, &done);
    ears_expect_members(&e, 1, 3, 1);
    close(fd);
    ears_close(&e);
    server_finish(&s);
}
END_TEST

Suite *reload_keys_suite(void)
{
    Suite *s = suite_create("reload_keys");
    TCase *c = itest_case(s, "keys", 25);
    tcase_add_test(c, when_full);
    tcase_add_test(c, assign);
    tcase_add_test(c, backlog_and_keepalive);
    tcase_add_test(c, watch_warn_ms);
    tcase_add_test(c, watch_replace);
    tcase_add_test(c, watch_master_ms);
    tcase_add_test(c, slow_and_timing);
    tcase_add_test(c, output_max);
    tcase_add_test(c, push_queue_and_slow);
    tcase_add_test(c, push_memory_and_groups);
    return s;
}
