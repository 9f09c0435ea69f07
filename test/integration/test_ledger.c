/*
 * test_ledger.c: the ledger client and the bystanders. A ledger runs on the thread that has it; bystanders
 * have one of their own, which the main thread starts, stops and joins.
 */
#include "test_ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS = 256, CONNECTING_MAX = 100, ANSWERS_MS = 20000 };

#define SCRATCH (256u * 1024) /* requests to be sent in one call, or bytes of one recv */

/* ---- One connection ---- */

static uint32_t index_of(const struct ledger *l, const struct ledger_conn *c)
{
    return (uint32_t) (c - l->conns);
}

static void end_conn(struct ledger *l, struct ledger_conn *c, enum ending how)
{
    l->ends[c->how]--;
    l->ends[how]++;
    c->how = how;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    free(c->rest);
    free(c->keep);
    c->rest = c->keep = NULL;
    c->rest_len = c->keep_len = 0;
}

static void watch(struct ledger *l, struct ledger_conn *c, int op, bool out)
{
    struct epoll_event e = {.events = EPOLLIN | (out ? (uint32_t) EPOLLOUT : 0), .data.ptr = c};
    if (op == EPOLL_CTL_MOD && c->watched_out == out)
        return;
    c->watched_out = out;
    if (epoll_ctl(l->epoll, op, c->fd, &e) != 0)
        end_conn(l, c, END_REFUSED);
}

static enum ending ending_of(int err)
{
    return err == ETIMEDOUT ? END_TIMEOUT : END_RST;
}

/* Replace *place by a copy of p[0 .. n-1], which may lie in it. False without memory. */
static bool keep_bytes(unsigned char **place, size_t *len, const unsigned char *p, size_t n)
{
    unsigned char *copy = n == 0 ? NULL : malloc(n);
    if (n > 0 && copy == NULL)
        return false;
    if (n > 0)
        memcpy(copy, p, n);
    free(*place);
    *place = copy;
    *len = n;
    return true;
}

/* Put what is to be sent now into the scratch: the rest, then new requests. */
static size_t build(struct ledger *l, struct ledger_conn *c)
{
    size_t n = c->rest_len;
    if (n > 0)
        memcpy(l->scratch, c->rest, n);
    while (c->to_ask > 0 && c->built - c->answered < l->depth && n + l->exchange.request_len <= SCRATCH) {
        exchange_build(&l->exchange, index_of(l, c), c->built, l->scratch + n);
        c->asked_at[c->built % l->depth] = mono_ns();
        n += l->exchange.request_len;
        c->built++;
        c->to_ask--;
    }
    return n;
}

/* Send until there is nothing to send or the kernel takes no more. */
static void send_requests(struct ledger *l, struct ledger_conn *c)
{
    size_t n;
    while (c->how == END_OPEN && (n = build(l, c)) > 0) {
        ssize_t k = send(c->fd, l->scratch, n, MSG_NOSIGNAL);
        if (k < 0 && errno != EAGAIN && errno != EINTR) {
            /* Answers may still lie before the RST, or the server has closed only its reading side: let
             * recv() tell. */
            c->to_ask = 0;
            c->built = c->sent;
            keep_bytes(&c->rest, &c->rest_len, NULL, 0);
            watch(l, c, EPOLL_CTL_MOD, false);
            return;
        }
        size_t taken = k > 0 ? (size_t) k : 0;
        if (!keep_bytes(&c->rest, &c->rest_len, l->scratch + taken, n - taken)) {
            end_conn(l, c, END_REFUSED);
            return;
        }
        uint32_t sent =
            c->built - (uint32_t) ((c->rest_len + l->exchange.request_len - 1) / l->exchange.request_len);
        l->sent += sent - c->sent;
        c->sent = sent;
        if (c->rest_len > 0)
            break;
    }
    if (c->how != END_OPEN)
        return;
    if (c->shut && c->rest_len == 0 && c->to_ask == 0)
        shutdown(c->fd, SHUT_WR);
    watch(l, c, EPOLL_CTL_MOD, c->rest_len > 0);
}

