/*
 * nats_link.c: a connection with NATS on the thread of an event_base. libnats reads and writes when this says so, in that
 * thread; its other threads (one delivers messages, one tells of ends, one keeps time) only put what they have into an
 * inlet and ring. Connecting waits, and so does ending 200,000 subscriptions: a thread of the link's own does both.
 *
 * What libnats calls knows the link by the number of its connection, so a call that comes late finds nobody. Lock
 * order: libnats's, then the gate; nothing of libnats is called with the gate shut.
 */
#include "mario/cluster/nats_link.h"

#ifdef MARIO_WITH_NATS

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mario/base/clock.h"

enum {
    RETRY_MIN_MS = 50,
    RETRY_MAX_MS = 2000,
    STEADY_MS = 5000, /* who was up for so long begins anew with RETRY_MIN_MS */
    PING_MS = 2000,   /* and two without an answer: it is gone */
    PINGS_OUT = 2,
    IO_BYTES = 65536,
    PENDING_MOST = 1 << 20, /* libnats's own limit a subscription, in messages: the inlet's come first */
    HELD_MESSAGES = 16384,  /* of what came: above these nothing is read, below half of them it goes on */
    HELD_BYTES = 16 << 20,
    A_PASS = 512, /* messages told in one pass of the loop */
    SERVERS_MAX = 64,
    WHY_SIZE = 200
};

struct messages {
    natsMsg **at;
    size_t n, room;
};

/* A connection that has ended, to be freed. */
struct corpse {
    struct corpse *next;
    natsConnection *nc;
    natsSubscription **subs;
    size_t n;
};

/* What other threads put in, under the gate. */
struct inlet {
    struct inlet *next;
    uint64_t number; /* of the connection that is up or coming, of no other one in this process */
    int bell;
    struct messages in;
    size_t held, held_bytes; /* taken but not told yet, too */
    int fd;                  /* a descriptor of our own for its socket, or -1 */
    bool write;              /* libnats has something to write */
    bool closed, overrun;
    char why[WHY_SIZE];
    bool tried; /* an attempt is through: nc, or NULL and why */
    natsConnection *nc;
    bool password;
    bool attempt, quit; /* to the link's thread */
    struct corpse *corpses;
    pthread_cond_t order;
};

struct nats_link {
    struct inlet inlet;
    const struct bus_config *config;
    const struct nats_link_events *events;
    void *arg;
    pthread_t thread;
    natsConnection *nc;
    uint64_t number; /* its */
    int fd;
    struct event *bell, *retry, *read, *write;
    bool paused;
    struct messages out; /* being told, from `at` on */
    size_t at;
    natsSubscription **buried;
    size_t buried_n;
    uint32_t delay_ms;
    uint64_t up_ms;
};

static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
static struct inlet *inlets;
static uint64_t numbers;

/* ---- libnats's threads ---- */

/* The gate is shut. */
static struct inlet *inlet_of(const void *closure)
{
    struct inlet *i = inlets;
    while (i != NULL && i->number != (uint64_t) (uintptr_t) closure)
        i = i->next;
    return i;
}

static void *closure_of(uint64_t number)
{
    return (void *) (uintptr_t) number;
}

static void ring(const struct inlet *i)
{
    uint64_t one = 1;
    ssize_t n = write(i->bell, &one, sizeof one);
    (void) n; /* full: it rings already */
}

static bool messages_add(struct messages *m, natsMsg *msg)
{
    if (m->n == m->room) {
        size_t room = m->room == 0 ? 256 : m->room * 2;
        natsMsg **at = realloc(m->at, room * sizeof *at);
        if (at == NULL)
            return false;
        m->at = at;
        m->room = room;
    }
    m->at[m->n++] = msg;
    return true;
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void) nc;
    (void) sub;
    pthread_mutex_lock(&gate);
    struct inlet *i = inlet_of(closure);
    bool taken = i != NULL && messages_add(&i->in, msg);
    if (taken) {
        i->held++;
        i->held_bytes += (size_t) natsMsg_GetDataLength(msg);
        if (i->in.n == 1)
            ring(i);
    } else if (i != NULL) {
        i->overrun = true;
        ring(i);
    }
    pthread_mutex_unlock(&gate);
    if (!taken)
        natsMsg_Destroy(msg);
}

