/*
 * payload.h: numbered, checksummed data for requests whose answer brings the same bytes back. Pure functions,
 * any thread.
 *
 *     offset 0   uint32 sequence number
 *     offset 4   uint32 connection number
 *     offset 8   uint64 checksum over numbers, length and filler
 *     offset 16  filler, different in each packet
 *
 * A change within one aligned 8-byte word is always found; a change of more is missed with a chance in the
 * order of 2^-64, if it was not made on purpose. Less than PAYLOAD_HEAD_LEN bytes have no room for this: they
 * are then n bytes of a hash of the three numbers, so the bytes of another request pass with a chance of
 * 2^(-8n). 0 bytes are always right.
 */
#ifndef TEST_PAYLOAD_H
#define TEST_PAYLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAYLOAD_HEAD_LEN 16u

/* Write the n bytes of request `seq` on connection `conn` to out. */
void payload_fill(unsigned char *out, size_t n, uint32_t conn, uint32_t seq);

/* True when in[0 .. n-1] is what payload_fill() made for the same numbers. */
bool payload_check(const unsigned char *in, size_t n, uint32_t conn, uint32_t seq);

#endif
