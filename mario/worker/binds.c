/*
 * binds.c: who is whose. The connection's worker knows which user it has, and wants; the user's home, which of all
 * workers he has been given, knows his connections, and decides; so does the route, for users who may be elsewhere.
 * Runs as binds.h says.
 */
#include "mario/worker/binds.h"

#include "mario/base/id.h"
#include "mario/exec/registry.h"
#include "mario/push/route.h"
#include "mario/worker/calls.h"

/* ---- At the connection ---- */

/* Whose home cannot be told for lack of memory is not served any more: nobody would find it, or find somebody else. */
static void tell_home(struct shard *s, struct conn *c, uint64_t uid, const struct order *o)
{
    if (!push_post(s, push_home(uid), o))
        conn_close(c, REASON_no_memory);
}

/* The route said that it may be bound, and nothing comes of it. */
static void not_bound(struct shard *s, uint64_t uid, uint64_t id)
{
    if (port_has_route())
        (void) !route_notice(s, MARIO_ROUTE_UNBIND, uid, id);
}

/* Whether the route decides it: it looks at the user's other connections, which may be on other servers. */
static bool is_routes(const struct order *o)
{
    return port_has_route() && !(o->how & BIND_ROUTED) && (o->how != MARIO_BIND_MANY || o->number != 0);
}

/* Only one at a time is asked of the route, so that they are decided in their order, and what ends by one has ended
 * when the next one is asked. */
static bool waits(struct shard *s, struct conn *c, const struct bond *b, const struct order *o)
{
    if (b->wanted == 0 || !port_has_route() || (o->how & BIND_ROUTED))
        return false;
    struct member *m = push_make_member(s, c);
    if (m == NULL || !push_add_bind(m, o))
        conn_close(c, REASON_no_memory);
    return true;
}

static void begin(struct shard *s, struct conn *c, struct bond *b, const struct order *o)
{
    if (b->wanted != 0 && b->wanted != o->other) {
        tell_home(s, c, b->wanted, &(struct order){.kind = ORDER_USER_END, .id = b->wanted, .other = o->id});
        b->wanted = 0;
    }
    if (c->state != CONN_OPEN) {
        not_bound(s, o->other, o->id);
        return;
    }
    if (b->uid != o->other || port_has_route())
        b->wanted = o->other;
    tell_home(s, c, o->other,
              &(struct order){.kind = is_routes(o) ? ORDER_USER_CLAIM : ORDER_USER_BIND,
                              .how = o->how,
                              .number = o->number,
                              .id = o->other,
                              .other = o->id,
                              .behind = o->behind});
}

void bind_begin(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct bond *b = c == NULL ? NULL : push_make_bond(s, c);
    if (c != NULL && b == NULL)
        conn_close(c, REASON_no_memory);
    if (b == NULL)
        not_bound(s, o->other, o->id);
    else if (!waits(s, c, b, o))
        begin(s, c, b, o);
}

/* The user that it has is given up for the one that it wanted when that is decided, if it was not refused. */
static void settle(struct shard *s, struct conn *c, struct bond *b, const struct order *o)
{
    uint64_t former = b->uid;
    bool refused = o->how == DECIDED_REFUSED, was_wanted = b->wanted == o->other;
    if (was_wanted)
        b->wanted = 0;
    if (o->how == DECIDED_ELSEWHERE)
        return;
    if (refused || !was_wanted) { /* one that it has, or that it gave up before this */
        b->uid = refused && former == o->other ? 0 : former;
        return;
    }
    b->uid = o->other;
    c->routed = o->akg != 0 || (c->routed && former == o->other);
    if (former != 0 && former != o->other)
        tell_home(s, c, former, &(struct order){.kind = ORDER_USER_END, .id = former, .other = o->id});
}

static void go_on(struct shard *s, struct conn *c, struct bond *b)
{
    struct member *m = push_member(s, c);
    while (m != NULL && m->binds != NULL && b->wanted == 0) {
        struct order next = push_take_bind(m);
        begin(s, c, b, &next);
        if (c->state != CONN_OPEN)
            return;
    }
}

void bind_decided(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    struct bond *b = c == NULL ? NULL : push_bond(s, c);
    if (c == NULL)
        return;
    if (b != NULL)
        settle(s, c, b, o);
    if (b != NULL && c->state == CONN_OPEN)
        go_on(s, c, b);
    if (c->state == CONN_OPEN && registry_bound() != NULL)
        calls_make(s, c, o);
}

