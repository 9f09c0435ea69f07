/*
 * stuck.h: what the tests of functions that block or die share: a server that is watched closely, connections of
 * a worker of one's choice, functions that block until they are told to return. Main thread of a test.
 */
#ifndef ITEST_STUCK_H
#define ITEST_STUCK_H

#include "harness.h"
#include "test/apps/testapp/commands.h"

#define WARN_MS    (100u * ITEST_SLOW)
#define REPLACE_MS (400u * ITEST_SLOW)
#define BACK_MS    20000u /* how long a condition may take on a busy machine */

/* A testapp with WARN_MS, and REPLACE_MS unless `more` says otherwise; both options may be NULL. */
void watch_start(struct server *s, const char *more, const char *and_more);

struct test_who who_of(int fd);
/* A connection of this worker. */
int open_at_worker(const struct server *s, uint32_t worker);
void send_number(int fd, uint16_t akg, uint32_t number);

/* The worker of fd is stuck in a function, until unstick() on a connection of another one. */
void stick(int fd);
void unstick(int fd);

/* Stop the server although stick()'s function does not return: it ends within ms, with exit code 3, and says so. */
void stop_beside_stuck(struct server *s, unsigned ms);

/* A stuck function's worker cannot be asked for counters, so they are asked on this connection of the other. */
uint64_t counter_on(int fd, const char *name);
void wait_counter(int fd, const char *name, uint64_t least);

#endif
