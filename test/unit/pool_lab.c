/*
 * pool_lab.c: what the tests of the pool share. See pool_lab.h.
 */
#include "pool_lab.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>

#include "mario/base/loop.h"
#include "mario/base/mem.h"
#include "mario/exec/registry.h"

struct pool_lab pool;

static FUNC_PTR functions[AKG_IDS]; /* none */

unsigned pool_ends_seen(void)
{
    return pool.seen.closed + pool.seen.timeout + pool.seen.error;
}

static sint32 end_hook(CONN *c, unsigned *count)
{
    struct log_who who;
    ++*count;
    UNIT_ASSERT(executor_log_context(&who) && who.worker == c->owner->ind && who.slot == c->ind);
    pool.seen.err_type = c->err_type;
    pool.seen.conn = c;
    UNIT_ASSERT(c->fd >= 0 && c->bufev != NULL && c->in_buf_len == 0 && c->out_buf_len == MAX_PKGLEN);
    if (pool.seen.writes)
        bufferevent_write(c->bufev, "too late", 8);
    if (pool.seen.closes)
        close_conn(c, 1);
    return (sint32) *count; /* not looked at */
}

static sint32 closed_hook(CONN *c)
{
    return end_hook(c, &pool.seen.closed);
}

static sint32 timeout_hook(CONN *c)
{
    return end_hook(c, &pool.seen.timeout);
}

static sint32 error_hook(CONN *c)
{
    return end_hook(c, &pool.seen.error);
}

void pool_on_event(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
}

static void setup(void)
{
    loop_setup(&(struct loop_hooks){.message = executor_libevent_says, .is_running = registry_is_frozen});
    ck_assert(mem_thread_init());
    pool.settings = (struct settings){
        .timeout = 100,
        .write_timeout = 50,
        .packet_timeout = 20,
        .drain_timeout = 30,
        .linger = 20,
        .output_high = 256 * 1024,
        .output_max = 4 * 1024 * 1024,
    };
    ck_assert_int_eq(posix_memalign((void **) &pool.executor, 64, sizeof *pool.executor), 0);
    memset(pool.executor, 0, sizeof *pool.executor);
    ck_assert(executor_setup(pool.executor, 0, &pool.activity));
    pool.executor->shard = &pool.shard;
    executor_here = pool.executor;
    pool.rules = (struct head_rules){.stx = 1, .funcs = functions};
    pool.head =
        (struct mario_framing){.name = "head", .next = head_next, .max = MAX_PKGLEN, .arg = &pool.rules};
    pool.service = (struct service){.funcs = functions, .max_pkglen = MAX_PKGLEN, .framing = {&pool.head}};
    pool.shard.service = &pool.service;
    pool.shard.set = &pool.settings;
    pool.shard.stats = &pool.stats;
    ck_assert(conn_pool_init(&pool.shard, PLACES, false, conn_ext_size(MARIO_FRAME_STATE), true));
    ck_assert_int_eq(regist_closed_func(closed_hook), 0);
    ck_assert_int_eq(regist_timeout_func(timeout_hook), 0);
    ck_assert_int_eq(regist_error_func(error_hook), 0);
    memset(&pool.seen, 0, sizeof pool.seen);
    memset(pool.peers, -1, sizeof pool.peers);
}

/* What is counted as in a state is. */
static void check_states(void)
{
    uint32_t found[CONN_STATES] = {[CONN_FREE] = PLACES - pool.shard.fresh};
    for (uint32_t i = 0; i < pool.shard.fresh; i++)
        found[pool.shard.conns[i].state]++;
    for (uint32_t i = 0; i < CONN_STATES; i++)
        ck_assert_uint_eq(atomic_load(&pool.shard.in_state[i]), found[i]);
}

static void teardown(void)
{
    check_states();
    for (uint32_t i = 0; i < pool.shard.fresh; i++) {
        if (pool.shard.conns[i].state == CONN_OPEN || pool.shard.conns[i].state == CONN_DRAINING)
            conn_end(&pool.shard.conns[i], REASON_stop);
        close(pool.peers[i]);
    }
    check_states();
    conn_pass(&pool.shard);
    check_states();
    ck_assert_uint_eq(pool.shard.in_use, 0);
    executor_destroy(&pool.executor);
    conn_pool_fini(&pool.shard);
    mem_thread_fini();
}

struct conn *pool_open(void)
{
    return pool_open_at(0);
}

struct conn *pool_open_at(uint8_t listener)
{
    int pair[2];
    UNIT_ASSERT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
    struct accepted_socket a = {.fd = pair[0], .listener = listener, .peer = peer_of_v4(0x0100007f, 0x1234)};
    struct conn *c = conn_open(&pool.shard, &a, pool_on_event);
    UNIT_ASSERT(c != NULL && c->pub.ind < PLACES);
    close(pool.peers[c->pub.ind]); /* of the one before */
    pool.peers[c->pub.ind] = pair[1];
    return c;
}

uint64_t pool_stat(enum counter i)
{
    return stats_get(&pool.stats, i);
}

void pool_check_fresh(const struct conn *c)
{
    UNIT_ASSERT(c->state == CONN_OPEN && c->magic == CONN_MAGIC && c->reason == REASON_NONE);
    UNIT_ASSERT(c->pub.owner == &pool.executor->pub && conn_shard(c) == &pool.shard &&
                &pool.shard.conns[c->pub.ind] == c);
    UNIT_ASSERT(c->pub.user == NULL && c->pub.bufev == pool.executor->discard && c->pub.in_buf == NULL &&
                c->pub.in_buf_len == 0);
    UNIT_ASSERT(c->pub.err_type == 0 && c->pub.cip == 0x0100007f && c->pub.cport == 0x1234);
    UNIT_ASSERT(c->carry == NULL && c->carry_len == 0 && c->outbox == NULL);
    UNIT_ASSERT(!c->paused && !c->greeted && !c->stopping && c->stop_bytes == 0);
    UNIT_ASSERT(c->last_rx == pool.shard.tick && c->last_tx == pool.shard.tick && c->node.next != 0);
    UNIT_ASSERT(fcntl(c->pub.fd, F_GETFD) >= 0);
    const struct conn_seen *seen = &pool.shard.seen[c->pub.ind];
    UNIT_ASSERT(conn_seen_now() - seen->opened < 600 && !seen->has_akg);
}

TCase *pool_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = unit_case(s, name, seconds);
    tcase_add_checked_fixture(c, setup, teardown);
    return c;
}
