/*
 * count.c: the counter's business function and its hooks. They run on the connection's worker; count_report runs on
 * the master.
 *
 * What belongs to one connection hangs on c->user and needs no lock: only the connection's worker touches it. What
 * all connections share is one atomic number, since several workers add to it at the same time.
 */
#include "count.h"

static sint64 sum_of_all; /* workers (add), master (r), relaxed */

sint32 count_begin(CONN *c)
{
    c->user = calloc(1, sizeof(sint64));
    return c->user != NULL ? 0 : -1;
}

sint32 count_end(CONN *c)
{
    free(c->user);
    c->user = NULL;
    return 0;
}

sint32 count_add(CONN *c)
{
    const COUNT_ADD_REQ *req = (const COUNT_ADD_REQ *) (c->in_buf + SIZE_OF_HEAD);
    COUNT_ADD_RSP *rsp = (COUNT_ADD_RSP *) c->out_buf; /* scratch, at least max_pkglen bytes */
    sint64 *mine = c->user;
    /* The library has checked the HEAD; the data is ours to check. */
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof *req)
        return -1;
    *mine += req->amount;
    memcpy(&rsp->head, c->in_buf, SIZE_OF_HEAD); /* the request's stx and akg_id */
    rsp->head.pkglen = sizeof *rsp;
    rsp->mine = *mine;
    rsp->all = __atomic_add_fetch(&sum_of_all, req->amount, __ATOMIC_RELAXED);
    return bufferevent_write(c->bufev, rsp, sizeof *rsp);
}

void count_report(LOG_QUEUE *qlog, void *unused)
{
    (void) unused;
    slog_info_t(qlog, "the sum is %lld", (long long) __atomic_load_n(&sum_of_all, __ATOMIC_RELAXED));
}
