/*
 * test_commands.c: maritcp's commands about others, through a real server with two workers: who gets what, in what
 * order, what login.policy means, what is refused. The clients that speak of these have test_talk.c.
 *
 * Connections go to the workers in turns, so each test's first and second are on different ones.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "program.h"

/* ---- Who gets what ---- */

/* Push to a user until all n connections have heard the same push: with login.policy = many LOGIN is answered before
 * the user's home knows of it. Nothing else is on its way to them then. */
static void await_user(int from, uint16_t uid, const int *fds, unsigned n)
{
    uint64_t until = itest_deadline(COMMANDS_SOON_MS);
    unsigned heard = 0;
    for (uint32_t number = 0; heard < n; number++) {
        ITEST_ASSERT(mono_ns() < until, "only %u of %u connections hear what is for %u", heard, n, uid);
        commands_send(from, CMD_FUNCTION_PUSH_TO, uid, 2, &number, sizeof number);
        commands_bare(from, CMD_FUNCTION_PUSH_TO);
        heard = 0;
        for (unsigned i = 0; i < n; i++) {
            struct pollfd p = {.fd = fds[i], .events = POLLIN};
            unsigned char data[8] = {0};
            bool is_it = false;
            while (!is_it && poll(&p, 1, 20 * ITEST_SLOW) == 1) {
                client_recv_packet(fds[i], CMD_FUNCTION_PUSHED, data, sizeof data);
                is_it = memcmp(data + 2, &number, sizeof number) == 0;
            }
            heard += is_it;
        }
    }
}

/* Goal: a push reaches all of a user's connections and no others, on whatever worker; uid 0 and 65535 are users too;
 * and who sends may be the one who gets it. */
START_TEST(a_user_has_all_his_connections)
{
    static const uint16_t uids[] = {0, 7, 65535};
    struct server s;
    server_start(&s, "maritcp", "server.workernum=2", NULL);
    for (size_t u = 0; u < sizeof uids / sizeof uids[0]; u++) {
        int other = commands_open(&s, 100), his[4];
        for (size_t i = 0; i < 4; i++)
            his[i] = commands_open(&s, uids[u]);
        await_user(other, uids[u], his, 4);
        commands_push(other, uids[u], "to all of him");
        commands_bare(other, CMD_FUNCTION_PUSH_TO);
        for (size_t i = 0; i < 4; i++)
            commands_pushed(his[i], 100, "to all of him");
        commands_push(his[0], uids[u], "");
        commands_bare(his[0], CMD_FUNCTION_PUSH_TO); /* a push stands behind what its function writes */
        for (size_t i = 0; i < 4; i++)
            commands_pushed(his[i], uids[u], "");
        commands_quiet(other);
        for (size_t i = 0; i < 4; i++)
            close(his[i]);
        close(other);
    }
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "push_targets"), 3 * 12);
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

/* Goal: a group is who has joined and not left; who speaks does not hear himself, and need not be in it; who has gone
 * is in no group. */
START_TEST(a_group_is_who_is_in_it)
{
    uint64_t group = 0xfedcba9876543210;
    struct server s;
    server_start(&s, "maritcp", "server.workernum=2", NULL);
    int a = commands_open(&s, 1), b = commands_open(&s, 2), c = commands_open(&s, 3),
        d = commands_open(&s, 4);
    ck_assert_uint_eq(commands_who(a, group), 0);
    commands_join(a, group);
    commands_await_who(a, group, 1);
    commands_join(b, group);
    commands_join(c, group);
    commands_join(c, group);
    commands_await_who(a, group, 3);
    commands_say(a, group, "from a member");
    commands_said(b, group, 1, "from a member");
    commands_said(c, group, 1, "from a member");
    commands_say(d, group, "from outside");
    commands_said(a, group, 4, "from outside");
    commands_said(b, group, 4, "from outside");
    commands_said(c, group, 4, "from outside");
    commands_send(b, CMD_FUNCTION_LEAVE, group, 8, "", 0);
    commands_bare(b, CMD_FUNCTION_LEAVE);
    commands_send(d, CMD_FUNCTION_LEAVE, group, 8, "", 0); /* he never was */
    commands_bare(d, CMD_FUNCTION_LEAVE);
    commands_await_who(a, group, 2);
    commands_say(a, group, "");
    commands_said(c, group, 1, "");
    commands_quiet(b);
    commands_quiet(d);
    close(c);
    commands_await_who(a, group, 1);
    commands_quiet(a);
    close(a);
    close(b);
    close(d);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 6);
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

