/*
 * test_metrics.c: the numbers that a server exports, against the book that its clients keep; slow calls, also those
 * that never return; what waits in the kernel and in the server.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "offloaded.h"
#include "operator.h"
#include "preloads.h"
#include "program.h"
#include "scrape.h"
#include "test_ledger.h"

#define SLOW_MS (150u * ITEST_SLOW) /* so that who does not get its core for a while is not slow */

/* Take scrapes until this key is `wanted`; the last one is in *s. */
static void await(struct scrape *s, const char *key, double wanted)
{
    uint64_t deadline = itest_deadline(8000);
    for (;;) {
        scrape_take(s);
        double is = scrape_value(s, key);
        if (is == wanted)
            return;
        ck_assert_msg(mono_ns() < deadline, "%s is %f, not %f", key, is, wanted);
        scrape_free(s);
    }
}

/* A line whose value must be this. */
static void expect(const struct scrape *s, const char *key, double wanted)
{
    double is = scrape_value(s, key);
    ck_assert_msg(is == wanted, "%s is %f, not %f", key, is, wanted);
}

/* Counters that the test has not named are 0, but those that its numbers do not decide. */
static void expect_nothing_else(const struct scrape *s, const char *const named[])
{
    static const char *const free_ones[] = {"linger",        "loop_busy",     "admin_",
                                            "function_slow", "accept_pauses", NULL};
    for (size_t i = 0; i < s->count; i++) {
        const char *key = s->all[i].key + strlen("mario_");
        bool known = strstr(key, "_total") == NULL;
        for (size_t k = 0; named[k] != NULL; k++)
            known = known || strcmp(named[k], key) == 0;
        for (size_t k = 0; free_ones[k] != NULL; k++)
            known = known || strncmp(free_ones[k], key, strlen(free_ones[k])) == 0;
        ITEST_ASSERT(known || s->all[i].value == 0, "%s is %f", key, s->all[i].value);
    }
}

/* ---- The book ---- */

enum { CLIENTS = 20, ASKED = 50, DATA = 100, FAIL = 5, BAD = 2, LEAVE = 4 };

/* The labels of a function, as the server says them: its name depends on how the program was linked. */
static const char *of(const struct scrape *s, const char *metric, unsigned id)
{
    static char keys[8][256];
    static unsigned next;
    char begin[128], *key = keys[next++ % 8];
    snprintf(begin, sizeof begin, "%s{akg=\"0x%04x\",", metric, id);
    for (size_t i = 0; i < s->count; i++) {
        if (strncmp(s->all[i].key + strlen("mario_"), begin, strlen(begin)) == 0) {
            snprintf(key, sizeof keys[0], "%s", s->all[i].key + strlen("mario_"));
            return key;
        }
    }
    ck_abort_msg("there is no %s", begin);
}

static void use_it(const struct server *s, int fds[CLIENTS])
{
    const int32_t fails = 7;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(s);
        for (int k = 0; k < ASKED; k++)
            client_echo(fds[i], DATA);
    }
    for (int i = 0; i < FAIL; i++) {
        client_send_packet(fds[i], TEST_RETURN, &fails, sizeof fails);
        ck_assert_int_eq(client_ending(fds[i], NULL, 5000), END_FIN);
        close(fds[i]);
    }
    for (int i = FAIL; i < FAIL + BAD; i++) {
        client_send(fds[i], "nonsense", 8);
        ck_assert_int_ne(client_ending(fds[i], NULL, 5000), END_OPEN);
        close(fds[i]);
    }
    for (int i = FAIL + BAD; i < FAIL + BAD + LEAVE; i++)
        close(fds[i]);
}

