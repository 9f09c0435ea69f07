/*
 * outgoing.c: messages to the other nodes. What the bus has no room for waits, in order, one line a part; all lines
 * together take cluster.queue bytes at most, and what comes then is dropped and counted. The cluster's thread.
 */
#include "mario/cluster/inside.h"

#include <stdlib.h>

enum { LINE_LEAST = 64, EACH = 64 /* bytes that one counts besides its own: what it and its place take */ };

struct waiting {
    struct mario_msg *m; /* a reference; NULL: a kick without a last message */
    uint64_t key;
    uint32_t cost;
    uint16_t reason;
    uint8_t kind; /* enum frame_kind */
};

struct line {
    struct waiting *at; /* [size], a ring */
    uint32_t first, count, size;
};

/* A user's message with a receipt, where nobody is here: its cookie. */
struct awaited {
    uint64_t uid, tag;
    bool self; /* we hear it as well */
    struct awaited *prev, *next;
};

static struct line lines[BUS_PARTS_MAX];
static uint64_t bytes; /* in all of them */
static struct awaited open_ones;

bool out_setup(void)
{
    for (uint32_t i = 0; i < BUS_PARTS_MAX; i++)
        lines[i] = (struct line){.at = NULL};
    bytes = 0;
    open_ones.prev = open_ones.next = &open_ones;
    return true;
}

static void drop(struct waiting *w)
{
    cluster.tally.dropped++;
    mario_msg_free(&w->m);
}

static struct awaited *await(uint64_t uid, uint64_t tag, bool self)
{
    struct awaited *a = malloc(sizeof *a);
    if (a == NULL)
        return NULL;
    *a = (struct awaited){.uid = uid, .tag = tag, .self = self, .prev = open_ones.prev, .next = &open_ones};
    open_ones.prev->next = a;
    open_ones.prev = a;
    return a;
}

static void forget(struct awaited *a)
{
    a->prev->next = a->next;
    a->next->prev = a->prev;
    free(a);
}

void out_teardown(void)
{
    for (uint32_t i = 0; i < BUS_PARTS_MAX; i++) {
        struct line *l = &lines[i];
        for (; l->count > 0; l->count--, l->first++)
            drop(&l->at[l->first & (l->size - 1)]);
        free(l->at);
        *l = (struct line){.at = NULL};
    }
    bytes = 0;
    while (open_ones.next != NULL && open_ones.next != &open_ones) /* a bus that did not answer */
        forget(open_ones.next);
}

/* ---- One message to the bus ---- */

static enum channel_kind channel_kind_of(enum frame_kind kind)
{
    return kind == FRAME_GROUP ? CHANNEL_GROUP : kind == FRAME_ALL ? CHANNEL_ALL : CHANNEL_USER;
}

size_t out_head(struct frame *f, const struct mario_msg_info *info, unsigned char head[FRAME_HEAD_MAX])
{
    f->epoch = cluster.set.epoch;
    if (info->keep)
        f->flags |= FRAME_KEEP;
    f->packets = info->packets != 0;
    f->msg_key = info->key;
    f->stamp = info->stamp;
    return frame_head(f, head);
}

/* What is to be known of it. An engine that answers each publish anyhow is asked of each. */
static uint64_t cookie_of(const struct waiting *w, const struct mario_msg_info *info)
{
    if (w->kind != FRAME_USER || cluster.house->user_count(w->key) > 0)
        return cluster.ops->counts_self ? COOKIE_PLAIN : COOKIE_NONE;
    const struct interest *i = interest_find(&cluster.interests, CHANNEL_USER, w->key);
    /* As long as it is not confirmed the engine may not have counted us: then one who is nobody's is not noticed,
     * rather than one who is somebody's taken for nobody's. */
    bool self = cluster.ops->counts_self && i != NULL && interest_is_confirmed(&cluster.interests, i);
    struct awaited *a = info->receipt ? await(w->key, info->tag, self) : NULL;
    return a != NULL ? (uintptr_t) a : self ? COOKIE_NOBODY_SELF : COOKIE_NOBODY;
}