/* Judge the answers in p[0 .. n-1] and keep what is not whole. */
static void take_answers(struct ledger *l, struct ledger_conn *c, const unsigned char *p, size_t n)
{
    uint64_t now = mono_ns();
    while (n > 0) {
        enum fault fault;
        int used = c->answered == c->built
                       ? -1
                       : exchange_judge(&l->exchange, index_of(l, c), c->answered, p, n, &fault);
        if (used < 0) {
            end_conn(l, c, END_WRONG);
            return;
        }
        if (used == 0)
            break;
        hist_add(&l->times, now - c->asked_at[c->answered % l->depth], 1);
        c->answered++;
        l->answered++;
        p += used;
        n -= (size_t) used;
    }
    if (!keep_bytes(&c->keep, &c->keep_len, p, n))
        end_conn(l, c, END_WRONG);
}

static void receive(struct ledger *l, struct ledger_conn *c)
{
    size_t have = c->keep_len;
    if (have > 0)
        memcpy(l->scratch, c->keep, have);
    ssize_t n = recv(c->fd, l->scratch + have, SCRATCH - have, MSG_DONTWAIT);
    if (n > 0)
        take_answers(l, c, l->scratch, have + (size_t) n);
    else if (n == 0)
        end_conn(l, c, have > 0 ? END_WRONG : END_FIN);
    else if (errno != EAGAIN && errno != EINTR)
        end_conn(l, c, ending_of(errno));
}

static void handle(struct ledger *l, struct ledger_conn *c, uint32_t events)
{
    if (!c->connected) {
        int err = net_connect_result(c->fd);
        if (err != 0) {
            end_conn(l, c, END_REFUSED);
            return;
        }
        c->connected = true;
    }
    if (events & ~(uint32_t) EPOLLOUT)
        receive(l, c);
    if (c->how == END_OPEN)
        send_requests(l, c);
}

/* ---- All of them ---- */

struct ledger *ledger_create(const struct net_target *t, uint32_t n, uint32_t data_len)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = calloc(n, sizeof *l->conns);
    l->scratch = malloc(SCRATCH);
    l->target = *t;
    l->exchange = exchange_echo(ITEST_STX, data_len);
    l->depth = 1;
    hist_clear(&l->times);
    for (uint32_t i = 0; l->conns != NULL && i < n; i++) {
        l->conns[i].fd = -1;
        l->count = i + 1;
        if ((l->conns[i].asked_at = calloc(1, sizeof(uint64_t))) == NULL)
            break;
    }
    l->ends[END_OPEN] = n;
    if (l->epoll < 0 || l->conns == NULL || l->scratch == NULL || l->count < n ||
        l->conns[n - 1].asked_at == NULL)
        ledger_destroy(&l);
    return l;
}

void ledger_destroy(struct ledger **lp)
{
    struct ledger *l = *lp;
    *lp = NULL;
    if (l == NULL)
        return;
    for (uint32_t i = 0; l->conns != NULL && i < l->count; i++) {
        end_conn(l, &l->conns[i], END_OURS);
        free(l->conns[i].asked_at);
    }
    if (l->epoll >= 0)
        close(l->epoll);
    free(l->conns);
    free(l->scratch);
    free(l);
}

static void connect_one(struct ledger *l, struct ledger_conn *c)
{
    c->fd = net_connect_start(&l->target, index_of(l, c));
    if (c->fd >= 0)
        watch(l, c, EPOLL_CTL_ADD, true);
    else if (errno != EAGAIN) /* a unix socket whose backlog is full: later */
        end_conn(l, c, END_REFUSED);
}

bool ledger_connect(struct ledger *l, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    for (uint32_t next = 0, connecting;;) {
        connecting = 0;
        for (uint32_t i = 0; i < next; i++)
            connecting += l->conns[i].how == END_OPEN && !l->conns[i].connected;
        for (; next < l->count && connecting < CONNECTING_MAX; next++) {
            struct ledger_conn *c = &l->conns[next];
            if (c->how != END_OPEN || c->connected)
                continue;
            connect_one(l, c);
            if (c->fd < 0 && c->how == END_OPEN)
                break;
            connecting++;
        }
        if (next == l->count && connecting == 0)
            return l->ends[END_REFUSED] == 0;
        if (mono_ns() >= deadline)
            return false;
        ledger_turn(l, 5);
    }
}

void ledger_ask(struct ledger *l, uint32_t each, uint32_t depth)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct ledger_conn *c = &l->conns[i];
        uint64_t *ring = depth == l->depth ? c->asked_at : realloc(c->asked_at, depth * sizeof *ring);
        if (ring == NULL)
            abort();
        c->asked_at = ring;
        if (c->how == END_OPEN)
            c->to_ask += each;
    }
    l->depth = depth;
}

