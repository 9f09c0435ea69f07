/*
 * worker.c: the loop of a worker: inbox, read, dispatch, flush, sweep, stop. All of it runs on the worker's
 * own thread, but for setup, start and teardown (the thread that makes the server) and worker_stop_now() (the
 * master).
 *
 * A packet's way: on_socket -> receive -> consume -> the function -> finish_turn -> output_send. While a
 * function of c runs, shard.running is c and c->bufev is the pen; a close is then only noted and carried out
 * by finish_turn.
 */
#include "worker.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "akg.h"
#include "io.h"
#include "loop.h"
#include "mem.h"
#include "output.h"

#define RX_FRONT 65536u /* room in front for an unfinished packet */
#define RX_SIZE  65536u /* one recv */

enum {
    TICK_JUMP_MAX = 5, /* ticks one sweep lives through at most: a stalled loop is nobody's silence */
    STOP_BATCH = 256,  /* connections a stop looks at before others get their turn */
    ADOPT_BATCH = 256
};

_Thread_local struct shard *shard_here;

static struct worker *worker_of(struct shard *s)
{
    return (struct worker *) (void *) s;
}

/* ---- A function's turn ---- */

static void begin_turn(struct shard *s, struct conn *c)
{
    ASSERT(s->running == NULL);
    mem_take_failure();
    s->running = c;
    c->pub.bufev = s->pen;
    c->pub.out_buf_len = (uint16) s->set->codec.max_pkglen;
}

/* What an attempt to send means for the connection. */
static void after_output(struct conn *c, enum output o)
{
    if (o == OUTPUT_BROKEN)
        conn_close(c, REASON_reset);
    else if (o == OUTPUT_LIMIT)
        conn_close(c, REASON_output_limit);
    else if (o == OUTPUT_NO_MEMORY)
        conn_close(c, REASON_no_memory);
}

/* The functions of this wake-up have run: send what they wrote, then carry out a close if one was noted. True
 * if the connection is still open. */
static bool finish_turn(struct shard *s, struct conn *c)
{
    c->pub.bufev = NULL;
    c->pub.in_buf = NULL;
    c->pub.in_buf_len = 0;
    bool incomplete = mem_take_failure();
    if (incomplete)
        s->ink_keep = 0; /* an answer may be missing: send none, whoever wrote them */
    enum output o = output_send(c);
    s->running = NULL;
    after_output(c, incomplete ? OUTPUT_NO_MEMORY : o);
    return !conn_settle(c);
}

/* Too much is pending: stop reading this connection; what it has sent waits in its carry. */
static void pause_reading(struct shard *s, struct conn *c)
{
    c->paused = true;
    stats_add(s->stats, STAT_output_paused, 1);
}

/* Between two packets: do not let the pen grow beyond output.high. True to go on with the next packet. */
static bool room_for_more(struct shard *s, struct conn *c)
{
    if (evbuffer_get_length(s->ink) <= s->set->output_high)
        return true;
    if (mem_take_failure()) {
        s->ink_keep = 0;
        conn_close(c, REASON_no_memory);
        return false;
    }
    after_output(c, output_send(c));
    return c->reason == REASON_NONE && output_pending(c) <= s->set->output_high;
}

static enum reason reason_of(enum codec_fault f)
{
    return f == CODEC_FAULT_STX      ? REASON_bad_stx
           : f == CODEC_FAULT_LENGTH ? REASON_bad_length
                                     : REASON_unknown_akg;
}

/* Hand out the whole packets in data[0 .. n-1]; keep the rest. `since` is when its first byte came. */
static void consume(struct shard *s, struct conn *c, unsigned char *data, size_t n, uint32_t since)
{
    const struct codec *codec = &s->set->codec;
    const unsigned char *start = data;
    struct packet p;
    uint64_t packets = 0;
    begin_turn(s, c);
    while (n > 0) {
        enum codec_answer answer = codec_next(codec, data, n, &p);
        if (answer == CODEC_MORE)
            break;
        if (answer == CODEC_BAD) {
            conn_close(c, reason_of(p.fault));
            break;
        }
        c->pub.in_buf = (char *) data;
        c->pub.in_buf_len = (uint16) p.len;
        packets++;
        sint32 rc = codec->funcs[p.akg_id](&c->pub);
        data += p.len;
        n -= p.len;
        if (rc != 0 && c->reason == REASON_NONE)
            conn_close(c, REASON_function_error);
        if (c->reason != REASON_NONE || !room_for_more(s, c))
            break;
    }
    stats_add(s->stats, STAT_packets_in, packets);
    if (!finish_turn(s, c))
        return;
    if (n > 0) {
        c->packet_since = data == start ? since : s->tick;
        if (!conn_carry(c, data, n)) {
            conn_close(c, REASON_no_memory);
            return;
        }
    }
    if (output_pending(c) > s->set->output_high)
        pause_reading(s, c);
    if (n > 0 || c->backlog != NULL)
        conn_watch(c);
}

