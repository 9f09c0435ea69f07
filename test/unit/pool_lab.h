/*
 * pool_lab.h: what the tests of the pool share: a worker's pool of connections without a worker. The shard is made by
 * hand, sockets are pairs, the loop turns when the test says so (conn_pass()). Main thread of a test.
 */
#ifndef POOL_LAB_H
#define POOL_LAB_H

#include "mario/conn/conn.h"
#include "mario/frame/head.h"
#include "unit.h"

enum { PLACES = 40, MAX_PKGLEN = 8192 };

/* Of one test; a process has one. pool_case() sets it up and tears it down. */
struct pool_lab {
    struct shard shard;
    struct executor *executor;
    struct activity activity;
    struct service service;
    struct mario_framing head;
    struct head_rules rules;
    struct settings settings; /* a test may change them before it opens connections */
    struct stats stats;
    int peers[PLACES]; /* the other end of each slot's socket */
    struct {           /* what the end hooks have seen */
        unsigned closed, timeout, error;
        uint16 err_type;
        CONN *conn;
        bool writes, closes; /* what the hook is to do: set by the test */
    } seen;
};

extern struct pool_lab pool;

/* A test case in s with all that: PLACES free slots, end hooks, nothing open. */
TCase *pool_case(Suite *s, const char *name, unsigned seconds);

/* A connection on a socket of its own; its other end is in pool.peers[slot]. */
struct conn *pool_open(void);
struct conn *pool_open_at(uint8_t listener);
/* What conn_open() is to be told to call: does nothing, as no loop runs. */
void pool_on_event(evutil_socket_t fd, short what, void *arg);
/* It must have nothing of the one before on its slot. */
void pool_check_fresh(const struct conn *c);

/* How often an end hook has run; a counter. */
unsigned pool_ends_seen(void);
uint64_t pool_stat(enum counter i);

#endif
