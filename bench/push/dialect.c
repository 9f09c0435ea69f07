/*
 * dialect.c: the wire formats of the servers that are measured: MarioTCP's (maritcp, bench/push/server, the
 * yardstick and the chat models), RESP of Redis, MQTT 3.1.1 at QoS 0, and the text of NATS. Only as much of each as is
 * said here.
 */
#include "dialect.h"

#include "mario/mario_akg.h"
#include "protocol.h"
#include "protocol/mario_protocol.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

static void send_all(int fd, const void *bytes, size_t len)
{
    const char *p = bytes;

    while (len > 0) {
        ssize_t sent = send(fd, p, len, MSG_NOSIGNAL);

        if (sent < 0 && errno != EINTR)
            fail("sending to the server");
        if (sent > 0) {
            p += sent;
            len -= (size_t) sent;
        }
    }
}

/* Receive exactly len bytes; they must come within PATIENCE_MS. */
static void recv_all(int fd, void *bytes, size_t len, const char *what)
{
    for (size_t have = 0; have < len;) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};

        errno = 0;
        if (poll(&wait, 1, PATIENCE_MS) == 0)
            fail("no answer: %s", what);
        ssize_t got = recv(fd, (char *) bytes + have, len - have, 0);
        if (got == 0 || (got < 0 && errno != EINTR))
            fail("the server closed: %s", what);
        have += got > 0 ? (size_t) got : 0;
    }
}

static void want(int fd, const void *bytes, size_t len, const char *what)
{
    char got[sizeof((struct talk *) NULL)->answer];

    recv_all(fd, got, len, what);
    errno = 0;
    if (memcmp(got, bytes, len) != 0)
        fail("not the answer that was meant: %s", what);
}

void talk_ask(int fd, const struct talk *t)
{
    send_all(fd, t->ask, t->ask_len);
}

void talk_answer(int fd, const struct talk *t)
{
    want(fd, t->answer, t->answer_len, "logging in, or joining");
}

void talk_skip_line(int fd)
{
    char byte = 0;

    while (byte != '\n')
        recv_all(fd, &byte, 1, "the server's first line");
}

/* ---- MarioTCP ---- */

static size_t mario_packet(char *out, uint16_t akg_id, const void *data, size_t len)
{
    HEAD head = {.stx = MARITCP_STX, .pkglen = (uint16_t) (sizeof head + len), .akg_id = akg_id};

    memcpy(out, &head, sizeof head);
    if (len > 0)
        memcpy(out + sizeof head, data, len);
    return sizeof head + len;
}

static void mario_greet(struct talk *t, unsigned number)
{
    LOGIN_REQ login = {.uid = (uint16_t) number};

    t->ask_len = mario_packet(t->ask, CMD_FUNCTION_LOGIN, &login, sizeof login);
    t->answer_len = mario_packet(t->answer, CMD_FUNCTION_LOGIN, NULL, 0);
}

static void mario_join(struct talk *t, const unsigned *group, unsigned count, unsigned before)
{
    (void) before;
    t->ask_len = t->answer_len = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t name = group[i];

        t->ask_len += mario_packet(t->ask + t->ask_len, CMD_FUNCTION_JOIN, &name, sizeof name);
        t->answer_len += mario_packet(t->answer + t->answer_len, CMD_FUNCTION_JOIN, NULL, 0);
    }
}

/* HEAD, group, who said it if it is told, payload. */
static size_t mario_say(char *out, uint16_t akg_id, uint64_t group, size_t from, const char *payload,
                        size_t len)
{
    size_t more = sizeof group + from;
    HEAD head = {.stx = MARITCP_STX, .pkglen = (uint16_t) (sizeof head + more + len), .akg_id = akg_id};

    memcpy(out, &head, sizeof head);
    memcpy(out + sizeof head, &group, sizeof group);
    memset(out + sizeof head + sizeof group, 0, from); /* the publisher's uid is 0 */
    memcpy(out + sizeof head + more, payload, len);
    return head.pkglen;
}

static size_t mario_publish(char *out, unsigned group, const char *payload, size_t len)
{
    return mario_say(out, CMD_FUNCTION_SAY, group, 0, payload, len);
}

static size_t mario_delivery(char *out, unsigned group, const char *payload, size_t len)
{
    return mario_say(out, CMD_FUNCTION_SAID, group, sizeof(uint16_t), payload, len);
}

