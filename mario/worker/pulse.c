/*
 * pulse.c: how busy a worker is, how late its ticks. pulse_ticks() and pulse_tick() are the worker's, the rest is for
 * any thread.
 */
#include "mario/worker/pulse.h"

#include "mario/base/clock.h"

#define WINDOW_NS (PULSE_WINDOW_MS * UINT64_C(1000000))

static uint64_t get(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

static void set(_Atomic uint64_t *value, uint64_t to)
{
    atomic_store_explicit(value, to, memory_order_relaxed);
}

void pulse_ticks(struct pulse *p, uint64_t ns)
{
    set(&p->due, ns == 0 ? 0 : clock_ns() + ns);
}

/* What was late in the window `number` and the one before it. */
static void note(struct pulse *p, uint64_t number, uint64_t late)
{
    uint64_t last = get(&p->window);
    if (number != last) {
        set(&p->late[1], number == last + 1 ? get(&p->late[0]) : 0);
        set(&p->late[0], 0);
        set(&p->window, number);
    }
    if (late > get(&p->late[0]))
        set(&p->late[0], late);
}

void pulse_tick(struct pulse *p, uint64_t ticks, uint64_t ns)
{
    uint64_t now = clock_ns(), due = get(&p->due);
    if (due == 0)
        return;
    note(p, now / WINDOW_NS, now > due ? now - due : 0);
    set(&p->due, due + ticks * ns);
}

uint64_t pulse_busy_ns(const struct pulse *p)
{
    uint64_t woke = get(&p->woke), busy = get(&p->busy);
    return clock_cycles_to_ns(busy + (woke != 0 ? clock_cycles_since(woke) : 0));
}

uint64_t pulse_lag_ns(const struct pulse *p)
{
    uint64_t now = clock_ns(), due = get(&p->due), number = now / WINDOW_NS, window = get(&p->window);
    uint64_t lag = due != 0 && now > due ? now - due : 0;
    if (number == window && get(&p->late[1]) > lag)
        lag = get(&p->late[1]);
    if ((number == window || number == window + 1) && get(&p->late[0]) > lag)
        lag = get(&p->late[0]);
    return lag;
}
