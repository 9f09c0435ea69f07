/*
 * test_bus_nats.c: the NATS driver against a nats-server: what is said arrives, what nobody hears is known, owners are
 * one at a time, and a server that is away, silent or cut is survived. Two drivers in one loop are two nodes.
 */
#include "unit.h"

#include "mario/cluster/bus.h"
#include "test/engine/engine.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/mario_push.h"

enum { LIMIT_MS = 10000 * UNIT_SLOW, COOKIES = 4096 };

struct node {
    struct bus_config config;
    struct bus *bus;
    char why[256];
    unsigned ups, downs, subscribed, messages, garbage, rooms, refused, published_n, claimed_n;
    char last[256]; /* message: "KIND KEY TEXT" */
    size_t last_len;
    uint64_t sum;
    int64_t published[COOKIES];
    int claimed[COOKIES], renewed;
    bool was_down_first; /* a `down` before all answers */
};

static struct event_base *base;
static struct engine engine;

/* ---- What is told ---- */

static void on_up(void *arg, uint32_t part)
{
    struct node *n = arg;
    UNIT_ASSERT(part == 0 && bus_nats.is_up(n->bus, 0));
    n->ups++;
}

static void on_down(void *arg, uint32_t part, const char *why)
{
    struct node *n = arg;
    UNIT_ASSERT(part == 0 && (n->bus == NULL || !bus_nats.is_up(n->bus, 0)));
    snprintf(n->why, sizeof n->why, "%s", why);
    n->downs++;
}

static void on_subscribed(void *arg, uint32_t part, const struct channel *c)
{
    struct node *n = arg;
    (void) part;
    n->subscribed++;
    n->sum += c->key;
}

static void on_message(void *arg, uint32_t part, const struct channel *c, const void *bytes, size_t len)
{
    struct node *n = arg;
    (void) part;
    snprintf(n->last, sizeof n->last, "%d %" PRIu64 " %s %.*s", (int) c->kind, c->key,
             c->kind == CHANNEL_NODE ? c->node : "-", (int) len, (const char *) bytes);
    n->last_len = len;
    n->messages++;
}

static void on_garbage(void *arg)
{
    ((struct node *) arg)->garbage++;
}

static void on_room(void *arg, uint32_t part)
{
    (void) part;
    ((struct node *) arg)->rooms++;
}

static void on_published(void *arg, uint64_t cookie, int64_t receivers)
{
    struct node *n = arg;
    UNIT_ASSERT(cookie < COOKIES && n->published[cookie] == -9);
    n->published[cookie] = receivers;
    n->published_n++;
}

static void on_claimed(void *arg, uint64_t cookie, enum bus_claim c)
{
    struct node *n = arg;
    UNIT_ASSERT(cookie < COOKIES && n->claimed[cookie] == -9);
    n->claimed[cookie] = (int) c;
    n->claimed_n++;
}

static void on_renewed(void *arg, uint32_t part, enum bus_renewed r)
{
    (void) part;
    ((struct node *) arg)->renewed = (int) r;
}

static void on_refused(void *arg, uint32_t part, const char *line)
{
    struct node *n = arg;
    (void) part;
    snprintf(n->why, sizeof n->why, "%s", line);
    n->refused++;
}

static const struct bus_events events = {.up = on_up,
                                         .down = on_down,
                                         .subscribed = on_subscribed,
                                         .message = on_message,
                                         .garbage = on_garbage,
                                         .room = on_room,
                                         .published = on_published,
                                         .claimed = on_claimed,
                                         .renewed = on_renewed,
                                         .refused = on_refused};

/* ---- Nodes ---- */

static void node_clear(struct node *n)
{
    for (int i = 0; i < COOKIES; i++) {
        n->published[i] = -9;
        n->claimed[i] = -9;
    }
    n->renewed = -9;
}

static void node_begin(struct node *n, const char *name, uint64_t epoch)
{
    char why[256] = "";
    n->config.servers = engine.address;
    if (n->config.prefix == NULL)
        n->config.prefix = "test.a";
    n->config.node = name;
    n->config.epoch = epoch;
    if (n->config.ttl_ms == 0)
        n->config.ttl_ms = 30000;
    n->config.base = base;
    node_clear(n);
    n->bus = bus_nats.create(&n->config, &events, n, why, sizeof why);
    ck_assert_msg(n->bus != NULL, "%s", why);
}

