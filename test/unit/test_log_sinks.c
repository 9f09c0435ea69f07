/*
 * test_log_sinks.c: what a record carries, as text, as JSON and in a sink of one's own; levels; folding.
 */
#include "log_lab.h"

#include "mario/mario_util.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- What a record carries ---- */

static struct log_who who;

static bool context(struct log_who *w)
{
    *w = who;
    errno = EIO; /* the log must not mind */
    return true;
}

static void set_peer(enum log_peer kind, const char *address, size_t n, uint16_t port)
{
    who = (struct log_who){
        .worker = 3, .slot = 70000, .generation = 4294967295u, .peer = (uint8_t) kind, .port = htons(port)};
    if (n > 0)
        memcpy(who.address, address, n);
}

START_TEST(lines_name_connection_and_peer)
{
    lab_start();
    log_context = context;
    set_peer(LOG_PEER_IPV4, "\xc0\0\2\7", 4, 51234);
    slog_warn_t(lab_queue, "one");
    set_peer(LOG_PEER_IPV6, "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1", 16, 1);
    slog_warn_t_w(lab_queue, "two");
    set_peer(LOG_PEER_UNIX, NULL, 0, 0);
    slog_warn_t(lab_queue, "three");
    set_peer(LOG_PEER_NONE, NULL, 0, 0);
    slog_warn_t(lab_queue, "four");
    slog_warn(lab_queue, "bare");
    log_context = NULL;
    slog_warn_t(lab_queue, "none");
    lab_flush();
    const char *text = lab_contents(lab_path);
    lab_must_have(text, " tester WARN  [3.70000.4294967295 192.0.2.7:51234] one\n");
    lab_must_have(text, " tester WARN  [3.70000.4294967295 [2001:db8::1]:1] "
                        "lines_name_connection_and_peer_fn: two\n");
    lab_must_have(text, " tester WARN  [3.70000.4294967295 unix] three\n");
    lab_must_have(text, " tester WARN  [3.70000.4294967295] four\n");
    lab_must_have(text, "\nWARN  bare\n");
    lab_must_have(text, " tester WARN  none\n");
}
END_TEST

START_TEST(json)
{
    time_t before = time(NULL);
    char stamp[32];
    struct tm tm;
    lab_options.format = MARIO_LOG_JSON;
    lab_start();
    set_peer(LOG_PEER_IPV4, "\xc0\0\2\7", 4, 51234);
    log_context = context;
    mario_log(lab_queue, MARIO_LOG_IN_conn, MARIO_LOG_ERR, 0, "f",
              "a \"b\" \\ \n\t\x1b \xe2\x82\xac \xff \xc0\x80 \xed\xa0\x80");
    log_context = NULL;
    slog_info_t(lab_queue, "%s", "plain");
    lab_flush();
    const char *text = lab_contents(lab_path);
    ck_assert_uint_eq(lab_count(text, "\n"), 2);
    lab_must_have(
        text,
        "Z\",\"level\":\"err\",\"thread\":\"tester\",\"subsystem\":\"conn\",\"conn\":\"3.70000.4294967295\","
        "\"peer\":\"192.0.2.7:51234\",\"func\":\"f\",\"text\":\"a \\\"b\\\" \\\\ \\n\\t\\u001b "
        "\xe2\x82\xac \\ufffd \\ufffd\\ufffd \\ufffd\\ufffd\\ufffd\"}\n");
    lab_must_have(text,
                  "Z\",\"level\":\"info\",\"thread\":\"tester\",\"subsystem\":\"app\",\"text\":\"plain\"}\n");
    gmtime_r(&before, &tm);
    strftime(stamp, sizeof stamp, "{\"time\":\"%Y-%m-%dT%H:", &tm);
    lab_must_have(text, stamp);
}
END_TEST

/* Goal: the longest and most awkward record is still one valid object. */
START_TEST(json_of_a_long_record)
{
    char awkward[5000];
    memset(awkward, 1, sizeof awkward);
    awkward[sizeof awkward - 1] = '\0';
    lab_options.format = MARIO_LOG_JSON;
    lab_start();
    slog_info_t_w(lab_queue, "%s", awkward);
    slog_info(lab_queue, "behind");
    lab_flush();
    const char *text = lab_contents(lab_path);
    ck_assert_uint_eq(lab_count(text, "\n"), 2);
    ck_assert_uint_ge(lab_count(text, "\\u0001"), 900);
    lab_must_have(text, "\\u0001...\"}\n{");
}
END_TEST

