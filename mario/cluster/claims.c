/*
 * claims.c: binds that hold across nodes. The engine has an owner record for each user, which names connections; a
 * claim makes one of ours an owner in one atomic step there, which tells the node of one that has to go. What the
 * engine cannot decide is decided here alone, and claimed when it is back. The cluster's thread.
 *
 * What we claimed stands in a table until it is not bound any more. A record of a node that did not renew in time is
 * void, and an engine may come back without any: then all is claimed again, as something that was ours before, so it is
 * refused (and the connection replaced) if somebody newer is there. One that was never claimed, for the engine was
 * known to be away, is claimed as what it is, a new login.
 *
 * A release has no answer. It is kept, and said again to an engine that comes back, until a renewal that was said later
 * has been answered.
 */
#include "mario/cluster/inside.h"

#include <stdlib.h>
#include <string.h>

enum {
    CLAIMED_ONCE = 1, /* it may stand at the engine */
    STALE = 2         /* it is to be said (again); counts in its part's `stale` */
};
enum { IN_FLIGHT_MOST = 4096, SLICE = 1000, SCAN_MOST = 16384, LEAST = 64, KEY_BYTES = 16 };
#define REFRESH_MS UINT64_C(86400000) /* owner records are kept for some days after the last claim */

struct claim {
    uint64_t uid, id; /* the key */
    uint32_t devices;
    uint8_t how, flags;
    uint16_t number;
};

/* A claim under way; its cookie. */
struct asked {
    uint64_t uid, id;
    uint32_t devices;
    uint8_t how;
    bool again;
    bool decides;       /* a bind waits for it */
    uint16_t number;    /* of the claim; one that was released and made anew meanwhile has another one */
    struct asked *next; /* while it is free */
};

struct release {
    uint64_t uid, id;
};

static struct {
    struct map map;
    struct asked *unused;
    uint32_t in_flight;
    struct asked *queue; /* [queue_size], a ring: binds that wait for others to be answered */
    uint32_t queue_first, queue_count, queue_size;
    uint64_t refreshed; /* ms: when all were claimed anew last */
    uint16_t number;    /* that was given to one last */
    struct claims_part {
        uint32_t stale, cursor;
        struct release *released; /* [size], a ring: may not have come to the engine */
        uint32_t first, count, size;
        uint32_t renew_mark; /* so many of them were said before the renewal that is under way */
        bool renews;
        bool
            holds; /* it is up again, and may not know this node yet: what it forgot is claimed once, not twice */
    } part[BUS_PARTS_MAX];
} claims;

bool claims_setup(void)
{
    map_init(&claims.map, sizeof(struct claim), KEY_BYTES, cluster.sequences.seed);
    claims.refreshed = cluster_ms();
    return true;
}

void claims_teardown(void)
{
    map_fini(&claims.map);
    while (claims.unused != NULL) {
        struct asked *a = claims.unused;
        claims.unused = a->next;
        free(a);
    }
    free(claims.queue);
    for (uint32_t i = 0; i < BUS_PARTS_MAX; i++)
        free(claims.part[i].released);
    memset(&claims, 0, sizeof claims);
}

static uint32_t part_of(uint64_t uid)
{
    return cluster_part(CHANNEL_USER, uid);
}

static bool is_up(uint64_t uid)
{
    return cluster.ops != NULL && cluster.part[part_of(uid)].is_up;
}

static struct claim *find(uint64_t uid, uint64_t id)
{
    return map_find(&claims.map, (uint64_t[]){uid, id});
}

static void set_stale(struct claim *c, bool on)
{
    struct claims_part *p = &claims.part[part_of(c->uid)];
    if (on == ((c->flags & STALE) != 0))
        return;
    c->flags ^= STALE;
    p->stale += on ? 1 : UINT32_MAX;
}

static void forget(struct claim *c)
{
    set_stale(c, false);
    map_remove(&claims.map, c);
}

static void decide(enum deliver what, const struct asked *a)
{
    deliver(&(struct delivery){
        .what = (uint8_t) what, .how = a->how, .devices = a->devices, .key = a->uid, .id = a->id});
}

/* ---- Claiming ---- */

static struct asked *take_asked(void)
{
    struct asked *a = claims.unused;
    if (a != NULL)
        claims.unused = a->next;
    else
        a = malloc(sizeof *a);
    claims.in_flight += a != NULL;
    return a;
}

static void put_back(struct asked *a)
{
    a->next = claims.unused;
    claims.unused = a;
    claims.in_flight--;
}

