/*
 * test_history.c: groups with a history, against a plain list: who gets what, once and in order, while rings are full,
 * functions run late, an engine forgets, loses, restarts. What libmario and the engine do is played here.
 */
#include "mario/cluster/history.h"
#include "mario/mario_cluster.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONNS = 24, MOST = 4096, RUNS = 256, EVENTS = 8192, GROUP = 7, LEN_LEAST = 20 };

/* On the wire: its length, the place for its number, what it is. */
struct packet {
    uint32_t len;
    uint64_t seq;
    uint64_t tag;
} __attribute__((packed));

/* One member: what it was told, and what it has got since. */
struct ear {
    bool is_member, is_coming, is_gone;
    uint32_t told;
    struct mario_resumed last;
    uint64_t next;                /* number it expects */
    uint64_t epoch, seq;          /* what it has, for coming back */
    uint32_t got;                 /* messages with a number since it was told */
    uint32_t heard[MOST + 1];     /* how often each tag came */
    uint32_t unnumbered, waiting; /* bytes that wait */
};

struct call {
    uint64_t id;
    int32_t (*f)(CONN *c, void *arg);
    void *arg;
};

static struct lab {
    uint64_t random;
    uint32_t full;   /* of a hundred tries, how many find a full ring */
    uint64_t clock;  /* ns */
    uint64_t tags;   /* given */
    uint32_t filler; /* bytes of a message beyond LEN_LEAST, at most */
    bool is_strict;  /* numbers have no holes */
    struct ear ear[CONNS + 1];
    struct call call[RUNS];
    uint32_t calls;
    bool is_sequenced;
} lab;

static uint32_t draw(uint32_t below)
{
    return (uint32_t) (unit_random(&lab.random) % below);
}

static bool is_full(void)
{
    if (draw(100) >= lab.full)
        return false;
    errno = EAGAIN;
    return true;
}

/* ---- The house ---- */

static void hear_one(struct ear *e, const struct packet *p)
{
    UNIT_ASSERT(p->tag > 0 && p->tag <= lab.tags);
    UNIT_ASSERT(++e->heard[p->tag] == 1 || e->last.gap != 0);
    if (p->seq == 0) {
        e->unnumbered++;
        return;
    }
    if (e->told > 0 && e->last.epoch != 0 && e->next != 0)
        UNIT_ASSERT(p->seq == e->next || (!lab.is_strict && p->seq > e->next));
    if (e->got == 0 && e->next != 0)
        UNIT_ASSERT(p->seq == e->next);
    e->got++;
    e->next = p->seq + 1;
    e->seq = p->seq;
}

static void hear(struct ear *e, const struct mario_msg *m)
{
    struct mario_msg_info info;
    mario_msg_info(m, &info);
    const unsigned char *at = info.bytes;
    while (info.len > 0) {
        struct packet p;
        memcpy(&p, at, sizeof p);
        UNIT_ASSERT(p.len >= sizeof p && p.len <= info.len);
        hear_one(e, &p);
        at += p.len;
        info.len -= p.len;
    }
}

static int32_t deliver(uint64_t group, struct mario_msg *m)
{
    UNIT_ASSERT(group == GROUP);
    if (is_full())
        return -1;
    for (uint32_t i = 1; i <= CONNS; i++) {
        if (lab.ear[i].is_member)
            hear(&lab.ear[i], m);
    }
    return 0;
}

static int32_t send_to(uint64_t id, struct mario_msg *m)
{
    struct mario_msg_info info;
    if (is_full())
        return -1;
    mario_msg_info(m, &info);
    UNIT_ASSERT(!lab.ear[id].is_member);
    UNIT_ASSERT(lab.ear[id].waiting == 0 || info.len <= 32768);
    if (lab.ear[id].is_coming)
        hear(&lab.ear[id], m);
    return 0;
}

