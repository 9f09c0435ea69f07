/*
 * test_pool.c: a worker's pool of connections and their lives, without a worker: the shard is made by hand,
 * sockets are pairs, the loop turns when the test says so. The next on a slot finds nothing of the one
 * before; nobody gets a slot before the loop has turned; each connection that was greeted is said goodbye to
 * once.
 */
#include "mario/conn.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "mario/akg.h"
#include "mario/loop.h"
#include "mario/mem.h"
#include "mario/output.h"

enum { PLACES = 40, MAX_PKGLEN = 8192 };

static struct shard shard;
static struct seat *seat;
static struct beat beat;
static struct settings settings;
static struct stats stats;
static FUNC_PTR functions[AKG_IDS];
static int peers[PLACES]; /* the other end of each slot's socket */

/* What the end hooks have seen. */
static struct {
    unsigned closed, timeout, error;
    uint16 err_type;
    CONN *conn;
    bool writes, closes; /* what the hook is to do */
} seen;

static unsigned ends_seen(void)
{
    return seen.closed + seen.timeout + seen.error;
}

static sint32 end_hook(CONN *c, unsigned *count)
{
    struct log_who who;
    ++*count;
    UNIT_ASSERT(seat_log_context(&who) && who.worker == c->owner->ind && who.slot == c->ind);
    seen.err_type = c->err_type;
    seen.conn = c;
    UNIT_ASSERT(c->fd >= 0 && c->bufev != NULL && c->in_buf_len == 0 && c->out_buf_len == MAX_PKGLEN);
    if (seen.writes)
        bufferevent_write(c->bufev, "too late", 8);
    if (seen.closes)
        close_conn(c, 1);
    return (sint32) *count; /* not looked at */
}

static sint32 closed_hook(CONN *c)
{
    return end_hook(c, &seen.closed);
}

static sint32 timeout_hook(CONN *c)
{
    return end_hook(c, &seen.timeout);
}

static sint32 error_hook(CONN *c)
{
    return end_hook(c, &seen.error);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
}

static void setup(void)
{
    loop_setup();
    ck_assert(mem_thread_init());
    settings = (struct settings){
        .codec = {.stx = 1, .max_pkglen = MAX_PKGLEN, .funcs = functions},
        .timeout = 100,
        .write_timeout = 50,
        .packet_timeout = 20,
        .drain_timeout = 30,
        .output_high = 256 * 1024,
        .output_max = 4 * 1024 * 1024,
    };
    ck_assert_int_eq(posix_memalign((void **) &seat, 64, sizeof *seat), 0);
    memset(seat, 0, sizeof *seat);
    ck_assert(seat_setup(seat, 0, &beat));
    seat->shard = &shard;
    seat_here = seat;
    shard.set = &settings;
    shard.stats = &stats;
    ck_assert(conn_pool_init(&shard, PLACES, false));
    ck_assert_int_eq(regist_closed_func(closed_hook), 0);
    ck_assert_int_eq(regist_timeout_func(timeout_hook), 0);
    ck_assert_int_eq(regist_error_func(error_hook), 0);
    memset(&seen, 0, sizeof seen);
    memset(peers, -1, sizeof peers);
}

static void teardown(void)
{
    for (uint32_t i = 0; i < shard.fresh; i++) {
        if (shard.conns[i].state == CONN_OPEN || shard.conns[i].state == CONN_DRAINING)
            conn_end(&shard.conns[i], REASON_stop);
        close(peers[i]);
    }
    conn_turn(&shard);
    ck_assert_uint_eq(shard.in_use, 0);
    seat_destroy(&seat);
    conn_pool_fini(&shard);
    mem_thread_fini();
}

/* A connection on a socket of its own; its other end is in peers[slot]. */
static struct conn *open_one(void)
{
    int pair[2];
    UNIT_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    struct newcomer n = {.fd = pair[0], .cip = 0x0100007f, .cport = 0x1234};
    struct conn *c = conn_open(&shard, &n, on_event);
    UNIT_ASSERT(c != NULL && c->pub.ind < PLACES);
    close(peers[c->pub.ind]); /* of the one before */
    peers[c->pub.ind] = pair[1];
    return c;
}

static uint64_t stat_of(enum counter i)
{
    return stats_get(&stats, i);
}

