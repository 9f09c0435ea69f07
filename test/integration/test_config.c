/*
 * test_config.c: a configuration file that is read again at HUP: all of it or nothing, nobody notices, and what became
 * of it is said.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mortal.h"
#include "operator.h"
#include "test_ledger.h"

static char conf_path[64];

/* Never half-written. */
static void write_conf(const char *text)
{
    char fresh[80];
    snprintf(fresh, sizeof fresh, "%s.new", conf_path);
    FILE *f = fopen(fresh, "we");
    ck_assert_msg(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0, "%s: %s", fresh, strerror(errno));
    ck_assert(rename(fresh, conf_path) == 0);
}

/* Read it again; what the log then says within the time. */
static void hup(const struct server *s, const char *says)
{
    server_signal(s, SIGHUP);
    server_wait_log(s, says, 5000);
}

static void start_as(struct server *s, uid_t owner, const char *text, const char *more)
{
    snprintf(conf_path, sizeof conf_path, "/tmp/mario_config.%d.conf", (int) getpid());
    write_conf(text);
    const char *const args[] = {"-c", conf_path, more, NULL};
    server_launch(s, &(struct launch){.program = "maritcp", .args = args, .owner = owner});
    s->log_lines_max = 100;
}

static void start(struct server *s, const char *text, const char *more)
{
    start_as(s, 0, text, more);
}

static void finish(struct server *s)
{
    unlink(conf_path);
    server_finish(s);
}

/* Forty rows; wrong: the number of one that has a mistake, or none. */
static void write_forty(int wrong)
{
    static const char *const rows[] = {
        "[server]",
        "workernum = 3",
        "connnum = 77",
        "when_full = wait",
        "assign = least",
        "timeout = 1111",
        "write_timeout = 22",
        "packet_timeout = 33",
        "keepalive = 44",
        "max_pkglen = 555",
        "backlog = 66",
        "drain_timeout = 7",
        "linger = 8",
        "prefault = on",
        "[output]",
        "high = 9k",
        "max = 10k",
        "[offload]",
        "threads = 11",
        "queue = 12",
        "[push]",
        "queue = 13",
        "bytes = 14k",
        "slow = drop_oldest",
        "groups = 15",
        "memory = 16m",
        "lowat = 17k",
        "ring = 32",
        "[watch]",
        "warn_ms = 180",
        "replace_ms = 1900",
        "replace_max = 20",
        "master_ms = 21000",
        "[log]",
        "format = text",
        "rotate_size = 23m",
        "rotate_daily = off",
        "keep = 24",
        "level = info",
        "[login]",
        "policy = kick_old",
        "[collect]",
        "interval = 25",
        "[cluster]",
        "prefix = p",
        "queue = 27m",
        "linger = 28",
        "heartbeat = 9",
        "ttl = 31",
    };
    char text[4096] = "";
    for (int i = 0; i < (int) (sizeof rows / sizeof rows[0]); i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s\n", rows[i], i == wrong ? "x y" : "");
    write_conf(text);
}

/* Goal: with one wrong among forty nothing is changed, wherever it stands, and it is one line; with none all are that
 * can be, from what they were at the start, and the others are named with both values. */
START_TEST(one_wrong_among_forty)
{
    static const struct {
        int row;
        const char *says;
    } wrong[] = {
        {5, "server.timeout: "}, {16, "output.max: "}, {29, "watch.warn_ms: "}, {48, "cluster.ttl: "}};
    struct server s;
    start(&s, "", NULL);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        write_forty(wrong[i].row);
        hup(&s, wrong[i].says);
    }
    ck_assert_uint_eq(server_log_count(&s, "; nothing is changed"), 4);
    ck_assert_uint_eq(server_log_count(&s, " -> "), 0);
    write_forty(-1);
    hup(&s, "was read again: 24 changed, ");
    static const char *const said[] = {"server.timeout 300 -> 1111", "server.backlog 4096 -> 66",
                                       "output.max 4m -> 10k",       "push.memory 256m -> 16m",
                                       "watch.warn_ms 100 -> 180",   "collect.interval 60 -> 25"};
    for (size_t i = 0; i < sizeof said / sizeof said[0]; i++)
        ck_assert_msg(server_log_count(&s, said[i]) == 1, "%s", said[i]);
    ck_assert_uint_eq(server_log_count(&s, "only a restart changes: "), 1);
    ck_assert_uint_eq(server_log_count(&s, "server.connnum 0 -> 77"), 1);
    int fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reloads"), 1);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), 4);
}
END_TEST

