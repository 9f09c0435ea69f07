/*
 * cidr.c: networks, and sets of them. Any thread; pure.
 *
 * Of two networks one is in the other, or they have nothing in common. So a set is a sorted array of ranges without
 * those that lie in others: an address is in the last one that begins at or before it, or in none. IPv4 has an array
 * of its own, a quarter as large.
 */
#include "mario/base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEXT_MAX = 64, BITS = 128 };

static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};

/* ---- One network ---- */

bool cidr_is_v4(const unsigned char address[PEER_ADDRESS])
{
    return memcmp(address, mapped, sizeof mapped) == 0;
}

/* What of byte i lies within the first `bits` bits. */
static unsigned char mask_of(uint32_t bits, uint32_t i)
{
    uint32_t in = bits <= i * 8 ? 0 : bits - i * 8;
    return (unsigned char) (0xff00u >> (in < 8 ? in : 8));
}

struct cidr cidr_of(const unsigned char address[PEER_ADDRESS], uint32_t bits)
{
    struct cidr c = {.bits = (uint8_t) bits};
    for (uint32_t i = 0; i < PEER_ADDRESS; i++)
        c.address[i] = address[i] & mask_of(bits, i);
    return c;
}

static bool is_of_v4(const struct cidr *c)
{
    return c->bits >= CIDR_V4_BITS && cidr_is_v4(c->address);
}

bool cidr_has(const struct cidr *c, const unsigned char address[PEER_ADDRESS])
{
    struct cidr same = cidr_of(address, c->bits);
    return is_of_v4(c) == cidr_is_v4(address) && memcmp(same.address, c->address, sizeof same.address) == 0;
}

/* Digits only, 0 .. most. */
static bool parse_bits(const char *text, uint32_t most, uint32_t *bits)
{
    size_t n = strlen(text);
    if (n == 0 || n > 3 || strspn(text, "0123456789") != n)
        return false;
    *bits = (uint32_t) strtoul(text, NULL, 10);
    return *bits <= most;
}

const char *cidr_parse(const char *text, struct cidr *out)
{
    char host[TEXT_MAX];
    unsigned char address[PEER_ADDRESS];
    size_t n = strcspn(text, "/");
    if (n == 0 || n >= sizeof host)
        return "is no address";
    memcpy(host, text, n);
    host[n] = '\0';
    uint32_t before = 0, bits = BITS;
    if (inet_pton(AF_INET, host, address + sizeof mapped) == 1) {
        memcpy(address, mapped, sizeof mapped);
        before = CIDR_V4_BITS;
    } else if (inet_pton(AF_INET6, host, address) != 1) {
        return "is no address";
    }
    if (text[n] == '/' && !parse_bits(text + n + 1, BITS - before, &bits))
        return before != 0 ? "has no number of bits behind the slash (allowed: 0..32)"
                           : "has no number of bits behind the slash (allowed: 0..128)";
    *out = cidr_of(address, text[n] == '/' ? before + bits : BITS);
    if (memcmp(out->address, address, sizeof address) != 0)
        return "has bits behind its mask: a slip, of the address or the mask";
    return NULL;
}

uint32_t cidr_print(const struct cidr *c, char *text, uint32_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    bool v4 = is_of_v4(c);
    uint32_t before = v4 ? CIDR_V4_BITS : 0;
    inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? c->address + sizeof mapped : c->address, host, sizeof host);
    if (c->bits == BITS)
        return (uint32_t) snprintf(text, size, "%s", host);
    return (uint32_t) snprintf(text, size, "%s/%u", host, c->bits - before);
}

/* ---- Sets ---- */

struct range6 {
    uint64_t first[2], last[2]; /* the upper half first */
};

struct range4 {
    uint32_t first, last;
};

struct cidr_set {
    uint32_t n4, n6;
    struct range6 *v6; /* sorted, apart; behind the struct */
    struct range4 *v4; /* likewise; behind those */
};

size_t cidr_set_size(uint32_t n)
{
    return sizeof(struct cidr_set) + n * sizeof(struct range6); /* a range4 is smaller */
}

/* So many ones at the end. A shift by all bits is not defined in C. */
static uint64_t ones(uint32_t bits)
{
    return bits >= 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;
}

