/*
 * conn.c: the pool of connections and a connection's life. Runs on the worker that owns the shard; nothing
 * here may be called from elsewhere, but the public close_conn() and close_err_conn(), which refuse to.
 */
#include "mario/conn/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mario/base/complain.h"
#include "mario/base/id.h"
#include "mario/base/mem.h"
#include "mario/base/probe.h"
#include "mario/conn/delivery.h"
#include "mario/conn/linger.h"
#include "mario/conn/meter.h"
#include "mario/conn/output.h"
#include "mario/conn/passes.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/exec/registry.h"
#include "mario/exec/reply.h"
#include "mario/frame/looks.h"
#include "mario/net/descriptor.h"
#include "mario/net/stream.h"

#undef MARIO_LOG_SUBSYSTEM
#define MARIO_LOG_SUBSYSTEM MARIO_LOG_IN_conn

enum {
    WARNINGS_A_SECOND = 4, /* of ended connections, in the whole process */
    CARRY_LEAST = 64       /* bytes: the smallest block mem.c keeps */
};

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

/* The generation with which places begin: none of a former server's connections had it. Who runs the server (w), when
 * its workers have ended; read by the next one's. */
static _Atomic uint32_t first_generation = 1;

/* ---- The pool ---- */

static void *map(size_t size, bool prefault)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | (prefault ? MAP_POPULATE : 0), -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool conn_pool_init(struct shard *s, uint32_t count, bool prefault, uint32_t ext_size, bool with_seen)
{
    s->conns = map((size_t) count * sizeof *s->conns, prefault);
    s->ext = ext_size > 0 ? map((size_t) count * ext_size, prefault) : NULL;
    s->ext_size = ext_size;
    s->seen = with_seen ? map((size_t) count * sizeof *s->seen, prefault) : NULL;
    s->count = count;
    atomic_init(&s->in_state[CONN_FREE], count);
    return s->conns != NULL && (s->ext != NULL || ext_size == 0) && (s->seen != NULL || !with_seen) &&
           delivery_setup(s) && wheel_init(&s->wheel, &s->conns[0].node, sizeof *s->conns, count);
}

static void forget_generations(const struct shard *s)
{
    uint32_t last = atomic_load_explicit(&first_generation, memory_order_relaxed);
    for (uint32_t i = 0; i < s->fresh; i++)
        last = s->conns[i].generation >= last ? s->conns[i].generation + 1 : last;
    atomic_store_explicit(&first_generation, last != 0 ? last : 1, memory_order_relaxed);
}

void conn_pool_fini(struct shard *s)
{
    wheel_fini(&s->wheel);
    if (s->conns != NULL)
        forget_generations(s);
    if (s->conns != NULL)
        munmap(s->conns, (size_t) s->count * sizeof *s->conns);
    if (s->ext != NULL)
        munmap(s->ext, (size_t) s->count * s->ext_size);
    if (s->seen != NULL)
        munmap(s->seen, (size_t) s->count * sizeof *s->seen);
    delivery_teardown(s);
    s->conns = NULL;
    s->ext = NULL;
    s->seen = NULL;
}

/* Its name in the table of descriptors. */
static uint32_t owner_of(const struct conn *c)
{
    return c->pub.owner->ind << 24 | (c->pub.ind + 1);
}

static struct conn *take_slot(struct shard *s)
{
    uint32_t slot;
    if (s->free_head == 0 && s->fresh == s->count)
        linger_end_oldest(s); /* the master counts places before it hands over: so there is one */
    if (s->free_head != 0) {
        slot = s->free_head - 1;
        s->free_head = s->conns[slot].next;
    } else {
        slot = s->fresh++;
    }
    struct conn *c = &s->conns[slot];
    CHECK(c->state == CONN_FREE);
    if (c->generation == 0)
        c->generation = atomic_load_explicit(&first_generation, memory_order_relaxed);
    c->pub.ind = slot;
    s->in_use++;
    return c;
}

/* ---- Beginning ---- */

static void hold_pass(const struct shard *s, const struct conn *c, uint64_t pass)
{
    struct passes *p = atomic_load_explicit(&s->passes, memory_order_acquire);
    if (p != NULL)
        p->held[c->pub.ind] = pass;
}

/* Its framing, a guest, has seen nothing of it. */
static void begin_framing(const struct shard *s, const struct conn *c)
{
    struct conn_ext *ext = conn_ext(s, c);
    ext->frame = (struct conn_frame){.need = 0};
    memset(ext->state, 0, s->service->framing[c->listener]->state_size);
}

