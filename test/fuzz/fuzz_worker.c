/*
 * fuzz_worker.c: a libFuzzer target for a whole worker: the worker, its connections, offload queue, pool and
 * output as they stand in libmario, over socketpairs. The input is a script for its clients, the clock and the
 * master.
 *
 * The fuzzer's thread is the worker: it turns the loop once whenever the script says so, and in between it is the
 * master and the clients. So an input always does the same, and the target knows when nothing more can happen. For
 * that worker.c and takeover.c are included, not linked. Time passes only in the script: the tick's descriptor
 * is an eventfd. One thread of the pool runs offloaded functions; each waits at a gate that the script opens.
 * The worker lives on from one input to the next.
 *
 * A thread of the worker that ends in a function jumps out of it, and a successor is put in its place as
 * successor_main() does it.
 *
 * Input: two bytes of settings (choose), then steps: a byte that says what, which client, and whether the loop turns
 * afterwards; and what that step needs (step). What must hold is in model.c, and in account() below.
 */
#include "mario/worker/takeover.c"
#include "mario/worker/worker.c"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "business.h"
#include "mario/base/clock.h"
#include "mario/base/loop.h"
#include "mario/exec/registry.h"

enum {
    STX = 0x20304050,
    PLACES = 3,
    JOBS = 3,
    FDS = 128,
    CLIENT_BUFFER = 16384,
    STALLED = 4,
    TURNS_MAX = 10000
};

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum step {
    STEP_CONNECT, /* mode */
    STEP_RAW,     /* n, n bytes */
    STEP_PACKET,  /* function, length, first byte of data */
    STEP_PUSH,    /* n: send that many bytes of what was held back; 255: all */
    STEP_READ,    /* n: read up to n * 64 bytes; 255: all */
    STEP_FIN,
    STEP_DROP,
    STEP_TICK, /* n */
    STEP_RETURN,
    STEP_STOP,
    STEP_STOP_AT_ONCE,
    STEP_DIE,
    STEP_STARVE, /* n: the n-th allocation from now on fails */
    STEP_UNWATCHABLE,
    STEPS,
    STEP_CLIENT = 0x30, /* which client */
    STEP_HOLD = 0x40,   /* what it wants to send is held back */
    STEP_QUIET = 0x80   /* the loop does not turn */
};

struct script {
    const uint8_t *data;
    size_t n;
};

static struct worker worker;
static struct offload_pool *pool;
static struct settings settings;
static struct service service;
static struct mario_framing framing;
static struct head_rules head_rules;
static struct stats stats;
static struct activity activities[2];
static struct doorbell master_bell;
static uint32_t handed; /* connections given to the worker, mod 2^32 */
static bool small_buffers, stopping;
static uint64_t bytes_sent, bytes_got;
static bool any_dropped;
static _Atomic uint32_t allocations_left; /* until one fails; 0: none will */

/* What the library allocates comes from here: linked with --wrap=malloc. */
void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_malloc(size_t n)
{
    uint32_t left = atomic_load_explicit(&allocations_left, memory_order_relaxed);
    if (left > 0)
        atomic_store_explicit(&allocations_left, left - 1, memory_order_relaxed);
    return left == 1 ? NULL : __real_malloc(n);
}

static uint8_t next_byte(struct script *s)
{
    if (s->n == 0)
        return 0;
    s->n--;
    return *s->data++;
}

/* ---- The worker ---- */

/* The worker's thread is gone: what successor_main() does, and then what the master does about the former one. This
 * one may die as well. */
static void succeed(bool behind)
{
    struct executor *old = worker.executor;
    uint64_t fence;
    allocations_left = 0; /* the master would try again */
    worker_on_thread_end(&worker);
    MUST(takeover_is_needed(&worker, 0, &fence));
    struct executor *t = worker_executor_create(&worker, old->activity);
    MUST(t != NULL);
    worker_begin_thread(t);
    MUST(event_add(t->bell_event, NULL) == 0 && event_add(t->tick_event, NULL) == 0);
    MUST(fence_take(&old->fence, fence));
    t->predecessor = old;
    t->fence_seen = fence;
    take_over(&worker, old);
    worker.executor = t;
    for (unsigned bit = 0; bit < BELLS; bit++)
        doorbell_ring(&worker.bell, bit);
    MUST(takeover_release(&worker, old));
    executor_destroy(&old);
    if (behind) /* the master was quick, and the word about it is still behind others in the ring */
        queue_collect(executor_here, dispatch_go_on);
}