/* Goal: each number is what the clients know of it, and no other counter has moved. */
START_TEST(the_book)
{
    const double packet = 8 + DATA, failing = 8 + sizeof(int32_t);
    struct server s;
    struct scrape m;
    int fds[CLIENTS];
    server_start(&s, "testapp", operator_option(), "server.workernum=2", "server.connnum=100",
                 "stats.timing=all", NULL);
    use_it(&s, fds);
    await(&m, "connections_closed_total{reason=\"peer_closed\"}", LEAVE);
    const char *const calls = of(&m, "function_calls_total", TEST_ECHO);
    const char *const failed = of(&m, "function_calls_total", TEST_RETURN);
    const char *const errors = of(&m, "function_errors_total", TEST_RETURN);
    const char *const named[] = {"accepts_total",
                                 "connections_opened_total",
                                 "connections_closed_total{reason=\"peer_closed\"}",
                                 "connections_closed_total{reason=\"function_error\"}",
                                 "connections_closed_total{reason=\"bad_stx\"}",
                                 "packets_received_total",
                                 "received_bytes_total",
                                 "sent_bytes_total",
                                 calls,
                                 failed,
                                 errors,
                                 NULL};
    expect(&m, named[0], CLIENTS);
    expect(&m, named[1], CLIENTS);
    expect(&m, named[3], FAIL);
    expect(&m, named[4], BAD);
    expect(&m, named[5], CLIENTS * ASKED + FAIL);
    expect(&m, named[6], CLIENTS * ASKED * packet + FAIL * failing + BAD * 8);
    expect(&m, named[7], CLIENTS * ASKED * packet + FAIL * failing);
    expect(&m, calls, CLIENTS * ASKED);
    expect(&m, failed, FAIL);
    expect(&m, errors, FAIL);
    expect(&m, of(&m, "function_duration_seconds_count", TEST_ECHO), CLIENTS * ASKED);
    expect(&m, of(&m, "function_duration_seconds_count", TEST_RETURN), FAIL);
    ck_assert(scrape_value(&m, of(&m, "function_duration_seconds_sum", TEST_ECHO)) > 0);
    ck_assert_double_eq(scrape_sum(&m, "connections", "state=\"open\""), CLIENTS - FAIL - BAD - LEAVE);
    expect(&m, "connections{worker=\"0\",state=\"draining\"}", 0);
    expect(&m, "connections_limit", 200);
    expect(&m, "config_last_reload_successful", 1);
    ck_assert(scrape_sum(&m, "loop_busy_seconds_total", "") > 0);
    /* Hooks are functions, too: testapp's are counted by itself. */
    ck_assert_double_eq(scrape_sum(&m, "function_calls_total", "akg=\"connected\""), CLIENTS);
    ck_assert_double_eq(scrape_sum(&m, "function_calls_total", "akg=\"closed\"") +
                            scrape_sum(&m, "function_calls_total", "akg=\"error\""),
                        FAIL + BAD + LEAVE);
    for (size_t i = 0; i < m.count; i++) {
        if (strncmp(m.all[i].key, "mario_function_calls_total{akg=\"", 32) == 0 && m.all[i].key[32] != '0')
            m.all[i].value = 0; /* looked at above */
    }
    expect_nothing_else(&m, named);
    scrape_free(&m);
    for (int i = FAIL + BAD + LEAVE; i < CLIENTS; i++)
        close(fds[i]);
    server_finish(&s);
}
END_TEST

/* Goal: promtool finds nothing to say, whatever has happened before. */
START_TEST(promtool_agrees)
{
    struct server s;
    int fds[CLIENTS];
    char path[256], command[900];
    if (system("command -v promtool >/dev/null 2>&1") != 0)
        TEST_SKIP("there is no promtool (package prometheus)");
    START(&s, operator_option(), "server.workernum=2");
    use_it(&s, fds);
    char *answer = scrape_get("/metrics");
    snprintf(path, sizeof path, "%s/metrics", s.dir);
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL && fputs(strstr(answer, "\r\n\r\n") + 4, f) >= 0 && fclose(f) == 0);
    snprintf(command, sizeof command, "promtool check metrics <%s >%s.said 2>&1 && [ ! -s %s.said ]", path,
             path, path);
    ck_assert_msg(system(command) == 0, "promtool check metrics <%s", path);
    free(answer);
    for (int i = FAIL + BAD + LEAVE; i < CLIENTS; i++)
        close(fds[i]);
    server_finish(&s);
}
END_TEST

/* The names of mario_... in a file are all in the text. */
static void expect_names(const char *text, const char *file)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", itest_root(), file);
    char *all = program_slurp(path);
    unsigned n = 0;
    for (const char *at = all; (at = strstr(at, "mario_")) != NULL; n++) {
        char name[96];
        size_t len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789_");
        snprintf(name, sizeof name, "%.*s", (int) len, at);
        const char *found = text;
        do {
            found = strstr(found, name);
            ITEST_ASSERT(found != NULL, "%s: %s is not exported", file, name);
            found += len;
        } while (*found != '{' && *found != ' ');
        at += len;
    }
    ck_assert_msg(n > 10, "%s cannot be read", path);
    free(all);
}