/* Turn the loop until *what is at least `least`. */
static void until_at(const char *file, int line, const unsigned *what, unsigned least)
{
    uint64_t end = clock_ms() + LIMIT_MS;
    while (*what < least) {
        event_base_loopexit(base, &(struct timeval){.tv_usec = 5000});
        event_base_dispatch(base);
        if (clock_ms() > end)
            ck_abort_msg("%s:%d: %u of %u in time", file, line, *what, least);
    }
}
#define UNTIL(what, least) until_at(__FILE__, __LINE__, &(what), (least))

static void turn(unsigned ms)
{
    uint64_t end = clock_ms() + ms;
    while (clock_ms() < end) {
        event_base_loopexit(base, &(struct timeval){.tv_usec = 2000});
        event_base_dispatch(base);
    }
}

static void node_up(struct node *n, const char *name, uint64_t epoch)
{
    node_begin(n, name, epoch);
    UNTIL(n->ups, 1);
}

static struct channel user(uint64_t key)
{
    return (struct channel){.kind = CHANNEL_USER, .key = key};
}

static void subscribe(struct node *n, struct channel c)
{
    unsigned had = n->subscribed;
    bus_nats.subscribe(n->bus, &c);
    UNTIL(n->subscribed, had + 1);
}

static void say(struct node *n, struct channel c, const char *text, uint64_t cookie)
{
    ck_assert(bus_nats.publish(n->bus, &c, "head ", 5, text, strlen(text), cookie));
}

static int claim(struct node *n, uint64_t uid, uint64_t id, int how, uint32_t most, bool again)
{
    struct owner me = {.epoch = n->config.epoch, .id = id};
    static uint64_t cookie;
    snprintf(me.node, sizeof me.node, "%s", n->config.node);
    cookie = (cookie + 1) % COOKIES;
    n->claimed[cookie] = -9;
    unsigned had = n->claimed_n;
    bus_nats.claim(n->bus, uid, &me, how, most, again, "gone ", 5, cookie);
    ck_assert_int_eq(n->claimed[cookie], -9); /* never inside the call */
    UNTIL(n->claimed_n, had + 1);
    return n->claimed[cookie];
}

static void release(struct node *n, uint64_t uid, uint64_t id)
{
    struct owner me = {.epoch = n->config.epoch, .id = id};
    snprintf(me.node, sizeof me.node, "%s", n->config.node);
    bus_nats.release(n->bus, uid, &me);
}

static int renew(struct node *n)
{
    n->renewed = -9;
    bus_nats.renew(n->bus);
    uint64_t end = clock_ms() + LIMIT_MS;
    while (n->renewed == -9 && clock_ms() < end)
        turn(2);
    return n->renewed;
}

static void flush(struct node *n)
{
    uint64_t end = clock_ms() + LIMIT_MS;
    while (!bus_nats.flush(n->bus) && clock_ms() < end)
        turn(2);
    ck_assert(bus_nats.flush(n->bus));
}

static void begin(const struct engine_options *o)
{
    base = event_base_new();
    engine_start(&engine, ENGINE_NATS, o);
}

static void end(struct node *a, struct node *b)
{
    bus_nats.destroy(&a->bus);
    if (b != NULL)
        bus_nats.destroy(&b->bus);
    engine_end(&engine);
    event_base_free(base);
}

#define NEEDS_ENGINE                                      \
    do {                                                  \
        if (engine_missing(ENGINE_NATS) != NULL)          \
            TEST_SKIP("%s", engine_missing(ENGINE_NATS)); \
    } while (0)

/* ---- Messages ---- */