START_TEST(nobody_writes_a_line_of_his_own)
{
    lab_start();
    slog_info_t(lab_queue, "name %s",
                "evil\n2026-01-01 00:00:00.000000 master ERROR forged\r\x1b[31m\ttab\x7f");
    lab_flush();
    lab_must_have(lab_contents(lab_path),
                  "name evil\n\t2026-01-01 00:00:00.000000 master ERROR forged\\x0d\\x1b[31m\ttab\\x7f\n");
    slog_info(lab_queue, "one\xc2\x85two\xc2\x9b"
                         "31m \xc2\xa0\xc3\x85\xc2"); /* as UTF-8 has them, and what is near */
    lab_flush();
    lab_must_have(lab_contents(lab_path), "INFO  one\\x85two\\x9b31m \xc2\xa0\xc3\x85\xc2\n");
    lab_options.format = MARIO_LOG_JSON;
    ck_assert_int_eq(mario_log_setup(&lab_options), 0);
    slog_info(lab_queue, "one\xc2\x85two");
    lab_flush();
    lab_must_have(lab_contents(lab_path), "\"one\\u0085two\"}\n");
}
END_TEST

/* ---- Levels ---- */

static void check_levels(const char *text, const char *wanted)
{
    char have[MARIO_LOG_SUBSYSTEM_COUNT + 1] = "";
    ck_assert_int_eq(mario_log_levels(text, NULL, 0), 0);
    for (int i = 0; i < MARIO_LOG_SUBSYSTEM_COUNT; i++) {
        int level = MARIO_LOG_DEBUG;
        while (level > 0 && !log_wants_in((enum mario_log_subsystem) i, (enum mario_log_level) level))
            level--;
        have[i] = "ewid"[level];
    }
    ck_assert_str_eq(have, wanted);
}

START_TEST(levels_of_subsystems)
{
    char why[128];
    check_levels("info", "iiiii"); /* server conn app watch log */
    check_levels("warn,conn=debug", "wdwww");
    check_levels("conn=debug", "idiii");
    check_levels(" err , log = info,app=warn ", "eewei");
    ck_assert_int_eq(mario_log_levels("debug,nose=err", why, sizeof why), -1);
    ck_assert_str_eq(why, "'nose' is not one of the subsystems");
    check_levels("err", "eeeee");
    mario_log_level_of(MARIO_LOG_IN_watch, MARIO_LOG_DEBUG);
    ck_assert(log_wants_in(MARIO_LOG_IN_watch, MARIO_LOG_DEBUG));
    ck_assert(!log_wants_in(MARIO_LOG_IN_app, MARIO_LOG_WARN));
    ck_assert_int_eq(mario_log_levels_check("debug", why, sizeof why), 0); /* sets nothing */
    ck_assert(!log_wants_in(MARIO_LOG_IN_app, MARIO_LOG_WARN));
    mario_log_level(MARIO_LOG_WARN);
    ck_assert(!log_wants_in(MARIO_LOG_IN_watch, MARIO_LOG_INFO));
    lab_start();
    mario_log_level_of((enum mario_log_subsystem) 77, MARIO_LOG_DEBUG); /* nonsense does no harm */
    mario_log(lab_queue, (enum mario_log_subsystem) 77, MARIO_LOG_ERR, 0, NULL, "nonsense");
    mario_log(lab_queue, MARIO_LOG_IN_app, (enum mario_log_level) 7, 0, NULL, "no");
    mario_log(lab_queue, MARIO_LOG_IN_conn, MARIO_LOG_INFO, 0, NULL, "no");
    mario_log_level_of(MARIO_LOG_IN_conn, MARIO_LOG_DEBUG);
    mario_log(lab_queue, MARIO_LOG_IN_conn, MARIO_LOG_DEBUG, 0, NULL, "yes");
    mario_slog(lab_queue, MARIO_LOG_INFO, 0, NULL, "no");
    lab_flush();
    ck_assert_str_eq(lab_contents(lab_path), "ERROR nonsense\nDEBUG yes\n");
}
END_TEST

/* ---- Folding ---- */

