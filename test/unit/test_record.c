/*
 * test_record.c: the line about a death: what stands in it, and that it is one line of bounded length whatever
 * the dying process left in the record.
 */
#include "mario/log/sink.h"
#include "mario/process/crash.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Goal: a whole record in words, IPv6 and symbols included. */
START_TEST(a_whole_record)
{
    static struct crash_record r;
    char line[CRASH_LINE + 1];
    r = (struct crash_record){.sig = 11,
                              .is_fault = true,
                              .address = 0x10,
                              .thread = 77,
                              .pc = (uintptr_t) &strlen,
                              .frames = 2,
                              .where = {.is_worker = true,
                                        .in_function = true,
                                        .worker = 3,
                                        .conn = UINT64_C(3) << 56 | UINT64_C(17) << 32 | 5,
                                        .akg_id = 0x6101,
                                        .family = AF_INET6,
                                        .port = 4000,
                                        .address = {0xfe, 0x80, [15] = 1}}};
    r.frame[0] = (void *) (uintptr_t) 8;
    r.frame[1] = (void *) r.pc;
    r.stage = CRASH_WHOLE;
    size_t n = crash_line(line, CRASH_LINE, MARIO_LOG_TEXT, "HEAD", &r, NULL, 0);
    line[n] = '\0';
    ck_assert_msg(strstr(line,
                         " ERROR died: HEAD; thread 77, worker 3, akg_id 0x6101, connection 3.17.5 from "
                         "[fe80::1]:4000, at address 0x10; backtrace: ") != NULL,
                  "%s", line);
    ck_assert_msg(strstr(line, "; backtrace: 0x8") == NULL, "the handler's frames are in: %s", line);
    ck_assert(strchr(line, '\n') == line + n - 1);
}
END_TEST

/* Goal: a record that was begun, or not, says what it has and what the workers ran. */
START_TEST(a_part_of_a_record)
{
    struct crash_record r = {.thread = 5};
    struct activity activities[4] = {0};
    char line[CRASH_LINE + 1];
    activities[1].what = UINT64_C(9) << 24 | 0x6103 << 8 | ACTIVITY_PACKET;
    activities[1].conn = UINT64_C(1) << 56 | 2;
    activities[1].peer = (uint64_t) htonl(INADDR_LOOPBACK) << 16 | htons(80);
    activities[2].what = ACTIVITY_END;
    activities[3].what = UINT64_C(7) << 24 | ACTIVITY_SHAKE;
    activities[3].conn = UINT64_C(3) << 56 | 4;
    for (int stage = CRASH_NONE; stage <= CRASH_BEGUN; stage++) {
        r.stage = stage;
        line[crash_line(line, CRASH_LINE, MARIO_LOG_TEXT, "HEAD", &r, activities, 4)] = '\0';
        ck_assert_msg((strstr(line, "; thread 5") != NULL) == (stage == CRASH_BEGUN), "%s", line);
        ck_assert_msg(strstr(line, "worker 1, akg_id 0x6103, connection 1.0.2 from 127.0.0.1:80") != NULL,
                      "%s", line);
        ck_assert_msg(strstr(line, "worker 3, in a TLS handshake, connection 3.0.4") != NULL, "%s", line);
        ck_assert_msg(strstr(line, "worker 2, in a hook") != NULL && strstr(line, "worker 0") == NULL, "%s",
                      line);
    }
}
END_TEST

/* Goal: nonsense of every kind in the record gives one line that fits, never more. */
START_TEST(a_spoiled_record)
{
    static struct crash_record r;
    uint64_t seed = 4711;
    for (int round = 0; round < 2000 / UNIT_SLOW; round++) {
        char line[CRASH_LINE];
        size_t room = round % 2 ? CRASH_LINE : CRASH_LINE_MIN + (size_t) (unit_random(&seed) % 300);
        enum mario_log_format format = round % 5 == 0 ? MARIO_LOG_JSON : MARIO_LOG_TEXT;
        for (size_t i = 0; i + 8 <= sizeof r; i += 8) {
            uint64_t v = unit_random(&seed);
            memcpy((char *) &r + i, &v, 8);
        }
        r.is_fault = r.where.is_worker = r.where.in_function = true; /* a bool must be one */
        r.where.in_hook = round % 3 == 0;
        r.where.in_call = round % 3 == 1;
        r.where.in_framing = round % 4 == 1;
        r.where.in_shake = round % 4 == 2;
        size_t n = crash_line(line, room, format, "two\nlines\t\x7f", &r, NULL, 0);
        ck_assert(n >= 1 && n <= room && memchr(line, '\n', n) == line + n - 1);
    }
}
END_TEST

/* time() may still say the second before: its clock goes by ticks. */
static time_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec;
}