static int32_t run(uint64_t id, int32_t (*f)(CONN *c, void *arg), void *arg)
{
    if (is_full() || lab.calls == RUNS) {
        errno = EAGAIN;
        return -1;
    }
    lab.call[lab.calls++] = (struct call){.id = id, .f = f, .arg = arg};
    return 0;
}

static int32_t join(uint64_t id, uint64_t group)
{
    UNIT_ASSERT(group == GROUP && !lab.ear[id].is_member);
    if (is_full())
        return -1;
    if (lab.ear[id].is_coming)
        lab.ear[id].is_member = true;
    lab.ear[id].is_coming = false;
    return 0;
}

static int32_t sequence(uint64_t group, int on)
{
    UNIT_ASSERT(group == GROUP);
    lab.is_sequenced = on != 0;
    return 0;
}

static uint64_t now(void)
{
    return lab.clock;
}

static uint64_t called; /* whose function runs */

static void waiting(const CONN *c, uint32_t *messages, uint32_t *bytes)
{
    (void) c;
    *bytes = lab.ear[called].waiting;
    *messages = *bytes > 0;
}

static const struct history_house house = {.deliver = deliver,
                                           .send = send_to,
                                           .run = run,
                                           .join = join,
                                           .sequence = sequence,
                                           .waiting = waiting,
                                           .now = now};

/* ---- Who comes back ---- */

static int32_t told(CONN *c)
{
    struct ear *e = &lab.ear[called];
    struct mario_resumed r;
    UNIT_ASSERT(c->in_buf_len == sizeof r && c->err_type == 0);
    memcpy(&r, c->in_buf, sizeof r);
    UNIT_ASSERT(r.group == GROUP && e->is_coming);
    UNIT_ASSERT(e->told == 0 || r.gap != 0); /* again: only because something is not there any more */
    if (r.epoch != 0)
        UNIT_ASSERT(r.first + r.messages == r.seq + 1);
    else
        UNIT_ASSERT(r.gap == 1 && r.messages == 0 && r.seq == 0);
    if (r.gap != 0 && r.epoch != e->epoch)
        memset(e->heard, 0, sizeof e->heard);
    e->told++;
    e->last = r;
    e->next = r.epoch == 0 ? 0 : r.first;
    e->epoch = r.epoch;
    e->got = 0;
    return 0;
}

/* Run the i-th of those ordered. */
static void run_call(uint32_t i)
{
    struct call k = lab.call[i];
    CONN c = {0};
    lab.call[i] = lab.call[--lab.calls];
    called = k.id;
    k.f(lab.ear[k.id].is_gone ? NULL : &c, k.arg);
}

static void come(uint32_t id, uint64_t epoch, uint64_t seq)
{
    const uint64_t had[2] = {epoch, seq};
    struct ear *e = &lab.ear[id];
    UNIT_ASSERT(!e->is_member && !e->is_coming);
    e->is_coming = true;
    e->is_gone = false;
    e->told = e->got = 0;
    e->next = 0;
    e->last = (struct mario_resumed){0};
    struct mario_route_order o = {
        .kind = HISTORY_KIND_RESUME, .key = GROUP, .id = id, .m = mario_msg(had, sizeof had)};
    UNIT_ASSERT(o.m != NULL);
    history_order(&o);
}

static void set_history(uint32_t n)
{
    history_order(&(struct mario_route_order){.kind = HISTORY_KIND_KEEP, .key = GROUP, .devices = n});
}

static struct mario_msg *make(void)
{
    unsigned char bytes[MARIO_MSG_MAX];
    struct packet p = {.len = LEN_LEAST, .seq = 99, .tag = ++lab.tags};
    p.len += lab.filler > 0 ? draw(lab.filler + 1) : 0;
    memset(bytes, 0x5a, p.len);
    memcpy(bytes, &p, sizeof p);
    struct mario_msg *m = mario_msg(bytes, p.len);
    UNIT_ASSERT(m != NULL && lab.tags <= MOST);
    mario_msg_stamp(m, offsetof(struct packet, seq));
    return m;
}

