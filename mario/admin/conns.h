/*
 * conns.h: the commands about connections, workers and functions.
 */
#ifndef MARIO_ADMIN_CONNS_H
#define MARIO_ADMIN_CONNS_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_admin.h"

/* Register all of them. Before start; false after a line on standard error. */
__attribute__((warn_unused_result)) bool conns_regist(void);

/* A number for a table: without digits that say nothing. Not negative. */
static inline double conns_thousandths(double v)
{
    return (double) (uint64_t) (v * 1000 + 0.5) / 1000;
}

/* ---- The commands: the admin thread ---- */

enum mario_answer_when conns_list(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg);
enum mario_answer_when conns_show(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg);
enum mario_answer_when conns_kick(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg);
enum mario_answer_when conns_top(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg);
enum mario_answer_when conns_workers(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                     void *arg);
/* The same of functions: functions.c. */
enum mario_answer_when conns_functions(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                       void *arg);

#endif
