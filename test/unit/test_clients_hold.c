/*
 * test_clients_hold.c: the modes of mario_load, above all hold, and what it is built of. That it says all is
 * well counts only if it finds each kind of fault: so it is run against a small server, a process of its own,
 * that misbehaves as it is told. Run by the unit test runner.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad_server.h"
#include "clients.h"
#include "newest_server.h"
#include "protocol/mario_protocol.h"
#include "test/lib/clock.h"
#include "test/lib/exchange.h"
#include "test/lib/hist.h"
#include "test/lib/net.h"
#include "test/lib/pace.h"
#include "test/lib/proc.h"
#include "test/lib/wire.h"

/* ---- What it is built of ---- */

/* Goal: the one right reply is what the judge takes, and the first wrong byte names its kind. */
START_TEST(exchange_compares)
{
    const struct exchange kinds[] = {exchange_login(MARITCP_STX, 7), exchange_hello(MARITCP_STX, 3),
                                     exchange_echo(MARITCP_STX, 40)};
    unsigned char right[64], in[64];
    enum fault fault;
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const struct exchange *x = &kinds[k];
        exchange_reply(x, 5, 6, right);
        ck_assert_int_eq(exchange_judge(x, 5, 6, right, x->reply_len, &fault), x->reply_len);
        for (size_t at = 0; at < x->reply_len; at++) {
            static const enum fault of[] = {FAULT_BAD_STX,    FAULT_BAD_STX,    FAULT_BAD_STX, FAULT_BAD_STX,
                                            FAULT_BAD_LENGTH, FAULT_BAD_LENGTH, FAULT_BAD_AKG, FAULT_BAD_AKG};
            memcpy(in, right, sizeof in);
            ck_assert_int_eq(exchange_compare(right, in + at, at, x->reply_len - at), FAULT_NONE);
            in[at] ^= 0x40;
            ck_assert_int_eq(exchange_compare(right, in, 0, x->reply_len),
                             at < 8 ? of[at] : FAULT_BAD_CONTENT);
            ck_assert_int_eq(exchange_compare(right, in, 0, at), FAULT_NONE);
        }
    }
}
END_TEST

/* Goal: at any rate, as many fall due as belong to the time, evenly, and none is counted twice. */
START_TEST(pace_counts)
{
    static const double rates[] = {0.5, 1, 3, 1000, 33333, 1e6};
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct pace p = pace_make(1000, rates[i]);
        uint64_t seconds = rates[i] < 1000 ? 10 : 1, end = 1000 + seconds * NS_PER_S, last = 0;
        uint64_t all = (uint64_t) ((double) seconds * rates[i]);
        ck_assert_uint_eq(pace_due(&p), 1000);
        ck_assert_uint_eq(pace_behind(&p, 1000), 0);
        ck_assert_uint_ge(pace_behind(&p, end) + 1, all);
        ck_assert_uint_le(pace_behind(&p, end), all + 1);
        while (pace_due(&p) < end) {
            UNIT_ASSERT(pace_due(&p) >= last);
            last = pace_due(&p);
            p.done++;
        }
        ck_assert_uint_ge(p.done + 1, all);
        ck_assert_uint_le(p.done, all + 1);
        ck_assert_uint_eq(pace_behind(&p, end), 0);
    }
    struct pace never = pace_make(1, 0);
    ck_assert_uint_eq(pace_due(&never), UINT64_MAX);
    ck_assert_uint_eq(pace_behind(&never, UINT64_MAX), 0);
}
END_TEST