/* Goal: what the dashboard shows and alerts watch is what is exported. */
START_TEST(dashboards_agree)
{
    struct server s;
    START(&s, operator_option());
    char *text = scrape_get("/metrics");
    expect_names(text, "contrib/prometheus/alerts.yml");
    expect_names(text, "contrib/grafana/mariotcp.json");
    free(text);
    server_finish(&s);
}
END_TEST

/* ---- Sampling ---- */

/* Goal: off: calls are counted, nothing is timed. Sampled: about one wake-up in sixteen, and all that is
 * offloaded or a hook. */
START_TEST(sampled_and_off)
{
    static const char *const modes[] = {"stats.timing=off", "stats.timing=sampled"};
    enum { WAKE_UPS = 4000 };
    struct server s;
    struct scrape m;
    START(&s, operator_option(), "server.workernum=1", modes[_i], "slow.ms=1");
    int fd = client_open(&s);
    for (int i = 0; i < WAKE_UPS; i++)
        client_echo(fd, 10);
    for (uint32_t i = 0; i < 20; i++) {
        send_number(fd, AWAY(TEST_ECHO), i);
        ck_assert_uint_eq(recv_number(fd, AWAY(TEST_ECHO)), i);
    }
    send_number(fd, TEST_SLEEP, 2);
    recv_number(fd, TEST_SLEEP);
    send_number(fd, AWAY(TEST_RETURN), 7); /* fails */
    recv_number(fd, AWAY(TEST_RETURN));
    client_expect_fin(fd);
    await(&m, "connections_closed_total{reason=\"function_error\"}", 1);
    expect(&m, of(&m, "function_errors_total", AWAY(TEST_RETURN)), 1);
    double timed = scrape_value(&m, of(&m, "function_duration_seconds_count", TEST_ECHO));
    expect(&m, of(&m, "function_calls_total", TEST_ECHO), WAKE_UPS);
    if (_i == 0) {
        ck_assert_double_eq(timed, 0);
        ck_assert_double_eq(scrape_sum(&m, "function_duration_seconds_count", ""), 0);
        ck_assert_double_eq(scrape_sum(&m, "loop_busy_seconds_total", ""), 0);
        expect(&m, "function_slow_total", 0);
    } else {
        expect(&m, of(&m, "function_duration_seconds_count", AWAY(TEST_ECHO)), 20);
        ck_assert_double_eq(scrape_sum(&m, "function_duration_seconds_count", "akg=\"connected\""), 1);
        ck_assert_msg(timed > WAKE_UPS / 24 && timed < WAKE_UPS / 11, "%f of %d", timed, WAKE_UPS);
        ck_assert(scrape_sum(&m, "loop_busy_seconds_total", "") > 0);
        scrape_free(&m);
        operator_await("0x7006", BACK_MS, "slow"); /* noted right behind the answer */
        scrape_take(&m);
        ck_assert(scrape_value(&m, "function_slow_total") >= 1);
    }
    scrape_free(&m);
    server_finish(&s);
}
END_TEST

