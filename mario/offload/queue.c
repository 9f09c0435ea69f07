/*
 * queue.c: a worker's side of offloaded functions. Runs on the worker; nothing here may be called from
 * elsewhere.
 *
 * There are as many jobs as offload.queue says. A connection whose packet finds none stands in line, linked by
 * c->next and slots[].before, and is not read. When a connection ends it leaves the line, and of its packets those
 * that no thread has taken are cancelled: see pool.h.
 *
 * Steps of handshakes have jobs of their own, and no line: who finds none makes the step where it is.
 */
#include "mario/offload/queue.h"

#include <string.h>

#include "mario/base/id.h"
#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/exec/registry.h"

enum {
    COLLECT_BATCH = 256,
    PACKET_LEAST = 64 /* bytes: the smallest block mem.c keeps */
};

/* ---- The line ---- */

static void stand_in_line(struct shard *s, struct conn *c)
{
    struct offload_queue *d = s->offload;
    uint32_t link = c->pub.ind + 1;
    c->wait = WAIT_JOB;
    c->refs++;
    c->next = 0;
    d->slots[c->pub.ind].before = d->waiting == 0 ? 0 : d->waiting_last;
    if (d->waiting == 0)
        d->waiting = link;
    else
        s->conns[d->waiting_last - 1].next = link;
    d->waiting_last = link;
    stats_add(s->stats, STAT_offload_full, 1);
}

/* Its place is given up, wherever in line it is; the reference is the caller's then. */
static void leave_line(struct shard *s, struct conn *c)
{
    struct offload_queue *d = s->offload;
    uint32_t before = d->slots[c->pub.ind].before;
    if (before == 0)
        d->waiting = c->next;
    else
        s->conns[before - 1].next = c->next;
    if (c->next == 0)
        d->waiting_last = before;
    else
        d->slots[c->next - 1].before = before;
    c->wait = WAIT_NONE;
}

/* ---- What is out for a connection ---- */

static void note_job(struct offload_queue *d, struct job *j)
{
    struct queue_slot *of = &d->slots[j->pub.ind];
    j->before = NULL;
    j->next = of->jobs;
    if (j->next != NULL)
        j->next->before = j;
    of->jobs = j;
}

static void forget_job(struct offload_queue *d, struct job *j)
{
    if (j->before != NULL)
        j->before->next = j->next;
    else
        d->slots[j->pub.ind].jobs = j->next;
    if (j->next != NULL)
        j->next->before = j->before;
}

/* Of a step of a handshake: nobody wants it. */
static void drop_session(struct job *j)
{
    if (j->shake != NULL)
        tls_session_free(&j->shake->session);
}

/* Its connection has ended: true if no thread has taken it. Then nobody will, and its packet is freed at once. */
static bool is_cancelled(struct job *j)
{
    int sent = JOB_SENT;
    if (!atomic_compare_exchange_strong_explicit(&j->state, &sent, JOB_CANCELLED, memory_order_acq_rel,
                                                 memory_order_acquire))
        return false;
    mem_free(j->pub.in_buf);
    j->pub.in_buf = NULL;
    drop_session(j);
    return true;
}

static bool cancel(struct offload_queue *d, struct job *j)
{
    if (!is_cancelled(j))
        return false;
    forget_job(d, j);
    return true;
}

uint32_t queue_take_back(struct shard *s, struct conn *c)
{
    struct offload_queue *d = s->offload;
    uint32_t n = 0;
    for (struct job *j = d->slots[c->pub.ind].jobs, *next; j != NULL; j = next) {
        next = j->next;
        n += cancel(d, j);
    }
    stats_add(s->stats, STAT_offload_cancelled, n);
    if (c->wait == WAIT_JOB) {
        leave_line(s, c);
        n++;
    }
    return n;
}

static void recycle(struct offload_queue *d, struct job *j)
{
    struct job **idle = j->shake != NULL ? &d->idle_shakes : &d->idle;
    job_drop_reply(j);
    mem_free(j->pub.in_buf);
    j->pub.in_buf = NULL;
    atomic_store_explicit(&j->state, JOB_IDLE, memory_order_relaxed);
    j->next = *idle;
    *idle = j;
}

/* ---- Going out ---- */

/* What is the same of all jobs. */
static void fill(struct job *j, const struct shard *s, uint32_t listener, const CONN *pub, uint16_t akg_id,
                 unsigned char *packet, uint32_t len)
{
    j->pub = *pub;
    j->pub.in_buf = (char *) packet;
    j->pub.in_buf_len = (uint16_t) len;
    j->f = registry_offload_function(akg_id);
    j->framing = s->service->framing[listener];
    j->ends = s->service->ends[listener];
    j->opcode = 0;
    j->conn = 0;
    j->address6 = NULL;
    j->proxied = NULL;
    j->tls = NULL;
    j->datagram = NULL;
    j->akg_id = akg_id;
    j->concurrent = registry_offload_is_concurrent(akg_id);
    j->end_reason = REASON_NONE;
    j->len = 0;
}

