/*
 * port.h: the way of orders: from any thread to any worker.
 *
 * A thread that gives orders has a port: a ring to each worker, made at first use (lane). Who has the port is the only
 * producer of its rings, the worker their only consumer, so what one thread orders is carried out in its order. A port
 * belongs to the thread, not to a shard: a thread that was taken over keeps its own, and its successor has another.
 * When a thread ends its port is free for the next thread that needs one (`taken`: release, acquire), with what still
 * lies in the rings: ports are never freed, and there are as many as threads that have given orders at the same time.
 *
 * What a shard itself orders, in library state, goes through a port of the shard: whoever the fence lets in has it.
 *
 * The gate: orders are accepted while a server runs. A thread says `inside`, then looks whether the gate is open; who
 * closes it says so, then waits until nobody is inside. Both are sequentially consistent, so one of the two sees the
 * other: either the sender finds the gate closed, or it is waited for. It stays inside for some instructions and never
 * waits there. test/model/port.pml checks this by exhaustion.
 *
 * Waking: the worker's doorbell, a bit for each port. A worker that orders of itself only holds its bell: it looks at
 * the end of its pass. Unless it has been taken over meanwhile: the bell is swapped by the successor after it took the
 * fence, so either that swap finds the order, or holding the bell comes later, and then the fence is seen as taken, and
 * the successor woken.
 */
#ifndef MARIO_PUSH_PORT_H
#define MARIO_PUSH_PORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/base/doorbell.h"
#include "mario/base/spsc.h"
#include "mario/mario_server.h"
#include "mario/push/order.h"

/* The bits of a worker's doorbell that are push's: one for what lies elsewhere than in lanes (receipts, memory that is
 * short), the others are ports'. */
#define PORT_BIT_LOOK  7u
#define PORT_BIT_FIRST 8u
#define PORT_BITS      (64u - PORT_BIT_FIRST)
#define PORT_LANES     (~UINT64_C(0) << PORT_BIT_FIRST)
#define PORT_MASK      (~UINT64_C(0) << PORT_BIT_LOOK)

/* Beside the workers: whoever has a bus to other servers (mario_route.h), whose thread is the consumer there. */
#define PORT_ROUTE MARIO_WORKERNUM_MAX
#define PORT_ENDS  (MARIO_WORKERNUM_MAX + 1)

struct walk;

struct lane {
    struct spsc ring;  /* who has the port (w) -> the worker (r): struct order */
    struct walk *walk; /* the worker's: what stands in front of the ring is being walked; NULL */
};

struct port {
    _Alignas(64) _Atomic bool inside; /* who has it (w) -> who closes the gate (r) */
    _Atomic bool taken;
    uint32_t number;                         /* constant, like the next two: the how manieth it is */
    unsigned bit;                            /* of doorbells */
    struct port *next;                       /* with the same bit */
    _Atomic(struct lane *) lanes[PORT_ENDS]; /* who has it (w) -> worker (r); NULL until used */
};

/* ---- Who runs the server ---- */

/* Open the gate to workers 0 .. count-1, whose bells these are; lanes have room for `size` orders, a power of two.
 * Before their threads start. */
void port_open(struct doorbell *const *bells, uint32_t count, uint32_t size);
/* Before that: there is a route, whose bell this is; NULL: there is none. */
void port_have_route(struct doorbell *bell);
/* Close it, and wait until nobody is inside. */
void port_close(void);
/* All workers have ended, and the route's thread: hand each order that is left to f, those to the route to
 * route_f, then free all lanes. */
void port_clear(void (*f)(const struct order *o), void (*route_f)(const struct order *o));

/* ---- Any thread ---- */

/* The calling thread's port, with the thread inside; NULL with errno: ESHUTDOWN, ENOMEM. */
struct port *port_enter(void);
void port_leave(struct port *p);

/* The calling thread's, if it has one; else NULL. */
struct port *port_own(void);

/* Enter without a port: only to look at what belongs to the workers. False with errno: ESHUTDOWN. */
bool port_visit(void);
void port_unvisit(void);

/* Workers there are, and whether there is a route; inside only. */
uint32_t port_workers(void);
bool port_has_route(void);

/* The place of the next order to that worker: the same until port_commit(). NULL with errno: EAGAIN, ENOMEM. */
struct order *port_reserve(struct port *p, uint32_t worker);
/* About how many orders wait for the worker, of all threads. Not inside; 0 while the gate is closed. */
uint32_t port_depth(uint32_t worker);
/* Wake the worker, as port_commit() does. Inside only. */
void port_wake(uint32_t worker, unsigned bit);
/* It is filled: the worker is to see it. */
void port_commit(struct port *p, uint32_t worker);

/* How much was ordered of that worker so far through this port, which is the caller's. */
struct order_mark port_mark(struct port *p, uint32_t worker);

/* ---- A shard ---- */

/* A port that belongs to nobody else until port_put_back(). NULL without memory. */
struct port *port_take(void);
void port_put_back(struct port **p);

/* The worker: the first port of this bit; the others are behind it. */
struct port *port_first(unsigned bit);
/* The worker: the port of this mark, if what was ordered of the worker before it is not all read; else NULL. */
struct port *port_unread(struct order_mark m, uint32_t worker);
/* The lane to this worker; NULL if there is none yet. */
static inline struct lane *port_lane(struct port *p, uint32_t worker)
{
    return atomic_load_explicit(&p->lanes[worker], memory_order_acquire);
}

#endif
