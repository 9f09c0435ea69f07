/*
 * test_tls_slim_limits.c: our records of TLS 1.3 where there are many of them: storms, numbers at their end, new keys
 * in time; that they cost no memory, and leave no key in it.
 */
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "tls_slim_lab.h"

/* Goal: a storm of them gets one answer for all that come at once, and an end if there is no data between them. */
START_TEST(key_update_storm)
{
    size_t plain;
    connect_client(0, 0);
    for (int i = 0; i < 32; i++)
        tell_update(1);
    ck_assert_int_eq(come(&plain), TLS_OK);
    must_hear_update();
    must_hear_nothing();
    tell(TLS_APPLICATION, "x", 1);
    for (int i = 0; i < 32; i++)
        tell_update(0);
    ck_assert_int_eq(come(&plain), TLS_OK);
    tell_update(1);
    ck_assert_int_eq(come(&plain), TLS_BAD);
    ck_assert_int_eq(pair.t->fault, TLS_FAULT_storm);
    must_hear_alert(TLS_UNEXPECTED_MESSAGE);
    must_hear_nothing();
    /* With data between them it may have as many as it likes. */
    connect_client(1, 0);
    for (int i = 0; i < 5000 / UNIT_SLOW; i++) {
        tell_update(1);
        tell(TLS_APPLICATION, &i, sizeof i);
        UNIT_ASSERT(come(&plain) == TLS_OK && plain == sizeof i && memcmp(pair.opened, &i, sizeof i) == 0);
        must_hear_update();
        must_hear_nothing();
    }
}
END_TEST

/* Goal: 32 records without data in a row are borne, whatever they are, the next is not. */
START_TEST(empty_records)
{
    for (int kind = 0; kind < 3; kind++) {
        connect_client(0, 0);
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 32; i++) {
                if (kind == 0)
                    tell(TLS_APPLICATION, "", 0);
                else if (kind == 1)
                    tell(TLS_ALERT, "\1\132", 2); /* user_canceled */
                else
                    tell_update(0);
            }
            ck_assert_int_eq(come_all(), TLS_OK);
            if (round < 2)
                tell(TLS_APPLICATION, "x", 1);
        }
        tell(TLS_APPLICATION, "", 0);
        ck_assert_int_eq(come_all(), TLS_BAD);
        ck_assert_int_eq(pair.t->fault, TLS_FAULT_storm);
        must_hear_alert(TLS_UNEXPECTED_MESSAGE);
    }
}
END_TEST

/* Goal: a million records, and new keys of our own accord before a key has protected too many. */
START_TEST(many_records)
{
    uint64_t updates = 0, records = 1000000 / UNIT_SLOW;
    unsigned char heard[ORACLE_RECORD_MAX];
    size_t n, plain;
    pair.t->slim->update_at = 10000;
    connect_client(0, 2);
    for (uint64_t i = 0; i < records; i++) {
        seal(&i, sizeof i);
        if (i % 64 != 0) { /* the oracle is slow: it looks at some, and at all that are not alone */
            size_t size = oracle_whole(pair.t->out, pair.t->out_len);
            if (size == pair.t->out_len) {
                pair.to_client.seq++;
                pair.t->out_len = 0;
                continue;
            }
        }
        int type = hear(heard, &n);
        if (type == TLS_HANDSHAKE) {
            UNIT_ASSERT(n == 5 && memcmp(heard, "\30\0\0\1\0", 5) == 0);
            oracle_update(&pair.to_client);
            updates++;
            type = hear(heard, &n);
        }
        UNIT_ASSERT(type == TLS_APPLICATION && n == sizeof i && memcmp(heard, &i, n) == 0);
        must_hear_nothing();
    }
    ck_assert_uint_eq(updates, (records + 2) / 10000 - ((records + 2) % 10000 == 0));
    for (uint64_t i = 0; i < records / 10; i++) {
        tell(TLS_APPLICATION, &i, sizeof i);
        if (i % 1000 == 999)
            tell_update(0);
        if (pair.wired > sizeof pair.wire / 2 || i + 1 == records / 10) {
            UNIT_ASSERT(come(&plain) == TLS_OK && plain > 0);
            UNIT_ASSERT(memcmp(pair.opened + plain - sizeof i, &i, sizeof i) == 0);
        }
    }
}
END_TEST

/* Goal: numbers of records that fill more than a word are right, and the last is never used twice: that of the peer's,
 * and of ours. */
START_TEST(high_numbers)
{
    size_t plain;
    connect_client(2, UINT32_MAX - 2);
    pair.t->slim->update_at = UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        seal("x", 1);
        if (i == 2)
            must_hear_update();
        must_hear(TLS_APPLICATION, "x", 1);
    }
    ck_assert_uint_eq(pair.session->slim.out_seq, 2);
    pair.from_client.seq = pair.session->slim.in_seq = UINT32_MAX;
    for (int i = 0; i < 3; i++)
        tell(TLS_APPLICATION, "x", 1);
    ck_assert_int_eq(come(&plain), TLS_OK);
    ck_assert_uint_eq(plain, 3);
    pair.from_client.seq = pair.session->slim.in_seq = UINT64_MAX - 1;
    tell(TLS_APPLICATION, "x", 1);
    ck_assert_int_eq(come(&plain), TLS_OK);
    tell(TLS_APPLICATION, "x", 1);
    must_refuse(TLS_INTERNAL_ERROR);
}
END_TEST

