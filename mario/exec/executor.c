/*
 * executor.c: a thread that runs business functions. Setup and teardown are for the thread that makes the server
 * and for the master; seat_vanish() for the seat's own thread.
 */
#include "mario/exec/executor.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "mario/base/loop.h"
#include "mario/conn/output.h"

_Thread_local struct seat *seat_here;

LOG_QUEUE *seat_queue(const char *kind, uint32 number)
{
    char name[16];
    LOG_QUEUE *q = create_log_queue();
    snprintf(name, sizeof name, "%s-%u", kind, number);
    mario_log_name(q, name);
    return q;
}

bool seat_setup(struct seat *t, uint32 ind, struct beat *beat)
{
    t->pub.ind = ind;
    t->beat = beat;
    errno = ENOMEM;
    return (t->pub.qlog = seat_queue("worker", ind)) != NULL && (t->pub.base = loop_base_create()) != NULL &&
           (t->out_buf = malloc(OUT_BUF_SIZE)) != NULL && output_setup(t);
}

void seat_destroy(struct seat **tp)
{
    struct seat *t = *tp;
    int err = errno;
    *tp = NULL;
    output_teardown(t);
    if (t->bell_event != NULL)
        event_free(t->bell_event);
    if (t->tick_event != NULL)
        event_free(t->tick_event);
    if (t->pub.base != NULL) {
        event_base_loop(t->pub.base, EVLOOP_NONBLOCK); /* bufferevents are freed in a pass of the loop */
        event_base_free(t->pub.base);
    }
    free(t->out_buf);
    free(t->rx);
    log_queue_destroy(&t->pub.qlog);
    free(t);
    errno = err;
}

void seat_who(const CONN *c, uint64_t id, struct log_who *who)
{
    struct sockaddr_in6 peer = {0};
    socklen_t len = sizeof peer;
    int saved = errno;
    *who = (struct log_who){.worker = id_worker(id),
                            .slot = id_slot(id),
                            .generation = id_generation(id),
                            .port = c->cport,
                            .peer = c->cport == 0 ? LOG_PEER_UNIX : LOG_PEER_NONE};
    if (c->cip != 0) {
        who->peer = LOG_PEER_IPV4;
        memcpy(who->address, &c->cip, sizeof c->cip);
    } else if (c->cport != 0 && getpeername(c->fd, (struct sockaddr *) &peer, &len) == 0 &&
               peer.sin6_family == AF_INET6) {
        who->peer = LOG_PEER_IPV6;
        memcpy(who->address, &peer.sin6_addr, sizeof who->address);
    }
    errno = saved;
}

bool seat_log_context(struct log_who *who)
{
    const struct seat *t = seat_here;
    if (t == NULL || t->conn == NULL)
        return false;
    seat_who(t->conn, atomic_load_explicit(&seat_runs(t)->conn, memory_order_relaxed), who);
    return true;
}

void seat_vanish(void)
{
    pthread_exit(NULL);
}
