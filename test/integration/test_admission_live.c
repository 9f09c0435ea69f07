/*
 * test_admission_live.c: who is let in, while it changes: bans of operators, and a configuration that is read again.
 * Who is in stays, whatever changes.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "comers.h"
#include "operator.h"

/* ---- Operators ---- */

/* Goal: a network that is banned is not let in, who is in stays; it is shown, by whom and why; when it is lifted, or
 * over, it is let in again. */
START_TEST(a_ban_by_hand)
{
    struct server s;
    int in, again;
    server_start(&s, "testapp", operator_option(), "server.workernum=2", NULL);
    comer_in(&s, "127.1.0.1", &in);
    operator_json("gate ban 127.1.0.0/16 1h they try passwords");
    comer_out(&s, "127.1.0.1");
    client_echo(in, 10);
    const char *shown = operator_json("gate show 127.1.2.3");
    ck_assert_str_eq(operator_text(shown, "state"), "banned");
    ck_assert_str_eq(operator_text(shown, "network"), "127.1.0.0/16");
    ck_assert(operator_number(shown, "banned_for") > 3590);
    ck_assert_ptr_nonnull(strstr(shown, "they try passwords"));
    ck_assert_str_eq(operator_text(operator_json("gate show 127.2.2.3"), "state"), "counted");
    ck_assert(operator_number(operator_json("gate list"), "banned") == 1);
    operator_json("gate unban 127.1.0.0/16");
    comer_in(&s, "127.1.0.1", &again);
    close(again);
    operator_json("gate ban 127.1.0.1 1 a second"); /* over by itself */
    comer_out(&s, "127.1.0.1");
    unsigned refused = comer_in_at_last(&s, "127.1.0.1", &again);
    ck_assert(operator_number(operator_json("gate list"), "banned") == 0);
    close(again);
    close(in);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ban"), 2 + refused);
}
END_TEST

/* Goal: what makes no sense is refused, and so is a ban too many. */
START_TEST(bans_that_are_none)
{
    enum { BANS = 256 };
    struct server s;
    server_start(&s, "testapp", operator_option(), NULL);
    s.log_lines_max = 1000;
    operator_refused(2, "bits behind its mask", "gate ban 10.0.0.1/8 60 x");
    operator_refused(2, "is no address", "gate ban nobody 60 x");
    operator_refused(2, "not a time", "gate ban 10.0.0.0/8 soon x");
    operator_refused(2, "why?", "gate ban 10.0.0.0/8 60");
    operator_refused(2, "no ban", "gate ban 10.0.0.0/8 0 x");
    operator_refused(2, "whom", "gate unban");
    operator_refused(2, "is a network", "gate show 10.0.0.0/8");
    operator_refused(2, "limit=", "gate list limit=0");
    operator_refused(1, "not banned", "gate unban 10.0.0.0/8");
    for (unsigned i = 0; i < BANS; i++)
        operator_json("gate ban 10.%u.0.0/16 60 one of many", i);
    operator_json("gate ban 10.7.0.0/16 90 the same once more");
    operator_refused(1, "256 networks are banned already", "gate ban 11.0.0.0/8 60 x");
    const char *list = operator_json("gate list limit=1000");
    ck_assert(operator_number(list, "banned") == BANS);
    ck_assert_uint_eq(operator_count(list, "\"network\""), BANS);
    ck_assert_uint_eq(operator_count(operator_json("gate list limit=5"), "\"network\""), 5);
    server_stop(&s);
}
END_TEST

/* Goal: operators see what the table says of an address, and end a ban that it has come by itself. */
START_TEST(what_the_table_says)
{
    struct server s;
    int in[2];
    server_start(&s, "testapp", operator_option(), "admit.ip_conns=2", "admit.net_conns=100",
                 "admit.ban_after=2", "admit.table=4096", NULL);
    comer_in(&s, "127.1.0.1", &in[0]);
    comer_in(&s, "127.1.0.1", &in[1]);
    comer_out(&s, "127.1.0.1");
    comer_out(&s, "127.1.0.1");
    comer_out(&s, "127.1.0.1");
    const char *shown = operator_json("gate show 127.1.0.1"), *around = strstr(shown, "\"around\"");
    ck_assert_str_eq(operator_text(shown, "state"), "banned");
    ck_assert(operator_number(shown, "connections") == 2);
    ck_assert(around != NULL && operator_number(around, "connections") == 2);
    ck_assert_str_eq(operator_text(around, "network"), "127.1.0.0/24");
    const char *all = operator_json("gate show");
    ck_assert(operator_number(all, "table") == 4096 && operator_number(all, "connections") == 2);
    ck_assert(operator_number(all, "used") == 2 && operator_number(all, "bans") == 1);
    const char *list = operator_json("gate list");
    ck_assert_str_eq(operator_text(list, "network"), "127.1.0.1");
    ck_assert_str_eq(operator_text(list, "by"), "admit.ban_after");
    close(in[0]);
    operator_json("gate unban 127.1.0.1");
    comer_in_at_last(&s, "127.1.0.1", &in[0]);
    close(in[0]);
    close(in[1]);
    server_wait_fds(&s, s.fds, COMER_MS);
    ck_assert(operator_number(operator_json("gate show"), "connections") == 0);
    ck_assert(operator_number(operator_json("gate show"), "with_connections") == 0);
    server_stop(&s);
}
END_TEST

