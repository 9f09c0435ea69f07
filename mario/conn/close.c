/*
 * close.c: a connection's end: the one way out, what is done when nobody uses it any more, and how functions ask for
 * it. Runs on the worker that owns the shard; nothing here may be called from elsewhere, but the public close_conn()
 * and close_err_conn(), which refuse to.
 */
#include "mario/conn/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/complain.h"
#include "mario/base/probe.h"
#include "mario/conn/delivery.h"
#include "mario/conn/linger.h"
#include "mario/conn/output.h"
#include "mario/conn/passes.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/conn/secure_look.h"
#include "mario/exec/registry.h"
#include "mario/exec/reply.h"
#include "mario/frame/looks.h"
#include "mario/net/descriptor.h"
#include "mario/net/stream.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_conn

enum { WARNINGS_A_SECOND = 4 }; /* of ended connections, in the whole process */

static const struct {
    const char *name;
    uint16_t hook;
    enum mario_log_level level;
} reasons[REASON_COUNT] = {
#define ROW(name, hook, level) [REASON_##name] = {#name, hook, level},
    REASONS(ROW)
#undef ROW
};

static struct log_limit warnings;

/* ---- Ending ---- */

bool conn_is_beyond_sending(enum reason r)
{
    switch (r) {
    case REASON_reset:
    case REASON_peer_dead:
    case REASON_idle_timeout:
    case REASON_packet_timeout:
    case REASON_first_packet:
    case REASON_write_timeout:
    case REASON_output_limit:
    case REASON_no_memory:
    case REASON_poll_failed:
    case REASON_fd_closed:
    case REASON_function_stuck:
    case REASON_function_died:
    case REASON_slow_consumer:
    case REASON_push_memory:
    case REASON_tls_failed:
    case REASON_tls_timeout:
    case REASON_tls_crowded:
    case REASON_tls_bad_record:
        return true;
    default:
        return false;
    }
}

/* Nobody is to find it any more. */
static void leave(struct shard *s, struct conn *c)
{
    if (c->has_member || c->has_bond)
        s->leave(s, c);
}

/* Only what has begun is waited for. */
static void take_back(struct shard *s, struct conn *c)
{
    if (c->refs > 0 && s->take_back != NULL)
        c->refs = (uint8_t) (c->refs - s->take_back(s, c));
}

void conn_end(struct conn *c, enum reason reason)
{
    struct shard *s = conn_shard(c);
    CHECK_ON_WORKER(s);
    CHECK(c->magic == CONN_MAGIC && (c->state == CONN_OPEN || c->state == CONN_DRAINING));
    if (c->reason != REASON_NONE && !conn_is_beyond_sending(reason))
        reason = c->reason;
    c->reason = (uint8_t) reason;
    conn_become(s, c, CONN_CLOSING);
    wheel_clear(&s->wheel, c->pub.ind);
    event_del(&c->event); /* before close(): another thread may get this descriptor at once */
    leave(s, c);
    conn_carry_drop(c);
    if (s->secure != NULL)
        secure_end(c);
    delivery_drop(c);
    stats_add(s->stats, STAT_closed, 1);
    stats_add(s->stats, STAT_ungreeted, !c->greeted);
    stats_add(s->stats, stats_of_reason(reason), 1);
    PROBE3(close, &c->pub, reason, stats_name(stats_of_reason(reason)));
    take_back(s, c);
    if (c->refs == 0)
        conn_line_push(s, &s->closing, c); /* end hooks run in the order of the ends */
    else if (conn_has_socket(c))
        conn_finish(c); /* the peer learns it now; the number stays until nobody uses it */
}

void conn_release(struct conn *c)
{
    CHECK(c->magic == CONN_MAGIC && c->refs > 0);
    c->refs--;
    if (c->refs == 0 && c->state == CONN_CLOSING)
        conn_line_push(executor_here->shard, &executor_here->shard->closing, c);
}

/* Whether its client can be told: nothing of which it knows only a half is to come before. */
static bool may_be_told(const struct conn *c, enum reason r)
{
    bool silent = r == REASON_idle_timeout || r == REASON_packet_timeout || r == REASON_first_packet;
    return c->state == CONN_OPEN && (!conn_is_beyond_sending(r) || (silent && c->outbox == NULL));
}

/* Its client is told that it ends, where the framing has words for that. */
static void say_goodbye(struct conn *c, enum reason reason)
{
    const struct shard *s = conn_shard(c);
    unsigned char bytes[WS_GOODBYE];
    if (s->service->ends[c->listener] != ws_ends || !may_be_told(c, reason))
        return;
    size_t n = ws_goodbye(conn_ext(s, c)->state, reason, bytes);
    if (n > 0)
        output_send_bytes(c, bytes, n); /* if that fails, it ends without */
}