/* False without memory: nothing is said. */
static bool claim(const struct asked *what)
{
    struct asked *a = take_asked();
    if (a == NULL)
        return false;
    *a = *what;
    struct owner me = {.epoch = cluster.set.epoch, .id = a->id};
    memcpy(me.node, cluster.set.node, sizeof cluster.set.node);
    struct frame f = {.kind = FRAME_REPLACED, .epoch = cluster.set.epoch, .key = a->uid};
    unsigned char head[FRAME_HEAD_MAX];
    size_t n = frame_head(&f, head);
    uint32_t most = a->devices == 0 ? 1 : a->devices;
    cluster.ops->claim(cluster.bus, a->uid, &me, a->how, most, a->again, head, n, (uintptr_t) a);
    return true;
}

/* Decided here alone; the engine hears of it when it is back. */
static void bind_here(const struct asked *a)
{
    struct claim *c = find(a->uid, a->id);
    if (c != NULL && cluster.ops != NULL)
        set_stale(c, true);
    decide(DELIVER_BIND, a);
}

static void begin(const struct asked *a)
{
    struct claim *c = find(a->uid, a->id);
    if (c == NULL || !is_up(a->uid) || !claim(a)) {
        bind_here(a);
        return;
    }
    set_stale(c, false);
    c->flags |= CLAIMED_ONCE;
}

