/*
 * bus_redis.c: Redis as the bus. Each server of the list is a part, with two connections: one for the subscriptions,
 * one for everything else. What is said in a pass of the loop goes out together at its end, and is answered in order.
 * The cluster's thread.
 */
#ifdef MARIO_WITH_REDIS
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/cluster/redis_inside.h"
#include "mario/mario_push.h"

enum { WORDS = 16, PIECE_BYTES = 256 * 1024 /* of a history, in one answer */ };

/* ---- Commands ---- */

/* A command that is put together, with its numbers as text, and its keys. */
struct command {
    struct redis_word w[WORDS];
    size_t n;
    char digits[WORDS][21], key[2][CHANNEL_NAME_MAX];
};

static void add_bytes(struct command *c, const void *bytes, size_t len, const void *more, size_t more_len)
{
    c->w[c->n++] = (struct redis_word){bytes, len, more, more_len};
}

static void add(struct command *c, const char *text)
{
    add_bytes(c, text, strlen(text), NULL, 0);
}

static void add_number(struct command *c, uint64_t n)
{
    char *text = c->digits[c->n];
    int len = snprintf(text, sizeof c->digits[0], "%" PRIu64, n);
    add_bytes(c, text, (size_t) len, NULL, 0);
}

/* A call of a script, with the number of its keys. */
static void begin_call(struct command *c, const struct redis_part *p, enum redis_script script,
                       const char *keys)
{
    c->n = 0;
    add(c, "EVALSHA");
    add(c, p->digests[script]);
    add(c, keys);
}

static struct redis_part *part_of(struct bus *b, const struct channel *c)
{
    return &b->parts[channel_part(c, b->parts_n)];
}

static struct redis_part *part_of_key(struct bus *b, enum channel_kind kind, uint64_t key)
{
    return part_of(b, &(struct channel){.kind = kind, .key = key});
}

/* Ask, or have it fail when the loop comes round. */
static void ask(struct redis_part *p, struct redis_asked a, const struct command *c)
{
    if (p->state != PART_UP || !redis_part_ask(p, a, c->w, c->n))
        redis_answer_failed_later(p->bus, a);
}

/* ---- Its life ---- */

/* splitmix64 */
uint64_t redis_random(struct bus *b)
{
    uint64_t z = b->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct bus *b = arg;
    uint64_t now = clock_ms();
    (void) fd, (void) what;
    for (uint32_t i = 0; i < b->parts_n; i++)
        redis_part_tick(&b->parts[i], now);
}

static void tell_failed(struct bus *b)
{
    for (size_t n = b->failed.n; n > 0; n--)
        redis_answer_failed(b, redis_line_take(&b->failed));
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    (void) fd, (void) what;
    tell_failed(arg);
}

static void destroy(struct bus **bus)
{
    struct bus *b = *bus;
    if (b == NULL)
        return;
    for (uint32_t i = 0; i < b->parts_n; i++)
        redis_part_teardown(&b->parts[i]);
    while (b->failed.n > 0)
        tell_failed(b);
    free(b->failed.at);
    if (b->tick != NULL)
        event_free(b->tick);
    if (b->later != NULL)
        event_free(b->later);
    free(b);
    *bus = NULL;
}

static bool setup(struct bus *b, const struct redis_address *a, uint32_t n)
{
    static const struct timeval tick = {.tv_usec = REDIS_TICK_MS * 1000};
    const struct bus_config *c = &b->config;
    b->parts_n = n;
    b->random = c->epoch;
    snprintf(b->life, sizeof b->life, "%s:l:%s:%" PRIu64, c->prefix, c->node, c->epoch);
    channel_name(c->prefix, &(struct channel){.kind = CHANNEL_NODE, .node = c->node}, b->self);
    b->tick = event_new(c->base, -1, EV_PERSIST, on_tick, b);
    b->later = event_new(c->base, -1, 0, on_later, b);
    if (b->tick == NULL || b->later == NULL || event_add(b->tick, &tick) != 0)
        return false;
    for (uint32_t i = 0; i < n; i++)
        if (!redis_part_setup(&b->parts[i], b, i, &a[i]))
            return false;
    return true;
}

