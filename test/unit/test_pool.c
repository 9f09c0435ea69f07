/*
 * test_pool.c: a worker's pool of connections, without a worker: nobody gets a slot before the pass is over, the
 * next one there finds nothing of the one before, bytes carried over stay in order, deadlines fall due in their tick.
 * How connections end is in test_pool_ends.c.
 */
#include "pool_lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>

#include "mario/base/loop.h"
#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/exec/reply.h"

/* ---- Slots ---- */

START_TEST(every_place_once)
{
    bool taken[PLACES] = {false};
    for (uint32_t i = 0; i < PLACES; i++) {
        struct conn *c = pool_open();
        pool_check_fresh(c);
        ck_assert(!taken[c->pub.ind]);
        taken[c->pub.ind] = true;
        ck_assert_uint_eq(pool.shard.in_use, i + 1);
    }
    ck_assert_uint_eq(pool_stat(STAT_opened), PLACES);
}
END_TEST

START_TEST(nobody_gets_a_slot_before_the_pass_is_over)
{
    struct conn *a = pool_open();
    uint32_t slot = a->pub.ind, generation = a->generation;
    int fd = a->pub.fd;
    conn_end(a, REASON_peer_closed);
    ck_assert_uint_eq(a->state, CONN_CLOSING);
    ck_assert_uint_eq(a->magic, CONN_MAGIC);
    ck_assert_uint_eq(atomic_load(&pool.shard.released), 0);
    struct conn *b = pool_open();
    ck_assert_uint_ne(b->pub.ind, slot);
    conn_pass(&pool.shard);
    ck_assert_uint_eq(a->state, CONN_FREE);
    ck_assert_int_eq(a->pub.fd, -1);
    ck_assert_int_eq(fcntl(fd, F_GETFD), -1);
    ck_assert_uint_eq(pool_ends_seen(), 0); /* who was not greeted is not said goodbye to */
    ck_assert_uint_eq(a->magic, 0);
    ck_assert_uint_ne(a->generation, generation);
    ck_assert_uint_eq(atomic_load(&pool.shard.released), 1);
    ck_assert_uint_eq(pool_open()->pub.ind, slot);
}
END_TEST

START_TEST(the_next_one_finds_nothing_of_the_one_before)
{
    static unsigned char secret[5000];
    struct conn *a = pool_open();
    memset(secret, 's', sizeof secret);
    ck_assert(conn_carry(a, secret, sizeof secret));
    a->pub.user = secret;
    a->pub.err_type = 7;
    a->greeted = a->paused = a->stopping = true;
    a->stop_bytes = 9;
    a->packet_since = 5;
    conn_note_packet(&pool.shard, a, 0x6103);
    pool.shard.seen[a->pub.ind].opened -= 9999;
    pool.seen.writes = true;
    conn_end(a, REASON_bad_stx);
    conn_pass(&pool.shard);
    pool.shard.tick += 12345;
    struct conn *b = pool_open();
    ck_assert_ptr_eq(b, a);
    pool_check_fresh(b);
    ck_assert_uint_eq(output_send(b), OUTPUT_CLEAN);
    char got[16];
    ck_assert_int_eq(recv(pool.peers[b->pub.ind], got, sizeof got, MSG_DONTWAIT), -1);
    ck_assert_int_eq(errno, EAGAIN);
}
END_TEST

START_TEST(what_cannot_be_watched_is_closed)
{
    char name[] = "/tmp/mario_pool.XXXXXX";
    struct accepted_socket n = {.fd = mkstemp(name)}; /* epoll does not take plain files */
    ck_assert_int_ge(n.fd, 0);
    unlink(name);
    ck_assert_ptr_null(conn_open(&pool.shard, &n, pool_on_event));
    conn_pass(&pool.shard);
    ck_assert_int_eq(fcntl(n.fd, F_GETFD), -1);
    ck_assert_uint_eq(pool.shard.in_use, 0);
    ck_assert_uint_eq(pool_stat(STAT_opened), 1);
    ck_assert_uint_eq(pool_stat(STAT_closed), 1);
    ck_assert_uint_eq(pool_stat(stats_of_reason(REASON_poll_failed)), 1);
    ck_assert_uint_eq(pool_ends_seen(), 0);
}
END_TEST

