/*
 * drain_commands.h: the commands `drain ...`. For the thread that makes the server.
 */
#ifndef MARIO_SERVER_DRAIN_COMMANDS_H
#define MARIO_SERVER_DRAIN_COMMANDS_H

#include <stdbool.h>

#include "mario/mario_server.h"

/* They are about server s. False after a line on standard error. */
__attribute__((warn_unused_result)) bool drain_commands_regist(SERVER *s);

#endif