START_TEST(a_repeated_line_is_folded)
{
    lab_start();
    for (int i = 0; i < 1235; i++) {
        slog_info(lab_queue, "the same");
        if (i % 200 == 199)
            susleep(0, 20000); /* the queue holds 512 */
    }
    slog_info(lab_queue, "another");
    slog_info(lab_queue, "twice");
    slog_info(lab_queue, "twice");
    slog_warn(lab_queue, "twice"); /* not the same level */
    lab_flush();
    ck_assert_uint_eq(mario_log_dropped(), 0);
    ck_assert_str_eq(lab_contents(lab_path), "INFO  the same\nINFO  repeated 1,234 times\nINFO  another\n"
                                             "INFO  twice\nINFO  twice\nWARN  twice\n");
}
END_TEST

START_TEST(repetition_is_said_in_json)
{
    lab_options.format = MARIO_LOG_JSON;
    lab_start();
    for (int i = 0; i < 4; i++)
        slog_info_w(lab_queue, "the same");
    lab_flush();
    const char *text = lab_contents(lab_path);
    ck_assert_uint_eq(lab_count(text, "\n"), 2);
    lab_must_have(text, "\"func\":\"repetition_is_said_in_json_fn\",\"repeated\":3,\"text\":\"the same\"}\n");
}
END_TEST

/* Goal: it is said after half a second of silence, and in a repetition without end after five seconds. */
START_TEST(a_repetition_is_said_in_time)
{
    lab_start();
    uint64_t began = unit_ms();
    for (int i = 0; i < 3; i++)
        slog_info(lab_queue, "silence");
    ck_assert(lab_wait_for(lab_path, "repeated 2 times\n", 2000));
    ck_assert_uint_ge(unit_ms() - began, 450);
    began = unit_ms();
    while (strstr(lab_contents(lab_path), "endless\nINFO  repeated ") == NULL) {
        ck_assert_uint_lt(unit_ms() - began, 8000 * UNIT_SLOW);
        slog_info(lab_queue, "endless");
        susleep(0, 20000);
    }
    ck_assert_uint_ge(unit_ms() - began, 4500);
    ck_assert_uint_eq(lab_count(lab_contents(lab_path), "endless"), 1);
}
END_TEST

START_TEST(what_is_not_a_repetition)
{
    LOG_QUEUE *other = create_log_queue();
    ck_assert_ptr_nonnull(other);
    lab_start();
    slog_info(lab_queue, "thread");
    lab_flush();
    slog_info(other, "thread");
    lab_flush();
    slog_info(lab_queue, "pause");
    susleep(0, 600000);
    slog_info(lab_queue, "pause");
    lab_flush();
    log_context = context;
    set_peer(LOG_PEER_NONE, NULL, 0, 0);
    slog_info(lab_queue, "connection");
    who.generation++;
    slog_info(lab_queue, "connection");
    log_context = NULL;
    record_log(lab_queue, 2, "%s", ""); /* raw text is never folded, and does not end a fold */
    lab_flush();
    ck_assert_str_eq(lab_contents(lab_path), "INFO  thread\nINFO  thread\nINFO  pause\nINFO  pause\n"
                                             "INFO  connection\nINFO  connection\n");
}
END_TEST

/* ---- A sink of one's own ---- */

struct seen {
    pthread_t thread; /* who called it */
    unsigned calls;
    sint32 answer;
    sint64 seconds;
    char text[512];
};

static sint32 note(const MARIO_LOG_RECORD *r, void *arg)
{
    struct seen *s = arg;
    s->thread = pthread_self();
    s->calls++;
    s->seconds = r->seconds;
    snprintf(s->text, sizeof s->text, "%d|%d|%s|%s|%s|%s|%s|%u|%s|%u|%u", (int) r->level, (int) r->subsystem,
             r->thread, r->conn, r->peer, r->func != NULL ? r->func : "-", r->text, r->text_len, r->line,
             r->line_len, (unsigned) r->repeated);
    return s->answer;
}

