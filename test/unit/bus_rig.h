/*
 * bus_rig.h: a driver of a bus, as the cluster's core has it, and all that it tells, written down. The test's thread
 * runs its loop. Failing tests end in here with a message.
 */
#ifndef TEST_BUS_RIG_H
#define TEST_BUS_RIG_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/cluster/bus.h"

enum { RIG_HEARD_MAX = 4096, RIG_BYTES = 64 };

/* What came on a channel, or out of a history. */
struct rig_heard {
    struct channel channel;
    uint64_t epoch, seq; /* not 0: it has a number */
    size_t len;
    char bytes[RIG_BYTES]; /* the first ones, with a NUL */
};

struct rig {
    struct event_base *base;
    const struct bus_ops *ops;
    struct bus *bus;
    struct bus_config config;

    uint32_t ups, downs, rooms, garbage, subscribed, refusals;
    uint32_t part;       /* that was told of last by up, down, room */
    bool up_when_failed; /* is_up() of a part whose answers were told as failed because it was down */
    char why[640], refusal[640];
    struct rig_heard heard[RIG_HEARD_MAX];
    uint32_t heard_n;     /* all that came; heard has the first RIG_HEARD_MAX */
    uint64_t heard_bytes; /* a sum of all bytes that came */
    uint64_t answer;      /* the cookie of the last answer */
    uint32_t answers;     /* to anything with a cookie */
    uint32_t failures;    /* of those */
    uint32_t out_of_turn; /* cookies that were not the last one's successor */
    int64_t receivers;    /* the last published() */
    enum bus_claim claim;
    enum bus_renewed renewed;
    uint32_t renewals;
    uint64_t epoch, last, history_base; /* the end of a history */
};

/* Begin to connect to these servers as node, with epoch; config may be changed before by whoever sets it himself. */
void rig_config(struct rig *r, const char *servers, const char *node, uint64_t epoch);
void rig_create(struct rig *r, const struct bus_ops *ops);
/* Both, and wait until all parts are up. */
void rig_begin(struct rig *r, const struct bus_ops *ops, const char *servers, const char *node,
               uint64_t epoch);
void rig_end(struct rig *r);

/* Run the loop once, a hundredth of a second at most. */
void rig_turn(struct rig *r);
/* Run it until `condition`, 10 s at most (more under a sanitizer). */
#define RIG_UNTIL(r, condition)                                               \
    do {                                                                      \
        uint64_t rig_end_ms = unit_ms() + 10000 * UNIT_SLOW;                  \
        while (!(condition)) {                                                \
            ck_assert_msg(unit_ms() < rig_end_ms, "in vain: %s", #condition); \
            rig_turn(r);                                                      \
        }                                                                     \
    } while (0)
/* Run it for so long. */
void rig_run(struct rig *r, unsigned ms);

/* Subscribe and wait until that is confirmed. */
void rig_subscribe(struct rig *r, enum channel_kind kind, uint64_t key);
/* Publish text with a cookie of its own, which has to be accepted. */
void rig_publish(struct rig *r, enum channel_kind kind, uint64_t key, const char *text, uint64_t cookie);

#endif
