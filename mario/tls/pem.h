/*
 * pem.h: certificates and keys out of files, and what a certificate says. Any thread that may wait; libssl is loaded.
 */
#ifndef MARIO_TLS_PEM_H
#define MARIO_TLS_PEM_H

#ifdef MARIO_WITH_TLS

#include "mario/mario_tls.h"
#include "mario/tls/libssl.h"

/* Write a line to why[0 .. size-1]. False, so that a check can end with it. */
bool tls_refuse(char *why, size_t size, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* A file's bytes: a mem.h block. */
struct pem_file {
    unsigned char *data;
    size_t len;
    bool is_open; /* everybody may read it */
};

/* Read one. False with a line "PATH: why not". */
bool pem_read(const char *path, struct pem_file *file, char *why, size_t size);
/* Overwrite it, and give it back. */
void pem_drop(struct pem_file *file);

/* Call f for each certificate in the file, which may keep it if it says so by true; else it is freed. How many there
 * are; 0 with a line that says what is wrong: none, or one that cannot be read. */
typedef bool (*pem_certificate_fn)(X509 *certificate, void *arg);
uint32_t pem_certificates(const char *path, const struct pem_file *file, pem_certificate_fn f, void *arg,
                          char *why, size_t size);

/* The private key in the file; NULL with a line that says what is wrong: none, or it is encrypted ... */
EVP_PKEY *pem_key(const char *path, const struct pem_file *file, char *why, size_t size);

/* A name as RFC 2253 writes it, whose result is plain ASCII. */
void certificate_name(const X509_NAME *name, char *out, size_t size);
/* SHA-256 of the certificate. */
void certificate_digest(const X509 *certificate, unsigned char digest[32]);
/* What it says, but for name, chain, asks_for_client. names: its own host names. */
void certificate_describe(X509 *certificate, struct mario_tls_certificate *out);
/* Seconds since 1970. */
int64_t certificate_time(const ASN1_TIME *when);
/* Can `text`, of n bytes, be a host name, or *. and one? */
bool is_host_name(const char *text, size_t n);

#endif

#endif
