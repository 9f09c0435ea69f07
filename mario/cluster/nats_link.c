/*
 * nats_link.c: a connection with NATS on the thread of an event_base. libnats reads and writes when this says so, in
 * that thread; what its other threads have comes through the inlet.
 */
#include "mario/cluster/nats_link.h"

#ifdef MARIO_WITH_NATS

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/cluster/nats_inlet.h"

enum {
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 2000,
    STEADY_MS = 5000,      /* who was up for so long begins anew with RETRY_MIN_MS */
    HELD_MESSAGES = 16384, /* of what came: above these nothing is read, below half of them it goes on */
    HELD_BYTES = 16 << 20,
    A_PASS = 512 /* messages told in one pass of the loop */
};

struct nats_link {
    struct nats_inlet inlet;
    const struct bus_config *config;
    const struct nats_link_events *events;
    void *arg;
    natsConnection *nc;
    uint64_t number; /* its */
    struct event *bell, *retry, *read, *write;
    bool paused;
    struct nats_messages out; /* being told, from `at` on */
    size_t at;
    natsSubscription **buried;
    size_t buried_n;
    uint32_t delay_ms;
    uint64_t up_ms;
};

/* ---- The loop's thread ---- */

/* What is in there is of nobody any more. */
static void messages_drop(struct nats_messages *m, size_t from)
{
    for (size_t i = from; i < m->n; i++)
        natsMsg_Destroy(m->at[i]);
    m->n = 0;
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    struct nats_link *l = arg;
    nats_inlet_attempt(&l->inlet);
}

/* Between half of the delay and all of it, so that a thousand nodes do not come at once. */
static void retry_later(struct nats_link *l)
{
    uint32_t half = l->delay_ms / 2;
    uint32_t ms = half + (uint32_t) (clock_ns() >> 4) % (half + 1);
    struct timeval t = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t) (ms % 1000) * 1000};
    l->delay_ms = l->delay_ms * 2 < RETRY_MAX_MS ? l->delay_ms * 2 : RETRY_MAX_MS;
    event_add(l->retry, &t);
}

void nats_link_bury(struct nats_link *l, natsSubscription **subs, size_t n)
{
    l->buried = subs;
    l->buried_n = n;
}

/* Everything of this connection goes; nc may be NULL. */
static void let_go(struct nats_link *l, natsConnection *nc)
{
    struct nats_inlet *i = &l->inlet;
    if (l->read != NULL)
        event_free(l->read);
    if (l->write != NULL)
        event_free(l->write);
    l->read = l->write = NULL;
    l->paused = false;
    struct nats_corpse *c = nc == NULL ? NULL : malloc(sizeof *c);
    if (c != NULL)
        *c = (struct nats_corpse){.nc = nc, .subs = l->buried, .n = l->buried_n};
    else
        free(l->buried);
    if (c == NULL && nc != NULL) /* it is never freed then */
        natsConnection_Close(nc);
    l->buried = NULL;
    l->buried_n = 0;
    struct nats_messages in;
    pthread_mutex_lock(&nats_gate);
    in = i->in;
    i->in = (struct nats_messages){0};
    i->number = 0;
    i->held = i->held_bytes = 0;
    i->write = i->closed = i->overrun = i->tried = false;
    int fd = i->fd;
    i->fd = -1;
    if (c != NULL) {
        c->next = i->corpses;
        i->corpses = c;
        pthread_cond_signal(&i->order);
    }
    pthread_mutex_unlock(&nats_gate);
    if (fd != -1)
        close(fd);
    messages_drop(&in, 0);
    free(in.at);
    messages_drop(&l->out, l->at);
    l->at = 0;
}

static void fail(struct nats_link *l, natsConnection *nc, const char *why, bool password)
{
    if (l->nc != NULL && clock_ms() - l->up_ms >= STEADY_MS)
        l->delay_ms = RETRY_MIN_MS;
    l->nc = NULL;
    l->events->down(l->arg, why, password);
    let_go(l, nc);
    retry_later(l);
}

/* True while the connection is there. */
static bool check(struct nats_link *l)
{
    if (l->nc == NULL)
        return false;
    if (!natsConnection_IsClosed(l->nc))
        return true;
    const char *text = NULL;
    natsStatus s = natsConnection_GetLastError(l->nc, &text);
    char why[NATS_WHY_SIZE];
    snprintf(why, sizeof why, "%s", text != NULL && text[0] != '\0' ? text : natsStatus_GetText(s));
    fail(l, l->nc, why, false);
    return false;
}

static bool wants_write(struct nats_link *l)
{
    pthread_mutex_lock(&nats_gate);
    bool write = l->inlet.write;
    pthread_mutex_unlock(&nats_gate);
    return write;
}

static void write_some(struct nats_link *l)
{
    if (l->nc == NULL || !wants_write(l) || event_pending(l->write, EV_WRITE, NULL))
        return;
    natsConnection_ProcessWriteEvent(l->nc);
    if (!check(l))
        return;
    if (wants_write(l))
        event_add(l->write, NULL);
    l->events->written(l->arg);
}

static void on_write(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    write_some(arg);
}

static bool holds_much(struct nats_link *l, unsigned part)
{
    pthread_mutex_lock(&nats_gate);
    bool much = l->inlet.held > HELD_MESSAGES / part || l->inlet.held_bytes > HELD_BYTES / part;
    pthread_mutex_unlock(&nats_gate);
    return much;
}

