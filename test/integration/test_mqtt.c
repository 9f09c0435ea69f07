/*
 * test_mqtt.c: example/mqtt: a framing of an application's own, driven by mosquitto's clients and by plain bytes, cut
 * at every byte; what is no MQTT; names, wills, silence.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"

#define PUB "/usr/bin/mosquitto_pub"
#define SUB "/usr/bin/mosquitto_sub"

/* A text of bytes that may be zero, and its length. */
#define BYTES(text) (text), sizeof(text) - 1

#define CONNECT   "\x10\x0c\0\4MQTT\4\2\0\0\0\0" /* nobody in particular */
#define CONNACK   "\x20\2\0\0"
#define SUBSCRIBE "\x82\6\0\1\0\1a\0"
#define SUBACK    "\x90\3\0\1\0"
#define PING      "\xc0\0"
#define PINGRESP  "\xd0\0"
#define PUBLISH   "\x30\5\0\1ahi"

static void start(struct server *s)
{
    static const char *const args[] = {"127.0.0.1:0", NULL};
    server_launch(s, &(struct launch){.program = "mqtt", .args = args, .bare = true});
}

static void expect(int fd, const char *bytes, size_t n)
{
    char got[256];
    client_recv(fd, got, n);
    for (size_t i = 0; i < n; i++)
        ITEST_ASSERT(got[i] == bytes[i], "byte %zu of %zu came back as %02x, not %02x", i, n,
                     (unsigned char) got[i], (unsigned char) bytes[i]);
}

/* A client that has said these bytes, which are a good CONNECT. */
static int enter_as(const struct server *s, const char *bytes, size_t n)
{
    int fd = client_open(s);
    client_send(fd, bytes, n);
    expect(fd, BYTES(CONNACK));
    return fd;
}

static int enter(const struct server *s)
{
    return enter_as(s, BYTES(CONNECT));
}

/* One that hears the topic a. */
static int enter_ear(const struct server *s)
{
    int fd = enter(s);
    client_send(fd, BYTES(SUBSCRIBE));
    expect(fd, BYTES(SUBACK));
    return fd;
}

/* All that this client has said so far has been done. */
static void ping(int fd)
{
    client_send(fd, BYTES(PING));
    expect(fd, BYTES(PINGRESP));
}

/* ---- mosquitto ---- */

static const char *port_of(const struct server *s)
{
    static char text[8];
    snprintf(text, sizeof text, "%u", s->port);
    return text;
}

/* What is printed by a subscriber, as a condition to wait for. */
struct printed {
    const char *file, *text;
};

static bool is_printed(void *arg)
{
    const struct printed *p = arg;
    char *all = program_slurp(p->file);
    bool found = strstr(all, p->text) != NULL;
    free(all);
    return found;
}

static void publish(const struct server *s, const char *topic, const char *option, const char *what)
{
    char out[200], err[200];
    const char *const args[] = {"-h", "127.0.0.1", "-p", port_of(s), "-t", topic, option, what, NULL};
    int code = itest_run(&(struct launch){.program = PUB, .args = args, .bare = true}, out, sizeof out, err,
                         sizeof err);
    ck_assert_msg(code == 0, "mosquitto_pub: %d: %s", code, err);
}

/* Goal: mosquitto's own clients: a subscriber of two topics hears what is said in them, a message of 60,000 bytes
 * too, in order, and nothing else. */
START_TEST(mosquitto_talks)
{
    struct server s;
    char dir[64], out[96], err[96], large[96];
    static char text[60001];
    if (access(PUB, X_OK) != 0 || access(SUB, X_OK) != 0)
        TEST_SKIP("no mosquitto-clients here");
    start(&s);
    program_make_dir(dir, sizeof dir);
    snprintf(out, sizeof out, "%s/out", dir);
    snprintf(err, sizeof err, "%s/err", dir);
    snprintf(large, sizeof large, "%s/large", dir);
    memset(text, 'x', sizeof text - 1);
    FILE *f = fopen(large, "w");
    ck_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    const char *const args[] = {"-oL", SUB,   "-h", "127.0.0.1", "-p", port_of(&s), "-t", "news/now",
                                "-t",  "two", "-C", "4",         "-d", "-v",        NULL};
    pid_t sub = program_start(&(struct launch){.program = "/usr/bin/stdbuf", .args = args, .bare = true},
                              NULL, out, err);
    ck_assert(itest_wait(is_printed, &(struct printed){out, "Subscribed (mid: 1)"}, 10000));
    publish(&s, "news/now", "-m", "first");
    publish(&s, "news", "-m", "not for you");
    publish(&s, "two", "-f", large);
    publish(&s, "news/now", "-m", "third");
    publish(&s, "two", "-m", "last");
    ck_assert_int_eq(program_wait(sub, itest_deadline(10000)), 0);
    char *all = program_slurp(out);
    const char *first = strstr(all, "\nnews/now first\n"), *big = strstr(all, text);
    const char *third = strstr(all, "\nnews/now third\n"), *last = strstr(all, "\ntwo last\n");
    ck_assert(first != NULL && big > first && third > big && last > third);
    ck_assert(strncmp(big - 4, "two x", 5) == 0 && strstr(all, "not for you") == NULL);
    free(all);
    program_remove_dir(dir);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), 4);
}
END_TEST