/* False: there is no room, nothing of it is done. */
static bool publish(const struct waiting *w)
{
    struct channel c = {.kind = channel_kind_of((enum frame_kind) w->kind), .key = w->key};
    struct mario_msg_info info = {.bytes = NULL};
    struct frame f = {.kind = (enum frame_kind) w->kind, .reason = w->reason, .key = w->key};
    unsigned char head[FRAME_HEAD_MAX];
    bool first;
    if (w->m != NULL)
        mario_msg_info(w->m, &info);
    f.seq = sequence_next(&cluster.sequences, c.kind, c.key, &first);
    f.flags = first ? FRAME_FIRST : 0;
    size_t n = out_head(&f, &info, head);
    uint64_t cookie = cookie_of(w, &info);
    if (!cluster.ops->publish(cluster.bus, &c, head, n, info.bytes, info.len, cookie)) {
        if (cookie > COOKIE_ENDS)
            forget((struct awaited *) (uintptr_t) cookie);
        return false;
    }
    sequence_use(&cluster.sequences, c.kind, c.key, f.seq);
    cluster.tally.published += cookie == COOKIE_NONE;
    return true;
}

bool out_frame(const struct channel *c, struct frame *f, const void *body, size_t len, uint64_t cookie)
{
    unsigned char head[FRAME_HEAD_MAX];
    if (!cluster.part[channel_part(c, cluster.parts)].is_up)
        return false;
    f->epoch = cluster.set.epoch;
    size_t n = frame_head(f, head);
    return cluster.ops->publish(cluster.bus, c, head, n, body, len, cookie);
}

/* ---- Waiting ---- */

static bool grow(struct line *l)
{
    if (l->count < l->size)
        return true;
    uint32_t size = l->size == 0 ? LINE_LEAST : 2 * l->size;
    struct waiting *bigger = malloc((size_t) size * sizeof *bigger);
    if (bigger == NULL)
        return false;
    for (uint32_t i = 0; i < l->count; i++)
        bigger[i] = l->at[(l->first + i) & (l->size - 1)];
    free(l->at);
    *l = (struct line){.at = bigger, .count = l->count, .size = size};
    return true;
}

void out_send(enum frame_kind kind, uint64_t key, struct mario_msg *m, uint16_t reason)
{
    struct waiting w = {.m = m, .key = key, .reason = reason, .kind = (uint8_t) kind};
    uint32_t part = cluster_part(channel_kind_of(kind), key);
    struct line *l = &lines[part];
    if (l->count == 0 && parts_takes(part) && publish(&w)) {
        mario_msg_free(&w.m);
        return;
    }
    struct mario_msg_info info = {.len = 0};
    if (m != NULL)
        mario_msg_info(m, &info);
    w.cost = EACH + info.len;
    if (bytes + w.cost > cluster.set.queue || !grow(l)) {
        drop(&w);
        return;
    }
    bytes += w.cost;
    l->at[(l->first + l->count++) & (l->size - 1)] = w;
}

/* A line that has become empty gives its memory back. */
void out_room(uint32_t part)
{
    struct line *l = &lines[part];
    while (l->count > 0 && parts_takes(part)) {
        struct waiting *w = &l->at[l->first];
        if (!publish(w))
            return;
        bytes -= w->cost;
        mario_msg_free(&w->m);
        l->first = (l->first + 1) & (l->size - 1);
        if (--l->count > 0)
            continue;
        free(l->at);
        *l = (struct line){.at = NULL};
    }
}

bool out_is_done(void)
{
    for (uint32_t i = 0; i < cluster.parts; i++) {
        if (cluster.part[i].is_up && lines[i].count > 0)
            return false;
    }
    return true;
}

/* ---- What became of it ---- */

static void heard_by(int64_t others, uint64_t uid, uint64_t tag)
{
    if (others > 0)
        return;
    cluster.tally.nobody++;
    if (uid != 0)
        event_nobody(uid, tag);
}

static void awaited_published(struct awaited *a, int64_t receivers)
{
    if (receivers >= 0)
        heard_by(receivers - a->self, a->uid, a->tag);
    forget(a);
}

void out_published(uint64_t cookie, int64_t receivers)
{
    if (cookie > COOKIE_ENDS && cookie % 2 == 1) { /* see COOKIE_ENDS */
        ask_published((cookie - COOKIE_ENDS) >> 1, receivers);
        return;
    }
    cluster.tally.dropped += receivers < 0;
    cluster.tally.published += receivers >= 0;
    if (cookie > COOKIE_ENDS)
        awaited_published((struct awaited *) (uintptr_t) cookie, receivers);
    else if (cookie != COOKIE_PLAIN && receivers >= 0)
        heard_by(receivers - (cookie == COOKIE_NOBODY_SELF), 0, 0);
}
