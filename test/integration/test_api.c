/*
 * test_api.c: the public interface from outside: what may be registered when, every way a start can fail, and a
 * hundred rounds of start and stop in one process. The server is in the test's process: the test's main thread is the
 * application.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lines.h"
#include "mario/mario.h"
#include "test/lib/proc.h"

/* ---- A server in this process ---- */

static sint32 echo(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

/* Descriptors of this process. */
static unsigned own_fds(void)
{
    return server_fds(&(struct server){.pid = getpid()});
}

static struct mario_options small_options(void)
{
    struct mario_options o;
    mario_options_init(&o);
    o.listen = "127.0.0.1:0";
    o.workernum = 2;
    o.connnum = 50;
    return o;
}

/* A client's view of a server in this process. */
static struct server as_server(const SERVER *server)
{
    struct server s = {0};
    char port[8];
    snprintf(port, sizeof port, "%u", mario_server_port(server, 0));
    ck_assert(net_resolve("127.0.0.1", port, &s.target) == NULL);
    return s;
}

/* Standard error goes to a file from here on. Returns its descriptor. */
static int listen_to_stderr(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    ck_assert_msg(fd >= 0 && fflush(stderr) == 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO, "%s",
                  strerror(errno));
    return fd;
}

/* What has come since the last call. Static text. */
static const char *heard(int fd)
{
    static char text[4000];
    static off_t seen;
    fflush(stderr);
    ssize_t n = pread(fd, text, sizeof text - 1, seen);
    text[n > 0 ? n : 0] = '\0';
    seen += n;
    return text;
}

static void expect_no_server(int err, SERVER *s, unsigned fds, const char *word)
{
    const char *said = heard(err);
    ck_assert_msg(s == NULL, "'%s': it started", word);
    ck_assert_msg(lines_in(said) == 1 && strstr(said, word) != NULL, "'%s': it says: %s", word, said);
    ck_assert_msg(own_fds() == fds, "'%s': %u descriptors instead of %u", word, own_fds(), fds);
}

/* Goal: init_server with what cannot be: NULL and one line each, no descriptor left; then a good one
 * works. */
START_TEST(init_fails_clearly)
{
    char taken[64];
    int err = listen_to_stderr();
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(fd >= 0 && bind(fd, (struct sockaddr *) &a, len) == 0 && listen(fd, 5) == 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    snprintf(taken, sizeof taken, "127.0.0.1:0,127.0.0.1:%u", ntohs(a.sin_port));
    unsigned fds = own_fds();
    expect_no_server(err, init_server(ntohs(a.sin_port), 1, 10, 10, 10), fds, "in use");
    expect_no_server(err, init_server(-1, 1, 10, 10, 10), fds, "port = -1");
    expect_no_server(err, init_server(65536, 1, 10, 10, 10), fds, "port = 65536");
    expect_no_server(err, init_server(0, 257, 10, 10, 10), fds, "workernum = 257");
    expect_no_server(err, init_server(0, 1, 16777216, 10, 10), fds, "connnum = 16777216");
    expect_no_server(err, init_server(0, 256, 16777215, 10, 10), fds, "too many");
    expect_no_server(err, init_server(0, 1, 10, -1, 10), fds, "timeout");
    expect_no_server(err, init_server(0, 1, 10, 10, -1), fds, "timeout");
    struct mario_options o = small_options();
    o.listen = taken;
    expect_no_server(err, mario_init_server(&o), fds, "in use");
    o = small_options();
    o.output_high = o.output_max + 1;
    expect_no_server(err, mario_init_server(&o), fds, "output_high");
    o = small_options();
    o.max_pkglen = 7;
    expect_no_server(err, mario_init_server(&o), fds, "max_pkglen");
    o = small_options();
    o.listen = NULL;
    expect_no_server(err, mario_init_server(&o), fds, "empty");
    o = small_options();
    o.when_full = (enum mario_when_full) 2;
    expect_no_server(err, mario_init_server(&o), fds, "when_full");
    o = small_options();
    o.death_format = (enum mario_log_format) - 1;
    expect_no_server(err, mario_init_server(&o), fds, "death_format");
    o = small_options();
    o.backlog = 0;
    expect_no_server(err, mario_init_server(&o), fds, "backlog");
    o = small_options();
    SERVER *good = mario_init_server(&o);
    ck_assert(good != NULL);
    fds = own_fds();
    expect_no_server(err, init_server(0, 1, 10, 10, 10), fds, "already");
    mario_free_server(&good);
    ck_assert(good == NULL);
    close(fd);
    close(err);
}
END_TEST

/* The same of lists of addresses. */
START_TEST(bad_lists_fail_clearly)
{
    static const char *const lists[][2] = {{"", "empty"},
                                           {"127.0.0.1", "port"},
                                           {"127.0.0.1:65536", "port"},
                                           {"1.2.3:80", "IPv4"},
                                           {"[::1:80", "]"},
                                           {"[::g]:80", "IPv6"},
                                           {"unix:", "path"},
                                           {"localhost:80", "IPv4"},
                                           {"127.0.0.1:1,", "empty"},
                                           {"127.0.0.1:0 proto=line", "for which function"},
                                           {"127.0.0.1:0 proto=unregistered", "no such framing"},
                                           {"8.8.8.8:0", "8.8.8.8"},
                                           {"127.0.0.1:7,127.0.0.1:7", "twice"}};
    int err = listen_to_stderr();
    unsigned fds = own_fds();
    struct mario_options o = small_options();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        o.listen = lists[i][0];
        expect_no_server(err, mario_init_server(&o), fds, lists[i][1]);
    }
    close(err);
}
END_TEST

/* Goal: connnum beyond the limits is clamped with one line when strict_limits is off; 0 always fits. */
START_TEST(limits_are_clamped)
{
    int err = listen_to_stderr();
    struct mario_options o = small_options();
    o.connnum = 16000000;
    o.strict_limits = 0;
    SERVER *s = mario_init_server(&o);
    const char *said = heard(err);
    ck_assert(s != NULL);
    ck_assert_msg(lines_in(said) == 1 && strstr(said, "clamped") != NULL, "it says: %s", said);
    ck_assert_uint_lt(mario_server_connnum(s), 16000000);
    ck_assert_uint_gt(mario_server_connnum(s), 100);
    mario_free_server(&s);
    o.connnum = 0;
    o.strict_limits = 1;
    s = mario_init_server(&o);
    ck_assert(s != NULL);
    ck_assert_str_eq(heard(err), "");
    ck_assert_uint_ge(mario_server_connnum(s), 100);
    mario_free_server(&s);
    close(err);
}
END_TEST

/* Goal: a listener whose packets are for nobody is found at the start, when all is registered; then it starts. */
START_TEST(ids_that_nobody_answers)
{
    static const char *const lists[][2] = {
        {"127.0.0.1:0, 127.0.0.1:0 proto=line id=0x7abc", "id=0x7abc: no function is registered for it\n"},
        {"127.0.0.1:0 proto=raw id=word", "id=word: no word is registered\n"},
    };
    int err = listen_to_stderr();
    ck_assert_int_eq(start_log_thread(), 0);
    ck_assert_int_eq(mario_log_open("/dev/null"), 0);
    for (int i = 0; i < 2; i++) {
        struct mario_options o = small_options();
        o.listen = lists[i][0];
        SERVER *s = mario_init_server(&o);
        ck_assert(s != NULL);
        ck_assert(start_server(s) != NULL);
        ck_assert_int_eq(mario_server_exit_code(s), 2);
        const char *said = heard(err);
        ck_assert_msg(lines_in(said) == 1 && strstr(said, lists[i][1]) != NULL, "it says: %s", said);
        mario_free_server(&s);
        ck_assert_ptr_null(s);
    }
    close(err);
}
END_TEST

/* Goal: what may be registered, and when: the reserved ids never, nothing while it runs, all again when it
 * has stopped. */
START_TEST(registering)
{
    pthread_t t;
    void *failed;
    int err = listen_to_stderr();
    struct mario_options o = small_options();
    SERVER *s = mario_init_server(&o);
    ck_assert(s != NULL);
    for (uint32_t id = 0xfffc; id <= 0xffff; id++)
        ck_assert_int_eq(regist_akg_func((uint16) id, echo), -1);
    ck_assert_int_eq(regist_akg_func(0, echo), 0);
    ck_assert_int_eq(regist_akg_func(0xfffb, echo), 0);
    ck_assert_int_eq(regist_akg_func(0x6103, echo), 0);
    ck_assert_int_eq(regist_akg_func(0xfffb, NULL), 0);
    ck_assert_int_eq(regist_stx(ITEST_STX), 0);
    ck_assert_int_eq(regist_timer_func(0, NULL, NULL), -1);
    ck_assert_int_eq(start_log_thread(), 0);
    ck_assert_int_eq(mario_log_open("/dev/null"), 0);
    ck_assert_int_eq(pthread_create(&t, NULL, start_server, s), 0);
    struct server client = as_server(s);
    int fd = client_open(&client);
    client_echo(fd, 100);
    ck_assert_int_eq(regist_akg_func(1, echo), -1);
    ck_assert_int_eq(regist_stx(1), -1);
    ck_assert_int_eq(regist_disconnected_func(echo), -1);
    ck_assert_ptr_nonnull(start_server(s)); /* twice */
    ck_assert_uint_eq(lines_in(heard(err)), 1);
    SERVER *running = s;
    mario_free_server(&s); /* refused: it is still the caller's */
    ck_assert_ptr_eq(s, running);
    ck_assert_uint_eq(lines_in(heard(err)), 1);
    client_echo(fd, 0);
    client_send_packet(fd, 0xfffb, NULL, 0); /* taken out again before the start */
    client_expect_fin(fd);
    mario_stop_server(s);
    ck_assert_int_eq(pthread_join(t, &failed), 0);
    ck_assert_ptr_null(failed);
    ck_assert_int_eq(regist_akg_func(1, echo), 0);
    ck_assert_uint_eq(mario_stat(s, "closed_unknown_akg"), 1);
    ck_assert_uint_eq(mario_stat(s, "no such counter"), 0);
    mario_free_server(&s);
    ck_assert_str_eq(heard(err), "");
    close(err);
}
END_TEST

/* Goal: the magic is 0xffffffff when regist_stx was never called. */
START_TEST(default_stx)
{
    pthread_t t;
    unsigned char packet[WIRE_HEAD_LEN], answer[WIRE_HEAD_LEN];
    struct mario_options o = small_options();
    SERVER *s = mario_init_server(&o);
    ck_assert(s != NULL && regist_akg_func(5, echo) == 0);
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    ck_assert_int_eq(pthread_create(&t, NULL, start_server, s), 0);
    struct server client = as_server(s);
    int fd = client_open(&client);
    wire_put_head(packet, (struct wire_head){.stx = DEFAULT_STX, .pkglen = WIRE_HEAD_LEN, .akg_id = 5});
    ck_assert_uint_eq(DEFAULT_STX, 0xffffffff);
    client_send(fd, packet, sizeof packet);
    client_recv(fd, answer, sizeof answer);
    ck_assert_mem_eq(packet, answer, sizeof packet);
    close(fd);
    mario_stop_server(s);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    mario_free_server(&s);
}
END_TEST

/* One life of a server in this process: some clients come and go, some are there when it stops. */
static void round_trip(unsigned n)
{
    pthread_t t;
    void *failed;
    int fd[6];
    struct mario_options o = small_options();
    SERVER *s = mario_init_server(&o);
    ck_assert_msg(s != NULL, "round %u does not start", n);
    ck_assert_int_eq(pthread_create(&t, NULL, start_server, s), 0);
    struct server client = as_server(s);
    for (unsigned i = 0; i < n % 7; i++) {
        fd[i] = client_open(&client);
        client_echo(fd[i], 10 + n);
        if (i % 2 == 0)
            close(fd[i]);
    }
    mario_stop_server(s);
    ck_assert_int_eq(pthread_join(t, &failed), 0);
    ck_assert_msg(failed == NULL, "round %u failed", n);
    for (unsigned i = 1; i < n % 7; i += 2)
        client_expect_fin(fd[i]);
    ck_assert_uint_eq(mario_stat(s, "opened"), n % 7);
    ck_assert_uint_eq(mario_stat(s, "closed"), n % 7);
    mario_free_server(&s);
}

/* Bytes that malloc has given out. */
static size_t allocated(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Goal: a hundred servers one after the other in one process: no descriptor, and no memory, stays behind.
 * A leak shows in each block of rounds; what is allocated once, the first time it is needed, in one. */
START_TEST(hundred_rounds)
{
    enum { WARM = 20, BLOCKS = 4, ROUNDS = 25 };
    bool flat = false;
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    ck_assert(regist_akg_func(0x6103, echo) == 0 && regist_stx(ITEST_STX) == 0);
    for (unsigned i = 0; i < WARM; i++)
        round_trip(i);
    unsigned fds = own_fds();
    uint64_t rss = proc_rss_kb(getpid());
    for (unsigned block = 0; block < BLOCKS; block++) {
        size_t heap = allocated();
        for (unsigned i = 0; i < ROUNDS; i++)
            round_trip(i);
        ck_assert_uint_eq(own_fds(), fds);
        flat = flat || allocated() <= heap;
    }
    if (ITEST_SLOW > 1) {
        TEST_SKIP_PART("memory: a sanitizer keeps what is freed, and looks for leaks itself");
    } else {
        ck_assert_msg(flat, "the heap grew in each block, to %zu bytes", allocated());
        ck_assert_msg(proc_rss_kb(getpid()) <= rss + rss / 20 + 512, "it grew from %llu to %llu KiB",
                      (unsigned long long) rss, (unsigned long long) proc_rss_kb(getpid()));
    }
}
END_TEST

/* Goal: a server that is stopped before it is started, or freed without a start, or stopped twice, does no
 * harm. */
START_TEST(stop_without_start)
{
    int err = listen_to_stderr();
    struct mario_options o = small_options();
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    unsigned fds = own_fds();
    for (int i = 0; i < 10; i++) {
        SERVER *s = mario_init_server(&o);
        ck_assert(s != NULL);
        if (i % 2 == 0) {
            mario_stop_server(s);
            ck_assert_ptr_null(start_server(s)); /* returns at once */
            mario_stop_server(s);
            ck_assert_ptr_nonnull(start_server(s));
        }
        mario_free_server(&s);
    }
    SERVER *none = NULL;
    mario_free_server(&none);
    ck_assert_ptr_nonnull(start_server(NULL));
    ck_assert_uint_eq(own_fds(), fds);
    ck_assert_uint_eq(lines_in(heard(err)), 6); /* one for each start that could not be */
    close(err);
}
END_TEST

/* Goal: the thread that was the master has its scheduling policy back, also one that it had itself. */
START_TEST(the_policy_comes_back)
{
    static const int policies[] = {SCHED_OTHER, SCHED_BATCH};
    struct mario_options o = small_options();
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    for (int i = 0; i < 2; i++) {
        SERVER *s = mario_init_server(&o);
        ck_assert(s != NULL);
        ck_assert(pthread_setschedparam(pthread_self(), policies[i], &(struct sched_param){0}) == 0);
        mario_stop_server(s);
        ck_assert_ptr_null(start_server(s));
        mario_free_server(&s);
        ck_assert_int_eq(sched_getscheduler(0), policies[i]);
    }
}
END_TEST

/* ---- What one server leaves to the next ---- */

static _Atomic unsigned alarms, timer_calls;

static void on_alarm(const struct mario_alarm *a)
{
    alarms += a->kind == MARIO_ALARM_STUCK;
}

static void on_timer(LOG_QUEUE *q, void *arg)
{
    timer_calls += q != NULL && arg == &timer_calls;
}

/* Longer than the watch has patience. */
static sint32 slow(CONN *c)
{
    itest_sleep(300);
    return echo(c);
}

static struct mario_options watched_options(void)
{
    struct mario_options o = small_options();
    o.watch_warn_ms = 50;
    o.watch_replace_ms = 60000;
    return o;
}

/* Make a server and run it until a slow function has been answered. */
static SERVER *run_a_server(void)
{
    pthread_t t;
    struct mario_options o = watched_options();
    SERVER *s = mario_init_server(&o);
    ck_assert(s != NULL);
    ck_assert_int_eq(pthread_create(&t, NULL, start_server, s), 0);
    struct server client = as_server(s);
    int fd = client_open(&client);
    ck_assert_uint_eq(client_ask(fd, 0x6104, NULL, 0, NULL, 0), 0);
    close(fd);
    mario_stop_server(s);
    ck_assert_int_eq(pthread_join(t, NULL), 0);
    return s;
}

static void prepare_to_run(void)
{
    ck_assert(mario_log_open("/dev/null") == 0 && start_log_thread() == 0);
    ck_assert(regist_akg_func(0x6104, slow) == 0 && regist_stx(ITEST_STX) == 0);
    ck_assert(regist_alarm_func(on_alarm) == 0 && regist_timer_func(3600, on_timer, &timer_calls) == 0);
}

/* Goal: an init that fails forgets nothing that was registered: function, magic, alarm, timer. A server that ran leaves
 * all but the timer to the next. */
START_TEST(a_failed_init_forgets_nothing)
{
    int err = listen_to_stderr();
    struct mario_options o = watched_options();
    prepare_to_run();
    o.listen = "8.8.8.8:0";
    unsigned fds = own_fds();
    expect_no_server(err, mario_init_server(&o), fds, "8.8.8.8");
    SERVER *s = run_a_server();
    ck_assert_uint_eq(alarms, 1);
    ck_assert_uint_eq(timer_calls, 1);
    mario_free_server(&s);
    s = run_a_server();
    ck_assert_uint_eq(alarms, 2);
    ck_assert_uint_eq(timer_calls, 1);
    mario_free_server(&s);
    close(err);
}
END_TEST

/* Goal: the timers of a server that never ran go with it, and are not called. */
START_TEST(timers_go_with_their_server)
{
    struct mario_options o = watched_options();
    SERVER *s = mario_init_server(&o);
    ck_assert(s != NULL);
    prepare_to_run();
    mario_free_server(&s);
    s = run_a_server();
    ck_assert_uint_eq(alarms, 1);
    ck_assert_uint_eq(timer_calls, 0);
    mario_free_server(&s);
    for (int i = 0; i < 8; i++) /* there is room for all again */
        ck_assert_int_eq(regist_timer_func(1, on_timer, NULL), 0);
    ck_assert_int_eq(regist_timer_func(1, on_timer, NULL), -1);
}
END_TEST

static _Atomic bool retimed, retiming_ends;

/* Until told to end. Returns what the last one said. */
static void *retime_again_and_again(void *server)
{
    sint32 is;
    bool last;
    do {
        last = retiming_ends;
        is = mario_retime_func(server, 3600, on_timer, &timer_calls);
        retimed = retimed || is == 0;
    } while (!last);
    return (void *) (intptr_t) is;
}

/* Goal: a thread gives a timer another time, again and again, while the server starts, runs and stops, and while the
 * next one's are registered: it may until the server is freed. */
START_TEST(timers_are_retimed_at_any_time)
{
    pthread_t server, other;
    void *last;
    struct mario_options o = small_options();
    SERVER *s = mario_init_server(&o);
    ck_assert(s != NULL);
    ck_assert_int_eq(pthread_create(&other, NULL, retime_again_and_again, s), 0);
    prepare_to_run();
    ck_assert_int_eq(pthread_create(&server, NULL, start_server, s), 0);
    struct server client = as_server(s);
    int fd = client_open(&client);
    ck_assert_uint_eq(client_ask(fd, 0x6104, NULL, 0, NULL, 0), 0);
    close(fd);
    ck_assert(retimed);
    mario_stop_server(s);
    ck_assert_int_eq(pthread_join(server, NULL), 0);
    ck_assert_uint_eq(timer_calls, 1);
    ck_assert_int_eq(regist_timer_func(1, on_timer, NULL), 0);
    retiming_ends = true;
    ck_assert_int_eq(pthread_join(other, &last), 0);
    ck_assert_int_eq((int) (intptr_t) last, -1);
    mario_free_server(&s);
}
END_TEST

/* Goal: a server that has stopped is there until it is freed, whatever servers come after it: its counters are its own,
 * a late stop does nothing, and it is freed in any order. */
START_TEST(stopped_servers_stay)
{
    SERVER *all[3];
    struct mario_options o = watched_options();
    prepare_to_run();
    unsigned fds = own_fds();
    for (int i = 0; i < 3; i++) {
        all[i] = run_a_server();
        for (int k = 0; k <= i; k++) {
            ck_assert_uint_eq(mario_stat(all[k], "packets_in"), 1);
            ck_assert_int_eq(mario_server_exit_code(all[k]), 0);
            ck_assert_uint_ne(mario_server_port(all[k], 0), 0);
            mario_stop_server(all[k]);
        }
    }
    mario_free_server(&all[1]);
    SERVER *s = mario_init_server(&o);
    ck_assert(s != NULL);
    mario_stop_server(all[0]);
    ck_assert_uint_eq(mario_stat(all[2], "closed"), 1);
    ck_assert_ptr_nonnull(start_server(all[2]));
    mario_free_server(&all[2]);
    ck_assert_uint_eq(mario_stat(s, "packets_in"), 0);
    mario_free_server(&s);
    ck_assert_uint_eq(mario_stat(all[0], "packets_in"), 1);
    mario_free_server(&all[0]);
    ck_assert_uint_eq(own_fds(), fds);
}
END_TEST

Suite *api_suite(void)
{
    Suite *s = suite_create("api");
    TCase *c = itest_case(s, "in process", 30);
    tcase_add_test(c, init_fails_clearly);
    tcase_add_test(c, bad_lists_fail_clearly);
    tcase_add_test(c, limits_are_clamped);
    tcase_add_test(c, ids_that_nobody_answers);
    tcase_add_test(c, registering);
    tcase_add_test(c, default_stx);
    tcase_add_test(c, hundred_rounds);
    tcase_add_test(c, stop_without_start);
    tcase_add_test(c, the_policy_comes_back);
    tcase_add_test(c, a_failed_init_forgets_nothing);
    tcase_add_test(c, timers_go_with_their_server);
    tcase_add_test(c, timers_are_retimed_at_any_time);
    tcase_add_test(c, stopped_servers_stay);
    return s;
}