/* ---- Cut at every byte ---- */

static const char script[] = CONNECT SUBSCRIBE PING "\xa2\5\0\2\0\1a" PING PUBLISH PING;
static const char answers[] = CONNACK SUBACK PINGRESP "\xb0\2\0\2" PINGRESP PINGRESP;
enum { SCRIPT = sizeof script - 1, ANSWERS = sizeof answers - 1 };

/* Say the script in pieces: up to `cut`, then `step` bytes at a time. `other` is served after each: so it was read. */
static void say_in_pieces(const struct server *s, size_t cut, size_t step, int other)
{
    int fd = client_open(s);
    for (size_t at = 0, n; at < SCRIPT; at += n) {
        n = at < cut ? cut : step;
        n = n < SCRIPT - at ? n : SCRIPT - at;
        client_send(fd, script + at, n);
        if (n < SCRIPT)
            ping(other);
    }
    expect(fd, answers, ANSWERS);
    ck_assert_int_eq(recv(fd, (char[1]){0}, 1, MSG_DONTWAIT), -1);
    close(fd);
}

/* Goal: packets cut at any byte, a byte at a time, and all at once are answered alike, and what is published is
 * heard by others once. */
START_TEST(cut_at_every_byte)
{
    struct server s;
    start(&s);
    int ear = enter_ear(&s), other = enter(&s);
    for (size_t cut = 1; cut <= SCRIPT; cut++) {
        say_in_pieces(&s, cut, SCRIPT, other);
        expect(ear, BYTES(PUBLISH));
    }
    say_in_pieces(&s, 0, 1, other);
    expect(ear, BYTES(PUBLISH));
    ping(ear);
    close(ear);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), SCRIPT + 1);
}
END_TEST

/* ---- What is no MQTT, or not now ---- */

static const struct {
    const char *bytes;
    size_t n;
    const char *counter;
    bool before; /* before CONNECT */
} bad[] = {
    {BYTES(PING), "closed_function_error", true},
    {BYTES(PUBLISH), "closed_function_error", true},
    {BYTES(SUBSCRIBE), "closed_function_error", true},
    {BYTES("\xa2\5\0\2\0\1a"), "closed_function_error", true},
    {BYTES("\xe0\0"), "closed_function_error", true},
    {BYTES("\x10\x0c\0\4MQTX\4\2\0\0\0\0"), "closed_function_error", true},
    {BYTES("GET / HTTP/1.1\r\n\r\n"), "closed_bad_frame", true},
    {BYTES("\x16\3\1\2\0\1\0\1\xfc\3\3"), "closed_bad_frame", true},
    {BYTES(CONNECT), "closed_function_error", false},
    {BYTES("\x30\5\0\1+hi"), "closed_function_error", false},
    {BYTES("\x30\5\0\4ahi"), "closed_function_error", false},
    {BYTES("\x30\4\0\0hi"), "closed_function_error", false},
    {BYTES("\x30\0"), "closed_function_error", false},
    {BYTES("\x32\7\0\1a\0\1hi"), "closed_bad_frame", false},
    {BYTES("\x30\xff\xff\xff\xff"), "closed_bad_frame", false},
    {BYTES("\x30\xf8\xff\3"), "closed_bad_length", false},
    {BYTES("\x82\6\0\0\0\1a\0"), "closed_function_error", false},
    {BYTES("\x82\2\0\1"), "closed_function_error", false},
    {BYTES("\x82\1\0"), "closed_function_error", false},
    {BYTES("\x82\6\0\1\0\1a\3"), "closed_function_error", false},
    {BYTES("\x82\5\0\1\0\1a"), "closed_function_error", false},
    {BYTES("\xc0\1\0"), "closed_function_error", false},
    {BYTES("\xe0\1\0"), "closed_function_error", false},
};
enum { BAD = sizeof bad / sizeof bad[0] };

/* Goal: whatever is no MQTT, or comes before a CONNECT or where it must not, ends its connection, unanswered, for the
 * reason that it is; others notice nothing. */