/* Bytes that must still come before the packet in the carry is whole: at least 1. */
static size_t carry_lacks(const struct shard *s, const struct conn *c)
{
    struct packet p;
    if (codec_next(&s->set->codec, c->carry, c->carry_len, &p) == CODEC_MORE && p.len > c->carry_len)
        return p.len - c->carry_len;
    return 1;
}

/* n bytes have come into the receive buffer, behind its front. */
static void received(struct worker *w, struct conn *c, size_t n)
{
    struct shard *s = &w->shard;
    unsigned char *data = w->rx + RX_FRONT;
    uint32_t since = s->tick;
    c->last_rx = s->tick;
    stats_add(s->stats, STAT_bytes_in, n);
    if (c->stopping)
        c->stop_bytes = n < c->stop_bytes ? c->stop_bytes - (uint32_t) n : 0;
    if (c->carry_len > 0) {
        if (n < carry_lacks(s, c)) { /* a trickle is only appended: linear whatever the packet's length */
            if (!conn_carry(c, data, n))
                conn_close(c, REASON_no_memory);
            return;
        }
        size_t len = c->carry_len;
        ASSERT(len <= RX_FRONT);
        data -= len;
        n += len;
        since = c->packet_since;
        memcpy(data, c->carry, len);
        conn_carry_drop(c);
    }
    consume(s, c, data, n, since);
}

/* One receive buffer's worth. True if something came. */
static bool receive(struct worker *w, struct conn *c)
{
    ssize_t n = io_read(c->pub.fd, w->rx + RX_FRONT, RX_SIZE);
    if (n > 0) {
        received(w, c, (size_t) n);
        return true;
    }
    if (n == 0)
        conn_close(c, REASON_peer_closed);
    else if (errno != EAGAIN && errno != EINTR)
        conn_close(c, REASON_reset);
    return false;
}

/* Pending output went below output.high: hand out what waited in the carry, then read again. */
static void resume_reading(struct worker *w, struct conn *c)
{
    c->paused = false;
    c->last_rx = w->shard.tick; /* we did not listen: silence starts now */
    size_t len = c->carry_len;
    if (len == 0)
        return;
    ASSERT(len <= RX_FRONT + RX_SIZE);
    memcpy(w->rx, c->carry, len);
    conn_carry_drop(c);
    consume(&w->shard, c, w->rx, len, w->shard.tick);
}

static void send_more(struct worker *w, struct conn *c)
{
    after_output(c, output_flush(c));
    if (c->state == CONN_DRAINING && c->backlog == NULL)
        conn_end(c, (enum reason) c->reason);
    if (c->state == CONN_LIMBO)
        return;
    if (c->paused && output_pending(c) <= w->shard.set->output_high)
        resume_reading(w, c);
    if (c->state != CONN_LIMBO)
        conn_watch(c);
}

/* ---- Adopting ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg);

static void adopt(struct worker *w, const struct newcomer *n)
{
    struct conn *c = conn_open(&w->shard, n, on_socket);
    if (c == NULL)
        return;
    begin_turn(&w->shard, c);
    c->greeted = true;
    sint32 rc = akg_run_hook(g_akg_connected_id, &c->pub);
    if (rc != 0)
        conn_close(c, REASON_function_error);
    if (finish_turn(&w->shard, c) && c->backlog != NULL) {
        if (output_pending(c) > w->shard.set->output_high)
            pause_reading(&w->shard, c);
        conn_watch(c);
    }
}

/* Take a bounded number of the connections the master handed over. True if there may be more. */
static bool adopt_some(struct worker *w)
{
    for (int i = 0; i < ADOPT_BATCH; i++) {
        const struct newcomer *slot = spsc_front(&w->accepted);
        if (slot == NULL)
            return false;
        struct newcomer n = *slot;
        spsc_release(&w->accepted);
        if (n.fd < 0)
            w->stopping = true;
        else
            adopt(w, &n);
    }
    return true;
}

