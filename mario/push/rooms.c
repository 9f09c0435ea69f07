/*
 * rooms.c: which connections of this worker are in which groups. The shard's thread; rooms_count() any.
 */
#include "mario/push/rooms.h"

#include <stdlib.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"

#define HOLE UINT32_MAX /* no slot: a seat that nobody has any more */

enum {
    FILL_LEAST = 4096, /* places looked at when a walk has ended, or one in FILL_SHARE of them */
    FILL_SHARE = 64,
    FILL_STEP = 64 /* the same when somebody comes or goes */
};

struct room {
    uint64_t group;
    struct memberships
        seats;      /* members and holes; of an unused room the count is 1 + index of the next unused one */
    uint32_t count; /* members */
    uint32_t walks; /* that go on */
    uint32_t looked_at; /* where the search for holes goes on, round and round */
};

/* A quarter more than that, so that growing is cheap and little is wasted; of 8 bytes each, what malloc() gives
 * anyway. */
static uint32_t with_spare(uint32_t n)
{
    return (n + n / 4) | 3;
}

/* ---- One side's memberships ---- */

static struct membership *at(struct memberships *m, uint32_t i)
{
    return m->size == 0 ? &m->first : &m->many[i];
}

static bool resize(struct memberships *m, uint32_t size)
{
    struct membership *many = realloc(m->size == 0 ? NULL : m->many, size * sizeof *many);
    if (many == NULL)
        return false;
    if (m->size == 0)
        many[0] = m->first;
    m->many = many;
    m->size = size;
    return true;
}

/* There is a place for one more. False without memory. */
static bool have_place(struct memberships *m)
{
    return m->count < m->size || m->count == 0 || resize(m, with_spare(m->count + 1));
}

/* Some have gone: give back what is too much. */
static void fit(struct memberships *m)
{
    if (m->size == 0)
        return;
    if (m->count <= 1) {
        struct membership *many = m->many;
        m->first = many[0];
        m->size = 0;
        mem_free(many);
    } else if (with_spare(m->count) <= m->size / 2) {
        (void) resize(m, with_spare(m->count));
    }
}

bool rooms_init(struct rooms *r, struct memberships *(*member)(void *arg, uint32_t slot), void *arg)
{
    *r = (struct rooms){.member = member, .arg = arg};
    return table_init(&r->index);
}

static void free_seats(void *all, uint64_t group, uint64_t room, uint32_t count)
{
    (void) group;
    (void) count;
    struct memberships *seats = &((struct room *) all)[room].seats;
    seats->count = 0;
    fit(seats);
}

void rooms_fini(struct rooms *r)
{
    table_each(&r->index, free_seats, r->all);
    mem_free(r->all);
    table_fini(&r->index);
}

/* ---- Rooms come and go ---- */

/* There is an unused room. False without memory. */
static bool have_room(struct rooms *r)
{
    if (r->free != 0)
        return true;
    uint32_t size = with_spare(r->size + 1);
    struct room *all = realloc(r->all, size * sizeof *all);
    if (all == NULL)
        return false;
    for (uint32_t i = size; i-- > r->size;) {
        all[i].seats.count = r->free;
        r->free = i + 1;
    }
    r->all = all;
    r->size = size;
    return true;
}

/* A new room for the group. False without memory. */
static bool open_room(struct rooms *r, uint64_t group, uint32_t *i)
{
    if (!have_room(r) || !table_put(&r->index, group, r->free - 1, 0))
        return false;
    *i = r->free - 1;
    r->free = r->all[*i].seats.count;
    r->all[*i] = (struct room){.group = group};
    r->used++;
    return true;
}

/* Nobody is in it. */
static void close_room(struct rooms *r, uint32_t i)
{
    struct room *room = &r->all[i];
    table_remove(&r->index, room->group);
    room->seats.count = 0;
    fit(&room->seats);
    *room = (struct room){.seats.count = r->free};
    r->free = i + 1;
    if (--r->used > 0)
        return;
    mem_free(r->all);
    r->all = NULL;
    r->size = r->free = 0;
}

/* A room's count is everybody's to read. */
static void publish_count(struct rooms *r, uint32_t i)
{
    CHECK(table_put(&r->index, r->all[i].group, i, r->all[i].count)); /* it only replaces */
}

/* ---- Joining and leaving ---- */

/* Look at so many places of a room that nobody walks: fill holes from the end, and shorten it. */
static void fill_holes(struct rooms *r, struct room *room, uint32_t places)
{
    struct memberships *seats = &room->seats;
    for (; places > 0 && seats->count > room->count; places--) {
        const struct membership *last = at(seats, seats->count - 1);
        if (last->other == HOLE) {
            seats->count--;
            continue;
        }
        if (room->looked_at >= seats->count)
            room->looked_at = 0;
        struct membership *seat = at(seats, room->looked_at);
        if (seat->other == HOLE) {
            *seat = *last;
            at(r->member(r->arg, seat->other), seat->place)->place = room->looked_at;
            seats->count--;
        }
        room->looked_at++;
    }
    fit(seats);
}

