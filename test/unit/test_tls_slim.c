/*
 * test_tls_slim.c: our records of TLS 1.3 as a connection has them, against a second implementation as the client: what
 * is answered to what, what is refused and how, and that it costs no memory.
 */
#include "unit.h"

#ifdef MARIO_WITH_TLS

#include "mario/base/mem.h"
#include "mario/tls/libssl.h"
#include "mario/tls/slim.h"

#include "tls_oracle.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

/* A connection, and its client. */
static struct tls_thread *t;
static struct tls_session *session; /* NULL before the first one */
static struct oracle from_client, to_client;
/* What the client has sent and nobody has opened yet; what was opened last. */
static unsigned char wire[400 * 1024], opened[400 * 1024];
static size_t wired;

static void begin(void)
{
    char why[200];
    ck_assert_msg(libssl_load(why, sizeof why), "%s", why);
    ck_assert(mem_thread_init());
    t = tls_thread_make();
    ck_assert(t != NULL && slim_of_thread(t) != NULL);
}

static void end(void)
{
    tls_session_free(&session);
    tls_thread_free(&t);
    mem_thread_fini();
}

/* A new connection, on which we have sent so many records already. */
static void connect_client(int suite, uint32_t sent)
{
    struct slim_secrets secrets = {.sent = sent, .in_len = tls_suites[suite].secret};
    secrets.out_len = secrets.in_len;
    for (size_t i = 0; i < secrets.in_len; i++) {
        secrets.in[i] = (unsigned char) (i * 7 + 1);
        secrets.out[i] = (unsigned char) (i * 5 + 3);
    }
    tls_session_free(&session);
    session = slim_make(slim_of_thread(t), suite, &secrets, 0);
    UNIT_ASSERT(session != NULL);
    session->is_v13 = true;
    oracle_begin(&from_client, tls_suites[suite].id, secrets.in);
    oracle_begin(&to_client, tls_suites[suite].id, secrets.out);
    to_client.seq = sent;
    wired = 0;
    t->out_len = 0;
}

static void say(int type, const void *data, size_t n)
{
    UNIT_ASSERT(sizeof wire - wired >= ORACLE_RECORD_MAX);
    wired += oracle_seal(&from_client, type, data, n, 0, wire + wired);
}

static void say_update(int request)
{
    unsigned char message[5] = {24, 0, 0, 1, (unsigned char) request};
    say(TLS_HANDSHAKE, message, sizeof message);
    oracle_update(&from_client);
}

/* Let what was said come in a piece; what is opened goes to opened. */
static enum tls_answer come(size_t *plain)
{
    size_t held = tls_held(session), n = wired;
    UNIT_ASSERT(held + n <= sizeof opened);
    memcpy(opened + held, wire, n);
    wired = 0;
    return tls_open(session, t, opened, n, plain);
}

static enum tls_answer come_all(void)
{
    size_t plain;
    return come(&plain);
}

/* The next record that we sent, for the client: its type, -1: there is none. */
static int hear(unsigned char *data, size_t *n)
{
    size_t size = oracle_whole(t->out, t->out_len);
    if (size == 0) {
        UNIT_ASSERT(t->out_len == 0);
        return -1;
    }
    int type = oracle_open(&to_client, t->out, size, data, n);
    UNIT_ASSERT(type >= 0);
    memmove(t->out, t->out + size, t->out_len - size);
    t->out_len -= size;
    return type;
}

static void must_hear(int type, const void *data, size_t n)
{
    static unsigned char heard[ORACLE_RECORD_MAX];
    size_t len;
    UNIT_ASSERT(hear(heard, &len) == type);
    UNIT_ASSERT(len == n && memcmp(heard, data, n) == 0);
}

static void must_hear_alert(int alert)
{
    unsigned char message[2] = {(unsigned char) (alert == TLS_CLOSE_NOTIFY ? 1 : 2), (unsigned char) alert};
    must_hear(TLS_ALERT, message, sizeof message);
}

static void must_hear_nothing(void)
{
    UNIT_ASSERT(t->out_len == 0);
}

/* Our KeyUpdate, which the client follows. */
static void must_hear_update(void)
{
    must_hear(TLS_HANDSHAKE, "\30\0\0\1\0", 5);
    oracle_update(&to_client);
}

static void seal(const void *data, size_t n)
{
    struct iovec v = {(void *) (uintptr_t) data, n};
    UNIT_ASSERT(tls_seal(session, t, &v, 1) == n);
}