static void on_closed(natsConnection *nc, void *closure)
{
    const char *text = NULL;
    natsStatus s = natsConnection_GetLastError(nc, &text);
    char why[WHY_SIZE];
    snprintf(why, sizeof why, "%s", text != NULL && text[0] != '\0' ? text : natsStatus_GetText(s));
    pthread_mutex_lock(&gate);
    struct inlet *i = inlet_of(closure);
    if (i != NULL) {
        i->closed = true;
        memcpy(i->why, why, sizeof why);
        ring(i);
    }
    pthread_mutex_unlock(&gate);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *closure)
{
    (void) nc;
    (void) sub;
    if (s != NATS_SLOW_CONSUMER)
        return;
    pthread_mutex_lock(&gate);
    struct inlet *i = inlet_of(closure);
    if (i != NULL) {
        i->overrun = true;
        ring(i);
    }
    pthread_mutex_unlock(&gate);
}

/* libnats may close its descriptor whenever it likes: the loop watches another one of the same socket. */
static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock fd)
{
    (void) nc;
    natsStatus s = NATS_ERR;
    *user = loop;
    pthread_mutex_lock(&gate);
    struct inlet *i = inlet_of(loop);
    if (i != NULL && i->fd == -1) {
        i->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        s = i->fd == -1 ? NATS_ERR : NATS_OK;
    }
    pthread_mutex_unlock(&gate);
    return s;
}

static natsStatus on_read_wish(void *user, bool add)
{
    (void) user;
    (void) add;
    return NATS_OK; /* it is read as long as it is there */
}

static natsStatus on_write_wish(void *user, bool add)
{
    pthread_mutex_lock(&gate);
    struct inlet *i = inlet_of(user);
    if (i != NULL) {
        if (add && !i->write)
            ring(i);
        i->write = add;
    }
    pthread_mutex_unlock(&gate);
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    (void) user;
    return NATS_OK;
}

/* ---- The link's thread ---- */

/* servers is cut at its commas, each gets nats:// in front. Freed by the caller: all of it is one piece. */
static const char **server_list(const char *servers, int *count)
{
    size_t len = strlen(servers), commas = 0;
    for (const char *s = servers; *s != '\0'; s++)
        commas += *s == ',';
    size_t n = commas < SERVERS_MAX ? commas + 1 : SERVERS_MAX;
    const char **list = malloc(n * sizeof *list + len + n * sizeof "nats://");
    if (list == NULL)
        return NULL;
    char *to = (char *) (list + n);
    for (size_t i = 0; i < n; i++) {
        size_t one = strcspn(servers, ",");
        list[i] = to;
        memcpy(to, "nats://", 7);
        memcpy(to + 7, servers, one);
        to[7 + one] = '\0';
        to += one + 8;
        servers += one + (servers[one] == ',');
    }
    *count = (int) n;
    return list;
}

static natsStatus set_options(natsOptions *o, const struct bus_config *c, uint64_t number)
{
    void *closure = closure_of(number);
    int count = 0;
    const char **list = server_list(c->servers, &count);
    natsStatus s = list == NULL ? NATS_NO_MEMORY : natsOptions_SetServers(o, list, count);
    free(list);
    if (s == NATS_OK && c->user != NULL)
        s = natsOptions_SetUserInfo(o, c->user, c->password == NULL ? "" : c->password);
    else if (s == NATS_OK && c->password != NULL)
        s = natsOptions_SetToken(o, c->password);
    const natsStatus all[] = {
        s,
        natsOptions_SetName(o, c->node),
        natsOptions_SetNoEcho(o, true),
        natsOptions_SetAllowReconnect(o, false),
        natsOptions_SetTimeout(o, NATS_TIMEOUT_MS),
        natsOptions_SetPingInterval(o, PING_MS),
        natsOptions_SetMaxPingsOut(o, PINGS_OUT),
        natsOptions_SetSendAsap(o, true), /* asks for writing at once; that is done at the end of the pass */
        natsOptions_SetIOBufSize(o, IO_BYTES),
        natsOptions_SetMaxPendingMsgs(o, PENDING_MOST),
        natsOptions_UseGlobalMessageDelivery(o, true),
        natsOptions_SetClosedCB(o, on_closed, closure),
        natsOptions_SetErrorHandler(o, on_error, closure),
        natsOptions_SetEventLoop(o, closure, on_attach, on_read_wish, on_write_wish, on_detach),
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i] != NATS_OK)
            return all[i];
    return NATS_OK;
}