/* Goal: each kind of channel, with names that have dots; one's own do not come back; head and body are one. */
START_TEST(channels)
{
    NEEDS_ENGINE;
    static struct node a, b;
    begin(NULL);
    node_up(&a, "a.node", 1);
    node_up(&b, "b..node.", 2);
    const struct channel all[] = {{CHANNEL_USER, UINT64_MAX, NULL},
                                  {CHANNEL_GROUP, 7, NULL},
                                  {CHANNEL_ALL, 0, NULL},
                                  {CHANNEL_NODE, 0, "b..node."}};
    static const char *const said[] = {"1 18446744073709551615 - head x", "2 7 - head x", "3 0 - head x",
                                       "4 0 b..node. head x"};
    for (unsigned i = 0; i < 4; i++) {
        subscribe(&a, all[i]);
        subscribe(&b, all[i]);
        say(&a, all[i], "x", 0);
        UNTIL(b.messages, i + 1);
        ck_assert_str_eq(b.last, said[i]);
    }
    ck_assert_uint_eq(a.messages, 0);
    bus_nats.unsubscribe(b.bus, &all[0]);
    say(&b, all[1], "back", 0);
    UNTIL(a.messages, 1);
    say(&a, all[0], "gone", 0);
    say(&a, all[1], "there", 0);
    UNTIL(b.messages, 5);
    ck_assert_str_eq(b.last, "2 7 - head there");
    end(&a, &b);
}
END_TEST

/* Goal: nobody there is 0, somebody else is 1, oneself is nobody; also in a batch, and in order. */
START_TEST(nobody_is_known)
{
    NEEDS_ENGINE;
    static struct node a, b;
    begin(NULL);
    node_up(&a, "a", 1);
    node_up(&b, "b", 2);
    subscribe(&a, user(1));
    for (uint64_t i = 2; i < 1000; i += 2)
        bus_nats.subscribe(b.bus, &(struct channel){.kind = CHANNEL_USER, .key = i});
    UNTIL(b.subscribed, 499);
    ck_assert_uint_eq(b.sum, 499 * 500);
    for (uint64_t i = 1; i < 1000; i++)
        say(&a, user(i), "x", i);
    UNTIL(a.published_n, 999);
    for (uint64_t i = 1; i < 1000; i++)
        ck_assert_int_eq(a.published[i], i % 2 == 0);
    UNTIL(b.messages, 499);
    end(&a, &b);
}
END_TEST

/* A tool's connection that is subscribed for every subject. */
static int listen_to_all(void)
{
    static const char hello[] = "CONNECT {\"verbose\":false,\"pedantic\":false}\r\nSUB > 1\r\nPING\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(engine.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    char text[4096] = "";
    size_t n = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &to, sizeof to), 0);
    ck_assert_int_eq(write(fd, hello, sizeof hello - 1), sizeof hello - 1);
    while (strstr(text, "PONG") == NULL) {
        ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        ck_assert_int_gt(got, 0);
        text[n += (size_t) got] = '\0';
    }
    return fd;
}

/* Goal: who listens to everything takes the knowledge away, but no answer. */
START_TEST(a_listener_to_everything)
{
    NEEDS_ENGINE;
    static struct node a;
    begin(NULL);
    node_up(&a, "a", 1);
    int tool = listen_to_all();
    subscribe(&a, user(1));
    say(&a, user(2), "x", 5);
    UNTIL(a.published_n, 1);
    ck_assert_int_eq(a.published[5], 1);
    close(tool);
    end(&a, NULL);
}
END_TEST

/* Goal: a flood of large messages is bounded (publish() says no, `room` comes), and arrives as it was, whole. */
START_TEST(room)
{
    NEEDS_ENGINE;
    static struct node a, b;
    static char big[65535];
    begin(NULL);
    node_up(&a, "a", 1);
    node_up(&b, "b", 2);
    subscribe(&b, user(1));
    memset(big, 'x', sizeof big);
    struct channel c = user(1);
    unsigned said = 0;
    while (said < 400 && bus_nats.publish(a.bus, &c, "head", 4, big, sizeof big, 0))
        said++;
    ck_assert_uint_gt(said, 10);
    ck_assert_uint_lt(said, 400);
    UNTIL(a.rooms, 1);
    ck_assert(bus_nats.publish(a.bus, &c, "head", 4, big, sizeof big, 0));
    UNTIL(b.messages, said + 1);
    ck_assert_uint_eq(b.last_len, sizeof big + 4);
    ck_assert_uint_eq(a.downs + b.downs, 0);
    end(&a, &b);
}
END_TEST

/* ---- Bad days ---- */

