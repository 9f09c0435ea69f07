/*
 * push_book.h: what is published in mode push, to whom, and what a subscriber must hear of it. Pure functions over the
 * caller's bytes, any thread.
 *
 * Message number s of publisher p goes to group (p + s) % groups, so each publisher goes round all of them, and has
 * number s / groups among his to that group. It falls due as number s * publishers + p of all messages. Its bytes:
 *
 *     offset 0   uint64 when it was due, mono_ns()
 *     offset 8   payload.h's: the publisher as connection, the number in its group as sequence number
 */
#ifndef LOAD_PUSH_BOOK_H
#define LOAD_PUSH_BOOK_H

#include <stdint.h>

#include "options.h"
#include "test/lib/pace.h"
#include "test/lib/payload.h"

#define PUSH_TEXT_MIN (8u + PAYLOAD_HEAD_LEN)

/* Bytes of the packets. */
#define PUSH_SAY_HEAD  16u /* HEAD and group */
#define PUSH_SAID_HEAD 18u /* HEAD, group and uid */

/* What one subscriber has heard of one publisher in one group. All 0 = nothing. */
struct push_heard {
    uint32_t next;   /* one more than the highest number heard */
    uint32_t count;  /* messages, each once */
    uint64_t window; /* bit i: next - 1 - i was heard */
};

enum push_news {
    PUSH_NEXT,  /* the one that was to come */
    PUSH_AHEAD, /* others before it have not come, yet */
    PUSH_LATE,  /* such a one, out of order */
    PUSH_AGAIN  /* heard before, or more than 64 behind the highest */
};

enum push_news push_hear(struct push_heard *h, uint32_t number);

/* Write the SAY with message s of publisher p to out, PUSH_SAY_HEAD + o->size bytes. `pace` is that of all messages. */
void push_build(const struct load_options *o, const struct pace *pace, uint32_t p, uint64_t s,
                unsigned char *out);

/* A whole SAID of the right length, as found: which message it is. */
struct push_found {
    uint32_t publisher, group; /* group: 0 .. groups-1 */
    uint32_t number;           /* among the publisher's in this group */
    uint64_t due;
};

/* Read in, PUSH_SAID_HEAD + o->size bytes. 0, or -1: its content is not that of any message. */
int push_read(const struct load_options *o, const struct pace *pace, const unsigned char *in,
              struct push_found *found);

/* When message s of publisher p is due. */
uint64_t push_due(const struct load_options *o, const struct pace *pace, uint32_t p, uint64_t s);

/* Of the `published` messages of publisher p, those to this group. */
uint64_t push_share(const struct load_options *o, uint32_t p, uint64_t published, uint32_t group);

/* How many messages there are in each group when publisher p has published published[p]. totals has o->groups
 * places. */
void push_totals(const struct load_options *o, const uint64_t *published, uint64_t *totals);

#endif