/* ---- Order ---- */

enum { RUNS = 400, BURST = 8 };

/* Receive what the writer says and pushes, RUNS of each; both must count up from 0. */
static void hear_in_order(int fd)
{
    unsigned next_said = 0, next_pushed = 0;
    while (next_said + next_pushed < 2 * RUNS) {
        unsigned char head[WIRE_HEAD_LEN], data[64];
        client_recv(fd, head, sizeof head);
        struct wire_head h = wire_get_head(head);
        bool said = h.akg_id == CMD_FUNCTION_SAID;
        size_t n = h.pkglen - WIRE_HEAD_LEN;
        ITEST_ASSERT(n == (said ? 14u : 6u) && (said || h.akg_id == CMD_FUNCTION_PUSHED), "0x%04x with %zu",
                     h.akg_id, n);
        client_recv(fd, data, n);
        unsigned *next = said ? &next_said : &next_pushed, number = wire_get32(data + n - 4);
        ITEST_ASSERT(number == *next, "%s number %u instead of %u", said ? "SAID" : "PUSHED", number, *next);
        (*next)++;
    }
}

/* Goal: what one connection says to a group, and what it pushes to a user, arrives in the order in which it was sent,
 * on the same worker and on the other, however it comes in. */
START_TEST(order_is_kept)
{
    struct server s;
    unsigned char burst[BURST * 64];
    server_start(&s, "maritcp", "server.workernum=2", "login.policy=kick_old", "push.queue=0", NULL);
    int writer = commands_open(&s, 1), readers[2] = {commands_open(&s, 2), commands_open(&s, 3)};
    commands_join(readers[0], 9);
    commands_join(readers[1], 9);
    commands_await_who(writer, 9, 2);
    for (unsigned i = 0; i < RUNS;) {
        size_t n = 0;
        for (unsigned k = 0; k < BURST; k++, i++) {
            unsigned char data[12];
            wire_put64(data, 9);
            wire_put32(data + 8, i);
            n += client_packet(burst + n, CMD_FUNCTION_SAY, data, 12);
            wire_put32(data + 2, i);
            for (uint16_t uid = 2; uid <= 3; uid++) {
                wire_put16(data, uid);
                n += client_packet(burst + n, CMD_FUNCTION_PUSH_TO, data, 6);
            }
        }
        client_send(writer, burst, n);
        for (unsigned k = 0; k < 2 * BURST; k++)
            commands_bare(writer, CMD_FUNCTION_PUSH_TO);
    }
    hear_in_order(readers[0]);
    hear_in_order(readers[1]);
    close(writer);
    close(readers[0]);
    close(readers[1]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), 4 * RUNS);
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

/* ---- login.policy ---- */

/* Goal: kick_old: the newest connection stays, with the pushes; the older one hears a FIN, with the reason replaced;
 * logging in again on the same connection kicks nobody, and another uid leaves the former one free. */
START_TEST(kick_old_keeps_the_newest)
{
    struct server s;
    server_start(&s, "maritcp", "server.workernum=2", "login.policy=kick_old", "collect.interval=1", NULL);
    int sender = commands_open(&s, 1), old = commands_open(&s, 7);
    commands_login(old, 7);
    commands_push(sender, 7, "you are alone");
    commands_bare(sender, CMD_FUNCTION_PUSH_TO);
    commands_pushed(old, 1, "you are alone");
    for (int i = 0; i < 5; i++) {
        int next = commands_open(&s, 7);
        commands_push(sender, 7, "the newest");
        commands_bare(sender, CMD_FUNCTION_PUSH_TO);
        commands_pushed(next, 1, "the newest");
        client_expect_fin(old);
        old = next;
    }
    server_wait_log(&s, "online 2 (", COMMANDS_SOON_MS);
    commands_login(old, 8);
    int other = commands_open(&s, 7);
    commands_push(sender, 8, "still here");
    commands_bare(sender, CMD_FUNCTION_PUSH_TO);
    commands_pushed(old, 1, "still here");
    commands_quiet(other);
    close(other);
    close(old);
    close(sender);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_replaced"), 5);
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

/* Goal: refuse_new: the one who is there stays and is not disturbed; a newcomer is told why and hears a FIN; the uid
 * is free when its connection ends or takes another. */
START_TEST(refuse_new_keeps_the_oldest)
{
    struct server s;
    server_start(&s, "maritcp", "server.workernum=2", "login.policy=refuse_new", NULL);
    int sender = commands_open(&s, 1), old = commands_open(&s, 7);
    commands_login(old, 7);
    for (int i = 0; i < 5; i++) {
        int fd = client_open(&s);
        commands_send(fd, CMD_FUNCTION_LOGIN, 7, 2, "", 0);
        commands_refused(fd, CMD_FUNCTION_LOGIN, REFUSED_TAKEN);
        client_expect_fin(fd);
    }
    commands_push(sender, 7, "still you");
    commands_bare(sender, CMD_FUNCTION_PUSH_TO);
    commands_pushed(old, 1, "still you");
    commands_login(old, 8);
    int next = commands_open(&s, 7);
    close(old);
    close(next);
    /* Their ends are noticed soon. */
    for (uint16_t uid = 7; uid <= 8; uid++) {
        uint64_t until = itest_deadline(COMMANDS_SOON_MS);
        unsigned char data[8];
        for (size_t n = 1; n == 1 && mono_ns() < until;) {
            int fd = client_open(&s);
            commands_send(fd, CMD_FUNCTION_LOGIN, uid, 2, "", 0);
            n = client_recv_packet(fd, CMD_FUNCTION_LOGIN, data, sizeof data);
            close(fd);
            ck_assert(n == 0 || mono_ns() < until);
        }
    }
    close(sender);
    s.log_lines_max = 100;
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "closed_function_error"), 5);
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

