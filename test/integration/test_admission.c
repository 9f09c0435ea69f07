/*
 * test_admission.c: who is let in: connections and rates of addresses and networks, files, bans, the pace of accepting;
 * and that who has left is not counted, whatever became of him. Clients come from addresses of 127/8; 127.0.0.1 is the
 * test's own, which asks for counters.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comers.h"
#include "mortal.h"
#include "program.h"
#include "stuck.h"
#include "test_ledger.h"

/* ---- Connections at a time ---- */

/* Goal: an address has as many as it may, others do not notice; who leaves makes room; refusals are resets, counted by
 * their reason. */
START_TEST(connections_of_an_address)
{
    struct server s;
    int in[4], extra;
    server_start(&s, "testapp", "admit.ip_conns=2", NULL);
    comer_in(&s, "127.1.0.1", &in[0]);
    comer_in(&s, "127.1.0.1", &in[1]);
    comer_out(&s, "127.1.0.1");
    comer_in(&s, "127.1.0.2", &in[2]);
    close(in[0]);
    uint64_t refused = 1 + comer_in_at_last(&s, "127.1.0.1", &in[0]);
    comer_out(&s, "127.1.0.1");
    refused++;
    client_reset(in[1]);
    refused += comer_in_at_last(&s, "127.1.0.1", &extra);
    ck_assert_uint_eq(server_counter(&s, "gate_counted"), 4); /* and the one that asks */
    close(in[0]);
    close(extra);
    close(in[2]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_conns"), refused);
    ck_assert_uint_eq(server_counter(&s, "gate_overflow"), 0);
}
END_TEST

/* Goal: all of a network count together, and the next network does not. */
START_TEST(connections_of_a_network)
{
    struct server s;
    int in[3];
    server_start(&s, "testapp", "admit.net_conns=2", NULL);
    comer_in(&s, "127.1.0.1", &in[0]);
    comer_in(&s, "127.1.0.2", &in[1]);
    comer_out(&s, "127.1.0.3");
    comer_in(&s, "127.1.1.3", &in[2]);
    for (int i = 0; i < 3; i++)
        close(in[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_net_conns"), 1);
}
END_TEST

/* Goal: IPv6 has limits of its own, and a unix socket none. */
START_TEST(other_families)
{
    static const char *const args[] = {"admit.ip_conns=1", "admit.rate=1000", NULL};
    struct server s;
    int in[5], out;
    bool v6 = client_has_ipv6();
    char listen[96], path[64];
    if (!v6)
        TEST_SKIP_PART("IPv6: there is none here");
    snprintf(path, sizeof path, "/tmp/mario-itest-gate.%d.sock", (int) getpid());
    snprintf(listen, sizeof listen, "127.0.0.1:0,unix:%s%s", path, v6 ? ",[::1]:0" : "");
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
    for (int i = 0; i < 5; i++) {
        in[i] = client_open_at(&s.addresses[1]);
        ck_assert(comer_is_served(in[i]));
    }
    for (int i = 0; i < 5; i++)
        close(in[i]);
    if (v6) {
        in[0] = client_open_at(&s.addresses[2]);
        ck_assert(comer_is_served(in[0]));
        out = net_connect_wait(&s.addresses[2], itest_deadline(3000)); /* it may be reset already */
        ck_assert(out < 0 ? errno == ECONNRESET : !comer_is_served(out));
        close(in[0]);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_conns"), v6 ? 1 : 0);
}
END_TEST

/* ---- Rates ---- */

/* Of those who come one after the other for a while, those who are let in: what the rate says, and one in its time. */
static void knock(const struct server *s, const char *format, unsigned rate, uint64_t *refused)
{
    uint64_t began = mono_ns(), end = began + 600 * NS_PER_MS;
    unsigned in = 0, n = 0;
    char from[32];
    for (; mono_ns() < end; n++) {
        snprintf(from, sizeof from, format, n % 250 + 1);
        int fd = comer_try(s, from);
        in += fd >= 0;
        *refused += fd < 0;
        if (fd >= 0)
            close(fd);
    }
    double most = rate + rate * (double) (mono_ns() - began) / 1e9 + 1;
    ck_assert_msg(in >= rate && in <= most, "%u of %u were let in, at most %.0f", in, n, most);
    ck_assert_uint_gt(*refused, 0);
}

/* Goal: so many may come at once, and so many a second: of an address, and of a network. */
START_TEST(rates)
{
    struct server s;
    uint64_t of_ip = 0, of_net = 0;
    server_start(&s, "testapp", "admit.ip_rate=10", "admit.net_rate=20", NULL);
    knock(&s, "127.1.0.1", 10, &of_ip);
    knock(&s, "127.2.0.%u", 20, &of_net);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_rate"), of_ip);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_net_rate"), of_net);
}
END_TEST

/* Goal: with a pace of accepting nobody is refused, all are served in their turn, and the server sleeps in between; who
 * comes by a unix socket need not wait. */
START_TEST(the_pace_of_accepting)
{
    enum { RATE = 100, COME = 120, LOCAL = 100 };
    struct server s;
    int fd[LOCAL];
    char listen[96];
    static const char *const args[] = {"admit.rate=100", NULL};
    snprintf(listen, sizeof listen, "127.0.0.1:0,unix:/tmp/mario-itest-gate.%d.pace", (int) getpid());
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
    struct ledger *l = ledger_create(&s.target, COME, 20);
    ck_assert(l != NULL && ledger_connect(l, COMER_MS));
    uint64_t began = mono_ns(), cpu = server_cpu_ns(&s);
    ledger_ask(l, 1, 1);
    for (int i = 0; i < LOCAL; i++) {
        fd[i] = client_open_at(&s.addresses[1]);
        ck_assert(comer_is_served(fd[i]));
    }
    ck_assert_msg(itest_ms_since(began) < 500, "the unix socket waits as well");
    ck_assert(ledger_run(l, COMER_MS));
    unsigned ms = itest_ms_since(began);
    ck_assert_msg(ms >= (COME - RATE / 10 - 1) * 1000 / RATE - 100, "all were served after %u ms", ms);
    ck_assert_msg(server_cpu_ns(&s) - cpu < ms * NS_PER_MS / 4, "the server is busy");
    ck_assert_uint_eq(l->answered, COME);
    for (int i = 0; i < LOCAL; i++)
        close(fd[i]);
    ledger_destroy(&l);
    server_wait_fds(&s, s.fds, COMER_MS);
    server_stop(&s);
    ck_assert_uint_gt(server_counter(&s, "accept_paced"), 5);
    ck_assert_uint_lt(server_counter(&s, "accept_paced"), 200);
}
END_TEST

/* Goal: a stop lets in who waits for his turn, without waiting for it. */
START_TEST(a_stop_while_they_wait)
{
    struct server s;
    server_start(&s, "testapp", "admit.rate=1", NULL);
    struct ledger *l = ledger_create(&s.target, 50, 20);
    ck_assert(l != NULL && ledger_connect(l, COMER_MS));
    ledger_ask(l, 1, 1);
    ck_assert(!ledger_run(l, 100));
    ck_assert_uint_eq(l->sent, 50);
    uint64_t began = mono_ns();
    server_signal(&s, SIGTERM);
    ck_assert(ledger_run_to_end(l, COMER_MS));
    ck_assert_uint_eq(l->answered, 50);
    ck_assert_int_eq(server_wait_exit(&s, COMER_MS), 0);
    ck_assert_uint_lt(itest_ms_since(began), 3000u * ITEST_SLOW);
    server_check(&s);
    ledger_destroy(&l);
}
END_TEST

/* ---- Files, bans ---- */

/* Goal: who is denied is not let in, whatever else; who is allowed is, whatever he does, also from a network that is
 * denied. */
START_TEST(files)
{
    struct server s;
    int in[5], fd;
    char allow[128], deny[128];
    const char *allow_path =
        comer_file(allow, sizeof allow, "admit.allow_file", "127.0.0.1 # the test\r\n\n  127.1.5.0/24\n");
    const char *deny_path =
        comer_file(deny, sizeof deny, "admit.deny_file", "# hostile\n127.1.0.0/16\n127.3.4.5\n2001:db8::/32");
    server_start(&s, "testapp", allow, deny, "admit.ip_conns=1", NULL);
    for (int i = 0; i < 5; i++)
        comer_in(&s, "127.1.5.7", &in[i]);
    comer_out(&s, "127.1.6.7");
    comer_out(&s, "127.3.4.5");
    comer_in(&s, "127.3.4.6", &fd);
    comer_out(&s, "127.3.4.6");
    for (int i = 0; i < 5; i++)
        close(in[i]);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_deny"), 2);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_conns"), 1);
    unlink(allow_path);
    unlink(deny_path);
}
END_TEST

