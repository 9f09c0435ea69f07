/*
 * mario_test.c: the LOGIN client. One thread: it opens connections, on each asks a script (LOGINs, say_hello,
 * echo) one request at a time, holds all of them open, and says what came back. Joining, pushing and listening is
 * talk.c's, the command line login_options.c's. Nothing here may be called from elsewhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "protocol/mario_protocol.h"
#include "test/lib/args.h"
#include "test/lib/asker.h"
#include "test/lib/clock.h"
#include "test/lib/exchange.h"
#include "test/lib/hist.h"
#include "test/lib/net.h"
#include "test/lib/secure_args.h"
#include "test/lib/show.h"
#include "test/lib/wire.h"
#include "test/login_options.h"

#define EVENTS 256
#define PENDING_MAX \
    128u /* connections that may wait for their first reply: a server's backlog holds that many */
#define SPARE_FDS     16u
#define SWEEP_NS      (20 * NS_PER_MS)
#define STATUS_NS     NS_PER_S
#define STATUS_TTY_NS (100 * NS_PER_MS)
#define SHOWN_REPLIES 10u /* more than that and only the summary is printed */
#define ECHO_DATA     64u

enum state { NONE, CONNECTING, ASKING, HOLDING, FAILED };

/* The request that it asks has the number of the step. */
struct conn {
    struct asker ask;
    enum state state;
    uint32_t step;  /* of the script */
    uint64_t since; /* when connecting began or the request was asked */
};

/* The run; there is one. */
static struct {
    struct login_options o;
    struct exchange login, hello, echo;
    struct conn *conns;
    unsigned char *keep; /* all connections' rooms for an unfinished reply */
    uint32_t started, pending, connected, holding;
    uint32_t refused, wrong, missing, lost;
    uint64_t logins_ok, hellos_ok, echoes_ok;
    bool complained, tty;
    int epoll;
    uint64_t next_sweep, next_status;
    struct hist times; /* of LOGINs */
    unsigned char buf[2 * WIRE_PACKET_MAX];
} run;

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
    (void) sig;
    interrupted = 1;
}

/* ---- what is said ---- */

static uint32_t number_of(const struct conn *c)
{
    return (uint32_t) (c - run.conns);
}

/* The request of a step, its name in *name; NULL after the last. */
static const struct exchange *script(uint32_t step, const char **name)
{
    *name = "LOGIN";
    if (step < run.o.logins)
        return &run.login;
    step -= run.o.logins;
    *name = "SAY_HELLO";
    if (run.o.hello && step-- == 0)
        return &run.hello;
    *name = "ECHO";
    return run.o.echo && step == 0 ? &run.echo : NULL;
}

/* The one line on standard error; what fails after the first is only counted. */
static void complain(const struct conn *c, const char *what, const char *why)
{
    if (run.complained)
        return;
    run.complained = true;
    fprintf(stderr, "%smario_test: %s", run.tty && run.next_status != 0 ? "\n" : "", run.o.target.name);
    if (run.o.connections > 1)
        fprintf(stderr, ", connection %u", number_of(c));
    fprintf(stderr, ": %s: %s\n", what, why);
}

static void show_reply(const struct conn *c, const struct exchange *x, const char *name,
                       const unsigned char *in, size_t n, uint64_t took)
{
    uint64_t steps = (uint64_t) run.o.logins + run.o.hello + run.o.echo;
    if (run.o.quiet || steps * run.o.connections > SHOWN_REPLIES)
        return;
    const unsigned char *data = exchange_within(x, in, n, &n);
    printf("%s", name);
    if (x == &run.login)
        printf(" uid %u", (uint16_t) (x->uid + number_of(c)));
    printf(": reply");
    if (exchange_has_head(x)) {
        struct wire_head h = wire_get_head(data);
        printf(" stx 0x%08" PRIx32 " akg_id 0x%04x pkglen %u", h.stx, h.akg_id, h.pkglen);
        data += WIRE_HEAD_LEN;
        n -= WIRE_HEAD_LEN;
    }
    if (x == &run.hello || x->text != NULL || x->framing == EXCHANGE_LINE) {
        printf(" \"");
        show_text(stdout, data, n);
        putchar('"');
    }
    printf(" in %.3f ms\n", (double) took / (double) NS_PER_MS);
}

