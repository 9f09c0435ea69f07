/*
 * test_tls_take.c: slim takes over after OpenSSL's handshake: with OpenSSL's own client, whatever the handshake was
 * like; when it must not; and what a session then weighs.
 */
#include "unit.h"

#include "mario/base/mem.h"
#include "mario/base/spans.h"
#include "mario/tls/libssl.h"
#include "mario/tls/slim.h"

#include "test/lib/certs.h"
#include "tls_rig.h"

#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct certs certs;
static struct tls_thread *t;
static const struct tls_contexts *contexts;
static SSL_CTX *client_ctx;
static const char *host = "localhost"; /* that clients ask for: it stands in the certificate */

/* A client and its connection. */
struct link {
    SSL *client;
    struct tls_session *s;
    unsigned char data[40000]; /* that has been opened last */
    size_t n;
    enum tls_answer answer;
};

static void open_contexts(bool slim, sint32 tickets, bool mutual)
{
    static const char *const lists[] = {"default"};
    struct mario_tls section = {
        .name = "default", .certificate = certs.server, .key = certs.key, .tickets = tickets};
    struct tls_policy policy = {.slim = slim};
    char why[300];
    if (mutual)
        section.client_ca = certs.ca;
    if (contexts != NULL)
        tls_contexts_free(&contexts);
    contexts = tls_contexts_make(&section, 1, lists, 1, &policy, why, sizeof why);
    ck_assert_msg(contexts != NULL, "%s", why);
    if (t == NULL)
        t = tls_thread_make();
    ck_assert(t != NULL);
}

