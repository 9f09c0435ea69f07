/*
 * deliver.c: what came of the bus, and what it decided, to those who are here. Where the ring to a worker is full it
 * waits. The cluster's thread.
 *
 * Messages wait in one line, in the order in which they came, up to cluster.queue bytes and PATIENCE_MS: so a worker
 * that is busy for a moment loses nothing, and one that is stuck holds up no more than that what is for others.
 * Decisions are few, no more than connections, and none is lost: they wait as long as it takes, and only for their own
 * worker, and behind what was decided of the same user.
 */
#include "mario/cluster/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { LEAST = 64, EACH = 64 /* bytes that one counts besides its own */, PATIENCE_MS = 250, AGAIN_MS = 1 };

struct waiting {
    struct delivery d;
    uint64_t since_ms;
};

struct line {
    struct waiting *at; /* [size], a ring */
    uint32_t first, count, size;
};

static struct line messages, decisions;
static uint64_t bytes; /* of the messages that wait */

static uint32_t cost(const struct delivery *d)
{
    struct mario_msg_info info;
    if (d->m == NULL)
        return EACH;
    mario_msg_info(d->m, &info);
    return EACH + info.len;
}

static bool is_decision(const struct delivery *d)
{
    return d->what >= DELIVER_BIND;
}

/* False: its ring is full. */
static bool hand_over(struct delivery *d)
{
    int32_t rc = 0;
    switch ((enum deliver) d->what) {
    case DELIVER_USER:
        rc = cluster.house->send_user(d->key, d->m);
        break;
    case DELIVER_GROUP:
        rc = cluster.house->send_group(d->key, d->m, 0);
        break;
    case DELIVER_ALL:
        rc = cluster.house->send_all(d->m, 0);
        break;
    case DELIVER_KICK:
        rc = cluster.house->kick_user(d->key, d->reason, d->m);
        break;
    case DELIVER_BIND:
        rc = cluster.house->bind(d->id, d->key, (enum mario_bind) d->how, d->devices);
        break;
    case DELIVER_REFUSE:
        rc = cluster.house->refuse(d->id, d->key);
        break;
    case DELIVER_REPLACE:
        rc = cluster.house->replace(d->id);
        break;
    case DELIVER_ALONE:
        rc = cluster.house->replace_beside(d->key, d->id);
        break;
    }
    if (rc != 0 && errno == EAGAIN)
        return false;
    cluster.tally.lost += rc != 0 && d->m != NULL; /* no memory */
    mario_msg_free(&d->m);
    return true;
}

/* ---- Lines ---- */

static struct waiting *place(const struct line *l, uint32_t i)
{
    return &l->at[(l->first + i) & (l->size - 1)];
}

static bool grow(struct line *l)
{
    if (l->count < l->size)
        return true;
    uint32_t size = l->size == 0 ? LEAST : 2 * l->size;
    struct waiting *bigger = malloc((size_t) size * sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (uint32_t i = 0; i < l->count; i++)
        bigger[i] = *place(l, i);
    free(l->at);
    *l = (struct line){.at = bigger, .count = l->count, .size = size};
    return true;
}

static void clear(struct line *l)
{
    for (uint32_t i = 0; i < l->count; i++)
        mario_msg_free(&place(l, i)->d.m);
    free(l->at);
    *l = (struct line){.at = NULL};
}

static void lose(struct delivery *d)
{
    cluster.tally.lost++;
    mario_msg_free(&d->m);
}

void deliver(const struct delivery *given)
{
    struct delivery d = *given;
    struct line *l = is_decision(&d) ? &decisions : &messages;
    if (l->count == 0 && hand_over(&d))
        return;
    if (l == &messages && bytes + cost(&d) > cluster.set.queue) {
        lose(&d);
        return;
    }
    if (!grow(l)) {
        lose(&d);
        return;
    }
    if (l == &messages)
        bytes += cost(&d);
    *place(l, l->count++) = (struct waiting){.d = d, .since_ms = cluster_ms()};
}

/* ---- Again ---- */

static void try_messages(void)
{
    while (messages.count > 0) {
        struct waiting *w = place(&messages, 0);
        uint32_t n = cost(&w->d);
        if (!hand_over(&w->d)) {
            if (cluster_ms() - w->since_ms < PATIENCE_MS)
                return;
            lose(&w->d);
        }
        bytes -= n;
        messages.first = (messages.first + 1) & (messages.size - 1);
        messages.count--;
    }
    clear(&messages);
}

/* Those who still wait move together. Who is behind one that waits is told by bits, so some wait in vain for a pass. */
static void try_decisions(void)
{
    uint64_t workers[4] = {0}, users = 0;
    uint32_t kept = 0, count = decisions.count;
    for (uint32_t i = 0; i < count; i++) {
        struct waiting *w = place(&decisions, i);
        unsigned worker = (unsigned) (w->d.id >> 56);
        uint64_t user = UINT64_C(1) << (w->d.key * UINT64_C(0x9e3779b97f4a7c15) >> 58);
        bool is_behind = (workers[worker / 64] >> worker % 64 & 1) != 0 || (users & user) != 0;
        if (!is_behind && hand_over(&w->d))
            continue;
        workers[worker / 64] |= UINT64_C(1) << worker % 64;
        users |= user;
        *place(&decisions, kept++) = *w;
    }
    decisions.count = kept;
    if (kept == 0)
        clear(&decisions);
}

uint64_t deliver_pass(void)
{
    if (messages.count > 0)
        try_messages();
    if (decisions.count > 0)
        try_decisions();
    return messages.count > 0 || decisions.count > 0 ? cluster_ms() + AGAIN_MS : UINT64_MAX;
}

void deliver_teardown(void)
{
    clear(&messages);
    clear(&decisions);
    bytes = 0;
}
