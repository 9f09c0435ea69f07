/*
 * troubles_push.c: sending to others: rooms in which everybody hears everything once and in order, listeners that do
 * not read, kicks, logins of one user in several places, names that are nobody's any more, timers. Nothing is pushed
 * to neighbours; each trouble waits until what it sent is settled, so that the ledger of the server is that of the
 * books whatever else happens. Main thread.
 */
#include "soak.h"

#include "mario/mario_push.h"
#include "test/integration/ears.h"

enum { MESSAGES_MAX = 100, LEN_MAX = 2000, SLOW_LEN = 4000, FLOOD = 300 };

/* Users and groups of a trouble: nobody else's. */
static uint64_t own_number(const struct trouble *t, uint32_t n)
{
    return t->number << 8 | (n + 1);
}

/* Have connection i do it, by one of several threads; what it does may still be on its way. */
static void do_somehow(struct ears *e, struct trouble *t, uint32_t i, struct test_order o)
{
    static const uint8_t threads[] = {ORDER_THREAD, ORDER_THREAD, ORDER_THREAD, ORDER_MASTER};
    switch (chance_in(&t->chance, 0, 3)) {
    case 0:
        o.flags |= ORDER_PERSISTS;
        ear_do(e, i, TEST_PUSH, ORDERS({.kind = threads[chance_in(&t->chance, 0, 3)], .body = 1}, o), 2,
               NULL);
        break;
    case 1:
        o.flags |= ORDER_PERSISTS; /* the pool may wait for workers, these do not wait for it */
        ear_do(e, i, AWAY(TEST_PUSH), &o, 1, NULL);
        break;
    default:
        ear_order(e, i, o);
        break;
    }
}

/* So many have been sent and nothing waits; what was dropped for slow readers goes into the books. */
static void settle(struct soak *s, struct ears *e, uint64_t targets, uint64_t dropped)
{
    s->books.targets += targets;
    s->books.dropped += dropped;
    ear_wait_counter(e, 0, "push_targets", s->books.targets);
    uint64_t have = ear_counter(e, 0, "push_targets");
    if (have != s->books.targets)
        complain(s, "%llu targets counted, there were %llu", (unsigned long long) have,
                 (unsigned long long) s->books.targets);
}

/* ---- Rooms ---- */

/* Some are in a room and say something at the same time, from any thread; some leave and hear nothing of what comes. */
static void talk(struct soak *s, struct trouble *t)
{
    struct ears e;
    uint32_t n = chance_in(&t->chance, 2, 40), talkers = chance_in(&t->chance, 1, 5),
             leave = chance_in(&t->chance, 0, n - 1);
    uint32_t each = chance_in(&t->chance, 1, MESSAGES_MAX), len = chance_in(&t->chance, 16, LEN_MAX);
    uint64_t group = own_number(t, 0), heard = 0;
    ears_open(&e, &s->server, n);
    for (uint32_t i = 0; i < n; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_JOIN, .to = group});
    for (uint32_t round = 0; round < 2; round++) {
        uint32_t members = round == 0 ? n : n - leave;
        for (uint32_t k = 0; k < talkers; k++) {
            do_somehow(&e, t, chance_in(&t->chance, 0, n - 1),
                       (struct test_order){.kind = ORDER_SEND_GROUP,
                                           .to = group,
                                           .times = each - 1,
                                           .len = len,
                                           .sender = 1 + k,
                                           .number = round * each});
        }
        heard += (uint64_t) members * talkers * each;
        ears_wait(&e, ears_have_heard, heard, "everybody in the room hears everything");
        settle(s, &e, (uint64_t) members * talkers * each, 0);
        for (uint32_t i = 0; i < leave && round == 0; i++)
            ear_order(&e, n - 1 - i, (struct test_order){.kind = ORDER_LEAVE, .to = group});
    }
    if (ears_heard(&e) != heard || ears_gaps(&e) != 0)
        complain(s, "%llu heard in a room, %llu said, %llu gaps", (unsigned long long) ears_heard(&e),
                 (unsigned long long) heard, (unsigned long long) ears_gaps(&e));
    ears_close(&e);
}

/* ---- Who does not read ---- */