/* A packet in a block of its own. NULL without memory. */
static unsigned char *copy(const unsigned char *data, size_t len)
{
    unsigned char *packet = mem_alloc(len < PACKET_LEAST ? PACKET_LEAST : len + 1);
    if (packet == NULL)
        return NULL;
    memcpy(packet, data, len);
    packet[len] = 0; /* read as text it ends there */
    return packet;
}

enum queue_answer queue_send(struct conn *c, const struct mario_frame *frame, const unsigned char *data)
{
    struct shard *s = conn_shard(c);
    struct offload_queue *d = s->offload;
    struct job *j = d->idle;
    CHECK_ON_WORKER(s);
    if (c->refs >= REFS_MAX) {
        c->wait = WAIT_OWN;
        return QUEUE_LATER;
    }
    if (j == NULL || (d->waiting != 0 && !d->granted)) {
        stand_in_line(s, c);
        return QUEUE_LATER;
    }
    unsigned char *packet = copy(data + frame->at, frame->len);
    if (packet == NULL)
        return QUEUE_NO_MEMORY;
    d->granted = false;
    d->idle = j->next;
    fill(j, s, c->listener, &c->pub, frame->id, packet, frame->len);
    j->opcode = conn_executor(c)->opcode;
    j->conn = conn_id(c);
    j->address6 = conn_address6(c);
    j->proxied = proxied_of(c);
    j->tls = conn_is_tls(c) ? secure_session(c) : NULL;
    atomic_store_explicit(&j->state, JOB_SENT, memory_order_relaxed); /* the ring publishes it */
    note_job(d, j);
    c->refs++;
    if (!j->concurrent)
        c->wait = WAIT_FUNCTION;
    stats_add(s->stats, STAT_offload_jobs, 1);
    offload_send(d, j);
    return QUEUE_SENT;
}

/* ---- Datagrams ---- */

/* Nobody stands in line for one: who finds no job, or others in front, is dropped. */
bool queue_send_datagram(struct shard *s, const CONN *pub, const struct udp_from *from, uint32_t socket,
                         const struct mario_frame *frame, uint32_t came)
{
    struct offload_queue *d = s->offload;
    struct job *j = d->idle;
    unsigned char *packet;
    CHECK_ON_WORKER(s);
    if (j == NULL || d->waiting != 0 ||
        (packet = copy((const unsigned char *) pub->in_buf, frame->len)) == NULL)
        return false;
    d->idle = j->next;
    fill(j, s, s->udp[socket].listener, pub, frame->id, packet, frame->len);
    j->datagram = &d->datagrams[j - d->all];
    *j->datagram =
        (struct datagram_job){.from = *from, .socket = socket, .most = came * s->udp[socket].amplify};
    if (from->who.any.sa_family == AF_INET6)
        j->address6 = j->datagram->from.who.v6.sin6_addr.s6_addr;
    atomic_store_explicit(&j->state, JOB_SENT, memory_order_relaxed);
    s->udp_jobs++;
    stats_add(s->stats, STAT_offload_jobs, 1);
    offload_send(d, j);
    return true;
}

void queue_cancel_datagrams(struct shard *s)
{
    struct offload_queue *d = s->offload;
    for (uint32_t i = 0; d != NULL && s->udp_jobs > 0 && i < d->count; i++) {
        struct job *j = &d->all[i];
        if (j->datagram == NULL || !is_cancelled(j))
            continue;
        s->udp_jobs--;
        stats_add(s->stats, STAT_offload_cancelled, 1);
    }
}

static void send_datagram(struct shard *s, const struct job *j)
{
    const struct datagram_job *to = j->datagram;
    int fd = s->udp[to->socket].fd;
    enum counter what = STAT_udp_unsent;
    if (j->len > to->most)
        what = STAT_udp_amplified;
    else if (fd >= 0 && udp_send_one(fd, &to->from, j->large != NULL ? j->large : j->small, j->len))
        what = STAT_udp_out;
    stats_add(s->stats, what, 1);
    if (what == STAT_udp_out)
        stats_add(s->stats, STAT_bytes_out, j->len);
}

/* The function of a datagram has returned: its reply goes out, unless it closed or failed. */
static void settle_datagram(struct executor *t, struct job *j)
{
    struct shard *s = t->shard;
    s->udp_jobs--;
    if (j->end_reason == REASON_function_died)
        stats_add(s->stats, STAT_offload_died, 1);
    if (j->len > 0 && j->end_reason == REASON_NONE)
        send_datagram(s, j);
    if (j->outside > 0)
        output_report_outside(s, j->akg_id, j->outside);
    recycle(s->offload, j);
}

/* ---- Handshakes ---- */

bool queue_shake(struct conn *c, struct tls_session *session, const unsigned char *in, size_t n)
{
    struct shard *s = conn_shard(c);
    struct offload_queue *d = s->offload;
    struct job *j = d->idle_shakes;
    CHECK_ON_WORKER(s);
    unsigned char *data = j != NULL && c->refs < REFS_MAX ? copy(in, n) : NULL;
    if (data == NULL)
        return false;
    d->idle_shakes = j->next;
    j->pub = c->pub;
    j->pub.in_buf = (char *) data;
    j->conn = conn_id(c);
    j->address6 = conn_address6(c);
    j->end_reason = REASON_NONE;
    j->skipped = false;
    j->len = 0;
    *j->shake = (struct shake_job){.session = session, .n = n, .answer = TLS_MORE};
    atomic_store_explicit(&j->state, JOB_SENT, memory_order_relaxed); /* the ring publishes it */
    note_job(d, j);
    c->refs++;
    c->wait = WAIT_FUNCTION;
    offload_send(d, j);
    return true;
}