START_TEST(what_must_not_be)
{
    struct server s;
    start(&s);
    int ear = enter_ear(&s);
    for (size_t i = 0; i < BAD; i++) {
        int fd = bad[i].before ? client_open(&s) : enter(&s);
        client_send(fd, bad[i].bytes, bad[i].n);
        client_expect_fin(fd);
    }
    ping(ear);
    close(ear);
    server_finish(&s);
    for (size_t i = 0; i < BAD; i++) {
        uint64_t same = 0;
        for (size_t k = 0; k < BAD; k++)
            same += strcmp(bad[i].counter, bad[k].counter) == 0;
        ck_assert_msg(server_counter(&s, bad[i].counter) == same, "%s: %lu, not %lu", bad[i].counter,
                      (unsigned long) server_counter(&s, bad[i].counter), (unsigned long) same);
    }
}
END_TEST

/* Goal: what a client cannot have is refused in the words of the protocol: other versions, no name for a session
 * that is to be kept, a pattern of topics. */
START_TEST(what_is_refused)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *answer;
        size_t len;
    } refused[] = {
        {BYTES("\x10\x0d\0\4MQTT\5\2\0\0\0\0\0"), BYTES("\x20\3\0\x84\0")},
        {BYTES("\x10\x0c\0\4MQTT\3\2\0\0\0\0"), BYTES("\x20\2\0\1")},
        {BYTES("\x10\x0c\0\4MQTT\4\0\0\0\0\0"), BYTES("\x20\2\0\2")},
    };
    struct server s;
    start(&s);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        int fd = client_open(&s);
        client_send(fd, refused[i].bytes, refused[i].n);
        expect(fd, refused[i].answer, refused[i].len);
        client_expect_fin(fd);
    }
    int fd = enter(&s);
    client_send(fd, BYTES("\x82\x12\0\7\0\3a/+\0\0\1#\1\0\3a/b\2"));
    expect(fd, BYTES("\x90\5\0\7\x80\x80\0"));
    close(fd);
    server_finish(&s);
}
END_TEST

/* ---- Names, wills, silence ---- */

/* A client named n, whose will is "gone" in the topic a; one whose keep alive is a second besides. */
#define NAMED     "\x10\x16\0\4MQTT\4\6\0\0\0\1n\0\1a\0\4gone"
#define IMPATIENT "\x10\x16\0\4MQTT\4\6\0\1\0\1n\0\1a\0\4gone"
#define GONE      "\x30\7\0\1agone"

/* Which of two connections ends first, with a FIN. */
static int first_to_end(int a, int b)
{
    struct pollfd p[] = {{.fd = a, .events = POLLIN}, {.fd = b, .events = POLLIN}};
    ck_assert_int_ge(poll(p, 2, ms_left(itest_deadline(10000))), 1);
    return p[0].revents != 0 ? a : b;
}

/* Goal: of two clients with one name one ends (the older one; where they came right behind each other it may be
 * either), and its will is said; so it is when a client's connection is reset, and not after DISCONNECT. */
START_TEST(names_and_wills)
{
    struct server s;
    start(&s);
    int ear = enter_ear(&s);
    int old = enter_as(&s, BYTES(NAMED));
    int new = enter_as(&s, BYTES(NAMED));
    int ended = first_to_end(old, new), stays = ended == old ? new : old;
    client_expect_fin(ended);
    expect(ear, BYTES(GONE));
    ping(stays);
    client_send(stays, BYTES("\xe0\0"));
    client_expect_fin(stays);
    int fd = enter_as(&s, BYTES(NAMED));
    client_reset(fd);
    expect(ear, BYTES(GONE));
    ping(ear);
    close(ear);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_replaced"), 1);
    ck_assert_uint_eq(server_counter(&s, "push_targets"), 2);
}
END_TEST

/* Goal: a client that is silent for one and a half times what it has said ends, its will is said; one that pings in
 * time stays. */
START_TEST(silence_ends)
{
    struct server s;
    start(&s);
    int ear = enter_ear(&s);
    int lively = enter_as(&s, BYTES("\x10\x0c\0\4MQTT\4\2\0\2\0\0"));
    uint64_t began = mono_ns();
    int silent = enter_as(&s, BYTES(IMPATIENT));
    client_expect_fin(silent);
    unsigned ms = itest_ms_since(began);
    ck_assert_msg(ms >= 1500 && ms < 1500 + 1000 * ITEST_SLOW, "after %u ms", ms);
    expect(ear, BYTES(GONE));
    ping(lively);
    while (itest_ms_since(began) < 3300) /* longer than it may be silent, but it was not */
        itest_sleep(100);
    ping(lively);
    close(lively);
    close(ear);
    server_finish(&s);
}
END_TEST

Suite *mqtt_suite(void)
{
    Suite *s = suite_create("mqtt");
    TCase *c = itest_case(s, "mosquitto", 30);
    tcase_add_test(c, mosquitto_talks);
    c = itest_case(s, "bytes", 20);
    tcase_add_test(c, cut_at_every_byte);
    tcase_add_test(c, what_must_not_be);
    tcase_add_test(c, what_is_refused);
    tcase_add_test(c, names_and_wills);
    tcase_add_test(c, silence_ends);
    return s;
}
