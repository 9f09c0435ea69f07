/*
 * test_admin_workers.c: what an operator asks about workers and functions: one that is stuck holds nobody up, one that
 * is taken over loses nobody, and calls are counted.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "census.h"
#include "stuck.h"

enum { SOON_MS = 8000 };

/* Goal: a stuck worker is named with what it does, the others are listed; and its late answers do no harm. */
START_TEST(a_stuck_worker)
{
    struct server s;
    char show[64];
    server_start(&s, "testapp", operator_option(), "watch.replace_ms=0", NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0), beside = open_at_worker(&s, 0);
    struct id id = id_of_conn(other);
    snprintf(show, sizeof show, "conn show %s", id_of_conn(beside).text);
    stick(fd);
    const char *json = operator_json("conn list");
    row_of(json, id.text);
    ck_assert_uint_eq(operator_count(json, "\"id\""), 1);
    ITEST_ASSERT(strstr(json, "{\"worker\": 0, \"why\": \"no answer, in 0x7020 for ") != NULL, "%s", json);
    ck_assert_ptr_nonnull(strstr(operator_ask("conn list", NULL), "no answer, in 0x7020 for "));
    operator_refused(1, "worker 0: no answer, in 0x7020 for ", show);
    ck_assert_double_eq(operator_number(operator_json("conn kick state=open"), "would_be_kicked"), 1);
    client_echo(other, 100);
    unstick(other);
    uint32_t place;
    client_recv_packet(fd, TEST_STICK, &place, sizeof place);
    json = operator_json("conn list");
    ck_assert_uint_eq(operator_count(json, "\"id\""), 3);
    ck_assert_ptr_null(strstr(json, "no_answer"));
    operator_json("%s", show);
    close(beside);
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

struct taken {
    int fd, other;
    bool done;
};

static void take_over(unsigned page, void *arg)
{
    struct taken *t = arg;
    if (page != 3)
        return;
    stick(t->fd);
    wait_counter(t->other, "alarm_replaced", 1);
    t->done = true;
}

/* Goal: another thread takes a worker over in the middle of a list, and with a question in its ring: who stays is
 * listed exactly once, and the question is answered by the successor. */
START_TEST(a_takeover_in_between)
{
    enum { SOME = 60 };
    struct server s;
    int fds[SOME];
    struct test_who who[SOME];
    watch_start(&s, NULL, operator_option());
    struct taken t = {.other = open_at_worker(&s, 1), .fd = open_at_worker(&s, 0)};
    for (int i = 0; i < SOME; i++) {
        fds[i] = client_open(&s);
        who[i] = who_of(fds[i]);
    }
    list_all(4, take_over, &t);
    ck_assert(t.done);
    for (int i = 0; i < SOME; i++)
        ck_assert_uint_eq(listed.times[who[i].worker][who[i].ind], 1);
    int second = open_at_worker(&s, 0);
    stick(second);
    const char *json = operator_json("conn list limit=1000"); /* the first of them waits for the successor */
    ITEST_ASSERT(operator_count(json, "\"state\": \"open\"") >= SOME + 1 || strstr(json, "no_answer") != NULL,
                 "%s", json);
    wait_counter(t.other, "alarm_replaced", 2);
    json = operator_json("conn list state=open limit=1000");
    ck_assert_uint_eq(operator_count(json, "\"id\""), SOME + 1);
    ck_assert_uint_eq(operator_count(operator_json("conn list state=closing"), "\"id\""), 2);
    unstick(t.other);
    client_expect_fin(t.fd);
    client_expect_fin(second);
    operator_await("\"connections\": []", SOON_MS, "conn list state=closing");
    for (int i = 0; i < SOME; i++)
        close(fds[i]);
    close(t.other);
    server_finish(&s);
}
END_TEST

/* Who has answered may not have returned yet. */
static bool is_idle(void *worker)
{
    return strcmp(operator_text(worker_row(*(uint32_t *) worker), "runs"), "idle") == 0;
}

/* Goal: `workers` tells of each, also of one that is stuck, for how long and in what, and that another one took
 * over. */
START_TEST(workers_and_what_they_run)
{
    struct server s;
    watch_start(&s, "watch.replace_ms=0", operator_option());
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    struct id id = id_of_conn(fd);
    double thread = operator_number(worker_row(0), "thread");
    ck_assert_double_gt(thread, 0);
    ck_assert_double_gt(operator_number(worker_row(1), "thread"), 0);
    ck_assert_double_ne(operator_number(worker_row(1), "thread"), thread);
    ck_assert_double_ge(operator_number(worker_row(0), "open"), 1);
    ck_assert(itest_wait(is_idle, &(uint32_t){0}, SOON_MS));
    ck_assert_str_eq(operator_text(worker_row(0), "connection"), "");
    ck_assert_double_ge(operator_number(worker_row(0), "cpu_s"), 0);
    ck_assert_double_ge(operator_number(worker_row(0), "processor"), 0);
    stick(fd);
    operator_await("\"runs\": \"0x7020 for 0.", SOON_MS, "workers");
    const char *row = worker_row(0);
    ck_assert_str_eq(operator_text(row, "connection"), id.text);
    ck_assert_double_eq(operator_number(row, "thread"), thread);
    ck_assert(itest_wait(is_idle, &(uint32_t){1}, SOON_MS));
    unstick(other);
    uint32_t place;
    client_recv_packet(fd, TEST_STICK, &place, sizeof place);
    operator_await("\"runs\": \"idle\"", SOON_MS, "workers");
    ck_assert_double_eq(operator_number(worker_row(0), "replaced"), 0);
    close(fd);
    close(other);
    server_finish(&s);
}
END_TEST

START_TEST(a_replaced_worker)
{
    struct server s;
    watch_start(&s, NULL, operator_option());
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    double thread = operator_number(worker_row(0), "thread");
    stick(fd);
    wait_counter(other, "alarm_replaced", 1);
    operator_await("\"replaced\": 1", SOON_MS, "workers");
    ck_assert_double_eq(operator_number(worker_row(0), "replaced"), 1);
    ck_assert_double_eq(operator_number(worker_row(1), "replaced"), 0);
    ck_assert_double_ne(operator_number(worker_row(0), "thread"), thread);
    ck_assert_double_eq(operator_number(worker_row(0), "closing"), 1); /* the stuck one's */
    unstick(other);
    client_expect_fin(fd);
    close(other);
    server_finish(&s);
}
END_TEST

/* Goal: calls and errors of a function are those that there were. */
START_TEST(functions_and_their_calls)
{
    enum { CALLS = 70 };
    struct server s;
    struct test_end end = {.reason_id = 0, .value = 0};
    int32_t fails = 3;
    server_start(&s, "testapp", operator_option(), "test.offload=on", NULL);
    int fd = client_open(&s), bad = client_open(&s);
    for (int i = 0; i < CALLS; i++)
        client_echo(fd, 20);
    for (int i = 0; i < 5; i++)
        client_ask(fd, TEST_NAP + TEST_OFFLOADED, &end, sizeof end, &end, sizeof end);
    client_send_packet(bad, TEST_RETURN, &fails, sizeof fails);
    client_recv_packet(bad, TEST_RETURN, &fails, sizeof fails);
    client_expect_fin(bad);
    const char *json = operator_json("functions");
    const char *row = row_of(json, "0x6103");
    ck_assert_double_eq(operator_number(row, "calls"), CALLS);
    ck_assert_double_eq(operator_number(row, "errors"), 0);
    ck_assert_str_eq(operator_text(row, "runs_on"), "worker");
    ck_assert_double_eq(operator_number(row_of(json, "0x7001"), "calls"), 1);
    ck_assert_double_eq(operator_number(row_of(json, "0x7001"), "errors"), 1);
    row = row_of(json, "0x7111");
    ck_assert_double_eq(operator_number(row, "calls"), 5);
    ck_assert_str_eq(operator_text(row, "runs_on"), "offload");
    ck_assert_double_ge(operator_number(row, "mean_us"), 900); /* it sleeps a millisecond */
    ck_assert_double_ge(operator_number(row, "p99_us"), operator_number(row, "p50_us"));
    ck_assert_str_eq(operator_text(row_of(json, "0x7211"), "runs_on"), "offload, concurrent");
    close(fd);
    server_finish(&s);
}
END_TEST

Suite *admin_workers_suite(void)
{
    Suite *s = suite_create("admin_workers");
    TCase *c = itest_case(s, "workers", 60);
    tcase_add_test(c, a_stuck_worker);
    tcase_add_test(c, a_takeover_in_between);
    tcase_add_test(c, workers_and_what_they_run);
    tcase_add_test(c, a_replaced_worker);
    tcase_add_test(c, functions_and_their_calls);
    return s;
}