/* Goal: a file with a mistake: no start, and a line that says where it is and what. */
START_TEST(files_with_mistakes)
{
    static const struct {
        const char *text, *says;
    } rows[] = {
        {"127.1.0.0/16\n127.1.0.1/16\n", ":2: '127.1.0.1/16' has bits behind its mask"},
        {"# fine\n\nlocalhost\n", ":3: 'localhost' is no address"},
        {"10.0.0.0/33", ":1: '10.0.0.0/33' has no number of bits behind the slash (allowed: 0..32)"},
        {"10.0.0.0/8 10.1.0.0/16\n", ":1: '10.0.0.0/8 10.1.0.0/16' has no number of bits"},
        {"\x1b[2Jx\n", ":1: '\\x1b[2Jx' is no address"},
    };
    char out[256], err[1024], option[128];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *path = comer_file(option, sizeof option, "admit.deny_file", rows[i].text);
        const char *args[] = {option, NULL};
        int code =
            itest_run(&(struct launch){.program = "testapp", .args = args}, out, sizeof out, err, sizeof err);
        ck_assert_int_eq(code, 2);
        ck_assert_msg(strstr(err, rows[i].says) != NULL && strstr(err, path) != NULL, "it says: %s", err);
        ck_assert_ptr_eq(strchr(err, '\n'), err + strlen(err) - 1);
        unlink(path);
    }
    static const char *const others[][2] = {
        {"admit.deny_file=/tmp/mario-itest-no-such-file",
         "/tmp/mario-itest-no-such-file: No such file or directory"},
        {"admit.allow_file=/tmp", "admit_allow_file: /tmp: no regular file"},
    };
    for (size_t i = 0; i < 2; i++) {
        const char *args[] = {others[i][0], NULL};
        ck_assert_int_eq(
            itest_run(&(struct launch){.program = "testapp", .args = args}, out, sizeof out, err, sizeof err),
            2);
        ck_assert_msg(strstr(err, others[i][1]) != NULL, "it says: %s", err);
    }
}
END_TEST