static bool grow_queue(void)
{
    if (claims.queue_count < claims.queue_size)
        return true;
    uint32_t size = claims.queue_size == 0 ? LEAST : 2 * claims.queue_size;
    struct asked *bigger = malloc((size_t) size * sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (uint32_t i = 0; i < claims.queue_count; i++)
        bigger[i] = claims.queue[(claims.queue_first + i) & (claims.queue_size - 1)];
    free(claims.queue);
    claims.queue = bigger;
    claims.queue_first = 0;
    claims.queue_size = size;
    return true;
}

void claims_bind(const struct mario_route_order *o)
{
    struct asked a = {.uid = o->key, .id = o->id, .devices = o->devices, .how = o->how, .decides = true};
    bool is_new;
    struct claim *c = cluster.ops == NULL ? NULL : map_put(&claims.map, (uint64_t[]){a.uid, a.id}, &is_new);
    if (c != NULL) {
        c->how = a.how;
        c->devices = a.devices;
        c->number = a.number = ++claims.number;
    }
    if (c == NULL || (claims.queue_count == 0 && claims.in_flight < IN_FLIGHT_MOST) || !grow_queue()) {
        begin(&a);
        return;
    }
    claims.queue[(claims.queue_first + claims.queue_count++) & (claims.queue_size - 1)] = a;
}

static void go_on(void)
{
    while (claims.queue_count > 0 && claims.in_flight < IN_FLIGHT_MOST) {
        struct asked a = claims.queue[claims.queue_first];
        claims.queue_first = (claims.queue_first + 1) & (claims.queue_size - 1);
        claims.queue_count--;
        begin(&a);
    }
}

/* It is to be the user's only one. Those that are bound with (MANY, 0) claim nothing: the engine does not know them,
 * but every node that has one hears what is said to the user. */
static bool is_only(const struct asked *a)
{
    return a->how == MARIO_BIND_KICK_OLD && a->devices <= 1;
}

static void tell_alone(const struct asked *a)
{
    struct frame f = {.kind = FRAME_ALONE, .key = a->uid};
    out_frame(&(struct channel){.kind = CHANNEL_USER, .key = a->uid}, &f, NULL, 0, COOKIE_NONE);
}

/* The first word on it: who is bound, who is not. One that has ended meanwhile is bound to nobody, whatever is said.
 * What the engine has decided is not decided again by the user's home: it may hear of two logins in another order than
 * the engine, and then each of them would replace the other. Who has to go is told by the engine, us too. */
static void answer_first(const struct asked *a, struct claim *c, enum bus_claim result)
{
    if (result == CLAIM_REFUSED && c != NULL)
        forget(c);
    if (result == CLAIM_FAILED && c != NULL)
        set_stale(c, true);
    struct asked decided = *a;
    if (result == CLAIM_OK) {
        if (is_only(a))
            decide(DELIVER_ALONE, a);
        decided.how = MARIO_BIND_MANY;
        decided.devices = 0;
    }
    decide(result == CLAIM_REFUSED ? DELIVER_REFUSE : DELIVER_BIND, &decided);
}

static void answer_again(const struct asked *a, struct claim *c, enum bus_claim result)
{
    if (c == NULL || result == CLAIM_OK)
        return;
    if (result == CLAIM_FAILED) {
        set_stale(c, true);
        return;
    }
    forget(c);
    decide(DELIVER_REPLACE, a);
}

void claims_claimed(uint64_t cookie, enum bus_claim result)
{
    struct asked *a = (struct asked *) (uintptr_t) cookie;
    struct claim *c = find(a->uid, a->id);
    if (c != NULL && c->number != a->number)
        c = NULL; /* that one is another one's */
    if (result == CLAIM_OK && !a->again && is_only(a))
        tell_alone(a);
    if (a->decides)
        answer_first(a, c, result);
    else
        answer_again(a, c, result);
    put_back(a);
}

/* ---- Releasing ---- */

static bool keep_release(struct claims_part *p, uint64_t uid, uint64_t id)
{
    if (p->count == p->size) {
        uint32_t size = p->size == 0 ? LEAST : 2 * p->size;
        struct release *bigger = malloc((size_t) size * sizeof *bigger);
        if (bigger == NULL)
            return false;
        for (uint32_t i = 0; i < p->count; i++)
            bigger[i] = p->released[(p->first + i) & (p->size - 1)];
        free(p->released);
        p->released = bigger;
        p->first = 0;
        p->size = size;
    }
    p->released[(p->first + p->count++) & (p->size - 1)] = (struct release){.uid = uid, .id = id};
    return true;
}

static void release(uint64_t uid, uint64_t id)
{
    struct owner me = {.epoch = cluster.set.epoch, .id = id};
    memcpy(me.node, cluster.set.node, sizeof cluster.set.node);
    cluster.ops->release(cluster.bus, uid, &me);
}

void claims_unbind(uint64_t uid, uint64_t id)
{
    struct claim *c = find(uid, id);
    if (c == NULL)
        return;
    bool was_said = (c->flags & CLAIMED_ONCE) != 0;
    forget(c);
    if (!was_said)
        return;
    keep_release(&claims.part[part_of(uid)], uid,
                 id); /* without memory it is said once, which mostly is enough */
    if (is_up(uid))
        release(uid, id);
}

void claims_renew(void)
{
    for (uint32_t i = 0; i < cluster.parts; i++) {
        struct claims_part *p = &claims.part[i];
        p->holds = false;
        if (cluster.part[i].is_up && !p->renews) {
            p->renews = true;
            p->renew_mark = p->count;
        }
    }
}

/* ---- The engine comes, and goes; and has lost what was claimed ---- */

static void all_stale(uint32_t part)
{
    for (uint32_t i = 0; i < claims.map.size; i++) {
        struct claim *c = map_at(&claims.map, i);
        if (c != NULL && part_of(c->uid) == part)
            set_stale(c, true);
    }
    claims.part[part].cursor = 0;
}

void claims_renewed(uint32_t part, enum bus_renewed r)
{
    struct claims_part *p = &claims.part[part];
    if (p->renews && p->count > 0) {
        p->first = (p->first + p->renew_mark) & (p->size - 1);
        p->count -= p->renew_mark;
    }
    p->renews = p->holds = false;
    p->renew_mark = 0;
    if (r == RENEWED_ANEW && cluster.part[part].is_up)
        all_stale(part);
}

/* Also what was claimed before: somebody newer may have told us so while we did not hear. */
void claims_up(uint32_t part)
{
    struct claims_part *p = &claims.part[part];
    for (uint32_t i = 0; i < p->count; i++) {
        const struct release *r = &p->released[(p->first + i) & (p->size - 1)];
        if (find(r->uid, r->id) == NULL)
            release(r->uid, r->id);
    }
    p->holds = true;
    all_stale(part);
}

void claims_down(uint32_t part)
{
    claims.part[part].renews = false;
    claims.part[part].renew_mark = 0;
}

static bool claim_again(struct claim *c)
{
    struct asked a = {.uid = c->uid,
                      .id = c->id,
                      .devices = c->devices,
                      .how = c->how,
                      .number = c->number,
                      .again = (c->flags & CLAIMED_ONCE) != 0};
    if (!claim(&a))
        return false;
    set_stale(c, false);
    c->flags |= CLAIMED_ONCE;
    return true;
}

/* As interest_walk(): it goes round, for entries move. */
static bool walk(uint32_t part)
{
    struct claims_part *p = &claims.part[part];
    uint32_t said = 0;
    for (uint32_t seen = 0; p->stale > 0 && said < SLICE && seen < SCAN_MOST; seen++) {
        if (claims.in_flight >= IN_FLIGHT_MOST)
            return false; /* their answers wake us */
        if (p->cursor >= claims.map.size)
            p->cursor = 0;
        struct claim *c = map_at(&claims.map, p->cursor++);
        if (c == NULL || !(c->flags & STALE) || part_of(c->uid) != part)
            continue;
        if (!claim_again(c))
            return false;
        said++;
    }
    return p->stale > 0;
}

bool claims_pass(void)
{
    bool more = false;
    go_on();
    if (cluster_ms() - claims.refreshed > REFRESH_MS) {
        claims.refreshed = cluster_ms();
        for (uint32_t i = 0; i < cluster.parts; i++)
            all_stale(i);
    }
    for (uint32_t i = 0; i < cluster.parts; i++)
        more |= cluster.part[i].is_up && !claims.part[i].holds && walk(i);
    return more;
}
