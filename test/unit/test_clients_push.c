/*
 * test_clients_push.c: what clients show of others' text, and mode push of mario_load. That it says all is well counts
 * only if it finds each kind of fault: so it is run against a small server, a process of its own, that hands messages
 * on and misbehaves as it is told. Run by the unit test runner.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clients.h"
#include "protocol/mario_protocol.h"
#include "test/lib/clock.h"
#include "test/lib/show.h"
#include "test/lib/wire.h"

/* Goal: text of others reaches a terminal as text: nothing that is no UTF-8, or that a terminal obeys. */
START_TEST(text_is_shown_as_text)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        {"hello", "hello"},
        {"\033[31mred\n\r\x7f", ".[31mred..."},
        {"\xe4\xbd\xa0\xe5\xa5\xbd \xc3\xa9 \xf0\x9f\x98\x80",
         "\xe4\xbd\xa0\xe5\xa5\xbd \xc3\xa9 \xf0\x9f\x98\x80"},
        {"\xc2\x9b"
         "2J",
         "..2J"}, /* a control character of 8 bits */
        {"\xe2\x80\xae"
         "x",
         "...x"},                            /* from right to left */
        {"\xc1\xa1 \xe0\x80\x9b", ".. ..."}, /* longer than it need be */
        {"\xed\xa0\x80 \xff \x80", "... . ."},
        {"cut \xe4\xbd", "cut .."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *shown = NULL;
        size_t size = 0;
        FILE *f = open_memstream(&shown, &size);
        show_text(f, (const unsigned char *) rows[i].text, strlen(rows[i].text));
        fclose(f);
        ck_assert_str_eq(shown, rows[i].shown);
        free(shown);
    }
}
END_TEST

enum misdeed {
    DEED_NONE,
    DEED_DROP,     /* a message does not come */
    DEED_TWICE,    /* it comes twice */
    DEED_SWAP,     /* it comes behind the next one of its publisher */
    DEED_WRONG,    /* its last byte is changed */
    DEED_DUE,      /* a byte of when it was due is */
    DEED_FROM,     /* a byte of who said it is */
    DEED_GROUP,    /* it comes as one of another group */
    DEED_STRANGER, /* one of a group that was not joined comes, besides */
    DEED_STX,      /* a byte of its stx is changed */
    DEED_LENGTH,   /* it is a byte shorter */
    DEED_PART,     /* half of it, then the end */
    DEED_RESET,    /* a reset instead */
    DEED_TAKEN,    /* the login is refused */
    DEED_SILENT,   /* the login is not answered */
    DEED_BUSY,     /* all joins are refused once, and what is asked again is not */
    DEED_NEVER,    /* they are refused for ever */
    DEED_NO_SIGN,  /* the publisher's last request is not answered */
    DEED_SLOW,     /* everything comes, 30 ms late */
    DEED_NODE /* when the culprit has heard some, all connections to the second port end, and it is closed */
};

enum { SUBSCRIBERS = 9, CULPRIT = 3, NTH = 10, CLIENTS_MAX = 64, NODES = 2, JOINS_MAX = 8, SLOW_MS = 30 };

struct client {
    int fd; /* -1 = none */
    int node;
    unsigned char in[4096];
    size_t have;
    uint16_t uid;
    uint64_t groups[JOINS_MAX];
    unsigned joins, refused, heard;
    unsigned char late[256]; /* DEED_SWAP */
    size_t late_len;
};

static struct hub {
    enum misdeed deed;
    int listeners[NODES]; /* two ports, as if there were two servers that know of each other */
    struct client clients[CLIENTS_MAX];
    unsigned count;
} hub;

static void give(struct client *c, const void *p, size_t n)
{
    if (c->fd >= 0 && send(c->fd, p, n, MSG_NOSIGNAL) != (ssize_t) n)
        return; /* the client may have closed; its ledger is what is judged */
}

static void answer(struct client *c, uint16_t akg_id, int refused)
{
    unsigned char p[WIRE_HEAD_LEN + 1];
    wire_put_head(p, (struct wire_head){MARITCP_STX, (uint16_t) (WIRE_HEAD_LEN + (refused != 0)), akg_id});
    p[WIRE_HEAD_LEN] = (unsigned char) refused;
    give(c, p, WIRE_HEAD_LEN + (refused != 0));
}

static void drop_client(struct client *c, bool reset)
{
    struct linger at_once = {.l_onoff = 1};
    if (reset)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else
        shutdown(c->fd, SHUT_WR);
    if (reset)
        close(c->fd);
    c->fd = -1;
}

