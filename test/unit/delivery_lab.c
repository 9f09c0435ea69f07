/*
 * delivery_lab.c: what the tests of delivery share. Main thread of a test.
 */
#include "delivery_lab.h"

#include <string.h>
#include <sys/socket.h>

#include "mario/base/mem.h"

char noise[BIG];
struct mario_msg *filler;

const struct slow_policy closing = {.how = MARIO_SLOW_CLOSE, .messages = 64};

struct mario_msg *text(const char *s)
{
    struct mario_msg *m = mario_msg(s, (uint32_t) strlen(s));
    UNIT_ASSERT(m != NULL);
    return m;
}

void put(struct conn *c, const char *s, const struct slow_policy *p)
{
    struct mario_msg *m = text(s);
    delivery_put(c, m, p);
    mario_msg_free(&m);
}

void put_key(struct conn *c, const char *s, uint64_t key, const struct slow_policy *p)
{
    struct mario_msg *m = text(s);
    mario_msg_key(m, key);
    delivery_put(c, m, p);
    mario_msg_free(&m);
}

void put_keep(struct conn *c, const char *s, const struct slow_policy *p)
{
    struct mario_msg *m = text(s);
    mario_msg_keep(m);
    delivery_put(c, m, p);
    mario_msg_free(&m);
}

struct conn *open_stopped(void)
{
    static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .messages = 1000000};
    struct conn *c = pool_open();
    while (c->outbox == NULL) {
        delivery_put(c, filler, &any);
        delivery_flush(&pool.shard);
    }
    size_t bytes;
    if (outbox_waiting(c->outbox, &bytes) > 0) { /* it was not even begun: take it off */
        UNIT_ASSERT(outbox_drop_oldest(&c->outbox, &pool.shard.delivery.all));
        stats_add(pool.shard.stats, STAT_push_dropped_oldest, 1);
    }
    return c;
}

const char *heard(struct conn *c)
{
    static char got[1 << 20];
    static char all[4096];
    size_t n = 0;
    for (;;) {
        ssize_t r = recv(pool.peers[c->pub.ind], got, sizeof got, MSG_DONTWAIT);
        for (ssize_t i = 0; i < r; i++) {
            if (got[i] != '.') {
                UNIT_ASSERT(n + 1 < sizeof all);
                all[n++] = got[i];
            }
        }
        if (r <= 0 && (c->state != CONN_OPEN || c->outbox == NULL))
            break;
        if (c->state == CONN_OPEN && c->outbox != NULL)
            UNIT_ASSERT(delivery_try(c) == REASON_NONE);
    }
    all[n] = 0;
    return all;
}

void check_ledger(void)
{
    delivery_settle(&pool.shard);
    UNIT_ASSERT(pool_stat(STAT_push_targets) ==
                pool_stat(STAT_push_sent) + pool_stat(STAT_push_dropped_oldest) +
                    pool_stat(STAT_push_dropped_newest) + pool_stat(STAT_push_coalesced) +
                    pool_stat(STAT_push_dropped_closed) + pool_stat(STAT_push_unframed) +
                    pool_stat(STAT_push_pending));
}

void check_over(void)
{
    for (uint32_t i = 0; i < pool.shard.fresh; i++) {
        if (pool.shard.conns[i].state == CONN_OPEN || pool.shard.conns[i].state == CONN_DRAINING)
            conn_end(&pool.shard.conns[i], REASON_stop);
    }
    conn_pass(&pool.shard);
    check_ledger();
    ck_assert_uint_eq(pool_stat(STAT_push_pending), 0);
    ck_assert(pool.shard.delivery.first == 0 && pool.shard.delivery.last == 0);
    ck_assert_uint_eq(message_memory(), mem_room(filler));
    ck_assert_uint_eq(filler->refs, 1);
}

static void make_filler(void)
{
    pool.settings.linger = 0;
    memset(noise, '.', sizeof noise);
    ck_assert_ptr_nonnull(filler = mario_msg(noise, sizeof noise));
}

static void free_filler(void)
{
    mario_msg_free(&filler);
    ck_assert_uint_eq(message_memory(), 0);
}

TCase *delivery_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = pool_case(s, name, seconds);
    tcase_add_checked_fixture(c, make_filler, free_filler);
    return c;
}
