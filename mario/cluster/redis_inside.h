/*
 * redis_inside.h: what the files of the Redis driver share: a bus and its parts. The cluster's thread.
 *
 * bus_redis.c is what the core calls, redis_part.c a part's connections and their end, redis_hear.c what comes on the
 * one with the subscriptions, redis_answer.c what comes on the one with the commands.
 */
#ifndef MARIO_CLUSTER_REDIS_INSIDE_H
#define MARIO_CLUSTER_REDIS_INSIDE_H

#include "mario/cluster/bus.h"
#include "mario/cluster/redis_address.h"
#include "mario/cluster/redis_link.h"
#include "mario/cluster/redis_script.h"

enum {
    REDIS_KEEP_MS = 7 * 24 * 3600 * 1000, /* what nobody has used for so long is forgotten by the engine */
    REDIS_BATCH = 1000                    /* channels of one command */
};

/* ---- What has been asked and not answered, in order ---- */

enum redis_what {
    ASKED_AUTH,
    ASKED_NAME,
    ASKED_INFO,
    ASKED_SCRIPT, /* detail: which */
    ASKED_PING,
    ASKED_PUBLISH,
    ASKED_CLAIM,
    ASKED_RELEASE,
    ASKED_RENEW,
    ASKED_RETIRE,
    ASKED_APPEND,
    ASKED_FETCH, /* cookie: a struct redis_fetch, owned */
    ASKED_WHATS
};

struct redis_asked {
    uint64_t cookie;
    uint32_t what, detail;
};

/* All 0 is an empty one. */
struct redis_line {
    struct redis_asked *at;
    size_t first, n, size; /* size: a power of two, or 0 */
};

/* False without memory. */
bool redis_line_add(struct redis_line *l, struct redis_asked a);
bool redis_line_reserve(struct redis_line *l);
/* There is one. */
struct redis_asked redis_line_take(struct redis_line *l);

struct redis_fetch {
    uint64_t cookie, group;
    uint64_t after;
    uint32_t left; /* messages still wanted */
    uint32_t got;  /* in this piece */
    bool begun;    /* epoch is that of the first piece */
    bool failed;
    uint64_t epoch, last, base, seq;
};

/* ---- Parts ---- */

enum redis_state {
    PART_RESTING,    /* until `again` */
    PART_LOOKING_UP, /* its name; `again` looks whether it is there */
    PART_CONNECTING,
    PART_GREETING, /* connected twice: password, scripts, first subscriptions */
    PART_UP
};

enum redis_said { SAID_NOTHING, SAID_UNREACHABLE, SAID_PASSWORD };

enum redis_verb { VERB_NONE, VERB_SUBSCRIBE, VERB_UNSUBSCRIBE };

struct redis_part {
    struct bus *bus;
    uint32_t index;
    struct redis_address address;
    enum redis_state state;
    uint64_t since_ms; /* in this state */
    uint32_t backoff_ms;
    enum redis_said said; /* the last `down`; nothing again while up */
    struct redis_lookup *lookup;
    const struct addrinfo *next; /* where to try next, of lookup; NULL: no more */
    struct event *again;         /* the rest is over */
    struct event *attend;        /* something waits to be sent, or is to be told */
    bool attended;

    struct redis_link commands;
    struct redis_line asked;
    bool answered; /* the reply that comes has been dealt with */
    bool commands_ready;
    bool loading; /* the scripts, again */
    bool wants_room;
    uint32_t commands_late, heard_late; /* looks at which an answer was overdue, in a row */
    uint64_t asked_ms;                  /* when the line was empty last */
    char digests[SCRIPTS][41], run[41];
    uint64_t refused_ms; /* when a line about a refusal was given last; 0: never */

    struct redis_link subscriptions;
    struct redis_out batch; /* channels of the next command */
    uint32_t batched;
    enum redis_verb verb;
    uint32_t owed;    /* confirmations and pongs to come */
    uint64_t owed_ms; /* when there were none last */
    bool hearing_ready;
    uint32_t plain; /* replies that were no array */
    int kind;       /* of the array that comes: redis_hear.c */
    char name[CHANNEL_NAME_MAX];
    size_t name_len;
    bool password; /* why a link is spoilt */
};

struct bus {
    struct bus_config config;
    const struct bus_events *events;
    void *arg;
    uint64_t random;
    struct event *tick;
    struct event *later;                                 /* answers to what could not be asked */
    struct redis_line failed;                            /* those */
    char life[CHANNEL_NAME_MAX], self[CHANNEL_NAME_MAX]; /* l:NODE:EPOCH, n:NODE */
    uint32_t parts_n;
    struct redis_part parts[];
};

/* ---- redis_part.c ---- */

/* Begin to connect as soon as the loop runs. False without memory. */
bool redis_part_setup(struct redis_part *p, struct bus *b, uint32_t index, const struct redis_address *a);
/* Its open answers are told as failed. */
void redis_part_teardown(struct redis_part *p);
/* Look at its deadlines: each REDIS_TICK_MS. */
void redis_part_tick(struct redis_part *p, uint64_t now);
enum { REDIS_TICK_MS = 250 };
/* Something waits: it is sent when the loop comes round. */
void redis_part_attend(struct redis_part *p);
/* A greeting is over: up, if both are. */
void redis_part_greeted(struct redis_part *p);
/* Ask; false without memory: nothing is asked. */
bool redis_part_ask(struct redis_part *p, struct redis_asked a, const struct redis_word *w, size_t n);
/* Load the scripts; false without memory. */
bool redis_part_load(struct redis_part *p);
/* Whether publish() may go on. */
bool redis_part_has_room(const struct redis_part *p, bool comfortably);
/* An error in the greeting: it ends the link, for the password or something else. */
void redis_part_refused(struct redis_part *p, struct redis_link *l, const struct redis_item *i);

/* ---- redis_hear.c ---- */

extern const struct redis_link_events redis_hear_events;
/* Put what is to be said first into subscriptions.out; false without memory. */
bool redis_hear_greet(struct redis_part *p);
/* Add a channel to the batch, which is a command when it is full; false without memory. */
bool redis_hear_batch(struct redis_part *p, enum redis_verb verb, const char *name, size_t len);
/* Make a command of the batch. False without memory. */
bool redis_hear_flush(struct redis_part *p);
bool redis_hear_ping(struct redis_part *p);
void redis_hear_reset(struct redis_part *p);
/* For both connections. */
void redis_part_connected(void *arg);
void redis_part_read(void *arg);
void redis_part_broken(void *arg, const char *why);

/* ---- redis_answer.c ---- */

extern const struct redis_link_events redis_answer_events;
bool redis_answer_greet(struct redis_part *p);
/* Tell that it failed. */
void redis_answer_failed(struct bus *b, struct redis_asked a);
/* The same, but when the loop comes round. */
void redis_answer_failed_later(struct bus *b, struct redis_asked a);

/* ---- bus_redis.c ---- */

/* Ask for the next piece. False without memory. */
bool redis_fetch_ask(struct redis_part *p, struct redis_fetch *f);
uint64_t redis_random(struct bus *b);

#endif