/* It is refused with that alert, and what stood in front of it is there. */
static void must_refuse(int alert)
{
    UNIT_ASSERT(come_all() == TLS_BAD);
    UNIT_ASSERT(t->fault == TLS_FAULT_record && t->why[0] != '\0');
    must_hear_alert(alert);
    must_hear_nothing();
}

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
                say(TLS_APPLICATION, data + at, n - at < TLS_RECORD_PLAIN ? n - at : TLS_RECORD_PLAIN);
            UNIT_ASSERT(come(&plain) == TLS_OK);
            UNIT_ASSERT(plain == n && memcmp(opened, data, n) == 0);
            struct iovec v[3] = {{data, cut}, {data + cut, 0}, {data + cut, n - cut}};
            size_t expected = n < TLS_RECORD_PLAIN ? n : TLS_RECORD_PLAIN;
            UNIT_ASSERT(tls_seal(session, t, v, 3) == expected);
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
        say(TLS_APPLICATION, data, (size_t) i + 1);
    }
    memcpy(stream, wire, n = wired);
    for (size_t at = 0; at < n; at++) {
        wire[0] = stream[at];
        wired = 1;
        UNIT_ASSERT(come(&plain) == TLS_OK);
        memcpy(all + got, opened, plain);
        got += plain;
    }
    ck_assert_uint_eq(got, 30 * 31 / 2);
    ck_assert_uint_eq(tls_held(session), 0);
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
            say(TLS_APPLICATION, "before", 6);
            say_update(i % 2);
            say(TLS_APPLICATION, "behind", 6);
            UNIT_ASSERT(come(&plain) == TLS_OK);
            UNIT_ASSERT(plain == 12 && memcmp(opened, "beforebehind", 12) == 0);
            if (i % 2 == 1)
                must_hear_update();
            must_hear_nothing();
            seal("answer", 6);
            must_hear(TLS_APPLICATION, "answer", 6);
        }
        ck_assert_uint_eq(t->key_updates, (unsigned) (50 * (suite + 1)));
    }
}
END_TEST

/* Goal: a storm of them gets one answer for all that come at once, and an end if there is no data between them. */
START_TEST(key_update_storm)
{
    size_t plain;
    connect_client(0, 0);
    for (int i = 0; i < 32; i++)
        say_update(1);
    ck_assert_int_eq(come(&plain), TLS_OK);
    must_hear_update();
    must_hear_nothing();
    say(TLS_APPLICATION, "x", 1);
    for (int i = 0; i < 32; i++)
        say_update(0);
    ck_assert_int_eq(come(&plain), TLS_OK);
    say_update(1);
    ck_assert_int_eq(come(&plain), TLS_BAD);
    ck_assert_int_eq(t->fault, TLS_FAULT_storm);
    must_hear_alert(TLS_UNEXPECTED_MESSAGE);
    must_hear_nothing();
    /* With data between them it may have as many as it likes. */
    connect_client(1, 0);
    for (int i = 0; i < 5000 / UNIT_SLOW; i++) {
        say_update(1);
        say(TLS_APPLICATION, &i, sizeof i);
        UNIT_ASSERT(come(&plain) == TLS_OK && plain == sizeof i && memcmp(opened, &i, sizeof i) == 0);
        must_hear_update();
        must_hear_nothing();
    }
}
END_TEST

/* Goal: a KeyUpdate in pieces is one; anything between its pieces, behind it or in its place is refused. */
START_TEST(handshake_messages)
{
    size_t plain;
    connect_client(0, 0);
    for (int i = 0; i < 5; i++)
        say(TLS_HANDSHAKE, &"\30\0\0\1\1"[i], 1);
    oracle_update(&from_client);
    say(TLS_APPLICATION, "on", 2);
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
        say(TLS_HANDSHAKE, rows[i].bytes, rows[i].n);
        must_refuse(rows[i].alert);
    }
    for (int type = TLS_ALERT; type <= TLS_APPLICATION; type += TLS_APPLICATION - TLS_ALERT) {
        connect_client(0, 0);
        say(TLS_HANDSHAKE, "\30\0\0\1", 4);
        say(type, "\1", 2);
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
        say(TLS_APPLICATION, "good", 4);
        say(TLS_APPLICATION, "bad", 3);
        wire[wired - 1] ^= 1;
        say(TLS_APPLICATION, "good", 4);
        UNIT_ASSERT(come(&plain) == TLS_BAD && plain == 4 && memcmp(opened, "good", 4) == 0);
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
        wired = i == 1 ? 7 : i == 2 ? 5 + 16641 : 6;
        memcpy(wire, rows[i].head, 6);
        must_refuse(rows[i].alert);
    }
}
END_TEST

