/*
 * rooms.h: which connections of this worker are in which groups. A room is a group's members here; it exists while it
 * has some. 16 bytes a membership: a list on both sides, each entry with its place in the other side's. So leaving
 * costs the same however many members there are, but for finding the entry: the shorter of both lists is searched. The
 * shard's thread; rooms_count() any.
 *
 * A walk sees the members that were there when it began and have not left when their turn comes, each exactly once:
 * while one goes on who leaves leaves a hole, and who joins is behind its end. Afterwards the holes are filled, many at
 * once if they are few, else with what comes and goes. Walks of a room are walked one after another by whoever calls.
 */
#ifndef MARIO_PUSH_ROOMS_H
#define MARIO_PUSH_ROOMS_H

#include "mario/push/table.h"

/* A membership as one side has it: who is on the other side (of a member the room's index, of a room the member's
 * slot), and which one of that one's it is. */
struct membership {
    uint32_t other, place;
};

/* What one connection is in, or who is in one room. All zero: nothing. The first one takes no memory of its own. Room
 * mates that leave change it. */
struct memberships {
    union {
        struct membership first;
        struct membership *many; /* [size], if that is not 0 */
    };
    uint32_t count, size;
};

struct room;
struct rooms {
    struct table index;  /* group -> its room; the count is that of its members */
    struct room *all;    /* [size] */
    uint32_t size, used; /* those in use */
    uint32_t free;       /* 1 + index of the first unused one, 0 = none */
    struct memberships *(*member)(void *arg, uint32_t slot);
    void *arg;
};

/* member(arg, slot): what the connection in that slot is in; asked for those that are in a room. False without
 * memory. */
__attribute__((warn_unused_result)) bool
rooms_init(struct rooms *r, struct memberships *(*member)(void *arg, uint32_t slot), void *arg);
/* Members or not: what they have is freed by rooms_leave_any(), before. */
void rooms_fini(struct rooms *r);

enum joined { JOINED, JOINED_ALREADY, JOINED_NOT /* no memory: nothing has changed */ };
/* m is what the connection in this slot is in. group is not 0. */
enum joined rooms_join(struct rooms *r, uint64_t group, uint32_t slot, struct memberships *m);
/* Whether it is in. */
bool rooms_has(struct rooms *r, uint64_t group, struct memberships *m);
/* Whether it was in. Who has left the last one holds no memory. */
bool rooms_leave(struct rooms *r, uint64_t group, struct memberships *m);
/* Leave one of the groups that it is in, whichever; its number, 0 if it is in none. */
uint64_t rooms_leave_any(struct rooms *r, struct memberships *m);

/* Any thread: members of a group here. */
uint32_t rooms_count(const struct rooms *r, uint64_t group);

/* Groups that it is in, at most n of them: how many were put there. */
uint32_t rooms_of(const struct rooms *r, const struct memberships *m, uint64_t *groups, uint32_t n);

struct room_walk {
    uint32_t room, at, end;
};
/* False if the group has no members here; else rooms_walk_end() is due, once. */
bool rooms_walk_begin(struct rooms *r, uint64_t group, struct room_walk *w);
/* The slots of the next members, at most n: how many; 0 at its end. Between two calls anybody may join and leave. */
uint32_t rooms_walk_next(struct rooms *r, struct room_walk *w, uint32_t *slots, uint32_t n);
void rooms_walk_end(struct rooms *r, struct room_walk *w);

#endif
