/*
 * doors.h: the addresses of admin.listen, and who comes in by them. For the admin thread; opening and closing for the
 * thread that makes the server.
 */
#ifndef MARIO_ADMIN_DOORS_H
#define MARIO_ADMIN_DOORS_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_log.h"
#include "mario/mario_server.h"

struct event_base;

enum { DOORS_CLIENTS = 32 }; /* at once; then the oldest goes */

/* Addresses that the options name; 0 if none. */
uint32_t doors_wanted(const struct mario_options *o);
/* Open them; a unix socket's file is for its owner alone. False after a line on standard error. */
__attribute__((warn_unused_result)) bool doors_open(const struct mario_options *o);
uint32_t doors_count(void);
/* An address that others can reach needs a token: false, after a line on standard error, if there is none. */
__attribute__((warn_unused_result)) bool doors_check_token(void);
__attribute__((warn_unused_result)) bool doors_setup(struct event_base *base);
/* A line for each. */
void doors_say(LOG_QUEUE *q);
void doors_end_clients(void);
void doors_close(void);

#endif