/* Goal: alerts: close_notify ends what comes and not what we send; others end all, without an answer. */
START_TEST(alerts)
{
    size_t plain;
    connect_client(0, 0);
    say(TLS_APPLICATION, "last", 4);
    say(TLS_ALERT, "\1", 2);
    say(TLS_APPLICATION, "more", 4);
    ck_assert_int_eq(come(&plain), TLS_CLOSED);
    ck_assert_uint_eq(plain, 4);
    must_hear_nothing();
    seal("answer", 6);
    must_hear(TLS_APPLICATION, "answer", 6);
    tls_close_notify(session, t);
    must_hear_alert(TLS_CLOSE_NOTIFY);
    tls_close_notify(session, t);
    must_hear_nothing();

    /* Who asks for a KeyUpdate and closes has it in front of the next data. */
    connect_client(0, 0);
    say_update(1);
    say(TLS_ALERT, "\1", 2);
    ck_assert_int_eq(come(&plain), TLS_CLOSED);
    seal("answer", 6);
    must_hear_update();
    must_hear(TLS_APPLICATION, "answer", 6);

    for (int i = 1; i < 256; i++) {
        unsigned char alert[2] = {(unsigned char) (1 + i % 2), (unsigned char) i};
        connect_client(0, 0);
        say(TLS_ALERT, alert, 2);
        enum tls_answer answer = come_all();
        UNIT_ASSERT(answer == (i == TLS_USER_CANCELED ? TLS_OK : TLS_BAD));
        UNIT_ASSERT(answer == TLS_OK || t->fault == TLS_FAULT_alert);
        must_hear_nothing();
    }
    for (size_t n = 0; n < 5; n++) {
        if (n != 2) {
            connect_client(0, 0);
            say(TLS_ALERT, "\1\0\1\0", n);
            must_refuse(n == 0 ? TLS_UNEXPECTED_MESSAGE : TLS_DECODE_ERROR);
        }
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
                    say(TLS_APPLICATION, "", 0);
                else if (kind == 1)
                    say(TLS_ALERT, "\1\132", 2); /* user_canceled */
                else
                    say_update(0);
            }
            ck_assert_int_eq(come_all(), TLS_OK);
            if (round < 2)
                say(TLS_APPLICATION, "x", 1);
        }
        say(TLS_APPLICATION, "", 0);
        ck_assert_int_eq(come_all(), TLS_BAD);
        ck_assert_int_eq(t->fault, TLS_FAULT_storm);
        must_hear_alert(TLS_UNEXPECTED_MESSAGE);
    }
}
END_TEST

/* Goal: nothing is said after our close_notify, not even an alert or a KeyUpdate. */
START_TEST(silent_after_close)
{
    connect_client(0, 0);
    tls_close_notify(session, t);
    must_hear_alert(TLS_CLOSE_NOTIFY);
    say_update(1);
    say(TLS_APPLICATION, "x", 1);
    ck_assert_int_eq(come_all(), TLS_OK);
    must_hear_nothing();
    say(TLS_HANDSHAKE, "\1", 1);
    ck_assert_int_eq(come_all(), TLS_BAD);
    must_hear_nothing();
}
END_TEST

