/*
 * troubles_ends.c: how connections begin and end, and how many: rows 3, 17, 18, 19 and 23 of the scorecard. Main
 * thread.
 */
#include "neighbours.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "test/integration/leaving.h"
#include "test/integration/test_ledger.h"

/* ---- Resets ---- */

/* In a state, by the client or by the kernel. */
static void reset(struct soak *s, struct trouble *t)
{
    for (uint32_t n = chance_in(&t->chance, 1, 6); n > 0; n--) {
        const struct leaving_state *state = &leaving_states[chance_in(&t->chance, 0, LEAVING_STATES - 1)];
        int other = open_at_worker(&s->server, t->worker);
        int fd = state->needs_newcomer ? client_open(&s->server) : open_at_worker(&s->server, t->worker);
        state->enter(&s->server, fd, other);
        book(s, trouble_was_replaced(fd) ? REASON_function_stuck : REASON_reset, 1);
        if (chance_in(&t->chance, 0, 1) == 0 || !client_destroy(fd))
            client_reset(fd);
        close(other);
    }
}

/* While an offloaded function of it runs, or waits for a thread. */
static void reset_away(struct soak *s, struct trouble *t)
{
    for (uint32_t n = chance_in(&t->chance, 1, 20); n > 0; n--) {
        int fd = client_open(&s->server);
        client_echo(fd, n);
        for (uint32_t asks = chance_in(&t->chance, 1, 5); asks > 0; asks--)
            send_number(fd, asks % 2 == 0 ? AWAY(TEST_NAP) : LOOSE(TEST_SLEEP), chance_in(&t->chance, 0, 30));
        client_reset(fd);
        book(s, REASON_reset, 1);
    }
}

/* Before their first byte. */
static void gone(struct soak *s, struct trouble *t)
{
    for (uint32_t n = chance_in(&t->chance, 1, 100); n > 0; n--) {
        int fd = client_open(&s->server);
        if (n % 2 == 0)
            close(fd);
        else
            client_reset(fd);
        book(s, REASON_reset, n % 2);
    }
}

/* ---- Many ---- */

/* Count and close: all were answered and none ended but as `how`. */
static void settle(struct soak *s, struct ledger **l, bool done, enum ending how, const char *what)
{
    s->books.made += (*l)->count;
    if (!done || (*l)->ends[how] != (*l)->count || (*l)->answered != (*l)->sent)
        complain(s, "%s: of %u connections %u are as they should be; %llu sent, %llu answered", what,
                 (*l)->count, (*l)->ends[how], (unsigned long long) (*l)->sent,
                 (unsigned long long) (*l)->answered);
    ledger_destroy(l);
}

/* Requests, and the end of our direction at once: all are answered. */
static void half_close(struct soak *s, struct trouble *t)
{
    struct ledger *l =
        ledger_create(&s->server.target, chance_in(&t->chance, 1, 20), chance_in(&t->chance, 0, 1000));
    ck_assert_msg(l != NULL && ledger_connect(l, 10000), "half_close cannot connect");
    if (chance_in(&t->chance, 0, 2) == 0)
        l->exchange.akg_id = AWAY(TEST_ECHO);
    ledger_ask(l, chance_in(&t->chance, 0, 200), 1024);
    for (uint32_t i = 0; i < l->count; i++)
        ledger_half_close(l, i);
    bool done = ledger_run_to_end(l, 10000);
    settle(s, &l, done, END_FIN, "half_close");
}

/* Come, be served, go in any way, over and over; none sees what was another's. */
static void churn(struct soak *s, struct trouble *t)
{
    enum { WINDOW = 12 };
    uint32_t first = s->churned, count = chance_in(&t->chance, 50, 600);
    int fd[WINDOW];
    for (uint32_t i = 0; i < count + WINDOW; i++) {
        if (i >= WINDOW) {
            uint32_t k = first + i - WINDOW;
            enum reason r = leaving_reason[k % LEAVING_WAYS];
            token_expect(fd[i % WINDOW], k);
            token_expect(fd[i % WINDOW], k);
            leave(fd[i % WINDOW], k);
            s->books.either += r == REASON_NONE;
            book(s, r, r != REASON_peer_closed);
        }
        if (i >= count)
            continue;
        fd[i % WINDOW] = net_connect_start(&s->server.target, i);
        ITEST_ASSERT(fd[i % WINDOW] >= 0 || errno == EINPROGRESS, "connect: %s", strerror(errno));
        s->books.made++;
        token_send(fd[i % WINDOW], first + i);
        token_send(fd[i % WINDOW], first + i);
    }
    s->churned += count;
}

/* More than there are places: each place is given, once, and the rest is refused. */
static void flood(struct soak *s, struct trouble *t)
{
    const uint32_t places = WORKERS * PLACES - NEIGHBOURS;
    server_wait_fds(&s->server, s->server.fds + NEIGHBOURS, 10000);
    struct ledger *l = ledger_create(&s->server.target, places + chance_in(&t->chance, 1, 300), 100);
    ck_assert_msg(l != NULL && ledger_connect(l, 10000), "flood cannot connect");
    ledger_ask(l, chance_in(&t->chance, 1, 5), 2);
    bool done = ledger_run(l, 10000);
    uint32_t refused = l->ends[END_FIN] + l->ends[END_RST];
    if (!done || l->ends[END_OPEN] != places || refused != l->count - places)
        complain(s, "flood: %u served of %u that have places, %u refused of %u", l->ends[END_OPEN], places,
                 refused, l->count - places);
    s->books.made += l->count;
    s->books.refused += refused;
    ledger_destroy(&l);
    server_wait_fds(&s->server, s->server.fds + NEIGHBOURS, 10000);
}

struct trouble_kind end_troubles[] = {
    {"reset", NEEDS_WORKER, 12, reset, NULL, 0}, {"reset_away", NEEDS_POOL, 8, reset_away, NULL, 0},
    {"gone", NEEDS_NOTHING, 10, gone, NULL, 0},  {"half_close", NEEDS_NOTHING, 10, half_close, NULL, 0},
    {"churn", NEEDS_NOTHING, 8, churn, NULL, 0}, {"flood", NEEDS_SILENCE, 1, flood, NULL, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