static void say(void)
{
    UNIT_ASSERT(history_send(GROUP, make()));
}

static void setup_lab(uint64_t seed)
{
    memset(&lab, 0, sizeof lab);
    lab.random = seed;
    lab.clock = 1;
    lab.is_strict = true;
    ck_assert_int_eq(regist_resumed_func(told), 0);
}

static void open_local(uint64_t seed, uint32_t n)
{
    setup_lab(seed);
    ck_assert(history_setup(HISTORY_LOCAL, NULL, 0, &house));
    history_begin();
    set_history(n);
    ck_assert(lab.is_sequenced && history_has(GROUP));
}

/* Until nothing is left to do. */
static void settle(void)
{
    for (;;) {
        uint64_t when = history_pass();
        if (lab.calls > 0) {
            while (lab.calls > 0)
                run_call(0);
        } else if (when == UINT64_MAX) {
            return;
        } else if (when > lab.clock) {
            lab.clock = when;
        }
    }
}

/* ---- In memory ---- */

/* Somebody who had seq of an epoch is told this, and gets it. */
static void expect(uint32_t id, uint64_t epoch, uint64_t seq, uint64_t first, uint64_t last, int32_t gap)
{
    struct ear *e = &lab.ear[id];
    come(id, epoch, seq);
    settle();
    ck_assert(e->is_member);
    ck_assert_int_eq((int) e->told, 1);
    ck_assert_uint_eq(e->last.first, first);
    ck_assert_uint_eq(e->last.seq, last);
    ck_assert_uint_eq(e->last.messages, last + 1 - first);
    ck_assert_int_eq(e->last.gap, gap);
    ck_assert_uint_eq(e->got, last + 1 - first);
}

/* Goal: each answer there is: all since, nothing since, some gone, a number of the future, another epoch, none. */
START_TEST(answers)
{
    open_local(1, 10);
    for (int i = 0; i < 25; i++)
        say();
    expect(1, 0, 0, 16, 25, 1); /* all that is kept, and there was more */
    uint64_t epoch = lab.ear[1].epoch;
    ck_assert_uint_ne(epoch, 0);
    expect(2, epoch, 20, 21, 25, 0);
    expect(3, epoch, 25, 26, 25, 0);
    expect(4, epoch, 15, 16, 25, 0);
    expect(5, epoch, 14, 16, 25, 1);
    expect(6, epoch, 26, 16, 25, 1);
    expect(7, epoch, UINT64_MAX, 16, 25, 1);
    expect(8, epoch + 1, 20, 16, 25, 1);
    expect(9, 0, 20, 16, 25, 1);
    say();
    for (uint32_t i = 1; i <= 9; i++)
        ck_assert_uint_eq(lab.ear[i].seq, 26);
    set_history(3);
    expect(10, epoch, 20, 24, 26, 1);
    set_history(100);
    for (int i = 0; i < 10; i++)
        say();
    expect(11, epoch, 23, 24, 36, 0);
    history_end();
}
END_TEST

/* Goal: a history that ends gives its numbers up: those who wait become members, new ones are told of a gap; a new one
 * is another epoch. */
START_TEST(ends)
{
    open_local(1, 10);
    say();
    expect(1, 0, 0, 1, 1, 0);
    uint64_t epoch = lab.ear[1].epoch;
    come(2, epoch, 0);
    (void) history_pass(); /* its function is ordered */
    set_history(0);
    ck_assert(!history_has(GROUP) && !lab.is_sequenced);
    struct mario_msg *m = make();
    ck_assert(!history_send(GROUP, m));
    mario_msg_free(&m);
    come(3, epoch, 1);
    settle();
    ck_assert(lab.ear[2].is_member && lab.ear[3].is_member);
    ck_assert_uint_eq(lab.ear[3].last.epoch, 0);
    set_history(10);
    expect(4, epoch, 1, 1, 0, 1);
    ck_assert_uint_ne(lab.ear[4].epoch, epoch);
    for (uint32_t i = 1; i <= 3; i++)
        lab.ear[i].next = 1; /* numbers begin anew */
    say();
    for (uint32_t i = 1; i <= 4; i++)
        ck_assert_uint_eq(lab.ear[i].seq, 1);
    history_end();
}
END_TEST