/* Goal: a million records, and new keys of our own accord before a key has protected too many. */
START_TEST(many_records)
{
    uint64_t updates = 0, records = 1000000 / UNIT_SLOW;
    unsigned char heard[ORACLE_RECORD_MAX];
    size_t n, plain;
    t->slim->update_at = 10000;
    connect_client(0, 2);
    for (uint64_t i = 0; i < records; i++) {
        seal(&i, sizeof i);
        if (i % 64 != 0) { /* the oracle is slow: it looks at some, and at all that are not alone */
            size_t size = oracle_whole(t->out, t->out_len);
            if (size == t->out_len) {
                to_client.seq++;
                t->out_len = 0;
                continue;
            }
        }
        int type = hear(heard, &n);
        if (type == TLS_HANDSHAKE) {
            UNIT_ASSERT(n == 5 && memcmp(heard, "\30\0\0\1\0", 5) == 0);
            oracle_update(&to_client);
            updates++;
            type = hear(heard, &n);
        }
        UNIT_ASSERT(type == TLS_APPLICATION && n == sizeof i && memcmp(heard, &i, n) == 0);
        must_hear_nothing();
    }
    ck_assert_uint_eq(updates, (records + 2) / 10000 - ((records + 2) % 10000 == 0));
    for (uint64_t i = 0; i < records / 10; i++) {
        say(TLS_APPLICATION, &i, sizeof i);
        if (i % 1000 == 999)
            say_update(0);
        if (wired > sizeof wire / 2 || i + 1 == records / 10) {
            UNIT_ASSERT(come(&plain) == TLS_OK && plain > 0);
            UNIT_ASSERT(memcmp(opened + plain - sizeof i, &i, sizeof i) == 0);
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
    t->slim->update_at = UINT32_MAX;
    for (int i = 0; i < 4; i++) {
        seal("x", 1);
        if (i == 2)
            must_hear_update();
        must_hear(TLS_APPLICATION, "x", 1);
    }
    ck_assert_uint_eq(session->slim.out_seq, 2);
    from_client.seq = session->slim.in_seq = UINT32_MAX;
    for (int i = 0; i < 3; i++)
        say(TLS_APPLICATION, "x", 1);
    ck_assert_int_eq(come(&plain), TLS_OK);
    ck_assert_uint_eq(plain, 3);
    from_client.seq = session->slim.in_seq = UINT64_MAX - 1;
    say(TLS_APPLICATION, "x", 1);
    ck_assert_int_eq(come(&plain), TLS_OK);
    say(TLS_APPLICATION, "x", 1);
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
        ck_assert_uint_eq(malloc_usable_size(session), suite == 0 ? 152 : suite == 1 ? 216 : 184);
#endif
        for (int i = 0; i < 1000; i++) {
            say(TLS_APPLICATION, data, sizeof data);
            size_t n = wired, first = i % 3 == 0 ? n : unit_random(&(uint64_t){(uint64_t) i}) % n;
            if (i >= 10)
                unit_heap_fail(UNIT_SLOW > 1 ? SIZE_MAX : 0);
            wired = first;
            enum tls_answer answer = come(&plain);
            if (first < n) {
                memmove(wire, wire + first, n - first);
                wired = n - first;
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
    say(TLS_APPLICATION, "ask", 3);
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
            memcpy(in, session->slim.keys + TLS_IV, size);
            memcpy(out, session->slim.keys + half + TLS_IV, size);
            UNIT_ASSERT(unit_memory_has(in, size) && unit_memory_has(out, size));
            if (ends) {
                tls_session_forget(session, t);
                tls_session_end(session);
            } else {
                say_update(1); /* nothing comes behind it that needs the next ones */
                UNIT_ASSERT(come_all() == TLS_OK);
            }
            oracle_begin(&from_client, tls_suites[suite].id, none);
            oracle_begin(&to_client, tls_suites[suite].id, none);
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
        say_update(1);
        say(TLS_APPLICATION, "x", 1);
        tls_thread_free(&t);
        t = tls_thread_make();
        UNIT_ASSERT(t != NULL);
        unit_heap_fail(good);
        enum tls_answer answer = come(&plain);
        struct tls_session *m = t->slim == NULL ? NULL : slim_make(t->slim, 0, &secrets, 20);
        failed = unit_heap_heal();
        UNIT_ASSERT(answer == TLS_OK || answer == TLS_NO_MEMORY || (answer == TLS_BAD && failed > 0));
        UNIT_ASSERT(failed > 0 || (answer == TLS_OK && m != NULL));
        tls_session_free(&m);
    }
}
END_TEST

#else

#include "test/lib/skip.h"

START_TEST(no_tls)
{
    TEST_SKIP("built without OpenSSL");
}
END_TEST

#endif

Suite *tls_slim_suite(void)
{
    Suite *s = suite_create("tls_slim");
    TCase *c = unit_case(s, "tls_slim", 20);
#ifdef MARIO_WITH_TLS
    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, data_both_ways);
    tcase_add_test(c, pieces);
    tcase_add_test(c, key_update);
    tcase_add_test(c, key_update_storm);
    tcase_add_test(c, handshake_messages);
    tcase_add_test(c, bad_record);
    tcase_add_test(c, alerts);
    tcase_add_test(c, empty_records);
    tcase_add_test(c, silent_after_close);
    tcase_add_test(c, many_records);
    tcase_add_test(c, high_numbers);
    tcase_add_test(c, memory);
    tcase_add_test(c, forgotten_keys);
    tcase_add_test(c, without_memory);
#else
    tcase_add_test(c, no_tls);
#endif
    return s;
}
