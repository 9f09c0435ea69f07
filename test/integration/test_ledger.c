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

static void end_conn(struct ledger *l, struct ledger_conn *c, enum ending how)
{
    l->ends[c->how]--;
    l->ends[how]++;
    c->how = how;
    asker_close(&c->ask);
}

static void watch(struct ledger *l, struct ledger_conn *c, bool out)
{
    if (net_watch(l->epoll, c->ask.fd, &c->ask.watch, (epoll_data_t){.ptr = c}, EPOLLIN, out) != 0)
        end_conn(l, c, END_REFUSED);
}

/* As many requests more as may be unanswered. */
static void ask(struct ledger *l, struct ledger_conn *c)
{
    uint64_t now = mono_ns();
    for (; c->to_ask > 0 && c->ask.asked - c->ask.done < l->depth; c->to_ask--)
        c->asked_at[c->ask.asked++ % l->depth] = now;
}

/* Send until there is nothing to send or the kernel takes no more. */
static void send_requests(struct ledger *l, struct ledger_conn *c)
{
    uint32_t sent = c->ask.sent;
    ask(l, c);
    int took = asker_send(&c->ask, &l->exchange, l->scratch, SCRATCH);
    l->sent += c->ask.sent - sent;
    if (took < 0) {
        /* Answers may still lie before the RST, or the server has closed only its reading side: let receive() tell. */
        c->to_ask = 0;
        c->ask.asked = c->ask.sent;
        c->ask.part = 0;
    } else if (took == 1 && c->shut && c->to_ask == 0) {
        shutdown(c->ask.fd, SHUT_WR);
    }
    watch(l, c, took == 0);
}

static void receive(struct ledger *l, struct ledger_conn *c)
{
    struct asker_news news;
    bool unfinished = c->ask.kept > 0;
    uint32_t first = c->ask.done;
    ptrdiff_t n = asker_receive(&c->ask, &l->exchange, l->scratch, SCRATCH, &news, NULL);
    uint64_t now = mono_ns();
    for (uint32_t i = 0; i < news.replies; i++)
        hist_add(&l->times, now - c->asked_at[(first + i) % l->depth], 1);
    l->answered += news.replies;
    if (n < 0 && errno == 0)
        end_conn(l, c, unfinished ? END_WRONG : END_FIN);
    else if (n < 0)
        end_conn(l, c, errno == ETIMEDOUT ? END_TIMEOUT : END_RST);
    else if (news.fault != FAULT_NONE)
        end_conn(l, c, END_WRONG);
}

static void handle(struct ledger *l, struct ledger_conn *c, uint32_t events)
{
    if (!c->connected) {
        int err = net_connect_result(c->ask.fd);
        if (err == EINPROGRESS) {
            watch(l, c, true);
            return;
        }
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
    l->keep = calloc(n, l->exchange.reply_len);
    for (uint32_t i = 0; l->conns != NULL && i < n; i++) {
        l->conns[i].ask =
            (struct asker){.fd = -1, .number = i, .keep = l->keep + (size_t) i * l->exchange.reply_len};
        l->count = i + 1;
        if ((l->conns[i].asked_at = calloc(1, sizeof(uint64_t))) == NULL)
            break;
    }
    l->ends[END_OPEN] = n;
    if (l->epoll < 0 || l->conns == NULL || l->scratch == NULL || l->keep == NULL || l->count < n ||
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
    free(l->keep);
    free(l);
}

static void connect_one(struct ledger *l, struct ledger_conn *c)
{
    int fd = net_connect_start(&l->target, c->ask.number);
    asker_open(&c->ask, fd);
    if (fd >= 0)
        watch(l, c, true);
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
            if (c->ask.fd < 0 && c->how == END_OPEN)
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
    return c->how != END_OPEN || (c->to_ask == 0 && c->ask.asked == c->ask.done);
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
        if (c->how == END_OPEN && c->connected && !c->ask.watch.out)
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
    if (l->conns[i].how == END_OPEN && l->conns[i].connected && !l->conns[i].ask.watch.out)
        send_requests(l, &l->conns[i]);
}

void ledger_close(struct ledger *l, uint32_t i, bool reset)
{
    struct ledger_conn *c = &l->conns[i];
    if (c->how != END_OPEN)
        return;
    if (reset && c->ask.fd >= 0) {
        net_reset(c->ask.fd);
        c->ask.fd = -1;
    }
    end_conn(l, c, END_OURS);
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
