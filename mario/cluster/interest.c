/*
 * interest.c: what this node is subscribed to. The cluster's thread.
 */
#include "mario/cluster/interest.h"

#include <stdlib.h>

enum {
    SAID = 1,      /* to the engine */
    CONFIRMED = 2, /* by it */
    WAITING = 4,   /* counts in its part's `waiting` */
    LINGERS = 8,   /* is left at leaves_ms, if nobody comes */
    HELD = 16      /* is wanted whoever is here */
};

enum { KEY_BYTES = 9, SCAN_MOST = 16384 /* places looked at in a slice */, LINGERS_LEAST = 64 };

_Static_assert(sizeof(struct interest) == 16, "16 bytes a channel");

void interests_init(struct interests *is, uint64_t seed)
{
    map_init(&is->map, sizeof(struct interest), KEY_BYTES, seed);
}

void interests_fini(struct interests *is)
{
    map_fini(&is->map);
    free(is->lingers);
    is->lingers = NULL;
    is->linger_size = is->linger_count = 0;
}

static struct channel channel_of(const struct interests *is, const struct interest *i)
{
    return (struct channel){.kind = (enum channel_kind) i->kind,
                            .key = i->key,
                            .node = i->kind == CHANNEL_NODE ? is->node : NULL};
}

static uint32_t part_of(const struct interests *is, const struct interest *i)
{
    struct channel c = channel_of(is, i);
    return channel_part(&c, is->parts);
}

static struct interest *find(const struct interests *is, enum channel_kind kind, uint64_t key)
{
    struct interest i = {.key = key, .kind = (uint8_t) kind};
    return map_find(&is->map, &i);
}

const struct interest *interest_find(const struct interests *is, enum channel_kind kind, uint64_t key)
{
    return find(is, kind, key);
}

bool interest_is_confirmed(const struct interests *is, const struct interest *i)
{
    return (i->flags & CONFIRMED) != 0 && is->part[part_of(is, i)].is_up;
}

static void say(struct interests *is, struct interest *i)
{
    struct channel c = channel_of(is, i);
    i->flags |= SAID;
    is->ops->subscribe(is->bus, &c);
}

/* ---- Coming and going ---- */

static struct interest *make(struct interests *is, enum channel_kind kind, uint64_t key)
{
    bool is_new;
    struct interest want = {.key = key, .kind = (uint8_t) kind}, *i = map_put(&is->map, &want, &is_new);
    if (i == NULL || !is_new)
        return i;
    struct interest_part *p = &is->part[part_of(is, i)];
    i->subscription = is->subscriptions++;
    is->users_and_groups += kind == CHANNEL_USER || kind == CHANNEL_GROUP;
    if (p->is_up)
        say(is, i);
    else
        p->unsaid++;
    return i;
}

static void leave(struct interests *is, struct interest *i)
{
    struct channel c = channel_of(is, i);
    struct interest_part *p = &is->part[part_of(is, i)];
    if (!(i->flags & SAID))
        p->unsaid--;
    else if (p->is_up || is->ops->keeps_subscriptions)
        is->ops->unsubscribe(is->bus, &c);
    if (i->flags & WAITING)
        p->waiting--;
    is->users_and_groups -= c.kind == CHANNEL_USER || c.kind == CHANNEL_GROUP;
    map_remove(&is->map, i);
    is->left(c.kind, c.key);
}

