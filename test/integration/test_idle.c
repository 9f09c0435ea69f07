/*
 * test_idle.c: a server with nobody there sleeps, all of its threads; and is awake in time when somebody comes: its
 * timeouts are as exact as before, its watch looks, its log is written.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stuck.h"

enum { REST_MS = 1600 }; /* until the log thread has seen that nothing comes any more, and some */

/* Context switches of all threads of the server so far. */
static uint64_t switches(const struct server *s)
{
    char path[300];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/task", (int) s->pid);
    DIR *d = opendir(path);
    ck_assert_ptr_nonnull(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char line[128];
        unsigned long long n;
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int) s->pid, e->d_name);
        FILE *f = e->d_name[0] == '.' ? NULL : fopen(path, "r");
        while (f != NULL && fgets(line, sizeof line, f) != NULL) {
            if (sscanf(line, "voluntary_ctxt_switches: %llu", &n) == 1 ||
                sscanf(line, "nonvoluntary_ctxt_switches: %llu", &n) == 1)
                sum += n;
        }
        if (f != NULL)
            fclose(f);
    }
    closedir(d);
    return sum;
}

/* Goal: with eight workers, before the first connection and after the last one, at most 20 context switches a
 * second. */
START_TEST(nobody_there)
{
    enum { SECONDS = 3 };
    struct server s;
    server_start(&s, "maritcp", "server.workernum=8", "server.connnum=10", NULL);
    for (int i = 0; i < 2; i++) {
        itest_sleep(REST_MS);
        uint64_t before = switches(&s);
        itest_sleep(SECONDS * 1000); /* time itself is the matter */
        uint64_t n = switches(&s) - before;
        ck_assert_msg(n <= 20 * SECONDS, "%llu context switches a second", (unsigned long long) n / SECONDS);
        for (int k = 0; i == 0 && k < 16; k++) {
            int fd = client_open(&s);
            client_echo(fd, 10);
            close(fd);
        }
        server_wait_fds(&s, s.fds, 3000);
    }
    server_finish(&s);
}
END_TEST

/* Goal: the first one after a rest is closed for its silence in the tick, not when a clock happens to look again; the
 * next one, who comes while the clock goes, too. */
START_TEST(a_timeout_after_a_rest)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", "server.timeout=1", NULL);
    for (int i = 0; i < 2; i++) {
        itest_sleep(i == 0 ? REST_MS : 30);
        int fd = client_open(&s);
        uint64_t began = mono_ns();
        ck_assert_int_eq(client_ending(fd, NULL, 3000), END_FIN);
        uint64_t ms = (mono_ns() - began) / NS_PER_MS;
        ck_assert_msg(ms >= 990 && ms < 1250 + 500 * (ITEST_SLOW - 1), "closed after %llu ms",
                      (unsigned long long) ms);
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_idle_timeout"), 2);
}
END_TEST

/* Goal: after a rest a function that blocks is reported, and its worker replaced, as ever; and lines are written. */
START_TEST(a_watch_after_a_rest)
{
    struct server s;
    watch_start(&s, NULL, NULL);
    itest_sleep(REST_MS);
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    uint64_t began = mono_ns();
    stick(fd);
    server_wait_log(&s, "has been running for", 1000 + WARN_MS);
    server_wait_log(&s, "another thread has taken its place", 1000 + REPLACE_MS);
    ck_assert_uint_ge(mono_ns() - began, REPLACE_MS * NS_PER_MS / 2);
    unstick(other);
    client_expect_fin(fd);
    wait_counter(other, "watch_buried", 1);
    close(other);
    server_finish(&s);
}
END_TEST

Suite *idle_suite(void)
{
    Suite *s = suite_create("idle");
    TCase *c = itest_case(s, "idle", 30);
    tcase_add_test(c, nobody_there);
    tcase_add_test(c, a_timeout_after_a_rest);
    tcase_add_test(c, a_watch_after_a_rest);
    return s;
}
