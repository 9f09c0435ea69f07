/*
 * hall.h: the state of the chat and what becomes of each command. The clerk's, but for hall_report().
 */
#ifndef HALL_H
#define HALL_H

#include "clerk.h"

/* Do what cmd says and free it; with COMMAND_GONE its guest too. */
void hall_serve(struct command *cmd, LOG_QUEUE *qlog);

/* Main, before the clerk starts: what lines' numbers count from, when there are no other servers. */
void hall_setup(uint64 since);

/* Forget all rooms, when the last guest has gone. */
void hall_clear(void);

/* Log how many users, rooms and lines there are. A timer function, runs on the master. */
void hall_report(LOG_QUEUE *qlog, void *unused);

#endif
