/*
 * login.c: LOGIN, a client says who it is. Runs on the connection's worker.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

/* When each worker last logged a bad LOGIN; only that worker touches its own. */
static struct {
    time_t second;
    uint32 kept_back; /* since then */
} __attribute__((aligned(64))) login_warned[MARIO_WORKERNUM_MAX];

/* Log a bad LOGIN, at most one a second and worker, so that a client in error cannot flood the log. */
static void login_warn(const CONN *c)
{
    uint32 ind = c->owner->ind;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    /* 0 is "never": the first second after boot may stay silent. */
    if (login_warned[ind].second == now.tv_sec) {
        login_warned[ind].kept_back++;
        return;
    }
    slog_warn_t(c->owner->qlog, "bad login: %u bytes instead of %u (%u more before)", c->in_buf_len,
                (uint32) (SIZE_OF_HEAD + sizeof(LOGIN_REQ)), login_warned[ind].kept_back);
    login_warned[ind].second = now.tv_sec;
    login_warned[ind].kept_back = 0;
}

sint32 login_answer(CONN *c)
{
    const HEAD *req = (const HEAD *) c->in_buf;
    HEAD *rsp = (HEAD *) c->out_buf;
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof(LOGIN_REQ)) {
        login_warn(c);
        return -1;
    }
    rsp->stx = req->stx;
    rsp->akg_id = req->akg_id;
    rsp->pkglen = SIZE_OF_HEAD;
    if (bufferevent_write(c->bufev, rsp, SIZE_OF_HEAD) != 0)
        return -1;
    online_enter(c);
    return 0;
}
