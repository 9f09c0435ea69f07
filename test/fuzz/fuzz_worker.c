/*
 * fuzz_worker.c: a libFuzzer target for a whole worker: the worker, its connections, offload queue, pool and
 * output as they stand in libmario, over socketpairs. The input is a script for its clients, the clock and the
 * master.
 *
 * The fuzzer's thread is the worker: it turns the loop once whenever the script says so, and in between it is the
 * master and the clients. So an input always does the same, and the target knows when nothing more can happen. For
 * that worker.c and takeover.c are included, not linked. Time passes only in the script: the tick's descriptor
 * is an eventfd. One thread of the pool runs offloaded functions; each waits at a gate that the script opens. What
 * else comes from outside is in outside.c, what the clients do in client.c; what there is besides HEAD+Data in
 * further.c and sealed.c.
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
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "accounts.h"
#include "business.h"
#include "client.h"
#include "further.h"
#include "mario/base/clock.h"
#include "mario/base/loop.h"
#include "mario/exec/registry.h"
#include "mario/net/descriptor.h"
#include "outside.h"
#include "sealed.h"

enum { PLACES = 3, JOBS = 3, CLIENT_BUFFER = 16384, STALLED = 4, STALLED_MOST = 400, TURNS_MAX = 10000 };

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum step {
    STEP_CONNECT, /* mode */
    STEP_RAW,     /* n, n bytes */
    STEP_PACKET,  /* function, length, first byte of data */
    STEP_PUSH,    /* n: send that many bytes of what was held back; 255: all */
    STEP_READ,    /* n: read up to n * 64 bytes; 255: all */
    STEP_FIN,
    STEP_DROP,
    STEP_TICK, /* n; a pass of the loop lives through five at most */
    STEP_RETURN,
    STEP_STOP,
    STEP_STOP_AT_ONCE,
    STEP_DIE,
    STEP_STARVE,      /* n: the n-th allocation from now on fails */
    STEP_UNWATCHABLE, /* held: enum further, and what that needs */
    STEP_SETTINGS,    /* two bytes, as at the beginning: they are published */
    STEP_BUDGET,      /* n: a share of time lasts for so many looks; 0: for ever */
    STEPS,
    STEP_CLIENT = 0x30, /* which client */
    STEP_HOLD = 0x40,   /* what it wants to send is held back */
    STEP_QUIET = 0x80   /* the loop does not turn */
};

static struct worker worker;
static struct offload_pool *pool;
static struct settings settings[2]; /* those that hold, and those that did or will */
static unsigned current;
static struct service service;
static struct mario_framing framing;
static struct head_rules head_rules;
static struct stats stats;
static struct activity activities[2];
static struct doorbell master_bell;
static uint32_t handed; /* connections given to the worker, mod 2^32 */
static bool small_buffers, stopping;
static uint32_t looks;            /* of a share of time; 0: it is never over */
static uint8_t first[2], further; /* settings as the script says them */

/* ---- The worker ---- */

/* The worker's thread is gone: what successor_main() does, and then what the master does about the former one. This
 * one may die as well. */
static void succeed(bool behind)
{
    struct executor *old = worker.executor;
    uint64_t fence;
    outside_starve(0); /* the master would try again */
    business.kept = NULL;
    reply_abandon(old);
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
    while (jobs_out() + further_shakes_out() > 0 && business.at_gate == 0 && !bell_says_done())
        sched_yield();
}

/* Nobody had much more than a share: of what it sent, of what had waited in line, of what waited for a function. Only
 * without memory to wait in it cannot wait. */
static void check_shares(void)
{
    for (unsigned i = 0; i < CLIENTS; i++)
        MUST(looks == 0 || rules.starved ||
             business.clients[i].turn_calls <= 3 * (PACE_STRIDE_MAX + looks + 1));
}

