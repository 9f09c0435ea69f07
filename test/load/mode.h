/*
 * mode.h: the kinds of load, one row each. A row is called on the worker's thread; a hook may be NULL.
 */
#ifndef LOAD_MODE_H
#define LOAD_MODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct worker;

struct mode {
    const char *name, *help;
    uint32_t inflight;  /* of -p, when it is not given */
    bool connect_first; /* connections are made before the clock starts */
    bool needs_rate;
    bool ask_at_start; /* ask one request as soon as connecting has begun */
    bool reconnects;   /* a connection that broke is made again */
    bool counts_conns; /* connections are what is measured */
    bool stamps;       /* a reply's time is that of its arrival in the kernel, not that of being read */
    bool holds;        /* holder.c does it, the rest of this row is not used */
    bool pushes;       /* pusher.c does it, likewise */

    /* The clock has started: for each connection that is open, or for all without connect_first. */
    void (*begin)(struct worker *w, struct conn *c, uint64_t now);
    void (*connected)(struct worker *w, struct conn *c, uint64_t now);
    /* n right replies came. */
    void (*answered)(struct worker *w, struct conn *c, uint32_t n, uint64_t now);
    /* Each turn of the loop while sending, and once at its end. Returns when to be called again, if not
     * earlier. */
    uint64_t (*turn)(struct worker *w, uint64_t now);
    /* While sending, before each wait until `until`: how long to leave replies alone, so that more gather; at
     * most until then, 0 = do not. */
    uint64_t (*rest)(const struct worker *w, uint64_t now, uint64_t until);
    /* Sending has ended. */
    void (*finish)(struct worker *w, uint64_t now);
};

/* What can be chosen with -m; the first is the default. */
extern const struct mode modes[];
extern const size_t mode_count;

/* What idle connections do: log in, once, and stay. */
extern const struct mode mode_idle;

/* The row of that name, or NULL. */
const struct mode *mode_find(const char *name);

#endif
