/*
 * echo.c: ECHO, the packet itself is the answer. Runs on the connection's worker.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

sint32 echo_answer(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}
