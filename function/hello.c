/*
 * hello.c: SAY_HELLO, the smallest function there is. Runs on the connection's worker.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

sint32 hello_answer(CONN *c)
{
    static const char text[] = {'h', 'e', 'l', 'l', 'o'};
    const HEAD *req = (const HEAD *) c->in_buf;
    HEAD *rsp = (HEAD *) c->out_buf;
    if (c->out_buf_len < SIZE_OF_HEAD + sizeof text) /* max_pkglen may be as small as a bare head */
        return -1;
    rsp->stx = req->stx;
    rsp->akg_id = req->akg_id;
    rsp->pkglen = SIZE_OF_HEAD + sizeof text;
    memcpy(c->out_buf + SIZE_OF_HEAD, text, sizeof text);
    return bufferevent_write(c->bufev, c->out_buf, rsp->pkglen);
}