static struct bus *create(const struct bus_config *c, const struct bus_events *e, void *arg, char *why,
                          size_t size)
{
    struct redis_address a[BUS_PARTS_MAX];
    uint32_t n = redis_address_list(c->servers, a, BUS_PARTS_MAX, why, size);
    if (n == 0)
        return NULL;
    struct bus *b = calloc(1, sizeof *b + n * sizeof b->parts[0]);
    if (b != NULL) {
        b->config = *c;
        b->events = e;
        b->arg = arg;
        if (!setup(b, a, n))
            destroy(&b);
    }
    if (b == NULL)
        snprintf(why, size, "no memory");
    return b;
}

static uint32_t parts(const struct bus *b)
{
    return b->parts_n;
}

static bool is_up(const struct bus *b, uint32_t part)
{
    return b->parts[part].state == PART_UP;
}

static bool flush(struct bus *b)
{
    bool done = b->failed.n == 0;
    for (uint32_t i = 0; i < b->parts_n; i++) {
        const struct redis_part *p = &b->parts[i];
        if (p->state == PART_UP)
            done = done && p->asked.n == 0 && p->batched == 0 && redis_out_len(&p->subscriptions.out) == 0;
    }
    return done;
}

/* ---- Channels ---- */

static void batch(struct bus *b, enum redis_verb verb, const struct channel *c)
{
    struct redis_part *p = part_of(b, c);
    char name[CHANNEL_NAME_MAX];
    if (p->state != PART_UP)
        return;
    if (!redis_hear_batch(p, verb, name, channel_name(b->config.prefix, c, name))) {
        redis_link_spoil(&p->subscriptions, "no memory");
        redis_part_attend(p);
    }
}

static void subscribe(struct bus *b, const struct channel *c)
{
    batch(b, VERB_SUBSCRIBE, c);
}

/* That of this node is the driver's own too: it stays. */
static void unsubscribe(struct bus *b, const struct channel *c)
{
    if (c->kind != CHANNEL_NODE || strcmp(c->node, b->config.node) != 0)
        batch(b, VERB_UNSUBSCRIBE, c);
}

static bool publish(struct bus *b, const struct channel *c, const void *head, size_t hlen, const void *body,
                    size_t blen, uint64_t cookie)
{
    struct redis_part *p = part_of(b, c);
    char name[CHANNEL_NAME_MAX];
    if (p->state != PART_UP)
        return false;
    const struct redis_word w[] = {{"PUBLISH", 7, NULL, 0},
                                   {name, channel_name(b->config.prefix, c, name), NULL, 0},
                                   {head, hlen, body, blen}};
    if (redis_part_has_room(p, false) &&
        redis_part_ask(p, (struct redis_asked){.what = ASKED_PUBLISH, .cookie = cookie}, w, 3))
        return true;
    p->wants_room = true;
    redis_part_attend(p);
    return false;
}

/* ---- Owners ---- */

/* The call of a script for the record of a user's owners. */
static void begin_owner(struct command *c, const struct redis_part *p, enum redis_script script, uint64_t uid)
{
    snprintf(c->key[0], sizeof c->key[0], "%s:o:%" PRIu64, p->bus->config.prefix, uid);
    begin_call(c, p, script, "1");
    add(c, c->key[0]);
}

static void claim(struct bus *b, uint64_t uid, const struct owner *me, int how, uint32_t most, bool again,
                  const void *head, size_t hlen, uint64_t cookie)
{
    struct redis_part *p = part_of_key(b, CHANNEL_USER, uid);
    struct command c = {.n = 0};
    begin_owner(&c, p, SCRIPT_CLAIM, uid);
    add(&c, b->config.prefix);
    add(&c, me->node);
    add_number(&c, me->epoch);
    add_number(&c, me->id);
    add_number(&c, (uint64_t) how);
    add_number(&c, most == 0 && how != MARIO_BIND_MANY ? 1 : most);
    add_number(&c, again);
    add_bytes(&c, head, hlen, NULL, 0);
    add_number(&c, REDIS_KEEP_MS);
    ask(p, (struct redis_asked){.what = ASKED_CLAIM, .cookie = cookie}, &c);
}
_Static_assert(MARIO_BIND_KICK_OLD == 1, "the script of claim() knows it by this number");

static void release(struct bus *b, uint64_t uid, const struct owner *me)
{
    struct redis_part *p = part_of_key(b, CHANNEL_USER, uid);
    struct command c = {.n = 0};
    begin_owner(&c, p, SCRIPT_RELEASE, uid);
    add(&c, me->node);
    add_number(&c, me->epoch);
    add_number(&c, me->id);
    add_number(&c, REDIS_KEEP_MS);
    ask(p, (struct redis_asked){.what = ASKED_RELEASE}, &c);
}

/* ---- This node ---- */

