/*
 * running.h: what a worker runs at this moment and since when, seen from the admin thread, which looks some times a
 * second: right also about one that answers nobody. The admin thread's.
 */
#ifndef MARIO_ADMIN_RUNNING_H
#define MARIO_ADMIN_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RUNNING_LOOK_MS = 250 };

struct running {
    bool idle;     /* no function runs */
    uint64_t what; /* activity.h */
    uint64_t conn; /* whose */
    uint64_t ms;   /* for how long at least; exact to RUNNING_LOOK_MS, 0 if it began since */
};

void running_now(uint32_t worker, struct running *r);
/* "idle"; "0x6110 for 2.1 s"; "a hook"; "a call for 0.3 s". */
void running_print(const struct running *r, char *text, size_t size);

/* Look at all of them; several times a second. */
void running_look(void);

#endif
