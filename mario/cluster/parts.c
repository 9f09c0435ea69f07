/*
 * parts.c: the engine's servers come and go: subscribing again, and the gap until all of it is confirmed. The cluster's
 * thread.
 */
#include "mario/cluster/inside.h"

#include "mario/cluster/history.h"

enum {
    SLICE = 1000, /* channels said to a part in a pass */
    GATE_MS =
        2300 /* the longest that a driver waits before it tries again, see bus.h, and some time to subscribe */
};

static bool all_are_ready(void)
{
    for (uint32_t i = 0; i < cluster.parts; i++) {
        if (!cluster.part[i].is_ready)
            return false;
    }
    return true;
}

void parts_up(uint32_t i, bool late)
{
    struct part *p = &cluster.part[i];
    p->is_up = p->has_spoken = true;
    p->is_ready = false;
    cluster.tally.reconnects += p->was_ready;
    interest_up(&cluster.interests, i);
    claims_up(i);
    p->gate_ms = late ? cluster_ms() + GATE_MS : 0;
    out_room(i);
}

bool parts_takes(uint32_t i)
{
    return cluster.part[i].is_up && cluster_ms() >= cluster.part[i].gate_ms;
}

uint64_t parts_next(void)
{
    uint64_t next = UINT64_MAX;
    for (uint32_t i = 0; i < cluster.parts; i++) {
        const struct part *p = &cluster.part[i];
        if (p->is_up && p->gate_ms != 0 && p->gate_ms < next)
            next = p->gate_ms;
    }
    return next;
}

void parts_open(void)
{
    for (uint32_t i = 0; i < cluster.parts; i++)
        cluster.part[i].gate_ms = 0;
}

/* Known good is the moment when something came of it last. */
void parts_down(uint32_t i, const char *why)
{
    struct part *p = &cluster.part[i];
    bool was_up = p->is_up;
    p->is_up = p->is_ready = false;
    if (was_up && p->was_ready && !p->has_gap) {
        p->has_gap = true;
        p->gap_from = p->heard;
    }
    if (was_up) {
        interest_down(&cluster.interests, i);
        claims_down(i);
        history_down();
    }
    event_tell(MARIO_CLUSTER_DOWN, "%s: %s", cluster.ops->name, why);
}

static void become_ready(uint32_t i)
{
    struct part *p = &cluster.part[i];
    p->is_ready = p->was_ready = true;
    if (p->has_gap) {
        p->has_gap = false;
        cluster.tally.gaps++;
        event_gap(i, p->gap_from);
    }
    if (all_are_ready())
        event_tell(MARIO_CLUSTER_UP, "%s is there, %u users and groups are subscribed", cluster.ops->name,
                   cluster.interests.users_and_groups);
}

bool parts_pass(void)
{
    bool more = false;
    for (uint32_t i = 0; i < cluster.parts; i++) {
        struct part *p = &cluster.part[i];
        if (p->has_spoken)
            p->heard = cluster.now;
        p->has_spoken = false;
        if (!p->is_up)
            continue;
        if (p->gate_ms != 0 && cluster_ms() >= p->gate_ms) {
            p->gate_ms = 0;
            out_room(i);
        }
        more |= interest_walk(&cluster.interests, i, SLICE);
        if (!p->is_ready && interest_is_ready(&cluster.interests, i))
            become_ready(i);
    }
    return more;
}
