/*
 * redis_hear.c: the connection with a part's subscriptions: what is published, and what has been subscribed. The
 * cluster's thread.
 */
#ifdef MARIO_WITH_REDIS
#include <string.h>

#include "mario/base/clock.h"
#include "mario/cluster/redis_inside.h"

enum kind { KIND_OTHER, KIND_MESSAGE, KIND_SUBSCRIBED, KIND_UNSUBSCRIBED, KIND_PONG };

static const struct {
    const char *word;
    enum kind kind;
} kinds[] = {{"message", KIND_MESSAGE},
             {"subscribe", KIND_SUBSCRIBED},
             {"unsubscribe", KIND_UNSUBSCRIBED},
             {"pong", KIND_PONG}};

static const char *const verbs[] = {[VERB_SUBSCRIBE] = "SUBSCRIBE", [VERB_UNSUBSCRIBE] = "UNSUBSCRIBE"};

/* ---- Saying ---- */

static void owe(struct redis_part *p, uint32_t n)
{
    if (p->owed == 0)
        p->owed_ms = clock_ms();
    p->owed += n;
    redis_part_attend(p);
}

bool redis_hear_flush(struct redis_part *p)
{
    struct redis_out *out = &p->subscriptions.out;
    const char *verb = verbs[p->verb];
    if (p->batched == 0)
        return true;
    const struct redis_word w = {verb, strlen(verb), NULL, 0};
    if (!redis_out_head(out, p->batched + 1) || !redis_out_words(out, &w, 1) ||
        !redis_out_move(out, &p->batch))
        return false;
    owe(p, p->batched);
    p->batched = 0;
    return true;
}

bool redis_hear_batch(struct redis_part *p, enum redis_verb verb, const char *name, size_t len)
{
    const struct redis_word w = {name, len, NULL, 0};
    if ((p->verb != verb || p->batched == REDIS_BATCH) && !redis_hear_flush(p))
        return false;
    p->verb = verb;
    if (!redis_out_words(&p->batch, &w, 1))
        return false;
    p->batched++;
    redis_part_attend(p);
    return true;
}

bool redis_hear_ping(struct redis_part *p)
{
    static const struct redis_word w[] = {{"PING", 4, NULL, 0}};
    if (!redis_out_command(&p->subscriptions.out, w, 1))
        return false;
    owe(p, 1);
    return true;
}

bool redis_hear_greet(struct redis_part *p)
{
    const struct bus_config *c = &p->bus->config;
    struct redis_out *out = &p->subscriptions.out;
    struct redis_word auth[3] = {{"AUTH", 4, NULL, 0}}, say[3] = {{"SUBSCRIBE", 9, NULL, 0}};
    size_t n = 1;
    if (c->password != NULL) {
        if (c->user != NULL)
            auth[n++] = (struct redis_word){c->user, strlen(c->user), NULL, 0};
        auth[n++] = (struct redis_word){c->password, strlen(c->password), NULL, 0};
        if (!redis_out_command(out, auth, n))
            return false;
        owe(p, 1);
    }
    say[1] = (struct redis_word){p->bus->self, strlen(p->bus->self), NULL, 0};
    say[2] = (struct redis_word){p->bus->life, strlen(p->bus->life), NULL, 0};
    if (!redis_out_command(out, say, 3))
        return false;
    owe(p, 2);
    return true;
}

void redis_hear_reset(struct redis_part *p)
{
    redis_out_clear(&p->batch);
    p->batched = p->owed = 0;
    p->hearing_ready = false;
    p->kind = KIND_OTHER;
}

/* ---- Hearing ---- */

/* A number at *at, before end, that `stop` ends; behind it goes *at. */
static bool parse_number(const char **at, const char *end, char stop, uint64_t *number)
{
    const char *c = *at;
    uint64_t n = 0;
    for (; c < end && *c >= '0' && *c <= '9'; c++)
        if (__builtin_mul_overflow(n, (uint64_t) 10, &n) ||
            __builtin_add_overflow(n, (uint64_t) (*c - '0'), &n))
            return false;
    if (c == *at || c == end || *c != stop)
        return false;
    *at = c + 1;
    *number = n;
    return true;
}

