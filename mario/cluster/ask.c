/*
 * ask.c: how many connections a user has, or members a group, on all nodes: a question on its channel, to which each
 * node that hears it answers on ours; done when as many have answered as the engine says have heard it, or after half a
 * second. What was answered last lies in a table that any thread may look into: a record is written under an odd
 * `seal`, and who finds it changed meanwhile has not found it. The rest is the cluster's thread's.
 */
#include "mario/cluster/inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN = 4096, PATIENCE_MS = 500 };

struct question {
    uint64_t number; /* the key */
    uint64_t key, sum, ends_ms;
    int64_t hearers; /* other nodes that answer; -1: not known */
    uint32_t answers;
    uint8_t kind; /* enum channel_kind */
    bool self;    /* we hear it, too */
    struct ask_wish *wishes;
};

struct known {
    _Atomic uint32_t seal;
    _Atomic uint32_t kind;
    _Atomic uint64_t key, others, when_ms;
};

/* Which question is open about a key. */
struct open {
    uint64_t key;
    uint64_t number;
};

static struct known known[KNOWN];
static struct map questions;
static struct map open[2];                 /* about users, about groups */
static uint64_t first_number, last_number; /* the first one that may be open; those behind it end later */

static struct map *open_of(unsigned kind)
{
    return &open[kind == CHANNEL_GROUP];
}

bool ask_setup(void)
{
    map_init(&questions, sizeof(struct question), 8, cluster.sequences.seed);
    for (int i = 0; i < 2; i++)
        map_init(&open[i], sizeof(struct open), 8, cluster.sequences.seed);
    first_number = last_number + 1;
    for (uint32_t i = 0; i < KNOWN; i++)
        atomic_store_explicit(&known[i].kind, 0, memory_order_relaxed);
    return true;
}

/* ---- What is known: any thread ---- */

static struct known *place_of(unsigned kind, uint64_t key)
{
    return &known[(key + kind) * UINT64_C(0x9e3779b97f4a7c15) >> 52];
}
_Static_assert(KNOWN == 1 << (64 - 52), "the upper 12 bits");

static void learn(unsigned kind, uint64_t key, uint64_t others)
{
    struct known *k = place_of(kind, key);
    uint32_t seal = atomic_load_explicit(&k->seal, memory_order_relaxed);
    atomic_store_explicit(&k->seal, seal + 1, memory_order_relaxed);
    atomic_store_explicit(&k->kind, kind, memory_order_release);
    atomic_store_explicit(&k->key, key, memory_order_release);
    atomic_store_explicit(&k->others, others, memory_order_release);
    atomic_store_explicit(&k->when_ms, cluster_ms(), memory_order_release);
    atomic_store_explicit(&k->seal, seal + 2, memory_order_release);
}

/* False if nothing is known. */
static bool recall(unsigned kind, uint64_t key, uint64_t *others, uint64_t *when_ms)
{
    struct known *k = place_of(kind, key);
    uint32_t seal = atomic_load_explicit(&k->seal, memory_order_acquire);
    bool is_it = atomic_load_explicit(&k->kind, memory_order_acquire) == kind &&
                 atomic_load_explicit(&k->key, memory_order_acquire) == key;
    *others = atomic_load_explicit(&k->others, memory_order_acquire);
    *when_ms = atomic_load_explicit(&k->when_ms, memory_order_acquire);
    return is_it && seal % 2 == 0 && atomic_load_explicit(&k->seal, memory_order_relaxed) == seal;
}

/* From half the time that it holds on it is asked again while it is still told. */
static int64_t tell(enum channel_kind kind, uint64_t key, uint64_t here)
{
    uint64_t others, when_ms;
    if (key == 0)
        return 0;
    if (!atomic_load_explicit(&cluster.is_on, memory_order_acquire) || cluster.ops == NULL)
        return (int64_t) here;
    uint64_t holds_ms = cluster.set.heartbeat_ms, age_ms = UINT64_MAX;
    if (recall(kind, key, &others, &when_ms)) {
        uint64_t now_ms = cluster.house->now() / NS_PER_MS;
        age_ms = now_ms > when_ms ? now_ms - when_ms : 0;
    }
    if (age_ms > holds_ms / 2)
        (void) mario_route_post(
            &(struct mario_route_order){.kind = CORE_ASK, .how = (ubyte) kind, .key = key});
    return age_ms <= holds_ms ? (int64_t) (here + others) : -1;
}

sint64 mario_cluster_online(uint64 uid)
{
    return tell(CHANNEL_USER, uid, mario_user_count(uid));
}

sint64 mario_group_count_all(uint64 group)
{
    return tell(CHANNEL_GROUP, group, mario_group_count(group));
}

static int32_t ask(enum channel_kind kind, uint64_t key, void (*f)(void *arg, uint64_t n), void *arg)
{
    if (key == 0 || f == NULL) {
        errno = EINVAL;
        return -1;
    }
    if (!atomic_load_explicit(&cluster.is_on, memory_order_acquire)) {
        errno = ENOTCONN;
        return -1;
    }
    struct ask_wish *w = malloc(sizeof *w);
    if (w == NULL)
        return -1;
    *w = (struct ask_wish){.f = f, .arg = arg};
    int32_t rc = mario_route_post(
        &(struct mario_route_order){.kind = CORE_ASK, .how = (ubyte) kind, .key = key, .id = (uintptr_t) w});
    if (rc != 0) {
        int err = errno;
        free(w);
        errno = err;
    }
    return rc;
}

