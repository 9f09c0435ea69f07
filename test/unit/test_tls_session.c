/*
 * test_tls_session.c: sessions against a client of libssl's, memory to memory: handshakes, who is refused, ends, and
 * memory. Where a test has two rounds, the second one asks for slim records.
 */
#include "unit.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>

#include "mario/base/spans.h"
#include "mario/tls/inside.h"
#include "tls_lab.h"

/* ---- Handshakes ---- */

/* Goal: each version and cipher, both kinds of records; what is said comes; facts are right. */
START_TEST(each_cipher)
{
    struct mario_tls_info info;
    struct tls_rig_client ask = asks_for(_i % CIPHERS);
    uint64_t before = tls_handshakes_of("one");
    tls_rig_usual(&rig, &certs, _i >= CIPHERS);
    tls_rig_begin(&rig, &ask);
    ck_assert(!tls_is_up(rig.s) && !tls_facts(rig.s, &info) && tls_held(rig.s) == 0);
    ck_assert(tls_rig_shake(&rig) && tls_is_up(rig.s));
    ck_assert(tls_rig_talks(&rig));
    ck_assert(tls_facts(rig.s, &info));
    ck_assert_str_eq(info.version, ciphers[_i % CIPHERS].version == TLS1_3_VERSION ? "TLSv1.3" : "TLSv1.2");
    ck_assert_str_eq(info.cipher, ciphers[_i % CIPHERS].cipher);
    ck_assert_str_eq(info.sni, "localhost");
    ck_assert_str_eq(info.alpn, "");
    ck_assert_str_eq(info.name, "one");
    ck_assert(!info.has_client && !info.is_resumed);
    ck_assert_uint_eq(tls_handshakes_of("one"), before + 1);
    tls_session_end(rig.s);
    ck_assert(tls_facts(rig.s, &info));
    ck_assert_str_eq(info.sni, "localhost");
    tls_rig_over(&rig);
}
END_TEST

/* Goal: the same if all that a client sends comes byte by byte, in pieces of seven, and of 1,000. */
START_TEST(in_pieces)
{
    static const size_t steps[] = {1, 7, 1000};
    for (int i = 0; i < CIPHERS; i += 3)
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            struct tls_rig_client ask = asks_for(i);
            tls_rig_usual(&rig, &certs, _i);
            rig.step = steps[k];
            ck_assert(tls_rig_connect(&rig, &ask));
            ck_assert(tls_rig_talks(&rig));
        }
    tls_rig_over(&rig);
}
END_TEST

