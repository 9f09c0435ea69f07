/*
 * executor.c: a thread that runs business functions. Setup and teardown are for the thread that makes the server
 * and for the master; executor_vanish() for the executor's own thread.
 */
#include "mario/exec/executor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "mario/base/id.h"
#include "mario/base/loop.h"
#include "mario/base/mem.h"
#include "mario/base/stats.h"
#include "mario/exec/reply.h"

_Thread_local struct executor *executor_here;

LOG_QUEUE *executor_log_queue(const char *kind, uint32_t number)
{
    char name[16];
    LOG_QUEUE *q = create_log_queue();
    snprintf(name, sizeof name, "%s-%u", kind, number);
    mario_log_name(q, name);
    return q;
}

bool executor_setup(struct executor *t, uint32_t ind, struct activity *activity)
{
    t->pub.ind = ind;
    t->activity = activity;
    errno = ENOMEM;
    return timing_setup(&t->timing) && (t->pub.qlog = executor_log_queue("worker", ind)) != NULL &&
           (t->pub.base = loop_base_create()) != NULL && (t->out_buf = malloc(OUT_BUF_SIZE)) != NULL &&
           reply_setup(t);
}

void executor_destroy(struct executor **tp)
{
    struct executor *t = *tp;
    int err = errno;
    *tp = NULL;
    reply_teardown(
        t); /* bufferevents are freed with their base: no pass of its loop, which has the application's events */
    if (t->bell_event != NULL)
        event_free(t->bell_event);
    if (t->tick_event != NULL)
        event_free(t->tick_event);
    if (t->alarm_event != NULL)
        event_free(t->alarm_event);
    if (t->pub.base != NULL)
        event_base_free(t->pub.base);
    free(t->out_buf);
    free(t->rx);
    mem_free(t->lent);
    free(t->datagrams);
    log_queue_destroy(&t->pub.qlog);
    timing_teardown(&t->timing);
    free(t);
    errno = err;
}

void executor_slow(struct executor *t, uint64_t cycles, uint32_t packets)
{
    const struct activity *a = t->activity;
    uint64_t what = atomic_load_explicit(&a->what, memory_order_relaxed);
    struct slow_entry e = {.when = clock_ns(),
                           .took = clock_cycles_to_ns(cycles),
                           .conn = atomic_load_explicit(&a->conn, memory_order_relaxed),
                           .index = activity_is_call(what) ? TIMING_CALL : activity_akg(what),
                           .packets = packets,
                           .peer = activity_peer(a)};
    if (fence_state(fence_look(&t->fence)) == FENCE_TAKEN)
        return; /* it has been said already, by who replaced this thread */
    stats_add_shared(STAT_function_slow, 1);
    slow_put(&t->timing.block->slow, &e);
}

void executor_who(const CONN *c, const unsigned char *address6, uint64_t id, struct log_who *who)
{
    *who = (struct log_who){.worker = id_worker(id),
                            .slot = id_slot(id),
                            .generation = id_generation(id),
                            .port = c->cport,
                            .peer = LOG_PEER_UNIX};
    if (address6 != NULL) {
        who->peer = LOG_PEER_IPV6;
        memcpy(who->address, address6, sizeof who->address);
    } else if (c->cport != 0) {
        who->peer = LOG_PEER_IPV4;
        memcpy(who->address, &c->cip, sizeof c->cip);
    }
}

bool executor_log_context(struct log_who *who)
{
    const struct executor *t = executor_here;
    if (t == NULL || t->conn == NULL)
        return false;
    executor_who(t->conn, t->address6, atomic_load_explicit(&executor_runs(t)->conn, memory_order_relaxed),
                 who);
    return true;
}

/* ---- Public ---- */

/* The connection's own functions and hooks run on the thread that knows, wherever they do. */
static bool find_peer(const CONN *c, struct peer *p)
{
    const struct executor *t = executor_here;
    if (t == NULL || t->conn != c)
        return false;
    *p = t->address6 != NULL ? peer_of_v6(t->address6, c->cport) : peer_of_v4(c->cip, c->cport);
    return true;
}

int32_t mario_peer(const CONN *c, char *buf, uint32_t size)
{
    struct peer p;
    return find_peer(c, &p) && peer_print(&p, buf, size) < size ? 0 : -1;
}

int32_t mario_peer_addr(const CONN *c, struct sockaddr_storage *out)
{
    struct peer p;
    if (!find_peer(c, &p))
        return -1;
    peer_sockaddr(&p, out);
    return 0;
}

int mario_is_datagram(const CONN *c)
{
    const struct executor *t = executor_here;
    return t != NULL && t->conn == c && t->datagram;
}

void executor_libevent_says(const char *text)
{
    if (executor_here != NULL)
        mario_slog(executor_here->pub.qlog, MARIO_LOG_DEBUG, 1, NULL, "libevent: %s", text);
}

void executor_vanish(void)
{
    pthread_exit(NULL);
}
