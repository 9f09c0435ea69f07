/*
 * ears.c: users of a node, for the cluster benchmarks: many connections, each bound to a user of its own, in one
 * thread. bench/cluster.py tells it what to do, a line each on standard input, and gets a line of JSON for each.
 *
 *     ears PORT FIRST COUNT     connects, binds to users FIRST ..; says {"ready": COUNT}
 *
 *     doze          from now on it looks at its sockets each 20 ms: a delivery wakes nobody on this machine
 *     listen        from now on it sleeps on them, and knows when each message came
 *     zero          what came is forgotten, numbers begin at 1 again
 *     report        what has come since then: {"received", "missing", "twice", "closed", "latency_us": {...}}
 *
 * Each message has a number, for each sender and user. One behind the wanted number is `twice` (or out of order), one
 * before it leaves `missing` ones behind.
 */
#include "protocol.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { DOZE_MS = 20, EVENTS = 512, READ_MAX = 65536, LATENCIES_MAX = 4000000, ADDRESS_EACH = 5000 };

struct ear {
    int fd; /* -1: closed */
    uint32_t next[BENCH_SENDERS];
    size_t have; /* bytes of a packet that is not whole */
    char part[BENCH_MSG_MAX];
};

static struct ear *ears;
static uint64_t first;
static unsigned count, port;
static int epoll_fd;
static int is_dozing;
static uint64_t received, missing, twice, closed;
static uint32_t *latencies; /* ns */
static size_t latencies_n;

static void fail(const char *what)
{
    fprintf(stderr, "ears: %s%s%s\n", what, errno != 0 ? ": " : "", errno != 0 ? strerror(errno) : "");
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

/* ---- What comes ---- */

static void hear(struct ear *e, const char *packet, size_t len, uint64_t now)
{
    BENCH_TEXT t;

    if (len < sizeof(HEAD) + sizeof t)
        fail("a packet that is too short");
    memcpy(&t, packet + sizeof(HEAD), sizeof t);
    if (t.uid != first + (uint64_t) (e - ears) || t.sender >= BENCH_SENDERS)
        fail("a message that is for somebody else");
    received++;
    if (t.number < e->next[t.sender])
        twice++;
    else {
        missing += t.number - e->next[t.sender];
        e->next[t.sender] = t.number + 1;
    }
    if (!is_dozing && latencies_n < LATENCIES_MAX)
        latencies[latencies_n++] = (uint32_t) (now - t.at_ns);
}

/* All whole packets of the n bytes; what is left is kept. */
static void cut(struct ear *e, const char *bytes, size_t n, uint64_t now)
{
    while (n > 0) {
        HEAD head;
        size_t take = e->have < sizeof head ? sizeof head - e->have : 0;

        if (e->have >= sizeof head) {
            memcpy(&head, e->part, sizeof head);
            if (head.stx != BENCH_STX || head.pkglen > sizeof e->part || head.pkglen <= sizeof head)
                fail("no packet");
            take = head.pkglen - e->have;
        }
        take = take < n ? take : n;
        memcpy(e->part + e->have, bytes, take);
        e->have += take;
        bytes += take;
        n -= take;
        if (e->have > sizeof head && e->have == head.pkglen) {
            if (head.akg_id == BENCH_PUSHED)
                hear(e, e->part, e->have, now);
            e->have = 0;
        }
    }
}

static void read_one(struct ear *e)
{
    static char bytes[READ_MAX];

    for (;;) {
        ssize_t n = recv(e->fd, bytes, sizeof bytes, MSG_DONTWAIT);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            close(e->fd);
            e->fd = -1;
            closed++;
            return;
        }
        cut(e, bytes, (size_t) n, now_ns());
        if ((size_t) n < sizeof bytes)
            return;
    }
}

/* ---- Coming in ---- */