/* As when a process is killed. */
static void end_second_node(void)
{
    for (unsigned i = 0; i < hub.count; i++)
        if (hub.clients[i].node == 1 && hub.clients[i].fd >= 0)
            drop_client(&hub.clients[i], true);
    close(hub.listeners[1]);
    hub.listeners[1] = -1;
}

/* Hand a SAID of n bytes to the culprit for the n-th time. */
static void misdo(struct client *c, unsigned char *p, size_t n)
{
    static const struct {
        enum misdeed deed;
        size_t at;
    } flips[] = {{DEED_STX, 1}, {DEED_GROUP, 8}, {DEED_FROM, 17}, {DEED_DUE, 20}};
    for (size_t i = 0; i < sizeof flips / sizeof flips[0]; i++)
        if (flips[i].deed == hub.deed)
            p[flips[i].at] ^= 1;
    if (hub.deed == DEED_WRONG)
        p[n - 1] ^= 1;
    if (hub.deed == DEED_LENGTH)
        wire_put16(p + 4, (uint16_t) --n);
    if (hub.deed == DEED_SWAP)
        memcpy(c->late, p, c->late_len = n);
    if (hub.deed == DEED_TWICE)
        give(c, p, n);
    if (hub.deed == DEED_PART)
        n /= 2;
    if (hub.deed != DEED_DROP && hub.deed != DEED_SWAP && hub.deed != DEED_RESET)
        give(c, p, n);
    if (hub.deed == DEED_PART || hub.deed == DEED_RESET)
        drop_client(c, hub.deed == DEED_RESET);
}

static void hand(struct client *c, unsigned char *p, size_t n)
{
    unsigned char copy[256];
    memcpy(copy, p, n);
    if (c->uid == CULPRIT && ++c->heard == NTH && hub.deed != DEED_NODE) {
        misdo(c, copy, n);
        return;
    }
    give(c, copy, n);
    if (c->uid == CULPRIT && c->heard == NTH)
        end_second_node();
    if (c->late_len == 0 || memcmp(c->late + WIRE_HEAD_LEN, copy + WIRE_HEAD_LEN, 10) != 0)
        return; /* it waits for the next of the same publisher to the same group */
    give(c, c->late, c->late_len);
    c->late_len = 0;
}

static bool is_in(const struct client *c, uint64_t group)
{
    for (unsigned i = 0; i < c->joins; i++)
        if (c->groups[i] == group)
            return true;
    return false;
}

static void say_to_all(const struct client *from, const unsigned char *p, size_t n)
{
    unsigned char said[256];
    uint64_t group = wire_get64(p + WIRE_HEAD_LEN);
    wire_put_head(said, (struct wire_head){MARITCP_STX, (uint16_t) (n + 2), CMD_FUNCTION_SAID});
    wire_put64(said + WIRE_HEAD_LEN, group);
    wire_put16(said + 16, from->uid);
    memcpy(said + 18, p + 16, n - 16);
    for (unsigned i = 0; i < hub.count; i++) {
        struct client *c = &hub.clients[i];
        bool stranger = hub.deed == DEED_STRANGER && c->uid == CULPRIT && c->joins > 0;
        if (c != from && c->fd >= 0 && (is_in(c, group) || stranger))
            hand(c, said, n + 2);
    }
}

/* Whether this join is refused; each is, once, if that is the deed. */
static bool refuses(struct client *c)
{
    return hub.deed == DEED_NEVER || (hub.deed == DEED_BUSY && c->refused++ < 2);
}

static void serve(struct client *c, const unsigned char *p, size_t n)
{
    struct wire_head h = wire_get_head(p);
    bool culprit = false;
    switch (h.akg_id) {
    case CMD_FUNCTION_LOGIN:
        c->uid = wire_get16(p + WIRE_HEAD_LEN);
        culprit = c->uid == CULPRIT;
        if (!culprit || hub.deed != DEED_SILENT)
            answer(c, h.akg_id, culprit && hub.deed == DEED_TAKEN ? REFUSED_TAKEN : 0);
        break;
    case CMD_FUNCTION_JOIN:
        if (refuses(c)) {
            answer(c, h.akg_id, REFUSED_BUSY);
            break;
        }
        if (!is_in(c, wire_get64(p + WIRE_HEAD_LEN)) && c->joins < JOINS_MAX)
            c->groups[c->joins++] = wire_get64(p + WIRE_HEAD_LEN);
        answer(c, h.akg_id, 0);
        break;
    case CMD_FUNCTION_SAY:
        if (hub.deed == DEED_SLOW)
            nanosleep(&(struct timespec){.tv_nsec = SLOW_MS * (long) NS_PER_MS}, NULL);
        say_to_all(c, p, n);
        break;
    default:
        if (hub.deed != DEED_NO_SIGN)
            give(c, p, n);
    }
}

