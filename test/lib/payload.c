/*
 * payload.c: numbered, checksummed data. Pure functions, any thread. The cost is that of a load generator's
 * inner loop, so filler and checksum go by 8-byte words.
 */
#include "payload.h"

#include <string.h>

#include "wire.h"

#define ODD   0x9e3779b97f4a7c15ull /* odd, so multiplying by it loses nothing */
#define LANES 4u

/* Every step is a bijection of what it has and of the word it takes: one changed word always changes the
 * result. */
static uint64_t take(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * ODD;
    return sum ^ sum >> 29;
}

static uint64_t mix(uint32_t conn, uint32_t seq, size_t n)
{
    return take(take(n, (uint64_t) conn << 32 | seq), n);
}

/* The last n < 8 bytes as a word. */
static uint64_t last_word(const unsigned char *p, size_t n)
{
    unsigned char whole[8] = {0};
    memcpy(whole, p, n);
    return wire_get64(whole);
}

static uint64_t turn(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

/* Four sums side by side, since one would wait for its own multiplication at every word. They are turned
 * apart before they meet, or the same change in two of them would cancel out. */
static uint64_t checksum(const unsigned char *p, size_t n, uint64_t sum)
{
    uint64_t lane[LANES] = {sum, sum + 1, sum + 2, sum + 3};
    for (; n >= 8 * LANES; n -= 8 * LANES, p += 8 * LANES)
        for (unsigned i = 0; i < LANES; i++)
            lane[i] = take(lane[i], wire_get64(p + (size_t) 8 * i));
    sum = take(take(take(lane[0], turn(lane[1], 11)), turn(lane[2], 23)), turn(lane[3], 41));
    for (; n >= 8; n -= 8, p += 8)
        sum = take(sum, wire_get64(p));
    return n > 0 ? take(sum, last_word(p, n)) : sum;
}

static void fill_words(unsigned char *p, size_t n, uint64_t word)
{
    for (; n >= 8; n -= 8, p += 8, word += ODD)
        wire_put64(p, word);
    if (n == 0)
        return;
    unsigned char whole[8];
    wire_put64(whole, word);
    memcpy(p, whole, n);
}

void payload_fill(unsigned char *out, size_t n, uint32_t conn, uint32_t seq)
{
    uint64_t word = mix(conn, seq, n);
    if (n < PAYLOAD_HEAD_LEN) {
        fill_words(out, n, word);
        return;
    }
    wire_put32(out, seq);
    wire_put32(out + 4, conn);
    fill_words(out + PAYLOAD_HEAD_LEN, n - PAYLOAD_HEAD_LEN, word);
    wire_put64(out + 8, checksum(out + PAYLOAD_HEAD_LEN, n - PAYLOAD_HEAD_LEN, word));
}

bool payload_check(const unsigned char *in, size_t n, uint32_t conn, uint32_t seq)
{
    uint64_t word = mix(conn, seq, n);
    if (n < PAYLOAD_HEAD_LEN) {
        unsigned char right[PAYLOAD_HEAD_LEN];
        fill_words(right, n, word);
        return memcmp(in, right, n) == 0;
    }
    return wire_get32(in) == seq && wire_get32(in + 4) == conn &&
           wire_get64(in + 8) == checksum(in + PAYLOAD_HEAD_LEN, n - PAYLOAD_HEAD_LEN, word);
}
