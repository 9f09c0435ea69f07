/*
 * gate.h: the table of who has how many connections, and how fast new ones come: an entry for each address, and one for
 * the network around it. For one thread at a time, the master; no state but the caller's, no allocation, no clock.
 *
 * An entry may be in one of two sets of eight, chosen by a keyed hash: nobody outside knows whom he would have to be to
 * push somebody else out. One that has connections, a pass that was not given back, is never pushed out. Where all
 * sixteen have, the newcomer is let in and not counted.
 */
#ifndef MARIO_SERVER_GATE_H
#define MARIO_SERVER_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/cidr.h"

#define GATE_WAYS 8u /* entries in a set */

/* What is asked of who comes. 0 = no such limit. */
struct gate_limits {
    uint32_t ip_conns, net_conns; /* connections at a time */
    uint32_t ip_rate, net_rate;   /* new ones a second; so many may come at once */
    uint32_t ban_after;           /* refusals of an address within a minute, until it is banned */
    uint32_t ban_seconds;
    uint8_t v4_net;          /* bits that make the network of an IPv4 address, of 32 */
    uint8_t v6_host, v6_net; /* bits that make an address and a network of IPv6, of 64 */
};

/* 32 bytes: what an address costs. */
struct gate_entry {
    uint64_t address; /* IPv4: 32 bits; IPv6: the upper 64; behind `bits` all zero */
    uint64_t full_ns; /* when the bucket of new connections is full again */
    uint32_t conns;
    uint32_t banned_until; /* second, if it is banned */
    uint32_t refused_at;   /* minute, of ... */
    uint16_t refused;      /* refusals in it */
    uint8_t kind;          /* enum gate_kind */
    uint8_t bits;
};
_Static_assert(sizeof(struct gate_entry) == 32, "a million addresses and their networks in 64 MB");

enum gate_kind { GATE_FREE, GATE_V4, GATE_V4_NET, GATE_V6, GATE_V6_NET };

struct gate {
    struct gate_entry *entries; /* the caller's */
    uint32_t set_mask;          /* sets - 1 */
    uint64_t key[2];            /* of the hash */
    uint32_t used, with_conns;  /* entries that are not free; of these, those with connections */
    uint64_t conns;             /* connections that entries of addresses count */
    uint64_t overflows;         /* newcomers that found no entry */
    uint64_t bans;              /* addresses banned, times */
};

enum gate_answer { GATE_ADMITTED, GATE_IP_CONNS, GATE_IP_RATE, GATE_NET_CONNS, GATE_NET_RATE, GATE_BANNED };

/* What one who was let in holds, and gate_leave() takes back: entries of his address and network, 1 + index each, 0 =
 * none. 0 in all: it counts nowhere. */
typedef uint64_t gate_pass;

/* `entries` of them, a power of two and GATE_WAYS at least, lie in `memory`, all zero. */
void gate_init(struct gate *g, void *memory, uint32_t entries, const uint64_t key[2]);

/* Somebody comes. `factor`: by how much rates are raised at the moment, 1 = not. Admitted: *pass is set, and counts. */
enum gate_answer gate_ask(struct gate *g, const struct gate_limits *l,
                          const unsigned char address[PEER_ADDRESS], uint64_t now_ns, uint32_t factor,
                          gate_pass *pass);
/* His connection is over. */
void gate_leave(struct gate *g, gate_pass pass);

/* The entry of the address, or of its network; NULL if there is none. */
const struct gate_entry *gate_find(const struct gate *g, const struct gate_limits *l,
                                   const unsigned char address[PEER_ADDRESS], bool net);
/* Whether it is banned; the network that it is of. */
bool gate_is_banned(const struct gate_entry *e, uint64_t now_ns);
struct cidr gate_network(const struct gate_entry *e);
/* It is banned no more. Takes one of g's own. */
void gate_pardon(struct gate *g, const struct gate_entry *e);

/* The hash: SipHash-2-4 of these 16 bytes, the lower half first. */
uint64_t gate_hash(const uint64_t key[2], uint64_t low, uint64_t high);

#endif