static void take(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, MSG_DONTWAIT);
    if (n <= 0 && !(n < 0 && errno == EAGAIN)) {
        close(c->fd);
        c->fd = -1;
        return;
    }
    c->have += n > 0 ? (size_t) n : 0;
    while (c->fd >= 0 && c->have >= WIRE_HEAD_LEN && c->have >= wire_get_head(c->in).pkglen) {
        size_t len = wire_get_head(c->in).pkglen;
        serve(c, c->in, len);
        c->have -= len;
        memmove(c->in, c->in + len, c->have);
    }
}

/* Serve for ever, dying with the test. */
_Noreturn static void misbehave(enum misdeed deed)
{
    hub.deed = deed;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        struct pollfd p[CLIENTS_MAX + NODES];
        unsigned count = hub.count;
        for (unsigned i = 0; i < count; i++)
            p[i] = (struct pollfd){.fd = hub.clients[i].fd, .events = POLLIN};
        for (unsigned i = 0; i < NODES; i++)
            p[count + i] = (struct pollfd){.fd = hub.listeners[i], .events = POLLIN};
        poll(p, count + NODES, -1);
        for (unsigned i = 0; i < count; i++)
            if (p[i].revents != 0 && hub.clients[i].fd >= 0)
                take(&hub.clients[i]);
        for (int i = 0; i < NODES; i++) {
            bool ready = (p[count + (unsigned) i].revents & POLLIN) != 0;
            int fd = ready && hub.listeners[i] >= 0 ? accept(hub.listeners[i], NULL, NULL) : -1;
            if (fd >= 0 && hub.count < CLIENTS_MAX)
                hub.clients[hub.count++] = (struct client){.fd = fd, .node = i};
        }
    }
}

/* Listen on a free port. */
static int open_port(uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) (void *) &a, n), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) (void *) &a, &n), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static pid_t start_hub(enum misdeed deed, uint16_t ports[NODES])
{
    for (int i = 0; i < NODES; i++)
        hub.listeners[i] = open_port(&ports[i]);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        misbehave(deed);
    for (int i = 0; i < NODES; i++)
        close(hub.listeners[i]);
    return pid;
}

