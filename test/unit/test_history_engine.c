/*
 * test_history_engine.c: histories that lie on an engine, against a plain list. The engine is played: it answers late,
 * its messages get lost, it goes away with orders done or not, comes back with another epoch, with less than it had.
 */
#include "history_lab.h"

#include <string.h>

enum command_kind { APPEND, FETCH };
struct command {
    enum command_kind kind;
    uint64_t cookie, after;
    uint32_t n;
    struct mario_msg *m;
};

struct entry {
    uint64_t seq, tag;
    struct mario_msg *m;
};

struct news {
    uint64_t epoch, seq;
    struct mario_msg *m;
};

static struct engine {
    bool is_up, is_subscribed, is_held, refuses;
    bool is_other;  /* it started again, and nobody has noticed: twice in that time would be too much */
    uint32_t lossy; /* of a hundred of its news, how many get lost */
    uint64_t epoch, base, last;
    struct entry entry[MOST + 1]; /* [count], oldest first */
    uint32_t count, n;
    struct command command[EVENTS];
    uint32_t commands;
    struct news news[EVENTS];
    uint32_t newsies;
    uint32_t fetches; /* done */
    /* The truth: when each tag got its number, in the order of all of them; 0: not yet, or never. */
    uint64_t place[MOST + 1], places;
    bool is_gone[MOST + 1]; /* the engine has forgotten it */
} engine;

/* ---- What the core would do ---- */

static bool is_up(void *arg, uint64_t group)
{
    UNIT_ASSERT(arg == &engine && group == GROUP);
    return engine.is_up;
}

static bool is_subscribed(void *arg, uint64_t group)
{
    UNIT_ASSERT(arg == &engine && group == GROUP);
    return engine.is_up && engine.is_subscribed;
}

static void hold(void *arg, uint64_t group, bool on)
{
    UNIT_ASSERT(arg == &engine && group == GROUP && engine.is_held != on);
    engine.is_held = on;
}

static void append(void *arg, uint64_t group, uint32_t n, struct mario_msg *m, uint64_t cookie)
{
    UNIT_ASSERT(arg == &engine && group == GROUP && engine.commands < EVENTS);
    engine.command[engine.commands++] =
        (struct command){.kind = APPEND, .n = n, .m = mario_msg_ref(m), .cookie = cookie};
}

static void fetch(void *arg, uint64_t group, uint64_t after, uint32_t most, uint64_t cookie)
{
    UNIT_ASSERT(arg == &engine && group == GROUP && engine.commands < EVENTS);
    engine.command[engine.commands++] =
        (struct command){.kind = FETCH, .n = most, .after = after, .cookie = cookie};
}

static const struct history_engine ops = {.arg = &engine,
                                          .is_up = is_up,
                                          .append = append,
                                          .fetch = fetch,
                                          .hold = hold,
                                          .is_subscribed = is_subscribed};

static bool has_member(void)
{
    for (uint32_t i = 1; i <= CONNS; i++) {
        if (lab.ear[i].is_member)
            return true;
    }
    return false;
}

/* ---- The engine ---- */

static struct history_message view(const struct mario_msg *m)
{
    struct mario_msg_info i;
    mario_msg_info(m, &i);
    return (struct history_message){
        .bytes = i.bytes, .len = i.len, .stamp = i.stamp, .key = i.key, .keep = i.keep != 0};
}

static uint64_t tag_of(const struct mario_msg *m)
{
    struct history_message h = view(m);
    uint64_t seq, tag;
    UNIT_ASSERT(lab_read(h.bytes, h.len, &seq, &tag));
    return tag;
}

static void forget_oldest(void)
{
    mario_msg_free(&engine.entry[0].m);
    memmove(engine.entry, engine.entry + 1, --engine.count * sizeof engine.entry[0]);
}

static void execute(struct mario_msg *m, uint32_t n)
{
    uint64_t tag = tag_of(m);
    UNIT_ASSERT(engine.place[tag] == 0 && engine.count < MOST);
    engine.place[tag] = ++engine.places;
    engine.entry[engine.count++] = (struct entry){.seq = ++engine.last, .tag = tag, .m = mario_msg_ref(m)};
    while (engine.count > n)
        forget_oldest();
    if (engine.is_subscribed && engine.is_up && lab_draw(100) >= engine.lossy) {
        UNIT_ASSERT(engine.newsies < EVENTS);
        engine.news[engine.newsies++] =
            (struct news){.epoch = engine.epoch, .seq = engine.last, .m = mario_msg_ref(m)};
    }
}

