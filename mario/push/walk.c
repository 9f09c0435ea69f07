/*
 * walk.c: taking orders for many out of their lanes, and whose turn it is. The shard's thread.
 */
#include "mario/push/walk.h"

#include "mario/base/mem.h"

enum { LOOK_MOST = 4096 /* places that a slice of all looks at */ };

static void add(struct walk *w, const struct order *o)
{
    w->messages[w->count++] = (struct walk_message){.m = o->m, .except = o->other};
}

/* Those right behind that are for the same ones. */
static void take_along(struct walk *w, const struct order *first)
{
    struct order *o;
    while (w->count < WALK_MESSAGES && (o = spsc_front(&w->lane->ring)) != NULL && o->kind == first->kind &&
           o->id == first->id) {
        add(w, o);
        spsc_release(&w->lane->ring);
    }
}

bool walk_take(struct push *p, struct lane *l, unsigned bit)
{
    struct order first = *(struct order *) spsc_front(&l->ring);
    struct walk *w = mem_alloc(sizeof *w), **last = &p->walks;
    if (w == NULL)
        return false;
    w->next = NULL;
    w->lane = l;
    w->bit = bit;
    w->group = first.id;
    w->begun = w->over = false;
    w->each = NULL;
    w->seen = 0;
    w->count = 0;
    spsc_release(&l->ring);
    if (first.kind == ORDER_EACH) {
        w->group = 0;
        w->each = first.each;
    } else {
        add(w, &first);
        take_along(w, &first);
    }
    l->walk = w;
    while (*last != NULL)
        last = &(*last)->next;
    *last = w;
    return true;
}

static bool is_held_up(const struct push *p, const struct walk *w)
{
    for (const struct walk *other = p->walks; other != NULL; other = other->next) {
        if (other != w && other->group == w->group && other->begun)
            return true;
    }
    return false;
}

bool walk_begin(struct shard *s, struct walk *w)
{
    if (w->begun)
        return true;
    if (is_held_up(s->push, w))
        return false;
    w->begun = true;
    w->over = false;
    w->at = w->end = 0;
    if (w->group == 0) {
        w->end = s->walk_end = s->fresh;
        s->walk_at = 0;
    } else if (!rooms_walk_begin(&s->push->rooms, w->group, &w->in)) {
        w->begun = false; /* nobody is in it: there is nothing to end, either */
        w->over = true;
    }
    return true;
}

struct walk *walk_turn(struct shard *s)
{
    for (struct walk *w = s->push->walks; w != NULL; w = w->next) {
        if (walk_begin(s, w))
            return w;
    }
    return NULL;
}

/* Who came while the walk of all went on, into a place that it has yet to come to, was not there when it began. Nor is
 * who cannot be written to yet. */
static bool was_there(struct conn *c)
{
    bool newcomer = c->newcomer;
    c->newcomer = false;
    return c->state == CONN_OPEN && c->greeted && !newcomer;
}

/* Places may be empty, very many of them: so those that are looked at have a bound, too. */
static uint32_t next_of_all(struct shard *s, struct walk *w, uint32_t *slots, uint32_t n)
{
    uint32_t count = 0, last = w->end - w->at > LOOK_MOST ? w->at + LOOK_MOST : w->end;
    for (; count < n && w->at < last; w->at++) {
        if (was_there(&s->conns[w->at]))
            slots[count++] = w->at;
    }
    s->walk_at = w->at;
    w->over = w->at == w->end;
    return count;
}

uint32_t walk_next(struct shard *s, struct walk *w, uint32_t *slots, uint32_t n)
{
    if (w->over)
        return 0;
    if (w->group == 0)
        return next_of_all(s, w, slots, n);
    uint32_t count = rooms_walk_next(&s->push->rooms, &w->in, slots, n);
    w->over = count < n;
    return count;
}

static void take_off(struct push *p, struct walk *w)
{
    struct walk **link = &p->walks;
    while (*link != w)
        link = &(*link)->next;
    *link = w->next;
    w->next = NULL;
}

void walk_yield(struct push *p, struct walk *w)
{
    struct walk **last = &p->walks;
    take_off(p, w);
    while (*last != NULL)
        last = &(*last)->next;
    *last = w;
}

bool each_end(struct each *e, uint64_t seen)
{
    atomic_fetch_add_explicit(&e->seen, seen, memory_order_relaxed);
    return atomic_fetch_sub_explicit(&e->left, 1, memory_order_acq_rel) == 1;
}

struct each *walk_end(struct shard *s, struct walk *w)
{
    struct push *p = s->push;
    struct each *each = w->each;
    if (w->begun && w->group != 0)
        rooms_walk_end(&p->rooms, &w->in);
    else if (w->begun)
        s->walk_at = s->walk_end = 0;
    take_off(p, w);
    w->lane->walk = NULL;
    p->again |= UINT64_C(1) << (w->bit % 64);
    for (uint32_t i = 0; i < w->count; i++)
        message_unref(w->messages[i].m);
    if (each != NULL && !each_end(each, w->seen))
        each = NULL;
    mem_free(w);
    return each;
}