/* Also one that wants another user by now: it still was his. */
void bind_replace(struct shard *s, const struct order *o)
{
    struct conn *c = push_find(s, o->id);
    const struct bond *b = c == NULL ? NULL : push_bond(s, c);
    if (b != NULL && b->uid == o->other && !c->routed)
        conn_close(c, REASON_replaced);
}

/* ---- At a user's home ---- */

/* One of a user's connections is not his any more. The route only keeps what is not needed any more if it
 * does not hear of it. */
bool bind_forget(struct shard *s, uint64_t uid, uint64_t id)
{
    if (!users_remove(&s->push->users, uid, id))
        return false;
    if (port_has_route()) {
        (void) !route_notice(s, MARIO_ROUTE_UNBIND, uid, id);
        if (users_count(&s->push->users, uid) == 0)
            (void) !route_notice(s, MARIO_ROUTE_USER, uid, 0);
    }
    return true;
}

/* One more. False without memory: nothing has changed. */
static bool add(struct shard *s, uint64_t uid, uint64_t id)
{
    struct users *u = &s->push->users;
    if (users_add(u, uid, id) == USER_ADDED_NOT)
        return false;
    if (!port_has_route() || users_count(u, uid) != 1 || route_notice(s, MARIO_ROUTE_USER, uid, 0))
        return true;
    users_remove(u, uid, id);
    return false;
}

/* Older ones make place until `most` are left. */
static void replace_oldest(struct shard *s, uint64_t uid, uint32_t most, uint64_t newest)
{
    const uint64_t *ids;
    while (users_ids(&s->push->users, uid, &ids) > most && ids[0] != newest) {
        uint64_t oldest = ids[0];
        bind_forget(s, uid, oldest);
        push_post(s, id_worker(oldest),
                  &(struct order){.kind = ORDER_KICK, .how = REASON_replaced, .id = oldest});
    }
}

/* One after another, so that logins at the same time have an order. */
void bind_at_home(struct shard *s, const struct order *o)
{
    struct users *u = &s->push->users;
    unsigned how = o->how & ~(unsigned) BIND_ROUTED;
    uint32_t most = o->number != 0 ? o->number : how == MARIO_BIND_MANY ? UINT32_MAX : 1;
    const uint64_t *ids;
    uint32_t count = users_ids(u, o->id, &ids);
    bool is_there = false;
    for (uint32_t i = 0; i < count && !is_there; i++)
        is_there = ids[i] == o->other;
    if (is_there && how == MARIO_BIND_KICK_OLD) { /* the newest from here on */
        users_remove(u, o->id, o->other);
        is_there = false;
    }
    bool refused = !is_there && count >= most && how != MARIO_BIND_KICK_OLD;
    if (!refused && !is_there && !add(s, o->id, o->other)) {
        push_post(s, id_worker(o->other),
                  &(struct order){.kind = ORDER_KICK, .how = REASON_no_memory, .id = o->other});
        not_bound(s, o->id, o->other);
        return;
    }
    if (refused)
        not_bound(s, o->id, o->other);
    if (how == MARIO_BIND_KICK_OLD)
        replace_oldest(s, o->id, most, o->other);
    push_post(s, id_worker(o->other),
              &(struct order){.kind = ORDER_DECIDED,
                              .how = refused ? DECIDED_REFUSED : DECIDED_BOUND,
                              .akg = (o->how & BIND_ROUTED) != 0,
                              .number = users_count(u, o->id),
                              .id = o->other,
                              .other = o->id});
}

/* The home passes it on, when all that was ordered of the user before it is done. */
void bind_claim(struct shard *s, const struct order *o)
{
    const struct order bind = {
        .kind = MARIO_ROUTE_BIND, .how = o->how, .number = o->number, .id = o->id, .other = o->other};
    if (!push_post(s, PORT_ROUTE, &bind))
        push_post(s, id_worker(o->other),
                  &(struct order){.kind = ORDER_KICK, .how = REASON_no_memory, .id = o->other});
}

/* Whether one of them is the route's its own worker knows. */
void bind_replace_beside(struct shard *s, const struct order *o)
{
    const uint64_t *ids;
    uint32_t count = users_ids(&s->push->users, o->id, &ids);
    for (uint32_t i = 0; i < count; i++) {
        if (ids[i] != o->other)
            push_post(s, id_worker(ids[i]),
                      &(struct order){.kind = ORDER_REPLACE, .id = ids[i], .other = o->id});
    }
}