/* ---- Reload ---- */

static char conf_path[64];

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    ck_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

/* Have the server read its configuration, which is this now; master and workers go by it afterwards. */
static void reread(const char *text)
{
    write_file(conf_path, text);
    operator_json("config reload");
    operator_json("gate show");
    operator_json("conn list limit=1");
}

static void start_with(struct server *s, const char *text)
{
    snprintf(conf_path, sizeof conf_path, "/tmp/mario-itest-gate.%d.conf", (int) getpid());
    write_file(conf_path, text);
    server_start(s, "maritcp", "-c", conf_path, operator_option(), "server.workernum=2", NULL);
    s->log_lines_max = 100;
}

/* Goal: limits that were none, others, none again: who is in stays, who comes finds the new ones; nobody is counted who
 * came when nobody was, and all who were counted are counted down. */
START_TEST(limits_come_and_go)
{
    struct server s;
    int before[3], in[3];
    start_with(&s, "[admit]\n");
    for (int i = 0; i < 3; i++)
        comer_in(&s, "127.1.0.1", &before[i]);
    reread("[admit]\nip_conns = 2\n");
    comer_in(&s, "127.1.0.1", &in[0]);
    comer_in(&s, "127.1.0.1", &in[1]);
    comer_out(&s, "127.1.0.1");
    reread("[admit]\nip_conns = 3\n");
    comer_in(&s, "127.1.0.1", &in[2]);
    comer_out(&s, "127.1.0.1");
    reread("[admit]\nip_conns = 1\nnet_conns = 5\nv4_net = 16\n");
    comer_out(&s, "127.1.0.1");
    ck_assert(operator_number(operator_json("gate show"), "connections") == 3);
    for (int i = 0; i < 3; i++) {
        client_echo(before[i], 10);
        client_echo(in[i], 10);
        close(before[i]);
    }
    reread("[admit]\n");
    for (int i = 0; i < 3; i++)
        close(in[i]);
    server_wait_fds(&s, s.fds, COMER_MS);
    ck_assert(operator_number(operator_json("gate show"), "connections") == 0);
    unlink(conf_path);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_ip_conns"), 3);
}
END_TEST

/* Goal: a file of networks is read again with the configuration, though that says the same; one with a mistake changes
 * nothing at all, and the line says where it is. */
START_TEST(a_file_that_changes)
{
    struct server s;
    int in;
    char option[128], conf[256];
    const char *path = comer_file(option, sizeof option, "x", "127.1.0.0/16\n");
    snprintf(conf, sizeof conf, "[admit]\ndeny_file = %s\n", path);
    start_with(&s, conf);
    comer_out(&s, "127.1.0.1");
    write_file(path, "127.2.0.0/16\n");
    reread(conf);
    comer_in(&s, "127.1.0.1", &in);
    comer_out(&s, "127.2.0.1");
    write_file(path, "127.1.0.0/16\n127.3.0.1/16\n");
    snprintf(conf, sizeof conf, "[admit]\ndeny_file = %s\nip_conns = 1\n", path);
    write_file(conf_path, conf);
    operator_refused(1, ":2: '127.3.0.1/16' has bits behind its mask", "config reload");
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "nothing is changed", COMER_MS);
    comer_out(&s, "127.2.0.1");
    int more;
    comer_in(&s, "127.1.0.1", &more);
    close(more);
    close(in);
    unlink(path);
    unlink(conf_path);
    server_finish(&s);
}
END_TEST

/* Goal: limits of what a connection may send, and of its first packet, reach connections that are there. */
START_TEST(limits_of_connections)
{
    struct server s;
    int fd, silent, late;
    start_with(&s, "[limit]\n");
    comer_in(&s, "127.1.0.1", &fd);
    silent = client_open(&s); /* came when there was no such limit */
    operator_await("127.0.0.1", COMER_MS, "conn list");
    reread("[limit]\npackets = 1\naction = close\n[admit]\nfirst_packet = 1\n");
    late = client_open(&s);
    unsigned char packets[2 * (WIRE_HEAD_LEN + 4)];
    size_t n = client_packet(packets, 0x6103, "ping", 4);
    client_packet(packets + n, 0x6103, "pong", 4);
    client_send(fd, packets, 2 * n);
    size_t answered;
    ck_assert_int_eq(client_ending(fd, &answered, COMER_MS), END_FIN);
    ck_assert_uint_eq(answered, n);
    close(fd);
    client_expect_fin(late);
    reread("[limit]\n");
    comer_in(&s, "127.1.0.1", &fd);
    client_send(fd, packets, 2 * n);
    client_recv(fd, packets, 2 * n);
    client_echo(silent, 10);
    close(fd);
    close(silent);
    unlink(conf_path);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_limit"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_first_packet"), 1);
}
END_TEST

Suite *admission_live_suite(void)
{
    Suite *s = suite_create("admission_live");
    TCase *c = itest_case(s, "operators", 20);
    tcase_add_test(c, a_ban_by_hand);
    tcase_add_test(c, bans_that_are_none);
    tcase_add_test(c, what_the_table_says);
    c = itest_case(s, "reload", 20);
    tcase_add_test(c, limits_come_and_go);
    tcase_add_test(c, a_file_that_changes);
    tcase_add_test(c, limits_of_connections);
    return s;
}