struct conn *conn_open(struct shard *s, const struct accepted_socket *a, event_callback_fn on_event)
{
    struct conn *c = take_slot(s);
    CHECK(c->outbox == NULL && c->carry == NULL && c->carry_len == 0); /* nothing of whom was here before */
    c->pub = (CONN){.fd = a->fd,
                    .ind = c->pub.ind,
                    .bufev = executor_here->discard,
                    .owner = &executor_here->pub,
                    .cip = peer_v4(&a->peer),
                    .cport = a->peer.port,
                    .out_buf = executor_here->out_buf};
    if (c->pub.cip == 0 && c->pub.cport != 0)
        memcpy(conn_ext(s, c)->address, a->peer.address, sizeof a->peer.address);
    c->listener = a->listener & (LISTEN_MAX - 1u);
    if (s->service->is_guest[c->listener])
        begin_framing(s, c);
    c->magic = CONN_MAGIC;
    conn_become(s, c, CONN_OPEN);
    c->reason = REASON_NONE;
    c->refs = 0;
    c->wait = WAIT_NONE;
    c->paused = c->fin = c->greeted = c->stopping = false;
    c->has_member = c->has_bond = c->lowat = c->finished = false;
    c->newcomer = c->pub.ind >= s->walk_at && c->pub.ind < s->walk_end;
    c->stop_bytes = 0;
    c->last_rx = c->last_tx = s->tick;
    proxied_begin(s, c, &a->peer);
    if (s->secure != NULL)
        secure_begin(c);
    meter_begin(c);
    hold_pass(s, c, a->pass);
    if (s->seen != NULL)
        s->seen[c->pub.ind] = (struct conn_seen){.opened = conn_seen_now()};
    stats_add(s->stats, STAT_opened, 1);
    descriptor_note(a->fd, owner_of(c));
    if (event_assign(&c->event, executor_here->pub.base, a->fd, EV_READ | EV_PERSIST, on_event, c) != 0 ||
        event_add(&c->event, NULL) != 0) {
        conn_end(c, REASON_poll_failed);
        return NULL;
    }
    conn_arm(c);
    return c;
}

/* ---- Time ---- */

static void earlier(uint32_t at, uint32_t *due, bool *any)
{
    if (!*any || (int32_t) (at - *due) < 0)
        *due = at;
    *any = true;
}

/* When `since` + `ticks` is over, in ticks; one more, since `since` may have been the end of its tick. */
static void sooner(uint32_t since, uint32_t ticks, uint32_t *due, bool *any)
{
    if (ticks != 0)
        earlier(since + ticks + 1, due, any);
}

/* Ticks of write_timeout that apply: a connection that is only draining does not wait for ever. */
static uint32_t write_ticks(const struct conn *c, const struct settings *set)
{
    if (set->write_timeout != 0 || c->state != CONN_DRAINING)
        return set->write_timeout;
    return set->drain_timeout > 0 ? set->drain_timeout : 1;
}

/* Silence counts from the last byte received; while output is on its way, also from the last byte taken. */
static uint32_t last_active(const struct conn *c)
{
    return c->outbox != NULL && (int32_t) (c->last_tx - c->last_rx) > 0 ? c->last_tx : c->last_rx;
}

/* Whether a packet or a record of it has begun and is not whole. */
static bool owes_rest(const struct conn *c)
{
    return c->carry_len > 0 || secure_held(c) > 0;
}

/* Whether it is its own fault if no packet of it is whole. */
static bool owes_packet(const struct conn *c)
{
    bool waits = c->wait == WAIT_LIMIT || c->wait == WAIT_TLS;
    return conn_is_read(c) || (c->state == CONN_OPEN && waits && !c->paused);
}

void conn_arm(struct conn *c)
{
    struct shard *s = conn_shard(c);
    uint32_t due = 0;
    bool any = false;
    uint32_t at;
    if (owes_packet(c) && meter_due(c, &at))
        earlier(at, &due, &any);
    if (c->state == CONN_OPEN && secure_is_shaking(c)) {
        sooner(c->packet_since, s->set->tls_handshake_timeout, &due, &any);
    } else if (conn_is_read(c)) {
        if (c->refs == 0) /* else it is not the peer who is slow */
            sooner(last_active(c), s->set->timeout, &due, &any);
        if (owes_rest(c))
            sooner(c->packet_since, s->set->packet_timeout, &due, &any);
    }
    if (c->outbox != NULL)
        sooner(c->last_tx, write_ticks(c, s->set), &due, &any);
    if (c->wait == WAIT_LIMIT)
        earlier(s->tick + meter_wait(c), &due, &any);
    if (!any)
        wheel_clear(&s->wheel, c->pub.ind);
    else if (c->node.next == 0 || (int32_t) (due - c->node.due) < 0)
        wheel_set(&s->wheel, c->pub.ind, due); /* a later deadline is found when the earlier one comes up */
}