enum { RACERS = 50 };

/* Read what a racer has got; whether it has ended. Nothing but answers to LOGIN comes to it. */
static bool racer_ended(int fd, size_t *bytes)
{
    unsigned char in[64];
    ssize_t n = recv(fd, in, sizeof in, MSG_DONTWAIT);
    for (ssize_t at = 0; at + 8 <= n; at += 8)
        ITEST_ASSERT(wire_get_head(in + at).akg_id == CMD_FUNCTION_LOGIN, "0x%04x came",
                     wire_get_head(in + at).akg_id);
    *bytes += n > 0 ? (size_t) n : 0;
    ITEST_ASSERT(n >= 0 || errno == EAGAIN, "a racer was reset");
    return n == 0;
}

/* Log in on all of fds[0 .. RACERS], of which the last is in already, at the same time, and wait until all but one have
 * ended. Returns that one. */
static int race(int *fds)
{
    unsigned char packet[16], uid[2];
    size_t bytes[RACERS + 1] = {0},
                          n = client_packet(packet, CMD_FUNCTION_LOGIN, (wire_put16(uid, 7), uid), 2);
    uint64_t until = itest_deadline(COMMANDS_SOON_MS);
    unsigned open = RACERS + 1;
    for (unsigned i = 0; i < RACERS; i++)
        ITEST_ASSERT(net_send(fds[i], packet, n) == (ssize_t) n, "a LOGIN was not taken");
    while (open > 1) {
        struct pollfd p[RACERS + 1];
        for (unsigned i = 0; i < RACERS + 1; i++)
            p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
        ITEST_ASSERT(poll(p, RACERS + 1, 1000) >= 0 && mono_ns() < until, "%u of the racers stay open", open);
        for (unsigned i = 0; i < RACERS + 1; i++)
            if (p[i].revents != 0 && racer_ended(fds[i], &bytes[i])) {
                close(fds[i]);
                fds[i] = -1;
                open--;
            }
    }
    unsigned left = 0;
    while (fds[left] < 0)
        left++;
    if (left < RACERS && bytes[left] == 0)
        commands_bare(fds[left], CMD_FUNCTION_LOGIN);
    return fds[left];
}

/* Goal: of any number of logins of one user at the same time on two workers, one survives each time, and it is the one
 * that the pushes go to: no end of an older one has unbound it. */
START_TEST(of_many_logins_one_survives)
{
    unsigned rounds = 100000 / RACERS / (ITEST_SLOW == 1 ? 1 : ITEST_SLOW * 4);
    char listen[128], path[64];
    struct server s;
    program_make_dir(path, sizeof path);
    snprintf(listen, sizeof listen, "unix:%s/socket", path);
    const char *const args[] = {"server.workernum=2", "login.policy=kick_old", NULL};
    server_launch(&s, &(struct launch){.program = "maritcp", .args = args, .listen = listen});
    int survivor = commands_open(&s, 7);
    for (unsigned r = 0; r < rounds; r++) {
        int fds[RACERS + 1];
        for (unsigned i = 0; i < RACERS; i++)
            fds[i] = client_open(&s);
        fds[RACERS] = survivor;
        survivor = race(fds);
        commands_push(survivor, 7, "me");
        commands_bare(survivor, CMD_FUNCTION_PUSH_TO);
        commands_pushed(survivor, 7, "me");
    }
    close(survivor);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_replaced"), (uint64_t) rounds * RACERS);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), rounds);
    commands_ledger(&s);
    server_check(&s);
    program_remove_dir(path);
}
END_TEST