/* Goal: stats.timing and slow.ms are what they are set to while it runs. */
START_TEST(set_while_it_runs)
{
    struct server s;
    struct scrape m;
    server_start(&s, "maritcp", operator_option(), "server.workernum=1", "stats.timing=off", "slow.ms=0",
                 NULL);
    int fd = client_open(&s);
    client_echo(fd, 10);
    scrape_take(&m);
    expect(&m, of(&m, "function_duration_seconds_count", TEST_ECHO), 0);
    scrape_free(&m);
    operator_json("config set stats.timing=all");
    uint64_t deadline = itest_deadline(BACK_MS);
    for (double timed = 0; timed == 0; scrape_free(&m)) { /* from its next pass on */
        ck_assert(mono_ns() < deadline);
        client_echo(fd, 10);
        scrape_take(&m);
        timed = scrape_value(&m, of(&m, "function_duration_seconds_count", TEST_ECHO));
    }
    operator_json("config set stats.timing=off");
    operator_refused(1, "stats.timing", "config set stats.timing=some");
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Slow calls ---- */

/* The entry of this function in the answer of `slow`; NULL if there is none. */
static const char *slow_entry(const char *list, unsigned id)
{
    char mark[64];
    snprintf(mark, sizeof mark, "\"function\": \"0x%04x\"", id);
    const char *at = strstr(list, mark);
    while (at != NULL && at > list && *at != '{')
        at--;
    return at;
}

/* "127.0.0.1:port" of this end, and "worker.slot." as ids begin. */
static void know(int fd, char *peer, size_t size, char *id, size_t id_size)
{
    struct sockaddr_in here;
    socklen_t len = sizeof here;
    struct test_who who = who_of(fd);
    ck_assert(getsockname(fd, (struct sockaddr *) &here, &len) == 0);
    snprintf(peer, size, "127.0.0.1:%u", ntohs(here.sin_port));
    snprintf(id, id_size, "%u.%u.", who.worker, who.ind);
}

static void expect_slow(const char *list, unsigned id, int fd, unsigned ms, unsigned packets)
{
    char peer[64], begin[32];
    const char *e = slow_entry(list, id);
    ck_assert_msg(e != NULL, "0x%04x is not there: %s", id, list);
    know(fd, peer, sizeof peer, begin, sizeof begin);
    ck_assert_str_eq(operator_text(e, "peer"), peer);
    ck_assert_msg(strncmp(operator_text(e, "connection"), begin, strlen(begin)) == 0, "%s", e);
    ck_assert_msg(operator_number(e, "seconds") >= ms / 1000.0 && operator_number(e, "seconds") < 30, "%s",
                  e);
    ck_assert_msg(operator_number(e, "packets") >= 1 && operator_number(e, "packets") <= packets, "%s", e);
    double ago = (double) time(NULL) - operator_number(e, "at");
    ck_assert_msg(ago > -2 && ago < 60, "%f s ago: %s", ago, e);
}

/* Goal: a call that takes too long is counted and shown: which, whose, how long, when; inline, offloaded, and in the
 * middle of others that came with it. One that does not is not. */
START_TEST(slow_calls)
{
    unsigned char many[16 * 64];
    struct server s;
    char limit[32];
    snprintf(limit, sizeof limit, "slow.ms=%u", SLOW_MS);
    START(&s, operator_option(), "server.workernum=2", limit);
    int inl = client_open(&s), away = client_open(&s), piped = client_open(&s);
    send_number(inl, TEST_SLEEP, 10);
    recv_number(inl, TEST_SLEEP);
    ck_assert_ptr_null(slow_entry(operator_json("slow"), TEST_SLEEP));
    send_number(inl, TEST_SLEEP, SLOW_MS + 20);
    recv_number(inl, TEST_SLEEP);
    operator_await("0x7006", BACK_MS, "slow"); /* noted right behind the answer */
    expect_slow(operator_json("slow"), TEST_SLEEP, inl, SLOW_MS + 20, 1);
    send_number(away, AWAY(TEST_SLEEP), SLOW_MS + 20);
    recv_number(away, AWAY(TEST_SLEEP));
    operator_await("0x7106", BACK_MS, "slow");
    const char *list = operator_json("slow 5");
    expect_slow(list, AWAY(TEST_SLEEP), away, SLOW_MS + 20, 1);
    ck_assert_msg(slow_entry(list, AWAY(TEST_SLEEP)) < slow_entry(list, TEST_SLEEP), "the last one first: %s",
                  list);
    ck_assert_ptr_null(slow_entry(operator_json("slow 1"), TEST_SLEEP));
    ck_assert(server_counter(&s, "function_slow") >= 2);
    operator_json("slow reset");
    ck_assert_ptr_null(slow_entry(operator_json("slow"), TEST_SLEEP));
    size_t n = 0;
    uint32_t ms = SLOW_MS + 20;
    for (int i = 0; i < 8; i++)
        n += client_packet(many + n, i == 5 ? TEST_SLEEP : TEST_ECHO, &ms, sizeof ms);
    client_send(piped, many, n);
    for (int i = 0; i < 8; i++)
        recv_number(piped, i == 5 ? TEST_SLEEP : TEST_ECHO);
    operator_await("\"function\"", BACK_MS, "slow");
    list = operator_json("slow");
    expect_slow(list, slow_entry(list, TEST_SLEEP) != NULL ? TEST_SLEEP : TEST_ECHO, piped, SLOW_MS + 20, 8);
    operator_refused(2, "N", "slow 0");
    operator_refused(2, "N", "slow 1025");
    operator_refused(2, "nonsense", "slow nonsense");
    close(inl);
    close(away);
    close(piped);
    server_finish(&s);
}
END_TEST

/* Goal: a call that never returns is seen while it runs, by the time that its worker is busy and late; it counts when
 * another thread takes the worker over; and what had been counted before is there when the old thread has gone. */
START_TEST(one_that_does_not_return)
{
    struct server s;
    struct scrape m;
    watch_start(&s, operator_option(), "stats.timing=all");
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0), more = open_at_worker(&s, 0);
    for (int i = 0; i < 100; i++)
        client_echo(more, 10);
    stick(fd);
    uint64_t began = mono_ns(), deadline = itest_deadline(BACK_MS);
    double lag = 0;
    for (; lag < 0.15 * ITEST_SLOW; scrape_free(&m)) {
        ck_assert_msg(mono_ns() < deadline, "it is only %f late", lag);
        scrape_take(&m);
        lag = scrape_value(&m, "loop_lag_seconds{worker=\"0\"}");
        ck_assert_double_le(lag, (double) (mono_ns() - began) / 1e9 + 1);
    }
    wait_counter(other, "watch_replaced", 1);
    const char *e = slow_entry(operator_json("slow"), TEST_STICK);
    ck_assert_msg(e != NULL && strncmp(strstr(e, "\"returned\": "), "\"returned\": false", 17) == 0, "%s", e);
    ck_assert_double_ge(operator_number(e, "seconds"), REPLACE_MS / 1000.0);
    for (int round = 0; round < 2; round++) {
        scrape_take(&m);
        expect(&m, of(&m, "function_errors_total", TEST_STICK), 1);
        expect(&m, of(&m, "function_duration_seconds_count", TEST_STICK), 1);
        ck_assert_double_ge(scrape_value(&m, of(&m, "function_duration_seconds_sum", TEST_STICK)),
                            REPLACE_MS / 1000.0);
        expect(&m, of(&m, "function_calls_total", TEST_ECHO), 100);
        expect(&m, of(&m, "function_duration_seconds_count", TEST_ECHO), 100);
        scrape_free(&m);
        if (round == 0)
            unstick(other);
        wait_counter(other, "watch_buried", round == 0);
    }
    client_expect_fin(fd);
    close(other);
    close(more);
    server_finish(&s);
}
END_TEST

