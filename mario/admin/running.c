/*
 * running.c: what workers run and since when. The admin thread; it reads what they write anyway, with the time of its
 * own looks, so that no worker reads a clock for it.
 */
#include "mario/admin/running.h"

#include <stdio.h>

#include "mario/admin/admin.h"
#include "mario/base/clock.h"

static struct {
    uint64_t what;
    uint64_t since_ms;
} seen[MARIO_WORKERNUM_MAX];

static void look(uint32_t worker)
{
    uint64_t what = atomic_load_explicit(&admin_view()->activities[worker].what, memory_order_relaxed);
    if (what == seen[worker].what && seen[worker].since_ms != 0)
        return;
    seen[worker].what = what;
    seen[worker].since_ms = clock_ms();
}

void running_look(void)
{
    for (uint32_t i = 0; i < admin_view()->workernum; i++)
        look(i);
}

void running_now(uint32_t worker, struct running *r)
{
    look(worker);
    *r = (struct running){.what = seen[worker].what, .ms = clock_ms() - seen[worker].since_ms};
    r->conn = atomic_load_explicit(&admin_view()->activities[worker].conn, memory_order_relaxed);
    r->idle = activity_kind(r->what) == ACTIVITY_IDLE;
}

void running_print(const struct running *r, char *text, size_t size)
{
    enum activity_kind kind = activity_kind(r->what);
    char what[16], time[48] = "";
    snprintf(what, sizeof what, "0x%04x", activity_akg(r->what));
    if (r->ms > 0 && !r->idle)
        snprintf(time, sizeof time, " for %llu.%llu s", (unsigned long long) r->ms / 1000,
                 (unsigned long long) r->ms % 1000 / 100);
    snprintf(text, size, "%s%s",
             r->idle                    ? "idle"
             : kind == ACTIVITY_PACKET  ? what
             : kind == ACTIVITY_FRAMING ? "a framing"
             : kind == ACTIVITY_SHAKE   ? "a TLS handshake"
             : kind == ACTIVITY_CALL    ? "a call"
                                        : "a hook",
             time);
}
