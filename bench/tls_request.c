/*
 * tls_request.c: what TLS adds to a request of 64 bytes: CPU time of a server that has a listener without TLS and one
 * with it, one request at a time on each connection, the two in turns. Beside that what system calls cost here, for
 * most of a request is these. For bench/tls.py, and by hand.
 *
 *     tls_request PID STX PLAIN-PORT TLS-PORT [CONNS [ROUNDS]]        prints JSON, microseconds
 *
 * What this side costs must not show in it, nor who of the two waits for whom: a server that is quicker than its
 * clients sleeps between two requests, one that is slower finds several each time it looks. So both are put on one
 * core, the server's first, and neither is interrupted when the other has something to do (SCHED_BATCH): this side asks
 * on every connection, and sleeps; the server finds all of it at once, answers, and sleeps. Requests are sealed before
 * the time that counts, answers are not opened in it. So with TLS and without the server does the same system calls: a
 * recv() and a send() for each request, and one epoll_wait() for each of all connections. It stays as it was put.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "test/lib/clock.h"
#include "test/lib/wire.h"

enum {
    ECHO = 0x6103,
    REQUEST = 64,
    SEALED = REQUEST + 22, /* header, type, tag */
    AHEAD = 200,           /* requests of a connection that are sealed at once */
    CONNS_MAX = 1000,
    ROUNDS_MAX = 1000,
    CALLS = 2000 /* of each system call that is timed, in a round */
};

struct link {
    int fd;
    SSL *ssl;             /* NULL: without */
    unsigned char *ahead; /* [AHEAD] requests as they go out */
};

/* One way to ask. */
struct side {
    struct link *links;
    size_t size; /* of a request and of an answer, on the wire */
    double us[ROUNDS_MAX];
};

static unsigned char request[REQUEST];
static uint32_t conns = 20, rounds = 100;
static clockid_t server_clock;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "tls_request: %s: %s\n", what, errno != 0 ? strerror(errno) : "it does not hold");
    exit(1);
}

static void must(bool holds, const char *what)
{
    if (!holds)
        fail(what);
}

static double server_us(void)
{
    struct timespec t;
    must(clock_gettime(server_clock, &t) == 0, "the server's clock");
    return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/* ---- Connections ---- */

static int connect_to(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_sec = 10};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fd >= 0 && connect(fd, (struct sockaddr *) &to, sizeof to) == 0, "connect");
    must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0, "TCP_NODELAY");
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0, "SO_RCVTIMEO");
    return fd;
}

/* It has asked once, so that what follows a handshake is read. From here on the client's records go nowhere but to
 * `ahead`. */
static void secure(struct link *l, SSL_CTX *ctx)
{
    unsigned char answer[REQUEST];
    l->ssl = SSL_new(ctx);
    must(l->ssl != NULL && SSL_set_fd(l->ssl, l->fd) == 1 && SSL_connect(l->ssl) == 1, "the handshake");
    must(SSL_write(l->ssl, request, REQUEST) == REQUEST, "the first request");
    for (int got = 0; got < REQUEST;) {
        int n = SSL_read(l->ssl, answer + got, REQUEST - got);
        must(n > 0, "the first answer");
        got += n;
    }
    SSL_set0_wbio(l->ssl, BIO_new(BIO_s_mem()));
}

static struct side make_side(uint16_t port, SSL_CTX *ctx)
{
    struct side s = {calloc(conns, sizeof *s.links), ctx == NULL ? REQUEST : SEALED, {0}};
    must(s.links != NULL, "memory");
    for (uint32_t i = 0; i < conns; i++) {
        struct link *l = &s.links[i];
        l->fd = connect_to(port);
        l->ahead = malloc(AHEAD * s.size);
        must(l->ahead != NULL, "memory");
        if (ctx != NULL)
            secure(l, ctx);
        for (int k = 0; ctx == NULL && k < AHEAD; k++)
            memcpy(l->ahead + k * REQUEST, request, REQUEST);
    }
    return s;
}

/* The next AHEAD requests of all. */
static void seal_ahead(const struct side *s)
{
    for (uint32_t i = 0; i < conns && s->links[i].ssl != NULL; i++) {
        struct link *l = &s->links[i];
        char *bytes;
        for (int k = 0; k < AHEAD; k++)
            must(SSL_write(l->ssl, request, REQUEST) == REQUEST, "sealing");
        must(BIO_get_mem_data(SSL_get_wbio(l->ssl), &bytes) == AHEAD * SEALED, "a record of another length");
        memcpy(l->ahead, bytes, AHEAD * SEALED);
        (void) BIO_reset(SSL_get_wbio(l->ssl));
    }
}

/* ---- Asking ---- */

static void ask(const struct link *l, size_t size, uint32_t which)
{
    must(send(l->fd, l->ahead + which * size, size, 0) == (ssize_t) size, "send");
}

/* The first waits for the server, which has answered all when it sleeps. */
static void hear(const struct link *l, size_t size)
{
    unsigned char data[SEALED];
    for (size_t got = 0; got < size;) {
        ssize_t n = recv(l->fd, data, size - got, 0);
        must(n > 0, "an answer does not come");
        got += (size_t) n;
    }
}

/* All that was made ahead, once. Microseconds of the server's for each. */
static double time_phase(const struct side *s)
{
    seal_ahead(s);
    double before = server_us();
    for (uint32_t which = 0; which < AHEAD; which++) {
        for (uint32_t i = 0; i < conns; i++)
            ask(&s->links[i], s->size, which);
        for (uint32_t i = 0; i < conns; i++)
            hear(&s->links[i], s->size);
    }
    return (server_us() - before) / conns / AHEAD;
}