static void answer_fetch(const struct command *c)
{
    uint32_t sent = 0;
    engine.fetches++;
    engine.is_other = false;
    for (uint32_t i = 0; i < engine.count && sent < c->n; i++) {
        if (engine.entry[i].seq <= c->after)
            continue;
        struct history_message m = view(engine.entry[i].m);
        history_fetched(c->cookie, engine.epoch, engine.entry[i].seq, &m, 0, 0);
        sent++;
    }
    history_fetched(c->cookie, engine.epoch, 0, NULL, engine.last, engine.base);
}

static struct command take_command(void)
{
    struct command c = engine.command[0];
    memmove(engine.command, engine.command + 1, --engine.commands * sizeof c);
    return c;
}

static void work(void)
{
    if (engine.commands == 0 || !engine.is_up)
        return;
    struct command c = take_command();
    if (c.kind == FETCH) {
        answer_fetch(&c);
        return;
    }
    if (!engine.refuses)
        execute(c.m, c.n);
    history_appended(c.cookie, !engine.refuses);
    mario_msg_free(&c.m);
}

static void tell_news(void)
{
    if (engine.newsies == 0)
        return;
    struct news n = engine.news[0];
    memmove(engine.news, engine.news + 1, --engine.newsies * sizeof n);
    struct history_message m = view(n.m);
    history_sequenced(GROUP, n.epoch, n.seq, &m);
    mario_msg_free(&n.m);
}

/* The link is cut: of what was said to it some is done, and nobody hears of that. */
static void cut(void)
{
    while (engine.newsies > 0)
        mario_msg_free(&engine.news[--engine.newsies].m);
    uint32_t done = lab_draw(engine.commands + 1);
    for (uint32_t i = 0; i < done; i++) {
        if (engine.command[i].kind == APPEND)
            execute(engine.command[i].m, engine.command[i].n);
    }
    while (engine.newsies > 0)
        mario_msg_free(&engine.news[--engine.newsies].m);
    engine.is_up = engine.is_subscribed = false;
    while (engine.commands > 0) {
        struct command c = take_command();
        if (c.kind == APPEND)
            history_appended(c.cookie, false);
        else
            history_fetched(c.cookie, 0, 0, NULL, 0, 0);
        mario_msg_free(&c.m);
    }
    history_down();
}

/* It starts again, having lost the last ones. */
static void restart(uint32_t lost)
{
    engine.epoch++;
    engine.is_other = true;
    for (; lost > 0 && engine.count > 0; lost--) {
        engine.count--;
        engine.is_gone[engine.entry[engine.count].tag] = true;
        engine.last = engine.entry[engine.count].seq - 1;
        mario_msg_free(&engine.entry[engine.count].m);
    }
    engine.base = engine.last;
}

static void subscribe(void)
{
    if (!engine.is_up || engine.is_subscribed || !(has_member() || engine.is_held))
        return;
    engine.is_subscribed = true;
    history_subscribed(GROUP);
}

static void unsubscribe(void)
{
    if (!engine.is_subscribed || has_member() || engine.is_held)
        return;
    engine.is_subscribed = false;
    while (engine.newsies > 0)
        mario_msg_free(&engine.news[--engine.newsies].m);
    history_unsubscribed(GROUP);
}

/* What another node sends. */
static void say_elsewhere(void)
{
    struct mario_msg *m = lab_make();
    execute(m, engine.n);
    mario_msg_free(&m);
}

/* ---- The lab ---- */

/* In the order in which they got their numbers, each once; without a number only what never gets one. */
static void hears(struct ear *e, uint64_t seq, uint64_t tag)
{
    uint64_t place = engine.place[tag];
    if (seq == 0) {
        UNIT_ASSERT(place == 0);
        return;
    }
    UNIT_ASSERT(place > e->place);
    e->place = place;
}

static void open_engine(uint64_t seed, uint32_t n)
{
    memset(&engine, 0, sizeof engine);
    lab_setup(seed);
    lab.hears = hears;
    engine.is_up = true;
    engine.epoch = 100;
    engine.n = n;
    ck_assert(history_setup(HISTORY_ENGINE, &ops, 1000000, &lab_house));
    history_begin();
    lab_keep(n);
}

/* Until nothing is left to do. */
static void settle(void)
{
    for (int rounds = 0;; rounds++) {
        UNIT_ASSERT(rounds < 1000000);
        uint64_t when = history_pass();
        if (lab.calls > 0) {
            while (lab.calls > 0)
                lab_run(0);
        } else if (engine.commands > 0 && engine.is_up) {
            work();
        } else if (engine.newsies > 0) {
            tell_news();
        } else if (engine.is_up && !engine.is_subscribed && (engine.is_held || has_member())) {
            subscribe();
        } else if (when == UINT64_MAX) {
            return;
        } else if (when > lab.clock) {
            lab.clock = when;
        }
    }
}

static void close_engine(void)
{
    if (engine.is_up)
        cut();
    history_end();
    while (engine.count > 0)
        forget_oldest();
}

