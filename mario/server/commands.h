/*
 * commands.h: the server as operators see it: what the admin thread is told of it, and the commands that need the
 * master. For the thread that makes the server.
 */
#ifndef MARIO_SERVER_COMMANDS_H
#define MARIO_SERVER_COMMANDS_H

#include <stdbool.h>

#include "mario/mario_server.h"
#include "mario/server/master.h"

/* Make the admin thread of server s, whose master is m; everything else is made. False after a line on standard
 * error. */
__attribute__((warn_unused_result)) bool commands_setup(SERVER *s, struct master *m,
                                                        const struct mario_options *o);

#endif