/* Goal: who reads slowly gets pieces as he takes them, and is a member at the end; one that has gone is forgotten. */
START_TEST(slow)
{
    open_local(1, 1000);
    lab.filler = 1000;
    for (int i = 0; i < 1000; i++)
        say();
    come(1, 0, 0);
    come(2, 0, 0);
    lab.ear[1].waiting = 100000;
    for (int i = 0; i < 50; i++) {
        lab.clock += 100000000;
        (void) history_pass();
        while (lab.calls > 0)
            run_call(0);
    }
    ck_assert_uint_eq(lab.ear[1].told, 1);
    ck_assert_uint_eq(lab.ear[1].got, 0);
    ck_assert(!lab.ear[1].is_member && lab.ear[2].is_member);
    ck_assert_uint_eq(lab.ear[2].got, 1000);
    lab.ear[1].waiting = 0;
    settle();
    ck_assert(lab.ear[1].is_member);
    ck_assert_uint_eq(lab.ear[1].got, 1000);
    come(3, 0, 0);
    (void) history_pass();
    lab.ear[3].is_gone = true;
    settle();
    ck_assert(lab.ear[3].is_coming && lab.ear[3].got == 0);
    history_end();
}
END_TEST

/* Goal: all that is kept goes while somebody's function is late: he is told again, of the gap. */
START_TEST(told_again)
{
    open_local(1, 5);
    for (int i = 0; i < 5; i++)
        say();
    come(1, 0, 0);
    (void) history_pass();
    ck_assert_uint_eq(lab.calls, 1);
    for (int i = 0; i < 5; i++)
        say();
    settle();
    ck_assert_uint_eq(lab.ear[1].told, 2);
    ck_assert_uint_eq(lab.ear[1].last.first, 6);
    ck_assert_uint_eq(lab.ear[1].got, 5);
    history_end();
}
END_TEST

/* Someone leaves, with what it has; or comes back. */
static void come_or_leave(uint32_t id)
{
    struct ear *e = &lab.ear[id];
    if (e->is_member) {
        e->is_member = false;
        memset(e->heard, 0, sizeof e->heard);
    } else if (!e->is_coming) {
        come(id, e->epoch, e->epoch == 0 ? 0 : e->seq);
    }
}

/* Goal: sends, coming back, late functions, full rings in any order: each member gets each message once, in order. */
START_TEST(storm)
{
    open_local((uint64_t) _i + 1, 1 + (uint32_t) _i * 40);
    lab.full = (uint32_t) _i * 10;
    lab.filler = _i % 2 == 0 ? 0 : 3000;
    while (lab.tags < MOST / UNIT_SLOW - 100) {
        uint32_t what = draw(10);
        if (what < 4)
            say();
        else if (what < 6)
            come_or_leave(1 + draw(CONNS));
        else if (what < 8 && lab.calls > 0)
            run_call(draw(lab.calls));
        else
            (void) history_pass();
        lab.clock += draw(1000000);
    }
    settle();
    for (uint32_t i = 1; i <= CONNS; i++) {
        ck_assert(!lab.ear[i].is_coming);
        if (lab.ear[i].is_member)
            ck_assert_uint_eq(lab.ear[i].seq, lab.tags);
    }
    history_end();
}
END_TEST

Suite *history_suite(void)
{
    Suite *s = suite_create("history");
    TCase *c = unit_case(s, "history", 20);
    tcase_add_test(c, answers);
    tcase_add_test(c, ends);
    tcase_add_test(c, slow);
    tcase_add_test(c, told_again);
    tcase_add_loop_test(c, storm, 0, 6);
    return s;
}
