/*
 * greedy.c: clients that send as fast as they are taken. One thread pumps all of them; the rest is the main thread of
 * a test.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "greedy.h"

enum { PACKETS_A_SEND = 4096, PUMP_MS = 10 };

/* What it may send now, in whole packets' bytes. */
static size_t allowance(const struct greedy *g, const struct greedy_client *c)
{
    uint64_t all = g->total * WIRE_HEAD_LEN, may = c->got + (uint64_t) g->ahead * WIRE_HEAD_LEN;
    may = may < all ? may : all;
    return may > c->sent ? (size_t) (may - c->sent) : 0;
}

static void send_some(const struct greedy *g, struct greedy_client *c, const unsigned char *packets)
{
    size_t n = allowance(g, c), at = c->sent % WIRE_HEAD_LEN, room = PACKETS_A_SEND * WIRE_HEAD_LEN - at;
    ssize_t k = n == 0 ? 0 : net_send(c->fd, packets + at, n < room ? n : room);
    c->sent += k > 0 ? (uint64_t) k : 0;
    if (k < 0 && errno != EAGAIN)
        c->how = END_RST;
}

static void recv_some(struct greedy *g, struct greedy_client *c)
{
    char sink[65536];
    ssize_t k = net_recv(c->fd, sink, sizeof sink);
    if (k > 0) {
        c->got += (uint64_t) k;
        atomic_fetch_add(&g->answers, (uint64_t) k / WIRE_HEAD_LEN);
    } else if (k == 0 || errno != EAGAIN) {
        c->how = k == 0 ? END_FIN : END_RST;
    }
}

/* It closes its side behind a whole packet. */
static void shut_if_due(const struct greedy *g, struct greedy_client *c)
{
    bool enough = c->sent == g->total * WIRE_HEAD_LEN || (g->enough && c->sent % WIRE_HEAD_LEN == 0);
    if (!enough || c->shut)
        return;
    c->shut = true;
    shutdown(c->fd, SHUT_WR);
}

static void pump(struct greedy *g, struct greedy_client *c, short ready, const unsigned char *packets)
{
    if (ready & POLLOUT)
        send_some(g, c, packets);
    if (ready & ~POLLOUT)
        recv_some(g, c);
    shut_if_due(g, c);
}

static void *pump_all(void *arg)
{
    static unsigned char packets[PACKETS_A_SEND * WIRE_HEAD_LEN];
    struct greedy *g = arg;
    struct pollfd p[GREEDY_MAX];
    for (size_t i = 0; i < PACKETS_A_SEND; i++)
        client_packet(packets + i * WIRE_HEAD_LEN, g->akg_id, NULL, 0);
    for (bool any = true; any;) {
        any = false;
        for (uint32_t i = 0; i < g->count; i++) {
            struct greedy_client *c = &g->each[i];
            bool open = c->how == END_OPEN;
            short sends = !c->shut && allowance(g, c) > 0 ? POLLOUT : 0;
            p[i] = (struct pollfd){.fd = open ? c->fd : -1, .events = (short) (POLLIN | sends)};
            any = any || open;
        }
        poll(p, g->count, PUMP_MS);
        for (uint32_t i = 0; i < g->count; i++) {
            if (p[i].fd >= 0)
                pump(g, &g->each[i], p[i].revents, packets);
        }
    }
    return NULL;
}

void greedy_begin(struct greedy *g, const struct server *s, uint16_t akg_id, uint32_t count, uint32_t ahead,
                  uint64_t total)
{
    memset(g, 0, sizeof *g);
    g->akg_id = akg_id;
    g->count = count;
    g->ahead = ahead;
    g->total = total;
    ck_assert_uint_le(count, GREEDY_MAX);
    for (uint32_t i = 0; i < count; i++)
        g->each[i].fd = client_open(s);
    ck_assert_int_eq(pthread_create(&g->thread, NULL, pump_all, g), 0);
}

void greedy_wait(const struct greedy *g, uint64_t answers, unsigned ms)
{
    for (uint64_t end = itest_deadline(ms); g->answers < answers;) {
        ITEST_ASSERT(mono_ns() < end, "%llu answers instead of %llu", (unsigned long long) g->answers,
                     (unsigned long long) answers);
        itest_sleep(1);
    }
}

void greedy_end(struct greedy *g, bool now, unsigned ms)
{
    struct timespec until;
    uint64_t end = real_ns() + (uint64_t) ms * ITEST_SLOW * NS_PER_MS;
    until = (struct timespec){.tv_sec = (time_t) (end / NS_PER_S), .tv_nsec = (long) (end % NS_PER_S)};
    g->enough = now;
    int rc = pthread_timedjoin_np(g->thread, NULL, &until);
    ITEST_ASSERT(rc == 0, "they have not all ended: %llu answers", (unsigned long long) g->answers);
    for (uint32_t i = 0; i < g->count; i++) {
        struct greedy_client *c = &g->each[i];
        ITEST_ASSERT(c->how == END_FIN && c->got == c->sent,
                     "client %u of %u: %llu bytes sent, %llu answered, %s", i, g->count,
                     (unsigned long long) c->sent, (unsigned long long) c->got,
                     c->how == END_FIN ? "FIN" : "RST");
        close(c->fd);
    }
}
