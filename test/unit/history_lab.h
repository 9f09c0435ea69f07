/*
 * history_lab.h: what the tests of histories share: a group, those who come back to it, and a house (history.h) that is
 * played: what each one hears is looked at, packet by packet.
 */
#ifndef MARIO_UNIT_HISTORY_LAB_H
#define MARIO_UNIT_HISTORY_LAB_H

#include "mario/cluster/history.h"
#include "mario/mario_cluster.h"
#include "unit.h"

enum { CONNS = 24, MOST = 4096, RUNS = 256, EVENTS = 8192, GROUP = 7, LEN_LEAST = 20 };

/* One who comes back: what it was told, and what it has got since. */
struct ear {
    bool is_member, is_coming, is_gone, is_off; /* off: it has left while it was coming */
    uint32_t told;
    struct mario_resumed last;
    uint64_t next;            /* number it expects */
    uint64_t epoch, seq;      /* what it has, for coming back */
    uint32_t got;             /* messages with a number since it was told */
    uint32_t heard[MOST + 1]; /* how often each tag came */
    uint64_t place;           /* for the test's use */
    uint32_t unnumbered;      /* messages with the number 0 */
    uint32_t waiting;         /* bytes that wait */
};

struct call {
    uint64_t id;
    int32_t (*f)(CONN *c, void *arg);
    void *arg;
};

/* Everybody, and what he shares with the others. */
struct lab {
    uint64_t random;
    uint32_t full;   /* of a hundred tries, how many find a full ring */
    uint64_t clock;  /* ns */
    uint64_t tags;   /* given */
    uint32_t filler; /* bytes of a message beyond LEN_LEAST, at most */
    void (*hears)(struct ear *e, uint64_t seq, uint64_t tag); /* each packet; or NULL */
    bool may_skip;                                            /* numbers may have holes, and begin anew */
    struct ear ear[CONNS + 1];
    struct call call[RUNS];
    uint32_t calls;
    bool is_sequenced;
    uint32_t packets;  /* messages to the group that are made of packets */
    bool holds_orders; /* what is posted waits in `order`, one */
    struct mario_route_order order;
};
extern struct lab lab;
extern const struct history_house lab_house;

void lab_setup(uint64_t seed);
uint32_t lab_draw(uint32_t below);
/* A message of the next tag. */
struct mario_msg *lab_make(void);
/* One is sent to the group. */
void lab_say(void);
/* mario_resume(), of somebody who is not a member. */
void lab_come(uint32_t id, uint64_t epoch, uint64_t seq);
/* Somebody leaves, with what it has; or comes back. */
void lab_come_or_leave(uint32_t id);
/* Run the i-th of the functions that are ordered. */
void lab_run(uint32_t i);
/* mario_history() */
void lab_keep(uint32_t n);
/* What a packet on the wire is: its number and tag. Whether that was one. */
bool lab_read(const void *bytes, uint32_t len, uint64_t *seq, uint64_t *tag);

#endif
