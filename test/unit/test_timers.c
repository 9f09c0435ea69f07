/*
 * test_timers.c: the timers against a list that is searched from end to end.
 */
#include "mario/push/timers.h"
#include "unit.h"

#include <string.h>

enum { CONNS = 30, ARGS = 20, OPERATIONS = 200000, MANY = 100000 };

/* A timer that is set, or not. */
struct entry {
    bool is_set;
    uint64_t due, order;
};

struct model {
    struct timers timers;
    struct timer *list[CONNS];
    struct entry entry[CONNS][ARGS][2];
    uint64_t random, now, order;
};

static sint32 ping(CONN *c, void *arg)
{
    (void) c;
    (void) arg;
    return 0;
}

static sint32 pong(CONN *c, void *arg)
{
    (void) c;
    (void) arg;
    return 1;
}

static const timer_func functions[2] = {ping, pong};
static char args[ARGS];

static uint32_t draw(struct model *m, uint32_t below)
{
    return (uint32_t) (unit_random(&m->random) % below);
}

/* The one that is due first, of several the one that was set first; NULL if none is set. */
static struct entry *first(struct model *m, uint32_t *slot, uint32_t *arg, uint32_t *f)
{
    struct entry *found = NULL;
    for (uint32_t i = 0; i < CONNS * ARGS * 2; i++) {
        struct entry *e = &m->entry[i / (ARGS * 2)][i / 2 % ARGS][i % 2];
        if (e->is_set &&
            (found == NULL || e->due < found->due || (e->due == found->due && e->order < found->order))) {
            found = e;
            *slot = i / (ARGS * 2);
            *arg = i / 2 % ARGS;
            *f = i % 2;
        }
    }
    return found;
}

/* Let time go on, and take all that is due: exactly those, in order. */
static void go_on(struct model *m)
{
    struct timer fired;
    uint32_t slot = 0, arg = 0, f = 0;
    struct entry *next;
    m->now += draw(m, 8);
    while ((next = first(m, &slot, &arg, &f)) != NULL && next->due <= m->now) {
        UNIT_ASSERT(timers_next(&m->timers) == next->due);
        UNIT_ASSERT(timers_take(&m->timers, m->now, &fired));
        UNIT_ASSERT(fired.due == next->due && fired.slot == slot && fired.arg == &args[arg] &&
                    fired.f == functions[f]);
        next->is_set = false;
        if (draw(m, 3) == 0) { /* as one that sets itself again */
            UNIT_ASSERT(timers_set(&m->timers, &m->list[slot], slot, m->now + 5, fired.f, fired.arg));
            *next = (struct entry){true, m->now + 5, m->order++};
        }
    }
    UNIT_ASSERT(timers_next(&m->timers) == (next == NULL ? UINT64_MAX : next->due));
    UNIT_ASSERT(!timers_take(&m->timers, m->now, &fired));
}

static void change(struct model *m)
{
    uint32_t slot = draw(m, CONNS), arg = draw(m, ARGS), f = draw(m, 2);
    struct entry *e = &m->entry[slot][arg][f];
    uint64_t due = m->now + draw(m, 300);
    switch (draw(m, 16)) {
    case 0:
        timers_cancel_all(&m->timers, &m->list[slot]);
        UNIT_ASSERT(m->list[slot] == NULL);
        memset(m->entry[slot], 0, sizeof m->entry[slot]);
        break;
    case 1:
    case 2:
    case 3:
    case 4:
        timers_cancel(&m->timers, &m->list[slot], functions[f], &args[arg]);
        e->is_set = false;
        break;
    default:
        UNIT_ASSERT(timers_set(&m->timers, &m->list[slot], slot, due, functions[f], &args[arg]));
        *e = (struct entry){true, due, m->order++};
        break;
    }
}

/* Goal: each timer comes once, when it is due, in order, unless it was cancelled; set again it has its new time. */
START_TEST(as_a_list)
{
    static struct model m;
    m.random = (uint64_t) _i;
    UNIT_ASSERT(timers_next(&m.timers) == UINT64_MAX);
    for (int i = 0; i < OPERATIONS / 4 / UNIT_SLOW; i++) {
        change(&m);
        if (i % 4 == 0)
            go_on(&m);
    }
    timers_fini(&m.timers); /* with some still set: nothing leaks */
}
END_TEST

/* Goal: without memory nothing changes; a timer that is there can be set anew all the same. */
START_TEST(without_memory)
{
    static struct timers t;
    static struct timer *list[MANY];
    uint32_t n = 0, refused = 0;
    struct timer fired;
    for (size_t good = 0; n < 1000; good = (good + 1) % 3) {
        unit_heap_fail(good);
        bool set = timers_set(&t, &list[n], n, 1000 - n, ping, NULL);
        UNIT_ASSERT((unit_heap_heal() > 0) == !set);
        UNIT_ASSERT(t.count == n + set && (list[n] != NULL) == set);
        refused += !set;
        n += set;
    }
    ck_assert_uint_gt(refused, 500);
    unit_heap_fail(0);
    for (uint32_t i = 0; i < n; i++)
        UNIT_ASSERT(timers_set(&t, &list[i], i, i, ping, NULL));
    for (uint32_t i = 0; i < n; i++)
        UNIT_ASSERT(timers_take(&t, i, &fired) && fired.slot == i && list[i] == NULL);
    unit_heap_heal();
    timers_fini(&t);
}
END_TEST

/* Goal: what very many took is given back; one that is set again and again takes none. */
START_TEST(its_memory_comes_back)
{
    static struct timers t;
    static struct timer *list[MANY];
    struct timer fired;
    for (uint32_t i = 0; i < MANY; i++)
        UNIT_ASSERT(timers_set(&t, &list[i], i, (i * UINT64_C(7919)) % MANY, ping, NULL));
    for (uint32_t i = 0; i < MANY; i += 2)
        timers_cancel_all(&t, &list[i]);
    uint64_t last = 0;
    while (timers_take(&t, UINT64_MAX, &fired)) {
        UNIT_ASSERT(fired.due >= last && fired.slot % 2 == 1);
        last = fired.due;
    }
    ck_assert_uint_le(t.size, 1024);
    ck_assert_uint_le(t.spares, 1024);
    unit_heap_fail(0);
    for (uint64_t i = 0; i < 10000; i++) {
        UNIT_ASSERT(timers_set(&t, &list[0], 0, i, ping, NULL));
        UNIT_ASSERT(timers_take(&t, i, &fired));
    }
    unit_heap_heal();
    timers_fini(&t);
}
END_TEST

Suite *timers_suite(void)
{
    Suite *s = suite_create("timers");
    tcase_add_loop_test(unit_case(s, "as a list", 20), as_a_list, 0, 3);
    tcase_add_test(unit_case(s, "without memory", 10), without_memory);
    tcase_add_test(unit_case(s, "memory", 10), its_memory_comes_back);
    return s;
}
