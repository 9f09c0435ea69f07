/*
 * core_lab.h: the core of a node between a bus that writes down what it is told, and a house that orders what it is
 * told to and writes down what is done. Time is the test's. One node in a process; main thread of a test.
 */
#ifndef UNIT_CORE_LAB_H
#define UNIT_CORE_LAB_H

#include "mario/cluster/inside.h"
#include "unit.h"

enum { CLAB_MOST = 8192, UID = 7001, GROUP = 8001, EPOCH = 77, OTHER = 99, QUEUE = 65536 };
enum { CLAB_GATE_MS = 2300 }; /* until a bus that came late is trusted to have the others too */

/* ---- The bus ---- */

struct clab_told {
    struct channel c;
    struct frame f;
    unsigned char body[64];
    uint64_t cookie;
};
struct clab_claim {
    uint64_t uid, id, cookie;
    bool again;
};

struct clab_bus {
    bool is_up;
    uint32_t room; /* messages that it takes */
    struct clab_told out[CLAB_MOST];
    uint32_t outs;
    struct channel said[CLAB_MOST];
    uint32_t saids, lefts, renews, retired;
    struct clab_claim claim[CLAB_MOST];
    uint32_t claims;
    uint64_t released[CLAB_MOST];
    uint32_t releases;
};
extern struct clab_bus clab_bus;

/* ---- The house ---- */

struct clab_done {
    uint8_t what; /* enum deliver */
    uint64_t key, id;
    uint32_t len;
    bool packets;
};

struct clab_house {
    uint64_t now;
    uint64_t users[16], groups[16]; /* here, by the last digits of the key */
    struct mario_route_order order[CLAB_MOST];
    uint32_t orders, taken;
    struct clab_done done[CLAB_MOST];
    uint32_t dones;
    struct clab_done alone; /* the last one; len: what was done before */
    uint32_t alones;
    unsigned stuck; /* 1 + worker whose ring is full; 0: none. Messages are for it, too */
    struct {
        const char *name;
        int64_t n;
    } stat[16];
    struct mario_cluster_event event[64];
    uint32_t events;
};
extern struct clab_house clab_house;

/* ---- Playing ---- */

/* A node begins; and its bus is there, and everything subscribed. */
void clab_start_up(void);
/* Until there is nothing to do; the same so many milliseconds later. */
void clab_turn(void);
void clab_later(uint64_t ms);
/* The engine confirms what was subscribed; it is there again, the others too; it is away. */
void clab_confirm_all(void);
void clab_bus_is_back(void);
void clab_bus_comes(void);
void clab_bus_goes(void);
/* The application orders something; the text of a message; so many of a user are here by now. */
void clab_order(enum mario_route_kind kind, uint64_t key, uint64_t id, struct mario_msg *m);
struct mario_msg *clab_text(const char *s);
void clab_user_comes(uint64_t uid, uint64_t count);
/* Another node sends this, OTHER if it has no epoch. */
void clab_comes(const struct channel *c, struct frame f, const void *body, size_t len);
extern const struct channel clab_to_user, clab_to_node, clab_to_all;
/* A counter; how many events, and deliveries, there were of a kind. */
int64_t clab_stat(const char *name);
unsigned clab_events(enum mario_cluster_what what);
unsigned clab_dones(enum deliver what);

#endif
