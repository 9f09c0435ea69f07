/*
 * route.c: what libmario has for a bus to other servers. Who may call what: route.h, mario_route.h.
 *
 * The route is set while no server runs and constant from then on. The groups that are sequenced stand in a table that
 * the route's thread alone writes; whoever sends looks into it, so a message that is on its way while its group becomes
 * one goes either way.
 */
#include "mario/push/route.h"

#include <errno.h>
#include <string.h>

#include "mario/base/complain.h"
#include "mario/exec/registry.h"
#include "mario/push/push.h"

static struct {
    struct mario_route r;
    bool is_set;             /* it may be started, or was; not behind its end */
    bool is_made;            /* what is below exists, until nobody can order anything any more */
    struct doorbell bell;    /* any (ring) -> the route's thread */
    uint64_t again;          /* the route's thread: bits of ports in whose lanes something may be */
    struct table sequenced;  /* groups: the route's thread (w) -> any (r) */
    _Atomic uint32_t groups; /* how many; who finds 0 need not look */
} hub;

/* ---- Setting it ---- */

int32_t regist_route(const struct mario_route *r)
{
    if (registry_is_frozen() || (r != NULL && (hub.is_set || r->start == NULL || r->stop == NULL)))
        return -1;
    hub.is_set = false;
    route_close();
    if (r == NULL)
        return 0;
    if (!doorbell_init(&hub.bell))
        return -1;
    if (!table_init(&hub.sequenced)) {
        doorbell_fini(&hub.bell);
        return -1;
    }
    hub.r = *r;
    hub.again = 0;
    atomic_store_explicit(&hub.groups, 0, memory_order_relaxed);
    hub.is_set = hub.is_made = true;
    port_have_route(&hub.bell);
    return 0;
}

bool route_start(void)
{
    return !hub.is_set || hub.r.start(hub.r.arg) == 0 ||
           complain("the route to other servers does not start");
}

void route_end(void)
{
    if (hub.is_set)
        hub.r.stop(hub.r.arg);
    hub.is_set = false;
}

void route_close(void)
{
    if (!hub.is_made)
        return;
    hub.is_made = false;
    port_have_route(NULL);
    table_fini(&hub.sequenced);
    doorbell_fini(&hub.bell);
}

/* ---- Giving it orders ---- */

bool route_is_sequenced(uint64_t group)
{
    return atomic_load_explicit(&hub.groups, memory_order_relaxed) > 0 &&
           table_count(&hub.sequenced, group) > 0;
}

int32_t route_order(struct port *p, const struct order *o)
{
    struct order *place = port_reserve(p, PORT_ROUTE);
    if (place == NULL)
        return -1;
    if (o->m != NULL)
        message_ref(o->m, 1);
    *place = *o;
    port_commit(p, PORT_ROUTE);
    return 0;
}

void route_tell(struct port *p, const struct order *o)
{
    if (route_order(p, o) != 0)
        stats_add_shared(STAT_cluster_dropped, 1);
}

bool route_notice(struct shard *s, enum mario_route_kind kind, uint64_t key, uint64_t id)
{
    return !port_has_route() ||
           push_post(s, PORT_ROUTE, &(struct order){.kind = (uint8_t) kind, .id = key, .other = id});
}

int32_t mario_route_post(const struct mario_route_order *r)
{
    struct port *p;
    if (r->kind < MARIO_ROUTE_OWN || r->kind > UINT8_MAX) {
        errno = EINVAL;
        return -1;
    }
    if ((p = port_enter()) == NULL)
        return -1;
    int32_t rc = -1;
    struct order *place = port_has_route() ? port_reserve(p, PORT_ROUTE) : NULL;
    if (place != NULL) {
        *place = (struct order){.kind = (uint8_t) r->kind,
                                .how = r->how,
                                .akg = r->reason_id,
                                .number = r->devices,
                                .id = r->key,
                                .m = r->m,
                                .other = r->id};
        port_commit(p, PORT_ROUTE);
        rc = 0;
    } else if (!port_has_route()) {
        errno = ENOTCONN;
    }
    port_leave(p);
    return rc;
}

void route_discard(const struct order *o)
{
    if (o->m != NULL)
        message_unref(o->m);
}

/* ---- Its thread ---- */

int mario_route_fd(void)
{
    return hub.bell.fd;
}

/* Up to n orders of one lane. */
static uint32_t take_lane(struct lane *l, struct mario_route_order *r, uint32_t n)
{
    const struct order *at;
    uint32_t taken = 0;
    for (; taken < n && (at = spsc_front(&l->ring)) != NULL; taken++) {
        r[taken] = (struct mario_route_order){.kind = at->kind,
                                              .reason_id = at->akg,
                                              .how = at->how,
                                              .devices = at->number,
                                              .key = at->id,
                                              .id = at->other,
                                              .m = at->m};
        spsc_release(&l->ring);
    }
    return taken;
}

/* Bits whose lanes were emptied are not looked at until they ring again; the others stand in `again`. */
uint32_t mario_route_take(struct mario_route_order *r, uint32_t n)
{
    uint32_t taken = 0;
    hub.again |= doorbell_answer(&hub.bell);
    for (uint64_t bits = hub.again; bits != 0 && taken < n; bits &= bits - 1) {
        unsigned bit = (unsigned) __builtin_ctzll(bits);
        for (struct port *p = bit < PORT_BIT_FIRST ? NULL : port_first(bit); p != NULL; p = p->next) {
            struct lane *l = port_lane(p, PORT_ROUTE);
            if (l != NULL)
                taken += take_lane(l, r + taken, n - taken);
        }
        if (taken < n)
            hub.again &= ~(UINT64_C(1) << bit);
    }
    return taken;
}

int32_t mario_route_sequence(uint64_t group, int on)
{
    bool is_there = table_count(&hub.sequenced, group) > 0;
    if (group == 0 || (on != 0) == is_there)
        return 0;
    if (on == 0) {
        table_remove(&hub.sequenced, group);
        atomic_fetch_sub_explicit(&hub.groups, 1, memory_order_relaxed);
        return 0;
    }
    if (!table_put(&hub.sequenced, group, 0, 1)) {
        errno = ENOMEM;
        return -1;
    }
    atomic_fetch_add_explicit(&hub.groups, 1, memory_order_relaxed);
    return 0;
}

/* ---- Counters ---- */

int32_t mario_stat_add(const char *name, int64_t n)
{
    for (uint32_t i = 0; i < STAT_COUNT; i++) {
        if (strcmp(stats_name((enum counter) i), name) == 0) {
            stats_add_shared((enum counter) i, (uint64_t) n);
            return 0;
        }
    }
    return -1;
}
