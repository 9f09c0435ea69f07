/*
 * topic.c: a name becomes a number, by which the library knows groups and users. Any thread.
 *
 * The number is SipHash-2-4 of the name, with a key of this process. Two names with one number would hear each other's
 * messages: with 64 bits that does not happen by chance, and without the key nobody can bring it about.
 */
#include <sys/random.h>

#include "mqtt.h"

static uint64 topic_key[2]; /* constant once the server runs */

sint32 topic_setup(void)
{
    return getrandom(topic_key, sizeof topic_key, 0) == (ssize_t) sizeof topic_key ? 0 : -1;
}

static inline uint64 turned(uint64 x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(uint64 v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1], v[2] += v[3];
        v[1] = turned(v[1], 13) ^ v[0], v[3] = turned(v[3], 16) ^ v[2];
        v[0] = turned(v[0], 32);
        v[2] += v[1], v[0] += v[3];
        v[1] = turned(v[1], 17) ^ v[2], v[3] = turned(v[3], 21) ^ v[0];
        v[2] = turned(v[2], 32);
    }
}

uint64 topic_hash(const uint64 key[2], struct mqtt_text name)
{
    uint64 v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                   key[1] ^ 0x7465646279746573u};
    uint64 word = 0;
    for (uint32 i = 0; i < name.len; i++) {
        word |= (uint64) name.at[i] << 8 * (i % 8);
        if (i % 8 != 7)
            continue;
        v[3] ^= word;
        mix(v, 2);
        v[0] ^= word;
        word = 0;
    }
    word |= (uint64) name.len << 56;
    v[3] ^= word;
    mix(v, 2);
    v[0] ^= word;
    v[2] ^= 0xff;
    mix(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64 topic_number(struct mqtt_text name)
{
    uint64 number = topic_hash(topic_key, name);
    return number != 0 ? number : 1;
}
