/*
 * test_admin_live.c: what the live page asks for each second, asked without a browser: its numbers are the clients',
 * each second is told once, and a worker that is stuck is told of like any other.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operator.h"
#include "stuck.h"

enum { CONNECTIONS = 40, ECHOES = 500, SOON_MS = 8000 };

static void start(struct server *s, const char *more, const char *and_more)
{
    server_start(s, "testapp", operator_option(), more, and_more, NULL);
}

/* The sum of what stands at key in each object of the list. */
static double sum_of(const char *list, const char *key)
{
    char quoted[64];
    double sum = 0;
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    for (const char *at = list; (at = strstr(at, quoted)) != NULL; at++)
        sum += operator_number(at, key);
    return sum;
}

/* What stands between this key's brackets. The caller frees it. */
static char *list_of(const char *json, const char *key, const char *end)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\"", key);
    const char *from = strstr(json, quoted), *to = from == NULL ? NULL : strstr(from, end);
    ck_assert_msg(to != NULL, "no %s ... %s in %s", key, end, json);
    return strndup(from, (size_t) (to - from));
}

START_TEST(its_numbers_are_the_clients)
{
    struct server s;
    int fds[CONNECTIONS];
    start(&s, NULL, NULL);
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = client_open(&s);
    for (int i = 0; i < ECHOES; i++)
        client_echo(fds[i % CONNECTIONS], 100);
    operator_await("\"connections\": 40,", SOON_MS, "live");
    const char *json = operator_json("live since=0");
    char *workers = list_of(json, "workers", "\"history\"");
    ck_assert_uint_eq((unsigned) sum_of(workers, "connections"), CONNECTIONS);
    ck_assert_uint_eq((unsigned) sum_of(workers, "open"), CONNECTIONS);
    ck_assert_uint_eq(operator_count(workers, "\"runs\": null"), 2);
    ck_assert_uint_eq((unsigned) operator_number(json, "packets_in"), ECHOES);
    ck_assert_uint_eq((unsigned) operator_number(json, "bytes_in"), ECHOES * 108);
    ck_assert_uint_eq((unsigned) operator_number(json, "accepted"), CONNECTIONS);
    ck_assert_str_eq(operator_text(json, "state"), "serving");
    ck_assert_int_eq((int) operator_number(json, "pid"), s.pid);
    free(workers);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    server_finish(&s);
}
END_TEST

/* ---- The history ---- */

enum series {
    SERIES_CONNECTIONS,
    SERIES_ACCEPTS,
    SERIES_CLOSES,
    SERIES_REFUSED,
    SERIES_PACKETS,
    SERIES_MAX = 16
};

static struct told {
    unsigned last;           /* number of the last row */
    double sum[SERIES_MAX];  /* of all rows that were told */
    double most[SERIES_MAX]; /* in one row */
} told;

/* One row, "[1,2,...]". */
static const char *take_row(const char *at)
{
    unsigned n = 0;
    for (at++; *at != ']' && *at != '\0';) {
        char *end;
        double v = strtod(at, &end);
        ck_assert_msg(end != at && n < SERIES_MAX, "no number at %.40s", at);
        told.sum[n] += v;
        told.most[n] = v > told.most[n] ? v : told.most[n];
        n++;
        at = end + strspn(end, ", ");
    }
    ck_assert_uint_eq(n, 9);
    return at;
}

/* Ask for what is new: as many rows as numbers. */
static void ask_for_more(void)
{
    const char *json = operator_json("live since=%u", told.last);
    const char *at = strstr(strstr(json, "\"history\""), "\"rows\"");
    unsigned last = (unsigned) operator_number(strstr(json, "\"history\""), "last"), rows = 0;
    for (at = strchr(at, '[') + 1; *(at += strspn(at, ", \n")) == '['; rows++)
        at = take_row(at) + 1;
    ck_assert_uint_eq(rows, last - told.last);
    told.last = last;
}

/* Whether the rows so far have it all. */
static bool all_is_told(void *arg)
{
    (void) arg;
    ask_for_more();
    return told.sum[SERIES_PACKETS] > ECHOES * 0.9 && told.sum[SERIES_CLOSES] > CONNECTIONS * 0.9;
}

