/*
 * sequence.c: numbers of what is sent and has come. The cluster's thread.
 */
#include "mario/cluster/sequence.h"

#include <stddef.h>
#include <sys/mman.h>

/* Touched where used, so a node with few channels has few pages of it. */
static void *map_places(size_t size)
{
    void *p = mmap(NULL, size * SEQUENCE_PLACES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool sequences_init(struct sequences *s, uint64_t seed)
{
    *s = (struct sequences){.seed = seed};
    s->sent = map_places(sizeof *s->sent);
    s->got = map_places(sizeof *s->got);
    if (s->sent != NULL && s->got != NULL)
        return true;
    sequences_fini(s);
    return false;
}

void sequences_fini(struct sequences *s)
{
    if (s->sent != NULL)
        munmap(s->sent, sizeof *s->sent * SEQUENCE_PLACES);
    if (s->got != NULL)
        munmap(s->got, sizeof *s->got * SEQUENCE_PLACES);
    s->sent = NULL;
    s->got = NULL;
}

static uint32_t place(uint64_t a, uint64_t b)
{
    uint64_t v = (a ^ b * UINT64_C(0x9e3779b97f4a7c15)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (uint32_t) (v >> 40) % SEQUENCE_PLACES;
}

static struct sequence_sent *sent_of(const struct sequences *s, unsigned kind, uint64_t key)
{
    return &s->sent[place(s->seed + kind, key)];
}

/* A channel that gets a place anew goes on above all numbers there are, so above its own. */
uint64_t sequence_next(const struct sequences *s, unsigned kind, uint64_t key, bool *first)
{
    const struct sequence_sent *at = sent_of(s, kind, key);
    *first = at->kind != kind || at->key != key;
    return (*first ? s->highest : at->last) + 1;
}

void sequence_use(struct sequences *s, unsigned kind, uint64_t key, uint64_t seq)
{
    *sent_of(s, kind, key) = (struct sequence_sent){.key = key, .last = seq, .kind = (uint8_t) kind};
    if (seq > s->highest)
        s->highest = seq;
}

bool sequence_check(struct sequences *s, uint64_t epoch, unsigned kind, uint64_t key, uint16_t subscription,
                    uint64_t seq, bool first, uint64_t *lost)
{
    struct sequence_got *at = &s->got[place(s->seed + kind + epoch, key)];
    bool is_known =
        at->kind == kind && at->key == key && at->epoch == epoch && at->subscription == subscription;
    *lost = 0;
    if (is_known && seq <= at->last)
        return false;
    if (is_known && !first)
        *lost = seq - at->last - 1;
    *at = (struct sequence_got){
        .epoch = epoch, .key = key, .last = seq, .subscription = subscription, .kind = (uint8_t) kind};
    return true;
}
