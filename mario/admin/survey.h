/*
 * survey.h: going over the connections of all workers, one worker after the other, some slots at a time, for what
 * operators ask: list them, count them, kick them, find the top ones.
 *
 * Slots never move, and a list goes over them in their order: so who is there all the while is met exactly once,
 * however many come and go, and however many lists end and are gone on with at their cursor. A worker looks at 256
 * slots at most between two passes of its loop, and for 50 us at most. One that does not answer is left out, and
 * named.
 */
#ifndef MARIO_ADMIN_SURVEY_H
#define MARIO_ADMIN_SURVEY_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/admin/conn_filter.h"
#include "mario/admin/conn_row.h"
#include "mario/mario_admin.h"

enum survey_kind {
    SURVEY_LIST, /* rows of them, in order, until there are `most` */
    SURVEY_COUNT,
    SURVEY_KICK, /* those that are open; they are counted */
    SURVEY_TOP   /* rows of the `most` with the largest values */
};

enum survey_by { BY_BYTES, BY_PENDING, BY_AGE, BY_RTT, BY_RETRANS, BYS };

/* What the workers are told. */
struct survey_about {
    enum survey_kind kind;
    enum survey_by by; /* TOP */
    struct conn_filter filter;
    uint64_t only; /* this connection alone; 0: all */
    uint32_t from; /* slot of this worker: of the first one at the beginning */
    uint32_t most; /* rows */
};

struct survey_silent {
    uint32_t worker;
    char why[96];
};

struct survey {
    struct survey_about about;
    uint32_t first, last;                      /* the workers that are asked, the last one too */
    void (*over)(struct survey *v, void *arg); /* the admin thread: it is over; v is freed behind it */
    void *arg;
    const struct mario_answer *for_whom; /* it ends early if nobody wants that any more; NULL: it does not */
    /* the result */
    bool failed;           /* broken off: no memory, or the server stops */
    uint64_t found;        /* that match: listed, counted, kicked */
    struct conn_row *rows; /* those of TOP with the largest value first */
    uint32_t count;
    bool has_cursor; /* LIST: there may be more, from here on */
    uint32_t cursor_worker, cursor_slot;
    struct survey_silent *silent;
    uint32_t silent_count;
    /* the survey's own */
    uint32_t worker; /* whose turn it is */
    uint32_t at;     /* slot where it goes on */
};

/* The admin thread. Begin it: *v is copied; first, last, about, over, arg, for_whom are set, the rest is 0. over() is
 * called later, in any case, once. False without memory: then it is not. */
__attribute__((warn_unused_result)) bool survey_begin(const struct survey *v);

/* For how many ms to wait for a worker's answer: for one that is stuck already it is not worth while. */
uint32_t survey_patience(uint32_t worker);

#endif