/* Goal: a file that is gone, that server.user may not read, or that is a directory by now changes nothing; once it is
 * there again it counts. */
START_TEST(a_file_that_cannot_be_read)
{
    struct server s;
    bool root = geteuid() == 0;
    ck_assert(!root || chmod(getenv("ITEST_DIR"), 0711) == 0);
    start_as(&s, root ? 65534 : 0, "[server]\ntimeout = 100\n", root ? "server.user=65534:65534" : NULL);
    ck_assert(unlink(conf_path) == 0);
    hup(&s, "cannot be opened: No such file or directory; nothing is changed");
    ck_assert(mkdir(conf_path, 0755) == 0);
    hup(&s, "is no regular file and not read again; nothing is changed");
    ck_assert(rmdir(conf_path) == 0);
    write_conf("[server]\ntimeout = 200\n");
    if (root) {
        ck_assert(chmod(conf_path, 0600) == 0);
        hup(&s, "cannot be opened: Permission denied; nothing is changed");
        ck_assert(chmod(conf_path, 0644) == 0);
    } else {
        TEST_SKIP_PART("a file that server.user may not read: only root becomes another");
    }
    hup(&s, "server.timeout 100 -> 200");
    finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), root ? 3 : 2);
}
END_TEST

/* Goal: what counts for connections counts for those that are there: the timeout of who is silent; and -o wins. */
START_TEST(it_counts)
{
    struct server s;
    size_t extra;
    start(&s, "[server]\ntimeout = 0\n[collect]\ninterval = 3600\n", "server.packet_timeout=77");
    int fd = client_open(&s);
    client_echo(fd, 10);
    write_conf("[server]\ntimeout = 1\npacket_timeout = 5\n[collect]\ninterval = 1\n");
    hup(&s, "was read again: 2 changed, 0 need a restart");
    ck_assert_int_eq(client_ending(fd, &extra, 4000), END_FIN);
    close(fd);
    server_wait_log(&s, "online 0 ", 4000);
    ck_assert_uint_eq(server_log_count(&s, "packet_timeout"), 0);
    finish(&s);
}
END_TEST

static int by_size(const void *a, const void *b)
{
    const unsigned *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

/* Goal: 2,000 connections, some of them busy; 100 reloads in a row: 9 of 10 within 100 ms, however busy the machine
 * is, no connection is lost, and all are served. */
START_TEST(a_storm_under_load)
{
    const uint32_t quiet = 2000 / ITEST_SLOW, storm = 100 / ITEST_SLOW;
    struct server s;
    char text[96];
    unsigned took[100];
    start(&s, "[server]\ntimeout = 300\n", "server.workernum=2");
    s.log_lines_max = 1000;
    struct ledger *l = ledger_create(&s.target, quiet, 32);
    ck_assert(l != NULL && ledger_connect(l, 10000));
    struct bystanders *b = bystanders_start(&s.target, 20, 64, 1);
    for (uint32_t i = 0; i < storm; i++) {
        snprintf(text, sizeof text, "server.timeout %u -> %u", 300 + i, 301 + i);
        char conf[160];
        snprintf(conf, sizeof conf, "[server]\ntimeout = %u\n[output]\nhigh = %uk\n", 301 + i, 100 + i);
        write_conf(conf);
        uint64_t began = mono_ns();
        hup(&s, text);
        took[i] = itest_ms_since(began);
    }
    struct bystander_report r = bystanders_finish(&b);
    ledger_ask(l, 2, 1);
    ck_assert(ledger_run(l, 20000));
    ck_assert_uint_eq(l->ends[END_OPEN], quiet);
    qsort(took, storm, sizeof took[0], by_size);
    printf("%u reloads with %u connections: %u ms, the slowest %u ms; beside them p99 %llu us\n", storm,
           quiet, took[storm / 2], took[storm - 1], (unsigned long long) r.p99_ns / 1000);
    ledger_destroy(&l);
    finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reloads"), storm);
    ck_assert_msg(took[storm * 9 / 10] < 100u * ITEST_SLOW, "%u ms", took[storm * 9 / 10]);
}
END_TEST

/* Goal: HUPs faster than the file can be read are one or more, and the last one counts. */
START_TEST(faster_than_it_can_be_read)
{
    struct server s;
    start(&s, "[server]\ntimeout = 300\n", NULL);
    for (int i = 0; i < 200; i++)
        server_signal(&s, SIGHUP);
    write_conf("[server]\ntimeout = 7\n");
    hup(&s, "server.timeout 300 -> 7");
    finish(&s);
    ck_assert_uint_ge(server_counter(&s, "reloads"), 1);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), 0);
}
END_TEST