static int connect_one(unsigned number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)},
                       from = {.sin_family = AF_INET};
    struct linger at_once = {.l_onoff = 1};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / ADDRESS_EACH); /* or ports run out */
    /* Closed with an RST: no port stays in TIME_WAIT. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *) &from, sizeof from) < 0 ||
        connect(fd, (struct sockaddr *) &to, sizeof to) < 0)
        fail("a connection");
    return fd;
}

static void bind_all(void)
{
    for (unsigned i = 0; i < count; i++) {
        struct {
            HEAD head;
            uint64_t uid;
        } __attribute__((packed)) ask = {{BENCH_STX, sizeof ask, BENCH_BIND}, first + i};
        struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

        ears[i].fd = connect_one(i);
        if (send(ears[i].fd, &ask, sizeof ask, 0) != sizeof ask ||
            epoll_ctl(epoll_fd, EPOLL_CTL_ADD, ears[i].fd, &ev) < 0)
            fail("a login");
    }
    for (unsigned i = 0; i < count; i++) {
        HEAD head;

        if (recv(ears[i].fd, &head, sizeof head, MSG_WAITALL) != sizeof head)
            fail("a login's answer");
    }
}

/* ---- What it is told ---- */

static void zero(void)
{
    received = missing = twice = 0;
    latencies_n = 0;
    for (unsigned i = 0; i < count; i++)
        for (unsigned s = 0; s < BENCH_SENDERS; s++)
            ears[i].next[s] = 1;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return (x > y) - (x < y);
}

static double latency(double share)
{
    return latencies_n == 0 ? 0 : latencies[(size_t) (share * (double) (latencies_n - 1))] / 1e3;
}

static void report(void)
{
    qsort(latencies, latencies_n, sizeof *latencies, compare);
    printf("{\"received\": %llu, \"missing\": %llu, \"twice\": %llu, \"closed\": %llu, \"latency_us\": "
           "{\"p50\": %.1f, \"p99\": %.1f, \"p999\": %.1f, \"max\": %.1f}}\n",
           (unsigned long long) received, (unsigned long long) missing, (unsigned long long) twice,
           (unsigned long long) closed, latency(0.5), latency(0.99), latency(0.999), latency(1));
}

/* False when there is nothing more to do. */
static int obey(void)
{
    char line[64];
    ssize_t n = read(STDIN_FILENO, line, sizeof line - 1);

    if (n <= 0)
        return 0;
    line[n] = 0;
    if (strcmp(line, "report\n") == 0)
        report();
    else {
        if (strcmp(line, "zero\n") == 0)
            zero();
        else if (strcmp(line, "doze\n") == 0 || strcmp(line, "listen\n") == 0)
            is_dozing = line[0] == 'd';
        else
            fail("it was told what it does not know");
        printf("{}\n");
    }
    fflush(stdout);
    return 1;
}

static void hear_all(void)
{
    static struct epoll_event events[EVENTS];
    int n;

    do {
        n = epoll_wait(epoll_fd, events, EVENTS, 0);
        for (int i = 0; i < n; i++)
            if (ears[events[i].data.u32].fd >= 0)
                read_one(&ears[events[i].data.u32]);
    } while (n == EVENTS);
}

int main(int argc, char **argv)
{
    struct rlimit limit;

    if (argc != 4) {
        fprintf(stderr, "usage: ears PORT FIRST COUNT\n");
        return 1;
    }
    port = (unsigned) atoi(argv[1]);
    first = strtoull(argv[2], NULL, 10);
    count = (unsigned) atoi(argv[3]);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    ears = calloc(count > 0 ? count : 1, sizeof *ears);
    latencies = malloc(sizeof *latencies * LATENCIES_MAX);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (ears == NULL || latencies == NULL || epoll_fd < 0)
        fail("memory");
    bind_all();
    zero();
    printf("{\"ready\": %u}\n", count);
    fflush(stdout);
    for (;;) {
        struct pollfd both[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = epoll_fd, .events = POLLIN}};

        poll(both, is_dozing ? 1 : 2, is_dozing ? DOZE_MS : -1);
        hear_all();
        if (both[0].revents != 0 && !obey())
            return 0;
    }
}