/* Goal: what comes in one piece with the end of the handshake is heard. */
START_TEST(data_behind_the_handshake)
{
    static const char text[] = "early, but not too early";
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    tls_rig_begin(&rig, &ask);
    ck_assert(SSL_do_handshake(rig.client) != 1);
    tls_rig_pump(&rig);
    ck_assert(SSL_do_handshake(rig.client) == 1 && !tls_is_up(rig.s));
    for (int i = 0; i < 3; i++)
        ck_assert(SSL_write(rig.client, text, sizeof text) == sizeof text);
    tls_rig_pump(&rig);
    ck_assert(tls_is_up(rig.s) && rig.heard_len == 3 * sizeof text);
    ck_assert_mem_eq(rig.heard + 2 * sizeof text, text, sizeof text);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a session goes from one thread's hands to another's at any point. */
START_TEST(from_thread_to_thread)
{
    struct tls_thread *other = tls_thread_make();
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    tls_rig_begin(&rig, &ask);
    for (int i = 0; i < 4 && !tls_is_up(rig.s); i++) {
        SSL_do_handshake(rig.client);
        struct tls_thread *t = rig.t;
        rig.t = other;
        other = t;
        tls_rig_pump(&rig);
    }
    tls_thread_free(&other);
    ck_assert(tls_rig_shake(&rig) && tls_rig_talks(&rig));
    tls_rig_over(&rig);
}
END_TEST

/* Goal: contexts stay as long as somebody shakes hands with them, and no longer. */
START_TEST(contexts_go_meanwhile)
{
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    tls_rig_begin(&rig, &ask);
    SSL_do_handshake(rig.client);
    tls_contexts_free(&rig.contexts);
    ck_assert(tls_rig_shake(&rig) && tls_rig_talks(&rig));
    tls_rig_usual(&rig, &certs, _i);
    tls_rig_begin(&rig, &ask);
    tls_contexts_free(&rig.contexts);
    tls_rig_over(&rig); /* the sanitizer says whether something is left */
}
END_TEST

/* Goal: names and protocols that are configured no session keeps for itself, others it does; each is said as it was
 * asked for, whatever is configured by then; and what was configured once takes no more memory when it comes again. */
START_TEST(usual_texts)
{
    enum { ASKS = 5, AGAIN = 10 };
    static const struct {
        const char *host, *alpn, *chosen;
        bool is_usual;
    } asks[ASKS] = {{"one.example", "\x03m/1", "m/1", true},
                    {"two.example", "\x03m/1\x03m/2", "m/2", true},
                    {"two.example", NULL, "", true},
                    {"TWO.example", "\x03m/2", "m/2", false},
                    {"a.wild.example", NULL, "", false}};
    struct mario_tls one = {.name = "one",
                            .certificate = certs.server,
                            .key = certs.key,
                            .sni = "*.wild.example, one.example, two.example",
                            .alpn = "m/2, m/1"};
    struct tls_session *kept[ASKS];
    struct mario_tls_info info;
    uint16_t number[ASKS];
    for (int again = 0; again < AGAIN; again++) {
        one.sni = "*.wild.example, one.example, two.example";
        one.alpn = "m/2, m/1";
        tls_rig_contexts(&rig, &one, 1, (const char *const[]){"one", NULL}, _i);
        for (int i = 0; i < ASKS; i++) {
            struct tls_rig_client ask = {.host = asks[i].host, .alpn = asks[i].alpn};
            ck_assert(tls_rig_connect(&rig, &ask));
            kept[i] = rig.s;
            rig.s = NULL;
            ck_assert_int_eq(kept[i]->known != 0, asks[i].is_usual);
            ck_assert(again == 0 || kept[i]->known == number[i]);
            number[i] = kept[i]->known;
        }
        one.sni = "three.example, four.example";
        one.alpn = "n/2, n/1";
        tls_rig_contexts(&rig, &one, 1, (const char *const[]){"one", NULL}, _i);
        for (int i = 0; i < ASKS; i++) {
            ck_assert(tls_facts(kept[i], &info));
            ck_assert_str_eq(info.sni, asks[i].host);
            ck_assert_str_eq(info.alpn, asks[i].chosen);
            ck_assert_str_eq(info.client_subject, "");
            tls_session_free(&kept[i]);
        }
    }
    tls_rig_over(&rig);
}
END_TEST

/* ---- Who is refused ---- */

/* Goal: what is no TLS is refused, with words, and at the first bytes. */
START_TEST(no_tls_at_all)
{
    static const struct {
        const char *bytes;
        size_t n;
    } bad[] = {{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27},
               {"\x78\x56\x34\x12\x20\x00\x02\x61 and thirty-two bytes more", 32},
               {"SSH-2.0-OpenSSH_9.2p1\r\n", 23},
               {"\0\0\0\0\0\0\0\0\0\0\0\0", 12},
               {"\x16\x03\x01\xff\xff", 5},
               {"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10\x01\x00\x80\x03\x00\x80\x07\x00\xc0", 20},
               {"\x17\x03\x03\x00\x05hello", 10}};
    tls_rig_usual(&rig, &certs, _i);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tls_rig_begin(&rig, &(struct tls_rig_client){0});
        tls_rig_feed(&rig, bad[i].bytes, bad[i].n);
        if (rig.answer == TLS_MORE) /* a record of SSLv2 has its length first */
            tls_rig_feed(&rig, bad[i].bytes, bad[i].n);
        if (rig.answer == TLS_MORE)
            tls_rig_feed(&rig, bad[i].bytes, bad[i].n);
        ck_assert_msg(rig.answer == TLS_BAD, "%zu: answer %d", i, (int) rig.answer);
        ck_assert_msg(rig.t->fault != TLS_FAULT_none && rig.t->fault != TLS_FAULT_alert &&
                          strlen(rig.t->why) > 10,
                      "%zu: %s", i, rig.t->why);
    }
    tls_rig_over(&rig);
}
END_TEST

