/*
 * talk.h: mario_test as somebody who talks: one connection that logs in, joins, says, pushes, asks who is there, one
 * after the other, and prints what comes. Main thread; waits.
 */
#ifndef TEST_TALK_H
#define TEST_TALK_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "test/lib/net.h"

#define TALK_STEPS_MAX 64u

enum talk_kind { TALK_LOGIN, TALK_JOIN, TALK_LEAVE, TALK_PUSH_TO, TALK_SAY, TALK_WHO };

struct talk_step {
    enum talk_kind kind;
    uint64_t number;  /* a uid or a group */
    const char *text; /* what is pushed or said; the command line's own */
};

struct talk {
    struct talk_step steps[TALK_STEPS_MAX];
    uint32_t count;
    bool listens;
    double listen_s; /* behind the steps; 0 = until the end */
};

/* Whether there is anything to do for talk_run(). */
static inline bool talk_wanted(const struct talk *t)
{
    return t->count > 0 || t->listens;
}

/* One more step, as the option `name` says in `arg`: a number, or NUMBER:TEXT. 0, or -1 after a complaint. */
int talk_add(struct talk *t, enum talk_kind kind, const char *name, const char *arg);

struct talk_as {
    const struct net_target *target;
    uint32_t stx;
    uint16_t uid;
    double timeout_s; /* for the connection and for each answer */
    bool quiet;       /* print what comes, and errors, but no answers */
    const volatile sig_atomic_t *stop;
};

/* Connect, log in, go through the steps, listen. Returns the exit code: 0, or 1 after one line on standard error. */
int talk_run(const struct talk *t, const struct talk_as *as);

#endif