static void end_thread(bool behind)
{
    succeed(setjmp(business.death) != 0 || behind);
}

static uint32_t jobs_out(void)
{
    uint32_t n = JOBS;
    for (const struct job *j = worker.shard.offload->idle; j != NULL; j = j->next)
        n--;
    return n;
}

static bool bell_says_done(void)
{
    return atomic_load(&worker.bell.word) & UINT64_C(1) << BELL_DONE;
}

/* The thread of the pool comes to rest: at the gate, without a job, or with one that is done. Else chance would say
 * whether a job that is taken back had been taken. */
static void let_pool_rest(void)
{
    while (jobs_out() > 0 && business.at_gate == 0 && !bell_says_done())
        sched_yield();
}

static void turn(void)
{
    if (setjmp(business.death) != 0) {
        succeed(true);
        return;
    }
    dispatch_begin_pass(executor_here);
    event_base_loop(executor_here->pub.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    if (worker.shard.line.first != 0)
        dispatch_line(executor_here);
    let_pool_rest();
    if (has_work_left(&worker))
        return;
    MUST(stopping && worker.shard.in_use == 0); /* here its thread would end; it gets another life */
    stopping = worker.stopping = worker.shard.ends_at_once = false;
    atomic_store(&worker.stop_now, false);
    worker.stop_cursor = 0;
}

static uint64_t progress(void)
{
    uint64_t sum = business.deaths;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        sum += stats_get(&stats, (enum counter) i);
    return sum;
}

/* Turn the loop until nothing more happens. */
static void settle(void)
{
    uint64_t before;
    unsigned turns = 0;
    do {
        before = progress();
        turn();
        MUST(++turns < TURNS_MAX);
    } while (progress() != before || worker.shard.line.first != 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *a = &business.clients[i];
        if (peer_is_lost(&a->peer)) /* nobody else will say so */
            business.ends[REASON_poll_failed]++;
        peer_look(&a->peer, a->conn != NULL && ((struct conn *) (void *) a->conn)->refs > 0);
    }
}

static void teardown(void)
{
    offload_stop(pool);
    offload_destroy(&pool);
    worker_teardown(&worker);
    doorbell_fini(&master_bell);
}

static void setup(void)
{
    struct offload_options options = {.threads = 1,
                                      .queue = JOBS,
                                      .workers = 1,
                                      .connnum = PLACES,
                                      .max_pkglen = 8192,
                                      .activities = &activities[1]};
    loop_setup(&(struct loop_hooks){.message = executor_libevent_says, .is_running = registry_is_frozen});
    business_setup(&worker.shard);
    head_rules = (struct head_rules){.stx = STX, .funcs = registry_functions()};
    framing = (struct mario_framing){.name = "head", .next = head_next, .max = 8192, .arg = &head_rules};
    service = (struct service){.funcs = registry_functions(), .max_pkglen = 8192, .framing = {&framing}};
    rules = (struct rules){
        .set = &settings, .framing = &framing, .where = business_where, .now = &worker.shard.tick};
    MUST(doorbell_init(&master_bell));
    struct worker_options w = {
        .connnum = PLACES, .service = &service, .set = &settings, .master_bell = &master_bell};
    MUST(worker_setup(&worker, 0, &w, &stats, &activities[0]));
    int clock = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(clock >= 0 && event_del(worker.executor->tick_event) == 0 && dup2(clock, worker.tick_fd) >= 0);
    MUST(close(clock) == 0 && event_add(worker.executor->tick_event, NULL) == 0);
    pool = offload_create(&options);
    MUST(pool != NULL);
    worker_offload(&worker, pool);
    MUST(offload_start(pool) == 0);
    registry_freeze();
    worker_begin_thread(worker.executor);
    clock_cycles_ms = UINT64_C(1) << 60; /* no share of time is ever used up: time passes in the script */
    atexit(teardown);
}

/* ---- The master ---- */

static void tell(const struct message *m)
{
    MUST(worker_tell(&worker, m));
    worker_wake(&worker);
}

static void hand_over(int fd, uint32_t cip, uint16_t cport)
{
    struct accepted_socket s = {.fd = fd, .peer = peer_of_v4(cip, cport)};
    MUST(worker_hand(&worker, &s));
    worker_wake(&worker);
}

static void stop(bool at_once)
{
    if (!at_once && !stopping)
        tell(&(struct message){.kind = MESSAGE_STOP});
    if (at_once)
        worker_stop_now(&worker);
    stopping = true;
    for (unsigned i = 0; i < CLIENTS; i++)
        peer_stop(&business.clients[i].peer, at_once);
}

static void pass_time(uint64_t ticks)
{
    MUST(write(worker.tick_fd, &ticks, sizeof ticks) == (ssize_t) sizeof ticks);
}

/* A connection that the worker cannot watch: nobody hears of it but the counters. */
static void hand_over_unwatchable(void)
{
    int fd =
        handed - atomic_load(&worker.shard.released) < PLACES ? open("/dev/null", O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0 || stopping)
        return (void) (fd >= 0 && close(fd));
    handed++;
    business.ends[REASON_poll_failed]++;
    hand_over(fd, 0, 0);
}

/* One offloaded function returns. Packets that do not run, as their client has gone, come back by themselves
 * before. What hangs here is found by the fuzzer's own clock. */
static void let_return(void)
{
    settle(); /* so that its reply is the next thing that happens */
    while (jobs_out() > 0 && business.at_gate == 0) {
        sched_yield();
        settle();
    }
    if (jobs_out() == 0)
        return;
    sem_post(&business.gate);
    while (!bell_says_done())
        sched_yield();
    while (bell_says_done()) /* the descriptor is written after the word */
        turn();
    settle();
}

/* ---- The clients ---- */

static void leave(struct client *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
}

/* Over for both sides: judge it. */
static void part(struct client *a)
{
    if (a->peer.state != PEER_ENDED || !(a->eof || a->peer.dropped))
        return;
    peer_settle(&a->peer);
    leave(a);
    a->peer.state = PEER_NONE;
}

static void read_some(struct client *a, size_t limit)
{
    static unsigned char data[65536];
    ssize_t n = 1;
    while (a->fd >= 0 && limit > 0 && n > 0) {
        n = recv(a->fd, data, limit < sizeof data ? limit : sizeof data, 0);
        if (n > 0) {
            peer_got(&a->peer, data, (size_t) n);
            bytes_got += (size_t) n;
            limit -= (size_t) n;
        } else if (n == 0 || errno != EAGAIN) {
            a->eof = true;
        }
    }
    part(a);
}

static void connect_client(struct client *a, uint8_t mode)
{
    int pair[2], tiny = 1, size = CLIENT_BUFFER;
    if (a->peer.state == PEER_ENDED)
        read_some(a, SIZE_MAX);
    if (a->peer.state != PEER_NONE || stopping || handed - atomic_load(&worker.shard.released) >= PLACES)
        return;
    MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* less than one receive buffer */
    if (small_buffers)
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny);
    a->fd = pair[0];
    a->server_fd = pair[1];
    a->eof = false;
    a->mode = mode;
    a->outbox.len = a->pushed = 0;
    peer_begin(&a->peer);
    handed++;
    hand_over(pair[1], 0x0100007f, 0x1234);
}

