/*
 * greedy.h: clients that send bare heads as fast as they are taken, so many ahead of the answers, on a thread of
 * their own. Main thread of a test, but what says so.
 */
#ifndef ITEST_GREEDY_H
#define ITEST_GREEDY_H

#include <pthread.h>
#include <stdatomic.h>

#include "harness.h"

enum { GREEDY_MAX = 64 };

struct greedy_client {
    int fd;
    uint64_t sent, got; /* bytes */
    bool shut;          /* our side is closed */
    enum ending how;
};

struct greedy {
    uint16_t akg_id; /* what they ask: a command that answers a bare head with a bare head */
    uint32_t count, ahead;
    uint64_t total; /* packets that each sends, then it closes its side */
    struct greedy_client each[GREEDY_MAX];
    _Atomic uint64_t answers; /* of all so far: any thread may read */
    _Atomic bool enough;      /* close your sides */
    pthread_t thread;
};

/* Connect `count` of them and begin: each is at most `ahead` packets ahead and sends `total` in all. */
void greedy_begin(struct greedy *g, const struct server *s, uint16_t akg_id, uint32_t count, uint32_t ahead,
                  uint64_t total);
/* Wait until they have had so many answers, together. */
void greedy_wait(const struct greedy *g, uint64_t answers, unsigned ms);
/* Have them close their sides, once they have sent all unless `now`; then each must get all answers and a FIN,
 * within ms. */
void greedy_end(struct greedy *g, bool now, unsigned ms);

#endif
