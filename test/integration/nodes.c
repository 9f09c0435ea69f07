/*
 * nodes.c: several testapps as one, over an engine. Main thread of a test.
 */
#include "nodes.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/mario_push.h"

/* ---- Starting and stopping ---- */

enum { ARGS = 24 };

void nodes_launch(const struct nodes *n, unsigned at, const struct nodes_options *o, struct launch *l)
{
    static char text[7][120];
    static const char *args[ARGS];
    static const struct nodes_options none;
    const char *bus = n->engine.kind == ENGINE_REDIS ? "redis" : "nats";
    size_t count = 0;
    o = o != NULL ? o : &none;
    snprintf(text[0], sizeof text[0], "cluster.bus=%s", bus);
    snprintf(text[1], sizeof text[1], "cluster.%s=%s", bus, n->engine.address);
    snprintf(text[2], sizeof text[2], "cluster.node=n%u", at);
    snprintf(text[3], sizeof text[3], "cluster.heartbeat=%u", o->heartbeat != 0 ? o->heartbeat : 2);
    snprintf(text[4], sizeof text[4], "cluster.ttl=%u", o->ttl != 0 ? o->ttl : 10);
    snprintf(text[5], sizeof text[5], "cluster.linger=%u", o->linger != 0 ? o->linger : 1);
    for (size_t i = 0; i < 6; i++)
        args[count++] = text[i];
    args[count++] = "server.workernum=2";
    args[count++] =
        "push.queue=100000"; /* a test may read one node's clients while another one's hear much */
    args[count++] = "push.bytes=0";
    args[count++] = "test.offload=on";
    args[count++] = "offload.threads=2";
    for (size_t i = 0; o->args[i] != NULL; i++)
        args[count++] = o->args[i];
    args[count] = NULL;
    *l = (struct launch){.program = "testapp", .args = args};
}

void nodes_start_one(struct nodes *n, unsigned at, uint32_t ears, const struct nodes_options *o)
{
    struct launch l;
    struct node *node = &n->each[at];
    snprintf(node->name, sizeof node->name, "n%u", at);
    nodes_launch(n, at, o, &l);
    server_launch(&node->s, &l);
    node->s.log_lines_max = 40; /* testapp logs each event, and an engine may come and go in a second */
    ears_open(&node->e, &node->s, ears);
}

void nodes_start(struct nodes *n, enum engine_kind kind, unsigned count, uint32_t ears,
                 const struct nodes_options *o)
{
    memset(n, 0, sizeof *n);
    n->count = count;
    if (o != NULL && o->engine_later)
        engine_place(&n->engine, kind, &o->engine);
    else
        engine_start(&n->engine, kind, o != NULL ? &o->engine : NULL);
    for (unsigned i = 0; i < count; i++)
        nodes_start_one(n, i, ears, o);
}

void nodes_stop_one(struct nodes *n, unsigned at)
{
    ears_close(&n->each[at].e);
    server_stop(&n->each[at].s);
}

void nodes_stop(struct nodes *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->each[i].s.pid != 0)
            nodes_stop_one(n, i);
    }
    engine_end(&n->engine);
}

void nodes_kill_one(struct nodes *n, unsigned at)
{
    struct node *node = &n->each[at];
    ears_close(&node->e);
    server_signal(&node->s, SIGKILL);
    server_wait_exit(&node->s, 10000);
    server_discard(&node->s);
}

/* ---- Waiting ---- */

void nodes_turn(struct nodes *n)
{
    for (unsigned i = 0; i < n->count; i++) {
        if (n->each[i].s.pid != 0)
            ears_turn(&n->each[i].e, 2);
    }
}

void nodes_wait(struct nodes *n, bool (*holds)(const struct nodes *n, uint64_t arg), uint64_t arg,
                const char *what)
{
    uint64_t end = itest_deadline(EAR_MS);
    while (!holds(n, arg)) {
        ITEST_ASSERT(mono_ns() < end, "in vain: %s (%" PRIu64 "); see %s", what, arg, n->each[0].s.dir);
        nodes_turn(n);
    }
}

void nodes_expect(struct nodes *n, unsigned at, uint32_t i, unsigned sender, uint64_t count)
{
    const struct ear *r = &n->each[at].e.each[i];
    uint64_t end = itest_deadline(EAR_MS);
    while (r->from[sender] < count) {
        ITEST_ASSERT(mono_ns() < end, "ear %u of n%u heard %" PRIu64 " of %" PRIu64 " of sender %u; see %s",
                     i, at, r->from[sender], count, sender, n->each[at].s.dir);
        nodes_turn(n);
    }
    ITEST_ASSERT(r->from[sender] == count, "ear %u of n%u heard %" PRIu64 " instead of %" PRIu64, i, at,
                 r->from[sender], count);
}

void nodes_wait_counter(struct nodes *n, unsigned at, const char *name, uint64_t least)
{
    ear_wait_counter(&n->each[at].e, 0, name, least);
}

/* ---- What they do ---- */

void nodes_reach(struct nodes *n, unsigned from, enum test_order_kind kind, uint64_t key, unsigned at,
                 uint32_t i)
{
    const struct ear *r = &n->each[at].e.each[i];
    uint64_t before = r->from[0], end = itest_deadline(EAR_MS);
    while (r->from[0] == before) {
        ITEST_ASSERT(mono_ns() < end, "n%u does not reach ear %u of n%u (%u, %" PRIx64 "); see %s", from, i,
                     at, kind, key, n->each[at].s.dir);
        nodes_send(n, from, kind, key, 0, 0, 1);
        nodes_turn(n);
        nodes_turn(n);
    }
}