static void push(struct client *a, size_t limit)
{
    while (a->fd >= 0 && !a->peer.fin && limit > 0 && a->pushed < a->outbox.len) {
        const unsigned char *data = a->outbox.data + a->pushed;
        size_t n = a->outbox.len - a->pushed;
        ssize_t sent = send(a->fd, data, n < limit ? n : limit, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0) { /* nobody is there to take it */
            a->pushed = a->outbox.len;
            return;
        }
        peer_sent(&a->peer, data, (size_t) sent);
        bytes_sent += (size_t) sent;
        a->pushed += (size_t) sent;
        limit -= (size_t) sent;
    }
}

static void finish_sending(struct client *a)
{
    if (a->fd < 0 || a->peer.fin)
        return;
    a->peer.fin = true;
    shutdown(a->fd, SHUT_WR);
}

static void drop(struct client *a)
{
    if (a->fd < 0 || a->peer.state == PEER_ENDED)
        return;
    a->peer.dropped = any_dropped = true;
    leave(a);
}

static void want_raw(struct client *a, struct script *s)
{
    size_t n = next_byte(s);
    n = n < s->n ? n : s->n;
    bytes_add(&a->outbox, s->data, n);
    s->data += n;
    s->n -= n;
}

/* A good packet, mostly: the id may be one beyond those that are known, or the length one that is not allowed. */
static void want_packet(struct client *a, struct script *s)
{
    unsigned char packet[65536] = {STX & 255, STX >> 8 & 255, STX >> 16 & 255, STX >> 24};
    size_t id = next_byte(s) % (business_count() + 1) + FIRST_ID, len = next_byte(s);
    uint8_t first = next_byte(s);
    len = SIZE_OF_HEAD + (len < 200 ? len : (len - 199) * 300);
    packet[4] = (unsigned char) len;
    packet[5] = (unsigned char) (len >> 8);
    packet[6] = (unsigned char) id;
    for (size_t i = SIZE_OF_HEAD; i < len; i++)
        packet[i] = (unsigned char) (first + (i - SIZE_OF_HEAD) * 13);
    bytes_add(&a->outbox, packet, len);
}