/* Goal: who is refused too often within a minute is banned, and let in again when that is over; others of his network
 * are not banned. */
START_TEST(banned_for_a_while)
{
    struct server s;
    int in, other;
    server_start(&s, "testapp", "admit.ip_conns=1", "admit.ban_after=3", "admit.ban_seconds=1", NULL);
    itest_sleep(
        (unsigned) (60000 - mono_ns() / NS_PER_MS % 60000 < 3000 ? 3000 : 0)); /* not across two minutes */
    comer_in(&s, "127.1.0.1", &in);
    for (int i = 0; i < 3; i++)
        comer_out(&s, "127.1.0.1");
    close(in);
    for (int i = 0; i < 2; i++)
        comer_out(&s, "127.1.0.1");
    comer_in(&s, "127.1.0.2", &other);
    comer_in_at_last(&s, "127.1.0.1", &in);
    close(in);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "gate_bans"), 1);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_conns"), 3);
    ck_assert_uint_ge(server_counter(&s, "refused_gate_ban"), 2);
}
END_TEST

/* ---- Whatever becomes of them ---- */

/* Goal: a function that never returns, its thread replaced: its connection is counted until that thread has ended,
 * those that were taken over as ever. */
START_TEST(a_takeover)
{
    struct server s;
    int stuck, in[3], again;
    char replace[64];
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    watch_start(&s, replace, "admit.ip_conns=4");
    comer_in(&s, "127.1.0.1", &stuck);
    for (int i = 0; i < 3; i++)
        comer_in(&s, "127.1.0.1", &in[i]);
    stick(stuck);
    ck_assert_int_eq(client_ending(stuck, NULL, BACK_MS), END_FIN);
    comer_out(&s, "127.1.0.1"); /* its thread has it still */
    close(stuck);
    unstick(in[0]);
    comer_in_at_last(&s, "127.1.0.1", &again);
    comer_out(&s, "127.1.0.1");
    for (int i = 0; i < 3; i++)
        close(in[i]);
    close(again);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 1);
}
END_TEST

/* Goal: the application closes descriptors of its connections: they are counted as long as the connections live, and no
 * longer. */
START_TEST(descriptors_that_are_lost)
{
    struct server s;
    uint32_t how = CLOSE_FD_ONLY;
    int in[8], again[8];
    server_start(&s, "testapp", "server.workernum=2", "admit.ip_conns=8", NULL);
    for (int i = 0; i < 8; i++)
        comer_in(&s, "127.1.0.1", &in[i]);
    for (int i = 0; i < 4; i++)
        client_send_packet(in[i], TEST_CLOSE_FD, &how, sizeof how);
    for (int i = 0; i < 4; i++)
        comer_in_at_last(&s, "127.1.0.1", &again[i]); /* some of them with the numbers that are free */
    for (int i = 0; i < 8; i++)
        close(i < 4 ? again[i] : in[i]);
    for (int i = 0; i < 4; i++)
        close(in[i]);
    server_stop(&s);
    ck_assert_uint_ge(server_counter(&s, "closed_fd_closed"), 1);
}
END_TEST

