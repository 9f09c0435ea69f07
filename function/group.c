/*
 * group.c: JOIN, LEAVE, SAY and WHO: groups of connections. Runs on the connection's worker, but for who_known().
 */
#include "mario/mario.h"
#include "mario/mario_cluster.h"
#include "protocol/mario_protocol.h"

#include "function.h"

static bool group_cluster; /* constant once the server runs */

void group_setup(bool cluster)
{
    group_cluster = cluster;
}

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

/* ---- WHO on several nodes ---- */

/* The nodes have answered. On the cluster's thread; arg, freed here, is the id of who asked, who may be gone by now. */
static void who_known(void *arg, uint64 n)
{
    uint64 *id = arg;
    WHO_RSP rsp = {.count = n};
    struct mario_msg *m = mario_msg_packet(CMD_FUNCTION_WHO, &rsp, sizeof rsp);
    if (m != NULL)
        mario_send(*id, m);
    mario_msg_free(&m);
    free(id);
}

/* Have them asked. False, and nothing is asked, without memory or room. */
static bool who_ask(const CONN *c, uint64 group)
{
    uint64 *id = malloc(sizeof *id);
    if (id == NULL)
        return false;
    *id = mario_conn_id(c);
    if (mario_cluster_ask_group(group, who_known, id) == 0)
        return true;
    free(id);
    return false;
}

sint32 who_answer(CONN *c)
{
    uint64 group = group_read(c, "WHO", 0);
    if (group == 0)
        return -1;
    sint64 known = group_cluster ? mario_group_count_all(group) : (sint64) mario_group_count(group);
    if (known < 0 && who_ask(c, group))
        return 0;
    WHO_RSP rsp = {.count = known < 0 ? mario_group_count(group) : (uint64) known};
    return answer_with(c, CMD_FUNCTION_WHO, &rsp, sizeof rsp);
}
