/*
 * answer.h: what a command answers: put together once (mario_admin.h has the calls), shown as text or as JSON.
 *
 * An answer has two owners: who asked (a client of the admin thread) and who answers (the command). Each lets go once;
 * the last one frees it. So a client that leaves, and an answer that comes late, cost nothing.
 */
#ifndef MARIO_ADMIN_ANSWER_H
#define MARIO_ADMIN_ANSWER_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/doorbell.h"
#include "mario/mario_admin.h"

#define ANSWER_MAX (64u * 1024 * 1024) /* bytes of one; a larger one is refused */

enum answer_status {
    ANSWER_GOOD,    /* exit code 0, HTTP 200 */
    ANSWER_REFUSED, /* 1, 409 */
    ANSWER_USAGE,   /* 2, 400 */
    ANSWER_FAILED   /* 1, 500: no memory for it */
};

enum answer_form { ANSWER_TEXT, ANSWER_JSON };

/* ---- The admin thread ---- */

/* Answers are taken from now on, with this bell and bit to say that one is done; and no more: from then on they are
 * freed by who is through with them. */
void answers_open(struct doorbell *bell, unsigned bit);
void answers_close(void);

/* done(a, arg) is called on the admin thread, by answers_collect(), if it comes later. NULL without memory. */
struct mario_answer *answer_create(void (*done)(struct mario_answer *a, void *arg), void *arg);

/* The bell has rung: hand out those that are done. Who asked then has them alone. */
void answers_collect(void);

/* The command has returned MARIO_ANSWER_NOW: it has let go. */
void answer_is_now(struct mario_answer *a);
/* Who asked lets go: done() is not called any more. The caller's pointer is nulled. */
void answer_drop(struct mario_answer **a);

enum answer_status answer_status(const struct mario_answer *a);
/* Write it: in text an object is lines of `key value`, of one inside `outer.key value`, a list of objects a table;
 * what was refused is its line. In JSON one line, of what was refused {"error": "..."}. */
void answer_show(const struct mario_answer *a, enum answer_form form, struct evbuffer *out);

/* ---- For answer_show() ---- */

enum answer_kind {
    ANSWER_OBJECT,
    ANSWER_LIST,
    ANSWER_END,
    ANSWER_STRING,
    ANSWER_NUMBER,
    ANSWER_SIGNED,
    ANSWER_REAL,
    ANSWER_FLAG,
    ANSWER_NULL
};

/* A piece of it, in the order in which it was put. Texts are not ended by a NUL. */
struct answer_item {
    enum answer_kind kind;
    const char *key; /* NULL in a list */
    uint32_t key_len;
    uint32_t text_len;
    const char *text;
    union {
        uint64_t number;
        int64_t negative;
        double real;
        bool flag;
    };
};

/* The next one at *at, which goes behind it. False at the end. */
bool answer_next(const struct mario_answer *a, size_t *at, struct answer_item *item);
/* The line of one that was refused. */
const char *answer_error(const struct mario_answer *a);

#endif
