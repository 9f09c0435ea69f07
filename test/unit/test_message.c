/*
 * test_message.c: shared messages: what may be made of what, whose they are, what all of them take, and when the
 * receipt is due.
 */
#include "mario/conn/message.h"
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/stats.h"
#include "mario/exec/registry.h"

static char bytes[MARIO_MSG_MAX + 1];

static _Atomic int due; /* receipts */
static struct mario_msg *last_due;

static void on_due(struct mario_msg *m)
{
    due++;
    last_due = m;
}

/* Goal: bytes go out as they are, a packet gets the server's head, byte for byte, whatever the machine's order. */
START_TEST(what_goes_out)
{
    static const unsigned char wanted[] = {0x04, 0x03, 0x02, 0x01, 11, 0, 0x05, 0x61, 'a', 0, 'b'};
    ck_assert_int_eq(regist_stx(0x01020304), 0);
    struct mario_msg *m = mario_msg("a\0b", 3), *p = mario_msg_packet(0x6105, "a\0b", 3);
    ck_assert(m != NULL && p != NULL);
    ck_assert(m->len == 3 && memcmp(m->data, "a\0b", 3) == 0);
    ck_assert(p->len == sizeof wanted && memcmp(p->data, wanted, sizeof wanted) == 0);
    mario_msg_free(&m);
    mario_msg_free(&p);
    ck_assert(m == NULL && p == NULL);
    mario_msg_free(&m); /* nothing to give up */
    mario_msg_free(NULL);
    p = mario_msg_packet(0, NULL, 0);
    ck_assert(p->len == 8 && p->data[4] == 8 && p->data[6] == 0);
    mario_msg_free(&p);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

static bool is_refused(const struct mario_msg *m, int error)
{
    bool answer = m == NULL && errno == error;
    errno = 0;
    return answer;
}

/* Goal: lengths and ids out of range are no messages; the longest ones are. */
START_TEST(what_cannot_be)
{
    errno = 0;
    ck_assert(is_refused(mario_msg(NULL, 5), EINVAL));
    ck_assert(is_refused(mario_msg(bytes, 0), EINVAL));
    ck_assert(is_refused(mario_msg(bytes, MARIO_MSG_MAX + 1), EINVAL));
    ck_assert(is_refused(mario_msg(bytes, UINT32_MAX), EINVAL));
    ck_assert(is_refused(mario_msg_packet(1, NULL, 1), EINVAL));
    ck_assert(is_refused(mario_msg_packet(1, bytes, MARIO_MSG_MAX - 7), EINVAL));
    ck_assert(is_refused(mario_msg_packet(1, bytes, UINT32_MAX), EINVAL));
    for (uint32_t id = AKG_FIRST_RESERVED; id <= UINT16_MAX; id++)
        ck_assert(is_refused(mario_msg_packet((uint16) id, bytes, 5), EINVAL));
    struct mario_msg *m = mario_msg(bytes, MARIO_MSG_MAX);
    struct mario_msg *p = mario_msg_packet(AKG_FIRST_RESERVED - 1, bytes, MARIO_MSG_MAX - 8);
    ck_assert(m->len == MARIO_MSG_MAX && p->len == MARIO_MSG_MAX && p->data[4] == 0xff && p->data[5] == 0xff);
    mario_msg_free(&m);
    mario_msg_free(&p);
    ck_assert_uint_eq(stats_get_shared(STAT_push_refused_memory), 0);
}
END_TEST

/* Goal: all messages together stay within the limit, and each one that does not fit is counted. */
START_TEST(within_the_limit)
{
    struct mario_msg *kept[100];
    size_t n = 0;
    message_setup(100000, NULL);
    while (n < 100 && (kept[n] = mario_msg(bytes, 5000)) != NULL)
        n++;
    ck_assert(errno == ENOMEM && n >= 18 && n < 20);
    ck_assert_uint_le(message_memory(), 100000);
    ck_assert_uint_eq(stats_get_shared(STAT_push_refused_memory), 1);
    mario_msg_free(&kept[0]);
    ck_assert_ptr_nonnull(kept[0] = mario_msg(bytes, 5000));
    message_account(100000); /* queues take something, too */
    ck_assert(is_refused(mario_msg_packet(1, NULL, 0), ENOMEM));
    message_account(-100000);
    for (size_t i = 0; i < n; i++)
        mario_msg_free(&kept[i]);
    ck_assert_uint_eq(message_memory(), 0);
    message_setup(0, NULL); /* 0: any number */
    struct mario_msg *m = mario_msg(bytes, 5000);
    ck_assert_ptr_nonnull(m);
    mario_msg_free(&m);
}
END_TEST

/* Goal: what is to become of it is said before the first send; later it is too late, for others read it. */
START_TEST(too_late)
{
    struct mario_msg *m = mario_msg("x", 1);
    mario_msg_key(m, 7);
    atomic_store(&m->begun, true);
    mario_msg_key(m, 8);
    mario_msg_keep(m);
    mario_msg_receipt(m, 9);
    ck_assert(m->key == 7 && !m->keep && !m->receipt);
    mario_msg_free(&m);
    mario_msg_key(NULL, 1);
    mario_msg_keep(NULL);
    mario_msg_receipt(NULL, 1);
}
END_TEST

/* Goal: the receipt is due once, with the last reference, and then the message is whose it was given to. */
START_TEST(a_receipt)
{
    message_setup(0, on_due);
    struct mario_msg *m = mario_msg("x", 1), *quiet = mario_msg("x", 1);
    mario_msg_receipt(m, 9);
    message_ref(m, 3);
    message_target(m);
    message_target(m);
    message_settle(m, SETTLED_SENT);
    message_unref(m);
    message_settle(m, SETTLED_DROPPED);
    message_unref_many(m, 2);
    struct mario_msg *same = m;
    ck_assert_int_eq(due, 0);
    mario_msg_free(&m);
    mario_msg_free(&quiet);
    ck_assert(due == 1 && last_due == same);
    ck_assert(same->tag == 9 && same->targets == 2 && same->sent == 1 && same->dropped == 1);
    message_destroy(same);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

/* ---- The purse ---- */

/* Goal: whatever goes in and out of purses, of more messages than they have places for, each message ends with its last
 * reference, no sooner and no later. */
START_TEST(a_purse_as_plain_counts)
{
    enum { MANY = 100, PURSES = 2 };
    static struct purse purses[PURSES];
    static uint32_t out[MANY];
    struct mario_msg *m[MANY];
    uint64_t random = 5;
    message_setup(0, on_due);
    for (size_t i = 0; i < MANY; i++) {
        m[i] = mario_msg("x", 1);
        mario_msg_receipt(m[i], i);
    }
    for (int i = 0; i < 200000 / UNIT_SLOW; i++) {
        size_t k = unit_random(&random) % MANY;
        struct purse *p = &purses[unit_random(&random) % PURSES];
        if (unit_random(&random) % 2 == 0) {
            purse_take(p, m[k]);
            out[k]++;
        } else if (out[k] > 0) {
            out[k]--;
            purse_give(p, m[k]);
        }
        UNIT_ASSERT(m[k]->refs >= 1 + out[k]);
        if (i % 1000 == 0)
            purse_empty(p);
    }
    purse_empty(&purses[0]);
    purse_empty(&purses[1]);
    for (size_t i = 0; i < MANY; i++) {
        UNIT_ASSERT(m[i]->refs == 1 + out[i] && due == 0);
        struct mario_msg *same = m[i];
        uint32_t n = out[i];
        mario_msg_free(&m[i]);
        for (; n > 0; n--) {
            UNIT_ASSERT(due == 0);
            purse_give(&purses[i % PURSES], same);
        }
        purse_empty(&purses[i % PURSES]);
        UNIT_ASSERT(due == 1 && last_due == same);
        message_destroy(same);
        due = 0;
    }
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

/* ---- Threads ---- */

static struct mario_msg *shared;

static void *deliver(void *arg)
{
    struct purse *p = arg;
    for (int i = 0; i < 20000; i++) {
        purse_take(p, shared);
        message_target(shared);
        message_settle(shared, i % 3 == 0 ? SETTLED_DROPPED : SETTLED_SENT);
        purse_give(p, shared);
        if (i % 100 == 0)
            purse_empty(p);
    }
    purse_empty(p);
    message_unref(shared);
    return NULL;
}

/* Goal: several threads settle one message: its receipt is due once, with all they have counted. */
START_TEST(settled_by_many)
{
    enum { THREADS = 4 };
    static struct purse purses[THREADS];
    pthread_t t[THREADS];
    message_setup(0, on_due);
    struct mario_msg *m = shared = mario_msg(bytes, 100);
    mario_msg_receipt(m, 1);
    message_ref(m, THREADS);
    for (int i = 0; i < THREADS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, deliver, &purses[i]), 0);
    mario_msg_free(&m);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(due, 1);
    ck_assert_uint_eq(last_due->targets, THREADS * 20000);
    ck_assert_uint_eq(last_due->sent + last_due->dropped, THREADS * 20000);
    ck_assert_uint_eq(last_due->dropped, THREADS * 6667);
    message_destroy(last_due);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

Suite *message_suite(void)
{
    Suite *s = suite_create("message");
    TCase *c = unit_case(s, "message", 10);
    tcase_add_test(c, what_goes_out);
    tcase_add_test(c, what_cannot_be);
    tcase_add_test(c, within_the_limit);
    tcase_add_test(c, too_late);
    tcase_add_test(c, a_receipt);
    tcase_add_test(c, a_purse_as_plain_counts);
    tcase_add_test(c, settled_by_many);
    return s;
}
