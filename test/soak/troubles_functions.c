/*
 * troubles_functions.c: functions that block, never return, end their thread or close: rows 14, 16 and 25 of the
 * scorecard. Only their own connection may end; neighbours on that worker may have to wait. Main thread.
 */
#include "soak.h"

#include <unistd.h>

#include "test/integration/test_ledger.h"

/* ---- On a worker ---- */

static void block_begin(struct soak *s, struct trouble *t)
{
    int fd = t->fds[t->count++] = open_at_worker(&s->server, t->worker);
    send_number(fd, TEST_SLEEP, chance_in(&t->chance, 50, 300));
}

/* It is answered; or, if the machine had other things to do for long, replaced. */
static bool block_is_over(struct soak *s, struct trouble *t)
{
    if (!trouble_has_news(t->fds[0]))
        return false;
    if (!trouble_answered(s, t->fds[0], TEST_SLEEP, 4))
        book(s, REASON_function_stuck, 1);
    trouble_close(t);
    return true;
}

/* Blocks until it is let go, which is long after another thread has taken its place. */
static void stick_begin(struct soak *s, struct trouble *t)
{
    t->choice = chance_in(&t->chance, 0, 2) == 0 ? TEST_IN_END_HOOK : TEST_IN_FUNCTION;
    int fd = t->fds[t->count++] = open_at_worker(&s->server, t->worker);
    send_number(fd, TEST_STICK, t->choice);
    s->sticking++;
}

static bool stick_is_over(struct soak *s, struct trouble *t)
{
    if (t->step == 0) {
        if (!trouble_has_news(t->fds[0]))
            return false;
        if (trouble_answered(s, t->fds[0], TEST_STICK, 4))
            complain(s, "a function that sticks has answered");
        trouble_close(t);
        book(s, t->choice == TEST_IN_FUNCTION ? REASON_function_stuck : REASON_function_closed, 1);
        s->books.stuck_hooks += t->choice == TEST_IN_END_HOOK;
        s->sticking--;
        t->step = 1;
        t->due = mono_ns() + chance_in(&t->chance, 0, 1500) * NS_PER_MS;
    }
    if (s->sticking > 0 || mono_ns() < t->due)
        return false;
    soak_unstick(s);
    return true;
}

static void die_begin(struct soak *s, struct trouble *t)
{
    int fd = t->fds[t->count++] = open_at_worker(&s->server, t->worker);
    t->choice = chance_in(&t->chance, 0, 2);
    if (t->choice == 2)
        client_send_packet(fd, TEST_CANCEL, NULL, 0);
    else
        send_number(fd, TEST_END_THREAD, t->choice);
    book(s, t->choice == TEST_IN_END_HOOK ? REASON_function_closed : REASON_function_died, 1);
    s->books.died++;
}

static bool die_is_over(struct soak *s, struct trouble *t)
{
    (void) s;
    return trouble_all_ended(t);
}

/* ---- On the pool ---- */

static void away_block_begin(struct soak *s, struct trouble *t)
{
    t->choice = chance_in(&t->chance, 0, 1) == 0 ? AWAY(TEST_SLEEP) : LOOSE(TEST_SLEEP);
    for (uint32_t n = chance_in(&t->chance, 1, THREADS / 2); n > 0; n--)
        send_number(trouble_open(s, t), (uint16_t) t->choice, chance_in(&t->chance, 50, 300));
}

/* All answer, however long it took. */
static bool away_are_answered(struct soak *s, struct trouble *t)
{
    for (; t->step < t->count; t->step++) {
        if (!trouble_has_news(t->fds[t->step]))
            return false;
        if (!trouble_answered(s, t->fds[t->step], (uint16_t) t->choice, 4))
            complain(s, "an offloaded function was not answered");
    }
    trouble_close(t);
    return true;
}

