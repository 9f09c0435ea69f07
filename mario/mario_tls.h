/*
 * mario_tls.h: TLS: certificates by name, which listeners use by tls=NAME, and what a function learns of its
 * connection's. A listener with tls=one+two has `one` for all clients that ask for no name or one that nobody has, and
 * `two` for those that ask for a name which its sni says. The library for it is loaded when a listener has tls=, not
 * before; a build without it refuses such listeners (docs/tls.md).
 */
#ifndef MARIO_TLS_H
#define MARIO_TLS_H

#include "mario_conn.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mario_tls_version {
    MARIO_TLS_DEFAULT, /* 1.2 */
    MARIO_TLS_1_2,
    MARIO_TLS_1_3
};

#define MARIO_TLS_NAMES_MAX   64u /* sections at most */
#define MARIO_TLS_TICKETS_MAX 8

/* A certificate and how it is used. Fill it with zeroes, then what is wanted; NULL and "" are the same. Files are PEM,
 * and read when a server is made or mario_tls_reload() is called, with the rights of the process then. */
struct mario_tls {
    const char *name;        /* as tls= has it: 1 .. 31 of a-z, 0-9, '_', '-' */
    const char *certificate; /* file: the server's, and behind it those above it, if chain is not given */
    const char *key;         /* file: its private key, not encrypted; NULL: it is in the certificate's file */
    const char *chain;       /* file: the certificates above it, without the root */
    /* Comma list of host names for which it is chosen: example.com, or *.example.com for one label more. NULL: those
     * that stand in the certificate. */
    const char *sni;
    /* Comma list of protocols, what we like best first. Who offers some, but none of them, is refused
     * (no_application_protocol). NULL: nothing is chosen. */
    const char *alpn;
    const char *client_ca; /* file: the authorities of clients; who has no certificate of theirs is refused */
    /* As OpenSSL has them, joined by ':', those of TLS 1.3 (TLS_...) among them. NULL: all that have authenticated
     * encryption and forward secrecy. */
    const char *ciphers;
    enum mario_tls_version min_version;
    /* After a TLS 1.3 handshake, 1 .. MARIO_TLS_TICKETS_MAX; 0: 2; -1: none, nothing is resumed. */
    sint32 tickets;
};

/* Have a section that listeners may name. It is copied, with all that it points to. One of that name is replaced: while
 * a server runs, that counts from the next mario_tls_reload() on. 0, or -1 with a line on standard error: a name that
 * is none, no certificate, a number out of range, more than MARIO_TLS_NAMES_MAX, no memory. Any thread that may
 * wait. */
sint32 regist_tls(const struct mario_tls *section);

/* Read the files of all registered sections again, as mario_reload_server() does too. All or nothing: if one cannot be
 * used, why[0 .. size-1] says which and why, and the server stays as it is. Connections that are there keep what they
 * have; new ones get the new. 0, or -1; also if no server of this process has a listener with tls=. Counted as reloads
 * or reload_failed. Any thread that may wait; not in functions or hooks. */
sint32 mario_tls_reload(char *why, uint32 size);

/* What a certificate says. Texts are cut where they do not fit. */
struct mario_tls_certificate {
    char name[32];       /* the section's */
    char subject[256];   /* CN=..., as RFC 2253 writes it */
    char issuer[256];    /* likewise */
    char names[256];     /* for which it is chosen, joined by ',' */
    char key[32];        /* "RSA 2048", "EC prime256v1", "ED25519" */
    ubyte digest[32];    /* SHA-256 of the certificate */
    sint64 not_before;   /* seconds since 1970 */
    sint64 not_after;    /* likewise */
    uint32 chain;        /* certificates sent behind it */
    int asks_for_client; /* client_ca */
    char warning[160];   /* it can be used, but: it has expired, is not valid yet ...; "" = nothing */
};

/* Try whether a section can be used: read its files, see that key and certificate match. 0, and *certificate says what
 * it is; or -1, and why[0 .. size-1] says why not. Registers nothing. Any thread that may wait. */
sint32 mario_tls_describe(const struct mario_tls *section, struct mario_tls_certificate *certificate,
                          char *why, uint32 size);

/* What the server of this process uses now, or is about to: section i, from 0. 0, or -1 if there is no such, or no
 * listener with tls=. Any thread. */
sint32 mario_tls_used(uint32 i, struct mario_tls_certificate *certificate);

/* Whether each name behind tls= in a listen list is one of sections[0 .. n-1]. 0, or -1 with one line in why[0 ..
 * size-1] that names the entry. No file is read. Any thread. */
sint32 mario_tls_listen_check(const char *list, const struct mario_tls *sections, uint32 n, char *why,
                              uint32 size);

/* What a connection's handshake has come to. Texts are the library's, "" if there is none, and stay until the
 * connection's last hook has returned. */
struct mario_tls_info {
    const char *name;           /* of the section */
    const char *version;        /* "TLSv1.2", "TLSv1.3" */
    const char *cipher;         /* as OpenSSL has it: "TLS_AES_128_GCM_SHA256" */
    const char *sni;            /* the name that the client asked for */
    const char *alpn;           /* the protocol chosen */
    const char *client_subject; /* as in struct mario_tls_certificate; only with client_ca */
    ubyte client_digest[32];    /* SHA-256 of the client's certificate; zeroes if it has none */
    int has_client;             /* it has shown a certificate that client_ca accepts */
    int is_resumed;
};

/* In c's functions and hooks, offloaded ones too: 0, or -1 with errno: ENOENT: its listener has no tls=, or the
 * handshake has not come to an end; EINVAL elsewhere. */
sint32 mario_tls_info(CONN *c, struct mario_tls_info *info);

#ifdef __cplusplus
}
#endif

#endif