/* What they do not hear in the end is what was dropped. */
static void deaf(struct soak *s, struct trouble *t)
{
    static const uint8_t policies[] = {MARIO_SLOW_DROP_OLDEST, MARIO_SLOW_DROP_NEWEST, MARIO_SLOW_COALESCE};
    struct ears e, slow;
    uint32_t n = chance_in(&t->chance, 1, 3), flood = chance_in(&t->chance, 50, FLOOD);
    ears_open(&e, &s->server, 1);
    ears_open_narrow(&slow, &s->server, n);
    for (uint32_t i = 0; i < n; i++) {
        ear_order(&slow, i,
                  (struct test_order){.kind = ORDER_POLICY,
                                      .how = policies[chance_in(&t->chance, 0, 2)],
                                      .number = chance_in(&t->chance, 1, 50)});
        ear_deafen(&slow, i, true);
        do_somehow(&e, t, 0,
                   (struct test_order){.kind = ORDER_SEND,
                                       .to = slow.each[i].id,
                                       .times = flood - 1,
                                       .len = SLOW_LEN,
                                       .key = chance_in(&t->chance, 0, 1),
                                       .sender = 1});
    }
    settle(s, &e, (uint64_t) n * flood, 0);
    for (uint32_t i = 0; i < n; i++)
        ear_deafen(&slow, i, false);
    for (uint64_t end = itest_deadline(EAR_MS); ear_counter(&e, 0, "push_pending") > 0; ears_turn(&slow, 1))
        ITEST_ASSERT(mono_ns() < end, "something waits for listeners that read");
    for (uint32_t i = 0; i < n; i++) /* behind what was not dropped: so the last gap is seen too */
        ear_order(&e, 0,
                  (struct test_order){
                      .kind = ORDER_SEND, .to = slow.each[i].id, .len = 16, .sender = 1, .number = flood});
    settle(s, &e, n, 0);
    while (ears_heard(&slow) + ears_gaps(&slow) < (uint64_t) n * (flood + 1))
        ears_turn(&slow, 10);
    s->books.dropped += ears_gaps(&slow);
    ears_close(&slow);
    ears_close(&e);
}

/* With the policy to close they are closed, and others in the room hear everything. */
static void too_slow(struct soak *s, struct trouble *t)
{
    struct ears e, slow;
    uint32_t n = chance_in(&t->chance, 1, 3), flood = chance_in(&t->chance, 100, FLOOD);
    uint64_t group = own_number(t, 0), before;
    ears_open(&e, &s->server, 1);
    ears_open_narrow(&slow, &s->server, n);
    ear_order(&e, 0, (struct test_order){.kind = ORDER_JOIN, .to = group});
    before = ear_counter(&e, 0, "push_targets");
    for (uint32_t i = 0; i < n; i++) {
        ear_order(&slow, i,
                  (struct test_order){
                      .kind = ORDER_POLICY, .how = MARIO_SLOW_CLOSE, .number = chance_in(&t->chance, 1, 20)});
        ear_order(&slow, i, (struct test_order){.kind = ORDER_JOIN, .to = group});
        ear_deafen(&slow, i, true);
    }
    ear_do(&e, 0, TEST_PUSH,
           ORDERS({.kind = ORDER_THREAD, .body = 1}, {.kind = ORDER_SEND_GROUP,
                                                      .flags = ORDER_PERSISTS,
                                                      .to = group,
                                                      .times = flood - 1,
                                                      .len = SLOW_LEN,
                                                      .sender = 1}),
           2, NULL);
    ears_wait(&e, ears_have_heard, flood, "who reads hears everything");
    book(s, REASON_slow_consumer, n);
    ear_wait_counter(&e, 0, "closed_slow_consumer", s->books.closed[REASON_slow_consumer]);
    for (uint32_t i = 0; i < n; i++)
        ear_deafen(&slow, i, false);
    ears_wait(&slow, ears_have_ended, n, "who does not read is closed");
    /* How many were meant for those before they were closed, only the server knows. */
    s->books.targets += ear_counter(&e, 0, "push_targets") - before;
    ears_close(&slow);
    ears_close(&e);
}

/* ---- Kicks and logins ---- */

/* The last thing they hear is why. */
static void kick(struct soak *s, struct trouble *t)
{
    struct ears e;
    uint32_t n = chance_in(&t->chance, 2, 20);
    uint64_t uid = own_number(t, 0);
    bool user = chance_in(&t->chance, 0, 1) == 0;
    ears_open(&e, &s->server, n);
    for (uint32_t i = 1; i < n; i++) {
        struct test_order o = {.kind = ORDER_KICK, .to = e.each[i].id, .len = 16, .sender = 1};
        if (user)
            ear_order(&e, i, (struct test_order){.kind = ORDER_BIND, .how = MARIO_BIND_MANY, .to = uid});
        else
            do_somehow(&e, t, 0, o);
    }
    if (user) {
        for (uint64_t end = itest_deadline(EAR_MS); /* binds go by way of the user's home */
             ear_order(&e, 0, (struct test_order){.kind = ORDER_USER_COUNT, .to = uid}) < n - 1;)
            ITEST_ASSERT(mono_ns() < end, "%u binds are not decided", n - 1);
        do_somehow(&e, t, 0, (struct test_order){.kind = ORDER_KICK_USER, .to = uid, .len = 16, .sender = 1});
    }
    for (uint32_t i = 1; i < n; i++) {
        ears_wait(&e, ear_has_ended, i, "who is kicked ends");
        if (e.each[i].how != END_FIN || e.each[i].heard != 1)
            complain(s, "who is kicked heard %llu, end %d", (unsigned long long) e.each[i].heard,
                     (int) e.each[i].how);
    }
    book(s, REASON_kicked, n - 1);
    settle(s, &e, n - 1, 0);
    ears_close(&e);
}

