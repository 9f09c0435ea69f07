/*
 * datagrams.c: what a datagram costs a server beside the least that it can cost: `make bench-udp`. The least is a loop
 * of recvmmsg() and sendmmsg() in one thread, which looks at each HEAD and sends back what came; maritcp answers the
 * same ECHOs. Both run on the first core, one after the other, A B, B A ...; the load comes from the last one. A row is
 * a load:
 *
 * one      one sender, who waits for each answer many     16 senders with 16 each on the way: system calls are shared
 * by as many as have come
 *
 * What is compared is CPU time for each answer; datagrams a second are told beside. Exit code 1 when a median is above
 * its limit, 2 if something could not run.
 *
 * datagrams MARITCP [ROUNDS]
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "../mario/mario_akg.h"
#include "../protocol/mario_protocol.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    BATCH = 32,
    PLACE = 8192,
    LEN = 64, /* of a packet */
    SENDERS = 16,
    ROUNDS = 21,
    ROUNDS_MAX = 1001,
    PART_MS = 250,
    STALL_MS = 50, /* without an answer: what is on the way is lost */
    START_MS = 5000
};

static const struct load {
    const char *name;
    unsigned senders, window;
    double limit;
} loads[] = {{"one", 1, 1, 1.25}, {"many", SENDERS, 16, 1.30}};

enum { LOADS = sizeof loads / sizeof loads[0] };

struct many {
    struct mmsghdr m[BATCH];
    struct iovec part[BATCH];
    struct sockaddr_in from[BATCH];
    unsigned char place[BATCH][PLACE + 64 * 1]; /* not all at the beginning of a page */
};

static void die(const char *what)
{
    fprintf(stderr, "datagrams: %s: %s\n", what, strerror(errno));
    exit(2);
}

static uint64_t now_ns(clockid_t clock)
{
    struct timespec t;
    if (clock_gettime(clock, &t) != 0)
        die("clock");
    return (uint64_t) t.tv_sec * 1000000000u + (uint64_t) t.tv_nsec;
}

static void pin(int core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    sched_setaffinity(0, sizeof set, &set); /* on one core alone it is as it is */
}

static void prepare(struct many *b, bool with_address)
{
    for (int i = 0; i < BATCH; i++) {
        b->part[i] = (struct iovec){.iov_base = b->place[i], .iov_len = PLACE};
        b->m[i].msg_hdr = (struct msghdr){.msg_iov = &b->part[i], .msg_iovlen = 1};
        if (with_address) {
            b->m[i].msg_hdr.msg_name = &b->from[i];
            b->m[i].msg_hdr.msg_namelen = sizeof b->from[i];
        }
    }
}

/* ---- The least ---- */

static bool is_whole(const unsigned char *data, unsigned n)
{
    HEAD h;
    memcpy(&h, data, sizeof h);
    return n >= sizeof h && h.stx == MARITCP_STX && h.pkglen == n;
}

static _Noreturn void serve(int fd)
{
    static struct many b;
    prepare(&b, true);
    for (;;) {
        int n = recvmmsg(fd, b.m, BATCH, MSG_WAITFORONE, NULL), good = 0;
        for (int i = 0; i < n; i++) {
            b.part[i].iov_len = b.m[i].msg_len;
            good += is_whole(b.place[i], b.m[i].msg_len);
        }
        if (good == n && n > 0)
            sendmmsg(fd, b.m, (unsigned) n, 0);
        for (int i = 0; i < n; i++) {
            b.part[i].iov_len = PLACE;
            b.m[i].msg_hdr.msg_namelen = sizeof b.from[i];
        }
    }
}

/* ---- Servers ---- */

static pid_t spawn(const char *program, uint16_t port, int fd)
{
    char listen[64];
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(0);
    if (program == NULL)
        serve(fd);
    snprintf(listen, sizeof listen, "server.listen=udp:127.0.0.1:%u", port);
    execl(program, program, "-o", listen, "-o", "server.workernum=1", "-o", "server.connnum=100", "-o",
          "log.level=warn", (char *) NULL);
    die(program);
    _exit(2);
}

/* A port of ours; with `keep` bound, for the server of ours. */
static uint16_t find_port(int *fd)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int queue = 4 * 1024 * 1024;
    *fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(*fd, SOL_SOCKET, SO_RCVBUF, &queue, sizeof queue);
    if (*fd < 0 || bind(*fd, (struct sockaddr *) &in, len) != 0 ||
        getsockname(*fd, (struct sockaddr *) &in, &len) != 0)
        die("socket");
    return ntohs(in.sin_port);
}

/* ---- The load ---- */

struct sender {
    int fd;
    unsigned away;
};

static int open_sender(uint16_t port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *) &in, sizeof in) != 0)
        die("socket");
    return fd;
}

static void fill(struct many *b)
{
    HEAD h = {.stx = MARITCP_STX, .pkglen = LEN, .akg_id = CMD_FUNCTION_ECHO};
    prepare(b, false);
    for (int i = 0; i < BATCH; i++) {
        memcpy(b->place[i], &h, sizeof h);
        b->part[i].iov_len = LEN;
    }
}

