/*
 * variants.c: shared messages in other framings. Runs on the worker that owns the shard, as variants.h says.
 *
 * They are found by message and listener: in a round there are few, and one at a time is asked for by very many
 * receivers. A set that is full gives one up, which is made again if it is needed again; who has it in his queue keeps
 * it.
 */
#include "mario/conn/variants.h"

#include <stdlib.h>
#include <string.h>

#include "mario/exec/registry.h"
#include "mario/frame/ends.h"
#include "mario/frame/head.h"

/* ---- Setup ---- */

static bool is_head(const struct service *service, uint8_t listener)
{
    const struct mario_framing *f = service->framing[listener];
    return f == NULL || f->next == head_next; /* nobody comes in by one that is not there */
}

struct variants *variants_create(const struct service *service, bool *failed)
{
    bool any = false, by_user = false;
    for (uint8_t i = 0; i < LISTEN_MAX; i++) {
        if (is_head(service, i))
            continue;
        any = true;
        by_user = by_user || (service->ends[i] == NULL && service->framing[i]->wrap != NULL);
    }
    struct variants *v = any ? calloc(1, sizeof *v) : NULL;
    *failed = any && v == NULL;
    if (v != NULL)
        v->by_user = by_user;
    return v;
}

void variants_destroy(struct variants **v)
{
    if (*v != NULL)
        variants_empty(*v);
    free(*v);
    *v = NULL;
}

/* ---- The table ---- */

static void forget(struct variant *way)
{
    if (way->framed != NULL)
        message_unref(way->framed);
    if (way->m != NULL)
        message_unref_many(way->m, way->refs);
    *way = (struct variant){.state = VARIANT_NONE};
}

void variants_empty(struct variants *v)
{
    for (; v->used != 0; v->used &= v->used - 1) {
        struct variant *set = v->way[__builtin_ctzll(v->used)];
        for (uint32_t i = 0; i < VARIANT_WAYS && set[i].m != NULL; i++)
            forget(&set[i]);
    }
}

/* Messages that were made in turn lie in a row: mixed well, so that they do not meet in few sets. */
static uint32_t set_of(uint8_t listener, const struct mario_msg *m)
{
    uint64_t key = ((uint64_t) (uintptr_t) m + listener) * UINT64_C(0x9e3779b97f4a7c15);
    key = (key ^ key >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return (uint32_t) (key >> 58);
}
_Static_assert(VARIANT_SETS == 64, "set_of() gives six bits, and `used` has one for each");

/* NULL: it is not at hand. */
static struct variant *find(struct variants *v, uint8_t listener, const struct mario_msg *m)
{
    struct variant *set = v->way[set_of(listener, m)];
    for (uint32_t i = 0; i < VARIANT_WAYS && set[i].m != NULL; i++) {
        if (set[i].m == m && set[i].listener == listener)
            return &set[i];
    }
    return NULL;
}

/* A place for it, that is filled from the first one of a set on; it takes n references of the caller's. */
static struct variant *place(struct variants *v, uint8_t listener, struct mario_msg *m, uint32_t n)
{
    uint32_t where = set_of(listener, m);
    struct variant *set = v->way[where], *way = NULL;
    for (uint32_t i = 0; i < VARIANT_WAYS && way == NULL; i++) {
        if (set[i].m == NULL)
            way = &set[i];
    }
    if (way == NULL) {
        way = &set[v->turn++ % VARIANT_WAYS];
        forget(way);
    }
    *way = (struct variant){.m = m, .refs = n, .listener = listener, .state = VARIANT_ASKED};
    v->used |= UINT64_C(1) << where;
    return way;
}

/* ---- Built-in framings ---- */

/* Bytes of what goes out as one packet, which are written to `at` unless that is NULL. 0: it cannot. */
static size_t write_one(const struct service *service, uint8_t listener, const struct frame_out *out,
                        unsigned char *at)
{
    struct frame_ends ends;
    if (!service->ends[listener](service->framing[listener], out, &ends))
        return 0;
    size_t n = (size_t) ends.front_len + out->len + ends.back_len;
    if (at == NULL || n == 0)
        return n;
    memcpy(at, ends.front, ends.front_len);
    if (out->len > 0)
        memcpy(at + ends.front_len, out->data, out->len);
    memcpy(at + ends.front_len + out->len, ends.back, ends.back_len);
    return n;
}

/* The same for all packets of m. */
static size_t write_packets(const struct service *service, uint8_t listener, const struct mario_msg *m,
                            unsigned char *to)
{
    struct message_packet p;
    uint32_t at = 0;
    size_t sum = 0;
    while (message_next(m->data, m->len, &at, &p)) {
        struct frame_out out = {.data = p.data, .len = p.len, .stx = registry_stx(), .id = p.id};
        size_t n = write_one(service, listener, &out, to == NULL ? NULL : to + sum);
        if (n == 0)
            return 0;
        sum += n;
    }
    return sum;
}

static size_t write_all(const struct service *service, uint8_t listener, const struct mario_msg *m,
                        unsigned char *to)
{
    struct frame_out out = {.data = m->data, .len = m->len, .raw = true};
    return m->packets ? write_packets(service, listener, m, to) : write_one(service, listener, &out, to);
}

/* The caller has a reference to it. NULL: it cannot be; or *no_memory. */
static struct mario_msg *frame(const struct service *service, uint8_t listener, struct mario_msg *m,
                               bool *no_memory)
{
    size_t n = write_all(service, listener, m, NULL);
    if (n == 0)
        return NULL;
    if (!m->packets && n == m->len) { /* nothing is to go around them */
        message_ref(m, 1);
        return m;
    }
    struct mario_msg *framed = message_frame(m, (uint32_t) n);
    *no_memory = framed == NULL;
    if (framed != NULL)
        write_all(service, listener, m, framed->data);
    return framed;
}

/* ---- What receivers get ---- */

struct mario_msg *variants_find(struct shard *s, uint8_t listener, struct mario_msg *m, bool *no_memory)
{
    const struct service *service = s->service;
    struct variants *v = s->delivery.variants;
    if (is_head(service, listener))
        return m;
    struct variant *way = find(v, listener, m);
    if (way != NULL)
        return way->framed;
    if (service->ends[listener] == NULL)
        return m->packets ? NULL : m;
    struct mario_msg *framed = frame(service, listener, m, no_memory);
    if (*no_memory)
        return NULL;
    message_ref(m, 1);
    way = place(v, listener, m, 1);
    way->framed = framed;
    way->state = VARIANT_KNOWN;
    return framed;
}

/* ---- An application's framings ---- */

bool variants_ask(const struct shard *s, uint8_t listener, const struct mario_msg *m)
{
    const struct service *service = s->service;
    if (!m->packets || is_head(service, listener) || service->ends[listener] != NULL ||
        service->framing[listener]->wrap == NULL)
        return false;
    const struct variant *way = find(s->delivery.variants, listener, m);
    return way == NULL || way->state == VARIANT_ASKED;
}

void variants_asked(struct shard *s, uint8_t listener, struct mario_msg *m)
{
    struct variant *way = find(s->delivery.variants, listener, m);
    if (way != NULL)
        way->refs++;
    else
        place(s->delivery.variants, listener, m, 1);
}

void variants_answered(struct shard *s, uint8_t listener, struct mario_msg *m, struct mario_msg *framed)
{
    struct variant *way = find(s->delivery.variants, listener, m);
    CHECK(way != NULL && way->state == VARIANT_ASKED);
    way->framed = framed;
    way->state = VARIANT_KNOWN;
}