/* Goal: more addresses than the table holds: all are let in, some uncounted, which is counted and said once. */
START_TEST(a_full_table)
{
    enum { COME = 1400 };
    static int in[COME];
    struct server s;
    char from[32];
    server_start(&s, "testapp", "admit.table=1024", "admit.ip_conns=1", "server.workernum=2", NULL);
    for (unsigned i = 0; i < COME; i++)
        comer_in(&s, comer_address(from, i), &in[i]);
    for (unsigned i = 0; i < COME; i++)
        close(in[i]);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "gate_overflow"), COME - 1024);
    ck_assert_uint_lt(server_counter(&s, "gate_overflow"), COME - 1024 + 100);
}
END_TEST

/* Goal: hundreds of addresses come and go as fast as they can, most more often than they may: the counters are exactly
 * what the clients have seen, and those who are in do not notice. */
START_TEST(the_book)
{
    enum { ADDRESSES = 300, ROUNDS = 12 };
    static int in[ADDRESSES][2];
    struct server s;
    char from[32], allow[128];
    uint64_t served = 0, refused = 0;
    const char *path = comer_file(allow, sizeof allow, "admit.allow_file", "127.0.0.1\n");
    server_start(&s, "testapp", "admit.ip_conns=2", "admit.ip_rate=4", "admit.net_conns=80", allow, NULL);
    struct bystanders *b = bystanders_start(&s.target, 20, 20, 5);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < ADDRESSES; i++) {
            int fd = comer_try(&s, comer_address(from, i * 5));
            served += fd >= 0;
            refused += fd < 0;
            if (fd >= 0)
                in[i][in[i][0] != 0] = fd; /* two of an address: one more is refused */
        }
    }
    struct bystander_report r = bystanders_stop(&b);
    ck_assert_uint_eq(r.lost, 0);
    for (unsigned i = 0; i < ADDRESSES; i++) {
        for (int k = 0; k < 2; k++) {
            if (in[i][k] != 0)
                close(in[i][k]);
        }
    }
    server_finish(&s);
    uint64_t counted = server_counter(&s, "refused_gate_ip_conns") +
                       server_counter(&s, "refused_gate_ip_rate") +
                       server_counter(&s, "refused_gate_net_conns");
    printf("%llu served, %llu refused\n", (unsigned long long) served, (unsigned long long) refused);
    ck_assert_uint_eq(counted, refused);
    ck_assert_uint_gt(refused, ADDRESSES);
    ck_assert_uint_gt(served, ADDRESSES);
    ck_assert_uint_eq(server_counter(&s, "opened"), server_counter(&s, "accepted") - refused);
    unlink(path);
}
END_TEST

/* Goal: after a death all come back at once: rates are four times as high for a while, connections at a time are as
 * ever. */
START_TEST(after_a_death)
{
    struct server s;
    int in[9];
    static const char *const args[] = {"server.supervise=on", "admit.ip_rate=2", "admit.ip_conns=8", NULL};
    mortal_start(&s, args);
    for (int i = 0; i < 2; i++)
        comer_in(&s, "127.1.0.1", &in[i]);
    comer_out(&s, "127.1.0.1");
    mortal_die(&s, DIE_ABORT);
    mortal_served_again(&s);
    for (int i = 0; i < 2; i++)
        close(in[i]);
    for (int i = 0; i < 8; i++)
        comer_in(&s, "127.1.0.1", &in[i]);
    comer_out(&s, "127.1.0.1");
    for (int i = 0; i < 8; i++)
        close(in[i]);
    server_stop(&s);
}
END_TEST

Suite *admission_suite(void)
{
    Suite *s = suite_create("admission");
    TCase *c = itest_case(s, "counts", 20);
    tcase_add_test(c, connections_of_an_address);
    tcase_add_test(c, connections_of_a_network);
    tcase_add_test(c, other_families);
    tcase_add_test(c, rates);
    tcase_add_test(c, the_pace_of_accepting);
    tcase_add_test(c, a_stop_while_they_wait);
    c = itest_case(s, "files and bans", 20);
    tcase_add_test(c, files);
    tcase_add_test(c, files_with_mistakes);
    tcase_add_test(c, banned_for_a_while);
    c = itest_case(s, "whatever happens", 30);
    tcase_add_test(c, a_takeover);
    tcase_add_test(c, descriptors_that_are_lost);
    tcase_add_test(c, a_full_table);
    tcase_add_test(c, the_book);
    tcase_add_test(c, after_a_death);
    return s;
}