START_TEST(a_sink_of_ones_own)
{
    struct seen seen = {.answer = 0};
    regist_log_func(note, &seen); /* before the thread starts, or after */
    lab_start();
    set_peer(LOG_PEER_IPV4, "\x7f\0\0\1", 4, 5);
    log_context = context;
    slog_err_w(lab_queue, "text");
    log_context = NULL;
    lab_flush();
    ck_assert_uint_eq(seen.calls, 1);
    ck_assert(!pthread_equal(seen.thread, pthread_self()));
    ck_assert_int_le(llabs((long long) (seen.seconds - time(NULL))), 5);
    ck_assert_str_eq(seen.text, "0|2|tester|3.70000.4294967295|127.0.0.1:5|a_sink_of_ones_own_fn|text|4|"
                                "ERROR a_sink_of_ones_own_fn: text\n|34|0");
    seen.answer = 1;
    for (int i = 0; i < 3; i++)
        slog_info(lab_queue, "taken");
    record_log(lab_queue, 2, "%s", "");
    lab_flush();
    ck_assert_uint_eq(seen.calls, 3);
    ck_assert_str_eq(seen.text, "2|2|tester|||-|taken|5|INFO  repeated 2 times\n|23|2");
    regist_log_func(NULL, NULL);
    lab_flush();
    slog_info(lab_queue, "not seen");
    lab_flush();
    ck_assert_uint_eq(seen.calls, 3);
    ck_assert_str_eq(lab_contents(lab_path), "ERROR a_sink_of_ones_own_fn: text\nINFO  not seen\n");
}
END_TEST

/* Logs a line for each it gets, but for its own. */
static sint32 echo(const MARIO_LOG_RECORD *r, void *arg)
{
    static LOG_QUEUE *own;
    (void) arg;
    if (own == NULL)
        own = create_log_queue();
    if (strstr(r->text, "echo") == NULL)
        slog_info(own, "echo of %s", r->text);
    return 0;
}

START_TEST(a_sink_may_log)
{
    regist_log_func(echo, NULL);
    lab_start();
    slog_info(lab_queue, "one");
    ck_assert(lab_wait_for(lab_path, "INFO  echo of one\n", 2000));
    ck_assert_str_eq(lab_contents(lab_path), "INFO  one\nINFO  echo of one\n");
}
END_TEST

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;

static sint32 hang(const MARIO_LOG_RECORD *r, void *arg)
{
    (void) r;
    (void) arg;
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    return 1;
}

START_TEST(a_sink_that_hangs)
{
    pthread_mutex_lock(&gate);
    regist_log_func(hang, NULL);
    lab_start();
    uint64_t began = unit_ms();
    for (int i = 0; i < 5000; i++)
        slog_info(lab_queue, "%d", i);
    ck_assert_ptr_nonnull(create_log_queue());
    ck_assert_uint_lt(unit_ms() - began, 1000 * UNIT_SLOW);
    ck_assert_int_eq(mario_log_flush(50), -1);
    ck_assert_uint_gt(mario_log_dropped(), 0);
    pthread_mutex_unlock(&gate);
    lab_flush();
}
END_TEST

static void count_reopened(LOG_QUEUE *own, void *arg)
{
    ++*(_Atomic unsigned *) arg;
    slog_info(own, "read anew");
}

START_TEST(told_when_the_file_is_opened_again)
{
    _Atomic unsigned times = 0;
    regist_log_reopen_func(count_reopened, &times);
    lab_start();
    lab_flush();
    ck_assert_uint_eq(times, 0);
    log_reopen();
    lab_flush();
    ck_assert_uint_eq(times, 1);
    ck_assert(lab_wait_for(lab_path, "INFO  read anew\n", 2000));
    regist_log_reopen_func(NULL, NULL);
    log_reopen();
    lab_flush();
    ck_assert_uint_eq(times, 1);
}
END_TEST

Suite *log_sinks_suite(void)
{
    Suite *s = suite_create("log_sinks");
    TCase *c = lab_case(s, "records", 10);
    tcase_add_test(c, lines_name_connection_and_peer);
    tcase_add_test(c, json);
    tcase_add_test(c, json_of_a_long_record);
    tcase_add_test(c, nobody_writes_a_line_of_his_own);
    tcase_add_test(c, levels_of_subsystems);
    c = lab_case(s, "folding", 20);
    tcase_add_test(c, a_repeated_line_is_folded);
    tcase_add_test(c, repetition_is_said_in_json);
    tcase_add_test(c, a_repetition_is_said_in_time);
    tcase_add_test(c, what_is_not_a_repetition);
    c = lab_case(s, "own", 10);
    tcase_add_test(c, a_sink_of_ones_own);
    tcase_add_test(c, a_sink_may_log);
    tcase_add_test(c, a_sink_that_hangs);
    tcase_add_test(c, told_when_the_file_is_opened_again);
    return s;
}