/* ---- What is carried over ---- */

START_TEST(carried_bytes_stay_in_order)
{
    static unsigned char want[65535];
    struct conn *c = pool_open();
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
    conn_arm(&pool.shard.conns[index]);
}

/* Let ticks go by as a worker does; returns after how many the connection was overdue, and for what. */
static uint32_t ticks_until(struct conn *c, uint32_t limit, enum reason *why)
{
    for (uint32_t i = 1; i <= limit; i++) {
        pool.shard.tick++;
        uint32_t before = came_up;
        *why = conn_overdue(c);
        wheel_advance(&pool.shard.wheel, pool.shard.tick, on_due, NULL);
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
    pool.shard.tick = UINT32_MAX - 50; /* ticks run over 2^32 on the way */
    for (int i = 0; i < 2; i++)        /* the wheel goes by half of all ticks at most */
        wheel_advance(&pool.shard.wheel, i == 0 ? INT32_MAX : pool.shard.tick, on_due, NULL);
    struct conn *c = pool_open();
    ck_assert_uint_eq(ticks_until(c, 99, &why), 0);
    c->last_rx = pool.shard.tick; /* a byte came: nothing is armed again */
    ck_assert_uint_eq(ticks_until(c, 1000, &why), pool.settings.timeout + 1);
    ck_assert_uint_eq(why, REASON_idle_timeout);
    c->paused = true; /* whom we do not listen to is not silent */
    conn_arm(c);
    ck_assert_uint_eq(ticks_until(c, 1000, &why), 0);
}
END_TEST

START_TEST(an_unfinished_packet)
{
    enum reason why;
    struct conn *c = pool_open();
    ck_assert_uint_eq(ticks_until(c, 10, &why), 0);
    ck_assert(conn_carry(c, (const unsigned char *) "abc", 3));
    c->packet_since = pool.shard.tick;
    conn_arm(c);
    for (int i = 0; i < 4; i++) { /* a byte now and then changes nothing */
        ck_assert_uint_eq(ticks_until(c, 5, &why), 0);
        c->last_rx = pool.shard.tick;
        ck_assert(conn_carry(c, (const unsigned char *) "d", 1));
        conn_arm(c);
    }
    ck_assert_uint_eq(ticks_until(c, 1000, &why), pool.settings.packet_timeout + 1 - 20);
    ck_assert_uint_eq(why, REASON_packet_timeout);
}
END_TEST

START_TEST(output_that_does_not_shrink)
{
    static char data[1000000];
    enum reason why;
    struct conn *c = pool_open();
    ck_assert_int_eq(bufferevent_write(pool.executor->reply, data, sizeof data), 0);
    ck_assert_uint_eq(output_send(c), OUTPUT_PENDING);
    reply_drain(pool.executor);
    conn_poll(c);
    ck_assert_uint_eq(ticks_until(c, 50, &why), 0);
    while (recv(pool.peers[c->pub.ind], data, sizeof data, MSG_DONTWAIT) > 0) {
    }
    ck_assert_uint_eq(output_flush(c), OUTPUT_PENDING);
    ck_assert_uint_eq(ticks_until(c, 1000, &why), pool.settings.write_timeout + 1);
    ck_assert_uint_eq(why, REASON_write_timeout);
}
END_TEST

START_TEST(no_timeouts)
{
    enum reason why;
    pool.settings.timeout = pool.settings.packet_timeout = pool.settings.write_timeout = 0;
    struct conn *c = pool_open();
    ck_assert(conn_carry(c, (const unsigned char *) "abc", 3));
    conn_arm(c);
    ck_assert_uint_eq(ticks_until(c, 20000, &why), 0);
    ck_assert_uint_eq(came_up, 0);
}
END_TEST

/* ---- Everything at random ---- */

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

static void check_sums(uint32_t open, uint32_t ended, uint32_t waiting)
{
    uint64_t sum = 0;
    for (int r = REASON_NONE + 1; r < REASON_COUNT; r++)
        sum += pool_stat(stats_of_reason((enum reason) r));
    UNIT_ASSERT(pool.shard.in_use == open + waiting);
    UNIT_ASSERT(pool_stat(STAT_opened) == (uint64_t) open + ended);
    UNIT_ASSERT(pool_stat(STAT_closed) == ended && sum == ended);
    UNIT_ASSERT(pool_ends_seen() == ended - waiting);
}

START_TEST(as_the_model)
{
    uint64_t random = UINT64_C(0x706f6f6c);
    bool open[PLACES] = {false}, closing[PLACES] = {false};
    uint32_t opened = 0, ended = 0, waiting = 0;
    unsigned before = descriptors();
    for (int i = 0; i < 30000 / UNIT_SLOW; i++) {
        uint32_t slot = (uint32_t) (unit_random(&random) % PLACES);
        unsigned what = (unsigned) (unit_random(&random) % 10);
        if (what < 5 && opened - ended + waiting < PLACES) {
            struct conn *c = pool_open();
            pool_check_fresh(c);
            UNIT_ASSERT(!open[c->pub.ind] && !closing[c->pub.ind]);
            open[c->pub.ind] = c->greeted = true;
            c->pub.user = c;
            UNIT_ASSERT(conn_carry(c, (const unsigned char *) "rest", 4));
            opened++;
        } else if (what < 9 && open[slot]) {
            conn_close(&pool.shard.conns[slot], (enum reason)(1 + unit_random(&random) % (REASON_COUNT - 1)));
            open[slot] = false;
            closing[slot] = true;
            ended++;
            waiting++;
        } else if (what == 9) {
            conn_pass(&pool.shard);
            memset(closing, 0, sizeof closing);
            waiting = 0;
            UNIT_ASSERT(atomic_load(&pool.shard.released) == ended);
        }
        check_sums(opened - ended, ended, waiting);
    }
    ck_assert_uint_gt(ended, 1000);
    for (uint32_t i = 0; i < PLACES; i++) {
        if (open[i])
            conn_end(&pool.shard.conns[i], REASON_stop);
        close(pool.peers[i]);
        pool.peers[i] = -1;
    }
    conn_pass(&pool.shard);
    ck_assert_uint_eq(descriptors(), before);
}
END_TEST

static void nothing(evutil_socket_t fd, short what, void *arg)
{
    (void) fd, (void) what, (void) arg;
}

/* Goal: libevent's entries of descriptors are taken from malloc many at a time, so that they lie side by side. */
START_TEST(entries_of_descriptors)
{
    enum { COUNT = 300 };
    static struct event events[COUNT];
    static int fds[COUNT];
    struct event_base *base = loop_base_create();
    unsigned asked = 0;
    ck_assert(base != NULL && mem_thread_init());
    for (int i = 0; i < COUNT; i++) {
        fds[i] = eventfd(0, EFD_CLOEXEC);
        UNIT_ASSERT(fds[i] >= 0 && event_assign(&events[i], base, fds[i], EV_READ, nothing, NULL) == 0);
        unit_heap_fail(0);
        int rc = event_add(&events[i], NULL);
        asked += unit_heap_heal() > 0;
        UNIT_ASSERT(rc == 0 || event_add(&events[i], NULL) == 0);
    }
    if (UNIT_SLOW == 1) /* a sanitizer's build keeps no blocks */
        ck_assert_uint_lt(asked, 10);
    for (int i = 0; i < COUNT; i++) {
        event_del(&events[i]);
        close(fds[i]);
    }
    event_base_free(base);
}
END_TEST

Suite *pool_suite(void)
{
    Suite *s = suite_create("pool");
    TCase *c = pool_case(s, "slots", 5);
    tcase_add_test(c, every_place_once);
    tcase_add_test(c, nobody_gets_a_slot_before_the_pass_is_over);
    tcase_add_test(c, the_next_one_finds_nothing_of_the_one_before);
    tcase_add_test(c, what_cannot_be_watched_is_closed);
    tcase_add_test(c, entries_of_descriptors);
    c = pool_case(s, "carry and time", 5);
    tcase_add_test(c, carried_bytes_stay_in_order);
    tcase_add_test(c, silence);
    tcase_add_test(c, an_unfinished_packet);
    tcase_add_test(c, output_that_does_not_shrink);
    tcase_add_test(c, no_timeouts);
    c = pool_case(s, "model", 15);
    tcase_add_test(c, as_the_model);
    return s;
}