/* ---- Tests ---- */

static void expect(uint32_t id, uint64_t epoch, uint64_t seq, uint64_t first, uint64_t last, int32_t gap)
{
    struct ear *e = &lab.ear[id];
    lab_come(id, epoch, seq);
    settle();
    ck_assert(e->is_member);
    ck_assert_int_eq((int) e->told, 1);
    ck_assert_uint_eq(e->last.epoch, engine.epoch);
    ck_assert_uint_eq(e->last.first, first);
    ck_assert_uint_eq(e->last.seq, last);
    ck_assert_int_eq(e->last.gap, gap);
    ck_assert_uint_eq(e->got, last + 1 - first);
}

/* Goal: numbers that somebody makes up, of this epoch or another one, take nothing from the members and keep nothing
 * back; what is in front of the first one that they hear likewise. */
START_TEST(made_up)
{
    static const struct {
        uint64_t epoch, seq;
    } rows[] = {{100, 1000}, {100, UINT64_MAX}, {100, 0}, {7, 1}, {7, 1000}, {7, UINT64_MAX}, {100, 2}};
    const struct history_message none = {.bytes = NULL};
    open_engine(1, 1000);
    expect(1, 0, 0, 1, 0, 0);
    for (size_t i = 0; i < 2 * (sizeof rows / sizeof rows[0]); i++) {
        say_elsewhere();
        settle();
        for (uint64_t next = 1; next <= 3; next++) /* also the number that comes next, of another epoch */
            history_sequenced(GROUP, rows[i / 2].epoch,
                              i % 2 == 0 || rows[i / 2].epoch == 100 ? rows[i / 2].seq : engine.last + next,
                              &none);
        if (i % 4 < 2)
            settle();
        say_elsewhere();
        settle();
        ck_assert_uint_eq(lab.ear[1].seq, engine.last);
        ck_assert_uint_eq(lab.ear[1].got, engine.last);
    }
    expect(2, 100, 3, 4, engine.last, 0);
    close_engine();
}
END_TEST

/* Goal: what the engine has is fetched, also more than it gives at a time; what it has not is a gap. Those who come
 * back together are served by one question. */
START_TEST(fetched)
{
    open_engine(1, 1000);
    expect(20, 0, 0, 1, 0, 0);
    lab.ear[20].is_member = false;
    settle();
    unsubscribe();
    for (int i = 0; i < 1500; i++)
        say_elsewhere();
    expect(1, 100, 600, 601, 1500, 0);
    expect(2, 0, 0, 501, 1500, 1);
    expect(3, 100, 1500, 1501, 1500, 0);
    expect(4, 100, 1501, 501, 1500, 1);
    expect(5, 99, 3, 501, 1500, 1);
    for (uint32_t i = 1; i <= 5; i++)
        lab.ear[i].is_member = false;
    settle();
    ck_assert(!engine.is_held); /* after a moment nothing of it is wanted any more */
    unsubscribe();
    engine.fetches = 0;
    for (uint32_t i = 6; i < CONNS; i++) {
        lab.ear[i].place = 0;
        lab_come(i, 100, 1300);
    }
    settle();
    for (uint32_t i = 6; i < CONNS; i++)
        ck_assert_uint_eq(lab.ear[i].got, 200);
    ck_assert_uint_eq(engine.fetches, 2); /* where it is, and what was missed */
    close_engine();
}
END_TEST

/* Goal: while the engine is away who comes back is a member, and told; what is sent goes out without a number; when it
 * is back members get what others sent meanwhile. */
START_TEST(away)
{
    open_engine(1, 1000);
    expect(1, 0, 0, 1, 0, 0);
    lab_say();
    settle();
    ck_assert_uint_eq(lab.ear[1].got, 1);
    cut();
    say_elsewhere();
    lab_come(2, 100, 1);
    lab_say();
    settle();
    ck_assert(lab.ear[2].is_member);
    ck_assert_uint_eq(lab.ear[2].last.epoch, 0);
    ck_assert_int_eq(lab.ear[2].last.gap, 1);
    ck_assert_uint_eq(lab.ear[1].unnumbered, 1);
    engine.is_up = true;
    settle();
    ck_assert_uint_eq(lab.ear[1].got, 2);
    engine.refuses = true;
    lab_say();
    settle();
    ck_assert_uint_eq(lab.ear[1].unnumbered, 2);
    close_engine();
}
END_TEST

/* Goal: an engine that starts again: members get all that is new, and nothing twice, whether it kept all, has lost
 * some, or all. */
