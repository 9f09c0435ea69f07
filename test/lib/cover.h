/*
 * cover.h: what secure.c and cover.c need of each other.
 */
#ifndef TEST_COVER_H
#define TEST_COVER_H

#ifdef MARIO_WITH_TLS

#include <openssl/ssl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#define SECURE_SESSIONS 256

/* Settings. Constant, but for what stands under the lock. */
struct secure {
    SSL_CTX *ctx;
    char *host, *sni; /* NULL: none */
    bool host_is_address, resume;
    pthread_mutex_t lock;
    SSL_SESSION *sessions[SECURE_SESSIONS]; /* of tickets; the last that came is used first */
    unsigned session_count;
    struct secure *older; /* among those that are not freed, which so are found by who looks for leaks */
};

/* A session with these settings, for one connection. NULL without memory. */
SSL *secure_ssl(struct secure *s);
/* What OpenSSL's queue of errors says, and empty it. */
void secure_explain(SSL *ssl, char *why, size_t size);

/* The table of what lies over which descriptor. 0, or -1 without memory. Before threads. */
int cover_setup(void);
void cover_note_ticket(SSL *ssl);

#endif

#endif
