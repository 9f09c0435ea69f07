/*
 * acceptor.c: listeners: accepting, and which worker gets a connection. Runs on the master; setup and teardown on the
 * thread that makes the server.
 *
 * Assigning: `assigned` counts what a worker was given, `released` what it gave back; the difference is what it
 * has. So the master knows who has room without asking, and a worker never finds its pool empty.
 */
#include "mario/server/acceptor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/base/probe.h"
#include "mario/net/descriptor.h"
#include "mario/net/stream.h"
#include "mario/process/supervise.h"

enum {
    ACCEPT_BATCH = 64,  /* accepts a wake-up, so that signals and the bell are heard */
    ERRORS_A_BATCH = 8, /* failing accepts in one batch until the listeners rest */
    PAUSE_MS = 20       /* how long they rest */
};

static struct log_limit accept_warnings, full_warnings, untrusted_notes;

/* ---- Assigning ---- */

/* A worker whose function is stuck gets nobody, unless all are. */
static bool is_avoided(const struct acceptor *a, uint32_t i)
{
    if (!watchdog_avoids(a->watchdog, i))
        return false;
    for (uint32_t k = 0; k < a->workernum; k++) {
        if (!watchdog_avoids(a->watchdog, k))
            return true;
    }
    return false;
}

uint32_t acceptor_connections(const struct acceptor *a, uint32_t i)
{
    return a->assigned[i] - atomic_load_explicit(&a->workers[i].shard.released, memory_order_acquire);
}

static bool has_room(const struct acceptor *a, uint32_t i)
{
    return acceptor_connections(a, i) < a->connnum;
}

/* Whether there is room that would be given away now, and more than those need who wait in the lobby. */
static bool anyone_takes(struct acceptor *a)
{
    uint32_t room = 0;
    for (uint32_t i = 0; i < a->workernum; i++) {
        if (!has_room(a, i) || is_avoided(a, i) || !worker_has_room(&a->workers[i]))
            continue;
        room += a->connnum - acceptor_connections(a, i);
        if (room > a->lobby.waiting)
            return true;
    }
    return false;
}

/* A datagram may come at any time. */
bool acceptor_has_any(void *acceptor)
{
    const struct acceptor *a = acceptor;
    for (uint32_t i = 0; i < a->listener_count; i++) {
        if (a->listeners[i].address.datagram)
            return true;
    }
    for (uint32_t i = 0; i < a->workernum; i++) {
        if (acceptor_connections(a, i) > 0)
            return true;
    }
    return false;
}

static bool anyone_has_room(const struct acceptor *a)
{
    for (uint32_t i = 0; i < a->workernum; i++) {
        if (has_room(a, i))
            return true;
    }
    return false;
}

static void refuse(struct acceptor *a, int fd, enum counter why)
{
    uint32_t held_back;
    close(fd);
    stats_add(a->stats, why, 1);
    if (log_limit_pass(&full_warnings, 1, &held_back))
        slog_warn_t(a->qlog, "refused a connection: %s%s",
                    why == STAT_refused_full    ? "all pools are full"
                    : why == STAT_refused_lobby ? "too many wait for their PROXY header"
                                                : "all rings are full",
                    log_more(held_back).text);
}

/* Whether worker i, which has room, is to get it rather than the `best` so far: asked in the order of their turns. */
static bool is_better(const struct acceptor *a, uint32_t i, uint32_t best)
{
    return best == a->workernum ||
           (a->assign == MARIO_ASSIGN_LEAST && acceptor_connections(a, i) < acceptor_connections(a, best));
}

/* The worker that gets the next connection, workernum if none can: then *why says the reason. */
static uint32_t choose(struct acceptor *a, enum counter *why)
{
    uint32_t best = a->workernum, i = a->next;
    *why = STAT_refused_full;
    for (uint32_t tried = 0; tried < a->workernum; tried++, i = i + 1 == a->workernum ? 0 : i + 1) {
        if (!has_room(a, i) || is_avoided(a, i) || !is_better(a, i, best))
            continue;
        if (worker_has_room(&a->workers[i]))
            best = i;
        else
            *why = STAT_refused_ring;
        if (best == i && a->assign == MARIO_ASSIGN_ROUND_ROBIN)
            break;
    }
    return best;
}

/* Give it to a worker that has room. Whom to wake is noted; wake_workers() does it once a batch. */
static void assign(struct acceptor *a, const struct accepted_socket *s)
{
    enum counter why;
    uint32_t i = choose(a, &why);
    if (i == a->workernum || !worker_hand(&a->workers[i], s)) {
        admission_undo(a->admission, s->pass);
        refuse(a, s->fd, why);
        return;
    }
    PROBE3(accept, i, s->fd, s->listener);
    a->next = i + 1 == a->workernum ? 0 : i + 1;
    a->assigned[i]++;
    a->to_wake[i] = true;
    watchdog_wake(a->watchdog);
}

