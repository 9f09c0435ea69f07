/*
 * nats_inlet.c: on libnats's threads (one delivers messages, one tells of ends, one keeps time), and the link's thread.
 */
#include "mario/cluster/nats_inlet.h"

#ifdef MARIO_WITH_NATS

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "mario/cluster/nats_link.h"

enum {
    PING_MS = 2000, /* and two without an answer: it is gone */
    PINGS_OUT = 2,
    IO_BYTES = 65536,
    PENDING_MOST = 1 << 20, /* libnats's own limit a subscription, in messages: the link's come first */
    SERVERS_MAX = 64
};

pthread_mutex_t nats_gate = PTHREAD_MUTEX_INITIALIZER;
static struct nats_inlet *inlets;
static uint64_t numbers;

/* ---- libnats's threads ---- */

/* The gate is shut. */
static struct nats_inlet *inlet_of(const void *closure)
{
    struct nats_inlet *i = inlets;
    while (i != NULL && i->number != (uint64_t) (uintptr_t) closure)
        i = i->next;
    return i;
}

static void *closure_of(uint64_t number)
{
    return (void *) (uintptr_t) number;
}

static void ring(const struct nats_inlet *i)
{
    uint64_t one = 1;
    ssize_t n = write(i->bell, &one, sizeof one);
    (void) n; /* full: it rings already */
}

static bool messages_add(struct nats_messages *m, natsMsg *msg)
{
    if (m->n == m->room) {
        size_t room = m->room == 0 ? 256 : m->room * 2;
        natsMsg **at = realloc(m->at, room * sizeof(void *));
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
    pthread_mutex_lock(&nats_gate);
    struct nats_inlet *i = inlet_of(closure);
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
    pthread_mutex_unlock(&nats_gate);
    if (!taken)
        natsMsg_Destroy(msg);
}

static void on_closed(natsConnection *nc, void *closure)
{
    const char *text = NULL;
    natsStatus s = natsConnection_GetLastError(nc, &text);
    char why[NATS_WHY_SIZE];
    snprintf(why, sizeof why, "%s", text != NULL && text[0] != '\0' ? text : natsStatus_GetText(s));
    pthread_mutex_lock(&nats_gate);
    struct nats_inlet *i = inlet_of(closure);
    if (i != NULL) {
        i->closed = true;
        memcpy(i->why, why, sizeof why);
        ring(i);
    }
    pthread_mutex_unlock(&nats_gate);
}

static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus s, void *closure)
{
    (void) nc;
    (void) sub;
    if (s != NATS_SLOW_CONSUMER)
        return;
    pthread_mutex_lock(&nats_gate);
    struct nats_inlet *i = inlet_of(closure);
    if (i != NULL) {
        i->overrun = true;
        ring(i);
    }
    pthread_mutex_unlock(&nats_gate);
}