static void on_read(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    struct nats_link *l = arg;
    if (holds_much(l, 1)) {
        l->paused = true;
        event_del(l->read);
        return;
    }
    natsConnection_ProcessReadEvent(l->nc);
    check(l);
}

/* An attempt is through. */
static void take_attempt(struct nats_link *l, natsConnection *nc, uint64_t number, int fd, const char *why,
                         bool password)
{
    struct event_base *base = l->config->base;
    if (nc != NULL && fd != -1) {
        l->read = event_new(base, fd, EV_READ | EV_PERSIST, on_read, l);
        l->write = event_new(base, fd, EV_WRITE, on_write, l);
    }
    if (nc == NULL || l->read == NULL || l->write == NULL || event_add(l->read, NULL) != 0) {
        fail(l, nc, nc == NULL ? why : "out of memory", password);
        return;
    }
    l->nc = nc;
    l->number = number;
    l->up_ms = clock_ms();
    l->events->up(l->arg);
}

/* Tell at most A_PASS messages. True if there are more. */
static bool tell(struct nats_link *l)
{
    size_t bytes = 0, n = 0;
    if (l->at == l->out.n) {
        struct nats_messages told = l->out;
        told.n = 0;
        pthread_mutex_lock(&nats_gate);
        l->out = l->inlet.in;
        l->inlet.in = told;
        pthread_mutex_unlock(&nats_gate);
        l->at = 0;
    }
    for (; l->at < l->out.n && n < A_PASS && l->nc != NULL; n++) {
        natsMsg *m = l->out.at[l->at++];
        bytes += (size_t) natsMsg_GetDataLength(m);
        l->events->message(l->arg, m);
        natsMsg_Destroy(m);
    }
    if (l->nc == NULL || n == 0)
        return false;
    pthread_mutex_lock(&nats_gate);
    l->inlet.held -= n;
    l->inlet.held_bytes -= bytes;
    bool more = l->at < l->out.n || l->inlet.in.n > 0;
    pthread_mutex_unlock(&nats_gate);
    return more;
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct nats_link *l = arg;
    struct nats_inlet *i = &l->inlet;
    uint64_t rung;
    (void) what;
    if (read(fd, &rung, sizeof rung) < 0)
        rung = 0; /* we were called by ourselves */
    char why[NATS_WHY_SIZE];
    pthread_mutex_lock(&nats_gate);
    bool tried = i->tried, password = i->password;
    natsConnection *nc = i->nc;
    uint64_t number = i->number;
    int socket = i->fd;
    i->tried = false;
    memcpy(why, i->why, sizeof why);
    pthread_mutex_unlock(&nats_gate);
    if (tried)
        take_attempt(l, nc, number, socket, why, password);
    if (l->nc == NULL)
        return;
    bool more = tell(l);
    if (l->paused && !holds_much(l, 2)) {
        l->paused = false;
        event_add(l->read, NULL);
    }
    write_some(l);
    pthread_mutex_lock(&nats_gate);
    bool closed = i->closed && !more, overrun = i->overrun;
    memcpy(why, i->why, sizeof why);
    pthread_mutex_unlock(&nats_gate);
    if (l->nc != NULL && (closed || overrun))
        fail(l, l->nc, overrun ? "more came than could be held" : why, false);
    else if (more)
        event_active(l->bell, EV_READ, 1);
}

/* ---- From outside ---- */

natsConnection *nats_link_connection(const struct nats_link *l)
{
    return l->nc;
}

size_t nats_link_waiting(const struct nats_link *l)
{
    int n = l->nc == NULL ? 0 : natsConnection_Buffered(l->nc);
    return n > 0 ? (size_t) n : 0;
}

natsSubscription *nats_link_subscribe(struct nats_link *l, const char *subject)
{
    return l->nc == NULL ? NULL : nats_inlet_subscribe(l->nc, subject, l->number);
}

static void link_free(struct nats_link *l)
{
    if (l->bell != NULL)
        event_free(l->bell);
    if (l->retry != NULL)
        event_free(l->retry);
    nats_inlet_end(&l->inlet);
    free(l->out.at);
    free(l);
}

struct nats_link *nats_link_create(const struct bus_config *c, const struct nats_link_events *e, void *arg,
                                   char *why, size_t size)
{
    if (!nats_lib_load(why, size))
        return NULL;
    struct nats_link *l = calloc(1, sizeof *l);
    snprintf(why, size, "out of memory");
    if (l == NULL || !nats_inlet_begin(&l->inlet, c)) {
        free(l);
        return NULL;
    }
    l->config = c;
    l->events = e;
    l->arg = arg;
    l->delay_ms = RETRY_MIN_MS;
    l->bell = event_new(c->base, l->inlet.bell, EV_READ | EV_PERSIST, on_bell, l);
    l->retry = event_new(c->base, -1, 0, on_retry, l);
    if (l->bell != NULL && l->retry != NULL && event_add(l->bell, NULL) == 0) {
        nats_inlet_attempt(&l->inlet);
        return l;
    }
    nats_inlet_leave(&l->inlet);
    link_free(l);
    return NULL;
}

void nats_link_destroy(struct nats_link **link)
{
    struct nats_link *l = *link;
    if (l == NULL)
        return;
    *link = NULL;
    nats_inlet_leave(&l->inlet);
    pthread_mutex_lock(&nats_gate);
    natsConnection *nc = l->inlet.tried ? l->inlet.nc : l->nc;
    pthread_mutex_unlock(&nats_gate);
    l->nc = NULL;
    let_go(l, nc);
    link_free(l);
}

#endif