/* NULL with why. */
static natsConnection *attempt(const struct nats_link *l, uint64_t number, char *why, bool *password)
{
    natsOptions *o = NULL;
    natsConnection *nc = NULL;
    natsStatus s = natsOptions_Create(&o);
    if (s == NATS_OK)
        s = set_options(o, l->config, number);
    if (s == NATS_OK)
        s = natsConnection_Connect(&nc, o);
    natsOptions_Destroy(o);
    *password = s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED;
    if (s == NATS_OK)
        return nc;
    snprintf(why, WHY_SIZE, "%s: %s", l->config->servers,
             s == NATS_NO_SERVER ? "no server answers" : natsStatus_GetText(s));
    natsConnection_Destroy(nc);
    return NULL;
}

static void bury(struct corpse *c)
{
    while (c != NULL) {
        struct corpse *next = c->next;
        natsConnection_Close(c->nc);
        for (size_t i = 0; i < c->n; i++)
            natsSubscription_Destroy(c->subs[i]);
        natsConnection_Destroy(c->nc);
        free(c->subs);
        free(c);
        c = next;
    }
}

static void *link_main(void *arg)
{
    struct nats_link *l = arg;
    struct inlet *i = &l->inlet;
    pthread_mutex_lock(&gate);
    for (;;) {
        struct corpse *dead = i->corpses;
        i->corpses = NULL;
        if (dead != NULL) {
            pthread_mutex_unlock(&gate);
            bury(dead);
            pthread_mutex_lock(&gate);
        } else if (i->quit) {
            break;
        } else if (i->attempt) {
            uint64_t number = i->number;
            i->attempt = false;
            char why[WHY_SIZE] = "";
            bool password;
            pthread_mutex_unlock(&gate);
            natsConnection *nc = attempt(l, number, why, &password);
            pthread_mutex_lock(&gate);
            i->tried = true;
            i->nc = nc;
            i->password = password;
            if (nc == NULL)
                memcpy(i->why, why, sizeof why);
            ring(i);
        } else {
            pthread_cond_wait(&i->order, &gate);
        }
    }
    pthread_mutex_unlock(&gate);
    return NULL;
}

/* Signals are the server's: all but faults are blocked there, and in the threads that libnats starts from it. */
static int start_thread(struct nats_link *l)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t all, old;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
        sigdelset(&all, faults[i]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&l->thread, NULL, link_main, l);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

/* ---- The loop's thread ---- */

/* What is in there is of nobody any more. */
static void messages_drop(struct messages *m, size_t from)
{
    for (size_t i = from; i < m->n; i++)
        natsMsg_Destroy(m->at[i]);
    m->n = 0;
}

/* A new attempt; what comes of the last connection from here on comes to nobody. */
static void begin_attempt(struct nats_link *l)
{
    struct inlet *i = &l->inlet;
    pthread_mutex_lock(&gate);
    i->number = ++numbers;
    i->attempt = true;
    pthread_cond_signal(&i->order);
    pthread_mutex_unlock(&gate);
}

static void on_retry(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    begin_attempt(arg);
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
    struct inlet *i = &l->inlet;
    if (l->read != NULL)
        event_free(l->read);
    if (l->write != NULL)
        event_free(l->write);
    l->read = l->write = NULL;
    l->paused = false;
    struct corpse *c =
        nc == NULL ? NULL : malloc(sizeof *c); /* without memory it is never freed: 200 bytes do not matter */
    if (c != NULL)
        *c = (struct corpse){.nc = nc, .subs = l->buried, .n = l->buried_n};
    l->buried = NULL;
    l->buried_n = 0;
    struct messages in;
    pthread_mutex_lock(&gate);
    in = i->in;
    i->in = (struct messages){0};
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
    pthread_mutex_unlock(&gate);
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
    char why[WHY_SIZE];
    snprintf(why, sizeof why, "%s", text != NULL && text[0] != '\0' ? text : natsStatus_GetText(s));
    fail(l, l->nc, why, false);
    return false;
}