/* A step of c's handshake is back. One that was skipped, since the peer is gone, has done nothing: the socket says so
 * once it is read again. */
static void settle_shake(struct executor *t, struct conn *c, struct job *j, queue_go_on_fn go_on)
{
    struct shake_job *k = j->shake;
    struct secure_step step = {.session = k->session,
                               .answer = k->answer,
                               .fault = k->fault,
                               .why = k->why,
                               .data = (unsigned char *) j->pub.in_buf,
                               .n = k->n,
                               .used = j->skipped ? k->n : k->used,
                               .out = j->large != NULL ? j->large : j->small,
                               .out_len = j->len};
    stats_add(t->shard->stats, STAT_offload_cancelled, j->skipped);
    conn_release(c);
    if (c->state == CONN_OPEN) {
        k->session = NULL;
        c->last_rx = t->shard->tick;
        secure_shaken(t, c, &step);
    }
    drop_session(j);
    recycle(t->shard->offload, j);
    if (c->state == CONN_OPEN)
        go_on(t, c, true);
}

/* ---- Coming back ---- */

/* Send the reply. Why the connection has to end, or REASON_NONE. */
static enum reason deliver(struct conn *c, struct job *j)
{
    return output_reason(output_send_bytes(c, j->large != NULL ? j->large : j->small, j->len));
}

/* A function of c has returned. What it wrote is sent; true if c is still open then. */
static bool settle(struct executor *t, struct conn *c, struct job *j)
{
    enum reason r = j->end_reason;
    uint16_t err_type = j->pub.err_type;
    bool open = c->state == CONN_OPEN;
    stats_add(t->shard->stats, STAT_offload_cancelled, j->skipped);
    if (!j->concurrent)
        c->pub.user = j->pub.user;
    if (r == REASON_function_died)
        stats_add(t->shard->stats, STAT_offload_died, 1);
    if (open) {
        enum reason sent = deliver(c, j);
        r = sent != REASON_NONE ? sent : r;
    } else if (j->len > 0) { /* the connection has ended, or is only sent what was pending before */
        stats_add(t->shard->stats, STAT_offload_dropped, 1);
    }
    if (j->outside > 0)
        output_report_outside(t->shard, j->akg_id, j->outside);
    recycle(t->shard->offload, j);
    conn_release(c);
    if (!open)
        return false;
    c->last_rx = t->shard->tick; /* we did not listen, or did not answer: silence starts now */
    if (r == REASON_NONE && c->fin && c->refs == 0 && c->carry_len == 0)
        r = REASON_peer_closed;
    if (r != REASON_NONE) {
        c->pub.err_type = err_type;
        conn_close(c, r);
    }
    return c->state == CONN_OPEN;
}

static void come_back(struct executor *t, struct job *j, queue_go_on_fn go_on)
{
    struct conn *c = &t->shard->conns[j->pub.ind];
    if (atomic_load_explicit(&j->state, memory_order_relaxed) == JOB_CANCELLED) {
        recycle(t->shard->offload, j);
        return;
    }
    if (j->datagram != NULL) {
        settle_datagram(t, j);
        return;
    }
    forget_job(t->shard->offload, j);
    /* Not conn_id(): that asks c's owner, which may be the executor of a thread that got stuck with c and is gone. */
    CHECK(c->magic == CONN_MAGIC && c->refs > 0 && c->generation == id_generation(j->conn));
    bool waited = j->concurrent ? c->wait == WAIT_OWN : c->wait == WAIT_FUNCTION;
    if (waited)
        c->wait = WAIT_NONE;
    if (j->shake != NULL)
        settle_shake(t, c, j, go_on);
    else if (settle(t, c, j))
        go_on(t, c, waited);
}

static void serve_line(struct executor *t, queue_go_on_fn go_on)
{
    struct offload_queue *d = t->shard->offload;
    while (d->waiting != 0 && d->idle != NULL) {
        struct conn *c = &t->shard->conns[d->waiting - 1];
        CHECK(c->state == CONN_OPEN && c->wait == WAIT_JOB);
        leave_line(t->shard, c);
        conn_release(c);
        c->last_rx = t->shard->tick;
        d->granted = true;
        go_on(t, c, true);
        d->granted = false;
    }
}

bool queue_collect(struct executor *t, queue_go_on_fn go_on)
{
    struct offload_queue *d = t->shard->offload;
    struct job **slot = NULL;
    d->granted = false;
    for (int i = 0; i < COLLECT_BATCH && (slot = spsc_front(&d->done)) != NULL; i++) {
        struct job *j = *slot;
        spsc_release(&d->done);
        come_back(t, j, go_on);
    }
    serve_line(t, go_on);
    return slot != NULL;
}