/* Run mario_load against it, "HOST PORT" or "-H ...", and read its JSON. Returns its exit code. */
static int run_push(const char *target, const char *options, char *json, size_t size)
{
    char command[512];
    const char *program = getenv("MARIO_LOAD");
    snprintf(command, sizeof command, "%s %s -m push -c %d -w 0 -t 0.3 -D %u %s -j - 2>/dev/null",
             program != NULL ? program : "test/mario_load", target, SUBSCRIBERS, UNIT_SLOW, options);
    FILE *f = popen(command, "re"); // NOLINT: a command of our own
    ck_assert_ptr_nonnull(f);
    size_t n = fread(json, 1, size - 1, f);
    json[n] = '\0';
    int status = pclose(f);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run_against(enum misdeed deed, const char *options, char *json, size_t size)
{
    uint16_t ports[NODES];
    char target[64];
    pid_t pid = start_hub(deed, ports);
    snprintf(target, sizeof target, "127.0.0.1 %u", ports[0]);
    int code = run_push(target, options, json, size);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return code;
}

/* The same with both of its ports, as two servers. */
static int run_on_two(enum misdeed deed, const char *options, char *json, size_t size)
{
    uint16_t ports[NODES];
    char target[64];
    pid_t pid = start_hub(deed, ports);
    snprintf(target, sizeof target, "-H 127.0.0.1:%u,127.0.0.1:%u", ports[0], ports[1]);
    int code = run_push(target, options, json, size);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    return code;
}

/* The number behind "key": in the text; -1 if there is none. */
static double number_in(const char *json, const char *key)
{
    char name[64];
    double value = -1;
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(json, name);
    if (at != NULL && sscanf(at + strlen(name), "%lf", &value) != 1)
        value = -1;
    return value;
}

static const struct {
    enum misdeed deed;
    int code;
    const char *key; /* where it is counted */
    double count;    /* and how often */
    bool ends;       /* the culprit's connection is lost, with what it had not heard */
} deeds[] = {
    {DEED_NONE, 0, "ready", SUBSCRIBERS + 2, false},
    {DEED_DROP, 1, "missing", 1, false},
    {DEED_TWICE, 1, "again", 1, false},
    {DEED_SWAP, 1, "out_of_order", 1, false},
    {DEED_WRONG, 1, "bad_content", 1, true},
    {DEED_DUE, 1, "bad_content", 1, true},
    {DEED_FROM, 1, "bad_content", 1, true},
    {DEED_GROUP, 1, "bad_content", 1, true},
    {DEED_STRANGER, 1, "bad_content", 1, true},
    {DEED_STX, 1, "bad_stx", 1, true},
    {DEED_LENGTH, 1, "bad_length", 1, true},
    {DEED_PART, 1, "closed", 1, true},
    {DEED_RESET, 1, "reset", 1, true},
    {DEED_TAKEN, 1, "closed", 1, false},
    {DEED_SILENT, 1, "timeout", 1, false},
    {DEED_BUSY, 0, "ready", SUBSCRIBERS + 2, false},
    {DEED_NEVER, 1, "timeout", SUBSCRIBERS, false},
    {DEED_NO_SIGN, 1, "timeout", 2, false},
};

/* Goal: each misdeed is found, named and counted, and the book balances whatever happens. */
START_TEST(push_finds_misdeeds)
{
    char json[8192];
    const char *threads = _i % 2 == 0 ? "-T 1" : "-T 3",
               *more = "-r 400 --publishers 2 --groups 5 --joins 2 ";
    char options[128];
    snprintf(options, sizeof options, "%s%s", more, threads);
    int code = run_against(deeds[_i].deed, options, json, sizeof json);
    ck_assert_msg(code == deeds[_i].code, "exit code %d: %s", code, json);
    ck_assert_msg(number_in(json, deeds[_i].key) == deeds[_i].count, "%s", json);
    ck_assert_double_eq(number_in(json, "expected"),
                        number_in(json, "all_received") + number_in(json, "missing") +
                            number_in(json, "unheard") + number_in(json, "unsaid"));
    ck_assert_msg((number_in(json, "unheard") > 0) == deeds[_i].ends, "%s", json);
    ck_assert_double_ge(number_in(json, "all_published"), 119);
    ck_assert_double_le(number_in(json, "all_published"), 121);
}
END_TEST

/* Goal: what is expected is what that many subscribers in that many groups must hear, and all is received. */
START_TEST(push_counts)
{
    static const char *const options[] = {"-r 300", "-r 300 --groups 3 --joins 3 --publishers 7 -T 4",
                                          "-r 300 -s 24", "-r 300 -s 200 --groups 4 --joins 1"};
    static const double each[] = {SUBSCRIBERS, SUBSCRIBERS, SUBSCRIBERS, SUBSCRIBERS / 4.0};
    char json[8192];
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        int code = run_against(DEED_NONE, options[i], json, sizeof json);
        ck_assert_msg(code == 0, "%s: exit code %d: %s", options[i], code, json);
        double published = number_in(json, "all_published"), expected = number_in(json, "expected");
        ck_assert_double_ge(published, 89);
        ck_assert_msg(expected > (published - 4) * each[i] && expected < (published + 4) * each[i], "%s: %s",
                      options[i], json);
        ck_assert_double_eq(number_in(json, "all_received"), expected);
        ck_assert_double_eq(number_in(json, "count"), expected);
    }
}
END_TEST

/* Goal: a time is that from when a message was due to when it came, not shorter. */
START_TEST(push_times_are_true)
{
    char json[8192];
    ck_assert_int_eq(run_against(DEED_SLOW, "-r 20 -t 0.5", json, sizeof json), 0);
    ck_assert_msg(number_in(json, "p50") >= SLOW_MS * 1000.0, "%s", json);
    ck_assert_msg(number_in(json, "p50") < SLOW_MS * 100000.0, "%s", json); /* a busy machine adds to it */
}
END_TEST