/* ---- What is refused ---- */

/* Goal: a command before LOGIN, one that is too short, too long or about group 0, ends its connection with
 * function_error, and so does a LOGIN of another length; what only the server says is unknown. Nothing comes of it. */
START_TEST(bad_commands_end_the_connection)
{
    static const struct {
        uint16_t akg_id;
        bool before; /* LOGIN */
        size_t n;    /* bytes of data: all 1, or all 0 */
        int byte;
        bool unknown;
    } cases[] = {
        {CMD_FUNCTION_PUSH_TO, true, 5, 1, false},  {CMD_FUNCTION_JOIN, true, 8, 1, false},
        {CMD_FUNCTION_LEAVE, true, 8, 1, false},    {CMD_FUNCTION_SAY, true, 9, 1, false},
        {CMD_FUNCTION_WHO, true, 8, 1, false},      {CMD_FUNCTION_LOGIN, true, 3, 1, false},
        {CMD_FUNCTION_LOGIN, true, 1, 1, false},    {CMD_FUNCTION_PUSH_TO, false, 1, 1, false},
        {CMD_FUNCTION_PUSH_TO, false, 0, 1, false}, {CMD_FUNCTION_JOIN, false, 7, 1, false},
        {CMD_FUNCTION_JOIN, false, 9, 1, false},    {CMD_FUNCTION_JOIN, false, 8, 0, false},
        {CMD_FUNCTION_LEAVE, false, 7, 1, false},   {CMD_FUNCTION_LEAVE, false, 9, 1, false},
        {CMD_FUNCTION_LEAVE, false, 8, 0, false},   {CMD_FUNCTION_SAY, false, 7, 1, false},
        {CMD_FUNCTION_SAY, false, 8, 0, false},     {CMD_FUNCTION_SAY, false, 65526, 1, false},
        {CMD_FUNCTION_SAY, false, 65527, 1, false}, {CMD_FUNCTION_WHO, false, 7, 1, false},
        {CMD_FUNCTION_WHO, false, 9, 1, false},     {CMD_FUNCTION_WHO, false, 8, 0, false},
        {CMD_FUNCTION_PUSHED, false, 5, 1, true},   {CMD_FUNCTION_SAID, false, 12, 1, true},
    };
    struct server s;
    server_start(&s, "maritcp", "server.workernum=2", "server.max_pkglen=65535", NULL);
    s.log_lines_max = 100; /* each of these ends is said */
    int member = commands_open(&s, 0x0101);
    commands_join(member, 0x0101010101010101);
    unsigned unknown = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char data[WIRE_PACKET_MAX];
        int fd = cases[i].before ? client_open(&s) : commands_open(&s, 2);
        memset(data, cases[i].byte, sizeof data);
        client_send_packet(fd, cases[i].akg_id, data, cases[i].n);
        client_expect_fin(fd);
        unknown += cases[i].unknown;
    }
    commands_quiet(member);
    ck_assert_uint_eq(commands_who(member, 0x0101010101010101), 1);
    close(member);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_unknown_akg"), unknown);
    ck_assert_uint_eq(server_counter(&s, "closed_function_error"), sizeof cases / sizeof cases[0] - unknown);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 0);
    server_check(&s);
}
END_TEST

/* Goal: the longest things that can be pushed and said arrive whole, also where packets may not be that long. */
START_TEST(the_longest_arrive)
{
    static char text[SAY_MAX + 1];
    struct server s;
    memset(text, 'x', SAY_MAX);
    server_start(&s, "maritcp", "server.workernum=2", "server.max_pkglen=65535", "login.policy=kick_old",
                 NULL);
    int a = commands_open(&s, 1), b = commands_open(&s, 2);
    commands_join(b, 3);
    commands_await_who(a, 3, 1);
    commands_say(a, 3, text);
    commands_said(b, 3, 1, text);
    commands_push(a, 2, text);
    commands_bare(a, CMD_FUNCTION_PUSH_TO);
    commands_pushed(b, 1, text);
    close(a);
    close(b);
    server_finish(&s);
    server_check(&s);
    text[100] = '\0';
    server_start(&s, "maritcp", "server.max_pkglen=116", NULL); /* a SAY has 16 bytes of head, a SAID 18 */
    a = commands_open(&s, 1);
    b = commands_open(&s, 2);
    commands_join(b, 3);
    commands_await_who(a, 3, 1);
    commands_say(a, 3, text);
    commands_said(b, 3, 1, text);
    close(a);
    close(b);
    server_finish(&s);
    server_check(&s);
}
END_TEST