static void wake_workers(struct acceptor *a)
{
    for (uint32_t i = 0; i < a->workernum; i++) {
        if (a->to_wake[i])
            worker_wake(&a->workers[i]);
        a->to_wake[i] = false;
    }
}

/* ---- Accepting ---- */

static void rest(struct acceptor *a)
{
    event_add(a->pause_event, &(struct timeval){.tv_usec = PAUSE_MS * 1000});
}

/* Those for datagrams are the workers'. */
static bool accepts(const struct listener *l)
{
    return !l->address.datagram;
}

static void pause_listeners(struct acceptor *a)
{
    if (a->paused || a->stage != ACCEPTOR_OPEN)
        return;
    a->paused = true;
    stats_add(a->stats, STAT_accept_pauses, 1);
    for (uint32_t i = 0; i < a->listener_count; i++) {
        if (accepts(&a->listeners[i]))
            event_del(a->listeners[i].event);
    }
    rest(a);
}

static bool is_tcp(const struct listener *l)
{
    return accepts(l) && l->address.addr.ss_family != AF_UNIX;
}

/* Those listen that nothing keeps from it. */
static bool listen_again(struct acceptor *a)
{
    bool all = true;
    for (uint32_t i = 0; all && !a->paused && i < a->listener_count; i++) {
        if (accepts(&a->listeners[i]) && (!a->paced || !is_tcp(&a->listeners[i])))
            all = event_add(a->listeners[i].event, NULL) == 0;
    }
    return all;
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;
    (void) fd;
    (void) what;
    if (a->stage != ACCEPTOR_OPEN)
        return;
    a->paused = !a->refuses && a->when_full == MARIO_FULL_WAIT && !anyone_takes(a);
    if (!a->paused)
        a->paused = !listen_again(a);
    if (a->paused)
        rest(a);
}

/* As many as a second may bring have come. */
static void pace_listeners(struct acceptor *a, uint32_t ms)
{
    if (a->paced || a->stage != ACCEPTOR_OPEN)
        return;
    a->paced = true;
    stats_add(a->stats, STAT_accept_paced, 1);
    for (uint32_t i = 0; i < a->listener_count; i++) {
        if (is_tcp(&a->listeners[i]))
            event_del(a->listeners[i].event);
    }
    event_add(a->pace_event, &(struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000});
}

static void on_pace_over(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;
    (void) fd;
    (void) what;
    if (a->stage != ACCEPTOR_OPEN)
        return;
    a->paced = false;
    if (!listen_again(a))
        pause_listeners(a);
}

static enum counter counter_of_errno(int err)
{
    static const struct {
        int err;
        enum counter counter;
    } rows[] = {{EMFILE, STAT_accept_emfile},   {ENFILE, STAT_accept_enfile},
                {ENOBUFS, STAT_accept_enobufs}, {ENOMEM, STAT_accept_enomem},
                {EPERM, STAT_accept_eperm},     {ECONNABORTED, STAT_accept_econnaborted},
                {EINTR, STAT_accept_eintr}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].err == err)
            return rows[i].counter;
    }
    return STAT_accept_other;
}

/* accept() failed. Whether this batch may go on: not without descriptors or memory, and not for ever. */
static bool accept_failed(struct acceptor *a, int err, int errors)
{
    uint32_t held_back;
    stats_add(a->stats, counter_of_errno(err), 1);
    if (log_limit_pass(&accept_warnings, 1, &held_back))
        slog_warn_t(a->qlog, "accept: %s%s", strerror(err), log_more(held_back).text);
    bool passing = err == EINTR || err == ECONNABORTED || err == EPERM || err == EPROTO;
    return passing && errors < ERRORS_A_BATCH;
}

/* The kernel gave out the number of a connection's socket: the application has closed that. Its worker has to know
 * before anybody gets a connection with this number. False if it cannot be told. */
static bool take_from_former(struct acceptor *a, int fd)
{
    uint32_t owner = descriptor_take(fd), i = owner >> 24;
    if (owner == 0 || i >= a->workernum)
        return true;
    a->to_wake[i] = true;
    return worker_tell(&a->workers[i],
                       &(struct message){.kind = MESSAGE_LOST, .slot = (owner & 0xffffff) - 1, .lost = fd});
}

/* Nothing of it stays, not even in the kernel. */
static void reset(int fd)
{
    stream_reset_on_close(fd);
    close(fd);
}

