/*
 * inside.h: what the files of the core need of each other. All of it is the cluster's thread's (before the server
 * starts: the main thread's), but where it says otherwise.
 */
#ifndef MARIO_CLUSTER_INSIDE_H
#define MARIO_CLUSTER_INSIDE_H

#include <stdatomic.h>

#include "mario/cluster/bus.h"
#include "mario/cluster/frame.h"
#include "mario/cluster/interest.h"
#include "mario/cluster/options.h"
#include "mario/cluster/sequence.h"
#include "mario/mario_cluster.h"
#include "mario/mario_route.h"

#define NS_PER_MS UINT64_C(1000000)

/* What is done with those who are here: libmario's, or a test's. */
struct house {
    uint32_t (*take)(struct mario_route_order *o, uint32_t n);
    uint64_t (*user_count)(uint64_t uid);
    uint64_t (*group_count)(uint64_t group);
    int32_t (*send_user)(uint64_t uid, struct mario_msg *m);
    int32_t (*send_group)(uint64_t group, struct mario_msg *m, uint64_t except_id);
    int32_t (*send_all)(struct mario_msg *m, uint64_t except_id);
    int32_t (*kick_user)(uint64_t uid, uint16_t reason_id, struct mario_msg *last);
    int32_t (*bind)(uint64_t id, uint64_t uid, enum mario_bind how, uint32_t devices);
    int32_t (*refuse)(uint64_t id, uint64_t uid);
    int32_t (*replace)(uint64_t id);
    int32_t (*replace_beside)(uint64_t uid, uint64_t id);
    int32_t (*stat_add)(const char *name, int64_t n);
    uint64_t (*now)(void); /* ns, monotonic */
};

/* Requests of our own interface: kinds of orders. */
enum { CORE_ASK = MARIO_ROUTE_OWN + 1 /* key; how: channel_kind; id: a struct ask_wish, or 0 */ };

struct part {
    bool is_up;
    bool is_ready;            /* and everything is subscribed */
    bool was_ready;           /* once */
    bool has_gap;             /* messages may have been missed since gap_from */
    bool has_spoken;          /* something came of it since the last pass */
    uint64_t heard, gap_from; /* ns */
    uint64_t gate_ms;         /* messages go out from then on, see parts_up() */
};

/* Since the last pass, which adds them to libmario's counters. */
struct tally {
    uint64_t published, received, nobody, dropped, lost, garbage, unheard, gaps, reconnects;
};

struct cluster {
    struct settings set;
    const struct bus_ops *ops; /* NULL: no bus */
    struct bus *bus;
    struct event_base *base;
    const struct house *house;
    uint64_t now; /* ns, of this pass */
    uint32_t parts;
    struct part part[BUS_PARTS_MAX];
    struct interests interests;
    struct sequences sequences;
    struct tally tally;
    struct {
        uint32_t renewed;     /* parts, since the start */
        bool is_taken;        /* RENEWED_TAKEN was said last */
        char why[256];        /* a part is not there; "" if none was missed yet */
        uint64_t stranger_ms; /* until then nobody is told of nodes of another version */
    } seen;                   /* what the bus has said */
    _Atomic(void (*)(const struct mario_cluster_event *)) func;
    atomic_bool is_on; /* from mario_cluster_start() to the end of the stop */
    atomic_bool runs;  /* the thread does; any (r) */
};
extern struct cluster cluster;

static inline uint64_t cluster_ms(void)
{
    return cluster.now / NS_PER_MS;
}
static inline uint32_t cluster_part(enum channel_kind kind, uint64_t key)
{
    return channel_part(&(struct channel){.kind = kind, .key = key}, cluster.parts);
}

/* ---- cluster.c, for start.c or a test: one turn. True: there is more to do at once; else *next_ms is when there will
 * be ---- */

bool cluster_setup(const struct house *house);
void cluster_teardown(void);
/* The bus's events, for ops->create(). */
extern const struct bus_events cluster_events;
void cluster_begin(void);
bool cluster_pass(uint64_t *next_ms);
extern const struct house cluster_libmario;

/* ---- parts.c: the engine comes and goes ---- */

/* late: it was not there before, and may come back to other nodes later than to us. What waits for it, and what is sent
 * until then, goes out when they have had the time to subscribe again: nobody would hear it before. */
void parts_up(uint32_t part, bool late);
/* Whether messages go out now. When that changes by itself, ms; UINT64_MAX: not. All that waits may go. */
bool parts_takes(uint32_t part);
uint64_t parts_next(void);
void parts_open(void);
void parts_down(uint32_t part, const char *why);
/* Whether more is to be said to parts that came back. */
bool parts_pass(void);

