/*
 * certificate_commands.h: the command `tls`. For the thread that makes the server.
 */
#ifndef MARIO_SERVER_CERTIFICATE_COMMANDS_H
#define MARIO_SERVER_CERTIFICATE_COMMANDS_H

#include <stdbool.h>

/* False after a line on standard error. */
__attribute__((warn_unused_result)) bool certificate_commands_regist(void);

#endif
