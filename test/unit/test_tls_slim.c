/*
 * test_tls_slim.c: our records of TLS 1.3 as a connection has them, against a second implementation as the client: what
 * is answered to what, what is refused and how.
 */
#include <string.h>

#include "tls_slim_lab.h"

/* Goal: data goes both ways, whatever its length and however it is cut; suites, numbers that do not begin with zero. */
START_TEST(data_both_ways)
{
    static unsigned char data[3 * TLS_RECORD_PLAIN];
    uint64_t random = 3;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char) unit_random(&random);
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        connect_client(suite, (uint32_t) suite * 2);
        for (int round = 0; round < 300 / UNIT_SLOW; round++) {
            size_t n = round < 3 ? TLS_RECORD_PLAIN - 1 + (size_t) round : unit_random(&random) % 300 + 1;
            size_t total = 0, plain, cut = unit_random(&random) % (n + 1);
            for (size_t at = 0; at < n; at += TLS_RECORD_PLAIN)
                tell(TLS_APPLICATION, data + at, n - at < TLS_RECORD_PLAIN ? n - at : TLS_RECORD_PLAIN);
            UNIT_ASSERT(come(&plain) == TLS_OK);
            UNIT_ASSERT(plain == n && memcmp(pair.opened, data, n) == 0);
            struct iovec v[3] = {{data, cut}, {data + cut, 0}, {data + cut, n - cut}};
            size_t expected = n < TLS_RECORD_PLAIN ? n : TLS_RECORD_PLAIN;
            UNIT_ASSERT(tls_seal(pair.session, pair.t, v, 3) == expected);
            while (total < expected) {
                unsigned char heard[ORACLE_RECORD_MAX];
                UNIT_ASSERT(hear(heard, &plain) == TLS_APPLICATION);
                UNIT_ASSERT(memcmp(heard, data + total, plain) == 0);
                total += plain;
            }
            must_hear_nothing();
        }
    }
}
END_TEST

/* Goal: records that come byte by byte, and many at once, are the same data. */
START_TEST(pieces)
{
    unsigned char stream[2000], all[2000];
    size_t n = 0, got = 0, plain;
    connect_client(0, 0);
    for (int i = 0; i < 30; i++) {
        unsigned char data[40];
        memset(data, 'a' + i, sizeof data);
        tell(TLS_APPLICATION, data, (size_t) i + 1);
    }
    memcpy(stream, pair.wire, n = pair.wired);
    for (size_t at = 0; at < n; at++) {
        pair.wire[0] = stream[at];
        pair.wired = 1;
        UNIT_ASSERT(come(&plain) == TLS_OK);
        memcpy(all + got, pair.opened, plain);
        got += plain;
    }
    ck_assert_uint_eq(got, 30 * 31 / 2);
    ck_assert_uint_eq(tls_held(pair.session), 0);
    size_t at = 0;
    for (int i = 0; i < 30; i++) {
        for (int k = 0; k <= i; k++)
            UNIT_ASSERT(all[at++] == 'a' + i);
    }
}
END_TEST

/* Goal: a KeyUpdate is followed, and answered if that is wanted; both sides go on. */
START_TEST(key_update)
{
    size_t plain;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        connect_client(suite, 2);
        for (int i = 0; i < 50; i++) {
            tell(TLS_APPLICATION, "before", 6);
            tell_update(i % 2);
            tell(TLS_APPLICATION, "behind", 6);
            UNIT_ASSERT(come(&plain) == TLS_OK);
            UNIT_ASSERT(plain == 12 && memcmp(pair.opened, "beforebehind", 12) == 0);
            if (i % 2 == 1)
                must_hear_update();
            must_hear_nothing();
            seal("answer", 6);
            must_hear(TLS_APPLICATION, "answer", 6);
        }
        ck_assert_uint_eq(pair.t->key_updates, (unsigned) (50 * (suite + 1)));
    }
}
END_TEST

