/*
 * id.h: a connection's id: worker << 56 | slot << 32 | generation. It names this connection and none before or after
 * it, so queues, timers and applications carry ids, never pointers.
 */
#ifndef MARIO_BASE_ID_H
#define MARIO_BASE_ID_H

#include <stdint.h>

static inline uint64_t id_of(uint32_t worker, uint32_t slot, uint32_t generation)
{
    return (uint64_t) worker << 56 | (uint64_t) slot << 32 | generation;
}

static inline uint32_t id_worker(uint64_t id)
{
    return (uint32_t) (id >> 56);
}

static inline uint32_t id_slot(uint64_t id)
{
    return (uint32_t) (id >> 32) & 0xffffff;
}

static inline uint32_t id_generation(uint64_t id)
{
    return (uint32_t) id;
}

#endif
