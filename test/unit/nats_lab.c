/*
 * nats_lab.c: NATS drivers of a test and what they tell. The test's thread.
 */
#include "nats_lab.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/base/clock.h"

struct event_base *nlab_base;
struct engine nlab_engine;

/* ---- What is told ---- */

static void on_up(void *arg, uint32_t part)
{
    struct nlab_node *n = arg;
    UNIT_ASSERT(part == 0 && bus_nats.is_up(n->bus, 0));
    n->ups++;
}

static void on_down(void *arg, uint32_t part, const char *why)
{
    struct nlab_node *n = arg;
    UNIT_ASSERT(part == 0 && (n->bus == NULL || !bus_nats.is_up(n->bus, 0)));
    snprintf(n->why, sizeof n->why, "%s", why);
    n->downs++;
}

static void on_subscribed(void *arg, uint32_t part, const struct channel *c)
{
    struct nlab_node *n = arg;
    (void) part;
    n->subscribed++;
    n->sum += c->key;
}

static void on_message(void *arg, uint32_t part, const struct channel *c, const void *bytes, size_t len)
{
    struct nlab_node *n = arg;
    (void) part;
    snprintf(n->last, sizeof n->last, "%d %" PRIu64 " %s %.*s", (int) c->kind, c->key,
             c->kind == CHANNEL_NODE ? c->node : "-", (int) len, (const char *) bytes);
    n->last_len = len;
    if (len > 6 && memcmp(bytes, "head #", 6) == 0)
        n->out_of_order += strtoul((const char *) bytes + 6, NULL, 10) != n->messages;
    n->messages++;
}

static void on_garbage(void *arg)
{
    (void) arg;
    unit_failed(__FILE__, __LINE__, "garbage");
}

static void on_room(void *arg, uint32_t part)
{
    (void) part;
    ((struct nlab_node *) arg)->rooms++;
}

static void on_published(void *arg, uint64_t cookie, int64_t receivers)
{
    struct nlab_node *n = arg;
    UNIT_ASSERT(cookie < NLAB_COOKIES && n->published[cookie] == NLAB_NOTHING);
    n->published[cookie] = receivers;
    n->published_n++;
}

static void on_claimed(void *arg, uint64_t cookie, enum bus_claim c)
{
    struct nlab_node *n = arg;
    UNIT_ASSERT(cookie < NLAB_COOKIES && n->claimed[cookie] == NLAB_NOTHING);
    n->claimed[cookie] = (int) c;
    n->claimed_n++;
}

static void on_renewed(void *arg, uint32_t part, enum bus_renewed r)
{
    (void) part;
    ((struct nlab_node *) arg)->renewed = (int) r;
}

