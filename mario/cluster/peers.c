/*
 * peers.c: the other nodes: who said that it is here, and when it was heard of last. The cluster's thread.
 *
 * Time is the clock's that does not jump. While the engine is away nobody is heard of, so nobody is late then: the time
 * that a node has counts from when part 0, whose channel everybody's is, came back.
 */
#include "mario/cluster/inside.h"

#include <string.h>

enum { PEERS_MOST = 4096 };

struct peer {
    uint64_t epoch; /* the key */
    uint64_t heard_ms;
    char node[FRAME_NAME_MAX + 1];
};

static struct map peers;
static uint64_t next_ms;  /* when to look who is late */
static uint64_t since_ms; /* part 0 is up; UINT64_MAX: it is not */
static struct peer
    *last; /* that was heard of, for most frames come in bursts of one; NULL after each change */

bool peers_setup(void)
{
    map_init(&peers, sizeof(struct peer), 8, cluster.sequences.seed);
    next_ms = 0;
    since_ms = UINT64_MAX;
    last = NULL;
    return true;
}

void peers_teardown(void)
{
    map_fini(&peers);
}

uint32_t peers_count(void)
{
    return peers.used;
}

static struct peer *find(uint64_t epoch)
{
    if (last == NULL || last->epoch != epoch)
        last = map_find(&peers, &epoch);
    return last;
}

void peers_hear(uint64_t epoch)
{
    struct peer *p = find(epoch);
    if (p != NULL)
        p->heard_ms = cluster_ms();
}

static void gone(struct peer *p)
{
    struct peer was = *p;
    last = NULL;
    map_remove(&peers, p);
    event_node(MARIO_CLUSTER_NODE_LEFT, was.node);
}

/* A node that was started again has another epoch; the former one has ended then. */
static void former_gone(const char *node)
{
    for (uint32_t i = 0; i < peers.size; i++) {
        struct peer *p = map_at(&peers, i);
        if (p != NULL && strcmp(p->node, node) == 0) {
            gone(p);
            return;
        }
    }
}

static void say_to(const struct channel *c, enum frame_kind kind)
{
    struct frame f = {.kind = kind};
    out_frame(c, &f, cluster.set.node, strlen(cluster.set.node), COOKIE_NONE);
}

void peers_say(enum frame_kind kind)
{
    say_to(&(struct channel){.kind = CHANNEL_ALL}, kind);
}

/* Who is new is told at once that we are here; that is not answered. */
void peers_heartbeat(const struct frame *f, const struct channel *c)
{
    char node[FRAME_NAME_MAX + 1] = "";
    bool is_new;
    if (find(f->epoch) != NULL || peers.used >= PEERS_MOST)
        return;
    memcpy(node, f->body, f->len);
    former_gone(node);
    struct peer *p = map_put(&peers, &f->epoch, &is_new);
    last = NULL;
    if (p == NULL)
        return;
    memcpy(p->node, node, sizeof p->node);
    p->heard_ms = cluster_ms();
    if (c->kind == CHANNEL_ALL)
        say_to(&(struct channel){.kind = CHANNEL_NODE, .node = node}, FRAME_HEARTBEAT);
    event_node(MARIO_CLUSTER_NODE_JOINED, node);
}

void peers_leave(const struct frame *f)
{
    struct peer *p = find(f->epoch);
    if (p != NULL)
        gone(p);
}

uint64_t peers_pass(void)
{
    uint64_t now_ms = cluster_ms(), ttl_ms = cluster.set.ttl_ms;
    if (cluster.ops == NULL || !cluster.part[0].is_up) {
        since_ms = UINT64_MAX;
        return UINT64_MAX;
    }
    if (since_ms == UINT64_MAX) {
        since_ms = now_ms;
        next_ms = 0;
    }
    if (now_ms < next_ms)
        return next_ms;
    for (uint32_t i = 0; i < peers.size;) {
        struct peer *p = map_at(&peers, i);
        uint64_t from_ms = p == NULL ? now_ms : p->heard_ms > since_ms ? p->heard_ms : since_ms;
        if (now_ms - from_ms > ttl_ms) {
            gone(p);
            i = 0;
        } else {
            i++;
        }
    }
    next_ms = now_ms + ttl_ms / 8 + 1;
    return next_ms;
}