static void renew(struct bus *b)
{
    char key[CHANNEL_NAME_MAX], life[CHANNEL_NAME_MAX];
    snprintf(key, sizeof key, "%s:e:%s", b->config.prefix, b->config.node);
    snprintf(life, sizeof life, "%s:l:%s", b->config.prefix, b->config.node);
    for (uint32_t i = 0; i < b->parts_n; i++) {
        struct command c = {.n = 0};
        begin_call(&c, &b->parts[i], SCRIPT_RENEW, "1");
        add(&c, key);
        add(&c, life);
        add_number(&c, b->config.epoch);
        add_number(&c, b->config.ttl_ms);
        ask(&b->parts[i], (struct redis_asked){.what = ASKED_RENEW}, &c);
    }
}

static void retire(struct bus *b)
{
    char key[CHANNEL_NAME_MAX];
    snprintf(key, sizeof key, "%s:e:%s", b->config.prefix, b->config.node);
    for (uint32_t i = 0; i < b->parts_n; i++) {
        struct command c = {.n = 0};
        begin_call(&c, &b->parts[i], SCRIPT_RETIRE, "1");
        add(&c, key);
        add_number(&c, b->config.epoch);
        ask(&b->parts[i], (struct redis_asked){.what = ASKED_RETIRE}, &c);
    }
}

/* ---- Histories ---- */

/* The call of a script for a group's history, up to what both have in common. */
static void begin_history(struct command *c, const struct redis_part *p, enum redis_script script,
                          uint64_t group)
{
    const char *prefix = p->bus->config.prefix;
    snprintf(c->key[0], sizeof c->key[0], "%s:h:%" PRIu64, prefix, group);
    snprintf(c->key[1], sizeof c->key[1], "%s:h:%" PRIu64 ":meta", prefix, group);
    begin_call(c, p, script, "2");
    add(c, c->key[0]);
    add(c, c->key[1]);
    add(c, p->run);
    add_number(c, redis_random(p->bus) | 1);
    add_number(c, REDIS_KEEP_MS);
}

static void append(struct bus *b, uint64_t group, uint32_t n, const void *head, size_t hlen, const void *body,
                   size_t blen, uint64_t cookie)
{
    struct redis_part *p = part_of_key(b, CHANNEL_GROUP, group);
    struct command c = {.n = 0};
    char name[CHANNEL_NAME_MAX];
    channel_name(b->config.prefix, &(struct channel){.kind = CHANNEL_GROUP, .key = group}, name);
    begin_history(&c, p, SCRIPT_APPEND, group);
    add_number(&c, n);
    add(&c, name);
    add_bytes(&c, head, hlen, body, blen);
    ask(p, (struct redis_asked){.what = ASKED_APPEND, .cookie = cookie}, &c);
}

bool redis_fetch_ask(struct redis_part *p, struct redis_fetch *f)
{
    struct command c = {.n = 0};
    begin_history(&c, p, SCRIPT_FETCH, f->group);
    add_number(&c, f->after + 1);
    add_number(&c, f->after == UINT64_MAX ? 0 : f->left);
    add_number(&c, PIECE_BYTES);
    return redis_part_ask(p, (struct redis_asked){.what = ASKED_FETCH, .cookie = (uintptr_t) f}, c.w, c.n);
}

static void fetch(struct bus *b, uint64_t group, uint64_t after, uint32_t most, uint64_t cookie)
{
    struct redis_part *p = part_of_key(b, CHANNEL_GROUP, group);
    struct redis_fetch *f = malloc(sizeof *f);
    if (f == NULL) {
        b->events->history(b->arg, cookie, 0, 0, NULL, 0, 0, 0);
        return;
    }
    *f = (struct redis_fetch){.cookie = cookie, .group = group, .after = after, .left = most};
    if (p->state != PART_UP || !redis_fetch_ask(p, f))
        redis_answer_failed_later(b, (struct redis_asked){.what = ASKED_FETCH, .cookie = (uintptr_t) f});
}

const struct bus_ops bus_redis = {
    .name = "redis",
    .keeps_subscriptions = false,
    .counts_self = true,
    .has_history = true,
    .create = create,
    .destroy = destroy,
    .flush = flush,
    .parts = parts,
    .is_up = is_up,
    .subscribe = subscribe,
    .unsubscribe = unsubscribe,
    .publish = publish,
    .claim = claim,
    .release = release,
    .renew = renew,
    .retire = retire,
    .append = append,
    .fetch = fetch,
};
#endif