/* Where it begins; of those that begin there the one that ends last. */
static int order6(const void *pa, const void *pb)
{
    const struct range6 *a = pa, *b = pb;
    for (int i = 0; i < 2; i++) {
        if (a->first[i] != b->first[i])
            return a->first[i] < b->first[i] ? -1 : 1;
    }
    for (int i = 0; i < 2; i++) {
        if (a->last[i] != b->last[i])
            return a->last[i] > b->last[i] ? -1 : 1;
    }
    return 0;
}

static int order4(const void *pa, const void *pb)
{
    const struct range4 *a = pa, *b = pb;
    if (a->first != b->first)
        return a->first < b->first ? -1 : 1;
    return a->last == b->last ? 0 : a->last > b->last ? -1 : 1;
}

/* qsort() may allocate, which not everybody may who has few. */
static void sort(void *list, uint32_t n, size_t size, int (*order)(const void *, const void *))
{
    unsigned char *at = list, spare[sizeof(struct range6)];
    if (n > CIDR_SET_SMALL) {
        qsort(list, n, size, order);
        return;
    }
    for (uint32_t i = 1; i < n; i++) {
        uint32_t k = i;
        memcpy(spare, at + i * size, size);
        for (; k > 0 && order(at + (k - 1) * size, spare) > 0; k--)
            memcpy(at + k * size, at + (k - 1) * size, size);
        memcpy(at + k * size, spare, size);
    }
}

/* Drop those that lie in the one before. How many are left. */
static uint32_t drop_inner6(struct range6 *list, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        const struct range6 *last = kept > 0 ? &list[kept - 1] : NULL;
        bool inside =
            last != NULL && (list[i].first[0] < last->last[0] ||
                             (list[i].first[0] == last->last[0] && list[i].first[1] <= last->last[1]));
        if (!inside)
            list[kept++] = list[i];
    }
    return kept;
}

static uint32_t drop_inner4(struct range4 *list, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (kept == 0 || list[i].first > list[kept - 1].last)
            list[kept++] = list[i];
    }
    return kept;
}

static void add(struct cidr_set *s, const struct cidr *c)
{
    uint32_t behind = BITS - c->bits;
    if (is_of_v4(c)) {
        uint32_t first = cidr_v4(c->address);
        s->v4[s->n4++] = (struct range4){.first = first, .last = first | (uint32_t) ones(behind)};
        return;
    }
    uint64_t upper = cidr_half(c->address), lower = cidr_half(c->address + 8);
    s->v6[s->n6++] =
        (struct range6){.first = {upper, lower},
                        .last = {upper | (behind > 64 ? ones(behind - 64) : 0), lower | ones(behind)}};
}

struct cidr_set *cidr_set_make(void *memory, const struct cidr *list, uint32_t n)
{
    struct cidr_set *s = memory;
    uint32_t of_v6 = 0;
    for (uint32_t i = 0; i < n; i++)
        of_v6 += !is_of_v4(&list[i]);
    *s = (struct cidr_set){.v6 = (struct range6 *) (void *) (s + 1)};
    s->v4 = (struct range4 *) (void *) (s->v6 + of_v6);
    for (uint32_t i = 0; i < n; i++)
        add(s, &list[i]);
    sort(s->v6, s->n6, sizeof *s->v6, order6);
    sort(s->v4, s->n4, sizeof *s->v4, order4);
    s->n6 = drop_inner6(s->v6, s->n6);
    s->n4 = drop_inner4(s->v4, s->n4);
    return s;
}

static bool has4(const struct cidr_set *s, uint32_t at)
{
    uint32_t low = 0, high = s->n4; /* all below low begin at or before it, all from high on behind it */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (s->v4[middle].first <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && at <= s->v4[low - 1].last;
}

static bool is_at_most(const uint64_t a[2], const uint64_t b[2])
{
    return a[0] < b[0] || (a[0] == b[0] && a[1] <= b[1]);
}

static bool has6(const struct cidr_set *s, const uint64_t at[2])
{
    uint32_t low = 0, high = s->n6;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_at_most(s->v6[middle].first, at))
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && is_at_most(at, s->v6[low - 1].last);
}

bool cidr_set_has(const struct cidr_set *s, const unsigned char address[PEER_ADDRESS])
{
    if (cidr_is_v4(address))
        return has4(s, cidr_v4(address));
    return has6(s, (uint64_t[2]){cidr_half(address), cidr_half(address + 8)});
}
