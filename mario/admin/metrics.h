/*
 * metrics.h: /metrics: all numbers in Prometheus' text format. The admin thread: counters are read without a lock,
 * nobody is asked.
 */
#ifndef MARIO_ADMIN_METRICS_H
#define MARIO_ADMIN_METRICS_H

#include <event2/buffer.h>
#include <stdbool.h>

/* False without memory: then what stands in `out` is not whole. */
__attribute__((warn_unused_result)) bool metrics_write(struct evbuffer *out);

#endif