/* One user in several places at once: one place remains. */
static void login(struct soak *s, struct trouble *t)
{
    struct ears e;
    uint32_t n = chance_in(&t->chance, 2, 12), ended = 0;
    struct test_order o = {
        .kind = ORDER_BIND, .how = MARIO_BIND_KICK_OLD, .to = own_number(t, 0), .number = 1};
    ears_open(&e, &s->server, n + 1);
    for (uint32_t i = 1; i <= n; i++)
        ear_tell(&e, i, &o, 1);
    for (uint64_t end = itest_deadline(EAR_MS); ended < n - 1;) {
        ITEST_ASSERT(mono_ns() < end, "of %u logins of a user %u have ended", n, ended);
        ears_turn(&e, 10);
        ended = 0;
        for (uint32_t i = 1; i <= n; i++)
            ended += e.each[i].fd < 0;
    }
    uint64_t count = ear_order(&e, 0, (struct test_order){.kind = ORDER_USER_COUNT, .to = o.to});
    if (ended != n - 1 || count != 1)
        complain(s, "of %u logins of a user %u have ended, %llu are counted", n, ended,
                 (unsigned long long) count);
    book(s, REASON_replaced, n - 1);
    ears_close(&e);
}

/* ---- Names, timers ---- */

/* What is sent to those who have gone reaches nobody, above all not who has their place now. */
static void nobody(struct soak *s, struct trouble *t)
{
    struct ears e;
    uint32_t n = chance_in(&t->chance, 2, 20), each = chance_in(&t->chance, 1, MESSAGES_MAX);
    ears_open(&e, &s->server, n);
    for (uint32_t i = 1; i < n; i++) {
        uint64_t gone = e.each[i].id, closed = ear_counter(&e, 0, "closed_peer_closed");
        ear_close(&e, i);
        ear_wait_counter(&e, 0, "closed_peer_closed", closed + 1);
        ear_reopen(&e, i);
        do_somehow(
            &e, t, 0,
            (struct test_order){.kind = ORDER_SEND, .to = gone, .times = each - 1, .len = 16, .sender = 1});
        s->books.gone += each;
        ear_wait_counter(&e, 0, "push_gone", s->books.gone);
    }
    if (ears_heard(&e) != 0)
        complain(s, "%llu messages for others were heard", (unsigned long long) ears_heard(&e));
    ears_close(&e);
}

/* Each is called once, not before its time. */
static void timers(struct soak *s, struct trouble *t)
{
    struct ears e;
    uint32_t n = chance_in(&t->chance, 1, 20);
    ears_open(&e, &s->server, n);
    for (uint32_t i = 0; i < n; i++)
        ear_order(&e, i, (struct test_order){.kind = ORDER_TIMER, .number = chance_in(&t->chance, 1, 500)});
    for (uint32_t i = 0; i < n; i++) {
        for (uint64_t end = itest_deadline(EAR_MS); e.each[i].called == 0; ears_turn(&e, 10))
            ITEST_ASSERT(mono_ns() < end, "a timer was not called");
        if (e.each[i].called != 1 || e.each[i].last_called.late_us < 0)
            complain(s, "a timer was called %llu times, %lld us late", (unsigned long long) e.each[i].called,
                     (long long) e.each[i].last_called.late_us);
    }
    ears_close(&e);
}

struct trouble_kind push_troubles[] = {
    {"talk", NEEDS_NOTHING, 14, talk, NULL, 0},        {"deaf", NEEDS_NOTHING, 6, deaf, NULL, 0},
    {"too_slow", NEEDS_NOTHING, 4, too_slow, NULL, 0}, {"kick", NEEDS_NOTHING, 8, kick, NULL, 0},
    {"login", NEEDS_NOTHING, 8, login, NULL, 0},       {"nobody", NEEDS_NOTHING, 4, nobody, NULL, 0},
    {"timers", NEEDS_NOTHING, 4, timers, NULL, 0},     {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
