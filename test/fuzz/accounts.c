/*
 * accounts.c: the counters of the fuzzed worker add up, and its pool is full again, once everybody has gone. The
 * fuzzer's thread.
 */
#include "accounts.h"

#include "business.h"
#include "mario/conn/secure.h"
#include "mario/offload/queue.h"

static uint64_t before[STAT_COUNT]; /* the input was begun */
static uint32_t handed_before;

void accounts_begin(const struct shard *s, uint32_t handed)
{
    for (unsigned i = 0; i < STAT_COUNT; i++)
        before[i] = stats_get(s->stats, (enum counter) i);
    handed_before = handed;
}

static uint64_t since(const struct shard *s, enum counter i)
{
    return stats_get(s->stats, i) - before[i];
}

void accounts_check(const struct shard *s, uint32_t handed)
{
    uint64_t ended = 0;
    for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        uint64_t n = since(s, stats_of_reason((enum reason) r));
        MUST(rules.loose || n == business.ends[r]);
        ended += n;
    }
    MUST(since(s, STAT_opened) == handed - handed_before && since(s, STAT_closed) == ended);
    MUST(since(s, STAT_fd_lost) >= business.lost_fds && since(s, STAT_fd_lost) <= business.closed_fds);
    MUST(since(s, STAT_linger_reset) <= since(s, STAT_lingered));
    MUST(business.references == business.cleanups);
    MUST(ended == handed - handed_before && handed == atomic_load(&s->released));
    uint64_t taken_back = since(s, STAT_offload_cancelled); /* some of them had not been counted as come in */
    MUST(rules.loose || since(s, STAT_packets_in) <= business.calls + taken_back);
    MUST(rules.loose || business.deaths > 0 || since(s, STAT_packets_in) >= business.calls);
    MUST(since(s, STAT_bytes_in) <= business.bytes_sent && since(s, STAT_bytes_out) >= business.bytes_got);
    MUST(rules.loose || business.any_dropped || since(s, STAT_bytes_out) == business.bytes_got);
    MUST(s->in_use == 0 && s->closing.first == 0 && s->line.first == 0 && s->offload->waiting == 0 &&
         s->udp_jobs == 0 && s->secure->places == 0);
    for (uint32_t i = 0; i < s->fresh; i++) {
        const struct conn *c = &s->conns[i];
        MUST(c->state == CONN_FREE && c->carry == NULL && c->outbox == NULL && c->node.next == 0);
    }
}
