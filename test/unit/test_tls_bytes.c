/*
 * test_tls_bytes.c: sessions whose bytes come as they please: changed, promised and not sent, one by one, under new
 * keys. Where a test has two rounds, the second one asks for slim records.
 */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "mario/base/clock.h"
#include "mario/base/mem.h"
#include "mario/tls/inside.h"
#include "tls_lab.h"

/* Goal: a record that was changed at any byte ends the connection with an alert, and nothing of it is heard. */
START_TEST(a_changed_record)
{
    static unsigned char record[300];
    for (int i = 0; i < CIPHERS; i += 3)
        for (int at = 0; at < 60; at++) {
            struct tls_rig_client ask = asks_for(i);
            tls_rig_usual(&rig, &certs, _i);
            ck_assert(tls_rig_connect(&rig, &ask));
            ck_assert(SSL_write(rig.client, "thirty-two bytes of text, or so.", 32) == 32);
            int n = BIO_read(rig.up, record, sizeof record);
            if (at >= n)
                break;
            record[at] ^= 1;
            tls_rig_feed(&rig, record, (size_t) n);
            if (at == 4 && rig.answer == TLS_OK) /* one byte longer: it is still to come */
                tls_rig_feed(&rig, "x", 1);
            if (at == 3 && rig.answer == TLS_OK) {
                static unsigned char fill[256];
                tls_rig_feed(&rig, fill, sizeof fill);
            }
            ck_assert_msg(rig.answer == TLS_BAD, "version %d, byte %d: %d", ciphers[i].version, at,
                          (int) rig.answer);
            ck_assert_uint_eq(rig.heard_len, 0);
            char c;
            ck_assert(SSL_read(rig.client, &c, 1) <= 0);
            ck_assert_msg(ERR_GET_REASON(ERR_peek_last_error()) > SSL_AD_REASON_OFFSET, "no alert, byte %d",
                          at);
            ERR_clear_error();
        }
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a header that is none, or promises too much, ends it at once, not when all that has come. */
START_TEST(a_bad_header)
{
    static const char *const bad[] = {"\x17\x03\x03\xff\xff", "\x17\x03\x03\x41\x41", "\x17\x09\x03\x00\x10",
                                      "GET /"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tls_rig_client ask = asks_for(0);
        tls_rig_usual(&rig, &certs, _i);
        ck_assert(tls_rig_connect(&rig, &ask));
        tls_rig_feed(&rig, bad[i], 5);
        ck_assert_msg(rig.answer == TLS_BAD && rig.t->fault != TLS_FAULT_none, "%zu: %d", i,
                      (int) rig.answer);
    }
    tls_rig_over(&rig);
}
END_TEST

/* Goal: what is held of a record takes memory as it comes, not as it is promised; when it is whole, none. */
START_TEST(what_is_held)
{
    static unsigned char record[20000], text[16384];
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    ck_assert(tls_rig_connect(&rig, &ask));
    ck_assert(SSL_write(rig.client, text, sizeof text) == sizeof text);
    int n = BIO_read(rig.up, record, sizeof record);
    ck_assert(n > (int) sizeof text);
    tls_rig_feed(&rig, record, 20);
    ck_assert_uint_eq(tls_held(rig.s), 20);
    ck_assert_uint_lt(mem_room(rig.s->carry), 128);
    tls_rig_feed(&rig, record + 20, 5000);
    ck_assert_uint_lt(mem_room(rig.s->carry), 10100);
    tls_rig_feed(&rig, record + 5020, (size_t) n - 5020);
    ck_assert(rig.heard_len == sizeof text && tls_held(rig.s) == 0 && rig.s->carry == NULL);
    tls_rig_over(&rig);
}
END_TEST

static uint64_t trickle(size_t len, size_t total)
{
    static unsigned char text[16384], record[20000], data[40000];
    uint64_t took = 0;
    for (size_t done = 0; done < total; done += len) {
        ck_assert(SSL_write(rig.client, text, (int) len) == (int) len);
        size_t n = (size_t) BIO_read(rig.up, record, sizeof record), heard = 0;
        uint64_t begin = clock_thread_ns();
        for (size_t i = 0; i < n; i++) {
            size_t plain;
            data[tls_held(rig.s)] = record[i];
            UNIT_ASSERT(tls_open(rig.s, rig.t, data, 1, &plain) == TLS_OK);
            heard += plain;
        }
        took += clock_thread_ns() - begin;
        ck_assert_uint_eq(heard, len);
    }
    return took;
}

/* Goal: a byte of a long record that comes byte by byte costs no more than one of a short record. */
START_TEST(a_trickle_is_linear)
{
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    ck_assert(tls_rig_connect(&rig, &ask));
    trickle(256, 4096);
    uint64_t brief = trickle(256, 32 * 16384 / UNIT_SLOW), lengthy = trickle(16384, 32 * 16384 / UNIT_SLOW);
    ck_assert_msg(lengthy < 3 * brief, "%lu us byte by byte in short records, %lu us in long ones",
                  (unsigned long) brief / 1000, (unsigned long) lengthy / 1000);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: keys change as often as a client likes, as long as it says something between; a storm of it ends it. */
START_TEST(key_updates)
{
    struct tls_rig_client ask = asks_for(_i % 3);
    tls_rig_usual(&rig, &certs, _i >= 3);
    ck_assert(tls_rig_connect(&rig, &ask));
    for (int i = 0; i < 100; i++) {
        ck_assert(
            SSL_key_update(rig.client, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        rig.heard_len = rig.answered_len = 0;
        tls_rig_say(&rig, "new keys", 8);
        tls_rig_answer(&rig, "for us too", 10);
        ck_assert(rig.heard_len == 8 && rig.answered_len == 10);
        ck_assert_uint_eq(rig.t->key_updates, (unsigned) i + 1);
    }
    ck_assert(tls_rig_talks(&rig));
    for (int i = 0; i < 33 && rig.answer == TLS_OK; i++) {
        ck_assert(SSL_key_update(rig.client, SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
        ck_assert(SSL_do_handshake(rig.client) == 1);
        tls_rig_pump(&rig);
        ck_assert_msg((rig.answer == TLS_OK) == (i < 32), "%d: %d", i, (int) rig.answer);
    }
    ck_assert_int_eq(rig.answer, TLS_BAD);
    ck_assert_int_eq(rig.t->fault, TLS_FAULT_storm);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a client of TLS 1.2 that wants to shake hands again is told no, and goes on as before. */
START_TEST(no_renegotiation)
{
    struct tls_rig_client ask = asks_for(3);
    tls_rig_usual(&rig, &certs, false);
    ck_assert(tls_rig_connect(&rig, &ask));
    ck_assert(SSL_renegotiate(rig.client) == 1);
    SSL_do_handshake(rig.client);
    tls_rig_pump(&rig);
    ck_assert_int_eq(rig.answer, TLS_OK);
    char c;
    ck_assert(SSL_read(rig.client, &c, 1) <= 0);
    ck_assert(alert_is(ERR_peek_last_error(), SSL_AD_NO_RENEGOTIATION) ||
              ERR_GET_REASON(ERR_peek_last_error()) == SSL_R_NO_RENEGOTIATION);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a client that can take small records only gets such. */
START_TEST(small_records)
{
    struct tls_rig_client ask = asks_for(_i % 2 ? 3 : 0);
    ask.fragment = TLSEXT_max_fragment_length_512;
    tls_rig_usual(&rig, &certs, _i >= 2);
    ck_assert(tls_rig_connect(&rig, &ask) && tls_rig_talks(&rig));
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a client whose bytes come with one changed, wherever in its handshake: never an end that both think is good. */
START_TEST(garbage_at_every_byte)
{
    struct tls_rig_client ask = asks_for(_i ? 3 : 0);
    tls_rig_usual(&rig, &certs, false);
    tls_rig_begin(&rig, &ask);
    SSL_do_handshake(rig.client);
    size_t hello = BIO_ctrl_pending(rig.up);
    ck_assert(tls_rig_shake(&rig));
    size_t all = rig.taken;
    ck_assert(hello > 100 && all > hello);
    for (size_t at = 1; at <= all; at++) {
        rig.broken_at = at;
        bool up = tls_rig_connect(&rig, &ask);
        /* The lower byte of the version of a record that is not encrypted is nobody's concern. */
        UNIT_ASSERT(!up || at == 3 || at == hello + 3);
        if (rig.answer == TLS_BAD)
            UNIT_ASSERT(rig.t->fault != TLS_FAULT_none && rig.t->why[0] != '\0');
    }
    tls_rig_over(&rig);
}
END_TEST

/* Goal: the same if what comes from some byte on is noise. */
START_TEST(noise_from_every_byte)
{
    static unsigned char bytes[4096], noise[600];
    uint64_t seed = 7;
    struct tls_rig_client ask = asks_for(_i ? 3 : 0);
    tls_rig_usual(&rig, &certs, false);
    for (size_t at = 0; at < 520; at += UNIT_SLOW) {
        tls_rig_begin(&rig, &ask);
        SSL_do_handshake(rig.client);
        size_t n = (size_t) BIO_read(rig.up, bytes, sizeof bytes);
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (unsigned char) unit_random(&seed);
        size_t good = at < n ? at : n;
        tls_rig_feed(&rig, bytes, good);
        if (rig.answer == TLS_MORE)
            tls_rig_feed(&rig, noise, sizeof noise);
        UNIT_ASSERT(rig.answer == TLS_BAD || rig.answer == TLS_MORE);
    }
    tls_rig_over(&rig);
}
END_TEST

Suite *tls_bytes_suite(void)
{
    Suite *s = suite_create("tls_bytes");
    TCase *c = tls_lab_case(s, "bytes", 30);
    tcase_add_loop_test(c, a_changed_record, 0, 2);
    tcase_add_loop_test(c, a_bad_header, 0, 2);
    tcase_add_loop_test(c, what_is_held, 0, 2);
    tcase_add_loop_test(c, a_trickle_is_linear, 0, 2);
    tcase_add_loop_test(c, key_updates, 0, 6);
    tcase_add_test(c, no_renegotiation);
    tcase_add_loop_test(c, small_records, 0, 4);
    tcase_add_loop_test(c, garbage_at_every_byte, 0, 2);
    tcase_add_loop_test(c, noise_from_every_byte, 0, 2);
    return s;
}
