/*
 * pace.c: a share of time. Any thread, each its own.
 */
#include "mario/base/pace.h"

#include <sys/resource.h>
#include <time.h>

#include "mario/base/clock.h"

enum {
    SHARES = 16,      /* looks within a millisecond, so that none comes much too late */
    HALF_NS = 500000, /* of it */
};

/* Half a millisecond, in cycles. */
static uint64_t half(void)
{
    return clock_cycles_ms / 2;
}

void pace_start(struct pace *p)
{
    pace_renew(p);
    p->deadline = clock_cycles() + half();
}

void pace_begin_bulk(struct pace *p)
{
    p->looked = clock_cycles();
}

/* The clock on the wall says that the share may be over. When it says so first, that is noted; then there is half of it
 * left, of time that was used or waited for. */
static bool is_used_up(struct pace *p, uint64_t now)
{
    struct timespec t;
    struct rusage r;
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0 || getrusage(RUSAGE_THREAD, &r) != 0)
        return true;
    uint64_t cpu = (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec, waits = (uint64_t) r.ru_nvcsw;
    if (p->has_asked && (cpu - p->cpu >= HALF_NS || waits != p->waits))
        return true;
    if (!p->has_asked) {
        p->cpu = cpu;
        p->waits = waits;
        p->has_asked = true;
    }
    p->deadline = now + half();
    return false;
}

static bool ask(struct pace *p, uint64_t now)
{
    if (p->deadline == 0)
        p->deadline = now + half();
    if (!p->is_up && (int64_t) (now - p->deadline) >= 0)
        p->is_up = is_used_up(p, now);
    return p->is_up;
}

/* So many that a part of the share is over at the next look: at once when they turn out dear, one more when they are
 * cheap. */
static void learn(struct pace *p, uint64_t took)
{
    uint64_t part = clock_cycles_ms / SHARES;
    if (p->stride == 0)
        p->stride = PACE_STRIDE_FIRST;
    if (took > part) {
        uint64_t fits = p->stride * part / took;
        p->stride = fits > 0 ? (uint32_t) fits : 1;
    } else if (took < part / 2 && p->stride < PACE_STRIDE_MAX) {
        p->stride++;
    }
}

bool pace_look(struct pace *p)
{
    uint64_t now = clock_cycles();
    if (p->looked != 0)
        learn(p, now - p->looked);
    p->looked = now;
    p->left = p->stride != 0 ? p->stride : PACE_STRIDE_FIRST;
    return ask(p, now);
}

bool pace_is_over(struct pace *p)
{
    return ask(p, clock_cycles());
}
