/*
 * deliver.c: what came of the bus, and what it decided, to those who are here, in the order in which it came. Where the
 * ring to a worker is full it waits, and all behind it: messages up to cluster.queue bytes, decisions without a bound, for
 * there are no more than connections. The cluster's thread.
 */
#include "mario/cluster/inside.h"

#include <errno.h>
#include <stdlib.h>

enum { LEAST = 64, EACH = 64, AGAIN_MS = 1 };

static struct {
    struct delivery *at; /* [size], a ring */
    uint32_t first, count, size;
    uint64_t bytes; /* of the messages in it */
} line;

static uint32_t cost(const struct delivery *d)
{
    struct mario_msg_info info;
    if (d->m == NULL)
        return 0;
    mario_msg_info(d->m, &info);
    return EACH + info.len;
}

/* False: try again. */
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
    }
    if (rc != 0 && errno == EAGAIN)
        return false;
    mario_msg_free(&d->m);
    return true;
}

static bool grow(void)
{
    if (line.count < line.size)
        return true;
    uint32_t size = line.size == 0 ? LEAST : 2 * line.size;
    struct delivery *bigger = malloc((size_t) size * sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (uint32_t i = 0; i < line.count; i++)
        bigger[i] = line.at[(line.first + i) & (line.size - 1)];
    free(line.at);
    line.at = bigger;
    line.first = 0;
    line.size = size;
    return true;
}

void deliver(const struct delivery *given)
{
    struct delivery d = *given;
    if (line.count == 0 && hand_over(&d))
        return;
    uint32_t n = cost(&d);
    if ((n > 0 && line.bytes + n > cluster.set.queue) || !grow()) {
        cluster.tally.lost += d.m != NULL;
        mario_msg_free(&d.m);
        return;
    }
    line.bytes += n;
    line.at[(line.first + line.count++) & (line.size - 1)] = d;
}

uint64_t deliver_pass(void)
{
    while (line.count > 0) {
        struct delivery *d = &line.at[line.first];
        uint32_t n = cost(d);
        if (!hand_over(d))
            return cluster_ms() + AGAIN_MS;
        line.bytes -= n;
        line.first = (line.first + 1) & (line.size - 1);
        line.count--;
    }
    free(line.at);
    line.at = NULL;
    line.size = 0;
    return UINT64_MAX;
}

void deliver_teardown(void)
{
    for (; line.count > 0; line.count--, line.first++)
        mario_msg_free(&line.at[line.first & (line.size - 1)].m);
    free(line.at);
    line.at = NULL;
    line.first = line.size = 0;
    line.bytes = 0;
}
