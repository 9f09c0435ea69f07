/*
 * history_inside.h: what the files of a history need of each other. The cluster's thread.
 *
 * A history keeps a line of messages, oldest first; `last` is the number of the newest one. The youngest `undelivered`
 * of them are not given to the members yet, for rings to workers may be full. Above `floor` no number is missing in the
 * line; what lies at or below it nobody can come back to, here or on the engine.
 */
#ifndef MARIO_CLUSTER_HISTORY_INSIDE_H
#define MARIO_CLUSTER_HISTORY_INSIDE_H

#include <stdatomic.h>

#include "mario/cluster/history.h"
#include "mario/mario_cluster.h"

enum {
    PIECE_BYTES = 32768, /* that one coming back gets at a time */
    FETCH_MOST = 256,    /* messages asked for at a time */
    FETCHES = 32,        /* groups that are fetched for at a time */
    AHEAD_MOST = 1024    /* messages that wait for a missing one */
};
#define HISTORY_NS_PER_MS UINT64_C(1000000)

/* One message, with its number in it. */
struct kept {
    uint64_t seq;
    uint64_t key;
    uint32_t len;
    bool keep;
    bool packets;
    bool unreadable; /* len is 0 */
    unsigned char bytes[];
};

struct line {
    struct kept **at; /* [size], a ring */
    uint32_t first, count, size;
};

enum fetch_what {
    FETCH_NOTHING,
    FETCH_BASE,    /* where the history is */
    FETCH_FORWARD, /* behind `last` */
    FETCH_PAST     /* in front of the line, for those who come back */
};

/* Somebody who comes back. It is in one list of a history; or, while a function of its connection was ordered, that
 * has it, and then the stack of those that have run. */
struct resume {
    struct resume *next;
    uint64_t id, group;
    uint32_t number;          /* mario_join_later()'s */
    uint64_t epoch, next_seq; /* what it needs next, of which epoch: at first as it says, then as we say */
    uint64_t poll_ns;         /* when to ask how much waits for it */
    uint32_t patience_ms;     /* how long it was not asked before that */
    bool is_told;             /* its function of regist_resumed_func() has run */
    bool is_gone;             /* there is no such connection any more */
    bool is_off;              /* it has left */
    bool is_given_up;         /* there is nothing for it to come back to */
    uint32_t messages, bytes; /* that waited for it when it was asked */
    struct mario_resumed out; /* the answer */
};

struct resumes {
    struct resume *first, *last;
};

struct history {
    uint64_t group;
    uint32_t n;     /* kept; 0: it ended */
    uint64_t epoch; /* 0: not known */
    uint64_t last, floor;
    struct line line;
    uint32_t undelivered;
    struct line rest;         /* undelivered from before numbers began anew: in front of all */
    struct history *next_due; /* of those with something to do */
    struct history *next_timed;
    bool is_due, is_timed;
    uint64_t when; /* timed: it is due then */
    /* with an engine: */
    bool is_based;   /* epoch and last are those of the members here */
    bool wants_base; /* ask for them */
    bool is_held;    /* its channel, for those who come back */
    bool has_hole;   /* what is behind `last` is to be fetched; what comes meanwhile lies in `ahead` */
    bool overflown;  /* of that something was dropped */
    enum fetch_what fetching;         /* the answer is outstanding */
    uint64_t fetch_cookie, fetch_got; /* fetch_got: the last one that came */
    uint32_t fetch_count;
    uint64_t ahead_epoch;
    struct line past,
        ahead;        /* what was fetched for those who come back, until it reaches the line; see has_hole */
    uint64_t idle_ns; /* since when nobody comes back; 0: somebody does */
    /* those who come back */
    uint32_t asked;
    struct resumes wanting;  /* a subscription, a fetch, the answer */
    struct resumes sending;  /* get what is there, then are members */
    struct resumes polling;  /* have enough waiting */
    struct mario_msg *piece; /* of messages piece_from .. piece_to, for the next one who needs the same */
    uint64_t piece_from, piece_to;
};

struct histories {
    struct history_engine engine;
    struct history_house house;
    size_t bytes;           /* in all lines */
    size_t most;            /* that they may be */
    struct history *due;    /* in no order */
    struct history *timed;  /* in no order */
    uint64_t when;          /* the first of those is due not before */
    struct history orphans; /* those who come back to what has no history (any more): they become members */
};
extern struct histories histories;

/* history.c */
struct history *history_find(uint64_t group);
/* It has something to do in the next pass. */
void history_due(struct history *h);
void history_count(const char *name, uint64_t n);
bool history_is_engine(void);
/* Somebody has said that there is one, and the order is on its way. */
bool history_may_come(void);
/* The server runs. Any thread. */
bool history_runs(void);

/* history_number.c */
void number_open(size_t queue);
void number_close(void);
/* As much to the engine as it may have at a time; where it is away, to the members at once. */
void number_give(void);
/* m for the members here, with this number. Errors as mario_send_group()'s. */
int32_t history_deliver(uint64_t group, const struct history_message *m, uint64_t seq);

/* history_line.c: lines, and what a history has there */
/* NULL without memory. */
struct kept *kept_make(const struct history_message *m, uint64_t seq);
/* k is the line's. False without memory: it is gone. */
bool line_push(struct line *l, struct kept *k);
/* The oldest, to be freed by free(); NULL if there is none. */
struct kept *line_take(struct line *l);
void line_clear(struct line *l);
void line_free(struct line *l);
static inline struct kept *line_at(const struct line *l, uint32_t i)
{
    return l->at[(l->first + i) & (l->size - 1)];
}
/* The first number that is in the line, and from which on all are; last + 1 if there is none. */
uint64_t line_start(const struct history *h);
/* The last number that the members have got. */
uint64_t line_delivered(const struct history *h);
/* k is the next one, its number above `last`: what is between is lost. */
void line_append(struct history *h, struct kept *k);
/* What was fetched comes in front of the line. */
void line_prepend(struct history *h, struct line *past);
/* Give the members what they have not got. False if a ring is full. */
bool line_deliver(struct history *h);
/* What need not be kept goes. */
void line_trim(struct history *h, bool all);
/* Numbers begin anew, behind `last` of this epoch. What members have not got waits in `rest`. */
void line_restart(struct history *h, uint64_t epoch, uint64_t last);
/* Messages from `from` on as one, up to what members have, as many as go together; *to is the last number in it. The
 * caller has a reference. NULL: without memory, *to is from - 1; or nothing of them can be read. */
struct mario_msg *line_piece(struct history *h, uint64_t from, uint64_t *to);

/* history_resume.c */
void resume_open(void);
void resume_close(void);
/* had: epoch and number of a message. False without memory. */
bool resume_begin(uint64_t group, uint64_t id, uint32_t number, const uint64_t had[2]);
/* Those whose functions have run go on. */
void resume_collect(void);
/* What is due of h's. When there is something again; 0: at once; UINT64_MAX: when something happens. */
uint64_t resume_pass(struct history *h, uint64_t now);
/* They become members without having got what they missed: all, or those who wait for something. */
void resume_give_up(struct history *h, bool all);
void resume_free(struct history *h);
bool resume_any(const struct history *h);
/* The least number that somebody needs who waits and can be had; UINT64_MAX: nobody does. */
uint64_t resume_wanted(const struct history *h);

/* history_fetch.c */
/* Ask the engine for what is needed. False if too much is asked already: try again. */
bool fetch_pass(struct history *h);
/* The first number that who needs seq can get, from here or the engine. */
uint64_t fetch_reach(const struct history *h, uint64_t seq);
void fetch_close(void);

#endif
