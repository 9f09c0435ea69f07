/*
 * fanout.c: the driver of the push benchmarks: many subscribers and one publisher, all connections of one server, in
 * one thread. bench/push.py tells it what to do, a line each on standard input, and gets a line of JSON for each.
 *
 *     fanout DIALECT PORT SUBSCRIBERS PAYLOAD PID     connects, joins group 1, says {"ready": ...}
 *
 *     burst K R        R times: K messages written together; all subscribers have got them, every byte is looked at
 *     beat MS N        N times a message, MS milliseconds apart; only then they are read
 *     flood K R        R times K messages, and nobody reads; returns when the server has taken them
 *     drain            all that has come, until nothing comes any more
 *     join N OF STEP   N groups more for each subscriber, out of OF: those of the i-th begin at i * STEP
 *     stat NAME        a counter of the server
 *
 * A subscriber sleeps on no socket, and is read when the server has done its sending, as far as that is known from the
 * time before. So a delivery wakes nobody on this machine: what is measured is the server's part, as it is with
 * subscribers that are elsewhere. CPU time is that of the process PID and of its children.
 */
#include "dialect.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    PAYLOAD_MAX = 8000,
    BURST_MAX = 64,
    GROUP = 1,
    FAMILY_MAX = 20000,
    PATIENCE_S = 30,
    ADDRESS_EACH = 5000,
    AT_ONCE = 100,
    RECEIVE_ROOM = 64 * 1024 /* the kernel doubles it: that is its default too */
};

static const struct dialect *dialect;
static uint16_t port;
static int *subscribers, publisher;
static unsigned count, payload_len, joined;
static unsigned long serial;      /* of the last message */
static long sending_ns = 1000000; /* what the server took for the last burst */
static pid_t family[FAMILY_MAX];  /* [0] is the server */
static unsigned family_size;
static char out[BURST_MAX * (PAYLOAD_MAX + DIALECT_MORE)], wanted[sizeof out], got[sizeof out];

void fail(const char *what, ...)
{
    int error = errno;
    va_list args;

    va_start(args, what);
    fputs("fanout: ", stderr);
    vfprintf(stderr, what, args);
    va_end(args);
    fprintf(stderr, error != 0 ? ": %s\n" : "\n", strerror(error));
    exit(1);
}

/* ---- Clocks ---- */

static long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void sleep_ns(long ns)
{
    nanosleep(&(struct timespec){.tv_sec = ns / 1000000000L, .tv_nsec = ns % 1000000000L}, NULL);
}

/* The server and those that its main thread has forked; they stay while there are connections. */
static void family_setup(pid_t pid)
{
    char path[64];

    family[family_size++] = pid;
    sprintf(path, "/proc/%d/task/%d/children", (int) pid, (int) pid);
    FILE *f = fopen(path, "r");
    for (int child; f != NULL && family_size < FAMILY_MAX && fscanf(f, "%d", &child) == 1;)
        family[family_size++] = child;
    if (f != NULL)
        fclose(f);
}

/* All threads, also those that have ended. */
static long server_ns(void)
{
    long sum = 0;

    for (unsigned i = 0; i < family_size; i++) {
        struct timespec t;
        clockid_t clock;

        if (clock_getcpuclockid(family[i], &clock) == 0 && clock_gettime(clock, &t) == 0)
            sum += t.tv_sec * 1000000000L + t.tv_nsec;
    }
    return sum;
}

/* ---- Connections ---- */

static int connect_one(unsigned number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)}, from = {.sin_family = AF_INET};
    struct linger at_once = {.l_onoff = 1};
    int on = 1, room = RECEIVE_ROOM, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number / ADDRESS_EACH); /* or ports run out */
    /* Closed with an RST: no port stays in TIME_WAIT after it. The receive buffer keeps its size: what a reader that
     * has stopped takes does not depend on what came before. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *) &from, sizeof from) < 0 ||
        connect(fd, (struct sockaddr *) &to, sizeof to) < 0)
        fail("connection %u", number);
    return fd;
}

/* Those from `from` to before `to`: all ask before the first answer is awaited, so a server that looks at everybody in
 * each turn does so once for many. */