static void begin(void)
{
    certs_usual(&certs, CERT_EC);
    client_ctx = SSL_CTX_new(TLS_client_method());
    ck_assert(client_ctx != NULL && SSL_CTX_load_verify_locations(client_ctx, certs.ca, NULL) == 1);
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(client_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
}

/* Nobody has used libssl before: so its memory is ours. */
static void begin_first(void)
{
    char why[200];
    ck_assert_msg(libssl_load(why, sizeof why), "%s", why);
    begin();
}

static void end(void)
{
    tls_contexts_free(&contexts);
    tls_thread_free(&t);
    SSL_CTX_free(client_ctx);
}

/* ---- A link: what one end has sent goes to the other ---- */

static struct link *make_link(void)
{
    struct link *l = calloc(1, sizeof *l);
    UNIT_ASSERT(l != NULL);
    l->client = SSL_new(client_ctx);
    SSL_set_bio(l->client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(l->client), -1);
    SSL_set_connect_state(l->client);
    SSL_set_tlsext_host_name(l->client, host);
    return l;
}

static void free_link(struct link *l)
{
    SSL_set_shutdown(l->client,
                     SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN); /* else its tickets are of no use */
    SSL_free(l->client);
    tls_session_free(&l->s);
    free(l);
}

static void to_client(struct link *l)
{
    if (t->out_len > 0)
        UNIT_ASSERT(BIO_write(SSL_get_rbio(l->client), t->out, (int) t->out_len) == (int) t->out_len);
    t->out_len = 0;
}

/* bytes[0 .. n-1] have come from the client. */
static void come(struct link *l, const unsigned char *bytes, size_t n)
{
    size_t used = 0, plain = 0, held;
    if (!tls_is_up(l->s)) {
        l->answer = tls_shake(&l->s, t, bytes, n, &used);
        if (l->answer != TLS_OK)
            return;
    }
    held = tls_held(l->s);
    UNIT_ASSERT(l->n + held + n - used <= sizeof l->data);
    memcpy(l->data + l->n + held, bytes + used, n - used);
    l->answer = tls_open(l->s, t, l->data + l->n, n - used, &plain);
    l->n += plain;
}

/* All that the client has written, in pieces of `step` bytes (0: at once). */
static void from_client(struct link *l, size_t step)
{
    char *data;
    size_t n = (size_t) BIO_get_mem_data(SSL_get_wbio(l->client), &data);
    for (size_t at = 0, len; at < n; at += len) {
        len = step == 0 || step > n - at ? n - at : step;
        come(l, (unsigned char *) data + at, len);
        if (l->answer != TLS_OK && l->answer != TLS_MORE)
            break;
    }
    (void) BIO_reset(SSL_get_wbio(l->client));
    to_client(l);
}

/* The handshake; with the last of it the client sends `early`, if it is not NULL. False: one side has given up. */
static bool shake(struct link *l, size_t step, const char *early)
{
    l->s = tls_session_make(contexts, 0);
    if (l->s == NULL)
        return false;
    for (int i = 0; i < 10; i++) {
        int rc = SSL_do_handshake(l->client);
        if (rc == 1 && early != NULL) {
            UNIT_ASSERT(SSL_write(l->client, early, (int) strlen(early)) > 0);
            early = NULL;
        } else if (rc != 1 && SSL_get_error(l->client, rc) != SSL_ERROR_WANT_READ) {
            return false;
        }
        from_client(l, step);
        if (l->answer != TLS_OK && l->answer != TLS_MORE)
            return false;
        if (tls_is_up(l->s) && SSL_is_init_finished(l->client))
            return true;
    }
    return false;
}

static struct link *connected(size_t step)
{
    struct link *l = make_link();
    ck_assert_msg(shake(l, step, NULL), "%s; %s", t->why, ERR_reason_error_string(ERR_peek_error()));
    return l;
}

/* n bytes of chance each way. */
static void talk(struct link *l, size_t n)
{
    static uint64_t random = 1;
    static unsigned char data[16384], heard[16384];
    struct iovec v = {data, n};
    size_t got = 0;
    int rc;
    for (size_t i = 0; i < n; i++)
        data[i] = (unsigned char) unit_random(&random);
    l->n = 0;
    UNIT_ASSERT(SSL_write(l->client, data, (int) n) == (int) n);
    from_client(l, n > 1000 ? 1448 : 0);
    UNIT_ASSERT(l->answer == TLS_OK && l->n == n && memcmp(l->data, data, n) == 0);
    UNIT_ASSERT(tls_seal(l->s, t, &v, 1) == n);
    to_client(l);
    while (got < n && (rc = SSL_read(l->client, heard + got, (int) (n - got))) > 0)
        got += (size_t) rc;
    UNIT_ASSERT(got == n && memcmp(heard, data, n) == 0);
}

static void must_be_slim(const struct link *l)
{
    ck_assert_int_eq(l->s->records, TLS_SLIM_RECORDS);
}

/* ---- Tests ---- */

/* Goal: with every suite, any number of tickets, however the handshake is cut, both sides understand each other. */
START_TEST(all_handshakes)
{
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                         "TLS_CHACHA20_POLY1305_SHA256"};
    static const sint32 tickets[] = {-1, 1, 0, 3, MARIO_TLS_TICKETS_MAX};
    for (size_t i = 0; i < sizeof tickets / sizeof tickets[0]; i++) {
        open_contexts(true, tickets[i], false);
        for (int suite = 0; suite < 3; suite++) {
            struct mario_tls_info info;
            SSL_CTX_set_ciphersuites(client_ctx, suites[suite]);
            struct link *l = connected((size_t) suite * 100);
            must_be_slim(l);
            ck_assert_uint_eq(l->s->slim.out_seq, tickets[i] == -1  ? 0
                                                  : tickets[i] == 0 ? 2
                                                                    : (unsigned) tickets[i]);
            ck_assert(tls_facts(l->s, &info));
            ck_assert_str_eq(info.version, "TLSv1.3");
            ck_assert_str_eq(info.cipher, suites[suite]);
            for (size_t n = 1; n <= 16384; n *= 2)
                talk(l, n);
            for (int k = 0; k < 20; k++) {
                ck_assert_int_eq(SSL_key_update(l->client, k % 2), 1);
                ck_assert_int_eq(SSL_do_handshake(l->client), 1);
                talk(l, 100);
            }
            t->slim->update_at = 3;
            for (int k = 0; k < 20; k++)
                talk(l, 100);
            t->slim->update_at = SLIM_UPDATE_AT;
            free_link(l);
        }
    }
}
END_TEST

/* Goal: what comes with the last of the handshake, or in the middle of a record, is data. */
START_TEST(data_behind_the_handshake)
{
    open_contexts(true, 0, false);
    for (size_t step = 0; step < 60; step++) {
        struct link *l = make_link();
        ck_assert(shake(l, step, "early bird"));
        must_be_slim(l);
        ck_assert_uint_eq(l->n, 10);
        ck_assert_mem_eq(l->data, "early bird", 10);
        talk(l, 50);
        free_link(l);
    }
}
END_TEST

