/*
 * ears.h: clients that listen: many connections to a testapp that note what is pushed to them, each packet checked, in
 * order and once for each sender; and the orders that testapp does for them (test/apps/testapp/commands.h). Main thread
 * of a test. What is wrong with a packet fails the test at once.
 */
#ifndef ITEST_EARS_H
#define ITEST_EARS_H

#include "harness.h"
#include "test/apps/testapp/commands.h"

enum { EAR_SENDERS = 16 /* number 0 is anybody, in no order */, EAR_ROOM = 65536, EAR_MS = 20000 };

struct ear {
    int fd;                     /* -1 once it has ended or was closed */
    uint32_t at;                /* which one it is */
    uint64_t id;                /* as mario_conn_id() says */
    bool deaf;                  /* it is not read; see ear_deafen() */
    bool watched;               /* the epoll knows it */
    enum ending how;            /* END_OPEN while it lives */
    uint64_t heard;             /* pushed packets */
    uint64_t before;            /* packets of any other kind when the last of these came */
    uint64_t gaps;              /* numbers that senders left out between those that came */
    uint64_t written;           /* packets of ORDER_WRITE */
    uint64_t order;             /* a number that tells what was pushed, and in which order, from any other */
    uint32_t next[EAR_SENDERS]; /* behind the last number of each sender */
    uint64_t from[EAR_SENDERS]; /* packets of each */
    uint64_t newest_ns;         /* mono_ns() between the sending and the hearing of the last one */
    uint32_t last_len;          /* of its data */
    uint64_t called;            /* TEST_CALLED that came */
    struct test_called last_called;
    uint32_t told;       /* answers to ear_tell() that are still to come: they are no replies */
    uint64_t seq;        /* the last number in a history that came */
    uint64_t seq_gaps;   /* numbers left out between these */
    uint64_t unnumbered; /* TEST_NUMBERED without one */
    uint64_t asked;      /* TEST_ASKED that came */
    struct test_asked last_asked;
    uint64_t resumed; /* TEST_RESUMED that came */
    struct test_resumed last_resumed;
    uint64_t replies;   /* any other packets */
    uint16_t reply_akg; /* the last one of these, cut to size */
    uint32_t reply_len;
    unsigned char reply[8192];
    uint32_t have; /* of a packet that is not whole, in part */
    unsigned char *part;
};

struct ears {
    const struct server *server;
    uint32_t count;
    struct ear *each;
    int epoll;
};

/* So many connections, whose ids are asked for; they are closed by ears_close(). narrow: with as small a receive buffer
 * as there is. */
void ears_open(struct ears *e, const struct server *s, uint32_t n);
void ears_open_narrow(struct ears *e, const struct server *s, uint32_t n);
void ears_close(struct ears *e);
/* End one, with a FIN. */
void ear_close(struct ears *e, uint32_t i);
/* Open one again, which may have ended. */
void ear_reopen(struct ears *e, uint32_t i);
/* Read it no more; read it again. */
void ear_deafen(struct ears *e, uint32_t i, bool deaf);

/* Receive what is there, waiting at most wait_ms (not multiplied) for something. */
void ears_turn(struct ears *e, int wait_ms);
/* Until that holds; fails after EAR_MS. */
void ears_wait(struct ears *e, bool (*holds)(const struct ears *e, uint64_t n), uint64_t n, const char *what);
/* Conditions: pushed packets that all have heard together, at least n; all of the n first have ended; the n-th has. */
bool ears_have_heard(const struct ears *e, uint64_t n);
bool ears_have_ended(const struct ears *e, uint64_t n);
bool ear_has_ended(const struct ears *e, uint64_t i);
uint64_t ears_heard(const struct ears *e);
uint64_t ears_gaps(const struct ears *e);

/* ---- Orders ---- */

#define ORDERS(...)     ((const struct test_order[]){__VA_ARGS__})
#define ORDERS_IN(list) ((uint32_t) (sizeof(list) / sizeof(struct test_order)))

/* Have connection i do these, as a function (akg TEST_PUSH, or offloaded); done: what became of each that is no body's,
 * room for all of them. Others are read meanwhile. */
void ear_do(struct ears *e, uint32_t i, uint16_t akg, const struct test_order *orders, uint32_t n,
            struct test_done *done);
/* The same without waiting for the answer. */
void ear_tell(struct ears *e, uint32_t i, const struct test_order *orders, uint32_t n);
/* The same for one inline order that must be accepted each time; its value. */
uint64_t ear_order(struct ears *e, uint32_t i, struct test_order o);
/* Ask anything by connection i; the answer is in its reply[]. */
void ear_ask(struct ears *e, uint32_t i, uint16_t akg, const void *data, size_t n);
/* How many connections a user has, or members a group, on all nodes; asked by connection i. */
uint64_t ear_ask_nodes(struct ears *e, uint32_t i, enum test_order_kind kind, uint64_t key);
/* A counter, asked by connection i; until it is at least so much. */
uint64_t ear_counter(struct ears *e, uint32_t i, const char *name);
void ear_wait_counter(struct ears *e, uint32_t i, const char *name, uint64_t least);
/* Until nothing waits, every order is done, and all have heard what the server counts as sent to them; asked by
 * connection i. `targets`: as many as there must have been until now, to anybody. */
void ears_wait_quiet(struct ears *e, uint32_t i, uint64_t targets);

/* Until a group has so many members, a user so many connections, asked by connection i. */
void ears_expect_members(struct ears *e, uint32_t i, uint64_t group, uint64_t n);
void ears_expect_bound(struct ears *e, uint32_t i, uint64_t uid, uint64_t n);

/* Which worker an id is of. */
static inline uint32_t id_worker_of(uint64_t id)
{
    return (uint32_t) (id >> 56);
}

#endif
