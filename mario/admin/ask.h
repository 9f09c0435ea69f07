/*
 * ask.h: how a command asks workers, or the master, and gathers what they say. All of it on the admin thread.
 *
 * Each gets a part of its own: memory of the size asked for, zeroed, which its step function fills in slices between
 * two passes (base/question.h). When all have answered, or the time is up, done() is called once. A worker that has not
 * answered by then is not waited for: asked_part() is NULL, asked_why() says what it does. What it writes later is kept
 * from harm until it has.
 */
#ifndef MARIO_ADMIN_ASK_H
#define MARIO_ADMIN_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/question.h"

#define ASK_ALL    UINT32_MAX       /* all workers */
#define ASK_MASTER (UINT32_MAX - 1) /* it is worker 0 for asked_part(); its step's `who` is a struct master */

enum { ASK_MS = 2000 }; /* how long one may take, unless something else is said */

struct asked;
typedef void (*ASKED_FUNC)(struct asked *q, void *arg);

struct ask {
    uint32_t whom;     /* a worker, or ASK_ALL, ASK_MASTER */
    uint32_t limit_ms; /* 0: ASK_MS */
    size_t part_size;  /* bytes of each part */
    const void *about; /* what the steps want to know of it; about_size bytes, copied; NULL */
    size_t about_size;
    QUESTION_FUNC step; /* on the worker: its `who` is a struct worker */
    ASKED_FUNC done;    /* on the admin thread, never before ask() returns */
    void *arg;
};

/* False without memory, or when the server stops: nothing is asked, and done() is not called. done() is called even if
 * it stops meanwhile. */
__attribute__((warn_unused_result)) bool ask(const struct ask *a);

/* ---- In done(); the parts are freed behind it ---- */

/* Workers asked: asked_worker(i) is their index, i below the count. */
uint32_t asked_count(const struct asked *q);
uint32_t asked_worker(const struct asked *q, uint32_t i);
/* What it said, NULL if it did not in time. */
void *asked_part(struct asked *q, uint32_t i);

/* What a worker does that does not answer: "no answer, in 0x6110 for 2.1 s". */
void ask_why(uint32_t worker, char *text, size_t size);

/* ---- The admin thread's loop ---- */

struct event_base;
__attribute__((warn_unused_result)) bool asks_setup(struct event_base *base);
/* The bell was rung: see who has answered. */
void asks_look(void);
/* All threads that may answer have ended: done() of what is left, then nothing is asked any more. */
void asks_teardown(void);

#endif
