/*
 * slow.c: a thread's list of slow calls. slow_put() is for that thread, slow_read() for any.
 *
 * Each word is stored with release behind number = 0, so whoever reads a new word also reads that 0, or what came
 * behind it, when it looks at the number again.
 */
#include "mario/exec/slow.h"

#include <string.h>

_Static_assert(5 * sizeof(uint64_t) + PEER_ADDRESS == SLOW_WORDS * sizeof(uint64_t), "an address fits");
_Static_assert((MARIO_SLOW_KEEP_MAX & (MARIO_SLOW_KEEP_MAX - 1)) == 0, "places are found by a mask");

#define NEVER (UINT64_C(1) << 63)

void slow_put(struct slow_ring *r, const struct slow_entry *e)
{
    struct slow_place *p = &r->place[r->written++ & (MARIO_SLOW_KEEP_MAX - 1)];
    uint64_t words[SLOW_WORDS] = {e->when, e->took | (e->never ? NEVER : 0), e->conn,
                                  (uint64_t) e->index << 32 | e->packets, e->peer.port};
    memcpy(&words[5], e->peer.address, sizeof e->peer.address);
    atomic_store_explicit(&p->number, 0, memory_order_relaxed);
    for (int i = 0; i < SLOW_WORDS; i++)
        atomic_store_explicit(&p->word[i], words[i], memory_order_release);
    atomic_store_explicit(&p->number, r->written, memory_order_release);
}

static bool read_place(const struct slow_place *p, struct slow_entry *e)
{
    uint64_t words[SLOW_WORDS], number = atomic_load_explicit(&p->number, memory_order_acquire);
    if (number == 0)
        return false;
    for (int i = 0; i < SLOW_WORDS; i++)
        words[i] = atomic_load_explicit(&p->word[i], memory_order_acquire);
    *e = (struct slow_entry){.when = words[0],
                             .took = words[1] & ~NEVER,
                             .never = (words[1] & NEVER) != 0,
                             .conn = words[2],
                             .index = (uint32_t) (words[3] >> 32),
                             .packets = (uint32_t) words[3],
                             .peer.port = (uint16_t) words[4]};
    memcpy(e->peer.address, &words[5], sizeof e->peer.address);
    return atomic_load_explicit(&p->number, memory_order_relaxed) == number;
}

uint32_t slow_read(const struct slow_ring *r, uint64_t since, struct slow_entry *out, uint32_t most)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < MARIO_SLOW_KEEP_MAX && n < most; i++) {
        if (read_place(&r->place[i], &out[n]) && out[n].when > since)
            n++;
    }
    return n;
}