/* Some of their clients do not wait for them. */
static void away_stick_begin(struct soak *s, struct trouble *t)
{
    t->choice = chance_in(&t->chance, 0, 1) == 0 ? AWAY(TEST_STICK) : LOOSE(TEST_STICK);
    for (uint32_t n = chance_in(&t->chance, 1, THREADS / 2); n > 0; n--) {
        int fd = client_open(&s->server);
        send_number(fd, (uint16_t) t->choice, TEST_IN_FUNCTION);
        if (chance_in(&t->chance, 0, 2) == 0) {
            client_reset(fd);
            book(s, REASON_reset, 1);
        } else {
            t->fds[t->count++] = fd;
        }
    }
    t->due = mono_ns() + chance_in(&t->chance, 100, 2500) * NS_PER_MS;
}

static bool away_stick_is_over(struct soak *s, struct trouble *t)
{
    if (s->sticking > 0 || mono_ns() < t->due)
        return false;
    if (trouble_again(t, 200)) /* one may just have begun */
        soak_unstick(s);
    return away_are_answered(s, t);
}

static void away_die(struct soak *s, struct trouble *t)
{
    for (uint32_t n = chance_in(&t->chance, 1, 4); n > 0; n--) {
        int fd = client_open(&s->server);
        send_number(fd, chance_in(&t->chance, 0, 1) == 0 ? AWAY(TEST_VANISH) : LOOSE(TEST_VANISH),
                    chance_in(&t->chance, 0, 1));
        client_expect_fin(fd);
        book(s, REASON_function_died, 1);
        s->books.away_died++;
    }
}

/* More than the threads can take: connections wait in line. */
static void away_flood(struct soak *s, struct trouble *t)
{
    struct ledger *l = ledger_create(&s->server.target, chance_in(&t->chance, 10, 80), 20);
    ck_assert_msg(l != NULL && ledger_connect(l, 10000), "away_flood cannot connect");
    l->exchange.akg_id = AWAY(TEST_NAP);
    ledger_ask(l, chance_in(&t->chance, 1, 10), 10);
    if (!ledger_run(l, 10000) || l->answered != l->sent || l->ends[END_OPEN] != l->count)
        complain(s, "away_flood: %llu asked, %llu answered", (unsigned long long) l->sent,
                 (unsigned long long) l->answered);
    s->books.made += l->count;
    ledger_destroy(&l);
}

/* ---- Closing ---- */

/* Functions that close their connection, or say that it is to be closed. */
static void closing(struct soak *s, struct trouble *t)
{
    static const struct {
        uint16_t akg_id;
        enum reason reason;
    } ways[] = {{TEST_CLOSE, REASON_function_closed},
                {TEST_WRITE_CLOSE, REASON_function_closed},
                {TEST_CLOSE_ERR, REASON_function_error},
                {TEST_RETURN, REASON_function_error}};
    for (uint32_t n = chance_in(&t->chance, 1, 20); n > 0; n--) {
        uint32_t way = chance_in(&t->chance, 0, 3);
        struct test_end end = {.reason_id = 1, .value = (int32_t) chance_in(&t->chance, 0, 3) - 1};
        uint32_t error = 1;
        uint16_t akg_id = (uint16_t) (ways[way].akg_id + chance_in(&t->chance, 0, 1) * TEST_OFFLOADED);
        int fd = client_open(&s->server);
        if (ways[way].akg_id == TEST_RETURN)
            client_send_packet(fd, akg_id, &error, sizeof error);
        else
            client_send_packet(fd, akg_id, &end, sizeof end);
        if (client_ending(fd, NULL, 10000) != END_FIN)
            complain(s, "%04x did not close in order", akg_id);
        close(fd);
        book(s, ways[way].reason, 1);
    }
}

struct trouble_kind function_troubles[] = {
    {"block", NEEDS_WORKER, 12, block_begin, block_is_over, 0},
    {"stick", NEEDS_WORKER, 6, stick_begin, stick_is_over, 0},
    {"die", NEEDS_WORKER, 8, die_begin, die_is_over, 0},
    {"away_block", NEEDS_POOL, 6, away_block_begin, away_are_answered, 0},
    {"away_stick", NEEDS_POOL, 5, away_stick_begin, away_stick_is_over, 0},
    {"away_die", NEEDS_POOL, 6, away_die, NULL, 0},
    {"away_flood", NEEDS_POOL, 6, away_flood, NULL, 0},
    {"closing", NEEDS_NOTHING, 10, closing, NULL, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