/* Goal: a session is small, and in its steady state nobody allocates. */
START_TEST(memory)
{
    size_t plain;
    unsigned char data[64] = {0};
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        connect_client(suite, 2);
#if UNIT_SLOW == 1 /* a sanitizer's heap is another one */
        ck_assert_uint_eq(malloc_usable_size(pair.session), suite == 0 ? 152 : suite == 1 ? 216 : 184);
#endif
        for (int i = 0; i < 1000; i++) {
            tell(TLS_APPLICATION, data, sizeof data);
            size_t n = pair.wired, first = i % 3 == 0 ? n : unit_random(&(uint64_t){(uint64_t) i}) % n;
            if (i >= 10)
                unit_heap_fail(UNIT_SLOW > 1 ? SIZE_MAX : 0);
            pair.wired = first;
            enum tls_answer answer = come(&plain);
            if (first < n) {
                memmove(pair.wire, pair.wire + first, n - first);
                pair.wired = n - first;
                answer = come(&plain);
            }
            seal(data, sizeof data);
            size_t asked = unit_heap_heal();
            UNIT_ASSERT(answer == TLS_OK && plain == sizeof data);
            UNIT_ASSERT(asked == 0 || UNIT_SLOW > 1); /* a sanitizer's build keeps no blocks */
            must_hear(TLS_APPLICATION, data, sizeof data);
        }
    }
}
END_TEST

/* One record each way. */
static void exchange(void)
{
    size_t plain;
    tell(TLS_APPLICATION, "ask", 3);
    UNIT_ASSERT(come(&plain) == TLS_OK && plain == 3);
    seal("answer", 6);
}

/* Goal: of a session that has ended, or has other keys by now, no key is left. */
START_TEST(forgotten_keys)
{
    static const unsigned char none[TLS_SECRET_MAX];
    if (UNIT_SLOW > 1)
        return;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        unsigned char in[TLS_KEY_MAX], out[TLS_KEY_MAX];
        size_t size = tls_suites[suite].key, half = tls_half_size(&tls_suites[suite]);
        for (int ends = 0; ends < 2; ends++) {
            connect_client(suite, 2);
            exchange();
            memcpy(in, pair.session->slim.keys + TLS_IV, size);
            memcpy(out, pair.session->slim.keys + half + TLS_IV, size);
            UNIT_ASSERT(unit_memory_has(in, size) && unit_memory_has(out, size));
            if (ends) {
                tls_session_forget(pair.session, pair.t);
                tls_session_end(pair.session);
            } else {
                tell_update(1); /* nothing comes behind it that needs the next ones */
                UNIT_ASSERT(come_all() == TLS_OK);
            }
            oracle_begin(&pair.from_client, tls_suites[suite].id, none);
            oracle_begin(&pair.to_client, tls_suites[suite].id, none);
            UNIT_ASSERT(!unit_memory_has(in, size) && !unit_memory_has(out, size));
        }
    }
}
END_TEST

/* Goal: without memory a session says so. */
START_TEST(without_memory)
{
    struct slim_secrets secrets = {.in_len = 32, .out_len = 32};
    for (size_t good = 0, failed = 1; failed > 0; good++) {
        size_t plain;
        UNIT_ASSERT(good < 100);
        connect_client(0, 0);
        tell_update(1);
        tell(TLS_APPLICATION, "x", 1);
        tls_thread_free(&pair.t);
        pair.t = tls_thread_make();
        UNIT_ASSERT(pair.t != NULL);
        unit_heap_fail(good);
        enum tls_answer answer = come(&plain);
        struct tls_session *m = pair.t->slim == NULL ? NULL : slim_make(pair.t->slim, 0, &secrets, 20);
        failed = unit_heap_heal();
        UNIT_ASSERT(answer == TLS_OK || answer == TLS_NO_MEMORY || (answer == TLS_BAD && failed > 0));
        UNIT_ASSERT(failed > 0 || (answer == TLS_OK && m != NULL));
        tls_session_free(&m);
    }
}
END_TEST

Suite *tls_slim_limits_suite(void)
{
    Suite *s = suite_create("tls_slim_limits");
    TCase *c = slim_lab_case(s, "tls_slim_limits", 20);
    tcase_add_test(c, key_update_storm);
    tcase_add_test(c, empty_records);
    tcase_add_test(c, many_records);
    tcase_add_test(c, high_numbers);
    tcase_add_test(c, memory);
    tcase_add_test(c, forgotten_keys);
    tcase_add_test(c, without_memory);
    return s;
}
