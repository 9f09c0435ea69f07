/*
 * lobby.c: where sockets wait for their PROXY header. Runs on the master, which neither waits nor allocates here; setup
 * and teardown on the thread that makes the server.
 *
 * All have the same time, so those that wait stand in the order in which it is up. The set is edge-triggered: what has
 * come is not read, and a part of a header would be told for ever.
 */
#include "mario/server/lobby.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "mario/net/stream.h"

enum { EVENTS = 64 }; /* sockets looked at in a pass of the master's loop */

/* ---- The places ---- */

static void set_timer(struct lobby *l)
{
    if (l->first == 0) {
        event_del(l->timer);
        return;
    }
    uint64_t now = clock_ms(), until = l->places[l->first - 1].until_ms;
    uint64_t ms = until > now ? until - now : 0;
    event_add(l->timer,
              &(struct timeval){.tv_sec = (time_t) (ms / 1000), .tv_usec = (int) (ms % 1000 * 1000)});
}

/* NULL if there is none. */
static struct lobby_place *take_place(struct lobby *l)
{
    uint32_t link = l->free;
    if (link == 0)
        return NULL;
    struct lobby_place *p = &l->places[link - 1];
    l->free = p->next;
    p->next = 0;
    p->prev = l->last;
    if (l->last == 0)
        l->first = link;
    else
        l->places[l->last - 1].next = link;
    l->last = link;
    l->waiting++;
    return p;
}

static void give_place(struct lobby *l, struct lobby_place *p)
{
    if (p->prev == 0)
        l->first = p->next;
    else
        l->places[p->prev - 1].next = p->next;
    if (p->next == 0)
        l->last = p->prev;
    else
        l->places[p->next - 1].prev = p->prev;
    p->next = l->free;
    l->free = (uint32_t) (p - l->places) + 1;
    l->waiting--;
}

/* It waits no more. */
static struct accepted_socket take_out(struct lobby *l, struct lobby_place *p)
{
    struct accepted_socket s = p->socket;
    bool was_first = p->prev == 0;
    epoll_ctl(l->epoll, EPOLL_CTL_DEL, s.fd, NULL);
    give_place(l, p);
    if (was_first)
        set_timer(l);
    return s;
}

/* ---- Looking ---- */

/* What has come on this socket. False: go on waiting; else *answer, and s->peer is settled. */
static bool look(const struct lobby *l, struct accepted_socket *s, bool ended, enum lobby_answer *answer)
{
    struct proxy_header h;
    ssize_t n = stream_look(s->fd, l->bytes, PROXY_MAX);
    *answer = LOBBY_BAD;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return ended;
    if (n <= 0)
        return true;
    switch (proxy_look(l->bytes, (uint32_t) n, &h)) {
    case PROXY_OK:
        *answer = h.has_peer ? LOBBY_CLIENT : LOBBY_OWN;
        s->peer = h.has_peer ? h.peer : s->peer;
        return true;
    case PROXY_MORE:
        return ended;
    case PROXY_BAD:
        return true;
    }
    return true;
}

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
    struct lobby *l = arg;
    struct epoll_event events[EVENTS];
    enum lobby_answer answer;
    (void) what;
    int n = epoll_wait(fd, events, EVENTS, 0);
    for (int i = 0; i < n; i++) {
        struct lobby_place *p = &l->places[events[i].data.u32];
        bool ended = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        struct accepted_socket s = p->socket;
        if (!look(l, &s, ended, &answer))
            continue;
        take_out(l, p);
        l->leave(l->arg, &s, answer);
    }
    l->left(l->arg);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    struct lobby *l = arg;
    uint64_t now = clock_ms();
    (void) fd;
    (void) what;
    for (int i = 0; i < EVENTS && l->first != 0 && l->places[l->first - 1].until_ms <= now; i++) {
        struct accepted_socket s = take_out(l, &l->places[l->first - 1]);
        l->leave(l->arg, &s, LOBBY_BAD);
    }
    set_timer(l);
    l->left(l->arg);
}

void lobby_enter(struct lobby *l, const struct accepted_socket *socket)
{
    struct accepted_socket s = *socket;
    enum lobby_answer answer;
    if (look(l, &s, false, &answer)) {
        l->leave(l->arg, &s, answer);
        return;
    }
    struct lobby_place *p = take_place(l);
    if (p == NULL) {
        l->leave(l->arg, &s, LOBBY_FULL);
        return;
    }
    struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.u32 = (uint32_t) (p - l->places)};
    p->socket = s;
    p->until_ms = clock_ms() + LOBBY_MS;
    if (epoll_ctl(l->epoll, EPOLL_CTL_ADD, s.fd, &e) != 0) {
        give_place(l, p);
        l->leave(l->arg, &s, LOBBY_FULL);
    } else if (p->prev == 0) {
        set_timer(l);
    }
}

bool lobby_evict(struct lobby *l, struct accepted_socket *s)
{
    if (l->first == 0)
        return false;
    *s = take_out(l, &l->places[l->first - 1]);
    return true;
}

/* ---- Before and after ---- */

bool lobby_setup(struct lobby *l, struct event_base *base, lobby_leave_fn leave, lobby_left_fn left,
                 void *arg)
{
    *l = (struct lobby){.leave = leave, .left = left, .arg = arg, .epoll = epoll_create1(EPOLL_CLOEXEC)};
    l->places = calloc(LOBBY_PLACES, sizeof *l->places);
    l->bytes = malloc(PROXY_MAX);
    if (l->epoll < 0 || l->places == NULL || l->bytes == NULL)
        return false;
    for (uint32_t i = LOBBY_PLACES; i-- > 0; l->free = i + 1)
        l->places[i].next = l->free;
    l->timer = evtimer_new(base, on_late, l);
    l->event = event_new(base, l->epoll, EV_READ | EV_PERSIST, on_ready, l);
    return l->timer != NULL && l->event != NULL && event_add(l->event, NULL) == 0;
}

void lobby_teardown(struct lobby *l)
{
    if (l->event != NULL)
        event_free(l->event);
    if (l->timer != NULL)
        event_free(l->timer);
    if (l->leave != NULL && l->epoll >= 0)
        close(l->epoll);
    free(l->places);
    free(l->bytes);
    *l = (struct lobby){.leave = NULL};
}