static void turn(void)
{
    if (setjmp(business.death) != 0) {
        succeed(true);
        return;
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        business.clients[i].turn_calls = 0;
    dispatch_begin_pass(executor_here);
    event_base_loop(executor_here->pub.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    if (worker.shard.line.first != 0)
        dispatch_line(executor_here);
    if (worker.shard.secure->waits.first != 0)
        dispatch_shake(executor_here);
    if (datagrams_are_left(executor_here, false))
        datagrams_go_on(executor_here);
    check_shares();
    let_pool_rest();
    if (has_work_left(&worker))
        return;
    MUST(stopping && worker.shard.in_use == 0); /* here its thread would end; it gets another life */
    stopping = worker.stopping = worker.shard.ends_at_once = false;
    atomic_store(&worker.stop_now, false);
    worker.stop_cursor = 0;
    further_revive();
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
    bool in_line;
    do {
        before = progress();
        in_line = worker.shard.line.first != 0; /* who leaves it is read only in the pass behind that */
        turn();
        turn(); /* who may have more output since settings changed is read only in the pass behind that, too */
        MUST(++turns < TURNS_MAX);
    } while (progress() != before || in_line || worker.shard.line.first != 0);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *a = &business.clients[i];
        if (a->peer.is_loose)
            continue;
        if (peer_is_lost(&a->peer)) /* nobody else will say so */
            business.ends[REASON_poll_failed]++;
        peer_look(&a->peer, a->conn != NULL && ((struct conn *) (void *) a->conn)->refs > 0);
        if (a->fd >= 0)
            peer_look_behind(&a->peer, client_is_hung_up(a));
    }
}

static void teardown(void)
{
    offload_stop(pool);
    further_close();
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
    business.on_closed_fd = outside_forget;
    MUST(descriptor_setup(FDS));
    head_rules = (struct head_rules){.stx = STX, .funcs = registry_functions()};
    framing = (struct mario_framing){.name = "head", .next = head_next, .max = 8192, .arg = &head_rules};
    further_guest.arg = &head_rules;
    service = (struct service){.funcs = registry_functions(),
                               .max_pkglen = 8192,
                               .framing = {&framing, &further_guest},
                               .ends = {head_ends, further_guest_ends},
                               .is_guest = {false, true}};
    rules = (struct rules){
        .set = &settings[0], .framing = &framing, .where = business_where, .now = &worker.shard.tick};
    MUST(doorbell_init(&master_bell));
    struct worker_options w = {.connnum = PLACES,
                               .has_ipv6 = true,
                               .has_guest = true,
                               .state_size = sizeof(uint32_t),
                               .service = &service,
                               .set = &settings[0],
                               .master_bell = &master_bell};
    further_setup(&service, &w, &options, &head_rules);
    MUST(worker_setup(&worker, 0, &w, &stats, &activities[0]));
    int clock = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    MUST(clock >= 0 && event_del(worker.executor->tick_event) == 0 && dup2(clock, worker.tick_fd) >= 0);
    MUST(close(clock) == 0 && event_add(worker.executor->tick_event, NULL) == 0);
    pool = offload_create(&options);
    MUST(pool != NULL);
    worker_offload(&worker, pool);
    MUST(offload_start(pool) == 0);
    registry_freeze();
    further_open(&worker);
    worker_begin_thread(worker.executor);
    atexit(teardown);
}

/* ---- The master ---- */

static void tell(const struct message *m)
{
    MUST(worker_tell(&worker, m));
    worker_wake(&worker);
}

/* A number that was a connection's: its worker has to know, before it gets somebody else with it. */
static void take_from_former(int fd)
{
    uint32_t owner = descriptor_take(fd);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *a = &business.clients[i];
        if (!a->peer.lost || a->server_fd != fd || a->peer.state != PEER_SERVED || a->peer.found)
            continue;
        MUST(owner != 0);
        a->peer.found = true;
    }
    if (owner != 0)
        tell(&(struct message){.kind = MESSAGE_LOST, .slot = (owner & 0xffffff) - 1, .lost = fd});
}

/* If a slot is needed for the one that is handed over, who has ended first has to give up its own. */
static void expect_eviction(void)
{
    uint32_t on_its_way = handed - (uint32_t) stats_get(&stats, STAT_opened);
    if (worker.shard.in_use + on_its_way <= PLACES)
        return;
    struct client *oldest = NULL;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *a = &business.clients[i];
        if (rules.loose || a->peer.fin) /* whether it is gone already nobody knows */
            a->peer.evicted = a->peer.state == PEER_ENDED;
        if (a->peer.state != PEER_ENDED || a->fd < 0 || a->peer.evicted || a->peer.fin ||
            client_is_hung_up(a))
            continue;
        if (oldest == NULL || (int32_t) (a->peer.end_order - oldest->peer.end_order) < 0)
            oldest = a;
    }
    if (oldest != NULL)
        oldest->peer.evicted = true;
}

