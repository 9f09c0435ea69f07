/*
 * push.c: PUSH_TO, bytes for all connections of a user. Runs on the connection's worker.
 *
 * The answer says that the server has taken it, not that somebody is there to get it.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

/* The text as a message from c; NULL without memory. */
static struct mario_msg *push_message(const CONN *c, const void *text, uint32 n)
{
    PUSHED_MSG pushed = {.from = login_uid(c)};
    memcpy(c->out_buf, &pushed, sizeof pushed);
    memcpy(c->out_buf + sizeof pushed, text, n);
    return mario_msg_packet(CMD_FUNCTION_PUSHED, c->out_buf, sizeof pushed + n);
}

sint32 push_to_answer(CONN *c)
{
    PUSH_TO_REQ req;
    uint32 head = SIZE_OF_HEAD + sizeof req;
    if (login_user(c) == 0)
        return answer_warn(c, "PUSH_TO", "before LOGIN");
    if (c->in_buf_len < head)
        return answer_warn(c, "PUSH_TO", "no uid in it");
    memcpy(&req, c->in_buf + SIZE_OF_HEAD, sizeof req);
    struct mario_msg *m = push_message(c, c->in_buf + head, c->in_buf_len - head);
    bool taken = m != NULL && mario_send_user(login_user_of(req.uid), m) == 0;
    mario_msg_free(&m);
    if (!taken)
        return answer_refused(c, CMD_FUNCTION_PUSH_TO, REFUSED_BUSY);
    return answer_bare(c, CMD_FUNCTION_PUSH_TO);
}
