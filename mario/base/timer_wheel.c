/*
 * timer_wheel.c: coarse timers. Runs on the worker that owns the wheel; nothing here may be called from elsewhere.
 *
 * Each tick has a circular, doubly linked list whose head is a node of its own, so an object leaves any list
 * without knowing which. A deadline beyond one round waits in the list of its tick modulo WHEEL_SLOTS and is
 * put back when it comes up too early.
 */
#include "mario/base/timer_wheel.h"

#include <stdlib.h>

#define MASK      (WHEEL_SLOTS - 1)
#define LOOKED_AT WHEEL_SLOTS /* the head for those being looked at */

static struct wheel_node *node(const struct wheel *w, uint32_t link)
{
    uint32_t index = link - 1;
    if (index < w->count)
        return (struct wheel_node *) (void *) (w->pool + (size_t) index * w->stride);
    return &w->heads[index - w->count];
}

static uint32_t head_link(const struct wheel *w, uint32_t slot)
{
    return w->count + slot + 1;
}

static void insert_before(const struct wheel *w, uint32_t at, uint32_t link)
{
    struct wheel_node *n = node(w, link), *a = node(w, at);
    n->prev = a->prev;
    n->next = at;
    node(w, a->prev)->next = link;
    a->prev = link;
}

static void unlink_node(const struct wheel *w, struct wheel_node *n)
{
    node(w, n->prev)->next = n->next;
    node(w, n->next)->prev = n->prev;
    n->next = n->prev = 0;
}

bool wheel_init(struct wheel *w, void *pool, size_t stride, uint32_t count)
{
    w->heads = calloc(WHEEL_SLOTS + 1, sizeof *w->heads);
    w->pool = pool;
    w->stride = stride;
    w->count = count;
    w->now = 0;
    w->population = 0;
    if (w->heads == NULL)
        return false;
    for (uint32_t i = 0; i <= WHEEL_SLOTS; i++)
        w->heads[i].next = w->heads[i].prev = head_link(w, i);
    return true;
}

void wheel_fini(struct wheel *w)
{
    free(w->heads);
    w->heads = NULL;
}

void wheel_clear(struct wheel *w, uint32_t index)
{
    struct wheel_node *n = node(w, index + 1);
    if (n->next == 0)
        return;
    unlink_node(w, n);
    w->population--;
}

void wheel_set(struct wheel *w, uint32_t index, uint32_t due)
{
    if ((int32_t) (due - w->now) <= 0)
        due = w->now + 1;
    wheel_clear(w, index);
    node(w, index + 1)->due = due;
    insert_before(w, head_link(w, due & MASK), index + 1);
    w->population++;
}

/* Move the whole list of a slot to the list of those being looked at. */
static void take_slot(const struct wheel *w, uint32_t slot)
{
    struct wheel_node *from = &w->heads[slot], *to = &w->heads[LOOKED_AT];
    uint32_t from_link = head_link(w, slot), to_link = head_link(w, LOOKED_AT);
    if (from->next == from_link)
        return;
    node(w, from->next)->prev = to->prev;
    node(w, to->prev)->next = from->next;
    node(w, from->prev)->next = to_link;
    to->prev = from->prev;
    from->next = from->prev = from_link;
}

void wheel_advance(struct wheel *w, uint32_t now, void (*f)(void *arg, uint32_t index), void *arg)
{
    const struct wheel_node *looked_at = &w->heads[LOOKED_AT];
    uint32_t end = head_link(w, LOOKED_AT);
    if ((int32_t) (now - w->now) <= 0)
        return;
    uint32_t steps = now - w->now < WHEEL_SLOTS ? now - w->now : WHEEL_SLOTS;
    for (uint32_t i = 1; i <= steps; i++)
        take_slot(w, (now - steps + i) & MASK);
    w->now = now;
    while (looked_at->next != end) {
        uint32_t link = looked_at->next;
        struct wheel_node *n = node(w, link);
        wheel_clear(w, link - 1);
        if ((int32_t) (n->due - now) > 0)
            wheel_set(w, link - 1, n->due);
        else
            f(arg, link - 1);
    }
}