/* Goal: close_notify goes both ways; the client's SSL is content with it. */
START_TEST(closing)
{
    char byte;
    open_contexts(true, 0, false);
    struct link *l = connected(0);
    ck_assert_int_eq(SSL_shutdown(l->client), 0);
    from_client(l, 0);
    ck_assert_int_eq(l->answer, TLS_CLOSED);
    tls_close_notify(l->s, t);
    to_client(l);
    ck_assert_int_eq(SSL_shutdown(l->client), 1);
    free_link(l);
    l = connected(0);
    tls_close_notify(l->s, t);
    to_client(l);
    int rc = SSL_read(l->client, &byte, 1);
    ck_assert_int_eq(SSL_get_error(l->client, rc), SSL_ERROR_ZERO_RETURN);
    free_link(l);
}
END_TEST

/* Goal: TLS 1.2, and records that must be short, are OpenSSL's as before. */
START_TEST(not_for_slim)
{
    open_contexts(true, 0, false);
    SSL_CTX_set_max_proto_version(client_ctx, TLS1_2_VERSION);
    struct link *l = connected(0);
    ck_assert_int_eq(l->s->records, TLS_OPENSSL_RECORDS);
    talk(l, 1000);
    free_link(l);
    SSL_CTX_set_max_proto_version(client_ctx, 0);
    SSL_CTX_set_tlsext_max_fragment_length(client_ctx, TLSEXT_max_fragment_length_512);
    l = connected(0);
    ck_assert_int_eq(l->s->records, TLS_OPENSSL_RECORDS);
    talk(l, 2000);
    free_link(l);
    SSL_CTX_set_tlsext_max_fragment_length(client_ctx, TLSEXT_max_fragment_length_DISABLED);
    open_contexts(false, 0, false);
    l = connected(0);
    ck_assert_int_eq(l->s->records, TLS_OPENSSL_RECORDS);
    talk(l, 1000);
    free_link(l);
}
END_TEST

static SSL_SESSION *ticket;

static int keep_ticket(SSL *ssl, SSL_SESSION *session)
{
    (void) ssl;
    SSL_SESSION_free(ticket);
    ticket = session;
    return 1;
}

/* Goal: sessions are resumed although OpenSSL's state went at once; data that a client sends too early (0-RTT) is not
 * taken and does not disturb what follows. */
START_TEST(resumption)
{
    struct mario_tls_info info;
    size_t written;
    open_contexts(true, 0, false);
    SSL_CTX_sess_set_new_cb(client_ctx, keep_ticket);
    struct link *l = connected(0);
    talk(l, 10); /* the client reads its tickets */
    free_link(l);
    ck_assert_ptr_nonnull(ticket);
    for (int i = 0; i < 6; i++) {
        l = make_link();
        ck_assert_int_eq(SSL_set_session(l->client, ticket), 1);
        ck_assert(shake(l, 0, i % 2 == 0 ? "early" : NULL));
        must_be_slim(l);
        ck_assert_msg(SSL_session_reused(l->client) == 1, "round %d", i);
        ck_assert(tls_facts(l->s, &info));
        ck_assert_int_eq(info.is_resumed, 1);
        talk(l, 100);
        free_link(l);
    }
    l = make_link();
    SSL_SESSION *eager = SSL_SESSION_dup(ticket);
    ck_assert_int_eq(SSL_SESSION_set_max_early_data(eager, 1000), 1);
    ck_assert_int_eq(SSL_set_session(l->client, eager), 1);
    if (SSL_write_early_data(l->client, "too early", 9, &written) == 1) {
        ck_assert(shake(l, 0, NULL));
        ck_assert_int_eq(SSL_get_early_data_status(l->client), SSL_EARLY_DATA_REJECTED);
        must_be_slim(l);
        ck_assert_uint_eq(l->n, 0);
        talk(l, 100);
    }
    free_link(l);
    SSL_SESSION_free(eager);
    SSL_SESSION_free(ticket);
    ticket = NULL;
}
END_TEST