START_TEST(each_second_is_told_once)
{
    struct server s;
    int fds[CONNECTIONS];
    start(&s, NULL, NULL);
    const char *json = operator_json("live");
    ck_assert_ptr_nonnull(strstr(
        json, "[\"connections\", \"accepts\", \"closes\", \"refused\", \"packets\", \"received\", \"sent\", "
              "\"busy\", \"lag\"]"));
    for (int i = 0; i < CONNECTIONS; i++)
        fds[i] = client_open(&s);
    for (int i = 0; i < ECHOES; i++)
        client_echo(fds[i % CONNECTIONS], 100);
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    ck_assert(itest_wait(all_is_told, NULL, SOON_MS));
    for (uint64_t end = itest_deadline(SOON_MS), last = told.last; told.last < last + 2 && mono_ns() < end;)
        ask_for_more(); /* nothing is in two of them */
    ck_assert_double_le(told.sum[SERIES_PACKETS], ECHOES * 1.1);
    ck_assert_double_le(told.sum[SERIES_ACCEPTS], CONNECTIONS * 1.1 + 1);
    ck_assert_double_ge(told.sum[SERIES_ACCEPTS], CONNECTIONS * 0.9 - 1);
    ck_assert_double_eq(told.sum[SERIES_REFUSED], 0);
    told.last += 1000; /* as one who knows another server's */
    json = operator_json("live since=%u", told.last);
    ck_assert_uint_gt(operator_count(strstr(json, "\"rows\""), "["), 1);
    server_finish(&s);
}
END_TEST

START_TEST(a_wrong_word_is_said)
{
    struct server s;
    start(&s, NULL, NULL);
    operator_refused(2, "since=", "live since=x");
    operator_refused(2, "nonsense", "live nonsense");
    server_finish(&s);
}
END_TEST

/* ---- A worker that is stuck ---- */

START_TEST(who_is_stuck_is_told_with_its_backtrace)
{
    struct server s;
    char warn[64];
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    start(&s, warn, "watch.replace_ms=0");
    int stuck = open_at_worker(&s, 0), other = open_at_worker(&s, 1);
    stick(stuck);
    operator_await("do_stick+", BACK_MS, "live");
    char *workers = list_of(operator_json("live"), "workers", "\"history\"");
    const char *runs = strstr(workers, "\"runs\"");
    ck_assert_uint_eq(operator_count(workers, "\"stuck\": true"), 1);
    ck_assert_str_eq(operator_text(runs, "function"), "0x7020");
    ck_assert_str_eq(operator_text(runs, "name"), "do_stick");
    ck_assert_int_eq(strncmp(operator_text(runs, "connection"), "0.", 2), 0);
    ck_assert_ptr_nonnull(strstr(operator_text(runs, "peer"), "127.0.0.1:"));
    ck_assert_double_ge(operator_number(runs, "for"), 0);
    free(workers);
    unstick(other);
    operator_await("\"runs\": null}, {", SOON_MS, "live");
    ck_assert_uint_eq(operator_count(operator_json("live"), "do_stick"), 0);
    close(stuck);
    close(other);
    server_finish(&s);
}
END_TEST

static bool all_are_idle(void *arg)
{
    (void) arg;
    return operator_count(operator_json("live"), "\"runs\": null") == 2;
}

/* Goal: the same of an event of the application's on a worker's loop, which is no function. */
START_TEST(who_does_not_come_round_is_told)
{
    struct server s;
    char warn[64];
    uint32_t ms = 2500 * ITEST_SLOW, got;
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    start(&s, warn, NULL);
    int fd = client_open(&s);
    ck_assert_uint_eq(client_ask(fd, TEST_OWN_TIMER, &ms, sizeof ms, &got, sizeof got), sizeof got);
    operator_await("{\"function\": \"loop\"", BACK_MS, "live");
    const char *runs = strstr(operator_json("live"), "{\"function\": \"loop\"");
    ck_assert_uint_eq(operator_count(runs, "\"stuck\": true"), 1);
    if (strstr(runs, "nanosleep") == NULL) /* the master does not wait for it */
        TEST_SKIP_PART("the machine is too busy for its backtrace");
    ck_assert(itest_wait(all_are_idle, NULL, BACK_MS));
    close(fd);
    server_finish(&s);
}
END_TEST

START_TEST(who_was_replaced_is_not_told_as_stuck)
{
    struct server s;
    char warn[64], replace[64];
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    start(&s, warn, replace);
    int stuck = open_at_worker(&s, 0), other = open_at_worker(&s, 1);
    stick(stuck);
    operator_await("\"replaced\": 1,", BACK_MS, "live");
    ck_assert_uint_eq(operator_count(operator_json("live"), "\"stuck\": true"), 0);
    unstick(other);
    client_expect_fin(stuck);
    close(other);
    server_finish(&s);
}
END_TEST

Suite *admin_live_suite(void)
{
    Suite *s = suite_create("admin_live");
    TCase *numbers = itest_case(s, "numbers", 30), *watch = itest_case(s, "stuck", 60);
    tcase_add_test(numbers, its_numbers_are_the_clients);
    tcase_add_test(numbers, each_second_is_told_once);
    tcase_add_test(numbers, a_wrong_word_is_said);
    tcase_add_test(watch, who_is_stuck_is_told_with_its_backtrace);
    tcase_add_test(watch, who_does_not_come_round_is_told);
    tcase_add_test(watch, who_was_replaced_is_not_told_as_stuck);
    return s;
}