static size_t mario_publish_all(char *out, unsigned group, const char *payload, size_t len)
{
    return mario_say(out, BENCH_SAY_ALL, group, 0, payload, len);
}

/* LOGIN again is answered behind what stood before it. */
static void mario_barrier(int fd)
{
    struct talk t;

    mario_greet(&t, 0);
    talk_ask(fd, &t);
    talk_answer(fd, &t);
}

static uint64_t mario_counter(int fd, const char *name)
{
    char bytes[sizeof(HEAD) + DIALECT_ASK];
    uint64_t value;

    send_all(fd, bytes, mario_packet(bytes, BENCH_STAT, name, strnlen(name, DIALECT_ASK)));
    recv_all(fd, bytes, sizeof(HEAD) + sizeof value, name);
    memcpy(&value, bytes + sizeof(HEAD), sizeof value);
    return value;
}

/* ---- Redis ---- */

static void redis_greet(struct talk *t, unsigned number)
{
    (void) number;
    t->ask_len = (size_t) sprintf(t->ask, "PING\r\n");
    t->answer_len = (size_t) sprintf(t->answer, "+PONG\r\n");
}

static void redis_join(struct talk *t, const unsigned *group, unsigned count, unsigned before)
{
    t->ask_len = t->answer_len = 0;
    for (unsigned i = 0; i < count; i++) {
        char name[16];
        int len = sprintf(name, "g%u", group[i]);

        t->ask_len +=
            (size_t) sprintf(t->ask + t->ask_len, "*2\r\n$9\r\nSUBSCRIBE\r\n$%d\r\n%s\r\n", len, name);
        t->answer_len +=
            (size_t) sprintf(t->answer + t->answer_len, "*3\r\n$9\r\nsubscribe\r\n$%d\r\n%s\r\n:%u\r\n", len,
                             name, before + i + 1);
    }
}

static size_t redis_say(char *out, const char *verb, unsigned group, const char *payload, size_t len)
{
    char name[16];
    int name_len = sprintf(name, "g%u", group);
    int at = sprintf(out, "*3\r\n$7\r\n%s\r\n$%d\r\n%s\r\n$%zu\r\n", verb, name_len, name, len);

    memcpy(out + at, payload, len);
    memcpy(out + at + len, "\r\n", 2);
    return (size_t) at + len + 2;
}

static size_t redis_publish(char *out, unsigned group, const char *payload, size_t len)
{
    return redis_say(out, "PUBLISH", group, payload, len);
}

static size_t redis_delivery(char *out, unsigned group, const char *payload, size_t len)
{
    return redis_say(out, "message", group, payload, len);
}

/* Each PUBLISH is answered with a number; they stand before the answer to this. */
static void redis_barrier(int fd)
{
    const char end[] = "+PONG\r\n";
    size_t have = 0;

    send_all(fd, "PING\r\n", 6);
    while (have < sizeof end - 1) {
        char byte;

        recv_all(fd, &byte, 1, "PING");
        have = byte == end[have] ? have + 1 : byte == end[0];
    }
}

/* ---- MQTT: no packet here is longer than 16,383 bytes, so a length has one byte or two ---- */

static size_t mqtt_head(char *out, int kind, size_t len)
{
    size_t at = 0;

    out[at++] = (char) kind;
    if (len > 127)
        out[at++] = (char) (len % 128 | 128);
    out[at++] = (char) (len > 127 ? len / 128 : len);
    return at;
}

static size_t mqtt_text(char *out, const char *text)
{
    size_t len = strlen(text);

    out[0] = (char) (len >> 8);
    out[1] = (char) len;
    memcpy(out + 2, text, len);
    return 2 + len;
}

static void mqtt_greet(struct talk *t, unsigned number)
{
    char body[DIALECT_ASK], name[16];
    size_t len = mqtt_text(body, "MQTT");

    memcpy(body + len, "\4\2\0\0", 4); /* 3.1.1, a clean session, no keepalive */
    sprintf(name, "fan%u", number);
    len += 4 + mqtt_text(body + len + 4, name);
    t->ask_len = mqtt_head(t->ask, 0x10, len);
    memcpy(t->ask + t->ask_len, body, len);
    t->ask_len += len;
    t->answer_len = 4;
    memcpy(t->answer, "\x20\2\0\0", 4);
}

