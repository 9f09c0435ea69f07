/*
 * leave.c: GO_AWAY, for who is told to leave since the server drains. Runs on the connection's worker.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

sint32 leave_tell(CONN *c)
{
    GO_AWAY_MSG msg = {.seconds = (uint16) mario_leave_seconds(c)};
    return mario_reply_id(c, CMD_FUNCTION_GO_AWAY, &msg, sizeof msg);
}