static void hand_over(int fd, const struct peer *peer, uint8_t listener, enum accepted_as as)
{
    struct accepted_socket s = {.fd = fd,
                                .listener = listener,
                                .as = (uint8_t) as,
                                .peer = peer != NULL ? *peer : (struct peer){.port = 0}};
    take_from_former(fd);
    expect_eviction();
    outside_handed(fd, peer);
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
    outside_pass((uint32_t) ticks * TICK_MS);
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
    hand_over(fd, NULL, 0, ACCEPTED_PLAIN);
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

static void connect_client(struct client *a, uint8_t mode, uint8_t listener, struct script *s)
{
    int pair[2], tiny = 1, size = CLIENT_BUFFER;
    if (a->peer.state == PEER_ENDED)
        client_read(a, SIZE_MAX);
    if (a->peer.state != PEER_NONE || stopping || handed - atomic_load(&worker.shard.released) >= PLACES)
        return;
    outside_pair(pair);
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof size); /* less than one receive buffer */
    if (small_buffers)
        setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny);
    further_forget(pair[1]);
    a->fd = pair[0];
    a->server_fd = pair[1];
    a->eof = false;
    a->mode = mode;
    a->listener = listener;
    a->outbox.len = a->pushed = 0;
    peer_begin(&a->peer);
    handed++;
    struct peer peer = client_identify(a);
    hand_over(pair[1], &peer, listener,
              listener >= LISTENER_LINE ? further_meet(a, s, pair[0]) : ACCEPTED_PLAIN);
}

/* ---- The script ---- */

static void fill_settings(struct settings *set, uint8_t a, uint8_t b)
{
    set->output_high = a & 4 ? 1024 : 16384;
    set->output_max = a & 8 ? 16384 : 65536;
    set->timeout = b & 1 ? 10 : 0;
    set->packet_timeout = b & 2 ? 6 : 0;
    set->write_timeout = b & 4 ? 8 : 0;
    set->drain_timeout = b & 8 ? 3 : 0;
    set->linger = b & 32 ? 5 : 0;
    further_settings(set, further);
    rules.linger_least = set->linger < rules.linger_least ? set->linger : rules.linger_least;
    rules.linger_most = set->linger > rules.linger_most ? set->linger : rules.linger_most;
}

/* From the next pass on they hold; the former ones are not looked at any more, so they may be anything. */
static void publish(uint8_t a, uint8_t b)
{
    struct settings *next = &settings[1 - current];
    settle();
    first[0] = a;
    first[1] = b;
    fill_settings(next, a, b);
    next->version = settings[current].version + 1;
    worker_publish(&worker, next);
    turn();
    MUST(worker_settings(&worker) == next->version);
    memset(&settings[current], 0, sizeof settings[current]);
    settings[current].version = next->version;
    current = 1 - current;
    rules.set = next;
    rules.changed = *rules.now;
}

static void take_further(struct client *a, struct script *s)
{
    enum further what = script_byte(s) % FURTHERS;
    uint8_t n;
    switch (what) {
    case FURTHER_CONNECT:
        n = script_byte(s) % (LISTENER_UDP - LISTENER_MARK) + LISTENER_MARK;
        connect_client(a, script_byte(s), n, s);
        break;
    case FURTHER_SETTINGS:
        further = script_byte(s);
        publish(first[0], first[1]);
        break;
    default:
        further_step(a, what, s);
        break;
    }
}

