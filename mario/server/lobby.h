/*
 * lobby.h: where sockets wait on which a PROXY header has to come first, before they are anybody's. For the master;
 * setup and teardown for the thread that makes the server.
 *
 * What has come is only looked at, and stays in the kernel: the worker reads it off (conn/proxied.h). So a socket that
 * waits costs a place of some bytes, and admission can be asked about the client before he costs more.
 */
#ifndef MARIO_SERVER_LOBBY_H
#define MARIO_SERVER_LOBBY_H

#include <event2/event.h>

#include "mario/conn/conn.h"
#include "mario/net/proxy.h"

enum {
    LOBBY_PLACES = 1024, /* sockets that may wait at a time */
    LOBBY_MS = 5000      /* for so long */
};

enum lobby_answer {
    LOBBY_CLIENT, /* the header says who the client is: s->peer is he */
    LOBBY_OWN,    /* it says nobody: s->peer is who sent it */
    LOBBY_BAD,    /* none came, or a wrong one, or the peer has gone: a worker is to say why */
    LOBBY_FULL    /* there is no place to wait in */
};

/* Takes *s over: its socket is watched by nobody. */
typedef void (*lobby_leave_fn)(void *arg, struct accepted_socket *s, enum lobby_answer answer);
/* Some that had waited have left. */
typedef void (*lobby_left_fn)(void *arg);

struct lobby_place {
    struct accepted_socket socket;
    uint64_t until_ms; /* by clock_ms() */
    uint32_t next,
        prev; /* 1 + place behind it, of the free ones or of those that wait; in front of it; 0 = none */
};

struct lobby {
    lobby_leave_fn leave;
    lobby_left_fn left;
    void *arg;
    struct lobby_place *places; /* [LOBBY_PLACES] */
    uint32_t free;              /* 1 + the first free one */
    uint32_t first, last;       /* 1 + those that wait for longest and shortest; 0 = nobody */
    uint32_t waiting;
    int epoll; /* a set of their own: libevent would take from the heap for each, which has a lock */
    struct event *event;  /* somebody of the set can be read */
    struct event *timer;  /* the first one's time is up */
    unsigned char *bytes; /* [PROXY_MAX] what has come */
};

/* False with errno; then teardown. */
__attribute__((warn_unused_result)) bool lobby_setup(struct lobby *l, struct event_base *base,
                                                     lobby_leave_fn leave, lobby_left_fn left, void *arg);
/* Nobody waits. What was never set up, but is all zero, has nothing. */
void lobby_teardown(struct lobby *l);

/* A socket has been accepted: it leaves at once if its header is there. */
void lobby_enter(struct lobby *l, const struct accepted_socket *s);

/* One that waits has to go, the one that has waited longest. False if there is none. */
bool lobby_evict(struct lobby *l, struct accepted_socket *s);

#endif
