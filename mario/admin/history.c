/*
 * history.c: a ring of rows, one a second. The admin thread's alone.
 */
#include "mario/admin/history.h"

void history_add(struct history *h, const struct history_row *row)
{
    h->row[h->last++ % HISTORY_SECONDS] = *row;
}

void history_skip(struct history *h, uint64_t seconds)
{
    const struct history_row unknown = {.known = false};
    if (seconds > HISTORY_SECONDS) {
        h->last += seconds - HISTORY_SECONDS;
        seconds = HISTORY_SECONDS;
    }
    for (; seconds > 0; seconds--)
        history_add(h, &unknown);
}

uint64_t history_from(const struct history *h, uint64_t since)
{
    uint64_t first = h->last > HISTORY_SECONDS ? h->last - HISTORY_SECONDS + 1 : 1;
    return since > h->last || since < first ? first : since + 1;
}

const struct history_row *history_at(const struct history *h, uint64_t number)
{
    return &h->row[(number - 1) % HISTORY_SECONDS];
}