void conn_close(struct conn *c, enum reason reason)
{
    CHECK_ON_WORKER(conn_shard(c));
    CHECK(c->magic == CONN_MAGIC);
    if (c->state == CONN_CLOSING || c->state == CONN_LINGER)
        return;
    say_goodbye(c, reason);
    if (c->reason == REASON_NONE || conn_is_beyond_sending(reason))
        c->reason = (uint8_t) reason;
    if (c->dirty && c->outbox != NULL && !conn_is_beyond_sending(reason)) {
        enum reason broken = delivery_try(c);
        reason = broken != REASON_NONE ? broken : reason;
    }
    if (c->outbox == NULL && may_be_told(c, reason))
        secure_say_end(c);
    if (c->outbox == NULL || conn_is_beyond_sending(reason)) {
        conn_end(c, reason);
        return;
    }
    if (c->state == CONN_DRAINING)
        return;
    conn_become(conn_shard(c), c, CONN_DRAINING);
    leave(conn_shard(c), c);
    conn_carry_drop(c);
    take_back(conn_shard(c), c);
    conn_poll(c);
}

void conn_drained(struct conn *c)
{
    if (c->state != CONN_DRAINING || c->outbox != NULL)
        return;
    secure_say_end(c);
    if (c->outbox == NULL)
        conn_end(c, (enum reason) c->reason);
    else
        conn_poll(c);
}

void conn_finish(struct conn *c)
{
    stream_finish(c->pub.fd);
    c->finished = true;
}

/* It may have ended meanwhile. An orphan's public part is another thread's, but nobody changes its number. */
void conn_lose_socket(struct shard *s, uint32_t slot, int fd)
{
    struct conn *c = &s->conns[slot];
    if (slot >= s->fresh || c->magic != CONN_MAGIC || c->pub.fd != fd)
        return;
    if (c->state == CONN_LINGER)
        linger_end(c);
    else if (c->state != CONN_CLOSING)
        conn_end(c, REASON_fd_closed);
}

/* ---- The last things ---- */

/* What came of it that was no packet. Cut to size. */
static void tell_fault(const struct conn *c, enum reason r, char *text, size_t size)
{
    const char *framing = conn_shard(c)->service->framing[c->listener]->name;
    const char *looks = frame_looks_name(c->fault);
    *text = '\0';
    if (r == REASON_bad_proxy)
        snprintf(text, size, " (%s%s%s)", proxied_why(c), looks != NULL ? ", looks like " : "",
                 looks != NULL ? looks : "");
    else if (r == REASON_framing_error)
        snprintf(text, size, " (%s)", framing);
    else if ((r == REASON_tls_failed || r == REASON_tls_bad_record) && looks == NULL)
        snprintf(text, size, " (%s)", secure_fault(c));
    else if (r == REASON_bad_frame && c->fault >= MARIO_FAULT_OWN)
        snprintf(text, size, " (fault 0x%04x of %s)", c->fault, framing);
    else if ((r == REASON_bad_frame || r == REASON_bad_stx || r == REASON_bad_length ||
              r == REASON_tls_failed) &&
             looks != NULL)
        snprintf(text, size, " (looks like %s)", looks);
}

static void log_end(const struct conn *c, enum reason r)
{
    struct log_who who;
    char fault[200];
    uint32_t held_back = 0;
    if (!log_wants(reasons[r].level))
        return;
    if ((reasons[r].level == MARIO_LOG_WARN || reasons[r].level == MARIO_LOG_ERR) &&
        !log_limit_pass(&warnings, WARNINGS_A_SECOND, &held_back))
        return;
    executor_who(&c->pub, conn_address6(c), conn_id(c), &who);
    tell_fault(c, r, fault, sizeof fault);
    log_about(c->pub.owner->qlog, MARIO_LOG_SUBSYSTEM, reasons[r].level, &who, "closed: %s%s%s",
              reasons[r].name, fault, log_more(held_back).text);
}

/* Who closed it may have chosen the hook. */
static uint16_t hook_of(const struct conn *c, enum reason r)
{
    uint16_t id = c->pub.err_type;
    bool kicked = r == REASON_kicked || r == REASON_replaced;
    bool chosen = (id == g_akg_timeout_id && (kicked || r == REASON_function_closed)) ||
                  (id == g_akg_error_id && kicked);
    return chosen ? id : reasons[r].hook;
}

static void run_end_hook(struct executor *t, struct conn *c, enum reason r)
{
    if (c->pub.err_type == 0)
        c->pub.err_type = reasons[r].hook;
    uint16_t hook = hook_of(c, r);
    c->greeted = false; /* it is said once, whatever becomes of it */
    c->pub.in_buf = NULL;
    c->pub.in_buf_len = 0;
    c->pub.out_buf_len = (uint16_t) t->shard->service->max_pkglen;
    c->pub.bufev = t->discard;
    executor_begin(t, &c->pub, conn_id(c), conn_address6(c));
    executor_note(t, ACTIVITY_END, hook);
    executor_ran(t, hook, registry_run_hook(hook, &c->pub));
    executor_end(t);
    if (t->outside > 0) {
        output_report_outside(t->shard, hook, t->outside);
        t->outside = 0;
    }
}

