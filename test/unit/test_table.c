/*
 * test_table.c: the table against an array of what must be in it, and readers beside its writer.
 */
#include "mario/push/table.h"
#include "unit.h"

#include <pthread.h>

enum { KEYS = 6000, OPERATIONS = 400000, MANY = 400000, STEADY = 300, READERS = 2 };

struct model {
    struct table table;
    uint64_t random;
    bool in[KEYS];
    uint64_t value[KEYS];
    uint32_t count[KEYS];
};

/* Keys as applications have them, near one another, and far apart. */
static uint64_t key_of(uint32_t i)
{
    uint64_t state = i;
    return i % 2 == 0 ? i + 1 : unit_random(&state) | 1;
}

/* What the table says of a key is what the model says. */
static void look(const struct model *m, uint32_t i)
{
    uint64_t value;
    uint32_t count;
    bool found = table_get(&m->table, key_of(i), &value, &count);
    UNIT_ASSERT(found == m->in[i]);
    UNIT_ASSERT(!found || (value == m->value[i] && count == m->count[i]));
    UNIT_ASSERT(!found || *table_value(&m->table, key_of(i)) == value);
    UNIT_ASSERT(found || table_value(&m->table, key_of(i)) == NULL);
    UNIT_ASSERT(table_count(&m->table, key_of(i)) == (found ? count : 0));
}

static void add(struct model *m, uint32_t i)
{
    uint64_t value = unit_random(&m->random);
    uint32_t count = (uint32_t) (value >> 40);
    UNIT_ASSERT(table_put(&m->table, key_of(i), value, count));
    m->in[i] = true;
    m->value[i] = value;
    m->count[i] = count;
}

static uint64_t sum;
static void add_up(void *arg, uint64_t key, uint64_t value, uint32_t count)
{
    UNIT_ASSERT(key != 0);
    *(uint32_t *) arg += 1;
    sum += value + count;
}

static void look_at_all(const struct model *m)
{
    uint32_t there = 0, seen = 0;
    sum = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        look(m, i);
        there += m->in[i];
        sum -= m->in[i] ? m->value[i] + m->count[i] : 0;
    }
    table_each(&m->table, add_up, &seen);
    UNIT_ASSERT(seen == there && sum == 0);
}

/* Goal: whatever is put and removed, in whatever order, while it grows and shrinks, is there or is not. */
START_TEST(as_an_array)
{
    static struct model m;
    m.random = (uint64_t) _i;
    ck_assert(table_init(&m.table));
    uint32_t share = 0;
    for (uint32_t n = 0; n < OPERATIONS / UNIT_SLOW; n++) {
        if (n % 10000 == 0) { /* what part of the keys are wanted in */
            share = (uint32_t) (unit_random(&m.random) % 110);
            look_at_all(&m);
        }
        uint32_t i = (uint32_t) (unit_random(&m.random) % (n / 20000 % 2 == 0 ? KEYS : KEYS / 50));
        if (i % 100 < share) {
            add(&m, i);
        } else {
            table_remove(&m.table, key_of(i));
            m.in[i] = false;
        }
        look(&m, i);
        look(&m, (uint32_t) (unit_random(&m.random) % KEYS));
    }
    look_at_all(&m);
    ck_assert_uint_eq(table_count(&m.table, 0), 0);
    table_fini(&m.table);
}
END_TEST

/* Goal: it takes what it needs, gives it back, and takes no more the tenth time. */
START_TEST(its_memory_comes_back)
{
    struct table t;
    size_t before = unit_resident(), full = 0;
    ck_assert(table_init(&t));
    for (int round = 0; round < (UNIT_SLOW == 1 ? 3 : 1); round++) {
        for (uint64_t i = 1; i <= MANY / UNIT_SLOW; i++)
            UNIT_ASSERT(table_put(&t, i, i, 1));
        full = unit_resident() - before;
        for (uint64_t i = 1; i <= MANY / UNIT_SLOW; i++)
            table_remove(&t, i);
        ck_assert(UNIT_SLOW > 1 ||
                  unit_resident() - before < 1024 * 1024); /* sanitizers have heaps of their own */
        ck_assert(UNIT_SLOW > 1 || full < (size_t) MANY * 96);
        ck_assert_uint_eq(t.used, 0);
    }
    table_fini(&t);
}
END_TEST

/* Goal: no change takes long, however many there are: entries move a few at a time. */
START_TEST(nobody_waits_for_the_many)
{
    struct table t;
    ck_assert(table_init(&t));
    for (uint64_t i = 1; i <= MANY / UNIT_SLOW; i++) {
        uint32_t swept = t.swept;
        uint64_t before = atomic_load(&t.state);
        UNIT_ASSERT(table_put(&t, i, i, 1));
        uint64_t after = atomic_load(&t.state);
        if ((before & 0xff) != (after & 0xff))
            UNIT_ASSERT((after >> 8 & 0xff) == (before & 0xff)); /* most are still in the smaller block */
        else
            UNIT_ASSERT(t.swept - swept <= 32);
    }
    table_fini(&t);
}
END_TEST

