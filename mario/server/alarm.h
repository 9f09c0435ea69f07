/*
 * alarm.h: saying that a function blocks, a thread died: to the log, in the counters, and to the application. For the
 * master.
 */
#ifndef MARIO_SERVER_ALARM_H
#define MARIO_SERVER_ALARM_H

#include <stddef.h>
#include <stdint.h>

#include "mario/base/stats.h"
#include "mario/exec/activity.h"
#include "mario/log/log.h"
#include "mario/mario_watch.h"

/* Where alarms go, beside the application. */
struct alarm_target {
    LOG_QUEUE *qlog;
    struct stats *stats;  /* the master's */
    uint32_t replace_max; /* what a limit is said to be */
};

/* Who runs what, from its activity, of which `what` was read: worker `worker`, for ms. */
struct mario_alarm alarm_of(const struct activity *b, uint64_t what, uint32_t worker, uint32_t ms);

/* "function 0x6105 of connection 0.17.3 from 10.1.2.3:4567", or the hook's name. Returns text. */
const char *alarm_describe(const struct mario_alarm *a, char *text, size_t size);

/* Log it, count it, call the application's function. */
void alarm_tell(const struct alarm_target *to, struct mario_alarm *a, enum mario_alarm_kind kind);

#endif
