/*
 * neighbours.c: the well-behaved clients. Each is a ledger of one connection, so that it has times of its own. The
 * thread holds the lock while it works and not while it waits; the main thread takes it to look.
 */
#include "neighbours.h"

#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/integration/test_ledger.h"

enum {
    GAP_MS = 20,
    DEPTH = 1024, /* unanswered at a time: they do not wait for each other */
    MARGIN_MS = 1000,
    FINISH_MS = 10000
};

struct neighbour {
    struct ledger *ledger;
    uint32_t bits; /* its worker; and the pool */
    bool troubled; /* its times are, until it is quiet again */
    uint32_t allowed_ms;
};

struct neighbours {
    pthread_mutex_t lock; /* all below */
    struct neighbour each[NEIGHBOURS];
    struct neighbours_times times;
    uint32_t warned; /* bits */
    uint32_t allowed_ms[WORKERS + 1];
    struct neighbours_report report;
    bool stop;
    pthread_t thread;
};

/* ---- The thread, with the lock ---- */

/* What it took goes to the times of all. */
static void take_times(struct neighbours *n, struct neighbour *b)
{
    struct hist *times = &b->ledger->times;
    if (times->count == 0)
        return;
    if (b->troubled && times->max > (uint64_t) b->allowed_ms * NS_PER_MS) {
        n->report.too_long++;
        n->report.worst_ns = times->max > n->report.worst_ns ? times->max : n->report.worst_ns;
    }
    hist_merge(b->troubled ? &n->times.troubled : &n->times.calm, times);
    hist_clear(times);
}

/* Trouble begins for it before its answers are late, and ends when all have come. */
static void heed_warnings(struct neighbours *n, struct neighbour *b)
{
    uint32_t mine = n->warned & b->bits;
    if (mine == 0 && b->troubled && ledger_is_quiet(b->ledger)) {
        take_times(n, b);
        b->troubled = false;
        b->allowed_ms = 0;
    }
    if (mine == 0)
        return;
    if (!b->troubled)
        take_times(n, b);
    b->troubled = true;
    for (uint32_t i = 0; i <= WORKERS; i++) {
        uint32_t ms = n->allowed_ms[i] + MARGIN_MS * ITEST_SLOW;
        if ((mine & (1u << i)) != 0 && b->allowed_ms < ms)
            b->allowed_ms = ms;
    }
}

static void turn(struct neighbours *n, bool ask)
{
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct neighbour *b = &n->each[i];
        heed_warnings(n, b);
        if (ask) {
            ledger_ask(b->ledger, 1, DEPTH);
            ledger_run(b->ledger, 0);
        }
        ledger_turn(b->ledger, 0);
        if (!b->troubled)
            take_times(n, b);
    }
}

static void *neighbours_main(void *arg)
{
    struct neighbours *n = arg;
    struct pollfd fds[NEIGHBOURS];
    for (int i = 0; i < NEIGHBOURS; i++)
        fds[i] = (struct pollfd){.fd = n->each[i].ledger->epoll, .events = POLLIN};
    uint64_t next = mono_ns();
    for (bool stop = false; !stop;) {
        poll(fds, NEIGHBOURS, ms_left(next));
        bool ask = mono_ns() >= next;
        pthread_mutex_lock(&n->lock);
        turn(n, ask);
        stop = n->stop;
        pthread_mutex_unlock(&n->lock);
        while (next <= mono_ns())
            next += GAP_MS * NS_PER_MS;
    }
    return NULL;
}

/* ---- The main thread ---- */

static void create(struct soak *s, struct neighbour *b, uint32_t i)
{
    static const uint32_t sizes[] = {16, 8000, 300, 100};
    b->ledger = ledger_create(&s->server.target, 1, sizes[i / WORKERS % 4]);
    ck_assert_msg(b->ledger != NULL && ledger_connect(b->ledger, 5000), "a neighbour cannot connect");
    s->books.made++;
    b->bits = 1u << who_of(b->ledger->conns[0].ask.fd).worker;
    if (i % 2 == 1) {
        b->ledger->exchange.akg_id = AWAY(TEST_ECHO);
        b->bits |= POOL_BIT;
    }
}

struct neighbours *neighbours_start(struct soak *s)
{
    struct neighbours *n = calloc(1, sizeof *n);
    ck_assert_msg(n != NULL, "no memory");
    pthread_mutex_init(&n->lock, NULL);
    hist_clear(&n->times.calm);
    hist_clear(&n->times.troubled);
    /* Round-robin deals them evenly; the order in which they are offloaded makes it so for both kinds. */
    for (uint32_t i = 0; i < NEIGHBOURS; i++)
        create(s, &n->each[i], i + i / WORKERS);
    ck_assert_msg(pthread_create(&n->thread, NULL, neighbours_main, n) == 0, "no thread");
    return n;
}

void neighbours_warn(struct neighbours *n, uint32_t bits, uint32_t ms)
{
    pthread_mutex_lock(&n->lock);
    n->warned |= bits;
    for (uint32_t i = 0; i <= WORKERS; i++) {
        if ((bits & (1u << i)) != 0)
            n->allowed_ms[i] = ms;
    }
    for (int i = 0; i < NEIGHBOURS; i++)
        heed_warnings(n, &n->each[i]);
    pthread_mutex_unlock(&n->lock);
}

void neighbours_clear(struct neighbours *n, uint32_t bits)
{
    pthread_mutex_lock(&n->lock);
    n->warned &= ~bits;
    pthread_mutex_unlock(&n->lock);
}

bool neighbours_are_calm(struct neighbours *n, uint32_t bits)
{
    bool calm = true;
    pthread_mutex_lock(&n->lock);
    for (int i = 0; i < NEIGHBOURS; i++)
        calm = calm && !(n->each[i].troubled && (n->each[i].bits & bits) != 0);
    pthread_mutex_unlock(&n->lock);
    return calm;
}

void neighbours_look(struct neighbours *n, struct neighbours_times *t)
{
    pthread_mutex_lock(&n->lock);
    *t = n->times;
    hist_clear(&n->times.calm);
    hist_clear(&n->times.troubled);
    pthread_mutex_unlock(&n->lock);
}

/* With the lock, or without the thread. */
static struct neighbours_report account(const struct neighbours *n)
{
    struct neighbours_report r = n->report;
    for (int i = 0; i < NEIGHBOURS; i++) {
        r.sent += n->each[i].ledger->sent;
        r.answered += n->each[i].ledger->answered;
        r.lost += n->each[i].ledger->count - n->each[i].ledger->ends[END_OPEN];
    }
    return r;
}

struct neighbours_report neighbours_now(struct neighbours *n)
{
    pthread_mutex_lock(&n->lock);
    struct neighbours_report r = account(n);
    pthread_mutex_unlock(&n->lock);
    return r;
}

struct neighbours_report neighbours_stop(struct neighbours **np)
{
    struct neighbours *n = *np;
    *np = NULL;
    pthread_mutex_lock(&n->lock);
    n->stop = true;
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    for (int i = 0; i < NEIGHBOURS; i++)
        ledger_run(n->each[i].ledger, FINISH_MS);
    struct neighbours_report r = account(n);
    for (int i = 0; i < NEIGHBOURS; i++)
        ledger_destroy(&n->each[i].ledger);
    pthread_mutex_destroy(&n->lock);
    free(n);
    return r;
}