/* ---- What waits ---- */

/* Goal: who is connected and was not accepted is counted, as the kernel knows it. */
START_TEST(the_backlog)
{
    enum { WAIT = 7 };
    struct server s;
    struct scrape m;
    int fds[1 + WAIT];
    server_start(&s, "testapp", operator_option(), "server.workernum=1", "server.connnum=1",
                 "server.when_full=wait", NULL);
    for (int i = 0; i < 1 + WAIT; i++) {
        fds[i] = client_open(&s);
        if (i == 0)
            client_echo(fds[0], 10);
    }
    await(&m, "accept_queue{listener=\"0\"}", WAIT);
    expect(&m, "accepts_total", 1);
    scrape_free(&m);
    for (int i = 0; i < 1 + WAIT; i++)
        close(fds[i]);
    await(&m, "accept_queue{listener=\"0\"}", 0);
    scrape_free(&m);
    server_finish(&s);
}
END_TEST

/* Goal: an accept that fails is counted under its error, another one beside it. */
START_TEST(accept_errors)
{
    char env[PRELOAD_ENV];
    struct inject_board *board = preload_inject(env);
    const char *const envs[] = {env, NULL};
    const char *const args[] = {operator_option(), "server.workernum=1", NULL};
    struct server s;
    struct scrape m;
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .preload = "inject", .env = envs});
    inject_next(board, INJECT_accept4, ENFILE, 1);
    int fd = client_open(&s);
    client_echo(fd, 10);
    inject_next(board, INJECT_accept4, EPROTO, 1);
    int more = client_open(&s);
    client_echo(more, 10);
    scrape_take(&m);
    expect(&m, "accept_errors_total{errno=\"ENFILE\"}", 1);
    expect(&m, "accept_errors_total{errno=\"other\"}", 1);
    ck_assert_double_eq(scrape_sum(&m, "accept_errors_total", ""), 2);
    scrape_free(&m);
    close(fd);
    close(more);
    server_finish(&s);
}
END_TEST