/* ---- events.c: the application hears of it, if the thread runs ---- */

void event_tell(enum mario_cluster_what what, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void event_gap(uint32_t part, uint64_t from_ns);
void event_node(enum mario_cluster_what what, const char *node);
void event_nobody(uint64_t uid, uint64_t tag);
/* "mario: ", the text, a newline on standard error; nothing if that would have to wait. Any thread. */
void say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* ---- outgoing.c: messages to the bus, and what becomes of them ---- */

/* Above these: an even one is a pointer of outgoing.c's, an odd one COOKIE_ENDS + (number of a question << 1 | 1). */
enum { COOKIE_NONE, COOKIE_PLAIN, COOKIE_NOBODY, COOKIE_NOBODY_SELF, COOKIE_ENDS };

bool out_setup(void);
void out_teardown(void);
/* A user's, group's or everybody's message; its reference is ours now. kind: FRAME_USER .. FRAME_KICK_USER. */
void out_send(enum frame_kind kind, uint64_t key, struct mario_msg *m, uint16_t reason);
/* A frame without a message, now or not at all. */
bool out_frame(const struct channel *c, struct frame *f, const void *body, size_t len, uint64_t cookie);
void out_room(uint32_t part);
void out_published(uint64_t cookie, int64_t receivers);
/* Nothing waits for a part that is up. */
bool out_is_done(void);
/* The head of a frame with m's marks, for others than this file. Its length. */
size_t out_head(struct frame *f, const struct mario_msg_info *info, unsigned char head[FRAME_HEAD_MAX]);

/* ---- incoming.c: what comes of the bus ---- */

void in_message(uint32_t part, const struct channel *c, const void *bytes, size_t len);
void in_sequenced(uint64_t group, uint64_t epoch, uint64_t seq, const void *bytes, size_t len);
void in_fetched(uint64_t cookie, uint64_t epoch, uint64_t seq, const void *bytes, size_t len, uint64_t last,
                uint64_t base);

/* ---- deliver.c: to those who are here; waits where their rings are full ---- */

enum deliver {
    DELIVER_USER,
    DELIVER_GROUP,
    DELIVER_ALL,
    DELIVER_KICK,
    DELIVER_BIND,
    DELIVER_REFUSE,
    DELIVER_REPLACE,
    DELIVER_ALONE /* key; id: who stays, though nothing was claimed for it */
};
struct delivery {
    uint8_t what; /* enum deliver */
    uint8_t how;
    uint16_t reason;
    uint32_t devices;
    uint64_t key, id;
    struct mario_msg *m; /* a reference, or NULL */
};
void deliver(const struct delivery *d);
/* What waits is tried again. When to come back, ms; UINT64_MAX: nothing waits. */
uint64_t deliver_pass(void);
void deliver_teardown(void);

/* ---- claims.c: whose a user's connections are ---- */

bool claims_setup(void);
void claims_teardown(void);
void claims_bind(const struct mario_route_order *o);
void claims_unbind(uint64_t uid, uint64_t id);
void claims_claimed(uint64_t cookie, enum bus_claim c);
void claims_up(uint32_t part);
void claims_down(uint32_t part);
/* The node's record was said anew: when that has come to the engine, so has all before it. */
void claims_renew(void);
void claims_renewed(uint32_t part, enum bus_renewed r);
/* Claims that are to be said. True if there are more. */
bool claims_pass(void);

/* ---- ask.c: how many are there, on all nodes ---- */

struct ask_wish {
    void (*f)(void *arg, uint64_t n);
    void *arg;
    struct ask_wish *next; /* ask.c's */
};
bool ask_setup(void);
void ask_teardown(void); /* who waits is told what is known */
void ask_order(const struct mario_route_order *o);
/* ASK and ANSWER of others. */
void ask_asked(const struct channel *c, const struct frame *f);
void ask_answered(const struct frame *f);
/* The engine says how many hear the question; -1: it is not known. */
void ask_published(uint64_t number, int64_t receivers);
uint64_t ask_pass(void);

/* ---- peers.c: the other nodes ---- */

bool peers_setup(void);
void peers_teardown(void);
/* Something came of this node. */
void peers_hear(uint64_t epoch);
void peers_heartbeat(const struct frame *f, const struct channel *c);
void peers_leave(const struct frame *f);
/* Say that we are here, or go. */
void peers_say(enum frame_kind kind);
uint32_t peers_count(void);
uint64_t peers_pass(void);

#endif