static void print_status(const char *doing)
{
    uint64_t now = mono_ns();
    if (run.o.quiet || run.o.connections == 1 || now < run.next_status)
        return;
    if (run.next_status != 0)
        printf("%s%s: %u of %u connected, %u holding, %" PRIu64
               " logins, %u refused, %u wrong, %u missing, %u lost%s",
               run.tty ? "\r" : "", doing, run.connected, run.o.connections, run.holding, run.logins_ok,
               run.refused, run.wrong, run.missing, run.lost, run.tty ? "\033[K" : "\n");
    fflush(stdout);
    run.next_status = now + (run.tty ? STATUS_TTY_NS : STATUS_NS);
}

static void print_summary(void)
{
    if (run.o.quiet)
        return;
    printf("%sconnected %u, refused %u, logins ok %" PRIu64,
           run.tty && run.next_status != 0 ? "\r\033[K" : "", run.connected, run.refused, run.logins_ok);
    if (run.o.hello)
        printf(", hellos ok %" PRIu64, run.hellos_ok);
    if (run.o.echo)
        printf(", echoes ok %" PRIu64, run.echoes_ok);
    printf(", wrong %u, missing %u, lost while holding %u", run.wrong, run.missing, run.lost);
    if (run.started < run.o.connections)
        printf(", not tried %u", run.o.connections - run.started);
    putchar('\n');
    if (run.times.count > 0)
        printf("LOGIN reply time: min %.3f ms, median %.3f ms, max %.3f ms\n", (double) run.times.min / 1e6,
               (double) hist_percentile(&run.times, 50) / 1e6, (double) run.times.max / 1e6);
}

/* ---- one connection ---- */

static void end_conn(struct conn *c, enum state state)
{
    if (c->state == CONNECTING || (c->state == ASKING && c->step == 0))
        run.pending--;
    if (c->state == HOLDING)
        run.holding--;
    asker_close(&c->ask);
    c->state = state;
}

static void count_failure(const struct conn *c, enum fault fault)
{
    if (c->state == HOLDING)
        run.lost++;
    else if (c->state == CONNECTING || fault == FAULT_REFUSED)
        run.refused++;
    else if (fault == FAULT_CLOSED || fault == FAULT_RESET || fault == FAULT_TIMEOUT)
        run.missing++;
    else
        run.wrong++;
}

/* The one way out of a connection that went wrong. */
static void fail_because(struct conn *c, enum fault fault, const char *why)
{
    const char *name;
    char what[96] = "while holding";
    if (c->state == CONNECTING)
        snprintf(what, sizeof what, "cannot connect");
    else if (script(c->step, &name) != NULL)
        snprintf(what, sizeof what, "%s, after %.3f s", name,
                 (double) (mono_ns() - c->since) / (double) NS_PER_S);
    complain(c, what, why);
    count_failure(c, fault);
    end_conn(c, FAILED);
}

/* The same because of an errno. */
static void fail_errno(struct conn *c, int err)
{
    enum fault fault = fault_of_errno(err);
    fail_because(c, fault, fault == FAULT_TIMEOUT ? fault_text(fault) : secure_error(err));
}

static int watch(struct conn *c, bool want_out)
{
    return net_watch(run.epoll, c->ask.fd, &c->ask.watch, (epoll_data_t){.ptr = c}, EPOLLIN, want_out);
}

/* Send what the kernel has not taken of this step's request. */
static void flush(struct conn *c)
{
    const char *name;
    const struct exchange *x = script(c->step, &name);
    int took = x == NULL ? 1 : asker_send(&c->ask, x, run.buf, sizeof run.buf);
    if (took < 0 || watch(c, took == 0) != 0)
        fail_errno(c, errno);
}

/* Ask this step's request, or hold when the script is through. */
static void ask(struct conn *c)
{
    const char *name;
    c->since = mono_ns();
    if (script(c->step, &name) != NULL) {
        c->ask.asked++;
        flush(c);
    } else {
        c->state = HOLDING;
        run.holding++;
    }
}

static void count_reply(struct conn *c, const struct exchange *x, uint64_t took)
{
    if (x == &run.login) {
        run.logins_ok++;
        hist_add(&run.times, took, 1);
    } else if (x == &run.hello) {
        run.hellos_ok++;
    } else {
        run.echoes_ok++;
    }
    if (c->step++ == 0)
        run.pending--;
}

