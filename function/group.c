/*
 * group.c: JOIN, LEAVE, SAY and WHO: groups of connections. Runs on the connection's worker.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

/* The group that a command with at most `more` bytes behind it names; 0, which is none, after a line in the log: c has
 * no right to ask, or the packet is wrong. */
static uint64 group_read(const CONN *c, const char *command, uint32 more)
{
    GROUP_REQ req;
    uint32 head = SIZE_OF_HEAD + sizeof req;
    const char *wrong = NULL;
    if (login_user(c) == 0)
        wrong = "before LOGIN";
    else if (c->in_buf_len < head)
        wrong = "no group in it";
    else if (c->in_buf_len - head > more)
        wrong = "too long";
    if (wrong == NULL) {
        memcpy(&req, c->in_buf + SIZE_OF_HEAD, sizeof req);
        if (req.group != 0)
            return req.group;
        wrong = "there is no group 0";
    }
    answer_warn(c, command, wrong);
    return 0;
}

sint32 join_answer(CONN *c)
{
    uint64 group = group_read(c, "JOIN", 0);
    if (group == 0)
        return -1;
    if (mario_join(c, group) != 0)
        return answer_refused(c, CMD_FUNCTION_JOIN, REFUSED_BUSY);
    return answer_bare(c, CMD_FUNCTION_JOIN);
}

sint32 leave_answer(CONN *c)
{
    uint64 group = group_read(c, "LEAVE", 0);
    if (group == 0)
        return -1;
    if (mario_leave(c, group) != 0)
        return answer_refused(c, CMD_FUNCTION_LEAVE, REFUSED_BUSY);
    return answer_bare(c, CMD_FUNCTION_LEAVE);
}

/* The text as a message from c to this group; NULL without memory. */
static struct mario_msg *group_message(const CONN *c, uint64 group, const void *text, uint32 n)
{
    SAID_MSG said = {.group = group, .from = login_uid(c)};
    memcpy(c->out_buf, &said, sizeof said);
    memcpy(c->out_buf + sizeof said, text, n);
    return mario_msg_packet(CMD_FUNCTION_SAID, c->out_buf, sizeof said + n);
}

/* Who says more than the server can take loses it, and goes on: there is no answer to say so in. */
sint32 say_answer(CONN *c)
{
    uint32 head = SIZE_OF_HEAD + sizeof(GROUP_REQ);
    uint64 group = group_read(c, "SAY", SAY_MAX);
    if (group == 0)
        return -1;
    struct mario_msg *m = group_message(c, group, c->in_buf + head, c->in_buf_len - head);
    if (m == NULL || mario_send_group(group, m, mario_conn_id(c)) != 0)
        answer_warn(c, "SAY", m == NULL ? "dropped: no memory for messages" : "dropped: a ring is full");
    mario_msg_free(&m);
    return 0;
}

sint32 who_answer(CONN *c)
{
    uint64 group = group_read(c, "WHO", 0);
    if (group == 0)
        return -1;
    WHO_RSP rsp = {.count = mario_group_count(group)};
    return answer_with(c, CMD_FUNCTION_WHO, &rsp, sizeof rsp);
}
