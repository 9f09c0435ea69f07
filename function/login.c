/*
 * login.c: LOGIN, a client says who it is, and is bound to that user. Runs on the connection's worker; login_setup()
 * before there is one.
 *
 * What a user's other connections mean is decided on one worker for each user, so it takes a moment. Where many are
 * allowed there is nothing to wait for, and the answer goes out at once.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

#define LOGIN_USER_BASE 0x10000u

static enum mario_bind login_policy; /* constant once the server runs */

void login_setup(enum mario_bind policy)
{
    login_policy = policy;
}

uint64 login_user_of(uint16 uid)
{
    return LOGIN_USER_BASE + uid;
}

uint64 login_user(const CONN *c)
{
    return (uintptr_t) c->user;
}

uint16 login_uid(const CONN *c)
{
    return (uint16) login_user(c);
}

/* c is this user from now on. */
static void login_enter(CONN *c, uint64 user)
{
    if (login_user(c) == 0)
        online_enter(c);
    c->user = (void *) (uintptr_t) user;
}

sint32 login_answer(CONN *c)
{
    LOGIN_REQ req;
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof req)
        return answer_warn(c, "LOGIN", "its data is not a uid");
    memcpy(&req, c->in_buf + SIZE_OF_HEAD, sizeof req);
    uint64 user = login_user_of(req.uid);
    bool many = login_policy == MARIO_BIND_MANY;
    /* With another policy a bind may be on its way whose answer must not be overtaken. */
    bool same = many && login_user(c) == user;
    if (!same && mario_bind(c, user, login_policy, 0) != 0)
        return answer_refused(c, CMD_FUNCTION_LOGIN, REFUSED_BUSY);
    if (!many)
        return 0;
    login_enter(c, user);
    return answer_bare(c, CMD_FUNCTION_LOGIN);
}

sint32 login_decided(CONN *c)
{
    struct mario_bound bound;
    memcpy(&bound, c->in_buf, sizeof bound);
    if (bound.refused) {
        answer_refused(c, CMD_FUNCTION_LOGIN, REFUSED_TAKEN);
        return answer_warn(c, "LOGIN", "the uid is logged in elsewhere");
    }
    login_enter(c, bound.uid);
    return answer_bare(c, CMD_FUNCTION_LOGIN);
}