/* A wrong reply of n bytes stands in run.buf; say what its head was, if it is whole. */
static void fail_reply(struct conn *c, enum fault fault, size_t n)
{
    char why[160];
    const char *name;
    const struct exchange *x = script(c->step, &name);
    const unsigned char *packet = exchange_within(&run.login, run.buf, n, &n);
    bool has_head = n >= WIRE_HEAD_LEN && (x == NULL || exchange_has_head(x));
    struct wire_head h = has_head ? wire_get_head(packet) : (struct wire_head){0};
    if (x != NULL && x->greeting != NULL && c->ask.blank < ASKER_WELCOMED) {
        fail_because(c, fault, "this is no WebSocket: the upgrade is refused");
    } else if (x == &run.login && h.stx == x->stx && h.akg_id == x->akg_id &&
               h.pkglen == WIRE_HEAD_LEN + sizeof(REFUSED)) {
        fail_because(c, FAULT_REFUSED, "refused: this uid is logged in elsewhere, or the server is busy");
    } else if (has_head && !run.complained) {
        snprintf(why, sizeof why, "%s: stx 0x%08" PRIx32 " akg_id 0x%04x pkglen %u", fault_text(fault), h.stx,
                 h.akg_id, h.pkglen);
        fail_because(c, fault, why);
    } else {
        fail_because(c, fault, fault_text(fault));
    }
}

/* One request is out at a time, so one reply and nothing after it is right. */
static void take(struct conn *c, const struct asker_news *news)
{
    const char *name;
    const struct exchange *x = script(c->step, &name);
    if (news->fault != FAULT_NONE) {
        fail_reply(c, news->fault, news->bytes);
    } else if (news->welcomed && news->replies == 0) {
        c->since = mono_ns();
        flush(c);
    } else if (news->replies > 0) {
        uint64_t took = mono_ns() - c->since;
        show_reply(c, x, name, run.buf, news->used, took);
        count_reply(c, x, took);
        ask(c);
    }
}

static void receive(struct conn *c)
{
    const char *name;
    struct asker_news news;
    const struct exchange *x = script(c->step, &name);
    if (x == NULL) /* it holds: what comes now is no answer */
        x = &run.login;
    ptrdiff_t n = asker_receive(&c->ask, x, run.buf, sizeof run.buf, &news, NULL);
    if (n > 0)
        take(c, &news);
    else if (n < 0 && errno == 0)
        fail_because(c, FAULT_CLOSED, fault_text(FAULT_CLOSED));
    else if (n < 0)
        fail_errno(c, errno);
}

static void handle(struct conn *c, uint32_t events)
{
    if (c->state == CONNECTING) {
        int err = net_connect_result(c->ask.fd);
        if (err == EINPROGRESS && watch(c, true) == 0)
            return;
        if (err != 0) {
            fail_errno(c, err == EINPROGRESS ? errno : err);
            return;
        }
        c->state = ASKING;
        run.connected++;
        if (!run.o.quiet && run.o.connections == 1)
            secure_args_tell(c->ask.fd);
        ask(c);
    } else if (c->state == ASKING && (events & EPOLLOUT) != 0) {
        flush(c);
    }
    if ((c->state == ASKING || c->state == HOLDING) && (events & ~(uint32_t) EPOLLOUT) != 0)
        receive(c);
}

/* Begin one more connection. False when a unix socket's backlog has no room now. */
static bool start_one(struct conn *c)
{
    int fd = net_connect_start(&run.o.target, run.o.connections > 1 ? number_of(c) : NET_NO_SPREAD);
    if (fd < 0 && errno == EAGAIN)
        return false;
    asker_open(&c->ask, fd);
    c->state = CONNECTING;
    c->since = mono_ns();
    run.started++;
    run.pending++;
    if (fd < 0 || watch(c, true) != 0)
        fail_errno(c, errno);
    return true;
}

/* ---- all of them ---- */

static void sweep(void)
{
    uint64_t now = mono_ns();
    if (now < run.next_sweep)
        return;
    for (uint32_t i = 0; i < run.started; i++) {
        struct conn *c = &run.conns[i];
        bool waits = c->state == CONNECTING || c->state == ASKING;
        if (waits && (double) (now - c->since) > run.o.timeout_s * (double) NS_PER_S)
            fail_because(c, FAULT_TIMEOUT, fault_text(FAULT_TIMEOUT));
    }
    run.next_sweep = now + SWEEP_NS;
}

