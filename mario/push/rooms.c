/*
 * rooms.c: which connections of this worker are in which groups. The shard's thread; rooms_count() any.
 */
#include "mario/push/rooms.h"

#include <stdlib.h>
#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"

#define HOLE UINT32_MAX

enum {
    FILL_LEAST = 4096, /* places looked at when a walk has ended, or one in FILL_SHARE of them */
    FILL_SHARE = 64,
    FILL_STEP = 64 /* the same when somebody comes or goes */
};

/* A member's place in a room. */
struct seat {
    uint32_t slot;  /* HOLE: nobody's any more */
    uint32_t entry; /* index in that one's memberships */
};

struct room {
    uint64_t group;
    struct seat *seat; /* [size] */
    uint32_t count;    /* members */
    uint32_t end;      /* seats taken, holes included; of an unused room 1 + index of the next unused one */
    uint32_t size;
    uint32_t walks;     /* that go on */
    uint32_t looked_at; /* where the search for holes goes on, round and round */
};

/* Let the array that *pp points to have room for `wanted` elements of `each` bytes. False without memory. */
static bool resize(void *pp, uint32_t *size, uint32_t wanted, size_t each)
{
    void *p;
    memcpy(&p, pp, sizeof p);
    p = realloc(p, wanted * each);
    if (p == NULL)
        return false;
    memcpy(pp, &p, sizeof p);
    *size = wanted;
    return true;
}

/* A quarter more than that, so that growing is cheap and little is wasted; of 8 bytes each, what malloc() gives anyway. */
static uint32_t with_spare(uint32_t n)
{
    return (n + n / 4) | 3;
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
    mem_free(((struct room *) all)[room].seat);
}

void rooms_fini(struct rooms *r)
{
    table_each(&r->index, free_seats, r->all);
    mem_free(r->all);
    table_fini(&r->index);
}

/* ---- Rooms come and go ---- */

/* A new room for the group. False without memory. */
static bool open_room(struct rooms *r, uint64_t group, uint32_t *i)
{
    if (r->free == 0) {
        uint32_t n = r->size;
        if (!resize(&r->all, &r->size, with_spare(n + 1), sizeof *r->all))
            return false;
        for (uint32_t k = r->size; k-- > n;) {
            r->all[k].end = r->free;
            r->free = k + 1;
        }
    }
    *i = r->free - 1;
    if (!table_put(&r->index, group, *i, 0))
        return false;
    r->free = r->all[*i].end;
    r->all[*i] = (struct room){.group = group};
    r->used++;
    return true;
}

static void close_room(struct rooms *r, uint32_t i)
{
    struct room *room = &r->all[i];
    table_remove(&r->index, room->group);
    mem_free(room->seat);
    *room = (struct room){.end = r->free};
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

/* ---- Seats ---- */

/* Look at so many places of a room that nobody walks: fill holes from the end, and shorten it. */
static void fill_holes(struct rooms *r, struct room *room, uint32_t places)
{
    for (; places > 0 && room->end > room->count; places--) {
        struct seat *last = &room->seat[room->end - 1];
        if (last->slot == HOLE) {
            room->end--;
            continue;
        }
        if (room->looked_at >= room->end)
            room->looked_at = 0;
        struct seat *seat = &room->seat[room->looked_at];
        if (seat->slot == HOLE) {
            *seat = *last;
            r->member(r->arg, seat->slot)->at[seat->entry].place = room->looked_at;
            room->end--;
        }
        room->looked_at++;
    }
    if (with_spare(room->end) <= room->size / 2)
        (void) resize(&room->seat, &room->size, with_spare(room->end), sizeof *room->seat);
}

/* The membership in that room, or NULL. */
static struct membership *find(const struct rooms *r, uint32_t i, const struct memberships *m)
{
    const struct room *room = &r->all[i];
    if (m->count <= room->end) {
        for (uint32_t k = 0; k < m->count; k++) {
            if (m->at[k].room == i)
                return &m->at[k];
        }
        return NULL;
    }
    uint32_t slot = r->all[m->at[0].room].seat[m->at[0].place].slot;
    for (uint32_t place = 0; place < room->end; place++) {
        if (room->seat[place].slot == slot)
            return &m->at[room->seat[place].entry];
    }
    return NULL;
}

/* Take a membership away; the last one of its connection takes its place. */
static void give_up(struct rooms *r, struct memberships *m, struct membership *gone)
{
    uint32_t i = gone->room, place = gone->place;
    struct room *room = &r->all[i];
    *gone = m->at[--m->count];
    if (gone != &m->at[m->count])
        r->all[gone->room].seat[gone->place].entry = (uint32_t) (gone - m->at);
    room->seat[place].slot = HOLE;
    if (room->end == room->count) /* the only one: it is filled first */
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

/* ---- Joining and leaving ---- */

static bool have_entry(struct memberships *m)
{
    return m->count < m->size || resize(&m->at, &m->size, with_spare(m->count + 1), sizeof *m->at);
}

static bool have_seat(struct room *room)
{
    return room->end < room->size ||
           resize(&room->seat, &room->size, with_spare(room->end + 1), sizeof *room->seat);
}

static void free_if_none(struct memberships *m)
{
    if (m->count > 0)
        return;
    mem_free(m->at);
    *m = (struct memberships){.at = NULL};
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
    if (!have_entry(m) || (!is_there && !open_room(r, group, &i))) {
        free_if_none(m);
        return JOINED_NOT;
    }
    struct room *room = &r->all[i];
    if (room->walks == 0)
        fill_holes(r, room, FILL_STEP);
    if (!have_seat(room)) {
        free_if_none(m);
        if (!is_there)
            close_room(r, i);
        return JOINED_NOT;
    }
    m->at[m->count] = (struct membership){.room = i, .place = room->end};
    room->seat[room->end++] = (struct seat){.slot = slot, .entry = m->count++};
    room->count++;
    publish_count(r, i);
    return JOINED;
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
    if (m->count > 0 && with_spare(m->count) <= m->size / 2)
        (void) resize(&m->at, &m->size, with_spare(m->count), sizeof *m->at);
    free_if_none(m);
    return true;
}

uint64_t rooms_leave_any(struct rooms *r, struct memberships *m)
{
    if (m->count == 0) {
        free_if_none(m);
        return 0;
    }
    struct membership *last = &m->at[m->count - 1];
    uint64_t group = r->all[last->room].group;
    give_up(r, m, last);
    return group;
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
    *w = (struct room_walk){.room = (uint32_t) known, .end = room->end};
    return true;
}

uint32_t rooms_walk_next(struct rooms *r, struct room_walk *w, uint32_t *slots, uint32_t n)
{
    const struct room *room = &r->all[w->room];
    uint32_t found = 0;
    for (; w->at < w->end && found < n; w->at++) {
        if (room->seat[w->at].slot != HOLE)
            slots[found++] = room->seat[w->at].slot;
    }
    return found;
}

void rooms_walk_end(struct rooms *r, struct room_walk *w)
{
    struct room *room = &r->all[w->room];
    CHECK(room->walks > 0);
    if (--room->walks > 0)
        return;
    uint32_t share = room->end / FILL_SHARE;
    if (room->count == 0)
        close_room(r, w->room);
    else
        fill_holes(r, room, share > FILL_LEAST ? share : FILL_LEAST);
}
