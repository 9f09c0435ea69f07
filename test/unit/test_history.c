/*
 * test_history.c: groups with a history, against a plain list: who gets what, once and in order, while rings are full
 * and functions run late. What libmario does is played by the lab; no engine: test_history_engine.c has one.
 */
#include "history_lab.h"
#include "mario/cluster/history_inside.h"

#include <malloc.h>

static void open_local(uint64_t seed, uint32_t n)
{
    lab_setup(seed);
    ck_assert(history_setup(HISTORY_LOCAL, NULL, 0, &lab_house));
    history_begin();
    lab_keep(n);
    ck_assert(lab.is_sequenced && history_has(GROUP));
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
    lab_come(id, epoch, seq);
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
        lab_say();
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
    lab_say();
    for (uint32_t i = 1; i <= 9; i++)
        ck_assert_uint_eq(lab.ear[i].seq, 26);
    lab_keep(3);
    expect(10, epoch, 20, 24, 26, 1);
    lab_keep(100);
    for (int i = 0; i < 10; i++)
        lab_say();
    expect(11, epoch, 23, 24, 36, 0);
    history_end();
}
END_TEST

/* Goal: a history that ends gives its numbers up: those who wait become members, new ones are told of a gap; a new one
 * is another epoch. */
START_TEST(ends)
{
    open_local(1, 10);
    lab_say();
    expect(1, 0, 0, 1, 1, 0);
    uint64_t epoch = lab.ear[1].epoch;
    lab_come(2, epoch, 0);
    (void) history_pass(); /* its function is ordered */
    lab_keep(0);
    ck_assert(!history_has(GROUP) && !lab.is_sequenced);
    struct mario_msg *m = lab_make();
    ck_assert(!history_send(GROUP, m));
    mario_msg_free(&m);
    lab_come(3, epoch, 1);
    settle();
    ck_assert(lab.ear[2].is_member && lab.ear[3].is_member);
    ck_assert_uint_eq(lab.ear[3].last.epoch, 0);
    lab_keep(10);
    expect(4, epoch, 1, 1, 0, 1);
    ck_assert_uint_ne(lab.ear[4].epoch, epoch);
    for (uint32_t i = 1; i <= 3; i++)
        lab.ear[i].next = 1; /* numbers begin anew */
    lab_say();
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
        lab_say();
    lab_come(1, 0, 0);
    lab_come(2, 0, 0);
    lab.ear[1].waiting = 100000;
    for (int i = 0; i < 50; i++) {
        lab.clock += 100000000;
        (void) history_pass();
        while (lab.calls > 0)
            lab_run(0);
    }
    ck_assert_uint_eq(lab.ear[1].told, 1);
    ck_assert_uint_eq(lab.ear[1].got, 0);
    ck_assert(!lab.ear[1].is_member && lab.ear[2].is_member);
    ck_assert_uint_eq(lab.ear[2].got, 1000);
    lab.ear[1].waiting = 0;
    settle();
    ck_assert(lab.ear[1].is_member);
    ck_assert_uint_eq(lab.ear[1].got, 1000);
    lab_come(3, 0, 0);
    (void) history_pass();
    lab.ear[3].is_gone = true;
    settle();
    ck_assert(lab.ear[3].is_coming && lab.ear[3].got == 0);
    history_end();
}
END_TEST

/* Goal: who leaves before its function has run is not told and gets nothing; who leaves while it gets what it missed
 * gets no more; neither becomes a member, and nothing of them stays. */
START_TEST(leaves_early)
{
    open_local(1, 1000);
    lab.filler = 1000;
    for (int i = 0; i < 1000; i++)
        lab_say();
    lab_come(1, 0, 0);
    lab_come(2, 0, 0);
    (void) history_pass();
    lab.ear[1].is_off = true;
    lab_run(0);
    lab_run(0);
    (void) history_pass(); /* the other one has its first piece */
    uint32_t got = lab.ear[2].got;
    ck_assert(got > 0 && got < 1000);
    lab.ear[2].is_off = true;
    settle();
    for (uint32_t i = 1; i <= 2; i++)
        ck_assert(!lab.ear[i].is_member && !lab.ear[i].is_coming);
    ck_assert_uint_eq(lab.ear[1].told + lab.ear[1].got, 0);
    ck_assert_uint_eq(lab.ear[2].got, got);
    ck_assert(!resume_any(history_find(GROUP)) && !resume_any(&histories.orphans));
    history_end();
}
END_TEST

/* The history keeps five and has five; the function of the one who comes back is late. */
static void come_back_to_full(void)
{
    open_local(1, 5);
    for (int i = 0; i < 5; i++)
        lab_say();
    lab_come(1, 0, 0);
    (void) history_pass();
    ck_assert_uint_eq(lab.calls, 1);
}

/* Goal: all that is kept goes while somebody's function is late: he is told again, of the gap. */
START_TEST(told_again)
{
    come_back_to_full();
    for (int i = 0; i < 6; i++)
        lab_say();
    settle();
    ck_assert_uint_eq(lab.ear[1].told, 2);
    ck_assert_uint_eq(lab.ear[1].last.first, 7);
    ck_assert_uint_eq(lab.ear[1].got, 5);
    history_end();
}
END_TEST