static bool wants_write(struct nats_link *l)
{
    pthread_mutex_lock(&gate);
    bool write = l->inlet.write;
    pthread_mutex_unlock(&gate);
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
    pthread_mutex_lock(&gate);
    bool much = l->inlet.held > HELD_MESSAGES / part || l->inlet.held_bytes > HELD_BYTES / part;
    pthread_mutex_unlock(&gate);
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
        struct messages told = l->out;
        told.n = 0;
        pthread_mutex_lock(&gate);
        l->out = l->inlet.in;
        l->inlet.in = told;
        pthread_mutex_unlock(&gate);
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
    pthread_mutex_lock(&gate);
    l->inlet.held -= n;
    l->inlet.held_bytes -= bytes;
    bool more = l->at < l->out.n || l->inlet.in.n > 0;
    pthread_mutex_unlock(&gate);
    return more;
}

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    struct nats_link *l = arg;
    struct inlet *i = &l->inlet;
    uint64_t rung;
    (void) what;
    if (read(fd, &rung, sizeof rung) < 0)
        rung = 0; /* we were called by ourselves */
    char why[WHY_SIZE];
    pthread_mutex_lock(&gate);
    bool tried = i->tried, password = i->password;
    natsConnection *nc = i->nc;
    uint64_t number = i->number;
    int socket = i->fd;
    i->tried = false;
    memcpy(why, i->why, sizeof why);
    pthread_mutex_unlock(&gate);
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
    pthread_mutex_lock(&gate);
    bool closed = i->closed && !more, overrun = i->overrun;
    memcpy(why, i->why, sizeof why);
    pthread_mutex_unlock(&gate);
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
    natsSubscription *sub = NULL;
    if (l->nc == NULL ||
        natsConnection_Subscribe(&sub, l->nc, subject, on_message, closure_of(l->number)) != NATS_OK)
        return NULL;
    return sub;
}

static void link_free(struct nats_link *l)
{
    if (l->bell != NULL)
        event_free(l->bell);
    if (l->retry != NULL)
        event_free(l->retry);
    if (l->inlet.bell != -1)
        close(l->inlet.bell);
    pthread_cond_destroy(&l->inlet.order);
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
    if (l == NULL)
        return NULL;
    l->config = c;
    l->events = e;
    l->arg = arg;
    l->delay_ms = RETRY_MIN_MS;
    l->inlet.fd = -1;
    l->inlet.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_cond_init(&l->inlet.order, NULL);
    l->bell = event_new(c->base, l->inlet.bell, EV_READ | EV_PERSIST, on_bell, l);
    l->retry = event_new(c->base, -1, 0, on_retry, l);
    if (l->inlet.bell == -1 || l->bell == NULL || l->retry == NULL || event_add(l->bell, NULL) != 0 ||
        start_thread(l) != 0) {
        link_free(l);
        return NULL;
    }
    pthread_mutex_lock(&gate);
    l->inlet.next = inlets;
    inlets = &l->inlet;
    pthread_mutex_unlock(&gate);
    begin_attempt(l);
    return l;
}

void nats_link_destroy(struct nats_link **link)
{
    struct nats_link *l = *link;
    if (l == NULL)
        return;
    *link = NULL;
    pthread_mutex_lock(&gate);
    struct inlet **i = &inlets;
    while (*i != &l->inlet)
        i = &(*i)->next;
    *i = l->inlet.next;
    natsConnection *nc = l->inlet.tried ? l->inlet.nc : l->nc;
    pthread_mutex_unlock(&gate);
    l->nc = NULL;
    let_go(l, nc);
    pthread_mutex_lock(&gate);
    l->inlet.quit = true;
    pthread_cond_signal(&l->inlet.order);
    pthread_mutex_unlock(&gate);
    pthread_join(l->thread, NULL);
    if (l->inlet.tried && l->inlet.nc != NULL) {
        natsConnection_Close(l->inlet.nc);
        natsConnection_Destroy(l->inlet.nc);
    }
    if (l->inlet.fd != -1)
        close(l->inlet.fd);
    link_free(l);
}

#endif
