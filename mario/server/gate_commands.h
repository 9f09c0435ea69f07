/*
 * gate_commands.h: what operators ask of admission: gate show, gate list, gate ban, gate unban. For the thread that
 * makes the server; the commands run on the admin thread, their steps on the master.
 */
#ifndef MARIO_SERVER_GATE_COMMANDS_H
#define MARIO_SERVER_GATE_COMMANDS_H

#include <stdbool.h>

/* False after a line on standard error. */
__attribute__((warn_unused_result)) bool gate_commands_regist(void);

#endif