START_TEST(restarted)
{
    static const uint32_t lost[] = {0, 3, 10};
    open_engine(1, 1000);
    lab.may_skip = true;
    expect(1, 0, 0, 1, 0, 0);
    for (int i = 0; i < 10; i++)
        lab_say();
    settle();
    ck_assert_uint_eq(lab.ear[1].seq, 10);
    cut();
    restart(lost[_i]);
    for (int i = 0; i < 5; i++)
        say_elsewhere();
    engine.is_up = true;
    settle();
    ck_assert_uint_eq(lab.ear[1].seq, 15 - lost[_i]);
    for (uint64_t tag = 1; tag <= lab.tags; tag++)
        ck_assert_uint_eq(lab.ear[1].heard[tag], 1);
    expect(2, 100, 10, 1, 15 - lost[_i], 1); /* numbers of another epoch */
    close_engine();
}
END_TEST

static void leave_and_forget(uint32_t id)
{
    lab_come_or_leave(id);
    if (!lab.ear[id].is_member)
        lab.ear[id].place = 0;
}

static void something(int kind)
{
    uint32_t what = lab_draw(kind > 0 ? 101 : 100);
    if (what < 15)
        lab_say();
    else if (what < 25)
        say_elsewhere();
    else if (what < 30)
        leave_and_forget(1 + lab_draw(CONNS));
    else if (what < 45 && lab.calls > 0)
        lab_run(lab_draw(lab.calls));
    else if (what < 60)
        work();
    else if (what < 75)
        tell_news();
    else if (what < 80)
        subscribe();
    else if (what < 81)
        unsubscribe();
    else if (what < 100)
        (void) history_pass();
    else if (engine.is_up)
        cut();
    else
        engine.is_up = true;
    if (!engine.is_up && kind > 1 && !engine.is_other && lab_draw(20) == 0)
        restart(kind == 2 ? 0 : lab_draw(4));
    if (!engine.is_up && lab_draw(10) == 0)
        engine.is_up = true;
}

/* Each member has got all since it was told, but what the engine forgot. */
static void check_complete(void)
{
    for (uint32_t i = 1; i <= CONNS; i++) {
        const struct ear *e = &lab.ear[i];
        UNIT_ASSERT(!e->is_coming);
        uint64_t first = UINT64_MAX;
        for (uint64_t tag = 1; e->is_member && tag <= lab.tags; tag++) {
            if (e->heard[tag] > 0 && engine.place[tag] != 0 && engine.place[tag] < first)
                first = engine.place[tag];
        }
        for (uint64_t tag = 1; first != UINT64_MAX && tag <= lab.tags; tag++)
            UNIT_ASSERT(engine.place[tag] < first || e->heard[tag] == 1 || engine.is_gone[tag]);
    }
}

/* Goal: all of it in any order, with an engine that only is slow, that goes away, that starts again, that loses some:
 * each member gets each message once, in the order of their numbers. */
START_TEST(storm)
{
    int kind = _i % 4;
    open_engine((uint64_t) _i + 1, MOST);
    lab.full = (uint32_t) (_i / 4 % 4) * 20;
    lab.filler = _i % 3 == 0 ? 3000 : 0;
    lab.may_skip = kind > 1;
    engine.lossy = _i % 2 == 0 ? 0 : 3;
    while (lab.tags < MOST / 4) {
        something(kind);
        lab.clock += lab_draw(1000000);
    }
    engine.is_up = true;
    engine.lossy = 0;
    settle();
    say_elsewhere(); /* so that what was lost last is noticed */
    settle();
    check_complete();
    close_engine();
}
END_TEST

/* Goal: without memory every now and then messages may be missing, but none comes twice or too early, and nobody is
 * forgotten. */
START_TEST(without_memory)
{
    open_engine((uint64_t) _i + 1, MOST);
    lab.may_skip = true;
    lab.filler = 1000;
    engine.lossy = 3;
    while (lab.tags < MOST / 8) {
        bool short_of = lab_draw(3) == 0;
        if (lab_draw(3) > 0) {
            something(1);
        } else {
            uint32_t what = lab_draw(4);
            if (short_of)
                unit_heap_fail(lab_draw(3));
            if (what == 0)
                work();
            else if (what < 3)
                tell_news();
            else
                (void) history_pass();
            unit_heap_heal();
        }
        lab.clock += lab_draw(1000000);
    }
    engine.is_up = true;
    engine.lossy = 0;
    settle();
    for (uint32_t i = 1; i <= CONNS; i++)
        ck_assert(!lab.ear[i].is_coming);
    close_engine();
}
END_TEST

Suite *history_engine_suite(void)
{
    Suite *s = suite_create("history_engine");
    TCase *c = unit_case(s, "history_engine", 20);
    tcase_add_test(c, fetched);
    tcase_add_test(c, made_up);
    tcase_add_test(c, away);
    tcase_add_loop_test(c, restarted, 0, 3);
    tcase_add_loop_test(c, storm, 0, 24);
    tcase_add_loop_test(c, without_memory, 0, 8);
    return s;
}
