/*
 * robot.h: one robot of very many: it logs in, joins the room that all join and one of its own, talks, and checks all
 * that it hears. One thread for all of them.
 *
 * It does one thing at a time and waits for what must come of it. Half-way one in ten leaves its room and joins it
 * again, one logs in a second time while the first connection is still there, one loses its connection.
 *
 * With several servers a connection that ends is made again at the next one; it goes back to its rooms, must get what
 * was said meanwhile, and does again what it did not hear the end of.
 */
#ifndef ROBOT_H
#define ROBOT_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

/* What all robots are to do; constant. */
extern struct plan {
    struct link_address servers[LINK_SERVERS];
    uint32_t server_count;
    int epoll; /* what it reports has the robot's pointer, with bit 0 for its second connection */
    uint32_t robots, rooms;
    uint32_t lines;       /* each says so many */
    uint32_t interval_ms; /* from one thing to the next, on average */
} plan;

/* What they have seen. */
extern struct tally {
    uint64_t said, heard;         /* lines */
    uint64_t tell, told, private; /* private ones: sent, confirmed, received */
    uint64_t presence, history, replaced, busy, moved;
    uint64_t too_old; /* lines that a room did not keep until who had missed them was back */
    uint64_t bad_gap, bad_order, bad_content, bad_history, bad_packet, bad_end, bad_answer, bad_connect;
    uint32_t waiting, over; /* robots that have done their part; that have quit */
    uint32_t *latency;      /* microseconds from saying to hearing, of each own line */
    uint64_t latencies, latencies_size;
} tally;

enum stage { ROBOT_IDLE, ROBOT_BUSY, ROBOT_WAITS, ROBOT_QUITS, ROBOT_OVER };

/* Where it is in a room. */
struct stay {
    bool is_in;
    uint64_t epoch, next; /* the line that must come next */
};

struct robot {
    char name[CHAT_NAME];
    uint32_t number, room;
    enum stage stage;
    uint32_t step;    /* of its script */
    uint16_t awaited; /* the packet that ends this step; 0 = none, the next one begins at next_at */
    uint32_t server;
    uint32_t returning; /* the step of coming back that it does; 0 = it is there */
    bool has_moved;
    uint32_t attempts;    /* to connect, in a row */
    uint16_t interrupted; /* what it waited for when its connection ended */
    uint64_t next_at;     /* microseconds, as now_us() */
    uint64_t asked_at;
    uint32_t said;
    struct link link; /* where it speaks */
    struct link
        other; /* the one that it logs in with while link is there; then the one that is to be replaced */
    struct stay common, own;
};

uint64_t now_us(void);

/* All lines that were heard, by room and number: everybody must hear the same. Room plan.rooms is the common one. 0
 * or -1. */
int record_setup(void);
void record_clear(void);
/* Line `number` of a room is what others have heard as this one: a record_hash(). */
bool record_agrees(uint32_t room, uint64_t number, uint64_t line);
uint64_t record_hash(const void *data, size_t n);
/* The number of the last line of a room. */
uint64_t record_last(uint32_t room);

void robot_init(struct robot *r, uint32_t number);
/* Begin. */
void robot_start(struct robot *r);
/* Time has passed; a socket is ready. */
void robot_tick(struct robot *r, uint64_t now);
void robot_ready(struct robot *r, bool on_other);
/* Whether it has heard everything that was said. */
bool robot_has_all(const struct robot *r);
/* Say QUIT. */
void robot_quit(struct robot *r);
void robot_close(struct robot *r);

#endif