/* Goal: lists of ports are taken whole, or refused with a reason. */
START_TEST(net_takes_port_lists)
{
    static const char *const bad[] = {",",   "1,",      "1,,2", "1-",   "-1",           "2-1",       "1-2-3",
                                      "0-1", "1-65536", "1,x",  "1 ,2", "1-65,100-165", "9000-9064", ""};
    static struct net_targets ts;
    ck_assert_ptr_null(net_resolve_ports("127.0.0.1", "9000,9002-9004", &ts));
    ck_assert_uint_eq(ts.count, 4);
    ck_assert_str_eq(ts.name, "127.0.0.1 ports 9000,9002-9004");
    static const uint16_t ports[] = {9000, 9002, 9003, 9004};
    for (uint32_t i = 0; i < ts.count; i++)
        ck_assert_uint_eq(ntohs(((struct sockaddr_in *) (void *) &ts.each[i].addr)->sin_port), ports[i]);
    ck_assert_ptr_null(net_resolve_ports("127.0.0.1", "9000-9063", &ts));
    ck_assert_uint_eq(ts.count, NET_TARGETS_MAX);
    ck_assert_ptr_null(net_resolve_ports("::1", "80", &ts));
    ck_assert_str_eq(ts.name, "[::1] port 80");
    ck_assert_ptr_null(net_resolve_ports("unix:/x", NULL, &ts));
    ck_assert_uint_eq(net_capacity(&ts), UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(net_resolve_ports("127.0.0.1", bad[i], &ts) != NULL, "'%s'", bad[i]);
}
END_TEST

/* Goal: lists of servers likewise. */
START_TEST(net_takes_server_lists)
{
    static const char *const bad[] = {"",   "127.0.0.1", "127.0.0.1:1,", ",127.0.0.1:1", "127.0.0.1:0",
                                      ":1", "unix:"};
    static struct net_targets ts;
    ck_assert_ptr_null(net_resolve_nodes("127.0.0.1:9000,[::1]:9001,unix:/x", &ts));
    ck_assert_uint_eq(ts.count, 3);
    ck_assert(ts.nodes);
    ck_assert_str_eq(ts.each[0].name, "127.0.0.1 port 9000");
    ck_assert_str_eq(ts.each[1].name, "[::1] port 9001");
    ck_assert_str_eq(ts.each[2].name, "unix:/x");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(net_resolve_nodes(bad[i], &ts) != NULL, "'%s'", bad[i]);
}
END_TEST

/* Goal: there is room for a million from one machine to itself, and each further port adds as much again. */
START_TEST(net_counts_ports)
{
    static struct net_targets one, two, far;
    ck_assert_ptr_null(net_resolve_ports("127.0.0.1", "9000", &one));
    ck_assert_ptr_null(net_resolve_ports("127.0.0.1", "9000,9001", &two));
    ck_assert_ptr_null(net_resolve_ports("192.0.2.1", "9000", &far));
    ck_assert_uint_eq(net_capacity(&two), 2 * net_capacity(&one));
    ck_assert_uint_eq(net_capacity(&one), 100 * net_capacity(&far));
    ck_assert_uint_ge(net_capacity(&far), 1);
    ck_assert_uint_le(net_capacity(&far), 65536);
}
END_TEST

/* Goal: the file to plot holds every time, in order, and ends at 100. */
START_TEST(hist_is_written)
{
    static struct hist h;
    char *text = NULL;
    size_t size = 0;
    uint64_t state = 5, count = 0;
    hist_clear(&h);
    for (int i = 0; i < 1000; i++)
        hist_add(&h, unit_random(&state) >> (34 + i % 20), 1 + (uint64_t) i % 3);
    FILE *f = open_memstream(&text, &size);
    hist_write(&h, f);
    fclose(f);
    double value, percentile = 0, last_value = -1, last = 0;
    uint64_t n;
    const char *line = strchr(text, '\n') + 1;
    ck_assert(text[0] == '#');
    for (; sscanf(line, "%lf %lf %" SCNu64, &value, &percentile, &n) == 3; line = strchr(line, '\n') + 1) {
        ck_assert_double_gt(value, last_value);
        ck_assert_double_gt(percentile, last);
        last_value = value;
        last = percentile;
        count += n;
    }
    ck_assert_uint_eq(count, h.count);
    ck_assert_double_eq(percentile, 100);
    free(text);
}
END_TEST

/* Goal: our own CPU time and memory agree with the kernel; a process that is not there is said to be none. */
START_TEST(proc_reads_itself)
{
    uint64_t before, after, from = thread_cpu_ns();
    ck_assert_int_eq(proc_cpu_ns(getpid(), &before), 0);
    while (thread_cpu_ns() - from < 60 * NS_PER_MS)
        ;
    ck_assert_int_eq(proc_cpu_ns(getpid(), &after), 0);
    ck_assert_uint_ge(after - before, 30 * NS_PER_MS);
    ck_assert_uint_ge(proc_rss_kb(getpid()), 500);
    ck_assert_int_eq(proc_cpu_ns(0x7fffffff, &before), -1);
    ck_assert_uint_eq(proc_rss_kb(0x7fffffff), 0);
}
END_TEST

static void *burn(void *arg)
{
    uint64_t from = thread_cpu_ns();
    while (thread_cpu_ns() - from < 60 * NS_PER_MS)
        ;
    return arg;
}

/* Goal: the CPU time of a thread that has ended stays in the sum. */
START_TEST(proc_counts_ended_threads)
{
    uint64_t before, after;
    pthread_t thread;
    ck_assert_int_eq(proc_cpu_ns(getpid(), &before), 0);
    ck_assert_int_eq(pthread_create(&thread, NULL, burn, NULL), 0);
    ck_assert_int_eq(pthread_join(thread, NULL), 0);
    ck_assert_int_eq(proc_cpu_ns(getpid(), &after), 0);
    ck_assert_uint_ge(after - before, 59 * NS_PER_MS);
}
END_TEST

/* Goal: the kernel's memory is read, and an open connection is seen in it. */
START_TEST(proc_reads_kernel)
{
    int fds[64];
    struct proc_kernel before = proc_kernel();
    ck_assert_uint_gt(before.slab_kb, 100);
    for (int i = 0; i < 64; i++)
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct proc_kernel after = proc_kernel();
    for (int i = 0; i < 64; i++)
        close(fds[i]);
    ck_assert_uint_gt(after.slab_kb, 100);
    ck_assert_uint_ge(after.tcp_sockets, 64);
}
END_TEST

/* ---- Against a server that misbehaves ---- */

/* Run mario_load, asking echoes on CLIENTS connections, and read its JSON. Returns its exit code. */
static int run_load(uint16_t port, const char *options, char *json, size_t size)
{
    char command[512];
    const char *program = getenv("MARIO_LOAD");
    snprintf(command, sizeof command, "%s 127.0.0.1 %u -a echo -c %d -D 0.8 %s -j - 2>/dev/null",
             program != NULL ? program : "test/mario_load", port, CLIENTS, options);
    FILE *f = popen(command, "re"); // NOLINT: a command of our own
    ck_assert_ptr_nonnull(f);
    size_t n = fread(json, 1, size - 1, f);
    json[n] = '\0';
    int status = pclose(f);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_hold(uint16_t port, const char *options, char *json, size_t size)
{
    char all[256];
    snprintf(all, sizeof all, "-m hold -t 1 --heartbeat 0.4 %s", options);
    return run_load(port, all, json, size);
}

/* The number behind "key": that comes after "part" in the text; -1 if there is none. */
static long number_in(const char *json, const char *part, const char *key)
{
    char name[64];
    long value = -1;
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(json, part);
    at = at != NULL ? strstr(at, name) : NULL;
    if (at != NULL && sscanf(at + strlen(name), "%ld", &value) != 1)
        value = -1;
    return value;
}

static const struct {
    enum misdeed deed;
    int code;
    const char *part, *key; /* where it is counted */
    long count, missing;    /* and how often; requests without an answer */
} deeds[] = {
    {DEED_NONE, 0, "", "behind", 0, 0},
    {DEED_TWICE, 1, "lost_connections", "bad_content", 1, 1},
    {DEED_WRONG, 1, "lost_connections", "bad_content", 1, 1},
    {DEED_STX, 1, "lost_connections", "bad_stx", 1, 1},
    {DEED_PART, 1, "lost_connections", "closed", 1, 1},
    {DEED_SILENT, 1, "lost_connections", "timeout", 1, 1},
    {DEED_CLOSE, 1, "lost_connections", "closed", 1, 1},
    {DEED_RESET, 1, "lost_connections", "reset", 1, 1},
};

/* Goal: each misdeed on one connection is found, named and counted once, and the other connections lose
 * nothing. */
START_TEST(hold_finds_misdeeds)
{
    char json[8192];
    uint16_t port;
    pid_t pid = bad_server_start(deeds[_i].deed, &port);
    int code = run_hold(port, "", json, sizeof json);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    bool bad = deeds[_i].deed != DEED_NONE;
    ck_assert_msg(code == deeds[_i].code, "exit code %d: %s", code, json);
    ck_assert_int_eq(number_in(json, deeds[_i].part, deeds[_i].key), deeds[_i].count);
    ck_assert_int_eq(number_in(json, "", "established"), CLIENTS);
    ck_assert_int_eq(number_in(json, "", "closed_by_us"), CLIENTS - bad);
    ck_assert_int_eq(number_in(json, "", "heard"), CLIENTS - bad);
    /* An answer that came twice may have come in two pieces: then the first answered, and the second is a
     * stranger. */
    long missing = number_in(json, "", "lost");
    ck_assert_int_le(missing, deeds[_i].missing);
    ck_assert_int_ge(missing, deeds[_i].deed == DEED_TWICE ? 0 : deeds[_i].missing);
    ck_assert_int_eq(number_in(json, "", "sent"), number_in(json, "", "answered") + missing);
}
END_TEST

/* Goal: modes closed and open find the same; above all the end of a stream that comes with its last bytes. */
START_TEST(load_finds_misdeeds)
{
    static const char *const options[] = {"-w 0 -t 0.5", "-w 0 -t 0.5 -T 2", "-w 0 -t 0.5 -m open -r 2000",
                                          "-w 0 -t 0.5 -m open -r 40000"};
    char json[8192];
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        uint16_t port;
        pid_t pid = bad_server_start(deeds[_i].deed, &port);
        int code = run_load(port, options[i], json, sizeof json);
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        ck_assert_msg(code == deeds[_i].code, "%s: exit code %d: %s", options[i], code, json);
        ck_assert_int_eq(number_in(json, "", "sent"),
                         number_in(json, "", "answered") + number_in(json, "", "lost"));
        if (deeds[_i].deed != DEED_NONE)
            ck_assert_msg(number_in(json, "errors", deeds[_i].key) == 1, "%s: %s", options[i], json);
        ck_assert_int_gt(number_in(json, "", "requests"), 500);
    }
}
END_TEST

/* Goal: a stamp tells when bytes came, not when they are read; a unix socket has none and says so. */
START_TEST(net_stamps_arrivals)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int pair[2], in, listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int out = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint64_t stamp = 0, before = 0, after = 0, seen = 0;
    char byte = 'x';
    ck_assert_int_eq(bind(listener, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, (struct sockaddr *) (void *) &a, &n), 0);
    ck_assert_int_eq(connect(out, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_ge(in = accept(listener, NULL, NULL), 0);
    ck_assert_int_eq(net_stamp(in), 0);
    for (int i = 0; i < 100 && stamp == 0; i++) { /* the kernel begins to stamp some time later */
        before = real_ns();
        ck_assert_int_eq(net_send(out, &byte, 1), 1);
        after = real_ns();
        nanosleep(&(struct timespec){.tv_nsec = 2 * (long) NS_PER_MS}, NULL);
        ck_assert_int_eq(net_recv_stamped(in, &byte, 1, &stamp), 1);
        seen = real_ns();
    }
    ck_assert_uint_ge(stamp, before);
    ck_assert_uint_lt(stamp, after + NS_PER_MS);
    ck_assert_uint_gt(seen, after + NS_PER_MS);
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ck_assert_int_eq(net_stamp(pair[0]), -1);
}
END_TEST

/* Goal: a reply to no request is a fault, whether it comes with the right one or after it. */
START_TEST(hold_finds_unasked)
{
    char json[8192];
    uint16_t port;
    pid_t pid = bad_server_start(DEED_UNASKED, &port);
    int code = run_hold(port, "", json, sizeof json);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(code, 1);
    ck_assert_int_eq(
        number_in(json, "refused", "bad_content") + number_in(json, "lost_connections", "bad_content"), 1);
}
END_TEST

/* Goal: a full server: those beyond its room are counted as refused, the others are held and lose nothing. */
START_TEST(hold_counts_refused)
{
    char json[8192];
    uint16_t port;
    pid_t pid = bad_server_start(DEED_FULL, &port);
    int code = run_hold(port, "", json, sizeof json);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_int_eq(code, 1);
    ck_assert_int_eq(number_in(json, "", "established"), FULL);
    ck_assert_int_eq(number_in(json, "", "heard"), FULL);
    ck_assert_int_eq(number_in(json, "refused", "closed") + number_in(json, "refused", "reset"),
                     CLIENTS - FULL);
    ck_assert_int_eq(number_in(json, "lost_connections", "closed"), 0);
}
END_TEST

/* What may be wrong with a broadcast: where it is counted. */
static const struct {
    enum misdeed deed;
    int code;
    long said, joined, who, told, untold;
    const char *fault;
} cries[] = {
    {DEED_NONE, 0, 2, CLIENTS, CLIENTS, 2 * CLIENTS, 0, NULL},
    {DEED_SAID_NOT, 1, 2, CLIENTS, CLIENTS, 2 * CLIENTS - 1, 1, NULL},
    {DEED_SAID_TWICE, 1, 2, CLIENTS, CLIENTS, 2 * CLIENTS, 0, "bad_content"},
    {DEED_SAID_WRONG, 1, 1, CLIENTS, CLIENTS, CLIENTS - 1, CLIENTS + 1, "bad_content"},
    {DEED_WHO_FEWER, 1, 2, CLIENTS, CLIENTS - 1, 2 * CLIENTS, 0, NULL},
    {DEED_NO_SAY, 1, 1, CLIENTS, CLIENTS, 0, 2 * CLIENTS, NULL},
};

/* Goal: broadcasts are heard by each member once; each that is missing, doubled or wrong is found, and what the server
 * counts is compared. */
START_TEST(hold_hears_broadcasts)
{
    char json[8192];
    uint16_t port;
    pid_t pid = bad_server_start(cries[_i].deed, &port);
    int code = run_hold(port, "--broadcasts 2 -T 2 -t 0.2", json, sizeof json);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_msg(code == cries[_i].code, "exit code %d: %s", code, json);
    ck_assert_int_eq(number_in(json, "broadcasts", "said"), cries[_i].said);
    ck_assert_int_eq(number_in(json, "broadcasts", "joined"), cries[_i].joined);
    ck_assert_int_eq(number_in(json, "broadcasts", "who"), cries[_i].who);
    ck_assert_int_eq(number_in(json, "told_us", "count"), number_in(json, "broadcasts", "told"));
    /* What came twice may have come in one piece: then the first is not taken either. */
    long told = number_in(json, "broadcasts", "told"), twice = cries[_i].deed == DEED_SAID_TWICE;
    ck_assert_msg(told == cries[_i].told || (twice && told == cries[_i].told - 1), "%s", json);
    ck_assert_int_eq(number_in(json, "broadcasts", "untold"), cries[_i].untold + cries[_i].told - told);
    ck_assert_int_eq(number_in(json, "", "closed_by_us"), CLIENTS - (cries[_i].fault != NULL));
    if (cries[_i].fault != NULL)
        ck_assert_int_eq(number_in(json, "lost_connections", cries[_i].fault), 1);
}
END_TEST

/* Goal: reopened connections balance, and heartbeats alone do not hide that each is heard. */
START_TEST(hold_reopens)
{
    char json[8192];
    uint16_t port;
    pid_t pid = bad_server_start(DEED_NONE, &port);
    int code = run_hold(port, "--churn 20 --active 500 -T 3 --heartbeat 60", json, sizeof json);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    long churned = number_in(json, "", "churned");
    ck_assert_msg(code == 0, "exit code %d: %s", code, json);
    ck_assert_int_ge(churned, 15);
    ck_assert_int_eq(number_in(json, "", "tried"), CLIENTS + churned);
    ck_assert_int_eq(number_in(json, "", "opened"), CLIENTS + churned);
    ck_assert_int_eq(number_in(json, "", "heard"), CLIENTS);
    ck_assert_int_ge(number_in(json, "", "actives"), 450);
}
END_TEST

/* Goal: a server that is behind and turns to the newest first comes to those who wait: they are left no newer ones in
 * time. With 512 logins under way it is behind by half a second; opening all takes longer than anyone may wait. */
START_TEST(hold_lets_nobody_wait)
{
    char json[8192];
    uint16_t port;
    pid_t pid = newest_server_start(&port);
    int code = run_hold(port, "-c 3600 -D 2.5 -t 0.1 --heartbeat 60", json, sizeof json);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    ck_assert_msg(code == 0, "exit code %d: %s", code, json);
    ck_assert_int_eq(number_in(json, "", "established"), 3600);
    ck_assert_int_ge(number_in(json, "", "open_s"), 3);
}
END_TEST

/* Goal: what cannot go well is refused before anything is opened: exit code 2. */
START_TEST(hold_refuses)
{
    static const char *const bad[] = {
        "-c 0",      "-w 1", "-i 1",        "-p 2",           "-a 99",    "--heartbeat 0",      "--churn x",
        "--ramp -1", "-r 5", "-c 99999999", "--slow 1000000", "--active", "--broadcasts 100001"};
    char json[8192];
    struct net_target t;
    char port[8];
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd =
        socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, but it does not listen: nobody is there */
    ck_assert_int_eq(bind(fd, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) (void *) &a, &n), 0);
    snprintf(port, sizeof port, "%u", ntohs(a.sin_port));
    ck_assert_ptr_null(net_resolve("127.0.0.1", port, &t));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(run_hold(ntohs(a.sin_port), bad[i], json, sizeof json) == 2, "%s", bad[i]);
    ck_assert_int_eq(run_hold(ntohs(a.sin_port), "", json, sizeof json), 2);
    ck_assert_str_eq(json, "");
    close(fd);
}
END_TEST

void clients_hold_cases(Suite *s)
{
    TCase *parts = unit_case(s, "hold parts", 10), *hold = unit_case(s, "hold", 30);
    tcase_add_test(parts, exchange_compares);
    tcase_add_test(parts, pace_counts);
    tcase_add_test(parts, net_takes_port_lists);
    tcase_add_test(parts, net_takes_server_lists);
    tcase_add_test(parts, net_counts_ports);
    tcase_add_test(parts, hist_is_written);
    tcase_add_test(parts, net_stamps_arrivals);
    tcase_add_test(parts, proc_reads_itself);
    tcase_add_test(parts, proc_counts_ended_threads);
    tcase_add_test(parts, proc_reads_kernel);
    tcase_add_loop_test(hold, hold_finds_misdeeds, 0, (int) (sizeof deeds / sizeof deeds[0]));
    tcase_add_loop_test(hold, load_finds_misdeeds, 0, (int) (sizeof deeds / sizeof deeds[0]));
    tcase_add_loop_test(hold, hold_hears_broadcasts, 0, (int) (sizeof cries / sizeof cries[0]));
    tcase_add_test(hold, hold_finds_unasked);
    tcase_add_test(hold, hold_counts_refused);
    tcase_add_test(hold, hold_reopens);
    tcase_add_test(hold, hold_lets_nobody_wait);
    tcase_add_test(hold, hold_refuses);
}