enum reason conn_overdue(const struct conn *c)
{
    const struct shard *s = conn_shard(c);
    const struct settings *set = s->set;
    uint32_t writing = write_ticks(c, set);
    if (c->outbox != NULL && writing != 0 && s->tick - c->last_tx > writing)
        return REASON_write_timeout;
    if (owes_packet(c) && meter_is_late(c))
        return REASON_first_packet;
    if (c->state == CONN_OPEN && secure_is_shaking(c))
        return s->tick - c->packet_since > set->tls_handshake_timeout ? REASON_tls_timeout : REASON_NONE;
    if (!conn_is_read(c))
        return REASON_NONE;
    if (owes_rest(c) && set->packet_timeout != 0 && s->tick - c->packet_since > set->packet_timeout)
        return REASON_packet_timeout;
    if (c->refs == 0 && set->timeout != 0 && s->tick - last_active(c) > set->timeout)
        return REASON_idle_timeout;
    return REASON_NONE;
}

/* ---- What is carried over ---- */

bool conn_carry(struct conn *c, const unsigned char *data, size_t n)
{
    size_t need = c->carry_len + n;
    if (need >= mem_room(c->carry)) {
        /* By what has arrived, never by what a head promises; doubling keeps a trickle linear. One more, for the zero
         * byte that stands behind a packet. */
        size_t room = need + 1 > 2 * (size_t) c->carry_len ? need + 1 : 2 * (size_t) c->carry_len;
        room = room < CARRY_LEAST ? CARRY_LEAST : room;
        unsigned char *bigger = mem_realloc(c->carry, room);
        if (bigger == NULL)
            return false;
        c->carry = bigger;
    }
    memcpy(c->carry + c->carry_len, data, n);
    c->carry_len = (uint32_t) need;
    return true;
}

void conn_carry_drop(struct conn *c)
{
    mem_free(c->carry);
    c->carry = NULL;
    c->carry_len = 0;
}

/* ---- Watching ---- */

void conn_poll(struct conn *c)
{
    short wanted = EV_PERSIST;
    if (conn_is_read(c))
        wanted |= EV_READ;
    else if (c->wait == WAIT_LINE) /* for a moment only: as it is, which costs no system call */
        wanted |= event_get_events(&c->event) & EV_READ;
    if ((c->outbox != NULL && !c->dirty) || c->paused)
        wanted |= EV_WRITE;
    if (event_get_events(&c->event) != wanted) {
        struct event_base *base = event_get_base(&c->event);
        event_callback_fn f = event_get_callback(&c->event);
        if (event_del(&c->event) != 0 || event_assign(&c->event, base, c->pub.fd, wanted, f, c) != 0 ||
            event_add(&c->event, NULL) != 0) {
            conn_end(c, REASON_poll_failed);
            return;
        }
    }
    conn_arm(c);
}

/* ---- Moving to another executor ---- */

/* Its public part is the calling thread's from here on. */
static void belong_here(struct conn *c)
{
    c->pub.owner = &executor_here->pub;
    c->pub.bufev = executor_here->discard;
    c->pub.out_buf = executor_here->out_buf;
}

void conn_move(struct conn *c)
{
    short wanted = event_get_events(&c->event);
    event_callback_fn f = event_get_callback(&c->event);
    bool watched = c->state == CONN_OPEN || c->state == CONN_DRAINING || (c->state == CONN_LINGER && !c->fin);
    bool ok = !watched || event_del(&c->event) == 0;
    belong_here(c);
    if (watched && (!ok || event_assign(&c->event, executor_here->pub.base, c->pub.fd, wanted, f, c) != 0 ||
                    event_add(&c->event, NULL) != 0))
        conn_end(c, REASON_poll_failed);
}

void conn_orphan(struct conn *c, enum reason reason)
{
    c->refs++;
    if (c->state != CONN_CLOSING)
        conn_end(c, reason);
    else if (conn_has_socket(c))
        conn_finish(c); /* it was in its end hook */
}

void conn_end_orphan(struct conn *c)
{
    belong_here(c);
    conn_release(c);
}

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

uint64_t conn_id(const struct conn *c)
{
    return id_of(c->pub.owner->ind, c->pub.ind, c->generation);
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

bool conn_has_socket(const struct conn *c)
{
    return descriptor_is_of(c->pub.fd, owner_of(c));
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
    char fault[80];
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
    if (!descriptor_forget(c->pub.fd, owner_of(c)))
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
    conn_become(s, c, CONN_FREE);
    c->magic = 0;
    if (++c->generation == 0)
        c->generation = 1;
    c->next = s->free_head;
    s->free_head = c->pub.ind + 1;
    s->in_use--;
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