static void let_in(struct acceptor *a, struct accepted_socket *s)
{
    enum counter why;
    if (admission_ask(a->admission, &s->peer, &s->pass, &why))
        assign(a, s);
    else
        reset(s->fd);
}

static void refuse_untrusted(struct acceptor *a, const struct accepted_socket *s)
{
    uint32_t held_back;
    char text[PEER_TEXT];
    reset(s->fd);
    stats_add(a->stats, STAT_refused_untrusted, 1);
    if (!log_limit_pass(&untrusted_notes, 1, &held_back))
        return;
    peer_print(&s->peer, text, sizeof text);
    slog_info_t(a->qlog, "refused a connection from %s: it is not in trust= of %s%s", text,
                a->listeners[s->listener].address.name, log_more(held_back).text);
}

static void accept_one(struct listener *l, int fd, const struct sockaddr_storage *from)
{
    struct acceptor *a = l->acceptor;
    struct accepted_socket s = {.fd = fd, .listener = (uint8_t) (l - a->listeners), .peer = peer_of(from)};
    stats_add(a->stats, STAT_accepted, 1);
    if (!take_from_former(a, fd)) {
        refuse(a, fd, STAT_refused_ring);
    } else if (a->refuses) {
        stats_add(a->stats, STAT_refused_drain, 1);
        reset(fd);
    } else if (l->proxy->on && proxy_rules_trust(l->proxy, &s.peer)) {
        lobby_enter(&a->lobby, &s);
    } else if (l->proxy->on && l->proxy->refuses) {
        refuse_untrusted(a, &s);
    } else {
        let_in(a, &s);
    }
}

/* ---- The lobby ---- */

/* Who says whose connection it is is trusted: it is not asked about, its client is. */
static void leave_lobby(void *acceptor, struct accepted_socket *s, enum lobby_answer answer)
{
    struct acceptor *a = acceptor;
    s->as = answer == LOBBY_BAD ? ACCEPTED_NO_HEADER : ACCEPTED_HEADER;
    if (answer == LOBBY_FULL) {
        refuse(a, s->fd, STAT_refused_lobby);
    } else if (a->refuses) {
        stats_add(a->stats, STAT_refused_drain, 1);
        reset(s->fd);
    } else if (answer == LOBBY_CLIENT) {
        admission_begin(a->admission);
        let_in(a, s);
    } else {
        assign(a, s);
    }
}

static void some_left(void *acceptor)
{
    wake_workers(acceptor);
}

/* Nobody is let in any more: who waits has said nothing yet. */
static void empty_lobby(struct acceptor *a)
{
    struct accepted_socket s;
    while (lobby_evict(&a->lobby, &s)) {
        close(s.fd);
        stats_add(a->stats, STAT_refused_stop, 1);
    }
}

/* ---- Batches ---- */

enum accepted {
    ACCEPTED_BATCH,    /* there may be more */
    ACCEPTED_ALL,      /* the kernel has no more */
    ACCEPTED_NO_PLACE, /* who waits has to go on waiting */
    ACCEPTED_ENOUGH,   /* likewise, for a moment */
    ACCEPTED_FAILED    /* no descriptors, no memory, or errors without end */
};

/* Accept at most `most` connections. */
static enum accepted accept_some(struct listener *l, uint32_t most)
{
    struct acceptor *a = l->acceptor;
    bool may_wait = !a->refuses && (a->when_full == MARIO_FULL_WAIT || a->stage == ACCEPTOR_LAST_CALL);
    bool at_a_rate = a->stage == ACCEPTOR_OPEN && is_tcp(l);
    int errors = 0;
    admission_begin(a->admission);
    for (uint32_t i = 0; i < most; i++) {
        struct sockaddr_storage peer = {0};
        socklen_t len = sizeof peer;
        if (may_wait && !anyone_takes(a)) {
            pause_listeners(a);
            return ACCEPTED_NO_PLACE;
        }
        uint32_t wait_ms = at_a_rate ? admission_wait_ms(a->admission) : 0;
        if (wait_ms > 0) {
            pace_listeners(a, wait_ms);
            return ACCEPTED_ENOUGH;
        }
        int fd = accept4(l->fd, (struct sockaddr *) &peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accept_one(l, fd, &peer);
        } else if (errno == EAGAIN) {
            return ACCEPTED_ALL;
        } else if (!accept_failed(a, errno, ++errors)) {
            pause_listeners(a);
            return ACCEPTED_FAILED;
        }
    }
    return ACCEPTED_BATCH;
}

static void on_listener(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    (void) fd;
    (void) what;
    accept_some(l, ACCEPT_BATCH);
    wake_workers(l->acceptor);
}