/* ---- The script ---- */

static void step(struct script *s)
{
    uint8_t what = next_byte(s);
    struct client *a = &business.clients[(what & STEP_CLIENT) >> 4];
    enum step kind = what % 16 % STEPS;
    uint8_t n;
    if (kind == STEP_RAW || kind == STEP_PACKET)
        connect_client(a, MODE_SILENT); /* unless it is */
    switch (kind) {
    case STEP_CONNECT:
        connect_client(a, next_byte(s));
        break;
    case STEP_RAW:
        want_raw(a, s);
        break;
    case STEP_PACKET:
        want_packet(a, s);
        break;
    case STEP_PUSH:
        n = next_byte(s);
        push(a, n == 255 ? SIZE_MAX : n);
        break;
    case STEP_READ:
        n = next_byte(s);
        read_some(a, n == 255 ? SIZE_MAX : (size_t) n * 64);
        break;
    case STEP_FIN:
        finish_sending(a);
        break;
    case STEP_DROP:
        drop(a);
        break;
    case STEP_TICK:
        pass_time(1 + next_byte(s) % 16u);
        break;
    case STEP_RETURN:
        let_return();
        break;
    case STEP_STOP:
    case STEP_STOP_AT_ONCE:
        stop(kind == STEP_STOP_AT_ONCE);
        break;
    case STEP_STARVE:
        rules.starved = true;
        allocations_left = 1 + next_byte(s) % 16u;
        break;
    case STEP_UNWATCHABLE:
        hand_over_unwatchable();
        break;
    default:
        end_thread(what & STEP_HOLD);
        break;
    }
    if ((kind == STEP_RAW || kind == STEP_PACKET) && !(what & STEP_HOLD))
        push(a, SIZE_MAX);
    if (!(what & STEP_QUIET))
        settle();
}