/* One core for both, on which nobody is interrupted by whom he wakes. */
static void share_core(pid_t server)
{
    struct sched_param none = {0};
    cpu_set_t cores, one;
    char path[32];
    int core = 0;
    must(sched_getaffinity(server, sizeof cores, &cores) == 0, "the server's core");
    while (!CPU_ISSET(core, &cores))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    must(sched_setaffinity(0, sizeof one, &one) == 0 && sched_setscheduler(0, SCHED_BATCH, &none) == 0,
         "its core");
    snprintf(path, sizeof path, "/proc/%d/task", (int) server);
    DIR *threads = opendir(path);
    must(threads != NULL, path);
    for (const struct dirent *e; (e = readdir(threads)) != NULL;) {
        pid_t thread = (pid_t) atoi(e->d_name); /* 0 of "." and ".." */
        must(thread == 0 || (sched_setaffinity(thread, sizeof one, &one) == 0 &&
                             sched_setscheduler(thread, SCHED_BATCH, &none) == 0),
             "the server's threads");
    }
    closedir(threads);
}

/* ---- System calls ---- */

static double time_getppid(void)
{
    uint64_t start = thread_cpu_ns();
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
    return (double) (thread_cpu_ns() - start) / CALLS / 1e3;
}

/* A send() and a recv() of a request from one end to the other: the mean of the two. */
static double time_pair(const int fd[2])
{
    unsigned char data[REQUEST];
    uint64_t start = thread_cpu_ns();
    for (int i = 0; i < CALLS; i++)
        must(send(fd[0], request, REQUEST, 0) == REQUEST && recv(fd[1], data, REQUEST, 0) == REQUEST,
             "send, recv");
    return (double) (thread_cpu_ns() - start) / CALLS / 2 / 1e3;
}

static double time_unix(void)
{
    int fd[2];
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, fd) == 0, "socketpair");
    double us = time_pair(fd);
    close(fd[0]);
    close(fd[1]);
    return us;
}

static double time_tcp(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd[2];
    must(listener >= 0 && bind(listener, (struct sockaddr *) &at, len) == 0 && listen(listener, 1) == 0 &&
             getsockname(listener, (struct sockaddr *) &at, &len) == 0,
         "listen");
    fd[0] = connect_to(ntohs(at.sin_port));
    fd[1] = accept(listener, NULL, NULL);
    must(fd[1] >= 0, "accept");
    double us = time_pair(fd);
    close(fd[0]);
    close(fd[1]);
    close(listener);
    return us;
}

/* ---- What is printed ---- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return (x > y) - (x < y);
}

static void say(const char *name, double *v)
{
    qsort(v, rounds, sizeof *v, by_size);
    printf(", \"%s\": {\"q1\": %.3f, \"median\": %.3f, \"q3\": %.3f}", name, v[rounds / 4], v[rounds / 2],
           v[rounds * 3 / 4]);
}

static uint32_t number(const char *text, uint32_t most, const char *what)
{
    char *end;
    unsigned long n = strtoul(text, &end, 0);
    must(*text != '\0' && *end == '\0' && n > 0 && n <= most, what);
    return (uint32_t) n;
}

static void run(uint16_t plain_port, uint16_t tls_port)
{
    static double getppid_us[ROUNDS_MAX], unix_us[ROUNDS_MAX], tcp_us[ROUNDS_MAX], more[ROUNDS_MAX];
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    must(ctx != NULL && SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) == 1, "a client");
    struct side plain = make_side(plain_port, NULL), tls = make_side(tls_port, ctx);
    time_phase(&plain);
    time_phase(&tls);
    for (uint32_t i = 0; i < rounds; i++) {
        double first = time_phase(&plain);
        tls.us[i] = (time_phase(&tls) + time_phase(&tls)) / 2;
        plain.us[i] = (first + time_phase(&plain)) / 2; /* who drifts, drifts for both */
        more[i] = tls.us[i] - plain.us[i];
        getppid_us[i] = time_getppid();
        unix_us[i] = time_unix();
        tcp_us[i] = time_tcp();
    }
    printf("{\"conns\": %u, \"rounds\": %u, \"requests\": %u", conns, rounds, conns * AHEAD);
    say("plain", plain.us);
    say("tls", tls.us);
    say("more", more);
    say("getppid", getppid_us);
    say("unix", unix_us);
    say("tcp", tcp_us);
    printf("}\n");
}

int main(int argc, char **argv)
{
    must(argc >= 5 && argc <= 7, "usage: tls_request PID STX PLAIN-PORT TLS-PORT [CONNS [ROUNDS]]");
    pid_t server = (pid_t) number(argv[1], INT32_MAX, "PID");
    must(clock_getcpuclockid(server, &server_clock) == 0, "PID");
    share_core(server);
    wire_put_head(request, (struct wire_head){number(argv[2], UINT32_MAX, "STX"), REQUEST, ECHO});
    if (argc > 5)
        conns = number(argv[5], CONNS_MAX, "CONNS");
    if (argc > 6)
        rounds = number(argv[6], ROUNDS_MAX, "ROUNDS");
    run((uint16_t) number(argv[3], 65535, "PLAIN-PORT"), (uint16_t) number(argv[4], 65535, "TLS-PORT"));
    return 0;
}