void acceptor_refuse_all(struct acceptor *a, bool all)
{
    a->refuses = all;
}

void acceptor_tune(struct acceptor *a, uint32_t backlog, uint32_t keepalive)
{
    bool same = a->backlog == backlog && a->keepalive == keepalive;
    a->backlog = backlog;
    a->keepalive = keepalive;
    for (uint32_t i = 0; !same && a->stage == ACCEPTOR_OPEN && i < a->listener_count; i++) {
        const struct listener *l = &a->listeners[i];
        if (accepts(l) && (listen(l->fd, (int) backlog) != 0 ||
                           !listen_keepalive(l->fd, l->address.addr.ss_family, keepalive)))
            slog_warn_t(a->qlog, "%s: backlog or keepalive cannot be changed: %s", l->address.name,
                        strerror(errno));
    }
}

/* ---- Closing ---- */

static void close_listener(struct acceptor *a, struct listener *l)
{
    if (l->event != NULL)
        event_free(l->event);
    if (l->fd >= 0 && l->borrowed)
        supervise_release(&l->address, l->fd, a->for_good);
    else if (l->fd >= 0)
        listen_close(&l->address, l->fd);
    l->event = NULL;
    l->fd = -1;
}

void acceptor_close(struct acceptor *a)
{
    a->stage = ACCEPTOR_CLOSED;
    empty_lobby(a);
    for (uint32_t i = 0; i < a->listener_count; i++)
        close_listener(a, &a->listeners[i]);
}

/* Whether a listener has let in all who waited when the stop came, or cannot let in any more. */
static bool is_last_call_over(struct listener *l)
{
    uint32_t batch = l->last_call < ACCEPT_BATCH ? l->last_call : ACCEPT_BATCH;
    l->last_call -= batch;
    switch (accept_some(l, batch)) {
    case ACCEPTED_BATCH:
        return l->last_call == 0;
    case ACCEPTED_NO_PLACE:
        return !anyone_has_room(l->acceptor); /* only the rings are full: workers will empty them */
    default:
        return true;
    }
}

void acceptor_last_call(struct acceptor *a, bool for_good)
{
    a->stage = ACCEPTOR_LAST_CALL;
    a->for_good = for_good;
    event_del(a->pause_event);
    event_del(a->pace_event);
    for (uint32_t i = 0; i < a->listener_count; i++) {
        if (accepts(&a->listeners[i]))
            event_del(a->listeners[i].event);
        a->listeners[i].last_call = a->backlog + 1; /* more do not wait; who comes later came too late */
    }
}

bool acceptor_let_in(struct acceptor *a)
{
    bool open = false;
    for (uint32_t i = 0; i < a->listener_count; i++) {
        struct listener *l = &a->listeners[i];
        if (l->fd >= 0 && is_last_call_over(l))
            close_listener(a, l);
        open = open || l->fd >= 0;
    }
    if (!open)
        empty_lobby(a);
    wake_workers(a);
    return open;
}

/* ---- Before and after ---- */

static bool has_proxy(const struct acceptor *a)
{
    for (uint32_t i = 0; i < a->listener_count; i++) {
        if (a->listeners[i].proxy->on)
            return true;
    }
    return false;
}

bool acceptor_setup(struct acceptor *a, struct event_base *base)
{
    a->assigned = calloc(a->workernum, sizeof *a->assigned);
    a->to_wake = calloc(a->workernum, sizeof *a->to_wake);
    a->pause_event = evtimer_new(base, on_pause_over, a);
    a->pace_event = evtimer_new(base, on_pace_over, a);
    if (a->assigned == NULL || a->to_wake == NULL || a->pause_event == NULL || a->pace_event == NULL)
        return false;
    if (has_proxy(a) && !lobby_setup(&a->lobby, base, leave_lobby, some_left, a))
        return false;
    for (uint32_t i = 0; i < a->listener_count; i++) {
        struct listener *l = &a->listeners[i];
        l->acceptor = a;
        if (!accepts(l))
            continue;
        l->event = event_new(base, l->fd, EV_READ | EV_PERSIST, on_listener, l);
        if (l->event == NULL || event_add(l->event, NULL) != 0)
            return false;
    }
    return true;
}

void acceptor_teardown(struct acceptor *a)
{
    acceptor_close(a);
    lobby_teardown(&a->lobby);
    if (a->pause_event != NULL)
        event_free(a->pause_event);
    if (a->pace_event != NULL)
        event_free(a->pace_event);
    free(a->assigned);
    free(a->to_wake);
    a->pause_event = a->pace_event = NULL;
    a->assigned = NULL;
    a->to_wake = NULL;
}
