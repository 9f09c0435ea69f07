/*
 * timers.c: the timers that functions set for their connections. The shard's thread.
 */
#include "mario/push/timers.h"

#include <stdlib.h>

#include "mario/base/mem.h"

enum {
    WIDTH = 4, /* children of a place of the heap: half as deep as with two, and they share a cache line */
    HEAP_LEAST = 64, /* places */
    SPARES = 256
};

/* ---- The heap ---- */

static bool is_before(const struct timer *a, const struct timer *b)
{
    return a->due != b->due ? a->due < b->due : a->order < b->order;
}

static void put(struct timers *t, struct timer *timer, uint32_t place)
{
    t->heap[place] = timer;
    timer->place = place;
}

/* Bring one that stands at `place`, or is to, to where it belongs. */
static void settle(struct timers *t, struct timer *timer, uint32_t place)
{
    while (place > 0 && is_before(timer, t->heap[(place - 1) / WIDTH])) {
        put(t, t->heap[(place - 1) / WIDTH], place);
        place = (place - 1) / WIDTH;
    }
    for (;;) {
        uint64_t child = (uint64_t) place * WIDTH + 1, next = child;
        if (child >= t->count)
            break;
        for (uint64_t i = child + 1; i < child + WIDTH && i < t->count; i++) {
            if (is_before(t->heap[i], t->heap[next]))
                next = i;
        }
        if (!is_before(t->heap[next], timer))
            break;
        put(t, t->heap[next], place);
        place = (uint32_t) next;
    }
    put(t, timer, place);
}

static bool resize(struct timers *t, uint32_t size)
{
    struct timer **heap = realloc(t->heap, size * sizeof(struct timer *));
    if (heap == NULL)
        return false;
    t->heap = heap;
    t->size = size;
    return true;
}

/* ---- Timers come and go ---- */

static struct timer *create(struct timers *t)
{
    struct timer *timer = t->spare;
    if (timer == NULL)
        return malloc(sizeof *timer);
    t->spare = timer->next;
    t->spares--;
    return timer;
}

static void destroy(struct timers *t, struct timer *timer)
{
    if (t->spares == SPARES) {
        mem_free(timer);
        return;
    }
    timer->next = t->spare;
    t->spare = timer;
    t->spares++;
}

/* Take one out of heap and list, and free it. */
static void take_off(struct timers *t, struct timer *timer)
{
    struct timer *last = t->heap[--t->count];
    if (last != timer)
        settle(t, last, timer->place);
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
    destroy(t, timer);
    if (t->size > HEAP_LEAST && t->count < t->size / 4)
        (void) resize(t, t->size / 2);
}

static struct timer *find(struct timer *list, timer_func f, const void *arg)
{
    while (list != NULL && (list->f != f || list->arg != arg))
        list = list->next;
    return list;
}

void timers_fini(struct timers *t)
{
    for (uint32_t i = 0; i < t->count; i++)
        mem_free(t->heap[i]);
    for (struct timer *spare = t->spare, *next; spare != NULL; spare = next) {
        next = spare->next;
        mem_free(spare);
    }
    mem_free(t->heap);
    *t = (struct timers){.heap = NULL};
}

bool timers_set(struct timers *t, struct timer **list, uint32_t slot, uint64_t due, timer_func f, void *arg)
{
    struct timer *timer = find(*list, f, arg);
    if (timer == NULL) {
        if (t->count == t->size && !resize(t, t->size == 0 ? HEAP_LEAST : t->size * 2))
            return false;
        timer = create(t);
        if (timer == NULL)
            return false;
        *timer = (struct timer){
            .place = t->count++, .slot = slot, .f = f, .arg = arg, .next = *list, .link = list};
        if (*list != NULL)
            (*list)->link = &timer->next;
        *list = timer;
    }
    timer->due = due;
    timer->order = t->sets++;
    settle(t, timer, timer->place);
    return true;
}

void timers_cancel(struct timers *t, struct timer **list, timer_func f, void *arg)
{
    struct timer *timer = find(*list, f, arg);
    if (timer != NULL)
        take_off(t, timer);
}

void timers_cancel_all(struct timers *t, struct timer **list)
{
    while (*list != NULL)
        take_off(t, *list);
}

uint64_t timers_next(const struct timers *t)
{
    return t->count == 0 ? UINT64_MAX : t->heap[0]->due;
}

bool timers_take(struct timers *t, uint64_t now, struct timer *fired)
{
    if (t->count == 0 || t->heap[0]->due > now)
        return false;
    *fired = *t->heap[0];
    fired->next = NULL;
    fired->link = NULL;
    take_off(t, t->heap[0]);
    return true;
}