enum { FLOOD = 600 };

/* Goal: pushes that find no room are refused, each, and counted, their connection goes on; those that were accepted all
 * arrive, in order. */
START_TEST(what_finds_no_room_is_refused)
{
    struct server s;
    static unsigned char flood[FLOOD * 14];
    size_t n = 0;
    unsigned accepted = 0, next = 0;
    server_start(&s, "maritcp", "server.workernum=2", "push.ring=16", "push.queue=0", "login.policy=kick_old",
                 NULL);
    int sender = commands_open(&s, 1), receiver = commands_open(&s, 2);
    for (unsigned i = 0; i < FLOOD; i++) {
        unsigned char data[6];
        wire_put16(data, 2);
        wire_put32(data + 2, i);
        n += client_packet(flood + n, CMD_FUNCTION_PUSH_TO, data, sizeof data);
    }
    client_send(sender, flood, n);
    bool taken[FLOOD];
    for (unsigned i = 0; i < FLOOD; i++) {
        unsigned char data[8];
        size_t len = client_recv_packet(sender, CMD_FUNCTION_PUSH_TO, data, sizeof data);
        taken[i] = len == 0;
        accepted += taken[i];
        ITEST_ASSERT(len == 0 || (len == 1 && data[0] == REFUSED_BUSY), "an answer of %zu bytes", len);
    }
    ck_assert_msg(accepted >= 16 && accepted < FLOOD, "%u were accepted", accepted);
    for (unsigned i = 0; i < accepted; i++, next++) {
        unsigned char data[8];
        while (!taken[next])
            next++;
        ITEST_ASSERT(client_recv_packet(receiver, CMD_FUNCTION_PUSHED, data, sizeof data) == 6 &&
                         wire_get32(data + 2) == next,
                     "not number %u", next);
    }
    commands_push(sender, 2, "again");
    commands_bare(sender, CMD_FUNCTION_PUSH_TO);
    commands_pushed(receiver, 1, "again");
    close(sender);
    close(receiver);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_refused_ring"), FLOOD - accepted);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), accepted + 1);
    commands_ledger(&s);
    server_check(&s);
}
END_TEST

enum { STORM = 300 };

/* Goal: any number of clients may log in and join at the same moment, also if their orders are far more than a ring has
 * room for: nobody is refused. */
START_TEST(a_storm_of_logins_is_no_flood)
{
    static const char *const policies[] = {"login.policy=many", "login.policy=kick_old"};
    struct server s;
    int fds[STORM];
    server_start(&s, "maritcp", "server.workernum=2", "push.ring=16", policies[_i], NULL);
    for (unsigned i = 0; i < STORM; i++)
        fds[i] = client_open(&s);
    for (int command = 0; command < 2; command++) {
        server_signal(&s, SIGSTOP); /* so that all is there when it looks */
        for (unsigned i = 0; i < STORM; i++)
            commands_send(fds[i], command == 0 ? CMD_FUNCTION_LOGIN : CMD_FUNCTION_JOIN, i + 1,
                          command == 0 ? 2 : 8, "", 0);
        server_signal(&s, SIGCONT);
        for (unsigned i = 0; i < STORM; i++)
            commands_bare(fds[i], command == 0 ? CMD_FUNCTION_LOGIN : CMD_FUNCTION_JOIN);
    }
    for (unsigned i = 0; i < STORM; i++)
        close(fds[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_refused_ring"), 0);
    server_check(&s);
}
END_TEST

Suite *commands_suite(void)
{
    Suite *s = suite_create("commands");
    TCase *c = itest_case(s, "commands", 60);
    tcase_add_test(c, a_user_has_all_his_connections);
    tcase_add_test(c, a_group_is_who_is_in_it);
    tcase_add_test(c, order_is_kept);
    tcase_add_test(c, kick_old_keeps_the_newest);
    tcase_add_test(c, refuse_new_keeps_the_oldest);
    tcase_add_test(c, of_many_logins_one_survives);
    tcase_add_test(c, bad_commands_end_the_connection);
    tcase_add_test(c, the_longest_arrive);
    tcase_add_test(c, what_finds_no_room_is_refused);
    tcase_add_loop_test(c, a_storm_of_logins_is_no_flood, 0, 2);
    return s;
}
