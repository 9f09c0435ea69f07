/*
 * gate.c: the table of addresses and their networks. For one thread at a time; pure.
 *
 * A rate is a bucket of so many new connections as may come in a second, kept as the time when it would be full again:
 * it has room if that is less than a second away. A refusal takes nothing out of it, so who comes too fast gets the
 * rate, not nothing.
 */
#include "mario/server/gate.h"

#include <string.h>

#include "mario/base/check.h"
#include "mario/base/cidr.h"

#define SECOND_NS UINT64_C(1000000000)

/* What an entry is found by, and the two sets where it may be. */
struct name {
    uint64_t address;
    uint8_t kind, bits;
    struct gate_entry *sets[2];
};

/* ---- The hash ---- */

static inline uint64_t rotate(uint64_t x, int n)
{
    return x << n | x >> (64 - n);
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v);
    mix(v);
    v[0] ^= word;
}

uint64_t gate_hash(const uint64_t key[2], uint64_t low, uint64_t high)
{
    uint64_t v[4] = {key[0] ^ UINT64_C(0x736f6d6570736575), key[1] ^ UINT64_C(0x646f72616e646f6d),
                     key[0] ^ UINT64_C(0x6c7967656e657261), key[1] ^ UINT64_C(0x7465646279746573)};
    absorb(v, low);
    absorb(v, high);
    absorb(v, UINT64_C(16) << 56); /* the length */
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        mix(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* ---- Names ---- */

/* A number of `of` bits without those behind the first `bits`. */
static uint64_t cut(uint64_t v, uint32_t bits, uint32_t of)
{
    return bits == 0 ? 0 : v >> (of - bits) << (of - bits);
}

static struct name name_of(const struct gate_limits *l, const unsigned char address[PEER_ADDRESS], bool net)
{
    if (cidr_is_v4(address)) {
        uint8_t bits = net ? l->v4_net : 32;
        return (struct name){
            .address = cut(cidr_v4(address), bits, 32), .kind = net ? GATE_V4_NET : GATE_V4, .bits = bits};
    }
    uint8_t bits = net ? l->v6_net : l->v6_host;
    return (struct name){
        .address = cut(cidr_half(address), bits, 64), .kind = net ? GATE_V6_NET : GATE_V6, .bits = bits};
}

struct cidr gate_network(const struct gate_entry *e)
{
    bool v4 = e->kind == GATE_V4 || e->kind == GATE_V4_NET;
    struct cidr c = {.bits = v4 ? (uint8_t) (CIDR_V4_BITS + e->bits) : e->bits};
    uint64_t rest = v4 ? e->address | UINT64_C(0xffff) << 32 : e->address;
    for (int i = 7; i >= 0; i--, rest >>= 8)
        c.address[(v4 ? 8 : 0) + i] = (unsigned char) rest;
    return c;
}

/* ---- Finding ---- */

static struct gate_entry *set_at(const struct gate *g, uint32_t hash)
{
    return &g->entries[(size_t) (hash & g->set_mask) * GATE_WAYS];
}

/* They are memory that nobody has touched for long: asked for well before they are looked at. */
static void locate(const struct gate *g, struct name *n)
{
    uint64_t h = gate_hash(g->key, n->address, (uint64_t) n->kind << 8 | n->bits);
    n->sets[0] = set_at(g, (uint32_t) h);
    n->sets[1] = set_at(g, (uint32_t) (h >> 32));
    for (uint32_t i = 0; i < GATE_WAYS; i += 2) { /* two in a cache line */
        __builtin_prefetch(&n->sets[0][i]);
        __builtin_prefetch(&n->sets[1][i]);
    }
}

static struct gate_entry *find(const struct name *n)
{
    for (int s = 0; s < 2; s++) {
        for (uint32_t i = 0; i < GATE_WAYS; i++) {
            struct gate_entry *e = &n->sets[s][i];
            if (e->address == n->address && e->kind == n->kind && e->bits == n->bits)
                return e;
        }
    }
    return NULL;
}

const struct gate_entry *gate_find(const struct gate *g, const struct gate_limits *l,
                                   const unsigned char address[PEER_ADDRESS], bool net)
{
    struct name n = name_of(l, address, net);
    locate(g, &n);
    return find(&n);
}

bool gate_is_banned(const struct gate_entry *e, uint64_t now_ns)
{
    return e->banned_until > now_ns / SECOND_NS;
}

/* ---- Making room ---- */

#define NEVER UINT64_MAX /* it is not to be pushed out */

/* What would be lost with it: nothing; how fast it came, the less the sooner that is over; a ban. */
static uint64_t loss(const struct gate_entry *e, uint64_t now_ns)
{
    if (e->conns > 0)
        return NEVER;
    if (e->kind == GATE_FREE)
        return 0;
    if (gate_is_banned(e, now_ns))
        return UINT64_C(1) << 63 | e->banned_until;
    return e->full_ns > now_ns ? e->full_ns : 0;
}

/* The entry of a set that costs least, NULL if none may go; how many of the set may not. */
static struct gate_entry *cheapest(struct gate_entry *set, uint64_t now_ns, uint64_t *least, uint32_t *kept)
{
    struct gate_entry *best = NULL;
    *least = NEVER;
    *kept = 0;
    for (uint32_t i = 0; i < GATE_WAYS; i++) {
        uint64_t costs = loss(&set[i], now_ns);
        *kept += costs == NEVER;
        if (costs < *least) {
            *least = costs;
            best = &set[i];
        }
    }
    return best;
}

/* A place for a new entry: of the two sets in the emptier one, so that both fill evenly; NULL if there is none. */
static struct gate_entry *place_in(struct gate_entry *const sets[2], uint64_t now_ns)
{
    uint64_t least[2];
    uint32_t kept[2];
    struct gate_entry *best[2];
    for (int s = 0; s < 2; s++)
        best[s] = cheapest(sets[s], now_ns, &least[s], &kept[s]);
    if (least[0] != least[1])
        return least[0] < least[1] ? best[0] : best[1];
    return kept[0] <= kept[1] ? best[0] : best[1];
}

/* The entry of that name, made if there is none. NULL if there is no room. */
static struct gate_entry *entry_of(struct gate *g, const struct name *n, uint64_t now_ns)
{
    struct gate_entry *e = find(n);
    if (e != NULL)
        return e;
    e = place_in(n->sets, now_ns);
    if (e == NULL)
        return NULL;
    g->used += e->kind == GATE_FREE;
    *e = (struct gate_entry){.address = n->address, .kind = n->kind, .bits = n->bits};
    return e;
}

/* ---- Asking ---- */

/* When a bucket that is full at `full_ns` would be again with one connection more. 0 if it has no room for that. */
static uint64_t spend(uint64_t full_ns, uint32_t rate, uint64_t now_ns)
{
    uint64_t after = (full_ns > now_ns ? full_ns : now_ns) + SECOND_NS / rate;
    return after <= now_ns + SECOND_NS ? after : 0;
}

static void hold(struct gate *g, struct gate_entry *e)
{
    g->with_conns += e->conns++ == 0;
    g->conns += e->kind == GATE_V4 || e->kind == GATE_V6;
}

static void let_go(struct gate *g, struct gate_entry *e)
{
    CHECK(e->conns > 0);
    g->with_conns -= --e->conns == 0;
    g->conns -= e->kind == GATE_V4 || e->kind == GATE_V6;
}

/* What one entry says to a newcomer, and what becomes of it if he is let in. */
struct view {
    struct gate_entry *entry; /* NULL: it is not counted there */
    uint64_t full_ns;
    enum gate_answer answer; /* ADMITTED, IP_CONNS or IP_RATE, whatever it is of */
};

/* He is held by the entry if it lets him in, so that nothing pushes it out meanwhile. */
static struct view view(struct gate *g, const struct name *n, uint32_t conns, uint32_t rate, uint64_t now_ns)
{
    struct view v = {.entry = entry_of(g, n, now_ns), .answer = GATE_ADMITTED};
    if (v.entry == NULL)
        return v;
    v.full_ns = v.entry->full_ns;
    if (gate_is_banned(v.entry, now_ns))
        v.answer = GATE_BANNED;
    else if (conns != 0 && v.entry->conns >= conns)
        v.answer = GATE_IP_CONNS;
    else if (rate != 0 && (v.full_ns = spend(v.full_ns, rate, now_ns)) == 0)
        v.answer = GATE_IP_RATE;
    if (v.answer == GATE_ADMITTED)
        hold(g, v.entry);
    return v;
}

/* An address was refused. */
static void note_refusal(struct gate *g, struct gate_entry *e, const struct gate_limits *l, uint64_t now_ns)
{
    uint32_t minute = (uint32_t) (now_ns / SECOND_NS / 60);
    if (l->ban_after == 0)
        return;
    if (e->refused_at != minute)
        e->refused = 0;
    e->refused_at = minute;
    if (e->refused < UINT16_MAX)
        e->refused++;
    if (e->refused < l->ban_after)
        return;
    e->refused = 0;
    e->banned_until = (uint32_t) (now_ns / SECOND_NS) + l->ban_seconds;
    g->bans++;
}

/* The rate, raised. */
static uint32_t times(uint32_t rate, uint32_t factor)
{
    uint64_t raised = (uint64_t) rate * factor;
    return raised > UINT32_MAX ? UINT32_MAX : (uint32_t) raised;
}

/* What he got is his. */
static uint64_t take(const struct gate *g, const struct view *v)
{
    if (v->entry == NULL)
        return 0;
    v->entry->full_ns = v->full_ns;
    return (uint64_t) (v->entry - g->entries) + 1;
}

enum gate_answer gate_ask(struct gate *g, const struct gate_limits *l,
                          const unsigned char address[PEER_ADDRESS], uint64_t now_ns, uint32_t factor,
                          gate_pass *pass)
{
    bool has_net = l->net_conns != 0 || l->net_rate != 0, has_ip = l->ip_conns != 0 || l->ip_rate != 0;
    struct view ip = {.answer = GATE_ADMITTED}, net = {.answer = GATE_ADMITTED};
    struct name ip_name = name_of(l, address, false), net_name = name_of(l, address, true);
    *pass = 0;
    if (has_ip)
        locate(g, &ip_name);
    if (has_net)
        locate(g, &net_name);
    if (has_ip) {
        ip = view(g, &ip_name, l->ip_conns, times(l->ip_rate, factor), now_ns);
        if (ip.answer != GATE_ADMITTED && ip.answer != GATE_BANNED)
            note_refusal(g, ip.entry, l, now_ns);
        if (ip.answer != GATE_ADMITTED)
            return ip.answer;
    }
    if (has_net)
        net = view(g, &net_name, l->net_conns, times(l->net_rate, factor), now_ns);
    if (net.answer != GATE_ADMITTED) {
        if (ip.entry != NULL)
            let_go(g, ip.entry);
        return net.answer == GATE_IP_CONNS ? GATE_NET_CONNS : GATE_NET_RATE;
    }
    g->overflows += (has_ip && ip.entry == NULL) || (has_net && net.entry == NULL);
    *pass = take(g, &ip) << 32 | take(g, &net);
    return GATE_ADMITTED;
}

void gate_leave(struct gate *g, gate_pass pass)
{
    uint32_t ip = (uint32_t) (pass >> 32), net = (uint32_t) pass;
    if (ip != 0)
        let_go(g, &g->entries[ip - 1]);
    if (net != 0)
        let_go(g, &g->entries[net - 1]);
}

void gate_pardon(struct gate *g, const struct gate_entry *e)
{
    g->entries[e - g->entries].banned_until = 0;
}

void gate_init(struct gate *g, void *memory, uint32_t entries, const uint64_t key[2])
{
    *g = (struct gate){.entries = memory, .set_mask = entries / GATE_WAYS - 1, .key = {key[0], key[1]}};
}