/* Goal: what cannot go well is refused before anything is opened: exit code 2. */
START_TEST(push_refuses)
{
    static const char *const bad[] = {"",
                                      "-r 0",
                                      "-r 5 -c 0",
                                      "-r 5 -i 1",
                                      "-r 5 -p 2",
                                      "-r 5 -a echo",
                                      "-r 5 -s 23",
                                      "-r 5 -s 65518",
                                      "-r 5 --joins 2",
                                      "-r 5 --groups 0",
                                      "-r 5 --publishers 0",
                                      "-r 5 --ramp 5",
                                      "-m closed --groups 2",
                                      "-r 5 -D 0.2",
                                      "-r 5 -H 127.0.0.1:1",
                                      "-m closed --reconnect"};
    char json[8192];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(run_push("127.0.0.1 1", bad[i], json, sizeof json) == 2, "%s",
                      bad[i]); /* nobody is there */
    ck_assert_str_eq(json, "");
}
END_TEST

/* The number behind "key": of one of the servers of -H. */
static double number_of_node(const char *json, int node, const char *key)
{
    const char *at = strstr(json, "\"nodes\":");
    for (int i = 0; i <= node && at != NULL; i++)
        at = strstr(at + 1, "{\"target\"");
    return at == NULL ? -1 : number_in(at, key);
}

static double number_of_both(const char *json, const char *key)
{
    return number_of_node(json, 0, key) + number_of_node(json, 1, key);
}

/* Goal: with several servers all is heard across them, and who did what is told apart; what is
 * lost is found across them, and said of the server from which it did not come. */
START_TEST(push_over_two_servers)
{
    static const char options[] = "-r 400 --publishers 4 --groups 2 --joins 2 -T 2 -D 1";
    char json[8192];
    int code = run_on_two(DEED_NONE, options, json, sizeof json);
    ck_assert_msg(code == 0, "exit code %d: %s", code, json);
    ck_assert_msg(number_of_both(json, "connections") == SUBSCRIBERS + 4, "%s", json);
    ck_assert_double_eq(number_of_both(json, "received"), number_in(json, "all_received"));
    ck_assert_double_eq(number_of_both(json, "published"), number_in(json, "all_published"));
    ck_assert_msg(number_of_node(json, 0, "published") > 40 && number_of_node(json, 1, "published") > 40,
                  "%s", json);
    ck_assert_int_eq(run_on_two(DEED_DROP, options, json, sizeof json), 1);
    ck_assert_msg(number_in(json, "missing") == 1, "%s", json);
    ck_assert_msg(number_of_both(json, "missing") == 1, "%s", json);
    ck_assert_msg(number_of_node(json, 0, "connections") > 4 && number_of_node(json, 1, "connections") > 4,
                  "%s", json);
}
END_TEST

/* Goal: when a server is gone, its connections are counted as lost with it, those of the other have lost nothing that
 * was said to it; with --reconnect those come back there, and nothing is wrong. */
START_TEST(push_loses_a_server)
{
    char json[8192], options[128];
    snprintf(options, sizeof options, "-r 400 --publishers 4 --groups 2 --joins 2 -t 0.8 -D %u %s", UNIT_SLOW,
             _i == 0 ? "" : "--reconnect");
    int code = run_on_two(DEED_NODE, options, json, sizeof json);
    ck_assert_msg(code == (_i == 0), "exit code %d: %s", code, json);
    ck_assert_msg(number_in(json, "missing") == 0 && number_in(json, "again") == 0, "%s", json);
    ck_assert_msg(number_of_node(json, 1, "unheard") == (_i == 0 ? number_in(json, "unheard") : 0), "%s",
                  json);
    ck_assert_msg(number_in(json, "unheard") > 0, "%s", json);
    double gone = number_of_node(json, 1, _i == 0 ? "reset" : "broken");
    ck_assert_msg(gone == 6, "%s", json);
    ck_assert_msg(number_of_node(json, 0, "reset") == 0, "%s", json);
    ck_assert_msg(number_in(json, "returned") == (_i == 0 ? 0 : gone), "%s", json);
    ck_assert_double_eq(number_in(json, "expected"), number_in(json, "all_received") +
                                                         number_in(json, "unheard") +
                                                         number_in(json, "unsaid"));
}
END_TEST

void clients_push_cases(Suite *s)
{
    TCase *c = unit_case(s, "push", 30);
    tcase_add_test(c, text_is_shown_as_text);
    tcase_add_loop_test(c, push_finds_misdeeds, 0, (int) (sizeof deeds / sizeof deeds[0]));
    tcase_add_test(c, push_counts);
    tcase_add_test(c, push_times_are_true);
    tcase_add_test(c, push_refuses);
    tcase_add_test(c, push_over_two_servers);
    tcase_add_loop_test(c, push_loses_a_server, 0, 2);
}
