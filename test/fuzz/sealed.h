/*
 * sealed.h: clients of the fuzzed worker that speak TLS. The fuzzer's thread.
 */
#ifndef TEST_FUZZ_SEALED_H
#define TEST_FUZZ_SEALED_H

#include "mario/conn/shard.h"
#include "model.h"

struct sealed;

enum {
    SEALED_OLD = 1,  /* TLS 1.2 */
    SEALED_SMALL = 2 /* records of 512 bytes at most */
};

/* Before the worker is made: the certificate. What the worker is to shake hands with, at listeners first .. last, by
 * either record layer. */
void sealed_setup(uint32_t first, uint32_t last);
const struct tls_contexts *sealed_contexts(bool slim);

/* A client begins; it has gone: *e is NULL then, as it may have been. */
struct sealed *sealed_make(uint8_t how);
void sealed_free(struct sealed **e);

/* What it wants to say goes here. NULL, which speaks no TLS, has nothing to do in what follows. */
struct bytes *sealed_plain(struct sealed *e);
bool sealed_has_said(const struct sealed *e);

/* These have come; what is to go is put behind `out`. */
void sealed_read(struct sealed *e, const void *data, size_t n);
void sealed_write(struct sealed *e, struct bytes *out);

/* It asks for new keys, or says that it will say no more. */
void sealed_renew(struct sealed *e);
void sealed_end(struct sealed *e);

#endif
