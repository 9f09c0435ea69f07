/*
 * test_ledger.h: the ledger client, the oracle of most tests: many connections that ask numbered, checksummed
 * ECHOs, and an exact account of each: sent, answered, how it ended. An answer that is wrong, or out of
 * order, ends its connection as END_WRONG.
 *
 * A ledger belongs to one thread at a time; nothing in it fails a test or prints, so any thread may have one.
 * Times are multiplied by ITEST_SLOW as in harness.h. Bystanders are a ledger on a thread of its own.
 */
#ifndef ITEST_LEDGER_H
#define ITEST_LEDGER_H

#include "harness.h"
#include "test/lib/asker.h"
#include "test/lib/exchange.h"
#include "test/lib/hist.h"

struct ledger_conn {
    struct asker ask;
    enum ending how; /* END_OPEN while it lives */
    uint32_t to_ask; /* requests still to be asked */
    bool connected, shut;
    uint64_t *asked_at; /* ring of `depth` times, of the last ledger_ask() */
};

struct ledger {
    struct net_target target;
    struct exchange exchange;
    uint32_t count, depth;
    struct ledger_conn *conns;
    uint64_t sent, answered;  /* of all connections */
    uint32_t ends[END_KINDS]; /* connections by how they ended; END_OPEN: the living ones */
    struct hist times;        /* of all right answers, nanoseconds from asking the request */
    int epoll;
    unsigned char *scratch;
    unsigned char *keep; /* all connections' room for an unfinished answer */
};

/* n connections to be, whose requests carry data_len bytes of numbered data. NULL without memory or
 * descriptors. */
struct ledger *ledger_create(const struct net_target *t, uint32_t n, uint32_t data_len);
/* Close what is open, free, null the pointer. */
void ledger_destroy(struct ledger **l);

/* Connect all that have no connection yet, at most 100 at a time. True if all were made within ms. One
 * that a server accepts and closes counts as made. */
bool ledger_connect(struct ledger *l, unsigned ms);
/* Let every living connection ask `each` more requests, at most `depth` (1 .. 1024) of it unanswered at a
 * time. Call it when nothing is unanswered, or with the same depth again. Sends nothing yet. */
void ledger_ask(struct ledger *l, uint32_t each, uint32_t depth);
/* Send and receive until every living connection has its answers. False if that took longer than ms. */
bool ledger_run(struct ledger *l, unsigned ms);
/* Send and receive until all connections have ended. False if that took longer than ms; what is left is
 * END_OPEN. */
bool ledger_run_to_end(struct ledger *l, unsigned ms);
/* One round of the loop, for tests with a schedule of their own: waits at most wait_ms (not multiplied)
 * for something. */
void ledger_turn(struct ledger *l, int wait_ms);

/* Whether no living connection has anything to be sent or unanswered. */
bool ledger_is_quiet(const struct ledger *l);
/* Shut down our direction of connection i, once all its requests are sent. */
void ledger_half_close(struct ledger *l, uint32_t i);
/* End connection i now: with a FIN, or with an RST. It counts as END_OURS. */
void ledger_close(struct ledger *l, uint32_t i, bool reset);

/* ---- Bystanders ---- */

struct bystanders;

struct bystander_report {
    uint64_t sent, answered;
    uint32_t lost; /* connections that ended, were never made, or got a wrong answer */
    uint64_t p50_ns, p99_ns, max_ns;
};

/* Start n connections on a thread of their own; each asks, waits for its answer, waits gap_ms, asks again.
 * Fails the test if they cannot connect. Main thread. */
struct bystanders *bystanders_start(const struct net_target *t, uint32_t n, uint32_t data_len,
                                    unsigned gap_ms);
/* Let them finish what they have asked, and stop. Frees, and nulls the pointer. */
struct bystander_report bystanders_stop(struct bystanders **b);
/* The same, and they must have lost nothing and have been served: fails the test otherwise. */
struct bystander_report bystanders_finish(struct bystanders **b);

#endif