/* All clients say what they have to say, listen, and go; all functions return. */
static void finish_all(void)
{
    uint64_t before = 0, now;
    unsigned stalled = 0, left;
    do {
        left = 0;
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct client *a = &business.clients[i];
            push(a, SIZE_MAX);
            if (a->pushed == a->outbox.len)
                finish_sending(a);
            read_some(a, SIZE_MAX);
            left += a->peer.state != PEER_NONE;
        }
        if (jobs_out() > 0)
            let_return();
        if (stalled > 0 && worker.shard.linger_first != 0)
            pass_time(1); /* their ends are the clock's */
        settle();
        for (unsigned i = 0; i < CLIENTS; i++)
            part(&business.clients[i]);
        now = progress() + bytes_sent + bytes_got;
        stalled = now == before ? stalled + 1 : 0;
        before = now;
        MUST(stalled < STALLED + settings.linger);
    } while (left > 0 || jobs_out() > 0 || stopping || worker.shard.linger_first != 0);
}

/* ---- Accounts ---- */

static unsigned descriptors(void)
{
    struct pollfd all[FDS];
    unsigned n = 0;
    for (int i = 0; i < FDS; i++)
        all[i] = (struct pollfd){.fd = i};
    MUST(poll(all, FDS, 0) >= 0);
    for (int i = 0; i < FDS; i++)
        n += (all[i].revents & POLLNVAL) == 0;
    return n;
}

static uint64_t since(const uint64_t *before, enum counter i)
{
    return stats_get(&stats, i) - before[i];
}

/* Everybody has gone: the counters add up, every place is free. */
static void account(const uint64_t *before, uint32_t handed_before)
{
    uint64_t ended = 0;
    for (unsigned r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        MUST(since(before, stats_of_reason((enum reason) r)) == business.ends[r]);
        ended += business.ends[r];
    }
    MUST(since(before, STAT_opened) == handed - handed_before && since(before, STAT_closed) == ended);
    MUST(ended == handed - handed_before && handed == atomic_load(&worker.shard.released));
    uint64_t taken_back =
        since(before, STAT_offload_cancelled); /* some of them had not been counted as come in */
    MUST(since(before, STAT_packets_in) <= business.calls + taken_back);
    MUST(business.deaths > 0 || since(before, STAT_packets_in) >= business.calls);
    MUST(since(before, STAT_bytes_in) <= bytes_sent && since(before, STAT_bytes_out) >= bytes_got);
    MUST(any_dropped || since(before, STAT_bytes_out) == bytes_got);
    MUST(worker.shard.in_use == 0 && worker.shard.closing.first == 0 && worker.shard.line.first == 0 &&
         worker.shard.offload->waiting == 0);
    for (uint32_t i = 0; i < worker.shard.fresh; i++) {
        const struct conn *c = &worker.shard.conns[i];
        MUST(c->state == CONN_FREE && c->carry == NULL && c->outbox == NULL && c->node.next == 0);
    }
}

static void choose(uint8_t a, uint8_t b)
{
    static const uint32_t limits[] = {8192, 64, 1024, 65535};
    framing.max = service.max_pkglen = limits[a & 3];
    settings.output_high = a & 4 ? 1024 : 16384;
    settings.output_max = a & 8 ? 16384 : 65536;
    small_buffers = a & 16;
    settings.timeout = b & 1 ? 10 : 0;
    settings.packet_timeout = b & 2 ? 6 : 0;
    settings.write_timeout = b & 4 ? 8 : 0;
    settings.drain_timeout = b & 8 ? 3 : 0;
    settings.linger = b & 32 ? 5 : 0;
    mario_log_level(b & 16 ? MARIO_LOG_WARN : MARIO_LOG_DEBUG); /* beyond the queues it is dropped */
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static bool ready;
    uint64_t before[STAT_COUNT];
    struct script s = {.data = input, .n = size};
    if (!ready)
        setup();
    ready = true;
    unsigned open = descriptors();
    uint32_t handed_before = handed;
    for (unsigned i = 0; i < STAT_COUNT; i++)
        before[i] = stats_get(&stats, (enum counter) i);
    business.calls = business.deaths = bytes_sent = bytes_got = 0;
    memset(business.ends, 0, sizeof business.ends);
    any_dropped = rules.starved = false;
    uint8_t first = next_byte(&s);
    choose(first, next_byte(&s));
    while (s.n > 0)
        step(&s);
    allocations_left = 0;
    finish_all();
    account(before, handed_before);
    MUST(descriptors() == open);
    return 0;
}