void nodes_send(struct nodes *n, unsigned from, enum test_order_kind kind, uint64_t key, unsigned sender,
                uint32_t first, uint32_t count)
{
    ear_order(&n->each[from].e, 0,
              (struct test_order){.kind = (uint8_t) kind,
                                  .to = key,
                                  .len = 60,
                                  .sender = sender,
                                  .number = first,
                                  .times = count - 1,
                                  .flags = ORDER_PERSISTS});
}

bool nodes_bind(struct nodes *n, unsigned at, uint32_t i, uint64_t uid, int how, uint32_t devices)
{
    struct ears *e = &n->each[at].e;
    struct ear *r = &e->each[i];
    uint64_t end = itest_deadline(EAR_MS);
    r->called = 0;
    ear_tell(e, i, ORDERS({.kind = ORDER_BIND, .how = (uint8_t) how, .to = uid, .number = devices}), 1);
    while (r->called == 0 && r->fd >= 0) {
        ITEST_ASSERT(mono_ns() < end, "a bind on n%u is not decided; see %s", at, e->server->dir);
        nodes_turn(n);
    }
    return r->fd >= 0 && r->last_called.refused == 0;
}

void nodes_join(struct nodes *n, unsigned at, uint32_t i, uint64_t group)
{
    struct ears *e = &n->each[at].e;
    uint64_t before = ear_order(e, i, (struct test_order){.kind = ORDER_GROUP_COUNT, .to = group});
    ear_order(e, i, (struct test_order){.kind = ORDER_JOIN, .to = group});
    ears_expect_members(e, i, group, before + 1);
}

unsigned nodes_events(struct nodes *n, unsigned at, struct test_event *events)
{
    struct ears *e = &n->each[at].e;
    ear_ask(e, 0, TEST_EVENTS, NULL, 0);
    memcpy(events, e->each[0].reply, e->each[0].reply_len);
    return e->each[0].reply_len / (uint32_t) sizeof *events;
}

int64_t nodes_subscribed(struct nodes *n, const char *channel)
{
    return engine_number(&n->engine, "PUBSUB NUMSUB %s", channel);
}

void nodes_await_subscribed(struct nodes *n, const char *channel, int64_t count)
{
    uint64_t end = itest_deadline(EAR_MS);
    int64_t have;
    while ((have = nodes_subscribed(n, channel)) != count) {
        ITEST_ASSERT(mono_ns() < end, "%s has %" PRId64 " subscribers instead of %" PRId64 "; see %s",
                     channel, have, count, n->each[0].s.dir);
        nodes_turn(n);
    }
}

/* ---- A cluster on which all is well ---- */

/* Ear 1 of each node is in the group, ear 2 is the user. */
void nodes_settle_one(struct nodes *n, unsigned at)
{
    nodes_join(n, at, 1, NODES_GROUP);
    ck_assert(nodes_bind(n, at, 2, NODES_UID, MARIO_BIND_MANY, 0));
}

void nodes_settle(struct nodes *n)
{
    for (unsigned at = 0; at < n->count; at++)
        nodes_settle_one(n, at);
}

/* All reach all again. */
void nodes_all_is_well(struct nodes *n)
{
    for (unsigned at = 0; at < n->count; at++) {
        for (unsigned from = 0; from < n->count; from++) {
            nodes_reach(n, from, ORDER_SEND_GROUP, NODES_GROUP, at, 1);
            nodes_reach(n, from, ORDER_SEND_USER, NODES_UID, at, 2);
            nodes_reach(n, from, ORDER_SEND_ALL, 0, at, 0);
        }
    }
}

/* What is sent now reaches everybody, each once: a sender that has not spoken yet. */
void nodes_nothing_is_missing(struct nodes *n, unsigned sender)
{
    enum { COUNT = 100 };
    nodes_send(n, 0, ORDER_SEND_GROUP, NODES_GROUP, sender, 0, COUNT);
    nodes_send(n, 0, ORDER_SEND_USER, NODES_UID, sender, 0, COUNT);
    for (unsigned at = 0; at < n->count; at++) {
        nodes_expect(n, at, 1, sender, COUNT);
        nodes_expect(n, at, 2, sender, COUNT);
    }
}

/* Those on a node hear one another, whatever becomes of the rest. */
void nodes_go_on_here(struct nodes *n, unsigned sender)
{
    enum { COUNT = 50 };
    nodes_send(n, 0, ORDER_SEND_GROUP, NODES_GROUP, sender, 0, COUNT);
    nodes_send(n, 0, ORDER_SEND_USER, NODES_UID, sender, 0, COUNT);
    nodes_expect(n, 0, 1, sender, COUNT);
    nodes_expect(n, 0, 2, sender, COUNT);
}

void nodes_all_count(struct nodes *n, const char *name, uint64_t least)
{
    for (unsigned at = 0; at < n->count; at++)
        nodes_wait_counter(n, at, name, least);
}

/* ---- A storm ---- */

bool nodes_storm_is_over(const struct nodes *n, uint64_t at)
{
    return ear_counter((struct ears *) (uintptr_t) &n->each[at].e, 0, "threads_done") > 0;
}

/* A thread of node 0 speaks to the group for two seconds or more, as sender 1. */
void nodes_begin_storm(struct nodes *n)
{
    const struct test_order storm[] = {
        {.kind = ORDER_THREAD, .body = 1},
        {.kind = ORDER_SEND_GROUP,
         .to = NODES_GROUP,
         .len = 60,
         .sender = 1,
         .times = NODES_STORM - 1,
         .pause = 100,
         .flags = ORDER_PERSISTS},
    };
    ear_do(&n->each[0].e, 0, TEST_PUSH, storm, 2, NULL);
    for (unsigned at = 0; at < n->count; at++) {
        while (n->each[at].e.each[1].from[1] < NODES_STORM / 10)
            nodes_turn(n);
    }
}