static void log_in(unsigned from, unsigned to)
{
    static struct talk t;

    for (unsigned i = from; i < to; i++) {
        subscribers[i] = connect_one(i + 1);
        dialect->greet(&t, i + 1);
        talk_ask(subscribers[i], &t);
    }
    for (unsigned i = from; i < to; i++) {
        if (dialect->speaks_first)
            talk_skip_line(subscribers[i]);
        talk_answer(subscribers[i], &t);
    }
}

static void join(unsigned from, unsigned to, const unsigned *group, unsigned n)
{
    static struct talk t;

    for (unsigned i = from; i < to; i++) {
        dialect->join(&t, group, n, joined);
        talk_ask(subscribers[i], &t);
    }
    for (unsigned i = from; i < to; i++)
        talk_answer(subscribers[i], &t);
}

static void connect_all(void)
{
    static const unsigned group[] = {GROUP};
    static struct talk t;

    publisher = connect_one(0);
    dialect->greet(&t, 0);
    talk_ask(publisher, &t);
    if (dialect->speaks_first)
        talk_skip_line(publisher);
    talk_answer(publisher, &t);
    for (unsigned i = 0; i < count; i += AT_ONCE)
        log_in(i, i + AT_ONCE < count ? i + AT_ONCE : count);
    if (dialect->settle != NULL) {
        dialect->settle(publisher);
        for (unsigned i = 0; i < count; i++)
            dialect->settle(subscribers[i]);
    }
    for (unsigned i = 0; i < count; i += AT_ONCE)
        join(i, i + AT_ONCE < count ? i + AT_ONCE : count, group, 1);
    joined = 1;
}

/* ---- Publishing and receiving ---- */

/* The next k messages as they are published, in out; returns their length. What each subscriber gets is put behind the
 * first *delivered bytes of wanted. */
static size_t compose(unsigned k, size_t *delivered)
{
    char payload[PAYLOAD_MAX];
    size_t len = 0;

    memset(payload, '.', payload_len);
    for (unsigned i = 0; i < k; i++) {
        memcpy(payload, &(uint64_t){++serial}, sizeof(uint64_t));
        len += dialect->publish(out + len, GROUP, payload, payload_len);
        *delivered += dialect->delivery(wanted + *delivered, GROUP, payload, payload_len);
    }
    return len;
}

