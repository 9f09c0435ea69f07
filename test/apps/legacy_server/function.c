/*
 * function.c: the business functions. Workers.
 */
#include "function.h"

#include "collect.h"
#include "ptcl.h"

static void answer(CONN *c, const void *data, uint16 len)
{
    struct _HEAD *rsp = (struct _HEAD *) c->out_buf;
    rsp->stx = g_stx;
    rsp->akg_id = ((HEAD *) c->in_buf)->akg_id;
    rsp->pkglen = (uint16) (sizeof(HEAD) + len);
    memcpy(c->out_buf + sizeof(HEAD), data, len);
    bufferevent_write(c->bufev, c->out_buf, rsp->pkglen);
}

sint32 login(CONN *c)
{
    HEAD *req = (HEAD *) c->in_buf;
    if (req->pkglen != sizeof(HEAD) + sizeof(LOGIN_REQ)) {
        slog_err_t_w(c->owner->qlog, "invalid login pkg.");
        close_err_conn(c);
        return -1;
    }
    collect_login(c);
    answer(c, "", 0);
    return 0;
}

sint32 logout(CONN *c)
{
    if (c->err_type != g_akg_closed_id)
        slog_warn_t(c->owner->qlog, "an end of type %x", c->err_type);
    collect_logout(c);
    return 0;
}

sint32 timed_out(CONN *c)
{
    slog_warn_t(c->owner->qlog, "timed out");
    collect_logout(c);
    return 0;
}

sint32 copy(CONN *c)
{
    char buf[MAX_PKG_LEN];
    HEAD *req = (HEAD *) c->in_buf;
    memcpy(buf, c->in_buf, req->pkglen);
    answer(c, buf + sizeof(HEAD), (uint16) (req->pkglen - sizeof(HEAD)));
    return 0;
}

sint32 fill(CONN *c)
{
    char all[CONN_BUF_LEN - sizeof(HEAD)];
    memset(all, 'x', sizeof(all));
    answer(c, all, sizeof(all));
    return 0;
}

sint32 again(CONN *c)
{
    return AKG_FUNC[CMD_COPY](c);
}

/* clang-format off */
sint32 speak(CONN *c)
{
    LOG_QUEUE *q = c->owner->qlog;
    slog_err(q, "spoken %d", 1)
    slog_err_t(q, "spoken %d", 2)
    slog_err_t_w(q, "spoken %d", 3)
    slog_warn(q, "spoken %d", 4)
    slog_warn_t(q, "spoken %d", 5)
    slog_warn_t_w(q, "spoken %d", 6)
    slog_info(q, "spoken %d", 7)
    slog_info_t(q, "spoken %d", 8)
    slog_info_t_w(q, "spoken %d", 9)
    record_log(q, STDOUT_FILENO, "spoken raw to %s\n", "out");
    record_log(q, STDERR_FILENO, "spoken raw to %s\n", "err");
    answer(c, "", 0);
    return 0;
}
/* clang-format on */

sint32 online(CONN *c)
{
    uint32 n = collect_online();
    answer(c, &n, sizeof(n));
    return 0;
}