static void refused(const struct mario_tls *section, const struct tls_rig_client *ask, enum tls_fault fault,
                    int alert)
{
    tls_rig_contexts(&rig, section, 1, (const char *const[]){section->name, NULL}, false);
    ck_assert(!tls_rig_connect(&rig, ask));
    ck_assert_int_eq(rig.answer, TLS_BAD);
    ck_assert_msg(rig.t->fault == fault, "%s instead of %s: %s", tls_fault_name(rig.t->fault),
                  tls_fault_name(fault), rig.t->why);
    tls_rig_shake(&rig);
    SSL_do_handshake(rig.client);
    if (rig.refusal == 0) {
        char c;
        SSL_read(rig.client, &c, 1);
        rig.refusal = ERR_peek_last_error();
        ERR_clear_error();
    }
    ck_assert_msg(alert == 0 || alert_is(rig.refusal, alert), "not alert %d: %s", alert,
                  ERR_reason_error_string(rig.refusal));
}

/* Goal: nothing in common: each has its fault, and the client gets the alert that says it. */
START_TEST(nothing_in_common)
{
    struct mario_tls one = {.name = "one", .certificate = certs.server, .key = certs.key};
    struct tls_rig_client old = {.max = TLS1_1_VERSION}, v12 = asks_for(3), v13 = asks_for(0),
                          weak = {.max = TLS1_2_VERSION, .ciphers = "AES128-SHA:ECDHE-ECDSA-AES128-SHA"};
    refused(&one, &old, TLS_FAULT_version, SSL_AD_PROTOCOL_VERSION);
    refused(&one, &weak, TLS_FAULT_cipher, SSL_AD_HANDSHAKE_FAILURE);
    one.min_version = MARIO_TLS_1_3;
    refused(&one, &v12, TLS_FAULT_version, SSL_AD_PROTOCOL_VERSION);
    one.min_version = MARIO_TLS_DEFAULT;
    one.ciphers = "TLS_AES_256_GCM_SHA384";
    refused(&one, &v13, TLS_FAULT_cipher, SSL_AD_HANDSHAKE_FAILURE);
    one.ciphers = NULL;
    one.alpn = "mario/2, mario/1";
    v13.alpn = "\x02h2\x08http/1.1";
    refused(&one, &v13, TLS_FAULT_alpn, SSL_AD_NO_APPLICATION_PROTOCOL);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: of several protocols ours is chosen; who offers none gets none. */
START_TEST(protocols)
{
    struct mario_tls one = {
        .name = "one", .certificate = certs.server, .key = certs.key, .alpn = "mario/2, mario/1"};
    struct tls_rig_client ask = asks_for(_i);
    struct mario_tls_info info;
    ask.alpn = "\x02h2\x07mario/1\x07mario/2";
    tls_rig_contexts(&rig, &one, 1, (const char *const[]){"one", NULL}, false);
    ck_assert(tls_rig_connect(&rig, &ask) && tls_facts(rig.s, &info));
    ck_assert_str_eq(info.alpn, "mario/2");
    ck_assert_str_eq(info.sni, "localhost");
    ask.alpn = NULL;
    ck_assert(tls_rig_connect(&rig, &ask) && tls_facts(rig.s, &info));
    ck_assert_str_eq(info.alpn, "");
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a client that does not trust us says so, and that is heard. */
START_TEST(the_client_refuses)
{
    struct cert *other = cert_make(&(struct cert_ask){.name = "other", .ca = true});
    char path[128];
    snprintf(path, sizeof path, "%s/other.pem", certs.dir);
    cert_write(other, path);
    cert_free(&other);
    struct tls_rig_client ask = asks_for(_i);
    ask.ca = path;
    tls_rig_usual(&rig, &certs, false);
    ck_assert(!tls_rig_connect(&rig, &ask));
    SSL_do_handshake(rig.client);
    tls_rig_pump(&rig);
    ck_assert_int_eq(rig.answer, TLS_BAD);
    ck_assert_msg(rig.t->fault == TLS_FAULT_alert && strstr(rig.t->why, "unknown ca") != NULL, "%s",
                  rig.t->why);
    tls_rig_over(&rig);
}
END_TEST

/* ---- Clients with a certificate ---- */

static void make_client(const struct cert *signer, const char *name, int64_t ends_s, char *file, char *key,
                        size_t size)
{
    struct cert *c = cert_make(&(struct cert_ask){.name = name,
                                                  .client = true,
                                                  .signer = signer,
                                                  .begins_s = ends_s != 0 ? -7200 : 0,
                                                  .ends_s = ends_s});
    snprintf(file, size, "%s/%s.pem", certs.dir, name);
    snprintf(key, size, "%s/%s.key", certs.dir, name);
    cert_write(c, file);
    cert_write_key(c, NULL, key);
    cert_free(&c);
}

/* Goal: mutual TLS: who has none, a stranger's or an old one is refused; who has one is known. */
START_TEST(clients_certificates)
{
    struct mario_tls one = {
        .name = "one", .certificate = certs.server, .key = certs.key, .client_ca = certs.ca};
    struct tls_rig_client ask = asks_for(_i);
    struct mario_tls_info info;
    char file[128], key[128];
    struct cert *stranger = cert_make(&(struct cert_ask){.name = "stranger", .ca = true});
    refused(&one, &ask, TLS_FAULT_client_certificate, 0);
    ask.certificate = file;
    ask.key = key;
    make_client(stranger, "mallory", 0, file, key, sizeof file);
    refused(&one, &ask, TLS_FAULT_client_certificate, 0);
    make_client(certs.authority, "late", -3600, file, key, sizeof file);
    refused(&one, &ask, TLS_FAULT_client_certificate, 0);
    ck_assert_msg(strstr(rig.t->why, "expired") != NULL, "%s", rig.t->why);
    cert_free(&stranger);
    ask.certificate = certs.client;
    ask.key = certs.client_key;
    ck_assert(tls_rig_connect(&rig, &ask) && tls_rig_talks(&rig) && tls_facts(rig.s, &info));
    ck_assert(info.has_client);
    ck_assert_msg(strstr(info.client_subject, "CN=alice") != NULL, "%s", info.client_subject);
    struct mario_tls alice = {.name = "alice", .certificate = certs.client, .key = certs.client_key};
    struct mario_tls_certificate described;
    char why[256];
    ck_assert_msg(mario_tls_describe(&alice, &described, why, sizeof why) == 0, "%s", why);
    ck_assert_mem_eq(described.digest, info.client_digest, 32);
    tls_rig_over(&rig);
}
END_TEST

/* ---- Ends ---- */

/* Goal: close_notify both ways, each direction by itself; what was said before is heard. */
START_TEST(the_end)
{
    struct tls_rig_client ask = asks_for(_i % CIPHERS);
    tls_rig_usual(&rig, &certs, _i >= CIPHERS);
    ck_assert(tls_rig_connect(&rig, &ask));
    ck_assert(SSL_write(rig.client, "last", 4) == 4);
    ck_assert(SSL_shutdown(rig.client) == 0);
    tls_rig_pump(&rig);
    ck_assert_int_eq(rig.answer, TLS_CLOSED);
    ck_assert(rig.heard_len == 4 && memcmp(rig.heard, "last", 4) == 0);
    tls_rig_answer(&rig, "but we are not done", 19);
    ck_assert_uint_eq(rig.answered_len, 19);
    tls_close_notify(rig.s, rig.t);
    size_t n = rig.t->out_len;
    ck_assert_uint_gt(n, 0);
    tls_close_notify(rig.s, rig.t);
    ck_assert_uint_eq(rig.t->out_len, n);
    ck_assert(BIO_write(rig.down, rig.t->out, (int) n) == (int) n);
    rig.t->out_len = 0;
    ck_assert(SSL_shutdown(rig.client) == 1);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: an alert with which the client ends all is no close_notify: what it says is refused, and why is known. */
START_TEST(an_alert_is_no_end)
{
    struct tls_rig_client ask = asks_for(_i % CIPHERS);
    struct iovec v = {"changed on the way", 18};
    char c;
    tls_rig_usual(&rig, &certs, _i >= CIPHERS);
    ck_assert(tls_rig_connect(&rig, &ask));
    ck_assert(tls_seal(rig.s, rig.t, &v, 1) == v.iov_len);
    rig.t->out[rig.t->out_len - 1] ^= 1;
    ck_assert(BIO_write(rig.down, rig.t->out, (int) rig.t->out_len) == (int) rig.t->out_len);
    rig.t->out_len = 0;
    ck_assert(SSL_read(rig.client, &c, 1) <= 0); /* bad_record_mac */
    ERR_clear_error();
    tls_rig_pump(&rig);
    ck_assert_int_eq(rig.answer, TLS_BAD);
    ck_assert_msg(rig.t->fault == TLS_FAULT_alert, "%s", rig.t->why);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: what stands behind a close_notify is dropped, in one piece with it too. */
START_TEST(behind_the_end)
{
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    ck_assert(tls_rig_connect(&rig, &ask));
    SSL_shutdown(rig.client);
    ck_assert(BIO_write(rig.up, "\x17\x03\x03\x00\x20 and so on, with no end", 28) == 28);
    tls_rig_pump(&rig);
    ck_assert(rig.answer == TLS_CLOSED && rig.heard_len == 0 && tls_held(rig.s) == 0);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: nothing is said by close_notify before the handshake is over, or when a session has ended. */
START_TEST(no_end_without_a_beginning)
{
    struct tls_rig_client ask = asks_for(0);
    tls_rig_usual(&rig, &certs, _i);
    tls_rig_begin(&rig, &ask);
    tls_close_notify(rig.s, rig.t);
    ck_assert_uint_eq(rig.t->out_len, 0);
    SSL_do_handshake(rig.client);
    tls_rig_pump(&rig);
    tls_session_end(rig.s);
    tls_rig_over(&rig);
}
END_TEST

/* ---- Bad days ---- */

/* One connection with `good` allocations of the session's side, then none: in which call they end says which. How many
 * were refused. */
static size_t poor(const struct tls_rig_client *ask, int which, size_t good)
{
    size_t refused = 0, used;
    static unsigned char bytes[4096];
    tls_rig_begin(&rig, ask);
    for (int call = 0; call < 6; call++) {
        size_t plain;
        if (call == 4 && !tls_is_up(rig.s))
            return refused;
        if (call == 4) {
            struct iovec vec = {(void *) "text", 4};
            if (which == call)
                unit_heap_fail(good);
            size_t took = tls_seal(rig.s, rig.t, &vec, 1);
            refused += which == call ? unit_heap_heal() : 0;
            UNIT_ASSERT(took == 4 || refused > 0);
            rig.t->out_len = 0;
            if (took == 0)
                return refused;
            continue;
        }
        if (!SSL_is_init_finished(rig.client))
            SSL_do_handshake(rig.client);
        else
            SSL_write(rig.client, "hello", 5);
        int n = BIO_read(rig.up, bytes, sizeof bytes);
        if (n <= 0)
            continue;
        if (which == call)
            unit_heap_fail(good);
        if (!tls_is_up(rig.s))
            rig.answer = tls_shake(&rig.s, rig.t, bytes, (size_t) n, &used);
        else
            rig.answer = tls_open(rig.s, rig.t, bytes, (size_t) n, &plain);
        refused += which == call ? unit_heap_heal() : 0;
        UNIT_ASSERT(rig.answer <= TLS_MORE || refused > 0);
        if (rig.answer > TLS_MORE) /* some of libssl's own it does not say */
            return refused;
        if (rig.t->out_len > 0)
            UNIT_ASSERT(BIO_write(rig.down, rig.t->out, (int) rig.t->out_len) > 0);
        rig.t->out_len = 0;
    }
    return refused;
}

/* Goal: any allocation of ours or of libssl's may fail: a session is refused or ends, nothing else. */
START_TEST(no_memory)
{
    struct tls_rig_client ask = asks_for(_i ? 3 : 0);
    tls_rig_usual(&rig, &certs, false);
    poor(&ask, -1, 0);
    for (size_t good = 0, refused = 1; refused > 0; good++) {
        tls_rig_end(&rig);
        unit_heap_fail(good);
        struct tls_session *s = tls_session_make(rig.contexts, 0);
        refused = unit_heap_heal();
        UNIT_ASSERT(s != NULL || refused > 0);
        tls_session_free(&s);
    }
    for (int which = 0; which < 6; which++)
        for (size_t good = 0; poor(&ask, which, good) > 0; good += UNIT_SLOW)
            continue;
    rig.answer = TLS_MORE;
    ck_assert(tls_rig_connect(&rig, &ask) && tls_rig_talks(&rig));
    tls_rig_over(&rig);
}
END_TEST

/* Goal: what one of many idle connections takes, of heap. */
START_TEST(idle)
{
    enum { MANY = 200 };
    static struct tls_session *all[MANY];
    size_t before = 0;
    if (UNIT_SLOW > 1)
        return; /* a sanitizer's heap is another one */
    tls_rig_usual(&rig, &certs, _i);
    for (int i = -10; i < MANY; i++) {
        struct tls_rig_client ask = asks_for(0);
        if (i == 0) {
            tls_rig_settle(rig.t);
            before = mallinfo2().uordblks + spans_out();
        }
        ck_assert(tls_rig_connect(&rig, &ask));
        tls_rig_say(&rig, "hello", 5);
        tls_rig_answer(&rig, "hello", 5);
        if (i >= 0) {
            all[i] = rig.s;
            rig.s = NULL;
        }
        tls_rig_end(&rig);
    }
    size_t each = (mallinfo2().uordblks + spans_out() - before) / MANY;
    bool is_slim = all[0]->records == TLS_SLIM_RECORDS;
    if (getenv("TLS_SHOW") != NULL)
        fprintf(stderr, "%s: %zu bytes each\n", is_slim ? "slim" : "openssl", each);
    ck_assert_msg(each < (is_slim ? 400 : 14500), "%zu bytes each", each);
    for (int i = 0; i < MANY; i++)
        tls_session_free(&all[i]);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: a block of libssl's, which lies in spans only during a handshake and if it is not too large, keeps what is in
 * it when its size changes, wherever it lies and goes. */
START_TEST(blocks_change_size)
{
    static const size_t sizes[] = {100, 90, 50, 2000, 16384, 16385, 40000, 30000, 16384, 10, 0};
    tls_rig_usual(&rig, &certs, false);
    for (int within = 0; within < 4; within++) { /* bit 0: at first; bit 1: later */
        unsigned char *p = NULL;
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            bool in_spans = within >> (i > 0) & 1;
            size_t n = sizes[i], had = i > 0 ? sizes[i - 1] : 0;
            if (in_spans)
                spans_begin();
            p = OPENSSL_realloc(p, n);
            if (in_spans)
                spans_end();
            UNIT_ASSERT((p == NULL) == (n == 0));
            UNIT_ASSERT(i > 0 || UNIT_SLOW > 1 || (spans_room(p) > 0) == in_spans);
            for (size_t k = 0; k < had && k < n; k++)
                UNIT_ASSERT(p[k] == (unsigned char) (had + k));
            for (size_t k = 0; k < n; k++)
                p[k] = (unsigned char) (n + k);
        }
    }
    tls_rig_over(&rig);
}
END_TEST

Suite *tls_session_suite(void)
{
    Suite *s = suite_create("tls_session");
    TCase *c = tls_lab_case(s, "sessions", 30);
    tcase_add_loop_test(c, each_cipher, 0, 2 * CIPHERS);
    tcase_add_loop_test(c, in_pieces, 0, 2);
    tcase_add_loop_test(c, data_behind_the_handshake, 0, 2);
    tcase_add_loop_test(c, from_thread_to_thread, 0, 2);
    tcase_add_loop_test(c, contexts_go_meanwhile, 0, 2);
    tcase_add_loop_test(c, usual_texts, 0, 2);
    tcase_add_loop_test(c, no_tls_at_all, 0, 2);
    tcase_add_test(c, nothing_in_common);
    tcase_add_loop_test(c, protocols, 0, CIPHERS);
    tcase_add_loop_test(c, the_client_refuses, 0, CIPHERS);
    tcase_add_loop_test(c, clients_certificates, 0, CIPHERS);
    tcase_add_loop_test(c, the_end, 0, 2 * CIPHERS);
    tcase_add_loop_test(c, an_alert_is_no_end, 0, 2 * CIPHERS);
    tcase_add_loop_test(c, behind_the_end, 0, 2);
    tcase_add_loop_test(c, no_end_without_a_beginning, 0, 2);
    tcase_add_loop_test(c, no_memory, 0, 2);
    tcase_add_loop_test(c, idle, 0, 2);
    tcase_add_test(c, blocks_change_size);
    return s;
}