static void publish(size_t len)
{
    for (size_t sent = 0; sent < len;) {
        ssize_t n = send(publisher, out + sent, len - sent, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            fail("publishing");
        sent += n > 0 ? (size_t) n : 0;
    }
}

/* What the server says to the publisher, and nobody asked for. */
static void ignore_answers(void)
{
    while (recv(publisher, got, sizeof got, MSG_DONTWAIT) > 0)
        ;
}

/* The next len bytes of a subscriber, which must be those of wanted. While they are not there yet the server is left
 * alone for a while. */
static void receive(unsigned i, size_t len, long deadline)
{
    for (size_t have = 0; have < len;) {
        ssize_t n = recv(subscribers[i], got + have, len - have, MSG_DONTWAIT);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            fail("subscriber %u was closed at message %lu", i, serial);
        if (n < 0 && now_ns() > deadline) {
            errno = 0;
            fail("subscriber %u has %zu of %zu bytes at message %lu", i, have, len, serial);
        }
        if (n < 0)
            sleep_ns(100000 + sending_ns / 8);
        have += n > 0 ? (size_t) n : 0;
    }
    if (memcmp(got, wanted, len) != 0) {
        errno = 0;
        fail("subscriber %u got something else as message %lu", i, serial);
    }
}

static void receive_all(size_t len)
{
    long deadline = now_ns() + PATIENCE_S * 1000000000L;

    for (unsigned i = 0; i < count; i++)
        receive(i, len, deadline);
    ignore_answers();
}

static void one_burst(unsigned k)
{
    size_t delivered = 0, len = compose(k, &delivered);
    long before = server_ns();

    publish(len);
    sleep_ns(sending_ns);
    receive_all(delivered);
    sending_ns = server_ns() - before;
}

static void burst(unsigned k, unsigned r)
{
    one_burst(k); /* also to know how long it takes */
    long first = sending_ns, cpu = server_ns();
    for (unsigned i = 0; i < r; i++)
        one_burst(k);
    printf("{\"cpu_ns\": %ld, \"first_ns\": %ld, \"deliveries\": %lu}\n", server_ns() - cpu, first,
           (unsigned long) k * r * count);
}

/* Nobody reads meanwhile: that would be more work beside what is measured. */
static void beat(unsigned ms, unsigned n)
{
    long next = now_ns(), late = 0;
    size_t delivered = 0;

    for (unsigned i = 0; i < n; i++) {
        long ahead = next - now_ns();

        if (ahead > 0)
            sleep_ns(ahead);
        late = now_ns() - next > late ? now_ns() - next : late;
        publish(compose(1, &delivered));
        next += ms * 1000000L;
    }
    sleep_ns(ms * 1000000L);
    receive_all(delivered);
    printf("{\"late_ns\": %ld}\n", late);
}

static void flood(unsigned k, unsigned r)
{
    for (unsigned i = 0; i < r; i++) {
        size_t delivered = 0;

        publish(compose(k, &delivered));
        dialect->barrier(publisher);
    }
    printf("{\"messages\": %lu}\n", (unsigned long) k * r);
}

static void drain(void)
{
    unsigned long bytes = 0, more = 1;

    for (int quiet = 0; quiet<5; quiet = more> 0 ? 0 : quiet + 1) {
        more = 0;
        for (unsigned i = 0; i < count; i++)
            for (ssize_t n; (n = recv(subscribers[i], got, sizeof got, MSG_DONTWAIT)) > 0;)
                more += (unsigned long) n;
        bytes += more;
        sleep_ns(50000000);
    }
    printf("{\"bytes\": %lu}\n", bytes);
}

static void join_more(unsigned n, unsigned of, unsigned step)
{
    unsigned group[DIALECT_GROUPS];

    for (unsigned i = 0; i < count; i++) {
        for (unsigned j = 0; j < n; j++)
            group[j] = GROUP + 1 + (i * step + j) % of;
        join(i, i + 1, group, n);
    }
    joined += n;
    printf("{\"groups\": %u}\n", joined);
}

/* ---- What it is told ---- */

static unsigned number(const char *text, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    errno = 0;
    if (end == text || *end != '\0' || value > most)
        fail("%s is not a number up to %u", text, most);
    return (unsigned) value;
}

static void obey(const char *line)
{
    unsigned a, b, c;
    char name[64];

    if (sscanf(line, "burst %u %u", &a, &b) == 2 && a > 0 && a <= BURST_MAX)
        burst(a, b);
    else if (sscanf(line, "beat %u %u", &a, &b) == 2 && b <= BURST_MAX)
        beat(a, b);
    else if (sscanf(line, "flood %u %u", &a, &b) == 2 && a > 0 && a <= BURST_MAX)
        flood(a, b);
    else if (strcmp(line, "drain\n") == 0)
        drain();
    else if (sscanf(line, "join %u %u %u", &a, &b, &c) == 3 && a <= DIALECT_GROUPS && b > 0)
        join_more(a, b, c);
    else if (sscanf(line, "stat %63s", name) == 1 && dialect->stat != NULL)
        printf("{\"value\": %lu}\n", (unsigned long) dialect->stat(publisher, name));
    else {
        errno = 0;
        fail("not understood: %s", line);
    }
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct rlimit files;
    char line[256];

    if (argc != 6 || (dialect = dialect_find(argv[1])) == NULL) {
        fprintf(stderr, "usage: fanout mario|mario-all|redis|mqtt|nats PORT SUBSCRIBERS PAYLOAD PID\n");
        return 1;
    }
    count = number(argv[3], 1000000);
    port = (uint16_t) number(argv[2], 65535);
    payload_len = number(argv[4], PAYLOAD_MAX);
    subscribers = calloc(count + 1, sizeof *subscribers);
    if (subscribers == NULL || payload_len < sizeof(uint64_t))
        fail("no memory, or a payload that has no room for a number");
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    prctl(PR_SET_TIMERSLACK, 1UL);
    connect_all();
    family_setup((pid_t) number(argv[5], 1u << 30));
    printf("{\"ready\": %u, \"family\": %u}\n", count, family_size);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        obey(line);
    return 0;
}
