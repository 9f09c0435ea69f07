/*
 * secure.h: TLS for clients, laid over a socket: net_send(), net_recv() and what waits on top of them go through it
 * from then on, so whoever has a descriptor need not know. Settings: any thread. What concerns a descriptor: whose it
 * is.
 *
 * The descriptor must be closed with net_close() or net_reset(), which forget what lies over it; so do
 * net_connect_start() and all that makes a socket by way of it, for one whose number was used before.
 *
 * In event loops net_connect_result() says EINPROGRESS until the handshake is over; net_watch() knows for what epoll is
 * to wait. Edge-triggered loops do not fit: ask epoll for levels. net_recv() with less room than 64 KB may leave
 * something of which epoll does not know.
 *
 * Tests that want the records themselves use send() and recv(), which go past it.
 */
#ifndef TEST_SECURE_H
#define TEST_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How to speak TLS: ends with the client's own certificate. Zero is the default of each. */
struct secure_ask {
    const char *ca;          /* file of certificates to trust; NULL: the system's */
    bool insecure;           /* trust anybody */
    const char *host;        /* name or address that must stand in the certificate; NULL: none need */
    const char *sni;         /* NULL: host, if it is a name; "": none */
    const char *alpn;        /* "h2,http/1.1"; NULL: none */
    const char *certificate; /* of the client, with its chain; NULL: none */
    const char *key;         /* NULL: stands with the certificate */
    int min, max;            /* 0x0303 = TLS 1.2, 0x0304 = 1.3 */
    const char *ciphers;     /* OpenSSL's text, of TLS 1.2 or, beginning with TLS_, of 1.3 */
    const char *groups;      /* "X25519:P-256" */
    bool resume;             /* connections after the first use the tickets of former ones */
};

struct secure;

/* Why there can be no TLS here, NULL: there can. */
const char *secure_missing(void);

/* Settings. NULL, and why in words, also where this was built without libssl. */
struct secure *secure_make(const struct secure_ask *ask, char *why, size_t size)
    __attribute__((warn_unused_result));
/* When no connection has them any more. */
void secure_free(struct secure **s);

/* Lay TLS over each socket that net_connect_start() makes from now on in this process, and what calls it
 * (client_open(), mario_load ...). NULL: over none. Before threads. */
void secure_all(struct secure *s);

/* Lay it over fd, which may still be connecting; nothing is sent yet. 0, or -1 with errno. */
int secure_lay(struct secure *s, int fd) __attribute__((warn_unused_result));

/* Do the handshake to its end; net_send_wait() and net_recv_wait() do so themselves. 0, or -1 with errno, EPROTO: see
 * secure_why(). */
int secure_shake(int fd, uint64_t deadline) __attribute__((warn_unused_result));

/* Why it failed, in words: "certificate verify failed: self-signed certificate", "alert: handshake failure"; "" if
 * it did not. Until the descriptor is closed. */
const char *secure_why(int fd);
/* The same of the first that failed in this process, for those that are many. */
const char *secure_first_why(void);

/* In words, what an errno of connecting, sending or receiving means: EPROTO is the first that failed. */
const char *secure_error(int err);

/* All connections of this process together. */
struct secure_totals {
    uint64_t handshakes, resumed;
    const char *version, *cipher; /* of the last; static; "" = none yet */
};

void secure_totals(struct secure_totals *t);

struct secure_facts {
    const char *version; /* "TLSv1.3"; static */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384"; static */
    char alpn[32];       /* "" = none */
    char subject[128];   /* common name in the server's certificate */
    bool up, resumed;
    bool ended;  /* the peer has sent close_notify; else a FIN was bare */
    bool ticket; /* a ticket of a session has come */
};

void secure_facts(int fd, struct secure_facts *f);

/* TLS 1.3: new keys for what we send; `both`: and ask the peer for new ones. They go with what is sent next. 0, or
 * -1. */
int secure_key_update(int fd, bool both);
/* Send close_notify; the socket stays as it is. See net_shut(), which also sends a FIN. */
void secure_notify(int fd);

#endif