/* Goal: a reload while the server stops does no harm, and what a stop may take is as it was when it began. */
START_TEST(during_a_stop)
{
    struct server s;
    start(&s, "[server]\ndrain_timeout = 2\nwrite_timeout = 0\ntimeout = 0\n", NULL);
    int fd = client_open_narrow(&s);
    unsigned char data[8000] = {0}, packet[8008];
    size_t len = client_packet(packet, 0x6103, data, sizeof data), sent = 0;
    uint64_t full = itest_deadline(300);
    while (mono_ns() < full) { /* its answers wait: it reads none */
        ssize_t n = send(fd, packet + sent % len, len - sent % len, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += n > 0 ? (size_t) n : 0;
        full = n > 0 ? itest_deadline(300) : full;
    }
    server_signal(&s, SIGTERM);
    server_wait_log(&s, "stopping: no new connections", 3000);
    write_conf("[server]\ndrain_timeout = 3600\nwrite_timeout = 0\ntimeout = 0\n");
    hup(&s, "server.drain_timeout 2 -> 3600");
    ck_assert_int_eq(server_wait_exit(&s, 6000), 0);
    close(fd);
    unlink(conf_path);
    server_check(&s);
}
END_TEST

/* Goal: an operator sees what is in use and what the file says otherwise; sets one value by hand, which the next reload
 * takes back and says so; what is wrong is refused in one line; no secret is shown. */
START_TEST(by_an_operator)
{
    struct server s;
    char secret[80], conf[256];
    snprintf(secret, sizeof secret, "/tmp/mario_config.%d.secret", (int) getpid());
    FILE *f = fopen(secret, "we");
    ck_assert(f != NULL && fchmod(fileno(f), 0600) == 0 && fputs("hush-hush\n", f) >= 0 && fclose(f) == 0);
    snprintf(conf, sizeof conf, "[cluster]\npassword_file = %s\n[server]\ntimeout = 100\nworkernum = 2\n",
             secret);
    start(&s, conf, operator_option());
    const char *shown = operator_json("config show");
    ck_assert_msg(strstr(shown,
                         "{\"key\": \"server.timeout\", \"value\": \"100\", \"from\": \"line 4\", \"takes\": "
                         "\"reload\"}") != NULL,
                  "%s", shown);
    ck_assert(strstr(shown, secret) != NULL && strstr(shown, "hush") == NULL);
    ck_assert_uint_eq(operator_count(operator_json("config show collect"), "\"key\""), 1);
    operator_refused(2, "there is no section 'colect'", "config show colect");
    ck_assert_uint_eq(operator_count(operator_json("config diff"), "\"key\""), 0);
    operator_json("config set server.timeout=50");
    ck_assert_str_eq(operator_text(operator_json("config show server"), "from"),
                     "-o"); /* listen's, the first */
    ck_assert(strstr(operator_json("config show server"), "\"value\": \"50\", \"from\": \"set\"") != NULL);
    operator_refused(1, "server.workernum: needs a restart: set it in the file; nothing is changed",
                     "config set server.workernum=9");
    operator_refused(1, "'never' is not a number (allowed: 0 .. 31536000); nothing is changed",
                     "config set server.timeout=never");
    operator_refused(2, "usage: config set", "config set");
    write_conf("[server]\ntimeout = 200\nworkernum = 3\n");
    const char *diff = operator_json("config diff");
    ck_assert(strstr(diff, "\"from\": \"50\", \"to\": \"200\", \"was\": \"set\", \"takes\": \"reload\"") !=
              NULL);
    ck_assert(strstr(diff, "\"from\": \"2\", \"to\": \"3\"") != NULL);
    ck_assert_uint_eq((unsigned) operator_number(operator_json("config check"), "restart_changes"), 2);
    ck_assert(strstr(operator_json("config reload"), "\"to\": \"200\"") != NULL);
    server_wait_log(&s, "reload: server.timeout 50 (set) -> 200", 3000);
    write_conf("[server]\ntimeout = x\n");
    operator_refused(1, ":2: server.timeout: 'x' is not a number", "config check");
    operator_refused(1, ":2: server.timeout: 'x' is not a number", "config reload");
    ck_assert(strstr(operator_json("config show server"), "\"value\": \"200\"") != NULL);
    unlink(secret);
    finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), 1);
}
END_TEST