static bool grow_lingers(struct interests *is)
{
    if (is->linger_count < is->linger_size)
        return true;
    uint32_t size = is->linger_size == 0 ? LINGERS_LEAST : 2 * is->linger_size;
    struct parting *bigger = malloc((size_t) size * sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (uint32_t i = 0; i < is->linger_count; i++)
        bigger[i] = is->lingers[(is->linger_first + i) & (is->linger_size - 1)];
    free(is->lingers);
    is->lingers = bigger;
    is->linger_first = 0;
    is->linger_size = size;
    return true;
}

/* Also if it is left at once: that is interest_expire()'s, for whoever calls may not hear of it here. */
static void linger(struct interests *is, struct interest *i, uint64_t now_ms)
{
    if ((i->flags & LINGERS) || !grow_lingers(is))
        return; /* without memory it stays until somebody comes and goes */
    i->flags |= LINGERS;
    i->leaves_ms = (uint32_t) now_ms + is->linger_ms;
    is->lingers[(is->linger_first + is->linger_count++) & (is->linger_size - 1)] =
        (struct parting){.key = i->key, .kind = i->kind, .leaves_ms = i->leaves_ms};
}

bool interest_look(struct interests *is, enum channel_kind kind, uint64_t key, uint64_t now_ms)
{
    struct interest *i;
    if (is->count(kind, key) > 0) {
        if ((i = make(is, kind, key)) != NULL)
            i->flags &= (uint8_t) ~LINGERS;
        return i != NULL;
    }
    if ((i = find(is, kind, key)) != NULL && !(i->flags & HELD))
        linger(is, i, now_ms);
    return true;
}

bool interest_hold(struct interests *is, enum channel_kind kind, uint64_t key, bool on, uint64_t now_ms)
{
    struct interest *i = on ? make(is, kind, key) : find(is, kind, key);
    if (i == NULL)
        return !on;
    i->flags = (uint8_t) (on ? (i->flags | HELD) & ~LINGERS : i->flags & ~HELD);
    return on || interest_look(is, kind, key, now_ms);
}

/* Times are of 32 bits and wrap; none is more than an hour away. */
uint64_t interest_expire(struct interests *is, uint64_t now_ms)
{
    while (is->linger_count > 0) {
        struct parting l = is->lingers[is->linger_first];
        int32_t left = (int32_t) (l.leaves_ms - (uint32_t) now_ms);
        if (left > 0)
            return now_ms + (uint32_t) left;
        is->linger_first = (is->linger_first + 1) & (is->linger_size - 1);
        is->linger_count--;
        struct interest *i = find(is, (enum channel_kind) l.kind, l.key);
        if (i == NULL || !(i->flags & LINGERS) || i->leaves_ms != l.leaves_ms)
            continue;
        i->flags &= (uint8_t) ~LINGERS;
        if (is->count((enum channel_kind) l.kind, l.key) == 0)
            leave(is, i);
    }
    return UINT64_MAX;
}

/* ---- The engine comes and goes ---- */

void interest_up(struct interests *is, uint32_t part)
{
    is->part[part].is_up = true;
    is->part[part].cursor = 0;
}

void interest_down(struct interests *is, uint32_t part)
{
    struct interest_part *p = &is->part[part];
    p->is_up = false;
    if (is->ops->keeps_subscriptions)
        return;
    p->unsaid = p->waiting = 0;
    for (uint32_t at = 0; at < is->map.size; at++) {
        struct interest *i = map_at(&is->map, at);
        if (i == NULL || part_of(is, i) != part)
            continue;
        i->flags &= (uint8_t) ~(SAID | CONFIRMED | WAITING);
        p->unsaid++;
    }
}

void interest_confirmed(struct interests *is, const struct channel *c)
{
    bool is_fixed = c->kind == CHANNEL_ALL || c->kind == CHANNEL_NODE;
    struct interest *i = find(is, c->kind, is_fixed ? INTEREST_FIXED : c->key);
    if (i == NULL || !(i->flags & SAID))
        return;
    if (i->flags & WAITING)
        is->part[part_of(is, i)].waiting--;
    i->flags = (uint8_t) ((i->flags | CONFIRMED) & ~WAITING);
}

/* Entries move when others go, also past the cursor; so it goes round until none is unsaid. */
bool interest_walk(struct interests *is, uint32_t part, uint32_t n)
{
    struct interest_part *p = &is->part[part];
    if (!p->is_up)
        return false;
    for (uint32_t seen = 0; p->unsaid > 0 && n > 0 && seen < SCAN_MOST; seen++) {
        if (p->cursor >= is->map.size)
            p->cursor = 0;
        struct interest *i = map_at(&is->map, p->cursor++);
        if (i == NULL || (i->flags & SAID) || part_of(is, i) != part)
            continue;
        p->unsaid--;
        p->waiting++;
        i->flags |= WAITING;
        say(is, i);
        n--;
    }
    return p->unsaid > 0;
}

bool interest_is_ready(const struct interests *is, uint32_t part)
{
    const struct interest_part *p = &is->part[part];
    return p->is_up && p->unsaid == 0 && p->waiting == 0;
}