/* Goal: a KeyUpdate in pieces is one; anything between its pieces, behind it or in its place is refused. */
START_TEST(handshake_messages)
{
    size_t plain;
    connect_client(0, 0);
    for (int i = 0; i < 5; i++)
        tell(TLS_HANDSHAKE, &"\30\0\0\1\1"[i], 1);
    oracle_update(&pair.from_client);
    tell(TLS_APPLICATION, "on", 2);
    ck_assert_int_eq(come(&plain), TLS_OK);
    ck_assert_uint_eq(plain, 2);
    must_hear_update();

    static const struct {
        const char *bytes;
        size_t n;
        int alert;
    } rows[] = {
        {"\30\0\0\1\0\30", 6, TLS_UNEXPECTED_MESSAGE},
        {"\30\0\0\1\0\30\0\0\1\0", 10, TLS_UNEXPECTED_MESSAGE},
        {"\30\0\0\1\2", 5, TLS_ILLEGAL_PARAMETER},
        {"\30\0\0\2\0", 5, TLS_DECODE_ERROR},
        {"\30\0\0\0\0", 5, TLS_DECODE_ERROR},
        {"\30\0\0\0", 4, TLS_DECODE_ERROR},
        {"\30\1\0\1\0", 5, TLS_DECODE_ERROR},
        {"\1", 1, TLS_UNEXPECTED_MESSAGE},  /* ClientHello: no renegotiation */
        {"\13", 1, TLS_UNEXPECTED_MESSAGE}, /* Certificate: we have asked for none */
        {"\24", 1, TLS_UNEXPECTED_MESSAGE}, /* Finished */
        {"", 0, TLS_UNEXPECTED_MESSAGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        connect_client(0, 0);
        tell(TLS_HANDSHAKE, rows[i].bytes, rows[i].n);
        must_refuse(rows[i].alert);
    }
    for (int type = TLS_ALERT; type <= TLS_APPLICATION; type += TLS_APPLICATION - TLS_ALERT) {
        connect_client(0, 0);
        tell(TLS_HANDSHAKE, "\30\0\0\1", 4);
        tell(type, "\1", 2);
        must_refuse(TLS_UNEXPECTED_MESSAGE);
    }
}
END_TEST

/* Goal: what stands in front of a bad record is opened; what stands behind it is not. */
START_TEST(bad_record)
{
    size_t plain;
    for (int suite = 0; suite < TLS_SUITES; suite++) {
        connect_client(suite, 1);
        tell(TLS_APPLICATION, "good", 4);
        tell(TLS_APPLICATION, "bad", 3);
        pair.wire[pair.wired - 1] ^= 1;
        tell(TLS_APPLICATION, "good", 4);
        UNIT_ASSERT(come(&plain) == TLS_BAD && plain == 4 && memcmp(pair.opened, "good", 4) == 0);
        must_hear_alert(TLS_BAD_RECORD_MAC);
        must_hear_nothing();
    }
    static const struct {
        const char *head;
        int alert;
    } rows[] = {
        {"\24\3\3\0\1\1", TLS_UNEXPECTED_MESSAGE}, /* change_cipher_spec, which is for handshakes */
        {"\25\3\3\0\2\2\0", TLS_UNEXPECTED_MESSAGE}, {"\27\3\3\x41\1\1", TLS_RECORD_OVERFLOW},
        {"\27\3\3\xff\xff\1", TLS_RECORD_OVERFLOW},  {"\27\3\1\0\1\1", TLS_DECODE_ERROR},
        {"\27\3\3\0\1\1", TLS_BAD_RECORD_MAC},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        connect_client(0, 0);
        pair.wired = i == 1 ? 7 : i == 2 ? 5 + 16641 : 6;
        memcpy(pair.wire, rows[i].head, 6);
        must_refuse(rows[i].alert);
    }
}
END_TEST

/* Goal: alerts: close_notify ends what comes and not what we send; others end all, without an answer. */
START_TEST(alerts)
{
    size_t plain;
    connect_client(0, 0);
    tell(TLS_APPLICATION, "last", 4);
    tell(TLS_ALERT, "\1", 2);
    tell(TLS_APPLICATION, "more", 4);
    ck_assert_int_eq(come(&plain), TLS_CLOSED);
    ck_assert_uint_eq(plain, 4);
    must_hear_nothing();
    seal("answer", 6);
    must_hear(TLS_APPLICATION, "answer", 6);
    tls_close_notify(pair.session, pair.t);
    must_hear_alert(TLS_CLOSE_NOTIFY);
    tls_close_notify(pair.session, pair.t);
    must_hear_nothing();

    /* Who asks for a KeyUpdate and closes has it in front of the next data. */
    connect_client(0, 0);
    tell_update(1);
    tell(TLS_ALERT, "\1", 2);
    ck_assert_int_eq(come(&plain), TLS_CLOSED);
    seal("answer", 6);
    must_hear_update();
    must_hear(TLS_APPLICATION, "answer", 6);

    for (int i = 1; i < 256; i++) {
        unsigned char alert[2] = {(unsigned char) (1 + i % 2), (unsigned char) i};
        connect_client(0, 0);
        tell(TLS_ALERT, alert, 2);
        enum tls_answer answer = come_all();
        UNIT_ASSERT(answer == (i == TLS_USER_CANCELED ? TLS_OK : TLS_BAD));
        UNIT_ASSERT(answer == TLS_OK || pair.t->fault == TLS_FAULT_alert);
        must_hear_nothing();
    }
    for (size_t n = 0; n < 5; n++) {
        if (n != 2) {
            connect_client(0, 0);
            tell(TLS_ALERT, "\1\0\1\0", n);
            must_refuse(n == 0 ? TLS_UNEXPECTED_MESSAGE : TLS_DECODE_ERROR);
        }
    }
}
END_TEST

/* Goal: nothing is said after our close_notify, not even an alert or a KeyUpdate. */
START_TEST(silent_after_close)
{
    connect_client(0, 0);
    tls_close_notify(pair.session, pair.t);
    must_hear_alert(TLS_CLOSE_NOTIFY);
    tell_update(1);
    tell(TLS_APPLICATION, "x", 1);
    ck_assert_int_eq(come_all(), TLS_OK);
    must_hear_nothing();
    tell(TLS_HANDSHAKE, "\1", 1);
    ck_assert_int_eq(come_all(), TLS_BAD);
    must_hear_nothing();
}
END_TEST

Suite *tls_slim_suite(void)
{
    Suite *s = suite_create("tls_slim");
    TCase *c = slim_lab_case(s, "tls_slim", 20);
    tcase_add_test(c, data_both_ways);
    tcase_add_test(c, pieces);
    tcase_add_test(c, key_update);
    tcase_add_test(c, handshake_messages);
    tcase_add_test(c, bad_record);
    tcase_add_test(c, alerts);
    tcase_add_test(c, silent_after_close);
    return s;
}
