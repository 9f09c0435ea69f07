/*
 * test_rooms.c: rooms and their walks against plain tables of who is where.
 */
#include "mario/push/rooms.h"
#include "unit.h"

#include <string.h>

enum { GROUPS = 24, SLOTS = 120, WALKS = 6, OPERATIONS = 300000, CONNS = 1000, OF_EACH = 100 };

/* What a walk has to do with a member: nothing, is to see it, it has left before, has seen it. */
enum turn { NOBODY, EXPECTED, LEFT, SEEN };

struct walk {
    bool goes_on;
    uint32_t group;
    struct room_walk walk;
    enum turn turn[SLOTS];
};

struct model {
    struct rooms rooms;
    struct memberships of[SLOTS];
    bool in[GROUPS][SLOTS];
    uint32_t count[GROUPS];
    struct walk walk[WALKS];
    uint64_t random;
};

static struct memberships *member(void *arg, uint32_t slot)
{
    return &((struct memberships *) arg)[slot];
}

static uint32_t draw(struct model *m, uint32_t below)
{
    return (uint32_t) (unit_random(&m->random) % below);
}

/* Groups of few and of many. */
static uint64_t number(uint32_t g)
{
    return UINT64_C(1000000007) * (g + 1);
}

static void look(const struct model *m, uint32_t slot)
{
    uint32_t n = 0;
    for (uint32_t g = 0; g < GROUPS; g++) {
        n += m->in[g][slot];
        UNIT_ASSERT(rooms_count(&m->rooms, number(g)) == m->count[g]);
    }
    UNIT_ASSERT(m->of[slot].count == n);
    uint64_t groups[GROUPS];
    bool seen[GROUPS] = {false};
    uint32_t most = n / 2 + n % 2; /* what there is no room for is left out */
    UNIT_ASSERT(rooms_of(&m->rooms, &m->of[slot], groups, most) == most);
    UNIT_ASSERT(rooms_of(&m->rooms, &m->of[slot], groups, GROUPS) == n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t g = (uint32_t) (groups[i] / number(0)) - 1;
        UNIT_ASSERT(groups[i] == number(g) && m->in[g][slot] && !seen[g]);
        seen[g] = true;
    }
}

static void left(struct model *m, uint32_t g, uint32_t slot)
{
    m->in[g][slot] = false;
    m->count[g]--;
    for (int i = 0; i < WALKS; i++) {
        if (m->walk[i].goes_on && m->walk[i].group == g && m->walk[i].turn[slot] == EXPECTED)
            m->walk[i].turn[slot] = LEFT;
    }
}

static void leave_all(struct model *m, uint32_t slot)
{
    uint64_t group;
    while ((group = rooms_leave_any(&m->rooms, &m->of[slot])) != 0) {
        uint32_t g = (uint32_t) (group / number(0)) - 1;
        UNIT_ASSERT(group == number(g) && m->in[g][slot]);
        left(m, g, slot);
    }
    UNIT_ASSERT(m->of[slot].size == 0);
    look(m, slot);
}

static void come_or_go(struct model *m, uint32_t share)
{
    uint32_t slot = draw(m, SLOTS), g = draw(m, GROUPS);
    if (draw(m, 60) == 0) {
        leave_all(m, slot);
    } else if (draw(m, 100) < share && (g % 4 == 0 || slot % GROUPS == g)) {
        enum joined how = rooms_join(&m->rooms, number(g), slot, &m->of[slot]);
        UNIT_ASSERT(how == (m->in[g][slot] ? JOINED_ALREADY : JOINED));
        m->count[g] += !m->in[g][slot];
        m->in[g][slot] = true;
    } else {
        UNIT_ASSERT(rooms_leave(&m->rooms, number(g), &m->of[slot]) == m->in[g][slot]);
        if (m->in[g][slot])
            left(m, g, slot);
    }
    look(m, slot);
}

static void begin(struct model *m, struct walk *w)
{
    w->group = draw(m, GROUPS);
    w->goes_on = rooms_walk_begin(&m->rooms, number(w->group), &w->walk);
    UNIT_ASSERT(w->goes_on == (m->count[w->group] > 0));
    for (uint32_t i = 0; i < SLOTS; i++)
        w->turn[i] = m->in[w->group][i] ? EXPECTED : NOBODY;
}

/* Some more members; at the end all have been seen that were to be. */
static void go_on(struct model *m, struct walk *w)
{
    uint32_t slots[50], most = 1 + draw(m, 50), n = rooms_walk_next(&m->rooms, &w->walk, slots, most);
    UNIT_ASSERT(n <= most);
    for (uint32_t i = 0; i < n; i++) {
        UNIT_ASSERT(slots[i] < SLOTS && w->turn[slots[i]] == EXPECTED);
        w->turn[slots[i]] = SEEN;
    }
    if (n > 0 && draw(m, 20) != 0) /* or it is broken off */
        return;
    for (uint32_t i = 0; i < SLOTS && n == 0; i++)
        UNIT_ASSERT(w->turn[i] != EXPECTED);
    rooms_walk_end(&m->rooms, &w->walk);
    w->goes_on = false;
}

/* Goal: who is in is in, and each walk sees each member once that was there when it began and has not left, however
 * many walks and whatever happens between. */