/* Goal: what is said while somebody comes back to a full history takes nothing away from what he was told that he gets;
 * who comes later is told of no more than is kept, and nothing of it stays. */
START_TEST(told_once)
{
    come_back_to_full();
    for (int i = 0; i < 5; i++)
        lab_say();
    lab_come(2, 0, 0);
    settle();
    ck_assert_uint_eq(lab.ear[1].told, 1);
    ck_assert_uint_eq(lab.ear[1].last.first, 1);
    ck_assert_uint_eq(lab.ear[1].got, 10);
    ck_assert_uint_eq(lab.ear[2].told, 1);
    ck_assert_uint_eq(lab.ear[2].last.first, 6);
    ck_assert_uint_eq(lab.ear[2].got, 5);
    lab_say();
    settle();
    ck_assert_uint_eq(history_find(GROUP)->line.count, 5);
    history_end();
}
END_TEST

/* Goal: one thread says that there is a history, another one has somebody come back to it, and its order is the
 * first: it is not told that there is none. */
START_TEST(another_thread)
{
    lab_setup(1);
    ck_assert(history_setup(HISTORY_LOCAL, NULL, 0, &lab_house));
    history_begin();
    lab.holds_orders = true;
    lab_keep(10);
    lab_come(1, 0, 0);
    for (int i = 0; i < 10; i++)
        (void) history_pass();
    ck_assert_uint_eq(lab.ear[1].told + lab.calls, 0);
    history_order(&lab.order);
    settle();
    ck_assert(lab.ear[1].is_member && lab.ear[1].epoch != 0 && lab.ear[1].last.gap == 0);
    history_end();
}
END_TEST

/* Bytes; 0 under a sanitizer, which has a heap of its own. */
static size_t heap_used(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* Goal: groups whose histories begin and end one after the other are found while they have one, and leave no memory
 * behind, however many there were. */
START_TEST(new_groups)
{
    enum { ALIVE = 100, EVER = 200000 / UNIT_SLOW };
    uint64_t alive[ALIVE] = {0}, first = GROUP + 1, before = 0;
    open_local(1, 10);
    for (uint64_t i = 0; i < EVER; i++) {
        uint64_t *at = &alive[lab_draw(ALIVE)], gone = *at;
        if (gone != 0)
            ck_assert_int_eq(mario_history(gone, 0), 0);
        *at = first + i * 7;
        ck_assert_int_eq(mario_history(*at, 1), 0);
        ck_assert(!history_has(gone) || gone == 0);
        for (uint32_t k = 0; i % 64 == 0 && k < ALIVE; k++)
            ck_assert(alive[k] == 0 || history_has(alive[k]));
        if (i == EVER / 10)
            before = heap_used();
    }
    ck_assert(history_has(GROUP));
    ck_assert_uint_le(heap_used(), before + 100000);
    history_end();
}
END_TEST

/* Goal: sends, coming back, late functions, full rings in any order: each member gets each message once, in order. */
START_TEST(storm)
{
    open_local((uint64_t) _i + 1, 1 + (uint32_t) _i * 40);
    lab.full = (uint32_t) _i * 10;
    lab.filler = _i % 2 == 0 ? 0 : 3000;
    while (lab.tags < MOST / UNIT_SLOW - 100) {
        uint32_t what = lab_draw(10);
        if (what < 4)
            lab_say();
        else if (what < 6)
            lab_come_or_leave(1 + lab_draw(CONNS));
        else if (what < 8 && lab.calls > 0)
            lab_run(lab_draw(lab.calls));
        else
            (void) history_pass();
        lab.clock += lab_draw(1000000);
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

/* Packets or bytes that are none, to the group. */
static void say(bool packet)
{
    struct mario_msg *m = packet ? mario_msg_packet(5, "data", 4) : mario_msg("bytes", 5);
    UNIT_ASSERT(m != NULL && history_send(GROUP, m));
}

/* Goal: what is kept stays made of packets, and bytes stay bytes: for those who are there, and in the pieces for who
 * comes back, where the two are not mixed. */
START_TEST(packets_stay_packets)
{
    static const struct {
        uint64_t last;
        uint32_t len;
        int packets;
    } pieces[] = {{2, 24, 1}, {4, 10, 0}, {5, 12, 1}};
    uint64_t from = 1;
    open_local(1, 10);
    for (int i = 0; i < 5; i++)
        say(i != 2 && i != 3);
    settle();
    ck_assert_uint_eq(lab.packets, 3);
    for (int i = 0; i < 3; i++) {
        struct mario_msg_info info;
        uint64_t to;
        struct mario_msg *m = line_piece(history_find(GROUP), from, &to);
        ck_assert(m != NULL && to == pieces[i].last);
        mario_msg_info(m, &info);
        ck_assert(info.len == pieces[i].len && info.packets == pieces[i].packets);
        mario_msg_free(&m);
        from = to + 1;
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
    tcase_add_test(c, leaves_early);
    tcase_add_test(c, told_again);
    tcase_add_test(c, told_once);
    tcase_add_test(c, another_thread);
    tcase_add_test(c, new_groups);
    tcase_add_test(c, packets_stay_packets);
    tcase_add_loop_test(c, storm, 0, 9);
    return s;
}