static void step(struct script *s)
{
    uint8_t what = script_byte(s);
    struct client *a = &business.clients[(what & STEP_CLIENT) >> 4];
    enum step kind = what % 16 % STEPS;
    uint8_t n;
    if (kind == STEP_RAW || kind == STEP_PACKET)
        connect_client(a, MODE_SILENT, 0, s); /* unless it is */
    switch (kind) {
    case STEP_CONNECT:
        n = script_byte(s);
        connect_client(a, n, n & MODE_OTHER_FRAMING ? 1 : 0, s);
        break;
    case STEP_RAW:
        client_want_raw(a, s);
        break;
    case STEP_PACKET:
        client_want_packet(a, s);
        break;
    case STEP_PUSH:
        n = script_byte(s);
        client_push(a, n == 255 ? SIZE_MAX : n);
        break;
    case STEP_READ:
        n = script_byte(s);
        client_read(a, n == 255 ? SIZE_MAX : (size_t) n * 64);
        break;
    case STEP_FIN:
        client_finish(a);
        break;
    case STEP_DROP:
        client_drop(a);
        break;
    case STEP_TICK:
        pass_time(1 + script_byte(s) % 16u);
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
        outside_starve(1 + script_byte(s) % 16u);
        break;
    case STEP_UNWATCHABLE:
        if (what & STEP_HOLD)
            take_further(a, s);
        else
            hand_over_unwatchable();
        break;
    case STEP_SETTINGS:
        n = script_byte(s);
        publish(n, script_byte(s));
        break;
    case STEP_BUDGET:
        looks = script_byte(s) % 8u;
        outside_share(looks);
        break;
    default:
        end_thread(what & STEP_HOLD);
        break;
    }
    if ((kind == STEP_RAW || kind == STEP_PACKET) && !(what & STEP_HOLD))
        client_push(a, SIZE_MAX);
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
            client_push(a, SIZE_MAX);
            if (a->pushed == a->outbox.len && (stalled > 0 || sealed_has_said(a->tls)))
                client_finish(a);
            client_read(a, SIZE_MAX);
            left += a->peer.state != PEER_NONE;
        }
        if (jobs_out() > 0)
            let_return();
        for (unsigned i = 0; stalled > 0 && i < CLIENTS; i++) {
            struct client *a = &business.clients[i];
            if (a->peer.lost &&
                a->peer.state == PEER_SERVED) /* somebody came with that number, and was refused */
                take_from_former(a->server_fd);
        }
        if (stalled > 0 && (rules.limited || rules.loose))
            pass_time(20);
        else if (stalled > 0 && worker.shard.linger_first != 0)
            pass_time(1); /* their ends are the clock's */
        settle();
        for (unsigned i = 0; i < CLIENTS; i++)
            client_part(&business.clients[i]);
        now = progress() + business.bytes_sent + business.bytes_got;
        stalled = now == before ? stalled + 1 : 0;
        before = now;
        MUST(stalled < (rules.limited || rules.loose ? STALLED_MOST : STALLED + 2 * rules.linger_most));
    } while (left > 0 || jobs_out() + further_shakes_out() + worker.shard.in_use > 0 || stopping ||
             worker.shard.linger_first != 0);
}

/* ---- An input ---- */

static void choose(uint8_t a, uint8_t b)
{
    static const uint32_t limits[] = {8192, 64, 1024, 65535};
    framing.max = further_guest.max = service.max_pkglen = limits[a & 3];
    small_buffers = a & 16;
    rules.linger_least = UINT32_MAX;
    rules.linger_most = 0;
    rules.changed = *rules.now - 1;
    first[0] = a;
    first[1] = b;
    further = 0;
    fill_settings(&settings[current], a, b);
    service.tls_offload = b & 64 ? MARIO_TLS_OFFLOAD_ALL : MARIO_TLS_OFFLOAD_OFF;
    looks = 0;
    outside_share(looks);
    executor_here->pace = (struct pace){.deadline = 0};
    mario_log_level(b & 16 ? MARIO_LOG_WARN : MARIO_LOG_DEBUG); /* beyond the queues it is dropped */
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static bool ready;
    struct script s = {.data = input, .n = size};
    if (!ready)
        setup();
    ready = true;
    outside_pass(10000); /* what was counted a second, of lines in the log, begins anew */
    unsigned open = outside_descriptors();
    accounts_begin(&worker.shard, handed);
    business.calls = business.deaths = business.bytes_sent = business.bytes_got = 0;
    business.references = business.cleanups = business.closed_fds = business.lost_fds = 0;
    business.kept = NULL;
    memset(business.ends, 0, sizeof business.ends);
    business.any_dropped = rules.starved = rules.limited = rules.loose = false;
    uint8_t n = script_byte(&s);
    choose(n, script_byte(&s));
    while (s.n > 0)
        step(&s);
    outside_starve(0);
    finish_all();
    accounts_check(&worker.shard, handed);
    MUST(outside_descriptors() == open);
    return 0;
}