/* What the script of append() said: "#EPOCH SEQ\n", then the message. */
static void hear_sequenced(struct redis_part *p, const struct channel *c, const char *at, size_t len)
{
    struct bus *b = p->bus;
    const char *end = at + len;
    uint64_t epoch, seq;
    at++;
    if (parse_number(&at, end, ' ', &epoch) && parse_number(&at, end, '\n', &seq) && epoch != 0 && seq != 0)
        b->events->sequenced(b->arg, p->index, c->key, epoch, seq, at, (size_t) (end - at));
    else
        b->events->garbage(b->arg);
}

static void hear_message(struct redis_part *p, const struct redis_item *i)
{
    struct bus *b = p->bus;
    struct channel c;
    char node[64];
    if (p->state != PART_UP && p->state != PART_GREETING)
        return;
    if (!channel_parse(b->config.prefix, p->name, p->name_len, &c, node))
        b->events->garbage(b->arg);
    else if (c.kind == CHANNEL_GROUP && i->len > 0 && i->bytes[0] == '#')
        hear_sequenced(p, &c, i->bytes, i->len);
    else
        b->events->message(b->arg, p->index, &c, i->bytes, i->len);
}

/* The last one of the greeting is the sign of life. */
static void hear_subscribed(struct redis_part *p)
{
    struct bus *b = p->bus;
    struct channel c;
    char node[64];
    if (p->hearing_ready) {
        if (channel_parse(b->config.prefix, p->name, p->name_len, &c, node))
            b->events->subscribed(b->arg, p->index, &c);
    } else if (p->name_len == strlen(b->life) && memcmp(p->name, b->life, p->name_len) == 0) {
        p->hearing_ready = true;
        redis_part_greeted(p);
    }
}

static void pay(struct redis_part *p)
{
    if (p->owed > 0)
        p->owed--;
    else
        redis_link_spoil(&p->subscriptions, "it answers what nobody asked");
}

static enum kind kind_of(const struct redis_item *i)
{
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        if (i->type == REDIS_STRING && i->len == strlen(kinds[k].word) &&
            memcmp(i->bytes, kinds[k].word, i->len) == 0)
            return kinds[k].kind;
    return KIND_OTHER;
}

/* The third of an array. */
static void hear_third(struct redis_part *p, const struct redis_item *i)
{
    if (p->kind == KIND_MESSAGE && i->type == REDIS_STRING) {
        hear_message(p, i);
    } else if ((p->kind == KIND_SUBSCRIBED || p->kind == KIND_UNSUBSCRIBED) && i->type == REDIS_NUMBER) {
        pay(p);
        if (p->kind == KIND_SUBSCRIBED)
            hear_subscribed(p);
    } else {
        p->kind = KIND_OTHER;
    }
}

/* What is no array: answers to AUTH and PING. */
static void hear_plain(struct redis_part *p, const struct redis_item *i)
{
    if (i->type == REDIS_ERROR)
        redis_part_refused(p, &p->subscriptions, i);
    else
        pay(p);
}

static void on_item(void *arg, const struct redis_item *i)
{
    struct redis_part *p = arg;
    if (i->index < 0 && i->type == REDIS_ARRAY) {
        p->kind = KIND_OTHER;
        if (i->number != 2 && i->number != 3)
            redis_link_spoil(&p->subscriptions, "it sends what is no message");
    } else if (i->index < 0) {
        hear_plain(p, i);
        p->kind = KIND_PONG;
    } else if (i->index == 0) {
        p->kind = (int) kind_of(i);
    } else if (i->index == 1 && p->kind == KIND_PONG) {
        pay(p);
    } else if (i->index == 1 && i->type == REDIS_STRING) {
        p->name_len = i->len < sizeof p->name ? i->len : 0; /* what is too long is none of ours */
        memcpy(p->name, i->bytes, p->name_len);
    } else if (i->index == 1) {
        p->kind = KIND_OTHER;
    } else {
        hear_third(p, i);
    }
}

static void on_end(void *arg)
{
    struct redis_part *p = arg;
    if (p->kind == KIND_OTHER)
        redis_link_spoil(&p->subscriptions, "it sends what is no message");
}

const struct redis_link_events redis_hear_events = {
    .connected = redis_part_connected,
    .item = on_item,
    .end = on_end,
    .read = redis_part_read,
    .broken = redis_part_broken,
};
#endif
