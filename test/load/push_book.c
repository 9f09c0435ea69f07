/*
 * push_book.c: the messages of mode push and what must be heard of them. Pure functions, any thread.
 */
#include "push_book.h"

#include <string.h>

#include "protocol/mario_protocol.h"
#include "test/lib/wire.h"

enum push_news push_hear(struct push_heard *h, uint32_t number)
{
    if (number >= h->next) {
        uint32_t step = number - h->next + 1;
        h->window = (step < 64 ? h->window << step : 0) | 1;
        h->next = number + 1;
        h->count++;
        return step == 1 ? PUSH_NEXT : PUSH_AHEAD;
    }
    uint32_t back = h->next - 1 - number;
    if (back >= 64 || (h->window >> back & 1) != 0)
        return PUSH_AGAIN;
    h->window |= 1ull << back;
    h->count++;
    return PUSH_LATE;
}

uint64_t push_due(const struct load_options *o, const struct pace *pace, uint32_t p, uint64_t s)
{
    struct pace at = *pace;
    at.done = s * o->publishers + p;
    return pace_due(&at);
}

static uint16_t uid_of(const struct load_options *o, uint32_t p)
{
    return (uint16_t) (o->login.uid + o->connections + p);
}

void push_build(const struct load_options *o, const struct pace *pace, uint32_t p, uint64_t s,
                unsigned char *out)
{
    uint32_t group = (uint32_t) ((p + s) % o->groups);
    wire_put_head(out, (struct wire_head){.stx = o->login.stx,
                                          .pkglen = (uint16_t) (PUSH_SAY_HEAD + o->size),
                                          .akg_id = CMD_FUNCTION_SAY});
    wire_put64(out + WIRE_HEAD_LEN, o->first_group + group);
    wire_put64(out + PUSH_SAY_HEAD, push_due(o, pace, p, s));
    payload_fill(out + PUSH_SAY_HEAD + 8, o->size - 8, p, (uint32_t) (s / o->groups));
}

int push_read(const struct load_options *o, const struct pace *pace, const unsigned char *in,
              struct push_found *found)
{
    const unsigned char *text = in + PUSH_SAID_HEAD;
    uint64_t group = wire_get64(in + WIRE_HEAD_LEN) - o->first_group;
    uint32_t number = wire_get32(text + 8), p = wire_get32(text + 12);
    if (group >= o->groups || p >= o->publishers || wire_get16(in + 16) != uid_of(o, p) ||
        !payload_check(text + 8, o->size - 8, p, number))
        return -1;
    uint64_t s = (uint64_t) number * o->groups + (group + o->groups - p % o->groups) % o->groups;
    *found = (struct push_found){
        .publisher = p, .group = (uint32_t) group, .number = number, .due = wire_get64(text)};
    return found->due == push_due(o, pace, p, s) ? 0 : -1;
}

uint64_t push_share(const struct load_options *o, uint32_t p, uint64_t published, uint32_t group)
{
    uint64_t first = (group + o->groups - p % o->groups) % o->groups;
    return published > first ? (published - first - 1) / o->groups + 1 : 0;
}

void push_totals(const struct load_options *o, const uint64_t *published, uint64_t *totals)
{
    memset(totals, 0, o->groups * sizeof totals[0]);
    uint64_t rounds = 0;
    for (uint32_t p = 0; p < o->publishers; p++) {
        rounds += published[p] / o->groups;
        for (uint64_t rest = 0; rest < published[p] % o->groups; rest++)
            totals[(p + rest) % o->groups]++;
    }
    for (uint32_t g = 0; g < o->groups; g++)
        totals[g] += rounds;
}