/* ---- Stopping ---- */

/* Answer what had arrived when the stop came, then end. Called again whenever c has made progress. */
static void stop_conn(struct worker *w, struct conn *c)
{
    while (c->state == CONN_OPEN && !c->paused && c->stop_bytes > 0) {
        if (!receive(w, c))
            c->stop_bytes = 0;
    }
    if (c->state == CONN_OPEN && !c->paused)
        conn_close(c, REASON_stop);
}

static void stop_begin_conn(struct worker *w, struct conn *c)
{
    int arrived = 0;
    if (c->state != CONN_OPEN || c->stopping)
        return;
    if (ioctl(c->pub.fd, FIONREAD, &arrived) != 0 || arrived < 0)
        arrived = 0;
    c->stopping = true;
    c->stop_bytes = (uint32_t) arrived;
    stop_conn(w, c);
}

static void stop_some(struct worker *w)
{
    struct shard *s = &w->shard;
    for (int i = 0; i < STOP_BATCH && w->stop_cursor < s->fresh; i++)
        stop_begin_conn(w, &s->conns[w->stop_cursor++]);
}

static void end_all(struct worker *w)
{
    struct shard *s = &w->shard;
    while (adopt_some(w)) {
    }
    for (uint32_t i = 0; i < s->fresh; i++) {
        struct conn *c = &s->conns[i];
        if (c->state == CONN_OPEN || c->state == CONN_DRAINING)
            conn_end(c, REASON_stop);
    }
    w->stopping = true;
    w->stop_cursor = s->fresh;
}

/* ---- Events ---- */

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    struct shard *s = conn_shard(c);
    struct worker *w = worker_of(s);
    ASSERT(c->magic == CONN_MAGIC && c->pub.fd == fd && shard_here == s);
    if (what & EV_WRITE)
        send_more(w, c);
    if ((what & EV_READ) && c->state == CONN_OPEN && !c->paused)
        receive(w, c);
    if (c->stopping && c->state == CONN_OPEN)
        stop_conn(w, c);
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    (void) fd;
    (void) what;
    uint64_t rung = doorbell_answer(&w->bell);
    if (rung & UINT64_C(1) << BELL_ACCEPTED && adopt_some(w))
        doorbell_ring(&w->bell, BELL_ACCEPTED); /* the rest at the next turn: others want theirs */
    if (rung & UINT64_C(1) << BELL_STOP && atomic_load_explicit(&w->stop_now, memory_order_acquire))
        end_all(w);
}

/* A deadline has come up. Before closing, look at the socket once more: what arrived in time is answered even
 * if the loop was late. */
static void on_due(void *arg, uint32_t index)
{
    struct worker *w = arg;
    struct conn *c = &w->shard.conns[index];
    ASSERT(c->magic == CONN_MAGIC);
    enum reason late = conn_overdue(c);
    if (late == REASON_write_timeout)
        send_more(w, c);
    else if (late != REASON_NONE)
        receive(w, c);
    if (c->state == CONN_LIMBO)
        return;
    late = late == REASON_NONE ? REASON_NONE : conn_overdue(c);
    if (late != REASON_NONE)
        conn_close(c, late);
    else if (c->stopping && c->state == CONN_OPEN)
        stop_conn(w, c);
    else
        conn_arm(c);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    uint64_t expired;
    (void) what;
    if (read(fd, &expired, sizeof expired) == (ssize_t) sizeof expired) /* reading also arms it again */
        w->ticks_due = expired;
}

/* Time goes on. After the I/O of the turn, so that the sweep sees what has arrived. */
static void sweep(struct worker *w)
{
    w->shard.tick += w->ticks_due > TICK_JUMP_MAX ? TICK_JUMP_MAX : (uint32_t) w->ticks_due;
    w->ticks_due = 0;
    wheel_advance(&w->shard.wheel, w->shard.tick, on_due, w);
}

/* ---- The thread ---- */