static unsigned descriptors(void)
{
    unsigned n = 0;
    DIR *d = opendir("/proc/self/fd");
    ck_assert_ptr_nonnull(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void check_fresh(const struct conn *c)
{
    UNIT_ASSERT(c->state == CONN_OPEN && c->magic == CONN_MAGIC && c->reason == REASON_NONE);
    UNIT_ASSERT(c->pub.owner == &seat->pub && conn_shard(c) == &shard && &shard.conns[c->pub.ind] == c);
    UNIT_ASSERT(c->pub.user == NULL && c->pub.bufev == NULL && c->pub.in_buf == NULL &&
                c->pub.in_buf_len == 0);
    UNIT_ASSERT(c->pub.err_type == 0 && c->pub.cip == 0x0100007f && c->pub.cport == 0x1234);
    UNIT_ASSERT(c->carry == NULL && c->carry_len == 0 && c->backlog == NULL);
    UNIT_ASSERT(!c->paused && !c->greeted && !c->stopping && c->stop_bytes == 0);
    UNIT_ASSERT(c->last_rx == shard.tick && c->last_tx == shard.tick && c->node.next != 0);
    UNIT_ASSERT(fcntl(c->pub.fd, F_GETFD) >= 0);
}

/* ---- Slots ---- */

START_TEST(every_place_once)
{
    bool taken[PLACES] = {false};
    for (uint32_t i = 0; i < PLACES; i++) {
        struct conn *c = open_one();
        check_fresh(c);
        ck_assert(!taken[c->pub.ind]);
        taken[c->pub.ind] = true;
        ck_assert_uint_eq(shard.in_use, i + 1);
    }
    ck_assert_uint_eq(stat_of(STAT_opened), PLACES);
}
END_TEST

START_TEST(nobody_gets_a_slot_before_the_loop_has_turned)
{
    struct conn *a = open_one();
    uint32_t slot = a->pub.ind, generation = a->generation;
    int fd = a->pub.fd;
    conn_end(a, REASON_peer_closed);
    ck_assert_uint_eq(a->state, CONN_LIMBO);
    ck_assert_uint_eq(a->magic, CONN_MAGIC);
    ck_assert_uint_eq(atomic_load(&shard.released), 0);
    struct conn *b = open_one();
    ck_assert_uint_ne(b->pub.ind, slot);
    conn_turn(&shard);
    ck_assert_uint_eq(a->state, CONN_FREE);
    ck_assert_int_eq(a->pub.fd, -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_uint_eq(ends_seen(), 0); /* who was not greeted is not said goodbye to */
    ck_assert_uint_eq(a->magic, 0);
    ck_assert_uint_ne(a->generation, generation);
    ck_assert_uint_eq(atomic_load(&shard.released), 1);
    ck_assert_uint_eq(open_one()->pub.ind, slot);
}
END_TEST

START_TEST(the_next_one_finds_nothing_of_the_one_before)
{
    static unsigned char secret[5000];
    struct conn *a = open_one();
    memset(secret, 's', sizeof secret);
    ck_assert(conn_carry(a, secret, sizeof secret));
    a->pub.user = secret;
    a->pub.err_type = 7;
    a->greeted = a->paused = a->stopping = true;
    a->stop_bytes = 9;
    a->packet_since = 5;
    seen.writes = true;
    conn_end(a, REASON_bad_stx);
    conn_turn(&shard);
    shard.tick += 12345;
    struct conn *b = open_one();
    ck_assert_ptr_eq(b, a);
    check_fresh(b);
    ck_assert_uint_eq(output_send(b), OUTPUT_CLEAN);
    char got[16];
    ck_assert_int_eq(recv(peers[b->pub.ind], got, sizeof got, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(what_cannot_be_watched_is_closed)
{
    char name[] = "/tmp/mario_pool.XXXXXX";
    struct newcomer n = {.fd = mkstemp(name)}; /* epoll does not take plain files */
    ck_assert_int_ge(n.fd, 0);
    unlink(name);
    ck_assert_ptr_null(conn_open(&shard, &n, on_event));
    conn_turn(&shard);
    ck_assert_int_eq(fcntl(n.fd, F_GETFD), -1);
    ck_assert_uint_eq(shard.in_use, 0);
    ck_assert_uint_eq(stat_of(STAT_opened), 1);
    ck_assert_uint_eq(stat_of(STAT_closed), 1);
    ck_assert_uint_eq(stat_of(stats_of_reason(REASON_watch_failed)), 1);
    ck_assert_uint_eq(ends_seen(), 0);
}
END_TEST

/* ---- Ends ---- */

/* The hook that is to run for a reason. */
static uint16 hook_of(int reason)
{
    static const enum reason closed[] = {REASON_peer_closed, REASON_function_closed, REASON_stop};
    static const enum reason timeout[] = {REASON_idle_timeout, REASON_packet_timeout, REASON_write_timeout};
    for (int i = 0; i < 3; i++) {
        if ((int) closed[i] == reason)
            return g_akg_closed_id;
        if ((int) timeout[i] == reason)
            return g_akg_timeout_id;
    }
    return g_akg_error_id;
}

/* How often a hook has run. */
static unsigned runs_of(uint16 hook)
{
    return hook == g_akg_error_id ? seen.error : hook == g_akg_timeout_id ? seen.timeout : seen.closed;
}

START_TEST(each_reason_has_its_hook)
{
    struct conn *c = open_one();
    int peer = peers[c->pub.ind];
    char got;
    c->greeted = true;
    seen.closes = seen.writes = true;
    conn_close(c, (enum reason) _i);
    conn_close(c, REASON_reset); /* the first one counts */
    close_conn(&c->pub, 5);
    ck_assert_uint_eq(c->state, CONN_LIMBO);
    ck_assert_uint_eq(ends_seen(), 0); /* not before the loop has turned */
    conn_turn(&shard);
    struct log_who who;
    ck_assert(!seat_log_context(&who)); /* nobody's hook or function runs any more */
    ck_assert_uint_eq(runs_of(hook_of(_i)), 1);
    ck_assert_uint_eq(ends_seen(), 1);
    ck_assert_ptr_eq(seen.conn, &c->pub);
    ck_assert_uint_eq(seen.err_type, hook_of(_i));
    ck_assert_uint_eq(stat_of(stats_of_reason((enum reason) _i)), 1);
    ck_assert_int_eq(recv(peer, &got, 1, MSG_DONTWAIT), 0); /* what the hook wrote is not sent */
    ck_assert_uint_eq(evbuffer_get_length(bufferevent_get_output(seat->sink)), 0);
    conn_turn(&shard);
    ck_assert_uint_eq(ends_seen(), 1);
    ck_assert_uint_eq(stat_of(STAT_closed), 1);
}
END_TEST

START_TEST(a_functions_close_is_only_noted)
{
    static const uint16 ids[] = {0, 42, g_akg_closed_id, g_akg_timeout_id, g_akg_error_id};
    struct conn *c = open_one();
    c->greeted = true;
    seat_begin(seat, &c->pub, conn_id(c));
    close_conn(&c->pub, ids[_i]);
    close_conn(&c->pub, 4711); /* the first one counts */
    close_err_conn(&c->pub);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    seat_end(seat);
    ck_assert_uint_eq(output_send(c), OUTPUT_CLEAN);
    conn_close(c, seat->closing);
    ck_assert_uint_eq(c->state, CONN_LIMBO);
    conn_turn(&shard);
    ck_assert_uint_eq(runs_of(ids[_i]), 1);
    ck_assert_uint_eq(ends_seen(), 1);
    ck_assert_uint_eq(seen.err_type, ids[_i] == 0 ? g_akg_closed_id : ids[_i]);
}
END_TEST

/* A function on another thread still uses it: its socket and its place stay, its end hook waits. */
START_TEST(who_is_held_is_not_said_goodbye_to)
{
    struct conn *c = open_one();
    char got;
    c->greeted = true;
    c->held = 2;
    conn_close(c, REASON_reset);
    conn_turn(&shard);
    ck_assert_uint_eq(c->state, CONN_LIMBO);
    ck_assert_int_eq(recv(peers[c->pub.ind], &got, 1, MSG_DONTWAIT), 0); /* the peer knows */
    ck_assert_int_ge(fcntl(c->pub.fd, F_GETFD), 0);
    conn_release(c);
    conn_turn(&shard);
    ck_assert_uint_eq(ends_seen(), 0);
    ck_assert_uint_eq(shard.in_use, 1);
    conn_release(c);
    conn_turn(&shard);
    ck_assert_uint_eq(seen.error, 1);
    ck_assert_uint_eq(c->state, CONN_FREE);
    ck_assert_uint_eq(shard.in_use, 0);
}
END_TEST

/* A function closes another connection of its worker: that one ends, its own goes on. */
START_TEST(a_function_closes_another)
{
    struct conn *a = open_one(), *b = open_one();
    a->greeted = b->greeted = true;
    seat_begin(seat, &a->pub, conn_id(a));
    close_conn(&b->pub, 9);
    ck_assert_uint_eq(b->state, CONN_LIMBO);
    ck_assert_uint_eq(seat->closing, REASON_NONE);
    seat_end(seat);
    conn_turn(&shard);
    ck_assert_ptr_eq(seen.conn, &b->pub);
    ck_assert_uint_eq(seen.err_type, 9);
    ck_assert_uint_eq(a->state, CONN_OPEN);
}
END_TEST

static void *close_from_elsewhere(void *arg)
{
    close_conn(arg, 1);
    close_err_conn(arg);
    return NULL;
}

START_TEST(another_thread_may_not_close)
{
    pthread_t thread;
    struct conn *c = open_one();
    c->greeted = true;
    int nowhere = open("/dev/null", O_WRONLY);
    ck_assert_int_eq(dup2(nowhere, STDERR_FILENO), STDERR_FILENO); /* it complains there */
    close(nowhere);
    ck_assert_int_eq(pthread_create(&thread, NULL, close_from_elsewhere, &c->pub), 0);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    ck_assert_uint_eq(c->reason, REASON_NONE);
}
END_TEST

/* Write more than the socket takes, close, then read it all at the other end: everything comes, then the end.
 */
START_TEST(pending_output_is_sent_before_the_end)
{
    enum { MUCH = 1000000 };
    struct conn *c = open_one();
    int peer = peers[c->pub.ind];
    unsigned char *data = malloc(MUCH), *got = malloc(MUCH + 1);
    uint64_t random = 3;
    size_t n = 0;
    ck_assert(data != NULL && got != NULL);
    for (size_t i = 0; i < MUCH; i++)
        data[i] = (unsigned char) unit_random(&random);
    c->greeted = true;
    seat_begin(seat, &c->pub, conn_id(c));
    ck_assert_int_eq(bufferevent_write(seat->pen, data, MUCH), 0);
    close_conn(&c->pub, 0);
    ck_assert_int_eq(bufferevent_write(seat->pen, "behind", 6), 0); /* dropped: it had closed */
    seat_end(seat);
    ck_assert_uint_eq(output_send(c), OUTPUT_PENDING);
    conn_close(c, seat->closing);
    ck_assert_uint_eq(c->state, CONN_DRAINING);
    ck_assert_uint_eq(seen.closed, 0);
    for (ssize_t one; (one = recv(peer, got + n, MUCH + 1 - n, MSG_DONTWAIT)) != 0;) {
        if (one > 0)
            n += (size_t) one;
        else if (c->state == CONN_DRAINING && output_flush(c) == OUTPUT_CLEAN)
            conn_end(c, REASON_stop); /* the reason noted before stands */
        else
            conn_turn(&shard);
    }
    ck_assert_uint_eq(n, MUCH);
    ck_assert_mem_eq(got, data, MUCH);
    ck_assert_uint_eq(seen.closed, 1);
    ck_assert_uint_eq(stat_of(stats_of_reason(REASON_function_closed)), 1);
    free(data);
    free(got);
}
END_TEST

START_TEST(a_dead_socket_does_not_drain)
{
    static char data[1000000];
    struct conn *c = open_one();
    c->greeted = true;
    ck_assert_int_eq(bufferevent_write(seat->pen, data, sizeof data), 0);
    ck_assert_uint_eq(output_send(c), OUTPUT_PENDING);
    conn_close(c, REASON_function_closed);
    ck_assert_uint_eq(c->state, CONN_DRAINING);
    conn_close(c, REASON_function_error); /* nothing new */
    ck_assert_uint_eq(c->state, CONN_DRAINING);
    conn_close(c, REASON_reset);
    ck_assert_uint_eq(c->state, CONN_LIMBO);
    ck_assert_ptr_null(c->backlog);
    conn_turn(&shard);
    ck_assert_uint_eq(seen.error, 1);
    ck_assert_uint_eq(stat_of(stats_of_reason(REASON_reset)), 1);
}
END_TEST

/* ---- What is carried over ---- */

START_TEST(carried_bytes_stay_in_order)
{
    static unsigned char want[65535];
    struct conn *c = open_one();
    uint64_t random = 17;
    for (size_t i = 0; i < sizeof want; i++)
        want[i] = (unsigned char) unit_random(&random);
    for (int round = 0; round < 50; round++) {
        size_t total = 1 + unit_random(&random) % sizeof want, n = 0;
        while (n < total) {
            size_t piece = 1 + unit_random(&random) % (round % 2 == 0 ? 7 : 5000);
            piece = piece < total - n ? piece : total - n;
            UNIT_ASSERT(conn_carry(c, want + n, piece));
            n += piece;
            UNIT_ASSERT(c->carry_len == n);
            UNIT_ASSERT(mem_room(c->carry) <= 4 * n + 256); /* by what has come, not by what is promised */
        }
        ck_assert_mem_eq(c->carry, want, total);
        conn_carry_drop(c);
        ck_assert_ptr_null(c->carry);
        ck_assert_uint_eq(c->carry_len, 0);
    }
}
END_TEST

/* ---- Time ---- */

static uint32_t came_up; /* times */

static void on_due(void *arg, uint32_t index)
{
    (void) arg;
    came_up++;
    conn_arm(&shard.conns[index]);
}

/* Let ticks go by as a worker does; returns after how many the connection was overdue, and for what. */
static uint32_t ticks_until(struct conn *c, uint32_t limit, enum reason *why)
{
    for (uint32_t i = 1; i <= limit; i++) {
        shard.tick++;
        uint32_t before = came_up;
        *why = conn_overdue(c);
        wheel_advance(&shard.wheel, shard.tick, on_due, NULL);
        if (*why != REASON_NONE) {
            UNIT_ASSERT(came_up > before); /* the wheel brings it up in the very tick */
            return i;
        }
    }
    *why = REASON_NONE;
    return 0;
}

START_TEST(silence)
{
    enum reason why;
    shard.tick = UINT32_MAX - 50; /* ticks run over 2^32 on the way */
    for (int i = 0; i < 2; i++)   /* the wheel goes by half of all ticks at most */
        wheel_advance(&shard.wheel, i == 0 ? INT32_MAX : shard.tick, on_due, NULL);
    struct conn *c = open_one();
    ck_assert_uint_eq(ticks_until(c, 99, &why), 0);
    c->last_rx = shard.tick; /* a byte came: nothing is armed again */
    ck_assert_uint_eq(ticks_until(c, 1000, &why), settings.timeout + 1);
    ck_assert_uint_eq(why, REASON_idle_timeout);
    c->paused = true; /* whom we do not listen to is not silent */
    conn_arm(c);
    ck_assert_uint_eq(ticks_until(c, 1000, &why), 0);
}
END_TEST

START_TEST(an_unfinished_packet)
{
    enum reason why;
    struct conn *c = open_one();
    ck_assert_uint_eq(ticks_until(c, 10, &why), 0);
    ck_assert(conn_carry(c, (const unsigned char *) "abc", 3));
    c->packet_since = shard.tick;
    conn_arm(c);
    for (int i = 0; i < 4; i++) { /* a byte now and then changes nothing */
        ck_assert_uint_eq(ticks_until(c, 5, &why), 0);
        c->last_rx = shard.tick;
        ck_assert(conn_carry(c, (const unsigned char *) "d", 1));
        conn_arm(c);
    }
    ck_assert_uint_eq(ticks_until(c, 1000, &why), settings.packet_timeout + 1 - 20);
    ck_assert_uint_eq(why, REASON_packet_timeout);
}
END_TEST

START_TEST(output_that_does_not_shrink)
{
    static char data[1000000];
    enum reason why;
    struct conn *c = open_one();
    ck_assert_int_eq(bufferevent_write(seat->pen, data, sizeof data), 0);
    ck_assert_uint_eq(output_send(c), OUTPUT_PENDING);
    conn_watch(c);
    ck_assert_uint_eq(ticks_until(c, 50, &why), 0);
    while (recv(peers[c->pub.ind], data, sizeof data, MSG_DONTWAIT) > 0) {
    }
    ck_assert_uint_eq(output_flush(c), OUTPUT_PENDING);
    ck_assert_uint_eq(ticks_until(c, 1000, &why), settings.write_timeout + 1);
    ck_assert_uint_eq(why, REASON_write_timeout);
}
END_TEST

START_TEST(no_timeouts)
{
    enum reason why;
    settings.timeout = settings.packet_timeout = settings.write_timeout = 0;
    struct conn *c = open_one();
    ck_assert(conn_carry(c, (const unsigned char *) "abc", 3));
    conn_arm(c);
    ck_assert_uint_eq(ticks_until(c, 20000, &why), 0);
    ck_assert_uint_eq(came_up, 0);
}
END_TEST

/* ---- Everything at random ---- */

static void check_sums(uint32_t open, uint32_t ended, uint32_t waiting)
{
    uint64_t sum = 0;
    for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
        sum += stat_of(stats_of_reason((enum reason) r));
    UNIT_ASSERT(shard.in_use == open + waiting);
    UNIT_ASSERT(stat_of(STAT_opened) == (uint64_t) open + ended);
    UNIT_ASSERT(stat_of(STAT_closed) == ended && sum == ended);
    UNIT_ASSERT(ends_seen() == ended - waiting);
}

START_TEST(as_the_model)
{
    uint64_t random = UINT64_C(0x706f6f6c);
    bool open[PLACES] = {false}, limbo[PLACES] = {false};
    uint32_t opened = 0, ended = 0, waiting = 0;
    unsigned before = descriptors();
    for (int i = 0; i < 30000 / UNIT_SLOW; i++) {
        uint32_t slot = (uint32_t) (unit_random(&random) % PLACES);
        unsigned what = (unsigned) (unit_random(&random) % 10);
        if (what < 5 && opened - ended + waiting < PLACES) {
            struct conn *c = open_one();
            check_fresh(c);
            UNIT_ASSERT(!open[c->pub.ind] && !limbo[c->pub.ind]);
            open[c->pub.ind] = c->greeted = true;
            c->pub.user = c;
            UNIT_ASSERT(conn_carry(c, (const unsigned char *) "rest", 4));
            opened++;
        } else if (what < 9 && open[slot]) {
            conn_close(&shard.conns[slot], (enum reason)(1 + unit_random(&random) % (REASON_COUNT - 1)));
            open[slot] = false;
            limbo[slot] = true;
            ended++;
            waiting++;
        } else if (what == 9) {
            conn_turn(&shard);
            memset(limbo, 0, sizeof limbo);
            waiting = 0;
            UNIT_ASSERT(atomic_load(&shard.released) == ended);
        }
        check_sums(opened - ended, ended, waiting);
    }
    ck_assert_uint_gt(ended, 1000);
    for (uint32_t i = 0; i < PLACES; i++) {
        if (open[i])
            conn_end(&shard.conns[i], REASON_stop);
        close(peers[i]);
        peers[i] = -1;
    }
    conn_turn(&shard);
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

Suite *pool_suite(void)
{
    Suite *s = suite_create("pool");
    TCase *c = unit_case(s, "slots", 5);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, every_place_once);
    tcase_add_test(c, nobody_gets_a_slot_before_the_loop_has_turned);
    tcase_add_test(c, the_next_one_finds_nothing_of_the_one_before);
    tcase_add_test(c, what_cannot_be_watched_is_closed);
    c = unit_case(s, "ends", 5);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, each_reason_has_its_hook, REASON_NONE + 1, REASON_COUNT);
    tcase_add_loop_test(c, a_functions_close_is_only_noted, 0, 5);
    tcase_add_test(c, who_is_held_is_not_said_goodbye_to);
    tcase_add_test(c, a_function_closes_another);
    tcase_add_test(c, another_thread_may_not_close);
    tcase_add_test(c, pending_output_is_sent_before_the_end);
    tcase_add_test(c, a_dead_socket_does_not_drain);
    c = unit_case(s, "carry and time", 5);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, carried_bytes_stay_in_order);
    tcase_add_test(c, silence);
    tcase_add_test(c, an_unfinished_packet);
    tcase_add_test(c, output_that_does_not_shrink);
    tcase_add_test(c, no_timeouts);
    c = unit_case(s, "model", 15);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, as_the_model);
    return s;
}