static void mqtt_join(struct talk *t, const unsigned *group, unsigned count, unsigned before)
{
    t->ask_len = t->answer_len = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned id = before + i + 1;
        char topic[16], *at = t->ask + t->ask_len, *granted = t->answer + t->answer_len;

        sprintf(topic, "g%u", group[i]);
        at += mqtt_head(at, 0x82, 5 + strlen(topic));
        *at++ = (char) (id >> 8);
        *at++ = (char) id;
        at += mqtt_text(at, topic);
        *at++ = 0; /* QoS */
        t->ask_len = (size_t) (at - t->ask);
        memcpy(granted, (char[]){(char) 0x90, 3, (char) (id >> 8), (char) id, 0}, 5);
        t->answer_len += 5;
    }
}

static size_t mqtt_publish(char *out, unsigned group, const char *payload, size_t len)
{
    char topic[16];

    sprintf(topic, "g%u", group);
    size_t at = mqtt_head(out, 0x30, 2 + strlen(topic) + len);
    at += mqtt_text(out + at, topic);
    memcpy(out + at, payload, len);
    return at + len;
}

static void mqtt_barrier(int fd)
{
    send_all(fd, "\xc0\0", 2);
    want(fd, "\xd0\0", 2, "PINGREQ");
}

/* ---- NATS ---- */

static void nats_greet(struct talk *t, unsigned number)
{
    (void) number;
    t->ask_len = (size_t) sprintf(t->ask, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nPING\r\n");
    t->answer_len = (size_t) sprintf(t->answer, "PONG\r\n");
}

/* It asks each client once how far away it is, some seconds after it came. */
static void nats_settle(int fd)
{
    want(fd, "PING\r\n", 6, "the server's first PING");
    send_all(fd, "PONG\r\n", 6);
}

static void nats_barrier(int fd)
{
    send_all(fd, "PING\r\n", 6);
    want(fd, "PONG\r\n", 6, "PING");
}

static void nats_join(struct talk *t, const unsigned *group, unsigned count, unsigned before)
{
    t->ask_len = 0;
    for (unsigned i = 0; i < count; i++)
        t->ask_len += (size_t) sprintf(t->ask + t->ask_len, "SUB g%u %u\r\n", group[i], before + i + 1);
    t->ask_len += (size_t) sprintf(t->ask + t->ask_len, "PING\r\n");
    t->answer_len = (size_t) sprintf(t->answer, "PONG\r\n");
}

static size_t nats_say(char *out, const char *begin, const char *payload, size_t len)
{
    int at = sprintf(out, "%s %zu\r\n", begin, len);

    memcpy(out + at, payload, len);
    memcpy(out + at + len, "\r\n", 2);
    return (size_t) at + len + 2;
}

static size_t nats_publish(char *out, unsigned group, const char *payload, size_t len)
{
    char begin[32];

    sprintf(begin, "PUB g%u", group);
    return nats_say(out, begin, payload, len);
}

/* Of the group that was joined first. */
static size_t nats_delivery(char *out, unsigned group, const char *payload, size_t len)
{
    char begin[32];

    sprintf(begin, "MSG g%u 1", group);
    return nats_say(out, begin, payload, len);
}

static const struct dialect dialects[] = {
    {"mario", 0, mario_greet, NULL, mario_join, mario_publish, mario_delivery, mario_barrier, mario_counter},
    {"mario-all", 0, mario_greet, NULL, mario_join, mario_publish_all, mario_delivery, mario_barrier,
     mario_counter},
    {"redis", 0, redis_greet, NULL, redis_join, redis_publish, redis_delivery, redis_barrier, NULL},
    {"mqtt", 0, mqtt_greet, NULL, mqtt_join, mqtt_publish, mqtt_publish, mqtt_barrier, NULL},
    {"nats", 1, nats_greet, nats_settle, nats_join, nats_publish, nats_delivery, nats_barrier, NULL},
};

const struct dialect *dialect_find(const char *name)
{
    for (size_t i = 0; i < sizeof dialects / sizeof dialects[0]; i++)
        if (strcmp(dialects[i].name, name) == 0)
            return &dialects[i];
    return NULL;
}
