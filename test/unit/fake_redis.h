/*
 * fake_redis.h: a server that greets like Redis and then does what a test wants. In the loop of a rig, on its thread.
 */
#ifndef TEST_FAKE_REDIS_H
#define TEST_FAKE_REDIS_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_CONNS = 64 };

enum fake_greets {
    FAKE_GREETS,
    FAKE_GREETS_SLOWLY, /* a byte at a time */
    FAKE_SAYS_NOTHING,
    FAKE_CLOSES
};

struct fake_redis {
    struct event_base *base;
    struct event *accepting;
    char address[32];
    enum fake_greets how;
    uint32_t accepted;
    struct fake_conn {
        struct fake_redis *fake;
        int fd; /* -1: none */
        struct event *readable;
        bool subscribes; /* it is the one with the subscriptions */
        size_t heard;    /* bytes that came */
    } conns[FAKE_CONNS];
};

/* Listen on a free port of the loopback; for a node, with its epoch. */
void fake_redis_begin(struct fake_redis *f, struct event_base *base, enum fake_greets how);
void fake_redis_end(struct fake_redis *f);
/* Send these bytes on all connections of one kind. How many there are. */
unsigned fake_redis_say(struct fake_redis *f, bool subscriptions, const void *bytes, size_t len);
/* Bytes that came on those of one kind since it was asked last. */
size_t fake_redis_heard(struct fake_redis *f, bool subscriptions);

#endif
