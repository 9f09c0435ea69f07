/*
 * meter.c: how much each connection sends. Runs on the worker that owns the shard; nothing here may be called from
 * elsewhere.
 */
#include "mario/conn/meter.h"

#include "mario/base/clock.h"

#define SECOND_NS UINT64_C(1000000000)
#define TICK_NS   (TICK_MS * UINT64_C(1000000))

void meter_begin(const struct conn *c)
{
    struct meter *m = meter_of(c);
    if (m != NULL)
        *m = (struct meter){.since = conn_shard(c)->tick, .waits = c->pub.cport != 0};
}

bool meter_due(const struct conn *c, uint32_t *tick)
{
    const struct meter *m = meter_of(c);
    uint32_t ticks = conn_shard(c)->set->first_packet;
    if (m == NULL || !m->waits || ticks == 0)
        return false;
    *tick = m->since + ticks + 1;
    return true;
}

bool meter_is_late(const struct conn *c)
{
    uint32_t tick;
    return meter_due(c, &tick) && (int32_t) (conn_shard(c)->tick - tick) >= 0;
}

uint32_t meter_room(uint64_t full_ns, uint32_t rate, uint64_t now_ns)
{
    uint64_t missing = full_ns > now_ns ? full_ns - now_ns : 0;
    return missing >= SECOND_NS ? 0 : (uint32_t) ((SECOND_NS - missing) * rate / SECOND_NS);
}

void meter_take(uint64_t *full_ns, uint32_t rate, uint32_t n, uint64_t now_ns)
{
    *full_ns = (*full_ns > now_ns ? *full_ns : now_ns) + n * SECOND_NS / rate;
}

/* ns until there is one in the bucket. */
static uint64_t until_one(uint64_t full_ns, uint32_t rate, uint64_t now_ns)
{
    uint64_t at = full_ns + SECOND_NS / rate + 1;
    return rate == 0 || at <= now_ns + SECOND_NS ? 0 : at - now_ns - SECOND_NS;
}

uint32_t meter_wait(const struct conn *c)
{
    const struct meter *m = meter_limits(c);
    const struct settings *set = conn_shard(c)->set;
    uint64_t now = clock_ns(), wait = 0;
    if (m == NULL)
        return 0;
    if (set->limit_packets != 0)
        wait = until_one(m->packets_ns, set->limit_packets, now);
    if (set->limit_bytes != 0) {
        uint64_t bytes = until_one(m->bytes_ns, set->limit_bytes, now);
        wait = bytes > wait ? bytes : wait;
    }
    return (uint32_t) ((wait + TICK_NS - 1) / TICK_NS);
}
