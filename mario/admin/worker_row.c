/*
 * worker_row.c: a worker as an operator sees it. The admin thread; it reads what workers and the master write anyway.
 */
#include "mario/admin/worker_row.h"

#include <stdlib.h>

#include "mario/admin/admin.h"
#include "mario/admin/running.h"
#include "mario/base/peer.h"
#include "mario/exec/timing.h"
#include "mario/exec/where.h"
#include "mario/push/port.h"

enum { STUCK_MS = 1000 }; /* where there is no watch that says so */

static struct {
    uint64_t busy_ns;
    double busy;
} * seen; /* [workernum] */

static const struct worker *worker_at(uint32_t i)
{
    return &admin_view()->workers[i];
}

bool worker_rows_setup(void)
{
    seen = calloc(admin_view()->workernum, sizeof *seen);
    for (uint32_t i = 0; seen != NULL && i < admin_view()->workernum; i++)
        seen[i].busy = -1;
    return seen != NULL;
}

void worker_rows_teardown(void)
{
    free(seen);
    seen = NULL;
}

void worker_rows_tick(double elapsed)
{
    bool known = atomic_load_explicit(&timing_rules.mode, memory_order_relaxed) != MARIO_TIMING_OFF;
    for (uint32_t i = 0; i < admin_view()->workernum; i++) {
        uint64_t busy_ns = pulse_busy_ns(&worker_at(i)->pulse);
        double share = (double) (busy_ns - seen[i].busy_ns) / 1e9 / elapsed;
        seen[i].busy = !known ? -1 : share > 1 ? 1 : share; /* the counter is not exactly the clock */
        seen[i].busy_ns = busy_ns;
    }
}

struct worker_load worker_load(uint32_t worker)
{
    return (struct worker_load){.busy = seen[worker].busy,
                                .lag = (double) pulse_lag_ns(&worker_at(worker)->pulse) / 1e9};
}

static uint64_t in_state(uint32_t worker, enum conn_state state)
{
    return atomic_load_explicit(&worker_at(worker)->shard.in_state[state], memory_order_relaxed);
}

uint64_t worker_connections(uint32_t worker)
{
    return in_state(worker, CONN_OPEN) + in_state(worker, CONN_DRAINING) + in_state(worker, CONN_CLOSING);
}

static void put_states(struct mario_answer *a, uint32_t worker)
{
    mario_answer_object(a, "states");
    mario_answer_number(a, "open", in_state(worker, CONN_OPEN));
    mario_answer_number(a, "draining", in_state(worker, CONN_DRAINING));
    mario_answer_number(a, "closing", in_state(worker, CONN_CLOSING));
    mario_answer_number(a, "linger", in_state(worker, CONN_LINGER));
    mario_answer_end(a);
}

static void put_function(struct mario_answer *a, uint64_t what)
{
    char id[32], name[128];
    enum activity_kind kind = activity_kind(what);
    if (kind == ACTIVITY_IDLE) {
        mario_answer_text(a, "function", "loop"); /* an event of the application's, and no function */
        return;
    }
    if (kind == ACTIVITY_SHAKE) {
        mario_answer_text(a, "function", "a TLS handshake");
        return;
    }
    timing_name(activity_is_call(what) ? TIMING_CALL : activity_akg(what), id, sizeof id, name, sizeof name);
    mario_answer_text(a, "function", id);
    mario_answer_text(a, "name", name);
}

static void put_whose(struct mario_answer *a, uint32_t worker, const struct running *r)
{
    char text[PEER_TEXT];
    struct peer peer = activity_peer(&admin_view()->activities[worker]);
    if (r->idle || (r->conn == 0 && peer.port == 0))
        return;
    peer_print(&peer, text, sizeof text);
    if (r->conn != 0) /* else it is a datagram's */
        mario_answer_id(a, "connection", r->conn);
    mario_answer_text(a, "peer", text);
}

static void put_runs(struct mario_answer *a, uint32_t worker)
{
    char where[WHERE_TEXT] = "";
    struct running r;
    running_now(worker, &r);
    const struct where *w = admin_view()->where;
    bool said = w != NULL && where_read(&w[worker], r.what, where);
    if (r.idle && !said) {
        mario_answer_null(a, "runs");
        return;
    }
    mario_answer_object(a, "runs");
    put_function(a, r.what);
    mario_answer_real(a, "for", (double) r.ms / 1000);
    put_whose(a, worker, &r);
    mario_answer_flag(a, "stuck", said || r.ms >= STUCK_MS);
    mario_answer_text(a, "where", where[0] != '\0' ? where : NULL);
    mario_answer_end(a);
}

void worker_row_put(struct mario_answer *a, uint32_t worker)
{
    struct worker_load load = worker_load(worker);
    mario_answer_object(a, NULL);
    mario_answer_number(a, "worker", worker);
    mario_answer_number(a, "connections", worker_connections(worker));
    put_states(a, worker);
    if (load.busy < 0)
        mario_answer_null(a, "busy");
    else
        mario_answer_real(a, "busy", load.busy);
    mario_answer_real(a, "lag", load.lag);
    mario_answer_number(a, "ring", (uint64_t) worker_ring(worker_at(worker)) + port_depth(worker));
    mario_answer_number(a, "replaced", worker_replaced(worker_at(worker)));
    put_runs(a, worker);
    mario_answer_end(a);
}
