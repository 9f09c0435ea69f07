/*
 * walk.h: one order for many connections, carried out in slices between other work. The shard's thread.
 *
 * What stands in front of a lane and is for many is taken out of it, with what stands right behind and is for the same
 * ones: so many messages for a group cost one walk, and one send a member. The lane then waits until the walk is over,
 * so that what the same thread orders afterwards is carried out afterwards.
 *
 * Walks with the same target (a group; or all, which is a target of its own) begin one after another: so all members
 * see their messages in the same order. Of those with different targets each gets a slice in turn.
 */
#ifndef MARIO_PUSH_WALK_H
#define MARIO_PUSH_WALK_H

#include "mario/push/push.h"

#define WALK_SLICE    256u /* connections at a time */
#define WALK_MESSAGES 64u  /* taken along in one walk */

struct walk {
    struct walk *next; /* younger */
    struct lane *lane;
    unsigned bit;        /* of the lane's port */
    uint64_t group;      /* 0: all */
    bool begun;          /* it walks; until then the target is another's, or nobody is there */
    bool over;           /* nobody is left */
    struct room_walk in; /* a group's */
    uint32_t at, end;    /* all: slots */
    struct each *each;   /* instead of messages; or NULL */
    uint64_t seen;       /* called */
    uint32_t count;
    struct walk_message {
        struct mario_msg *m; /* with a reference */
        uint64_t except;
    } messages[WALK_MESSAGES];
};

/* Take the order in front of the lane, which is for many, out of it into a walk, with those that go along. False
 * without memory: it stays where it is. */
bool walk_take(struct push *p, struct lane *l, unsigned bit);

/* False if a walk with the same target has begun and is not over: w has to wait. */
bool walk_begin(struct shard *s, struct walk *w);
/* The walk whose turn it is, NULL if there is none; it has begun. */
struct walk *walk_turn(struct shard *s);
/* Slots of the next connections of it, at most n: how many; w->over once there are no more. Who is not open any more
 * may be among them. */
uint32_t walk_next(struct shard *s, struct walk *w, uint32_t *slots, uint32_t n);
/* It has had a slice: others have their turn before its next one. */
void walk_yield(struct push *p, struct walk *w);
/* It is over, or given up: its lane goes on, its messages' references go, and its memory. If it was a call on all and
 * that is done everywhere, that is returned, to be finished and freed; else NULL. */
struct each *walk_end(struct shard *s, struct walk *w);

/* One worker less is not through with a call on all: true if that was the last one. Any thread. */
bool each_end(struct each *e, uint64_t seen);

#endif
