/*
 * login.c: the business functions. login_answer() blocks, so it runs on a thread of the pool; who_answer() and the
 * end hook run on the connection's worker. The library sees to it that of one connection only one of them runs at a
 * time, in the order the packets came: so c->user needs no lock.
 */
#include "login.h"
#include "users.h"

sint32 login_answer(CONN *c)
{
    const LOGIN_REQ *req = (const LOGIN_REQ *) (c->in_buf + SIZE_OF_HEAD);
    LOGIN_RSP *rsp = (LOGIN_RSP *) c->out_buf;
    char name[NAME_SIZE + 1] = "";
    uint32 logins = 0;
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof *req)
        return -1;
    memcpy(name, req->name, NAME_SIZE);
    uint32 answer = users_login(name, req->token, &logins, c->owner->qlog);
    if (answer == LOGIN_GRANTED) {
        free(c->user);
        c->user = strdup(name);
        if (c->user == NULL)
            return -1;
    }
    memcpy(&rsp->head, c->in_buf, SIZE_OF_HEAD); /* the request's stx and akg_id */
    rsp->head.pkglen = sizeof *rsp;
    rsp->answer = answer;
    rsp->logins = logins;
    return bufferevent_write(c->bufev, rsp, sizeof *rsp);
}

sint32 who_answer(CONN *c)
{
    WHO_RSP *rsp = (WHO_RSP *) c->out_buf;
    if (c->user == NULL)
        return -1;
    memcpy(&rsp->head, c->in_buf, SIZE_OF_HEAD);
    rsp->head.pkglen = sizeof *rsp;
    memset(rsp->name, 0, sizeof rsp->name);
    memcpy(rsp->name, c->user, strlen(c->user)); /* at most NAME_SIZE: login_answer() made it */
    return bufferevent_write(c->bufev, rsp, sizeof *rsp);
}

sint32 login_end(CONN *c)
{
    free(c->user);
    c->user = NULL;
    return 0;
}
