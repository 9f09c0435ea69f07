/*
 * history.h: what the server keeps of itself: a few numbers a second, for a quarter of an hour. The admin thread's.
 */
#ifndef MARIO_ADMIN_HISTORY_H
#define MARIO_ADMIN_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#define HISTORY_SECONDS 900u

/* name: what it is. All but connections, busy and lag are a second's. */
#define HISTORY_SERIES(ROW)                                   \
    ROW(connections)                                          \
    ROW(accepts)                                              \
    ROW(closes)                                               \
    ROW(refused)                                              \
    ROW(packets)                                              \
    ROW(received) /* bytes */                                 \
    ROW(sent)     /* bytes */                                 \
    ROW(busy)     /* of the busiest worker, in thousandths */ \
    ROW(lag)      /* the longest one of a worker, us */

enum history_series {
#define ROW(name) HISTORY_##name,
    HISTORY_SERIES(ROW)
#undef ROW
        HISTORY_COUNT
};

struct history_row {
    bool known; /* false: nobody looked in that second */
    uint64_t value[HISTORY_COUNT];
};

struct history {
    uint64_t last; /* rows so far: the number of the last one, counted from 1 */
    struct history_row row[HISTORY_SECONDS];
};

/* The next second. */
void history_add(struct history *h, const struct history_row *row);
/* Seconds that nobody looked at. */
void history_skip(struct history *h, uint64_t seconds);

/* The number of the first row that is kept and was not seen by who knows those up to `since`; last + 1 if there is
 * none. Whoever knows more than there is knows another history, and gets all. */
uint64_t history_from(const struct history *h, uint64_t since);
/* first kept <= number <= last. */
const struct history_row *history_at(const struct history *h, uint64_t number);

#endif