START_TEST(as_tables)
{
    static struct model m;
    m.random = (uint64_t) _i;
    ck_assert(rooms_init(&m.rooms, member, m.of));
    uint32_t share = 50;
    for (int i = 0; i < OPERATIONS / UNIT_SLOW; i++) {
        if (i % 3000 == 0)
            share = draw(&m, 100);
        struct walk *w = &m.walk[draw(&m, WALKS)];
        if (draw(&m, 4) != 0)
            come_or_go(&m, share);
        else if (w->goes_on)
            go_on(&m, w);
        else if (i / 10000 % 2 == 0 || w == &m.walk[0]) /* many at once, and few */
            begin(&m, w);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        leave_all(&m, slot);
    for (int i = 0; i < WALKS; i++) {
        while (m.walk[i].goes_on)
            go_on(&m, &m.walk[i]);
    }
    ck_assert_uint_eq(m.rooms.used, 0);
    ck_assert_ptr_null(m.rooms.all);
    rooms_fini(&m.rooms);
}
END_TEST

/* Goal: without memory nothing has changed, wherever it is missing; to leave needs none. */
START_TEST(without_memory)
{
    static struct model m;
    struct walk *w = &m.walk[0];
    size_t refused = 0;
    unit_heap_fail(0);
    UNIT_ASSERT(!rooms_init(&m.rooms, member, m.of));
    unit_heap_heal();
    ck_assert(rooms_init(&m.rooms, member, m.of));
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        for (uint32_t g = 0; g < GROUPS; g++) {
            enum joined how = JOINED_NOT;
            uint32_t used = m.rooms.used;
            for (size_t good = 0; how == JOINED_NOT; good++) {
                unit_heap_fail(good);
                how = rooms_join(&m.rooms, number(g), slot, &m.of[slot]);
                bool missed = unit_heap_heal() > 0;
                refused += how == JOINED_NOT;
                UNIT_ASSERT(how == JOINED || (how == JOINED_NOT && missed && m.rooms.used == used));
                if (how == JOINED_NOT)
                    look(&m, slot);
            }
            m.in[g][slot] = true;
            m.count[g]++;
            look(&m, slot);
            unit_heap_fail(0);
            UNIT_ASSERT(rooms_join(&m.rooms, number(g), slot, &m.of[slot]) == JOINED_ALREADY);
            unit_heap_heal();
        }
    }
    ck_assert_uint_gt(refused, SLOTS);
    unit_heap_fail(0);
    for (uint32_t g = 0; g < GROUPS; g++) {
        begin(&m, w);
        while (w->goes_on)
            go_on(&m, w);
    }
    for (uint32_t slot = 0; slot < SLOTS; slot += 2)
        leave_all(&m, slot);
    for (int i = 0; i < 20000; i++) {
        come_or_go(&m, 0);
        if (!w->goes_on)
            begin(&m, w);
        else
            go_on(&m, w);
    }
    unit_heap_heal();
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        leave_all(&m, slot);
    rooms_fini(&m.rooms);
}
END_TEST

/* Goal: a hundred groups on each of a thousand connections take 24 bytes each, and nothing when all have left. */
START_TEST(little_memory_and_none_when_all_leave)
{
    static struct memberships of[CONNS];
    struct rooms r;
    memset(of, 0, sizeof of);
    ck_assert(rooms_init(&r, member, of));
    size_t before = unit_resident();
    for (uint64_t g = 1; g <= OF_EACH; g++) {
        for (uint32_t slot = 0; slot < CONNS; slot++)
            UNIT_ASSERT(rooms_join(&r, g, slot, &of[slot]) == JOINED);
    }
    size_t each = (unit_resident() - before) / (CONNS * OF_EACH);
    ck_assert_msg(UNIT_SLOW > 1 || each <= 24, "%zu bytes a membership", each);
    for (uint32_t slot = 0; slot < CONNS; slot++) {
        while (rooms_leave_any(&r, &of[slot]) != 0)
            ;
        UNIT_ASSERT(of[slot].size == 0);
    }
    ck_assert_uint_eq(r.used, 0);
    ck_assert_ptr_null(r.all);
    rooms_fini(&r);
}
END_TEST

/* Goal: a room in which somebody leaves and somebody comes during each walk does not become longer and longer. */
START_TEST(holes_are_filled)
{
    static struct memberships of[CONNS * 20];
    struct rooms r;
    struct room_walk w = {.end = 0};
    uint64_t random = 3;
    uint32_t slots[256], longest = 0;
    ck_assert(rooms_init(&r, member, of));
    for (uint32_t slot = 0; slot < CONNS * 20; slot++)
        UNIT_ASSERT(rooms_join(&r, 9, slot, &of[slot]) == JOINED);
    for (int round = 0; round < 4000 / UNIT_SLOW; round++) {
        UNIT_ASSERT(rooms_walk_begin(&r, 9, &w));
        longest = w.end > longest ? w.end : longest;
        UNIT_ASSERT(rooms_walk_next(&r, &w, slots, 256) == 256);
        for (int i = 0; i < 20; i++) {
            uint32_t slot = (uint32_t) (unit_random(&random) % (CONNS * 20));
            UNIT_ASSERT(rooms_leave(&r, 9, &of[slot]));
            UNIT_ASSERT(rooms_join(&r, 9, slot, &of[slot]) == JOINED);
        }
        rooms_walk_end(&r, &w);
    }
    ck_assert_uint_eq(rooms_count(&r, 9), CONNS * 20);
    ck_assert_uint_le(longest, CONNS * 20 + 400);
    for (uint32_t slot = 0; slot < CONNS * 20; slot++)
        UNIT_ASSERT(rooms_leave_any(&r, &of[slot]) == 9 && rooms_leave_any(&r, &of[slot]) == 0);
    rooms_fini(&r);
}
END_TEST

Suite *rooms_suite(void)
{
    Suite *s = suite_create("rooms");
    tcase_add_loop_test(unit_case(s, "as tables", 20), as_tables, 0, 4);
    tcase_add_test(unit_case(s, "without memory", 20), without_memory);
    TCase *c = unit_case(s, "memory", 20);
    tcase_add_test(c, little_memory_and_none_when_all_leave);
    tcase_add_test(c, holes_are_filled);
    return s;
}
