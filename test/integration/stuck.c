/*
 * stuck.c: what the tests of functions that block or die share. Main thread of a test.
 */
#include "stuck.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

void watch_start(struct server *s, const char *more, const char *and_more)
{
    static char warn[64], replace[64];
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    server_start(s, "testapp", warn, more != NULL ? more : replace, and_more, NULL);
}

struct test_who who_of(int fd)
{
    struct test_who who;
    ck_assert_uint_eq(client_ask(fd, TEST_WHO, NULL, 0, &who, sizeof who), sizeof who);
    return who;
}

int open_at_worker(const struct server *s, uint32_t worker)
{
    for (uint64_t end = itest_deadline(BACK_MS); mono_ns() < end;) {
        int fd = client_open(s);
        if (who_of(fd).worker == worker)
            return fd;
        close(fd);
    }
    ck_abort_msg("worker %u gets no newcomers; see %s", worker, s->dir);
}

void send_number(int fd, uint16_t akg, uint32_t number)
{
    client_send_packet(fd, akg, &number, sizeof number);
}

void stick(int fd)
{
    send_number(fd, TEST_STICK, TEST_IN_FUNCTION);
}

void unstick(int fd)
{
    ck_assert_uint_eq(client_ask(fd, TEST_UNSTICK, NULL, 0, NULL, 0), 0);
}

uint64_t counter_on(int fd, const char *name)
{
    char text[8192], key[64];
    size_t n = client_ask(fd, TEST_STATS, NULL, 0, text, sizeof text - 1);
    text[n] = '\0';
    snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(text, key);
    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

void wait_counter(int fd, const char *name, uint64_t least)
{
    for (uint64_t end = itest_deadline(BACK_MS); counter_on(fd, name) < least;) {
        ITEST_ASSERT(mono_ns() < end, "%s is %llu, not %llu", name, (unsigned long long) counter_on(fd, name),
                     (unsigned long long) least);
        itest_sleep(2);
    }
}

void stop_beside_stuck(struct server *s, unsigned ms)
{
    uint64_t began = mono_ns();
    server_signal(s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(s, 8000), 3);
    ck_assert_uint_lt((mono_ns() - began) / NS_PER_MS, (uint64_t) ms * ITEST_SLOW);
    char *err = program_slurp(s->err);
    ITEST_ASSERT(strstr(err, "function 0x7020 of connection 0.") != NULL, "it says: %s", err);
    free(err);
    server_discard(s);
}
