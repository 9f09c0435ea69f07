/*
 * tls_shake.c: what a handshake costs OpenSSL alone, server's side: the yardstick of bench/tls.py. Both ends in one
 * thread, memory between them, no socket; only what the server does is timed.
 *
 *     tls_shake CERTIFICATE KEY SECONDS [resume] [tls12]      prints microseconds of CPU a handshake, and how many
 */
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static SSL_SESSION *session; /* of the last ticket */

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "tls_shake: %s: %s\n", what, ERR_reason_error_string(ERR_peek_error()));
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int on_session(SSL *ssl, SSL_SESSION *s)
{
    (void) ssl;
    SSL_SESSION_free(session);
    session = s;
    return 1;
}

static SSL_CTX *make_server(const char *certificate, const char *key)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
        fail(certificate);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets without a store */
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    return ctx;
}

static SSL_CTX *make_client(bool tls12)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_max_proto_version(ctx, tls12 ? TLS1_2_VERSION : 0) != 1)
        fail("a client");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    return ctx;
}

/* One connection, from nothing to the client's having read its tickets. Returns the seconds the server took. */
static double shake(SSL_CTX *server, SSL_CTX *client, bool resume)
{
    char byte;
    double took = 0;
    BIO *here, *there;
    double begin = cpu_s();
    SSL *s = SSL_new(server);
    took += cpu_s() - begin;
    SSL *c = SSL_new(client);
    if (s == NULL || c == NULL || BIO_new_bio_pair(&here, 65536, &there, 65536) != 1)
        fail("memory");
    SSL_set_bio(s, here, here);
    SSL_set_bio(c, there, there);
    SSL_set_accept_state(s);
    SSL_set_connect_state(c);
    if (resume && session != NULL && SSL_set_session(c, session) != 1)
        fail("a session");
    for (int rounds = 0; !SSL_is_init_finished(s) || !SSL_is_init_finished(c); rounds++) {
        if (SSL_do_handshake(c) != 1 && rounds > 10)
            fail("a handshake");
        begin = cpu_s();
        SSL_do_handshake(s);
        took += cpu_s() - begin;
    }
    if (SSL_read(c, &byte, 1) > 0)
        fail("bytes from nowhere");
    SSL_shutdown(c); /* or its session could not be resumed */
    SSL_free(c);
    begin = cpu_s();
    SSL_shutdown(s);
    SSL_free(s);
    return took + cpu_s() - begin;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: tls_shake CERTIFICATE KEY SECONDS [resume] [tls12]\n", stderr);
        return 2;
    }
    bool resume = false, tls12 = false;
    for (int i = 4; i < argc; i++) {
        resume = resume || strcmp(argv[i], "resume") == 0;
        tls12 = tls12 || strcmp(argv[i], "tls12") == 0;
    }
    SSL_CTX *server = make_server(argv[1], argv[2]), *client = make_client(tls12);
    double took = 0, until = cpu_s() + atof(argv[3]);
    uint64_t count = 0;
    for (int i = 0; i < 20; i++)
        shake(server, client, resume);
    while (cpu_s() < until) {
        took += shake(server, client, resume);
        count++;
    }
    printf("%.2f %llu\n", took * 1e6 / (double) count, (unsigned long long) count);
    SSL_SESSION_free(session);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return 0;
}