/* Goal: a server that is not there yet is said once, and found when it comes. */
START_TEST(not_there_yet)
{
    NEEDS_ENGINE;
    static struct node a;
    base = event_base_new();
    engine_place(&engine, ENGINE_NATS, NULL);
    node_begin(&a, "a", 1);
    UNTIL(a.downs, 1);
    ck_assert_ptr_nonnull(strstr(a.why, engine.address));
    turn(700);
    ck_assert_uint_eq(a.downs, 1);
    ck_assert(!bus_nats.publish(a.bus, &(struct channel){.kind = CHANNEL_ALL}, "x", 1, NULL, 0, 1));
    ck_assert_int_eq(claim(&a, 1, 1, MARIO_BIND_KICK_OLD, 1, false), CLAIM_FAILED);
    engine_restart(&engine);
    UNTIL(a.ups, 1);
    end(&a, NULL);
}
END_TEST

/* Goal: killed and started again: what was open is answered as lost, then `down`, then `up`; and it works as before. */
START_TEST(restarted)
{
    NEEDS_ENGINE;
    static struct node a, b;
    begin(&(struct engine_options){.jetstream = true});
    node_up(&a, "a", 1);
    node_up(&b, "b", 2);
    subscribe(&a, user(1));
    for (int i = 0; i < 2; i++) {
        engine_freeze(&engine);
        say(&a, user(2), "x", 10 + (uint64_t) i);
        bus_nats.claim(a.bus, 3, &(struct owner){.node = "a", .epoch = 1, .id = 1}, MARIO_BIND_KICK_OLD, 1,
                       false, "", 0, 20 + (uint64_t) i);
        turn(20);
        engine_kill(&engine);
        UNTIL(a.downs, 1 + (unsigned) i);
        UNTIL(b.downs, 1 + (unsigned) i);
        ck_assert_int_eq(a.published[10 + i], -1);
        ck_assert_int_eq(a.claimed[20 + i], CLAIM_FAILED);
        engine_restart(&engine);
        UNTIL(a.ups, 2 + (unsigned) i);
        UNTIL(b.ups, 2 + (unsigned) i);
        unsigned had = a.messages;
        say(&b, user(1), "nobody", 0);
        subscribe(&a, user(1));
        say(&b, user(1), "x", 30 + (uint64_t) i);
        UNTIL(a.messages, had + 1);
        UNTIL(b.published_n, 1 + (unsigned) i);
        ck_assert_str_eq(a.last, "1 1 - head x");
    }
    end(&a, &b);
}
END_TEST

/* Goal: a server that is silent is down within some seconds, and nothing blocks meanwhile. */
START_TEST(silent)
{
    NEEDS_ENGINE;
    static struct node a;
    begin(NULL);
    node_up(&a, "a", 1);
    engine_freeze(&engine);
    uint64_t since = clock_ms(), longest = 0;
    while (a.downs == 0 && clock_ms() - since < LIMIT_MS) {
        uint64_t before = clock_ms();
        bus_nats.publish(a.bus, &(struct channel){.kind = CHANNEL_ALL}, "x", 1, NULL, 0, 0);
        bus_nats.subscribe(a.bus, &(struct channel){.kind = CHANNEL_USER, .key = 1 + before});
        turn(2);
        longest = clock_ms() - before > longest ? clock_ms() - before : longest;
    }
    ck_assert_uint_eq(a.downs, 1);
    ck_assert_uint_lt(longest, 1000 * UNIT_SLOW);
    engine_thaw(&engine);
    UNTIL(a.ups, 2);
    end(&a, NULL);
}
END_TEST

/* Goal: a wrong password is said as such, also if the server was not there at first; a right one is taken, a token too. */
START_TEST(passwords)
{
    NEEDS_ENGINE;
    static struct node a, b;
    base = event_base_new();
    engine_place(&engine, ENGINE_NATS, &(struct engine_options){.user = "me", .password = "right"});
    a.config.user = "me";
    a.config.password = "wrong";
    node_begin(&a, "a", 1);
    UNTIL(a.downs, 1);
    ck_assert_ptr_null(strstr(a.why, BUS_PASSWORD));
    engine_restart(&engine);
    UNTIL(a.downs, 2);
    ck_assert_msg(strncmp(a.why, BUS_PASSWORD, strlen(BUS_PASSWORD)) == 0, "%s", a.why);
    turn(500);
    ck_assert_uint_eq(a.downs, 2);
    b.config.user = "me";
    b.config.password = "right";
    node_up(&b, "b", 2);
    end(&a, &b);
}
END_TEST

/* ---- Owners ---- */