/* Goal: a client with a certificate is slim's too, and stays known at its end, when its keys are wiped. */
START_TEST(client_certificate)
{
    static const unsigned char none[2 * TLS_HALF_MAX];
    struct mario_tls_info info;
    open_contexts(true, 0, true);
    ck_assert_int_eq(SSL_CTX_use_certificate_chain_file(client_ctx, certs.client), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey_file(client_ctx, certs.client_key, SSL_FILETYPE_PEM), 1);
    struct link *l = connected(0);
    must_be_slim(l);
    ck_assert(tls_facts(l->s, &info));
    ck_assert_int_eq(info.has_client, 1);
    ck_assert_ptr_nonnull(strstr(info.client_subject, "alice"));
    talk(l, 100);
    size_t keys = 2 * tls_half_size(&tls_suites[l->s->slim.suite]);
    ck_assert_mem_ne(l->s->slim.keys, none, keys);
    tls_session_end(l->s);
    ck_assert_mem_eq(l->s->slim.keys, none, keys);
    ck_assert(tls_facts(l->s, &info));
    ck_assert_ptr_nonnull(strstr(info.cipher, "TLS_"));
    ck_assert_ptr_nonnull(strstr(info.client_subject, "alice"));
    free_link(l);
}
END_TEST

/* Goal: a session that is small enough moves in where idle ones lie, and is the same there, so one of AES-128 whose
 * client asks for a name of ours; others stay. */
START_TEST(settled)
{
    static const unsigned char none[2 * TLS_HALF_MAX];
    static _Alignas(8) unsigned char home[TLS_HOME + 8];
    static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"};
    struct mario_tls_info info;
    for (int i = 0; i < 4; i++) {
        open_contexts(i != 2, 0, false);
        SSL_CTX_set_ciphersuites(client_ctx, suites[i == 1]);
        host = i < 3 ? "localhost" : "else.where";
        memset(home, 0xa5, sizeof home);
        struct link *l = connected(0);
        tls_session_settle(&l->s, home);
        ck_assert_int_eq(l->s == (void *) home, i == 0);
        talk(l, 1000);
        ck_assert_int_eq(SSL_key_update(l->client, SSL_KEY_UPDATE_REQUESTED), 1);
        talk(l, 1000);
        ck_assert_uint_eq(home[TLS_HOME], 0xa5);
        ck_assert(tls_facts(l->s, &info));
        ck_assert_str_eq(info.cipher, suites[i == 1]);
        ck_assert_str_eq(info.sni, host);
        if (i == 0) {
            tls_session_end(l->s);
            ck_assert_mem_eq(l->s->slim.keys, none, 2 * tls_half_size(&tls_suites[0]));
        }
        free_link(l);
    }
    host = "localhost";
}
END_TEST

/* Goal: a session that goes from one thread's buffers to another's in the middle goes on. */
START_TEST(other_thread)
{
    open_contexts(true, 0, false);
    struct link *l = connected(0);
    struct tls_thread *first = t, *second = tls_thread_make();
    ck_assert_ptr_nonnull(second);
    for (int i = 0; i < 10; i++) {
        t = i % 2 == 0 ? second : first;
        talk(l, 1000);
        ck_assert_int_eq(SSL_key_update(l->client, SSL_KEY_UPDATE_REQUESTED), 1);
    }
    t = first;
    tls_thread_free(&second);
    free_link(l);
}
END_TEST

/* Goal: a handshake that is short of memory anywhere ends, or goes on well. */
START_TEST(handshake_without_memory)
{
    size_t slim = 0, others = 0;
    open_contexts(true, 0, false);
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_NONE, NULL);
    free_link(connected(0)); /* what is made once is there */
    for (size_t good = 0; good < 3000; good += 1 + good / 400 * UNIT_SLOW) {
        struct link *l = make_link();
        size_t failed, n;
        bool up = false;
        char *hello;
        UNIT_ASSERT(SSL_do_handshake(l->client) < 0);
        n = (size_t) BIO_get_mem_data(SSL_get_wbio(l->client), &hello);
        l->s = tls_session_make(contexts, 0);
        UNIT_ASSERT(l->s != NULL);
        unit_heap_fail(good);
        come(l, (unsigned char *) hello, n);
        failed = unit_heap_heal();
        (void) BIO_reset(SSL_get_wbio(l->client));
        to_client(l);
        if (l->answer == TLS_MORE && SSL_do_handshake(l->client) == 1) {
            n = (size_t) BIO_get_mem_data(SSL_get_wbio(l->client), &hello);
            unit_heap_fail(good);
            come(l, (unsigned char *) hello, n);
            failed += unit_heap_heal();
            (void) BIO_reset(SSL_get_wbio(l->client));
            to_client(l);
            up = l->answer == TLS_OK;
        }
        if (up) {
            talk(l, 100);
            slim += l->s->records == TLS_SLIM_RECORDS;
            others += l->s->records != TLS_SLIM_RECORDS;
        }
        ERR_clear_error();
        free_link(l);
        if (failed == 0)
            break;
    }
    ck_assert_uint_gt(slim, 0);
    (void) others;
}
END_TEST

