/*
 * tls_records.c: what a record costs: ns to open one and to seal one, and the bytes that an idle session takes, for
 * tls.records = slim and openssl. `make bench-tls-records`.
 *
 * usage: tls_records [SESSIONS]
 */
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/base/mem.h"
#include "mario/base/spans.h"
#include "mario/tls/session.h"
#include "test/lib/certs.h"

static const char *const suites[] = {"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                     "TLS_CHACHA20_POLY1305_SHA256"};
static const struct {
    size_t size;
    uint32_t links; /* that take turns */
} ways[] = {{64, 1}, {64, 20}, {64, 256}, {1024, 256}, {16384, 256}};

struct link {
    SSL *client;
    struct tls_session *s;
};

static struct tls_thread *t;

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "tls_records: %s\n", what);
        exit(1);
    }
}

static const struct tls_contexts *load(const char *certificate, const char *key, bool slim)
{
    const char *lists[] = {"bench"};
    struct mario_tls section = {.name = "bench", .certificate = certificate, .key = key};
    struct tls_policy policy = {.slim = slim};
    char why[300];
    const struct tls_contexts *c = tls_contexts_make(&section, 1, lists, 1, &policy, why, sizeof why);
    must(c != NULL, why);
    return c;
}

static struct link shake(const struct tls_contexts *contexts, SSL_CTX *ctx)
{
    struct link l = {SSL_new(ctx), tls_session_make(contexts, 0)};
    char *data, byte;
    size_t used;
    must(l.client != NULL && l.s != NULL, "no memory");
    SSL_set_bio(l.client, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    BIO_set_mem_eof_return(SSL_get_rbio(l.client), -1);
    SSL_set_connect_state(l.client);
    while (!tls_is_up(l.s)) {
        (void) SSL_do_handshake(l.client);
        size_t n = (size_t) BIO_get_mem_data(SSL_get_wbio(l.client), &data);
        enum tls_answer answer = tls_shake(&l.s, t, (unsigned char *) data, n, &used);
        must(answer == TLS_OK || answer == TLS_MORE, t->why);
        (void) BIO_reset(SSL_get_wbio(l.client));
        BIO_write(SSL_get_rbio(l.client), t->out, (int) t->out_len);
        t->out_len = 0;
    }
    (void) SSL_read(l.client, &byte, 1); /* the tickets */
    return l;
}

/* Bytes of the heap that one of n idle sessions takes. */
static size_t weigh(const struct tls_contexts *contexts, SSL_CTX *ctx, uint32_t n)
{
    struct tls_session **kept = calloc(n, sizeof *kept);
    must(kept != NULL, "no memory");
    struct link l = shake(contexts, ctx);
    SSL_free(l.client);
    tls_session_free(&l.s);
    size_t before = mallinfo2().uordblks + spans_out();
    for (uint32_t i = 0; i < n; i++) {
        l = shake(contexts, ctx);
        SSL_free(l.client);
        kept[i] = l.s;
    }
    size_t after = mallinfo2().uordblks + spans_out();
    for (uint32_t i = 0; i < n; i++)
        tls_session_free(&kept[i]);
    free(kept);
    return (after - before) / n;
}

/* Records of `size` bytes, in turns for n connections: if n > 1 each is with other keys than the one before. */
static void time_records(struct link *links, uint32_t n, size_t size, double *open_ns, double *seal_ns)
{
    enum { BATCH = 64 };
    static unsigned char data[16384], stream[BATCH][16384 + 64];
    size_t len[BATCH], plain;
    uint64_t opened = 0, sealed = 0, start;
    uint32_t rounds = (uint32_t) (size > 4096 ? 10000 : 100000) / BATCH;
    struct iovec v = {data, size};
    for (uint32_t round = 0; round < rounds; round++) {
        struct link at[BATCH];
        for (uint32_t i = 0; i < BATCH; i++) {
            char *bytes;
            at[i] = links[(round * BATCH + i) % n];
            must(SSL_write(at[i].client, data, (int) size) == (int) size, "the client does not write");
            len[i] = (size_t) BIO_get_mem_data(SSL_get_wbio(at[i].client), &bytes);
            memcpy(stream[i], bytes, len[i]);
            (void) BIO_reset(SSL_get_wbio(at[i].client));
        }
        start = clock_thread_ns();
        for (uint32_t i = 0; i < BATCH; i++)
            must(tls_open(at[i].s, t, stream[i], len[i], &plain) == TLS_OK && plain == size,
                 "it is not opened");
        opened += clock_thread_ns() - start;
        start = clock_thread_ns();
        for (uint32_t i = 0; i < BATCH; i++) {
            must(tls_seal(at[i].s, t, &v, 1) == size, "it is not sealed");
            t->out_len = 0;
        }
        sealed += clock_thread_ns() - start;
    }
    *open_ns = (double) opened / rounds / BATCH;
    *seal_ns = (double) sealed / rounds / BATCH;
}

static void measure(const struct tls_contexts *contexts, const char *what, uint32_t sessions)
{
    enum { LINKS = 256 };
    for (size_t k = 0; k < sizeof suites / sizeof suites[0]; k++) {
        static struct link links[LINKS];
        SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
        must(ctx != NULL && SSL_CTX_set_ciphersuites(ctx, suites[k]) == 1, "no client");
        printf("%-8s %-30s %6zu B idle", what, suites[k], weigh(contexts, ctx, sessions));
        for (uint32_t i = 0; i < LINKS; i++)
            links[i] = shake(contexts, ctx);
        for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
            double open_ns, seal_ns;
            time_records(links, ways[i].links, ways[i].size, &open_ns, &seal_ns);
            printf("  %zu B, %u: %.0f + %.0f ns", ways[i].size, ways[i].links, open_ns, seal_ns);
            fflush(stdout);
        }
        printf("\n");
        for (uint32_t i = 0; i < LINKS; i++) {
            SSL_free(links[i].client);
            tls_session_free(&links[i].s);
        }
        SSL_CTX_free(ctx);
    }
}

int main(int argc, char **argv)
{
    static struct certs certs;
    uint32_t sessions = argc > 1 ? (uint32_t) atoi(argv[1]) : 1000;
    must(sessions > 0, "SESSIONS is a number above 0");
    certs_usual(&certs, CERT_EC);
    mem_thread_init();
    printf(
        "a session's bytes, and ns to open and to seal a record of so many bytes, of so many connections in turns\n");
    for (int slim = 1; slim >= 0; slim--) {
        const struct tls_contexts *contexts = load(certs.server, certs.key, slim == 1);
        if (t == NULL)
            t = tls_thread_make();
        must(t != NULL, "no memory");
        measure(contexts, slim == 1 ? "slim" : "openssl", sessions);
        tls_contexts_free(&contexts);
    }
    tls_thread_free(&t);
    mem_thread_fini();
    return 0;
}
