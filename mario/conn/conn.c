/*
 * conn.c: the pool of connections and a connection's life: its beginning, its deadlines, what it carries, what its
 * socket is watched for. How it ends is in close.c. Runs on the worker that owns the shard; nothing here may be called
 * from elsewhere.
 */
#include "mario/conn/conn.h"

#include <string.h>
#include <sys/mman.h>

#include "mario/base/id.h"
#include "mario/base/mem.h"
#include "mario/conn/delivery.h"
#include "mario/conn/linger.h"
#include "mario/conn/meter.h"
#include "mario/conn/passes.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/net/descriptor.h"

enum { CARRY_LEAST = 64 }; /* bytes: the smallest block mem.c keeps */

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

void conn_return_slot(struct shard *s, struct conn *c)
{
    conn_become(s, c, CONN_FREE);
    c->magic = 0;
    if (++c->generation == 0)
        c->generation = 1;
    c->next = s->free_head;
    s->free_head = c->pub.ind + 1;
    s->in_use--;
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
    descriptor_note(a->fd, conn_owner(c));
    if (event_assign(&c->event, executor_here->pub.base, a->fd, EV_READ | EV_PERSIST, on_event, c) != 0 ||
        event_add(&c->event, NULL) != 0) {
        conn_end(c, REASON_poll_failed);
        return NULL;
    }
    conn_arm(c);
    return c;
}

uint64_t conn_id(const struct conn *c)
{
    return id_of(c->pub.owner->ind, c->pub.ind, c->generation);
}

bool conn_has_socket(const struct conn *c)
{
    return descriptor_is_of(c->pub.fd, conn_owner(c));
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