/* Goal: KICK_OLD: the newest is the owner, and the node of the former one is told; REFUSE_NEW: the first stays. */
START_TEST(owners)
{
    NEEDS_ENGINE;
    static struct node a, b;
    begin(&(struct engine_options){.jetstream = true});
    node_up(&a, "a.x", 1);
    node_up(&b, "b.x", 2);
    ck_assert_int_eq(renew(&a), RENEWED_ANEW);
    ck_assert_int_eq(renew(&b), RENEWED_ANEW);
    ck_assert_int_eq(renew(&a), RENEWED);
    subscribe(&a, (struct channel){.kind = CHANNEL_NODE, .node = "a.x"});
    ck_assert_int_eq(claim(&a, 5, 100, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    ck_assert_int_eq(claim(&b, 5, 200, MARIO_BIND_KICK_OLD, 1, false), CLAIM_OK);
    UNTIL(a.messages, 1);
    ck_assert_str_eq(a.last, "4 0 a.x gone 1 100");
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 2, false), CLAIM_OK);
    ck_assert_int_eq(claim(&a, 5, 102, MARIO_BIND_MANY, 2, false), CLAIM_REFUSED);
    ck_assert_int_eq(claim(&a, 5, 101, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK); /* it has been his */
    release(&b, 5, 200);
    flush(&b);
    ck_assert_int_eq(claim(&b, 5, 201, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    release(&a, 5, 101);
    ck_assert_int_eq(claim(&a, 5, 103, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK); /* in this order */
    release(&a, 5, 99);                                                             /* never was */
    flush(&a);
    ck_assert_int_eq(claim(&b, 5, 202, MARIO_BIND_KICK_OLD, 1, true), CLAIM_REFUSED);
    ck_assert_int_eq(claim(&b, 5, 202, MARIO_BIND_KICK_OLD, 2, true), CLAIM_OK);
    ck_assert_int_eq(claim(&a, 5, 104, MARIO_BIND_KICK_OLD, 2, false),
                     CLAIM_OK); /* the other one was put behind */
    ck_assert_int_eq(claim(&a, 5, 103, MARIO_BIND_REFUSE_NEW, 2, false), CLAIM_OK);
    end(&a, &b);
}
END_TEST

/* Goal: many at once over few users: exactly one owner each, though all were told OK in turn. */
START_TEST(at_the_same_time)
{
    NEEDS_ENGINE;
    static struct node n[3];
    enum { USERS = 20, ROUNDS = 20 };
    begin(&(struct engine_options){.jetstream = true});
    static const char *const names[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 3; i++) {
        node_up(&n[i], names[i], 1 + i);
        renew(&n[i]);
        subscribe(&n[i], (struct channel){.kind = CHANNEL_NODE, .node = names[i]});
    }
    for (uint64_t r = 0; r < ROUNDS; r++)
        for (unsigned i = 0; i < 3; i++)
            for (uint64_t u = 1; u <= USERS; u++) {
                struct owner me = {.epoch = 1 + i, .id = r + 1};
                snprintf(me.node, sizeof me.node, "%s", names[i]);
                bus_nats.claim(n[i].bus, u, &me, MARIO_BIND_KICK_OLD, 1, false, "g ", 2, r * USERS + u);
            }
    for (unsigned i = 0; i < 3; i++)
        UNTIL(n[i].claimed_n, USERS * ROUNDS);
    unsigned ok = 0;
    for (unsigned i = 0; i < 3; i++)
        for (unsigned c = 1; c <= USERS * ROUNDS; c++)
            ok += n[i].claimed[c] == CLAIM_OK;
    ck_assert_uint_eq(ok, 3 * USERS * ROUNDS);
    /* each owner but the last of a user was told to go */
    uint64_t limit = clock_ms() + LIMIT_MS;
    while (n[0].messages + n[1].messages + n[2].messages < ok - USERS && clock_ms() < limit)
        turn(5);
    turn(50);
    ck_assert_uint_eq(n[0].messages + n[1].messages + n[2].messages, ok - USERS);
    bus_nats.destroy(&n[2].bus);
    end(&n[0], &n[1]);
}
END_TEST

/* Goal: a dead node's owners are none: its record expires, or it comes back with another epoch. */
START_TEST(the_dead_own_nothing)
{
    NEEDS_ENGINE;
    static struct node a, b, again;
    begin(&(struct engine_options){.jetstream = true});
    a.config.ttl_ms = b.config.ttl_ms = again.config.ttl_ms = 1000;
    node_up(&a, "a", 1);
    node_up(&b, "b", 2);
    renew(&a);
    renew(&b);
    ck_assert_int_eq(claim(&a, 5, 100, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(claim(&a, 6, 100, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(claim(&b, 5, 200, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_REFUSED);
    bus_nats.destroy(&a.bus); /* as by a kill: nothing is said */
    uint64_t limit = clock_ms() + LIMIT_MS;
    while (claim(&b, 5, 200, MARIO_BIND_REFUSE_NEW, 1, false) != CLAIM_OK && clock_ms() < limit)
        turn(50);
    ck_assert_uint_lt(clock_ms(), limit);
    node_up(&again, "a", 3);
    ck_assert_int_eq(renew(&again), RENEWED_ANEW);
    ck_assert_int_eq(claim(&b, 6, 200, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    ck_assert_int_eq(renew(&b), RENEWED_ANEW); /* it had expired, too */
    bus_nats.retire(b.bus);
    flush(&b);
    ck_assert_int_eq(claim(&again, 6, 300, MARIO_BIND_REFUSE_NEW, 1, false), CLAIM_OK);
    end(&b, &again);
}
END_TEST

/* Goal: of two nodes with one name the second is told so; whose socket is gone is taken over at once. */
static void one_name(bool jetstream)
{
    static struct node a, b;
    begin(&(struct engine_options){.jetstream = jetstream});
    node_up(&a, "same", 1);
    node_up(&b, "same", 2);
    int first = jetstream ? RENEWED_ANEW : RENEWED;
    ck_assert_int_eq(renew(&a), first);
    ck_assert_int_eq(renew(&b), RENEWED_TAKEN);
    ck_assert_int_eq(renew(&a), RENEWED);
    bus_nats.destroy(&a.bus);
    uint64_t limit = clock_ms() + 2000 * UNIT_SLOW;
    while (renew(&b) != first && clock_ms() < limit) /* the server sees the socket's end a moment later */
        turn(5);
    ck_assert_uint_lt(clock_ms(), limit);
    end(&b, NULL);
}

START_TEST(one_name_with_jetstream)
{
    NEEDS_ENGINE;
    one_name(true);
}
END_TEST

START_TEST(one_name_without)
{
    NEEDS_ENGINE;
    one_name(false);
}
END_TEST

/* Goal: without JetStream claims fail at once, and that is said once. */
START_TEST(without_jetstream)
{
    NEEDS_ENGINE;
    static struct node a;
    begin(NULL);
    node_up(&a, "a", 1);
    for (int i = 0; i < 3; i++) {
        ck_assert_int_eq(claim(&a, 5, 100, MARIO_BIND_KICK_OLD, 1, false), CLAIM_FAILED);
        ck_assert_int_eq(renew(&a), RENEWED);
    }
    release(&a, 5, 100);
    bus_nats.retire(a.bus);
    flush(&a);
    ck_assert_uint_eq(a.refused, 1);
    ck_assert_ptr_nonnull(strstr(a.why, "JetStream"));
    ck_assert_uint_eq(a.downs, 0);
    end(&a, NULL);
}
END_TEST

Suite *bus_nats_suite(void)
{
    Suite *s = suite_create("bus_nats");
    TCase *c = unit_case(s, "nats", 30);
    tcase_add_test(c, channels);
    tcase_add_test(c, nobody_is_known);
    tcase_add_test(c, a_listener_to_everything);
    tcase_add_test(c, room);
    tcase_add_test(c, not_there_yet);
    tcase_add_test(c, restarted);
    tcase_add_test(c, silent);
    tcase_add_test(c, passwords);
    tcase_add_test(c, owners);
    tcase_add_test(c, at_the_same_time);
    tcase_add_test(c, the_dead_own_nothing);
    tcase_add_test(c, one_name_with_jetstream);
    tcase_add_test(c, one_name_without);
    tcase_add_test(c, without_jetstream);
    return s;
}

#else

START_TEST(not_built)
{
    TEST_SKIP("built without libnats");
}
END_TEST

Suite *bus_nats_suite(void)
{
    Suite *s = suite_create("bus_nats");
    tcase_add_test(unit_case(s, "nats", 5), not_built);
    return s;
}

#endif