/* The master has come round: it has taken what was set, and told the parent. The second one is accepted behind that. */
static void await_master(const struct server *s)
{
    for (int i = 0; i < 2; i++) {
        int fd = client_open(s);
        client_echo(fd, 16);
        close(fd);
    }
}

/* Goal: the log moves to another file; one that cannot be opened changes nothing, that goes with it neither. The
 * record of a death is in the new one, also if the parent writes it. */
START_TEST(the_log_moves)
{
    struct server s;
    char moved[160], set[200];
    start(&s, "[server]\nsupervise = on\n", operator_option());
    snprintf(moved, sizeof moved, "%s/moved", s.dir);
    operator_refused(
        1, "log.file: /no/such/dir/log cannot be opened: No such file or directory; nothing is changed",
        "config set log.file=/no/such/dir/log");
    snprintf(set, sizeof set, "log.file=%s", moved);
    operator_json("config set %s", set);
    struct server at = s; /* its log is there now */
    snprintf(at.log, sizeof at.log, "%.127s", moved);
    server_wait_log(&at, "config set: log.file ", 3000);
    await_master(&s);
    struct mortal_next o = {.parent = s.pid, .former = mortal_child(s.pid)};
    ck_assert(kill(o.former, SIGKILL) == 0 && itest_wait(mortal_has_next, &o, 5000));
    server_wait_log(&at, "signal 9 (SIGKILL)", 3000);
    ck_assert_uint_eq(server_log_count(&s, "signal 9 (SIGKILL)"), 0);
    unlink(conf_path);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 5000), 0);
    server_discard(&s);
}
END_TEST

/* Goal: reloads and values set by hand all the time while it drains, and while it is stopped at last. */
START_TEST(while_it_drains)
{
    struct server s;
    char conf[96];
    start(&s, "[drain]\ndelay = 0\nrate = 100\n", operator_option());
    s.log_lines_max = 1000;
    struct ledger *l = ledger_create(&s.target, 200, 32);
    ck_assert(l != NULL && ledger_connect(l, 10000));
    ledger_ask(l, 1, 1); /* who is answered was accepted: the others would be refused, not drained */
    ck_assert(ledger_run(l, 10000));
    operator_json("drain start");
    for (int i = 0; i < 30; i++) {
        snprintf(conf, sizeof conf, "[drain]\ndelay = 0\nrate = %d\n[server]\ntimeout = %d\n", 100 + i,
                 300 + i);
        write_conf(conf);
        server_signal(&s, SIGHUP);
        operator_json("config set server.linger=%d", 1 + i);
        ledger_turn(l, 1);
    }
    write_conf("[drain]\ndelay = 0\nrate = 1000\n");
    operator_json("config reload");
    operator_await("\"state\": \"done\"", 5000, "drain status");
    ledger_destroy(&l);
    finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_drain"), 200);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), 0);
}
END_TEST

Suite *config_suite(void)
{
    Suite *s = suite_create("config");
    TCase *c = itest_case(s, "config", 20);
    tcase_add_test(c, one_wrong_among_forty);
    tcase_add_test(c, a_file_that_cannot_be_read);
    tcase_add_test(c, it_counts);
    tcase_add_test(c, a_storm_under_load);
    tcase_add_test(c, faster_than_it_can_be_read);
    tcase_add_test(c, during_a_stop);
    tcase_add_test(c, by_an_operator);
    tcase_add_test(c, the_log_moves);
    tcase_add_test(c, while_it_drains);
    return s;
}
