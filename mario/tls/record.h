/*
 * record.h: one record of TLS 1.3 sealed, and opened (RFC 8446, 5.1 to 5.4), by libcrypto's AEADs. Pure: it knows keys
 * and bytes; what a record means, and which comes next, is slim.h's. A struct tls_crypt belongs to one thread.
 */
#ifndef MARIO_TLS_RECORD_H
#define MARIO_TLS_RECORD_H

#include <stddef.h>
#include <stdint.h>

#include "mario/tls/schedule.h"

enum {
    TLS_RECORD_HEAD = 5,
    TLS_RECORD_TAIL = 17,          /* type and tag */
    TLS_RECORD_BODY = 16384 + 256, /* the most that its length may say */
    TLS_RECORD_PLAIN = 16384       /* the most that one carries */
};

/* What a record carries. */
enum { TLS_CHANGE_CIPHER = 20, TLS_ALERT = 21, TLS_HANDSHAKE = 22, TLS_APPLICATION = 23 };

/* Alerts that this room sends or knows. */
enum {
    TLS_CLOSE_NOTIFY = 0,
    TLS_UNEXPECTED_MESSAGE = 10,
    TLS_BAD_RECORD_MAC = 20,
    TLS_RECORD_OVERFLOW = 22,
    TLS_ILLEGAL_PARAMETER = 47,
    TLS_DECODE_ERROR = 50,
    TLS_INTERNAL_ERROR = 80,
    TLS_USER_CANCELED = 90
};

/* What a thread seals and opens with: EVP contexts, made when they are first needed, some of them set up for those who
 * come often. NULL without memory. */
struct tls_crypt *tls_crypt_make(void);
void tls_crypt_free(struct tls_crypt *c);
/* The half that stands there, of which records were sealed or opened, will have another key, or is no more: nothing is
 * kept of the one that it has. */
void tls_crypt_forget(struct tls_crypt *c, int suite, const unsigned char *half);

/* The body's length that a head of TLS_RECORD_HEAD bytes promises; negative: the alert that is the answer to it, with a
 * minus, and *why in words. */
int tls_record_body(const unsigned char head[TLS_RECORD_HEAD], const char **why);

/* Seal in place: n bytes, at most TLS_RECORD_PLAIN, stand at record + TLS_RECORD_HEAD, and TLS_RECORD_TAIL bytes are
 * free behind them. The bytes of the whole record; 0 without memory. */
size_t tls_record_seal(struct tls_crypt *c, int suite, const unsigned char *half, uint64_t seq, uint8_t type,
                       unsigned char *record, size_t n);

/* Open in place a whole record whose head is good: what it carries, its *n bytes at record + TLS_RECORD_HEAD; negative
 * as above. */
int tls_record_open(struct tls_crypt *c, int suite, const unsigned char *half, uint64_t seq,
                    unsigned char *record, size_t *n, const char **why);

#endif