/* The secret of what the server seals, as the client knows it: on the stack, where unit_memory_has() does not look. */
struct told {
    unsigned char secret[TLS_SECRET_MAX];
    size_t len;
};
static struct told *told;

static void note_secret(const SSL *ssl, const char *line)
{
    (void) ssl;
    if (strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) != 0)
        return;
    const char *hex = strrchr(line, ' ') + 1;
    told->len = strlen(hex) / 2;
    for (size_t i = 0; i < told->len && i < sizeof told->secret; i++)
        sscanf(hex + 2 * i, "%2hhx", &told->secret[i]);
}

/* Goal: when a session of slim is over its secrets are nowhere any more, nor are those that its handshake had. */
START_TEST(secrets_are_wiped)
{
    struct told here = {.len = 0};
    if (UNIT_SLOW > 1)
        return;
    told = &here;
    SSL_CTX_set_keylog_callback(client_ctx, note_secret);
    open_contexts(true, 0, false);
    struct link *l = connected(0);
    talk(l, 100);
    ck_assert_uint_gt(here.len, 0);
    libssl_free(l->client);
    ck_assert(unit_memory_has(here.secret, here.len));
    tls_session_free(&l->s);
    ck_assert(!unit_memory_has(here.secret, here.len));
    free(l);
}
END_TEST

/* Goal: what an idle session takes: as slim little more than its block, however many handshakes there were. */
START_TEST(weight)
{
    enum { SESSIONS = 1000 };
    static struct tls_session *kept[SESSIONS];
    SSL_CTX_set_ciphersuites(client_ctx, "TLS_AES_128_GCM_SHA256");
    for (int slim = 0; slim < 2; slim++) {
        open_contexts(slim == 1, 0, false);
        for (int i = 0; i < 50; i++) { /* buffers of the thread, and libssl's own */
            struct link *l = connected(0);
            talk(l, 100);
            free_link(l);
        }
        tls_rig_settle(t);
        size_t before = mallinfo2().uordblks + spans_out();
        for (int i = 0; i < SESSIONS; i++) {
            struct link *l = connected(0);
            talk(l, 100);
            kept[i] = l->s;
            ck_assert(slim == 0 || mem_room(kept[i]) <= TLS_HOME);
            l->s = NULL;
            free_link(l);
        }
        size_t each = (mallinfo2().uordblks + spans_out() - before) / SESSIONS;
        fprintf(stderr, "a session of %s: %zu bytes\n", slim == 1 ? "slim" : "OpenSSL", each);
#if UNIT_SLOW == 1
        ck_assert_uint_lt(each, slim == 1 ? 200 : 15000);
#endif
        for (int i = 0; i < SESSIONS; i++)
            tls_session_free(&kept[i]);
    }
}
END_TEST

Suite *tls_take_suite(void)
{
    Suite *s = suite_create("tls_take");
    TCase *c = unit_case(s, "tls_take", 20);
    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, all_handshakes);
    tcase_add_test(c, data_behind_the_handshake);
    tcase_add_test(c, closing);
    tcase_add_test(c, not_for_slim);
    tcase_add_test(c, resumption);
    tcase_add_test(c, client_certificate);
    tcase_add_test(c, settled);
    tcase_add_test(c, other_thread);
    tcase_add_test(c, handshake_without_memory);
    tcase_add_test(c, weight);
    c = unit_case(s, "tls_take, all memory is ours", 20);
    tcase_add_checked_fixture(c, begin_first, end);
    tcase_add_test(c, secrets_are_wiped);
    return s;
}