/* Goal: bytes that a client does not take are counted while they wait, and no longer. */
START_TEST(output_that_waits)
{
    struct server s;
    struct scrape m;
    uint64_t deadline = itest_deadline(BACK_MS);
    double waits = 0;
    server_start(&s, "testapp", operator_option(), "server.workernum=1", NULL);
    int fd = client_open_narrow(&s);
    uint32_t n = 3 << 20;
    client_send_packet(fd, TEST_REPLY, &n, sizeof n);
    for (; waits == 0; scrape_free(&m)) {
        ck_assert_msg(mono_ns() < deadline, "nothing waits");
        scrape_take(&m);
        waits = scrape_value(&m, "output_pending_bytes");
    }
    ck_assert_double_le(waits, n);
    for (size_t got = 0; got < n;) {
        char some[65536];
        size_t part = n - got < sizeof some ? n - got : sizeof some;
        client_recv(fd, some, part);
        got += part;
    }
    await(&m, "output_pending_bytes", 0);
    expect(&m, "sent_bytes_total", n);
    scrape_free(&m);
    close(fd);
    server_finish(&s);
}
END_TEST

static _Atomic bool ledger_is_done;

static void *run_ledger(void *l)
{
    ledger_run(l, 15000);
    atomic_store(&ledger_is_done, true);
    return NULL;
}

/* Goal: asked all the time, under load, while functions end their threads: counters never go back, all is answered. */
START_TEST(under_load)
{
    static const char *const keys[] = {"packets_received_total", "received_bytes_total", "accepts_total"};
    struct server s;
    struct scrape m;
    double last[3] = {0}, calls = 0;
    const uint32_t each = 20000 / ITEST_SLOW;
    pthread_t runner;
    watch_start(&s, operator_option(), "stats.timing=all");
    struct ledger *l = ledger_create(&s.target, 50, 100);
    ck_assert(l != NULL && ledger_connect(l, 10000));
    ledger_ask(l, each, 16);
    ck_assert(pthread_create(&runner, NULL, run_ledger, l) == 0);
    for (int i = 0; !atomic_load(&ledger_is_done); i++) {
        if (i < 5) { /* the thread ends, another one takes its place */
            int fd = client_open(&s);
            send_number(fd, TEST_END_THREAD, TEST_IN_FUNCTION);
            close(fd);
        }
        scrape_take(&m);
        for (int k = 0; k < 3; k++) {
            ITEST_ASSERT(scrape_value(&m, keys[k]) >= last[k], "%s goes back", keys[k]);
            last[k] = scrape_value(&m, keys[k]);
        }
        double now = scrape_value(&m, of(&m, "function_calls_total", TEST_ECHO));
        ITEST_ASSERT(now >= calls, "calls go back, from %f to %f", calls, now);
        calls = now;
        scrape_free(&m);
    }
    pthread_join(runner, NULL);
    ck_assert_uint_eq(l->answered, 50 * each);
    scrape_take(&m);
    expect(&m, of(&m, "function_calls_total", TEST_ECHO), 50 * each);
    scrape_free(&m);
    ledger_destroy(&l);
    server_finish(&s);
}
END_TEST

/* Goal: who has no TLS sees nothing of it. */
START_TEST(no_certificates)
{
    struct server s;
    struct scrape m;
    server_start(&s, "maritcp", operator_option(), NULL);
    ck_assert_uint_eq(operator_count(operator_json("tls"), "\"name\""), 0);
    scrape_take(&m);
    ck_assert(scrape_sum(&m, "tls_certificate_expiry_seconds", "") < 0.5);
    scrape_free(&m);
    server_finish(&s);
}
END_TEST

Suite *metrics_suite(void)
{
    Suite *s = suite_create("metrics");
    TCase *c = itest_case(s, "metrics", 20);
    tcase_add_test(c, the_book);
    tcase_add_test(c, promtool_agrees);
    tcase_add_test(c, dashboards_agree);
    tcase_add_loop_test(c, sampled_and_off, 0, 2);
    tcase_add_test(c, set_while_it_runs);
    tcase_add_test(c, slow_calls);
    tcase_add_test(c, one_that_does_not_return);
    tcase_add_test(c, the_backlog);
    tcase_add_test(c, accept_errors);
    tcase_add_test(c, output_that_waits);
    tcase_add_test(c, under_load);
    tcase_add_test(c, no_certificates);
    suite_add_tcase(s, c);
    return s;
}
