/*
 * section.h: one certificate with its key and its rules, as libssl has it. Made by one thread, which may wait; then
 * never changed.
 */
#ifndef MARIO_TLS_SECTION_H
#define MARIO_TLS_SECTION_H

#ifdef MARIO_WITH_TLS

#include <stdint.h>

#include "mario/mario_tls.h"
#include "mario/tls/context.h"
#include "mario/tls/libssl.h"

struct tls_section {
    SSL_CTX *ctx;
    char *hosts;         /* in lower case, each with its NUL, an empty one behind the last: a mem.h block */
    unsigned char *alpn; /* as ALPN has it, or NULL: a mem.h block */
    uint32_t alpn_len;
    unsigned char
        id[32];       /* sessions are resumed only where this is the same: name and authorities of clients */
    int verify;       /* of SSL_set_verify() */
    int min_version;  /* TLS1_2_VERSION, TLS1_3_VERSION */
    uint32_t tickets; /* 0: none, and nothing is resumed */
    uint8_t number;   /* registry_tls_name() */
    bool is_rsa;
    struct mario_tls_certificate certificate;
};

/* Make one; its number is 0 until somebody gives it another. False with a line that begins with the name of the field
 * which is at fault; nothing is left then. */
bool section_make(struct tls_section *s, const struct mario_tls *from, const struct tls_policy *policy,
                  char *why, size_t size);
void section_free(struct tls_section *s);

/* Have the registry know what clients of this section usually say: sessions need not keep it each for itself. */
void section_learn(const struct tls_section *s);

/* Have ssl go by this section, at the beginning of its handshake. False without memory. */
bool section_apply(const struct tls_section *s, SSL *ssl);

/* It is chosen for this name, host[0 .. n-1] as a client has sent it: 2: it says this name; 1: by *. ; 0: not. */
int section_answers_to(const struct tls_section *s, const char *host, size_t n);

#endif

#endif