/* Goal: the time in front is the local time, in summer and winter of many years. */
START_TEST(the_time)
{
    struct crash_record r = {0};
    const char *zones[] = {"UTC", "CET-1CEST,M3.5.0,M10.5.0/3", "NST3:30NDT,M3.2.0,M11.1.0", "<+14>-14"};
    for (size_t i = 0; i < sizeof zones / sizeof zones[0]; i++) {
        char line[CRASH_LINE], before[32], after[32];
        setenv("TZ", zones[i], 1);
        tzset();
        crash_localtime();
        time_t t = now();
        strftime(before, sizeof before, "%Y-%m-%d %H:%M:%S", localtime(&t));
        crash_line(line, sizeof line, MARIO_LOG_TEXT, "", &r, NULL, 0);
        t = now();
        strftime(after, sizeof after, "%Y-%m-%d %H:%M:%S", localtime(&t));
        ck_assert_msg(strncmp(line, before, 19) == 0 || strncmp(line, after, 19) == 0, "%s: %.30s, not %s",
                      zones[i], line, before);
    }
}
END_TEST

/* Goal: a line goes to the end of the file, or where that is not possible, to standard error, and never waits
 * for a reader. */
START_TEST(where_it_goes)
{
    int both[2];
    char got[64] = "";
    ck_assert(pipe2(both, O_NONBLOCK) == 0 && dup2(both[1], STDERR_FILENO) == STDERR_FILENO);
    crash_append("/nonexistent/log", "one\n", 4);
    crash_append("-", "two\n", 4);
    crash_append(NULL, "3\n", 2);
    ck_assert_int_eq(read(both[0], got, sizeof got), 10);
    ck_assert_str_eq(got, "one\ntwo\n3\n");
    fcntl(both[1], F_SETFL, 0); /* now a write would wait */
    fcntl(both[1], F_SETPIPE_SZ, 4096);
    for (int i = 0; i < 5000; i++)
        crash_append("-", "more than it takes\n", 19);
}
END_TEST

/* Goal: as JSON it is one object, whatever the texts hold, also one that does not fit. */
START_TEST(as_json)
{
    struct crash_record r = {0};
    const char *want =
        "Z\",\"level\":\"err\",\"subsystem\":\"server\",\"text\":\"died: a\\\"b\\\\c?d??e\"}\n";
    char line[CRASH_LINE + 1], head[CRASH_LINE + 1], before[32], after[32];
    time_t t = now();
    strftime(before, sizeof before, "{\"time\":\"%Y-%m-%dT%H:%M:%S.", gmtime(&t));
    line[crash_line(line, CRASH_LINE, MARIO_LOG_JSON,
                    "a\"b\\c\nd\xc3\xa4"
                    "e",
                    &r, NULL, 0)] = '\0';
    t = now();
    strftime(after, sizeof after, "{\"time\":\"%Y-%m-%dT%H:%M:%S.", gmtime(&t));
    ck_assert_msg(strncmp(line, before, 29) == 0 || strncmp(line, after, 29) == 0, "%s", line);
    ck_assert_str_eq(line + 35, want);
    memset(head, '"', CRASH_LINE);
    head[CRASH_LINE] = '\0';
    for (size_t room = CRASH_LINE - 1; room <= CRASH_LINE; room++) { /* no quote is cut in two */
        size_t n = crash_line(line, room, MARIO_LOG_JSON, head, &r, NULL, 0);
        ck_assert(n <= room && n >= room - 1 && memcmp(line + n - 5, "\\\"\"}\n", 5) == 0);
    }
}
END_TEST

/* Goal: it goes to syslogd if the log does; without one to standard error. */
START_TEST(to_syslog)
{
    static const char text[] = "2026-11-21 10:33:44.905259 ERROR died: of old age\n",
                      json[] = "{\"text\":1}\n";
    char want[128], got[128] = "";
    int pipe_fds[2], fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    snprintf(a.sun_path, sizeof a.sun_path, "/tmp/mario_record.%d", (int) getpid());
    log_syslog_path = a.sun_path;
    ck_assert(fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof a) == 0);
    crash_append("syslog:local0", text, sizeof text - 1);
    snprintf(want, sizeof want, "<131>%s[%d]: ERROR died: of old age", program_invocation_short_name,
             (int) getpid());
    ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), (ssize_t) strlen(want));
    ck_assert_str_eq(got, want);
    crash_append("syslog", json, sizeof json - 1);
    memset(got, 0, sizeof got);
    snprintf(want, sizeof want, "<27>%s[%d]: {\"text\":1}", program_invocation_short_name, (int) getpid());
    ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), (ssize_t) strlen(want));
    ck_assert_str_eq(got, want);
    close(fd);
    unlink(a.sun_path);
    ck_assert(pipe2(pipe_fds, O_NONBLOCK) == 0 && dup2(pipe_fds[1], STDERR_FILENO) == STDERR_FILENO);
    crash_append("syslog", json, sizeof json - 1);
    memset(got, 0, sizeof got);
    ck_assert_int_eq(read(pipe_fds[0], got, sizeof got), (ssize_t) sizeof json - 1);
    ck_assert_str_eq(got, json);
}
END_TEST

Suite *record_suite(void)
{
    Suite *s = suite_create("record");
    TCase *c = unit_case(s, "record", 10);
    tcase_add_test(c, a_whole_record);
    tcase_add_test(c, a_part_of_a_record);
    tcase_add_test(c, a_spoiled_record);
    tcase_add_test(c, the_time);
    tcase_add_test(c, where_it_goes);
    tcase_add_test(c, as_json);
    tcase_add_test(c, to_syslog);
    return s;
}
