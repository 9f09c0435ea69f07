/*
 * test_reload.c: settings that change while the server runs: workers take them between two passes, all connections
 * keep to them, also those that were there before; nothing is lost meanwhile.
 */
#include <string.h>
#include <unistd.h>

#include "stuck.h"
#include "test_ledger.h"

/* Within a second the master does as it is told. */
static void ask_reload(const struct server *s, struct test_reload r)
{
    int fd = client_open(s);
    struct test_reload back;
    ck_assert_uint_eq(client_ask(fd, TEST_RELOAD, &r, sizeof r, &back, sizeof back), sizeof back);
    close(fd);
}

/* Goal: with a timeout that was never, all who are there already end when the new one is over, whatever worker they
 * have; with one that is longer again nobody does. */
START_TEST(a_timeout_for_who_was_there)
{
    enum { CLIENTS = 600 }; /* more than a worker arms in a pass */
    struct server s;
    int fds[CLIENTS];
    size_t extra;
    server_start(&s, "testapp", "server.workernum=2", "server.timeout=0", NULL);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = client_open(&s);
    client_echo(fds[CLIENTS - 1], 10);
    ask_reload(&s, (struct test_reload){.timeout = 1, .output_high = 262144, .times = 1});
    uint64_t began = mono_ns(); /* nothing happens from here on that would wake a worker */
    for (int i = 0; i < CLIENTS; i++) {
        ck_assert_int_eq(client_ending(fds[i], &extra, 4000), END_FIN);
        close(fds[i]);
    }
    uint64_t ms = (mono_ns() - began) / NS_PER_MS;
    ck_assert_msg(ms < 3000u * ITEST_SLOW, "it took %llu ms", (unsigned long long) ms);
    ask_reload(&s, (struct test_reload){.timeout = 100, .output_high = 262144, .times = 1});
    server_wait_counter(&s, "reloads", 2, 5000);
    int fd = client_open(&s);
    itest_sleep(1500); /* time itself is the matter */
    client_echo(fd, 10);
    close(fd);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "closed_idle_timeout"), CLIENTS);
    ck_assert_uint_eq(server_counter(&s, "wrong_state"), 0);
}
END_TEST

/* Goal: thousands of versions, one right after the other, under load, while a worker is stuck and replaced: all is
 * answered, the last one counts. (What is freed too early, or never, a sanitizer finds.) */
START_TEST(under_load)
{
    const uint32_t n = 200 / ITEST_SLOW, each = 3000 / ITEST_SLOW;
    struct server s;
    watch_start(&s, NULL, NULL);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    struct ledger *l = ledger_create(&s.target, n, 100);
    ck_assert(l != NULL && ledger_connect(l, 10000));
    stick(fd);
    struct test_reload r = {.timeout = 50, .packet_timeout = 7, .output_high = 2048, .times = 5000};
    ck_assert_uint_eq(client_ask(other, TEST_RELOAD, &r, sizeof r, &r, sizeof r), sizeof r);
    ledger_ask(l, each, 8);
    ck_assert_msg(ledger_run(l, 20000), "%llu asked, %llu answered", (unsigned long long) l->sent,
                  (unsigned long long) l->answered);
    wait_counter(other, "reloads", 5000);
    unstick(other);
    client_expect_fin(fd);
    wait_counter(other, "watch_buried", 1);
    ledger_destroy(&l);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_state"), 0);
}
END_TEST

Suite *reload_suite(void)
{
    Suite *s = suite_create("reload");
    TCase *c = itest_case(s, "reload", 40);
    tcase_add_test(c, a_timeout_for_who_was_there);
    tcase_add_test(c, under_load);
    return s;
}
