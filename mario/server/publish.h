/*
 * publish.h: settings that change while the server runs. They are never written to: a new version is published, the
 * workers take it between two passes of their loops, and the old one is freed when the last of them has. Everything
 * here is for the master.
 */
#ifndef MARIO_SERVER_PUBLISH_H
#define MARIO_SERVER_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/worker/worker.h"

struct published {
    struct settings set;
    struct published *older;
};

struct publisher {
    struct published *newest; /* and behind it the older ones that somebody may still use */
    struct worker *workers;
    uint32_t workernum;
    uint32_t kept; /* how many there are */
};

/* A version that the workers do not know yet: of the first one they hear when they are made. NULL without memory. The
 * version's number is set here. */
__attribute__((warn_unused_result)) const struct settings *publish(struct publisher *p,
                                                                   const struct settings *set);

/* Have the workers take the newest one. */
void publish_tell(struct publisher *p);

/* Whether all of them have; those that nobody uses any more are freed. */
bool publish_settled(struct publisher *p);

/* Free them all. No worker runs. */
void publish_teardown(struct publisher *p);

#endif