/* libnats may close its descriptor whenever it likes: the loop watches another one of the same socket. */
static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock fd)
{
    (void) nc;
    natsStatus s = NATS_ERR;
    *user = loop;
    pthread_mutex_lock(&nats_gate);
    struct nats_inlet *i = inlet_of(loop);
    if (i != NULL && i->fd == -1) {
        i->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        s = i->fd == -1 ? NATS_ERR : NATS_OK;
    }
    pthread_mutex_unlock(&nats_gate);
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
    pthread_mutex_lock(&nats_gate);
    struct nats_inlet *i = inlet_of(user);
    if (i != NULL) {
        if (add && !i->write)
            ring(i);
        i->write = add;
    }
    pthread_mutex_unlock(&nats_gate);
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
static natsConnection *attempt(const struct bus_config *c, uint64_t number, char *why, bool *password)
{
    natsOptions *o = NULL;
    natsConnection *nc = NULL;
    natsStatus s = natsOptions_Create(&o);
    if (s == NATS_OK)
        s = set_options(o, c, number);
    if (s == NATS_OK)
        s = natsConnection_Connect(&nc, o);
    natsOptions_Destroy(o);
    *password = s == NATS_CONNECTION_AUTH_FAILED || s == NATS_NOT_PERMITTED;
    if (s == NATS_OK)
        return nc;
    snprintf(why, NATS_WHY_SIZE, "%s: %s", c->servers,
             s == NATS_NO_SERVER ? "no server answers" : natsStatus_GetText(s));
    natsConnection_Destroy(nc);
    return NULL;
}

static void bury(struct nats_corpse *c)
{
    while (c != NULL) {
        struct nats_corpse *next = c->next;
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
    struct nats_inlet *i = arg;
    pthread_mutex_lock(&nats_gate);
    for (;;) {
        struct nats_corpse *dead = i->corpses;
        i->corpses = NULL;
        if (dead != NULL) {
            pthread_mutex_unlock(&nats_gate);
            bury(dead);
            pthread_mutex_lock(&nats_gate);
        } else if (i->quit) {
            break;
        } else if (i->attempt) {
            uint64_t number = i->number;
            i->attempt = false;
            char why[NATS_WHY_SIZE] = "";
            bool password;
            pthread_mutex_unlock(&nats_gate);
            natsConnection *nc = attempt(i->config, number, why, &password);
            pthread_mutex_lock(&nats_gate);
            i->tried = true;
            i->nc = nc;
            i->password = password;
            if (nc == NULL)
                memcpy(i->why, why, sizeof why);
            ring(i);
        } else {
            pthread_cond_wait(&i->order, &nats_gate);
        }
    }
    pthread_mutex_unlock(&nats_gate);
    return NULL;
}

/* Signals are the server's: all but faults are blocked there, and in the threads that libnats starts from it. */
static int start_thread(struct nats_inlet *i)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t all, old;
    sigfillset(&all);
    for (size_t n = 0; n < sizeof faults / sizeof faults[0]; n++)
        sigdelset(&all, faults[n]);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int err = pthread_create(&i->thread, NULL, link_main, i);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return err;
}

/* ---- From the link ---- */

natsSubscription *nats_inlet_subscribe(natsConnection *nc, const char *subject, uint64_t number)
{
    natsSubscription *sub = NULL;
    return natsConnection_Subscribe(&sub, nc, subject, on_message, closure_of(number)) == NATS_OK ? sub
                                                                                                  : NULL;
}

void nats_inlet_attempt(struct nats_inlet *i)
{
    pthread_mutex_lock(&nats_gate);
    i->number = ++numbers;
    i->attempt = true;
    pthread_cond_signal(&i->order);
    pthread_mutex_unlock(&nats_gate);
}

bool nats_inlet_begin(struct nats_inlet *i, const struct bus_config *c)
{
    *i = (struct nats_inlet){.config = c, .fd = -1, .bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    if (i->bell == -1)
        return false;
    pthread_cond_init(&i->order, NULL);
    if (start_thread(i) != 0) {
        pthread_cond_destroy(&i->order);
        close(i->bell);
        return false;
    }
    pthread_mutex_lock(&nats_gate);
    i->next = inlets;
    inlets = i;
    pthread_mutex_unlock(&nats_gate);
    return true;
}

void nats_inlet_leave(struct nats_inlet *i)
{
    pthread_mutex_lock(&nats_gate);
    struct nats_inlet **at = &inlets;
    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    pthread_mutex_unlock(&nats_gate);
}

void nats_inlet_end(struct nats_inlet *i)
{
    pthread_mutex_lock(&nats_gate);
    i->quit = true;
    pthread_cond_signal(&i->order);
    pthread_mutex_unlock(&nats_gate);
    pthread_join(i->thread, NULL);
    if (i->tried && i->nc != NULL) { /* it came too late */
        natsConnection_Close(i->nc);
        natsConnection_Destroy(i->nc);
    }
    if (i->fd != -1)
        close(i->fd);
    free(i->in.at);
    pthread_cond_destroy(&i->order);
    close(i->bell);
}

#endif