static void on_refused(void *arg, uint32_t part, const char *line)
{
    struct nlab_node *n = arg;
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

static void node_clear(struct nlab_node *n)
{
    *n = (struct nlab_node){.config = n->config};
    for (int i = 0; i < NLAB_COOKIES; i++) {
        n->published[i] = NLAB_NOTHING;
        n->claimed[i] = NLAB_NOTHING;
    }
    n->renewed = NLAB_NOTHING;
}

void nlab_node_begin(struct nlab_node *n, const char *name, uint64_t epoch)
{
    char why[256] = "";
    n->config.servers = nlab_engine.address;
    if (n->config.prefix == NULL)
        n->config.prefix = "test.a";
    n->config.node = name;
    n->config.epoch = epoch;
    if (n->config.ttl_ms == 0)
        n->config.ttl_ms = 30000;
    n->config.base = nlab_base;
    node_clear(n);
    n->bus = bus_nats.create(&n->config, &events, n, why, sizeof why);
    ck_assert_msg(n->bus != NULL, "%s", why);
}

void nlab_until(const char *file, int line, const unsigned *what, unsigned least)
{
    uint64_t end = clock_ms() + NLAB_MS;
    while (*what < least) {
        event_base_loopexit(nlab_base, &(struct timeval){.tv_usec = 5000});
        event_base_dispatch(nlab_base);
        if (clock_ms() > end)
            ck_abort_msg("%s:%d: %u of %u in time", file, line, *what, least);
    }
}

void nlab_turn(unsigned ms)
{
    uint64_t end = clock_ms() + ms;
    while (clock_ms() < end) {
        event_base_loopexit(nlab_base, &(struct timeval){.tv_usec = 2000});
        event_base_dispatch(nlab_base);
    }
}

void nlab_node_up(struct nlab_node *n, const char *name, uint64_t epoch)
{
    nlab_node_begin(n, name, epoch);
    NLAB_UNTIL(n->ups, 1);
}

struct channel nlab_user(uint64_t key)
{
    return (struct channel){.kind = CHANNEL_USER, .key = key};
}

void nlab_subscribe(struct nlab_node *n, struct channel c)
{
    unsigned had = n->subscribed;
    bus_nats.subscribe(n->bus, &c);
    NLAB_UNTIL(n->subscribed, had + 1);
}

void nlab_say(struct nlab_node *n, struct channel c, const char *text, uint64_t cookie)
{
    ck_assert(bus_nats.publish(n->bus, &c, "head ", 5, text, strlen(text), cookie));
}

int nlab_claim(struct nlab_node *n, uint64_t uid, uint64_t id, int how, uint32_t most, bool again)
{
    struct owner me = {.epoch = n->config.epoch, .id = id};
    static uint64_t cookie;
    snprintf(me.node, sizeof me.node, "%s", n->config.node);
    cookie = (cookie + 1) % NLAB_COOKIES;
    n->claimed[cookie] = NLAB_NOTHING;
    unsigned had = n->claimed_n;
    bus_nats.claim(n->bus, uid, &me, how, most, again, "gone ", 5, cookie);
    ck_assert_int_eq(n->claimed[cookie], NLAB_NOTHING); /* never inside the call */
    NLAB_UNTIL(n->claimed_n, had + 1);
    return n->claimed[cookie];
}

void nlab_release(struct nlab_node *n, uint64_t uid, uint64_t id)
{
    struct owner me = {.epoch = n->config.epoch, .id = id};
    snprintf(me.node, sizeof me.node, "%s", n->config.node);
    bus_nats.release(n->bus, uid, &me);
}

int nlab_renew(struct nlab_node *n)
{
    n->renewed = NLAB_NOTHING;
    bus_nats.renew(n->bus);
    uint64_t end = clock_ms() + NLAB_MS;
    while (n->renewed == NLAB_NOTHING && clock_ms() < end)
        nlab_turn(2);
    return n->renewed;
}

void nlab_flush(struct nlab_node *n)
{
    uint64_t end = clock_ms() + NLAB_MS;
    while (!bus_nats.flush(n->bus) && clock_ms() < end)
        nlab_turn(2);
    ck_assert(bus_nats.flush(n->bus));
}

void nlab_place(const struct engine_options *o)
{
    nlab_base = event_base_new();
    engine_place(&nlab_engine, ENGINE_NATS, o);
}

void nlab_begin(const struct engine_options *o)
{
    nlab_base = event_base_new();
    engine_start(&nlab_engine, ENGINE_NATS, o);
}

void nlab_end(struct nlab_node *a, struct nlab_node *b)
{
    bus_nats.destroy(&a->bus);
    if (b != NULL)
        bus_nats.destroy(&b->bus);
    engine_end(&nlab_engine);
    event_base_free(nlab_base);
}

int nlab_client(const char *lines)
{
    char text[4096] = "";
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(nlab_engine.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    size_t n = 0;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *) &to, sizeof to), 0);
    dprintf(fd, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n%s\r\nPING\r\n", lines);
    while (strstr(text, "PONG") == NULL) {
        ssize_t got = read(fd, text + n, sizeof text - 1 - n);
        ck_assert_int_gt(got, 0);
        text[n += (size_t) got] = '\0';
    }
    return fd;
}

#endif
