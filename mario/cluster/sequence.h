/*
 * sequence.h: numbers that tell a receiver what he missed. Each sender numbers what it publishes on a channel, in its
 * order; numbers of a channel only rise, and follow each other unless the sender has forgotten the channel meanwhile
 * (FRAME_FIRST). Both sides remember a bounded number of channels, the last ones: who is forgotten misses nothing, only
 * a loss may then not be noticed. The cluster's thread.
 */
#ifndef MARIO_CLUSTER_SEQUENCE_H
#define MARIO_CLUSTER_SEQUENCE_H

#include <stdbool.h>
#include <stdint.h>

enum { SEQUENCE_PLACES = 65536 };

struct sequence_sent {
    uint64_t key, last;
    uint8_t kind; /* enum channel_kind; 0: nothing is here */
};
struct sequence_got {
    uint64_t epoch, key, last;
    uint16_t subscription; /* what was sent before this one is not missed */
    uint8_t kind;
};
struct sequences {
    struct sequence_sent *sent; /* [SEQUENCE_PLACES] */
    struct sequence_got *got;   /* the same */
    uint64_t highest;           /* number given to anything */
    uint64_t seed;
};

/* False without memory. */
bool sequences_init(struct sequences *s, uint64_t seed);
void sequences_fini(struct sequences *s);

/* The next number on a channel; sequence_use() takes it. */
uint64_t sequence_next(const struct sequences *s, unsigned kind, uint64_t key, bool *first);
void sequence_use(struct sequences *s, unsigned kind, uint64_t key, uint64_t seq);

/* What comes of a node on a channel, which we are subscribed to by this subscription. False: it was here before. *lost:
 * so many before it did not come. */
bool sequence_check(struct sequences *s, uint64_t epoch, unsigned kind, uint64_t key, uint16_t subscription,
                    uint64_t seq, bool first, uint64_t *lost);

#endif