sint32 mario_cluster_ask_user(uint64 uid, void (*f)(void *arg, uint64 n), void *arg)
{
    return ask(CHANNEL_USER, uid, f, arg);
}

sint32 mario_cluster_ask_group(uint64 group, void (*f)(void *arg, uint64 n), void *arg)
{
    return ask(CHANNEL_GROUP, group, f, arg);
}

/* ---- Questions ---- */

static uint64_t here(unsigned kind, uint64_t key)
{
    return kind == CHANNEL_USER ? cluster.house->user_count(key) : cluster.house->group_count(key);
}

/* A function may ask again, so the question is gone by then. */
static void finish(struct question *at)
{
    struct question q = *at;
    struct open *o = map_find(open_of(q.kind), &q.key);
    map_remove(&questions, at);
    if (o != NULL && o->number == q.number)
        map_remove(open_of(q.kind), o);
    learn(q.kind, q.key, q.sum);
    uint64_t n = q.sum + here(q.kind, q.key);
    while (q.wishes != NULL) {
        struct ask_wish *w = q.wishes;
        q.wishes = w->next;
        w->f(w->arg, n);
        free(w);
    }
}

void ask_teardown(void)
{
    for (uint32_t i = 0; i < questions.size && questions.used > 0;) {
        struct question *q = map_at(&questions, i);
        if (q != NULL) {
            finish(q);
            i = 0; /* the table may be a smaller one */
        } else {
            i++;
        }
    }
    map_fini(&questions);
    for (int i = 0; i < 2; i++)
        map_fini(&open[i]);
}

/* One that was just put and is not answered yet serves all who want the same. */
static struct question *same(unsigned kind, uint64_t key)
{
    const struct open *o = map_find(open_of(kind), &key);
    return o == NULL ? NULL : map_find(&questions, &o->number);
}

/* Without memory nobody else finds it. */
static void open_for_others(const struct question *q)
{
    bool is_new;
    struct open *o = map_put(open_of(q->kind), &q->key, &is_new);
    if (o != NULL)
        o->number = q->number;
}

/* An engine that only knows that somebody heard it: then all nodes may have. */
static bool is_done(const struct question *q)
{
    if (q->hearers >= 0)
        return q->answers >= (uint64_t) q->hearers;
    return !cluster.ops->counts_self && q->answers > 0 && q->answers >= peers_count();
}

/* Nobody can be asked: what is here is all that is known. */
static struct question *put_question(unsigned kind, uint64_t key)
{
    struct channel c = {.kind = (enum channel_kind) kind, .key = key};
    bool is_new;
    uint64_t number = ++last_number;
    struct question *q = map_put(&questions, &number, &is_new);
    if (q == NULL)
        return NULL;
    q->kind = (uint8_t) kind;
    q->key = key;
    q->hearers = -1;
    q->ends_ms = cluster_ms();
    open_for_others(q);
    if (cluster.ops == NULL)
        return q;
    const struct interest *i = interest_find(&cluster.interests, c.kind, key);
    q->self = cluster.ops->counts_self && i != NULL && interest_is_confirmed(&cluster.interests, i);
    struct frame f = {.kind = FRAME_ASK, .seq = number, .key = key};
    if (out_frame(&c, &f, cluster.set.node, strlen(cluster.set.node), COOKIE_ENDS + (number << 1 | 1)))
        q->ends_ms += PATIENCE_MS;
    return q;
}

void ask_order(const struct mario_route_order *o)
{
    struct ask_wish *w = (struct ask_wish *) (uintptr_t) o->id;
    struct question *q = same(o->how, o->key);
    if (q == NULL)
        q = put_question(o->how, o->key);
    if (q == NULL && w != NULL) {
        w->f(w->arg, here(o->how, o->key));
        free(w);
    }
    if (q == NULL)
        return;
    if (w != NULL) {
        w->next = q->wishes;
        q->wishes = w;
    }
    if (q->ends_ms <= cluster_ms()) /* nobody is asked */
        finish(q);
}

void ask_published(uint64_t number, int64_t receivers)
{
    struct question *q = map_find(&questions, &number);
    if (q == NULL)
        return;
    if (receivers <= 0)
        q->hearers = 0;
    else if (cluster.ops->counts_self)
        q->hearers = receivers > q->self ? receivers - q->self : 0;
    if (is_done(q))
        finish(q);
}

void ask_answered(const struct frame *f)
{
    struct question *q = map_find(&questions, &f->seq);
    if (q == NULL || f->key != q->key)
        return;
    q->sum += f->count;
    q->answers++;
    if (is_done(q))
        finish(q);
}

void ask_asked(const struct channel *c, const struct frame *f)
{
    char node[FRAME_NAME_MAX + 1];
    unsigned char count[8];
    memcpy(node, f->body, f->len);
    node[f->len] = '\0';
    frame_put64(count, here(c->kind, c->key));
    struct frame answer = {.kind = FRAME_ANSWER, .seq = f->seq, .key = f->key};
    out_frame(&(struct channel){.kind = CHANNEL_NODE, .node = node}, &answer, count, sizeof count,
              COOKIE_NONE);
}

/* They end in the order in which they were put, but those that are answered. */
uint64_t ask_pass(void)
{
    for (; first_number <= last_number; first_number++) {
        struct question *q = map_find(&questions, &first_number);
        if (q != NULL && q->ends_ms > cluster_ms())
            return q->ends_ms;
        if (q != NULL)
            finish(q);
    }
    return UINT64_MAX;
}
