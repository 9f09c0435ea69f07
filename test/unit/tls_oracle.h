/*
 * tls_oracle.h: one direction of TLS 1.3's records a second time, by other functions of libcrypto and written to be
 * read: what our record layer is held against. Its own errors end the program. One thread each.
 */
#ifndef TEST_UNIT_TLS_ORACLE_H
#define TEST_UNIT_TLS_ORACLE_H

#include <stddef.h>
#include <stdint.h>

enum { ORACLE_RECORD_MAX = 5 + 16384 + 256 };

struct oracle {
    const char *cipher, *digest;
    size_t key_size, secret_size;
    unsigned char secret[48], key[32], iv[12];
    uint64_t seq;
};

/* Of the suite `id` (0x1301 ...), with that secret. */
void oracle_begin(struct oracle *o, unsigned id, const unsigned char *secret);
/* The next generation of secret and keys. */
void oracle_update(struct oracle *o);
/* RFC 8446's HKDF-Expand-Label with no context. */
void oracle_expand(const struct oracle *o, const char *label, unsigned char *out, size_t n);

/* A record of n bytes and `padding` zeroes of that type into out, ORACLE_RECORD_MAX bytes: its size. */
size_t oracle_seal(struct oracle *o, int type, const void *data, size_t n, size_t padding,
                   unsigned char *out);
/* What a whole record carries, its *n bytes into out, as large; -1: it does not authenticate. */
int oracle_open(struct oracle *o, const unsigned char *record, size_t size, unsigned char *out, size_t *n);
/* The size of the whole record that bytes[0 .. n-1] begin with; 0: it is not whole. */
size_t oracle_whole(const unsigned char *bytes, size_t n);

#endif