/* What is due after each turn of the loop. False when the worker's work is over. */
static bool turn(struct worker *w)
{
    if (w->ticks_due > 0)
        sweep(w);
    conn_turn(&w->shard);
    if (!w->stopping)
        return true;
    stop_some(w);
    conn_turn(&w->shard);
    return w->stop_cursor < w->shard.fresh || w->shard.in_use > 0;
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    shard_here = &w->shard;
    if (!mem_thread_init())
        slog_warn_t(w->shard.pub.qlog, "worker %u: no memory for block lists, using malloc",
                    w->shard.pub.ind);
    do {
        bool busy = w->stopping && w->stop_cursor < w->shard.fresh;
        if (event_base_loop(w->shard.pub.base, busy ? EVLOOP_NONBLOCK : EVLOOP_ONCE) < 0) {
            slog_err_t(w->shard.pub.qlog, "worker %u: the event loop failed: %s", w->shard.pub.ind,
                       strerror(errno));
            end_all(w);
        }
    } while (turn(w));
    output_teardown(&w->shard); /* here, so that what libevent frees goes to this thread's lists */
    mem_thread_fini();
    shard_here = NULL;
    atomic_store_explicit(&w->finished, true, memory_order_release);
    doorbell_ring(w->master_bell, w->shard.pub.ind);
    return NULL;
}

/* ---- Before and after the thread ---- */

static bool watch_setup(struct worker *w)
{
    struct itimerspec step = {.it_interval = {.tv_nsec = TICK_MS * 1000000L},
                              .it_value = {.tv_nsec = TICK_MS * 1000000L}};
    w->tick_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (w->tick_fd < 0 || timerfd_settime(w->tick_fd, 0, &step, NULL) != 0)
        return false;
    w->bell_event = event_new(w->shard.pub.base, w->bell.fd, EV_READ | EV_PERSIST | EV_ET, on_bell, w);
    w->tick_event = event_new(w->shard.pub.base, w->tick_fd, EV_READ | EV_PERSIST, on_tick, w);
    return w->bell_event != NULL && w->tick_event != NULL && event_add(w->bell_event, NULL) == 0 &&
           event_add(w->tick_event, NULL) == 0;
}

bool worker_setup(struct worker *w, uint32_t ind, uint32_t connnum, bool prefault, const struct settings *set,
                  struct stats *stats, struct doorbell *master_bell)
{
    struct shard *s = &w->shard;
    w->bell.fd = w->tick_fd = -1;
    w->master_bell = master_bell;
    s->pub.ind = ind;
    s->set = set;
    s->stats = stats;
    return (s->pub.qlog = create_log_queue()) != NULL && (s->pub.base = loop_base_create()) != NULL &&
           (s->out_buf = malloc(OUT_BUF_SIZE)) != NULL && (w->rx = malloc(RX_FRONT + RX_SIZE)) != NULL &&
           conn_pool_init(s, connnum, prefault) && output_setup(s) &&
           spsc_init(&w->accepted, WORKER_RING, sizeof(struct newcomer)) && doorbell_init(&w->bell) &&
           watch_setup(w);
}

/* What the master handed over when the loop had ended already, which only a broken loop makes happen. */
static void refuse_rest(struct worker *w)
{
    const struct newcomer *n;
    while (w->accepted.slots != NULL && (n = spsc_front(&w->accepted)) != NULL) {
        if (n->fd >= 0) {
            close(n->fd);
            stats_add(w->shard.stats, STAT_refused_stop, 1);
        }
        spsc_release(&w->accepted);
    }
}

void worker_teardown(struct worker *w)
{
    struct shard *s = &w->shard;
    refuse_rest(w);
    output_teardown(s);
    if (w->bell_event != NULL)
        event_free(w->bell_event);
    if (w->tick_event != NULL)
        event_free(w->tick_event);
    if (s->pub.base != NULL) {
        event_base_loop(s->pub.base, EVLOOP_NONBLOCK); /* bufferevents are freed in a pass of the loop */
        event_base_free(s->pub.base);
    }
    if (w->tick_fd >= 0)
        close(w->tick_fd);
    doorbell_fini(&w->bell);
    spsc_fini(&w->accepted);
    conn_pool_fini(s);
    free(s->out_buf);
    free(w->rx);
    log_queue_destroy(&s->pub.qlog);
}

int worker_start(struct worker *w)
{
    return pthread_create(&w->thread, NULL, worker_main, w);
}

void worker_stop_now(struct worker *w)
{
    atomic_store_explicit(&w->stop_now, true, memory_order_release);
    doorbell_ring(&w->bell, BELL_STOP);
}
