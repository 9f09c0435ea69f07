/*
 * tls_shake.c: what a connection costs OpenSSL alone, server's side: the yardstick of bench/tls.py. Both ends in one
 * thread, memory between them, no socket: the handshake with its tickets, one request, one answer, close_notify. Only
 * what the server does is timed.
 *
 *     tls_shake CERTIFICATE KEY SECONDS [resume] [tls12] [N]      prints microseconds of CPU a connection, and how many
 *
 * N connections at a time, 1 if it is not said. SECONDS 0: a hundred of them, for who counts instructions.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include "tls_yardstick.h"

enum {
    REQUEST = 10,
    ANSWER = 8,
    AT_MOST = 1000,
    WARM = 20,
    FEW = 100
}; /* a LOGIN and its answer; connections */

static SSL_SESSION *session; /* of the last ticket */

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

static SSL_CTX *make_client(bool tls12)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL || SSL_CTX_set_max_proto_version(ctx, tls12 ? TLS1_2_VERSION : 0) != 1)
        fail("a client");
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_session);
    return ctx;
}

/* ---- Connections, so many at a time: all of them take each step before the next, as on a server ---- */

struct pair {
    SSL *server, *client;
    BIO *here, *there;
};

static struct pair pairs[AT_MOST];
static int at_a_time = 1;

static void begin_clients(SSL_CTX *ctx, bool resume)
{
    for (struct pair *p = pairs; p < pairs + at_a_time; p++) {
        p->client = SSL_new(ctx);
        if (p->client == NULL || SSL_set_tlsext_host_name(p->client, "localhost") != 1 ||
            BIO_new_bio_pair(&p->here, 65536, &p->there, 65536) != 1)
            fail("memory");
        SSL_set_bio(p->client, p->there, p->there);
        SSL_set_connect_state(p->client);
        if (resume && session != NULL && SSL_set_session(p->client, session) != 1)
            fail("a session");
    }
}

static void begin_servers(SSL_CTX *ctx)
{
    for (struct pair *p = pairs; p < pairs + at_a_time; p++) {
        p->server = SSL_new(ctx);
        if (p->server == NULL)
            fail("memory");
        SSL_set_bio(p->server, p->here, p->here);
        SSL_set_accept_state(p->server);
    }
}

static bool all_are_up(void)
{
    for (const struct pair *p = pairs; p < pairs + at_a_time; p++)
        if (!SSL_is_init_finished(p->server) || !SSL_is_init_finished(p->client))
            return false;
    return true;
}

static void answer(void)
{
    char bytes[REQUEST];
    for (struct pair *p = pairs; p < pairs + at_a_time; p++)
        if (SSL_read(p->server, bytes, REQUEST) != REQUEST || SSL_write(p->server, bytes, ANSWER) != ANSWER)
            fail("an answer");
}

static void end_clients(void)
{
    char bytes[REQUEST];
    for (struct pair *p = pairs; p < pairs + at_a_time; p++) {
        if (SSL_read(p->client, bytes, REQUEST) != ANSWER)
            fail("an answer that came");
        SSL_shutdown(p->client); /* or its session could not be resumed */
        SSL_free(p->client);
    }
}

static void end_servers(void)
{
    char byte;
    for (struct pair *p = pairs; p < pairs + at_a_time; p++) {
        SSL_read(p->server, &byte, 1);
        SSL_shutdown(p->server);
        SSL_free(p->server);
    }
}

/* All of them, from nothing to their end. Returns the seconds the server took. */
static double shake(SSL_CTX *server, SSL_CTX *client, bool resume)
{
    char bytes[REQUEST] = "";
    begin_clients(client, resume);
    double begin = cpu_s();
    begin_servers(server);
    double took = cpu_s() - begin;
    for (int rounds = 0; !all_are_up(); rounds++) {
        for (struct pair *p = pairs; p < pairs + at_a_time; p++)
            if (SSL_do_handshake(p->client) != 1 && rounds > 4)
                fail("a handshake");
        begin = cpu_s();
        for (struct pair *p = pairs; p < pairs + at_a_time; p++)
            SSL_do_handshake(p->server);
        took += cpu_s() - begin;
    }
    for (struct pair *p = pairs; p < pairs + at_a_time; p++)
        if (SSL_write(p->client, bytes, REQUEST) != REQUEST)
            fail("a request");
    begin = cpu_s();
    answer();
    took += cpu_s() - begin;
    end_clients();
    begin = cpu_s();
    end_servers();
    return took + cpu_s() - begin;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: tls_shake CERTIFICATE KEY SECONDS [resume] [tls12] [N]\n", stderr);
        return 2;
    }
    bool resume = false, tls12 = false;
    for (int i = 4; i < argc; i++) {
        resume = resume || strcmp(argv[i], "resume") == 0;
        tls12 = tls12 || strcmp(argv[i], "tls12") == 0;
        if (atoi(argv[i]) > 0)
            at_a_time = atoi(argv[i]) < AT_MOST ? atoi(argv[i]) : AT_MOST;
    }
    SSL_CTX *server = yardstick_server(argv[1], argv[2]), *client = make_client(tls12);
    double took = 0, seconds = atof(argv[3]), until = cpu_s() + seconds;
    uint64_t count = 0;
    for (int i = 0; i < WARM; i += at_a_time)
        shake(server, client, resume);
    while (seconds > 0 ? cpu_s() < until : count < FEW) {
        took += shake(server, client, resume);
        count += (uint64_t) at_a_time;
    }
    printf("%.2f %llu\n", took * 1e6 / (double) count, (unsigned long long) count);
    SSL_SESSION_free(session);
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return 0;
}