/* The membership in room i, or NULL. */
static struct membership *find(struct rooms *r, uint32_t i, struct memberships *m)
{
    struct memberships *seats = &r->all[i].seats;
    if (m->count <= seats->count) {
        for (uint32_t k = 0; k < m->count; k++) {
            if (at(m, k)->other == i)
                return at(m, k);
        }
        return NULL;
    }
    uint32_t slot = at(&r->all[at(m, 0)->other].seats, at(m, 0)->place)->other;
    for (uint32_t k = 0; k < seats->count; k++) {
        if (at(seats, k)->other == slot)
            return at(m, at(seats, k)->place);
    }
    return NULL;
}

/* Take a membership away; the last one of its connection takes its place. */
static void give_up(struct rooms *r, struct memberships *m, struct membership *gone)
{
    uint32_t i = gone->other, place = gone->place;
    struct room *room = &r->all[i];
    const struct membership *last = at(m, m->count - 1);
    if (gone != last) {
        *gone = *last;
        at(&r->all[gone->other].seats, gone->place)->place = (uint32_t) (gone - at(m, 0));
    }
    m->count--;
    at(&room->seats, place)->other = HOLE;
    if (room->seats.count == room->count) /* the only one: it is filled first */
        room->looked_at = place;
    room->count--;
    publish_count(r, i);
    if (room->walks > 0)
        return;
    if (room->count == 0)
        close_room(r, i);
    else
        fill_holes(r, room, FILL_STEP);
}

enum joined rooms_join(struct rooms *r, uint64_t group, uint32_t slot, struct memberships *m)
{
    uint64_t known;
    uint32_t i = 0, count;
    bool is_there = table_get(&r->index, group, &known, &count);
    if (is_there && find(r, (uint32_t) known, m) != NULL)
        return JOINED_ALREADY;
    if (is_there)
        i = (uint32_t) known;
    if (!have_place(m) || (!is_there && !open_room(r, group, &i)))
        return JOINED_NOT;
    struct room *room = &r->all[i];
    if (room->walks == 0)
        fill_holes(r, room, FILL_STEP);
    if (!have_place(&room->seats)) /* not one that is new */
        return JOINED_NOT;
    uint32_t entry = m->count++, seat = room->seats.count++;
    *at(m, entry) = (struct membership){.other = i, .place = seat};
    *at(&room->seats, seat) = (struct membership){.other = slot, .place = entry};
    room->count++;
    publish_count(r, i);
    return JOINED;
}

bool rooms_has(struct rooms *r, uint64_t group, struct memberships *m)
{
    uint64_t known;
    uint32_t count;
    return table_get(&r->index, group, &known, &count) && find(r, (uint32_t) known, m) != NULL;
}

bool rooms_leave(struct rooms *r, uint64_t group, struct memberships *m)
{
    uint64_t known;
    uint32_t count;
    if (m->count == 0 || !table_get(&r->index, group, &known, &count))
        return false;
    struct membership *found = find(r, (uint32_t) known, m);
    if (found == NULL)
        return false;
    give_up(r, m, found);
    fit(m);
    return true;
}

uint64_t rooms_leave_any(struct rooms *r, struct memberships *m)
{
    if (m->count == 0)
        return 0;
    struct membership *last = at(m, m->count - 1);
    uint64_t group = r->all[last->other].group;
    give_up(r, m, last);
    if (m->count == 0)
        fit(m);
    return group;
}

uint32_t rooms_of(const struct rooms *r, const struct memberships *m, uint64_t *groups, uint32_t n)
{
    uint32_t i = 0;
    for (; i < n && i < m->count; i++)
        groups[i] = r->all[(m->size == 0 ? &m->first : &m->many[i])->other].group;
    return i;
}

uint32_t rooms_count(const struct rooms *r, uint64_t group)
{
    return table_count(&r->index, group);
}

/* ---- Walking ---- */

bool rooms_walk_begin(struct rooms *r, uint64_t group, struct room_walk *w)
{
    uint64_t known;
    uint32_t count;
    if (!table_get(&r->index, group, &known, &count) || count == 0)
        return false;
    struct room *room = &r->all[known];
    room->walks++;
    *w = (struct room_walk){.room = (uint32_t) known, .end = room->seats.count};
    return true;
}

uint32_t rooms_walk_next(struct rooms *r, struct room_walk *w, uint32_t *slots, uint32_t n)
{
    struct memberships *seats = &r->all[w->room].seats;
    uint32_t found = 0;
    for (; w->at < w->end && found < n; w->at++) {
        if (at(seats, w->at)->other != HOLE)
            slots[found++] = at(seats, w->at)->other;
    }
    return found;
}

void rooms_walk_end(struct rooms *r, struct room_walk *w)
{
    struct room *room = &r->all[w->room];
    CHECK(room->walks > 0);
    if (--room->walks > 0)
        return;
    uint32_t share = room->seats.count / FILL_SHARE;
    if (room->count == 0)
        close_room(r, w->room);
    else
        fill_holes(r, room, share > FILL_LEAST ? share : FILL_LEAST);
}