static bool is_quiet(const struct ledger_conn *c)
{
    return c->how != END_OPEN || (c->to_ask == 0 && c->rest_len == 0 && c->answered == c->sent);
}

bool ledger_is_quiet(const struct ledger *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        if (!is_quiet(&l->conns[i]))
            return false;
    }
    return true;
}

void ledger_turn(struct ledger *l, int wait_ms)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(l->epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++) {
        struct ledger_conn *c = events[i].data.ptr;
        if (c->how == END_OPEN)
            handle(l, c, events[i].events);
    }
}

static void begin(struct ledger *l)
{
    for (uint32_t i = 0; i < l->count; i++) {
        struct ledger_conn *c = &l->conns[i];
        if (c->how == END_OPEN && c->connected && !c->watched_out)
            send_requests(l, c);
    }
}

bool ledger_run(struct ledger *l, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    begin(l);
    while (!ledger_is_quiet(l)) {
        if (mono_ns() >= deadline)
            return false;
        ledger_turn(l, 5);
    }
    return true;
}

bool ledger_run_to_end(struct ledger *l, unsigned ms)
{
    uint64_t deadline = itest_deadline(ms);
    begin(l);
    while (l->ends[END_OPEN] > 0) {
        if (mono_ns() >= deadline)
            return false;
        ledger_turn(l, 5);
    }
    return true;
}

void ledger_half_close(struct ledger *l, uint32_t i)
{
    l->conns[i].shut = true;
    if (l->conns[i].how == END_OPEN && l->conns[i].connected && !l->conns[i].watched_out)
        send_requests(l, &l->conns[i]);
}

void ledger_close(struct ledger *l, uint32_t i, bool reset)
{
    struct linger off = {.l_onoff = 1};
    if (l->conns[i].how != END_OPEN)
        return;
    if (reset && l->conns[i].fd >= 0)
        setsockopt(l->conns[i].fd, SOL_SOCKET, SO_LINGER, &off, sizeof off);
    end_conn(l, &l->conns[i], END_OURS);
}

/* ---- Bystanders ---- */

struct bystanders {
    struct ledger *ledger; /* main thread until the start and after the join, else the thread's */
    unsigned gap_ms;
    _Atomic bool stop; /* main (w) -> thread (r) */
    pthread_t thread;
};

static void *bystanders_main(void *arg)
{
    struct bystanders *b = arg;
    while (!b->stop) {
        ledger_ask(b->ledger, 1, 1);
        if (!ledger_run(b->ledger, ANSWERS_MS))
            break;
        if (b->gap_ms > 0)
            itest_sleep(b->gap_ms);
    }
    return NULL;
}

struct bystanders *bystanders_start(const struct net_target *t, uint32_t n, uint32_t data_len,
                                    unsigned gap_ms)
{
    struct bystanders *b = calloc(1, sizeof *b);
    ck_assert_msg(b != NULL && (b->ledger = ledger_create(t, n, data_len)) != NULL, "no memory");
    b->gap_ms = gap_ms;
    ck_assert_msg(ledger_connect(b->ledger, 5000), "the bystanders cannot connect to %s", t->name);
    ledger_ask(b->ledger, 1, 1);
    ck_assert_msg(ledger_run(b->ledger, 5000), "the bystanders get no answers from %s", t->name);
    ck_assert_msg(pthread_create(&b->thread, NULL, bystanders_main, b) == 0, "no thread");
    return b;
}

struct bystander_report bystanders_stop(struct bystanders **bp)
{
    struct bystanders *b = *bp;
    *bp = NULL;
    b->stop = true;
    pthread_join(b->thread, NULL);
    struct ledger *l = b->ledger;
    struct bystander_report r = {.sent = l->sent,
                                 .answered = l->answered,
                                 .lost = l->count - l->ends[END_OPEN],
                                 .p50_ns = hist_percentile(&l->times, 50),
                                 .p99_ns = hist_percentile(&l->times, 99),
                                 .max_ns = l->times.max};
    ledger_destroy(&b->ledger);
    free(b);
    return r;
}

struct bystander_report bystanders_finish(struct bystanders **b)
{
    struct bystander_report r = bystanders_stop(b);
    ck_assert_msg(r.lost == 0 && r.sent == r.answered && r.sent > 0,
                  "bystanders: %" PRIu64 " sent, %" PRIu64 " answered, %u connections lost", r.sent,
                  r.answered, r.lost);
    return r;
}
