/*
 * answer.c: how the other functions answer, and what they log. Runs on the connection's worker; answer_setup() before
 * there is one.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

/* When each worker last logged such a line; only that worker touches its own. */
static struct {
    time_t second;
    uint32 kept_back; /* since then */
} __attribute__((aligned(64))) answer_warned[MARIO_WORKERNUM_MAX];

static uint32 answer_stx; /* constant once the server runs */

void answer_setup(uint32 stx)
{
    answer_stx = stx;
}

sint32 answer_with(CONN *c, uint16 akg_id, const void *data, uint32 n)
{
    HEAD *rsp = (HEAD *) c->out_buf;
    if (SIZE_OF_HEAD + n > c->out_buf_len)
        return -1;
    rsp->stx = answer_stx;
    rsp->akg_id = akg_id;
    rsp->pkglen = (uint16) (SIZE_OF_HEAD + n);
    if (n > 0)
        memcpy(c->out_buf + SIZE_OF_HEAD, data, n);
    return bufferevent_write(c->bufev, rsp, rsp->pkglen);
}

sint32 answer_bare(CONN *c, uint16 akg_id)
{
    return answer_with(c, akg_id, NULL, 0);
}

sint32 answer_refused(CONN *c, uint16 akg_id, ubyte why)
{
    REFUSED refused = {.why = why};
    return answer_with(c, akg_id, &refused, sizeof refused);
}

sint32 answer_warn(const CONN *c, const char *what, const char *why)
{
    uint32 ind = c->owner->ind;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    /* 0 is "never": the first second after boot may stay silent. */
    if (answer_warned[ind].second == now.tv_sec) {
        answer_warned[ind].kept_back++;
        return -1;
    }
    slog_warn_t(c->owner->qlog, "%s: %s (%u more before)", what, why, answer_warned[ind].kept_back);
    answer_warned[ind].second = now.tv_sec;
    answer_warned[ind].kept_back = 0;
    return -1;
}