/* Goal: without memory it takes some more, then says no, loses nothing, and goes on when there is memory. */
START_TEST(without_memory)
{
    struct table t;
    unit_heap_fail(0);
    UNIT_ASSERT(!table_init(&t));
    ck_assert_uint_gt(unit_heap_heal(), 0);
    ck_assert(table_init(&t));
    uint64_t n = 0;
    for (int round = 0; round < 6; round++) {
        unit_heap_fail(0);
        while (table_put(&t, n + 1, n, (uint32_t) n + 1))
            n++;
        ck_assert_uint_gt(unit_heap_heal(), 0);
        ck_assert_uint_ge(n, 96);
        ck_assert_uint_eq(t.used, n);
        ck_assert_uint_eq(table_count(&t, n + 1), 0);
        unit_heap_fail(0);
        for (uint64_t i = 1; i <= n; i++)
            UNIT_ASSERT(table_count(&t, i) == i && table_put(&t, i, i, (uint32_t) i));
        ck_assert_uint_eq(unit_heap_heal(), 0);
        ck_assert(table_put(&t, n + 1, n, (uint32_t) n + 1));
        n++;
    }
    for (uint64_t i = 1; i <= n; i++)
        table_remove(&t, i);
    ck_assert_uint_eq(t.used, 0);
    table_fini(&t);
}
END_TEST

/* ---- Readers ---- */

struct shared {
    struct table table;
    _Atomic bool over;
    _Atomic uint64_t wrong, looks;
};

/* Keys 1 .. STEADY stay, and their counts only grow. */
static void *read_counts(void *arg)
{
    struct shared *s = arg;
    static _Thread_local uint32_t last[STEADY];
    uint64_t random = (uint64_t) (uintptr_t) &random, looks = 0, wrong = 0;
    while (!atomic_load_explicit(&s->over, memory_order_relaxed)) {
        uint32_t i = (uint32_t) (unit_random(&random) % STEADY);
        uint32_t count = table_count(&s->table, i + 1);
        wrong += count % STEADY != i || count < last[i];
        last[i] = count;
        wrong += table_count(&s->table, UINT64_C(1) << 40) != 0; /* never there */
        looks++;
    }
    atomic_fetch_add(&s->looks, looks);
    atomic_fetch_add(&s->wrong, wrong);
    return NULL;
}

static bool all_have_looked(void *arg)
{
    struct shared *s = arg;
    return atomic_load(&s->looks) > 0;
}

/* Goal: who stays is found by every reader at every moment, with the count it has or had, while others come and go
 * and the table takes other blocks. */
START_TEST(readers_beside_the_writer)
{
    static struct shared s;
    pthread_t threads[READERS];
    uint64_t random = 7;
    ck_assert(table_init(&s.table));
    for (uint32_t i = 0; i < STEADY; i++)
        ck_assert(table_put(&s.table, i + 1, i, i + STEADY));
    for (int i = 0; i < READERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, read_counts, &s), 0);
    for (uint32_t round = 2; round < 40u / UNIT_SLOW + 4; round++) {
        for (uint32_t n = 0; n < 20000; n++) {
            uint64_t key = 1000 + unit_random(&random) % 3000;
            if ((n < 10000) == (unit_random(&random) % 8 != 0))
                UNIT_ASSERT(table_put(&s.table, key, key, 1));
            else
                table_remove(&s.table, key);
            uint32_t i = n % STEADY;
            if (n < STEADY)
                UNIT_ASSERT(table_put(&s.table, i + 1, i, i + round * STEADY));
        }
        for (uint64_t key = 1000; key < 4000; key++)
            table_remove(&s.table, key);
    }
    atomic_store(&s.over, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    ck_assert(all_have_looked(&s));
    ck_assert_uint_eq(atomic_load(&s.wrong), 0);
    table_fini(&s.table);
}
END_TEST

/* Goal: a writer that has stopped between two moves holds no reader up, and who is there is found. */
START_TEST(a_stopped_writer_holds_nobody_up)
{
    struct table t;
    ck_assert(table_init(&t));
    for (uint32_t i = 1; i <= 100; i++)
        ck_assert(table_put(&t, i, i, i));
    atomic_fetch_add(&t.state, 1u << 16); /* as in the middle of a move */
    for (uint32_t i = 1; i <= 100; i++)
        ck_assert_uint_eq(table_count(&t, i), i);
    ck_assert_uint_eq(table_count(&t, 101), 0);
    table_fini(&t);
}
END_TEST

Suite *table_suite(void)
{
    Suite *s = suite_create("table");
    tcase_add_loop_test(unit_case(s, "as an array", 20), as_an_array, 0, 4);
    tcase_add_test(unit_case(s, "memory", 20), its_memory_comes_back);
    tcase_add_test(unit_case(s, "pieces", 20), nobody_waits_for_the_many);
    tcase_add_test(unit_case(s, "without memory", 20), without_memory);
    TCase *c = unit_case(s, "readers", 30);
    tcase_add_test(c, readers_beside_the_writer);
    tcase_add_test(c, a_stopped_writer_holds_nobody_up);
    return s;
}