/* Whether the socket's peer is c's: the number may be a descriptor of the application's own by now. */
static bool has_its_peer(const struct conn *c)
{
    struct sockaddr_storage from = {0};
    if (stream_peer(c->pub.fd, &from) != 0)
        return !stream_is_gone(errno);
    struct peer is = peer_of(&from), was = proxied_via(c);
    return is.port == was.port && memcmp(is.address, was.address, sizeof is.address) == 0;
}

/* Forget whose the descriptor is. Whether it is to be closed: who ends because reading said so needs no look. */
static bool give_up_descriptor(const struct conn *c)
{
    bool known = descriptor_is_known(c->pub.fd);
    if (!descriptor_forget(c->pub.fd, conn_owner(c)))
        return false;
    return !known || c->reason == REASON_peer_closed || c->reason == REASON_reset ||
           c->reason == REASON_peer_dead || has_its_peer(c);
}

/* What the peer of one that was pushed to has not acknowledged, and never will as far as we know. */
static void count_unacked(const struct shard *s, const struct conn *c)
{
    if (!c->lowat || !conn_is_tcp(c))
        return;
    uint32_t n = stream_unacked(c->pub.fd);
    stats_add(s->stats, STAT_unacked, n > 0 && c->finished ? n - 1 : n);
}

void conn_give_back(struct conn *c, bool reset)
{
    struct shard *s = conn_shard(c);
    if (give_up_descriptor(c)) {
        count_unacked(s, c);
        if (reset)
            stream_reset_on_close(c->pub.fd);
        stream_close(c->pub.fd);
    } else {
        stats_add(s->stats, STAT_fd_lost, 1);
    }
    c->pub.fd = -1;
    proxied_end(s, c);
    conn_return_slot(s, c);
}

/* Say goodbye. A peer that does not read would keep what the kernel holds for it for minutes after a FIN. */
static void finish(struct conn *c)
{
    enum reason r = c->reason;
    if (c->greeted)
        run_end_hook(conn_executor(c), c, r);
    log_end(c, r);
    if (conn_shard(c)->secure != NULL)
        secure_forget(c);
    if (linger_begin(c))
        return;
    conn_give_back(c, r == REASON_write_timeout || r == REASON_output_limit || r == REASON_slow_consumer ||
                          r == REASON_push_memory);
}

void conn_pass(struct shard *s)
{
    struct conn *c;
    while ((c = conn_line_pop(s, &s->closing)) != NULL) {
        uint32_t slot = c->pub.ind;
        finish(c);
        struct passes *p = atomic_load_explicit(&s->passes, memory_order_acquire);
        if (p != NULL)
            passes_give_back(p, slot);
        uint32_t released = atomic_load_explicit(&s->released, memory_order_relaxed);
        atomic_store_explicit(&s->released, released + 1, memory_order_release);
    }
    delivery_settle(s);
}

/* ---- Public ---- */

/* A function or hook of c closes it: only noted, it ends when its function has returned. */
static void close_own(struct executor *t, CONN *pub, uint16_t reason_id, enum reason reason)
{
    if (t->end_reason != REASON_NONE)
        return;
    pub->err_type = reason_id;
    t->end_reason = reason;
    reply_cut(t);
}

/* Another connection, outside the fence: before that not even its owner may be looked at. */
static void close_other(struct executor *t, struct conn *c, uint16_t reason_id, enum reason reason)
{
    if (c->pub.owner != &t->pub) {
        slog_err_t(t->pub.qlog, "close_conn: not this worker's connection, nothing done");
        return;
    }
    if (c->state == CONN_OPEN && c->reason == REASON_NONE)
        c->pub.err_type = reason_id;
    if (c->state == CONN_OPEN || c->state == CONN_DRAINING)
        conn_close(c, reason);
}

static void close_by_function(CONN *pub, uint16_t reason_id, enum reason reason)
{
    struct executor *t = executor_here;
    if (t == NULL) {
        complain("close_conn: called outside the connection's worker, nothing done");
        return;
    }
    if (t->conn == pub) {
        close_own(t, pub, reason_id, reason);
        return;
    }
    bool in_function = t->conn != NULL;
    if (in_function ? !fence_close(&t->fence) : fence_state(fence_look(&t->fence)) != FENCE_LIBRARY)
        return; /* the shard is another's by now, or will be: this thread is ending */
    close_other(t, (struct conn *) (void *) pub, reason_id, reason);
    if (in_function)
        fence_open(&t->fence);
}

void close_conn(CONN *c, uint16_t reason_id)
{
    close_by_function(c, reason_id,
                      reason_id == g_akg_error_id ? REASON_function_error : REASON_function_closed);
}

void close_err_conn(CONN *c)
{
    close_conn(c, g_akg_error_id);
}