/* Send what the window has room for, take what has come. How many answers. */
static unsigned turn(struct sender *s, unsigned window, struct many *out, struct many *in)
{
    if (s->away < window) {
        int sent = sendmmsg(s->fd, out->m, window - s->away, 0);
        s->away += sent > 0 ? (unsigned) sent : 0;
    }
    int n = recvmmsg(s->fd, in->m, BATCH, MSG_DONTWAIT, NULL);
    if (n <= 0)
        return 0;
    for (int i = 0; i < n; i++) {
        if (in->m[i].msg_len != LEN || memcmp(in->place[i], out->place[0], LEN) != 0) {
            errno = EBADMSG;
            die("an answer");
        }
    }
    s->away -= (unsigned) n < s->away ? (unsigned) n : s->away;
    return (unsigned) n;
}

static void wait_for_any(const struct sender *s, unsigned n)
{
    struct pollfd p[SENDERS];
    for (unsigned i = 0; i < n; i++)
        p[i] = (struct pollfd){.fd = s[i].fd, .events = POLLIN};
    poll(p, n, STALL_MS);
}

struct result {
    double cpu_us, per_second;
};

/* The load for `ms`. Answers; none: the server does not run. */
static uint64_t run(const struct load *l, uint16_t port, unsigned ms)
{
    static struct many out, in;
    struct sender s[SENDERS] = {{0}};
    uint64_t answers = 0, end = now_ns(CLOCK_MONOTONIC) + ms * UINT64_C(1000000);
    fill(&out);
    prepare(&in, false);
    for (unsigned i = 0; i < l->senders; i++)
        s[i].fd = open_sender(port);
    while (now_ns(CLOCK_MONOTONIC) < end) {
        unsigned came = 0;
        for (unsigned i = 0; i < l->senders; i++)
            came += turn(&s[i], l->window, &out, &in);
        answers += came;
        if (came > 0)
            continue;
        uint64_t since = now_ns(CLOCK_MONOTONIC);
        wait_for_any(s, l->senders);
        for (unsigned i = 0; now_ns(CLOCK_MONOTONIC) - since > STALL_MS * UINT64_C(900000) && i < l->senders;
             i++)
            s[i].away = 0;
    }
    for (unsigned i = 0; i < l->senders; i++)
        close(s[i].fd);
    return answers;
}

static struct result measure(const struct load *l, pid_t pid, uint16_t port)
{
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) != 0)
        die("the server's clock");
    run(l, port, PART_MS / 5);
    uint64_t began = now_ns(CLOCK_MONOTONIC), cpu = now_ns(clock), n = run(l, port, PART_MS);
    if (n == 0) {
        errno = ETIMEDOUT;
        die("no answers");
    }
    return (struct result){.cpu_us = (double) (now_ns(clock) - cpu) / 1e3 / (double) n,
                           .per_second = (double) n * 1e9 / (double) (now_ns(CLOCK_MONOTONIC) - began)};
}

/* ---- Results ---- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static double median(double *of, int n)
{
    qsort(of, (size_t) n, sizeof *of, compare);
    return of[n / 2];
}

static bool report(const struct load *l, struct result (*r)[2], int rounds)
{
    static double ratio[ROUNDS_MAX], cpu[2][ROUNDS_MAX], rate[2][ROUNDS_MAX];
    for (int i = 0; i < rounds; i++) {
        ratio[i] = r[i][1].cpu_us / r[i][0].cpu_us;
        for (int k = 0; k < 2; k++) {
            cpu[k][i] = r[i][k].cpu_us;
            rate[k][i] = r[i][k].per_second;
        }
    }
    double m = median(ratio, rounds);
    printf("%-5s bare %5.2f us %7.0f/s   maritcp %5.2f us %7.0f/s   ratio %.3f (limit %.2f) %s\n", l->name,
           median(cpu[0], rounds), median(rate[0], rounds), median(cpu[1], rounds), median(rate[1], rounds),
           m, l->limit, m <= l->limit ? "ok" : "OVER");
    return m <= l->limit;
}

static void await_start(uint16_t port)
{
    static const struct load try = {.senders = 1, .window = 1};
    for (int ms = 0; ms < START_MS; ms += STALL_MS) {
        if (run(&try, port, STALL_MS) > 0)
            return;
    }
    errno = ETIMEDOUT;
    die("maritcp does not answer");
}

int main(int argc, char **argv)
{
    static struct result results[ROUNDS_MAX][2];
    int fd, spare, rounds = argc > 2 ? atoi(argv[2]) : ROUNDS;
    bool good = true;
    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "usage: datagrams MARITCP [ROUNDS, 1..%d]\n", ROUNDS_MAX);
        return 2;
    }
    uint16_t port[2] = {find_port(&fd), find_port(&spare)};
    close(spare);
    pid_t pid[2] = {spawn(NULL, 0, fd), spawn(argv[1], port[1], -1)};
    pin((int) sysconf(_SC_NPROCESSORS_ONLN) - 1);
    await_start(port[1]);
    for (int k = 0; k < LOADS; k++) {
        for (int i = 0; i < rounds; i++) {
            for (int j = 0; j < 2; j++) {
                int who = (i + j) % 2;
                results[i][who] = measure(&loads[k], pid[who], port[who]);
            }
        }
        good = report(&loads[k], results, rounds) && good;
    }
    for (int k = 0; k < 2; k++) {
        kill(pid[k], k == 0 ? SIGKILL : SIGTERM);
        waitpid(pid[k], NULL, 0);
    }
    return good ? 0 : 1;
}
