/*
 * tls_rig.h: a session of ours and a client of libssl's, memory to memory. For tests of TLS. A rig is one thread's.
 */
#ifndef MARIO_UNIT_TLS_RIG_H
#define MARIO_UNIT_TLS_RIG_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/tls/session.h"
#include "test/lib/certs.h"

enum { TLS_RIG_ROOM = 1 << 18 };

struct tls_rig {
    const struct tls_contexts *contexts;
    struct tls_thread *t;
    struct tls_session *s;
    SSL *client;
    BIO *up, *down;         /* what the client has sent, and what it is to read; the client's */
    enum tls_answer answer; /* of the last call */
    unsigned long refusal;  /* the client's error, 0: none */
    size_t step;            /* bytes that the session gets at once; 0: all there are */
    size_t broken_at;       /* 1 + which of all bytes of the client comes with another bit; 0: none */
    size_t taken;           /* bytes of the client that the session has got */
    unsigned char *heard;   /* [TLS_RIG_ROOM] what the session has opened */
    size_t heard_len;
    unsigned char *answered; /* [TLS_RIG_ROOM] what the client has opened */
    size_t answered_len;
};

/* What a client asks for. Zero is the default of each. */
struct tls_rig_client {
    uint32_t set;
    const char *host;              /* SNI, and whom it wants there; NULL: no SNI, and anybody */
    const char *ca;                /* file: whom it trusts; NULL: everybody */
    const char *certificate, *key; /* files: its own */
    const char *alpn;              /* as ALPN has it */
    int min, max;                  /* versions */
    const char *ciphers, *suites, *groups;
    uint8_t fragment;     /* TLSEXT_max_fragment_length_... */
    SSL_SESSION *session; /* to be resumed */
};

/* libssl is loaded by us before anybody else uses it, and there are certificates. Before all else, once a process. */
void tls_rig_setup(struct certs *certs, enum cert_kind kind);

/* Contexts of these, with the sets of these lists (NULL ends them); those before are dropped. */
void tls_rig_contexts(struct tls_rig *r, const struct mario_tls *sections, uint32_t n,
                      const char *const *lists, bool slim);
/* Of one section "one" that has the certificate of certs. */
void tls_rig_usual(struct tls_rig *r, const struct certs *certs, bool slim);

/* A session, and a client that has not said anything yet; those before are over. */
void tls_rig_begin(struct tls_rig *r, const struct tls_rig_client *ask);
/* Let both speak until neither has something to say. True if both are up. */
bool tls_rig_shake(struct tls_rig *r);
/* All of that. */
bool tls_rig_connect(struct tls_rig *r, const struct tls_rig_client *ask);

/* The client says this, and the session hears it. */
void tls_rig_say(struct tls_rig *r, const void *data, size_t n);
/* The session says this, and the client hears it. */
void tls_rig_answer(struct tls_rig *r, const void *data, size_t n);
/* What the client has sent comes to the session; what that wants to send, to the client. */
void tls_rig_pump(struct tls_rig *r);
/* Bytes come to the session, whoever has sent them. */
void tls_rig_feed(struct tls_rig *r, const void *data, size_t n);
/* Both ways, of all sizes of records: true if all came, as it was. */
bool tls_rig_talks(struct tls_rig *r);

/* What the client could resume. */
SSL_SESSION *tls_rig_ticket(struct tls_rig *r);
/* The common name of the certificate that the client got. */
const char *tls_rig_server_name(const struct tls_rig *r);

/* What t keeps for those who come often is there afterwards, and is nobody's: for who weighs sessions. */
void tls_rig_settle(struct tls_thread *t);

/* All of it goes but for the contexts; then those too. */
void tls_rig_end(struct tls_rig *r);
void tls_rig_over(struct tls_rig *r);

#endif
