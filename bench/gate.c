/*
 * gate.c: what it costs to ask who may come in: `make bench-gate`. One thread asks the table of addresses as the master
 * does, for random addresses; times are medians over batches. A row is one way to ask:
 *
 *     few       1,000 addresses come and go: the table is in the processor's caches
 *     million   1,000,000 addresses that all have a connection, in a table of 64 MB; more of them come, and go again
 *     refused   the same, and those who come are refused
 *     named     a look into a file of 100,000 networks, before the table is asked
 *
 * The first three ask for an address and its network. Exit code 1 when a median is above 0.3 us.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mario/base/cidr.h"
#include "mario/base/clock.h"
#include "mario/server/gate.h"

enum {
    BATCHES = 2001,
    BATCH = 200,
    FEW = 1000,
    MILLION = 1000000,
    TABLE = 2 * 1024 * 1024,
    NETWORKS = 100000,
    LIMIT_NS = 300
};

static double times[BATCHES];
static uint64_t seed = 1;

static uint32_t draw(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    return (uint32_t) (seed >> 33) % below;
}

static void address_of(uint32_t n, unsigned char address[PEER_ADDRESS])
{
    memset(address, 0, PEER_ADDRESS);
    address[10] = address[11] = 0xff;
    n *= 2654435761u; /* all over the world: a million of them are in nearly as many networks */
    memcpy(address + 12, &n, sizeof n);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static bool report(const char *name, const struct gate *g)
{
    qsort(times, BATCHES, sizeof times[0], compare);
    printf("%-9s median %4.0f ns  99 %% %4.0f ns", name, times[BATCHES / 2], times[BATCHES * 99 / 100]);
    if (g != NULL)
        printf("  %u entries, %u with connections, %llu overflows", g->used, g->with_conns,
               (unsigned long long) g->overflows);
    printf("%s\n", times[BATCHES / 2] > LIMIT_NS ? "  OVER" : "");
    return times[BATCHES / 2] <= LIMIT_NS;
}

/* Ask for those of `n` addresses; who is let in leaves again, which is timed as well. */
static bool ask(const char *name, struct gate *g, const struct gate_limits *l, uint32_t n)
{
    static unsigned char addresses[BATCH][PEER_ADDRESS];
    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < BATCH; k++)
            address_of(draw(n), addresses[k]);
        uint64_t now = clock_ns();
        for (int k = 0; k < BATCH; k++) {
            gate_pass pass;
            if (gate_ask(g, l, addresses[k], now, 1, &pass) == GATE_ADMITTED)
                gate_leave(g, pass);
        }
        times[i] = (double) (clock_ns() - now) / BATCH;
    }
    return report(name, g);
}

static volatile uint32_t inside; /* so that nothing is left out */

static bool look(void)
{
    static unsigned char addresses[BATCH][PEER_ADDRESS];
    struct cidr *list = calloc(NETWORKS, sizeof *list);
    void *room = malloc(cidr_set_size(NETWORKS));
    if (list == NULL || room == NULL)
        return false;
    for (uint32_t i = 0; i < NETWORKS; i++) {
        address_of(i, addresses[0]);
        list[i] = cidr_of(addresses[0], CIDR_V4_BITS + 24);
    }
    const struct cidr_set *s = cidr_set_make(room, list, NETWORKS);
    for (int i = 0; i < BATCHES; i++) {
        for (int k = 0; k < BATCH; k++)
            address_of(draw(MILLION), addresses[k]);
        uint64_t now = clock_ns();
        for (int k = 0; k < BATCH; k++)
            inside += cidr_set_has(s, addresses[k]);
        times[i] = (double) (clock_ns() - now) / BATCH;
    }
    free(list);
    free(room);
    return report("named", NULL);
}

int main(void)
{
    struct gate g;
    struct gate_limits l = {
        .ip_conns = 3, .ip_rate = 1000000, .net_conns = 1000, .v4_net = 24, .v6_host = 64, .v6_net = 48};
    const uint64_t key[2] = {11, 13};
    void *memory = aligned_alloc(2 * 1024 * 1024, TABLE * sizeof(struct gate_entry));
    if (memory == NULL)
        return 1;
    madvise(memory, TABLE * sizeof(struct gate_entry), MADV_HUGEPAGE); /* as rules.c has it */
    memset(memory, 0, TABLE * sizeof(struct gate_entry));
    gate_init(&g, memory, TABLE, key);
    bool ok = ask("few", &g, &l, FEW);
    for (uint32_t i = 0; i < MILLION; i++) {
        unsigned char address[PEER_ADDRESS];
        gate_pass pass;
        address_of(i, address);
        gate_ask(&g, &l, address, clock_ns(), 1, &pass);
    }
    ok = ask("million", &g, &l, MILLION) && ok;
    l.ip_conns = 1;
    ok = ask("refused", &g, &l, MILLION) && ok;
    ok = look() && ok;
    free(memory);
    return ok ? 0 : 1;
}