static uint32_t failures(void)
{
    return run.refused + run.wrong + run.missing + run.lost;
}

static void turn(int wait_ms, const char *doing)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(run.epoll, events, EVENTS, wait_ms);
    for (int i = 0; i < n; i++)
        handle(events[i].data.ptr, events[i].events);
    sweep();
    print_status(doing);
}

/* A server that answered none of a whole window of connections will not answer the others. */
static bool hopeless(void)
{
    return run.logins_ok + run.hellos_ok + run.echoes_ok == 0 && failures() >= PENDING_MAX;
}

/* True when every connection has come to its end: it holds, or it failed. */
static bool connect_and_ask(void)
{
    while (!interrupted && !hopeless() && run.holding + failures() < run.o.connections) {
        bool room = true;
        while (room && run.started < run.o.connections && run.pending < PENDING_MAX)
            room = start_one(&run.conns[run.started]);
        turn(room ? 10 : 1, "logging in");
    }
    return run.holding + failures() == run.o.connections;
}

static void hold(void)
{
    uint64_t until = mono_ns() + (uint64_t) (run.o.hold_s * (double) NS_PER_S);
    while (!interrupted && run.holding > 0 && mono_ns() < until) {
        int left = ms_left(until);
        turn(left < 20 ? left : 20, "holding");
    }
    turn(0, "closing"); /* what the server closed just now was lost too */
}

static void close_all(void)
{
    for (uint32_t i = 0; i < run.started; i++)
        end_conn(&run.conns[i], NONE);
    close(run.epoll);
    free(run.conns);
    free(run.keep);
}

/* The requests, as they go over the framing that was asked for. 0, or the exit code after a complaint. */
static int make_requests(void)
{
    const struct login_options *o = &run.o;
    const char *wrong = NULL;
    run.login = exchange_login(o->stx, o->uid);
    run.hello = exchange_hello(o->stx, 0);
    run.echo = o->echo_text != NULL ? exchange_text(o->stx, o->echo_text, (uint32_t) strlen(o->echo_text))
                                    : exchange_echo(o->stx, ECHO_DATA);
    if (o->logins > 0)
        wrong = exchange_frame(&run.login, o->framing);
    if (wrong == NULL)
        wrong = exchange_frame(&run.hello, o->framing);
    if (wrong == NULL && o->echo)
        wrong = exchange_frame(&run.echo, o->framing);
    return wrong == NULL ? 0 : args_complain("--proto: it does not go with a request %s", wrong);
}

static int prepare(void)
{
    const struct login_options *o = &run.o;
    int code = make_requests();
    if (code != 0)
        return code;
    if (args_descriptors((uint64_t) o->connections + SPARE_FDS) != 0)
        return 2;
    uint32_t room =
        o->echo && run.echo.reply_len > run.hello.reply_len ? run.echo.reply_len : run.hello.reply_len;
    run.conns = calloc(o->connections, sizeof *run.conns);
    run.keep = calloc(o->connections, room);
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (run.conns == NULL || run.keep == NULL || run.epoll < 0) {
        fprintf(stderr, "mario_test: cannot make %u connections: %s\n", o->connections, strerror(errno));
        return 2;
    }
    for (uint32_t i = 0; i < o->connections; i++)
        run.conns[i] = (struct conn){.ask = {.fd = -1, .number = i, .keep = run.keep + (size_t) i * room}};
    hist_clear(&run.times);
    run.tty = isatty(STDOUT_FILENO);
    return 0;
}

static int talk(void)
{
    const struct login_options *o = &run.o;
    const struct talk_as as = {.target = &o->target,
                               .stx = o->stx,
                               .uid = o->uid,
                               .timeout_s = o->timeout_s,
                               .quiet = o->quiet,
                               .stop = &interrupted};
    return talk_run(&o->talk, &as);
}

int main(int argc, char **argv)
{
    args_program("mario_test");
    int code = login_options_read(argc, argv, &run.o);
    if (code >= 0)
        return code;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    if (talk_wanted(&run.o.talk))
        return talk();
    if ((code = prepare()) != 0)
        return code;
    bool all = connect_and_ask();
    hold();
    print_summary();
    close_all();
    return failures() == 0 && all ? 0 : 1;
}
