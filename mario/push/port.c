/*
 * port.c: rings from any thread to any worker, and the gate in front of them. Any thread, as port.h says.
 */
#include "mario/push/port.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "mario/exec/executor.h"

static struct {
    _Alignas(64) _Atomic bool open;
    struct doorbell *const *bells; /* constant while it is open, like the next three */
    uint32_t workers;
    uint32_t size;
    struct doorbell *route_bell; /* NULL: there is no route */
    _Alignas(64) _Atomic uint32_t visitors;
    _Alignas(64) _Atomic uint32_t made; /* ports: the next one's bit */
    _Atomic(struct port *) ports[PORT_BITS];
} hub;

static _Thread_local struct port *port_here;

/* ---- Ports ---- */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool key_is_made;

/* The thread ends. Its next destructors may give orders again: then they get another port. */
static void give_up(void *port)
{
    struct port *p = port;
    port_here = NULL;
    port_put_back(&p);
}

static void make_key(void)
{
    key_is_made = pthread_key_create(&key, give_up) == 0;
}

static struct port *create(void)
{
    struct port *p;
    if (posix_memalign((void **) &p, SPSC_LINE, sizeof *p) != 0)
        return NULL;
    memset(p, 0, sizeof *p);
    atomic_init(&p->taken, true);
    p->number = atomic_fetch_add_explicit(&hub.made, 1, memory_order_relaxed);
    uint32_t at = p->number % PORT_BITS;
    p->bit = PORT_BIT_FIRST + at;
    p->next = atomic_load_explicit(&hub.ports[at], memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&hub.ports[at], &p->next, p, memory_order_seq_cst,
                                                  memory_order_relaxed)) {
    }
    return p;
}

struct port *port_take(void)
{
    for (unsigned i = 0; i < PORT_BITS; i++) {
        for (struct port *p = port_first(PORT_BIT_FIRST + i); p != NULL; p = p->next) {
            bool taken = false;
            if (!atomic_load_explicit(&p->taken, memory_order_relaxed) &&
                atomic_compare_exchange_strong_explicit(&p->taken, &taken, true, memory_order_acquire,
                                                        memory_order_relaxed))
                return p;
        }
    }
    return create();
}

void port_put_back(struct port **p)
{
    if (*p != NULL)
        atomic_store_explicit(&(*p)->taken, false, memory_order_release);
    *p = NULL;
}

struct port *port_first(unsigned bit)
{
    return atomic_load_explicit(&hub.ports[bit - PORT_BIT_FIRST], memory_order_seq_cst);
}

static struct port *own_port(void)
{
    if (port_here != NULL)
        return port_here;
    pthread_once(&key_once, make_key);
    struct port *p = key_is_made ? port_take() : NULL;
    if (p != NULL && pthread_setspecific(key, p) != 0)
        port_put_back(&p);
    if (p == NULL)
        errno = ENOMEM;
    port_here = p;
    return p;
}

struct port *port_own(void)
{
    return port_here;
}

/* ---- The gate ---- */

struct port *port_enter(void)
{
    if (!atomic_load_explicit(&hub.open, memory_order_relaxed)) { /* nothing is made for nothing */
        errno = ESHUTDOWN;
        return NULL;
    }
    struct port *p = own_port();
    if (p == NULL)
        return NULL;
    atomic_store_explicit(&p->inside, true, memory_order_seq_cst);
    if (atomic_load_explicit(&hub.open, memory_order_seq_cst))
        return p;
    port_leave(p);
    errno = ESHUTDOWN;
    return NULL;
}

void port_leave(struct port *p)
{
    atomic_store_explicit(&p->inside, false, memory_order_release);
}

bool port_visit(void)
{
    atomic_fetch_add_explicit(&hub.visitors, 1, memory_order_seq_cst);
    if (atomic_load_explicit(&hub.open, memory_order_seq_cst))
        return true;
    port_unvisit();
    errno = ESHUTDOWN;
    return false;
}

void port_unvisit(void)
{
    atomic_fetch_sub_explicit(&hub.visitors, 1, memory_order_release);
}

uint32_t port_workers(void)
{
    return hub.workers;
}

bool port_has_route(void)
{
    return hub.route_bell != NULL;
}

void port_have_route(struct doorbell *bell)
{
    hub.route_bell = bell;
}

void port_open(struct doorbell *const *bells, uint32_t count, uint32_t size)
{
    hub.bells = bells;
    hub.workers = count;
    hub.size = size;
    atomic_store_explicit(&hub.open, true, memory_order_seq_cst);
}

void port_close(void)
{
    atomic_store_explicit(&hub.open, false, memory_order_seq_cst);
    for (unsigned bit = PORT_BIT_FIRST; bit < 64; bit++) {
        for (struct port *p = port_first(bit); p != NULL; p = p->next) {
            while (atomic_load_explicit(&p->inside, memory_order_seq_cst))
                sched_yield();
        }
    }
    while (atomic_load_explicit(&hub.visitors, memory_order_seq_cst) > 0)
        sched_yield();
}

static void clear_lane(struct lane *l, void (*f)(const struct order *o))
{
    struct order *at;
    while ((at = spsc_front(&l->ring)) != NULL) {
        struct order o = *at;
        spsc_release(&l->ring);
        f(&o);
    }
    spsc_fini(&l->ring);
    free(l);
}

void port_clear(void (*f)(const struct order *o), void (*route_f)(const struct order *o))
{
    for (unsigned bit = PORT_BIT_FIRST; bit < 64; bit++) {
        for (struct port *p = port_first(bit); p != NULL; p = p->next) {
            for (uint32_t i = 0; i < PORT_ENDS; i++) {
                struct lane *l = port_lane(p, i);
                atomic_store_explicit(&p->lanes[i], NULL, memory_order_relaxed);
                if (l != NULL)
                    clear_lane(l, i == PORT_ROUTE ? route_f : f);
            }
        }
    }
}

uint32_t port_depth(uint32_t worker)
{
    uint32_t sum = 0;
    if (!port_visit())
        return 0;
    for (unsigned bit = PORT_BIT_FIRST; bit < 64; bit++) {
        for (struct port *p = port_first(bit); p != NULL; p = p->next) {
            const struct lane *l = port_lane(p, worker);
            sum += l == NULL ? 0 : spsc_waiting(&l->ring);
        }
    }
    port_unvisit();
    return sum;
}

/* ---- Orders ---- */

static struct lane *make_lane(struct port *p, uint32_t worker)
{
    struct lane *l;
    if (posix_memalign((void **) &l, SPSC_LINE, sizeof *l) != 0)
        return NULL;
    memset(l, 0, sizeof *l);
    if (!spsc_init(&l->ring, hub.size, sizeof(struct order))) {
        free(l);
        return NULL;
    }
    atomic_store_explicit(&p->lanes[worker], l, memory_order_release);
    return l;
}

struct order *port_reserve(struct port *p, uint32_t worker)
{
    struct lane *l = atomic_load_explicit(&p->lanes[worker], memory_order_relaxed);
    if (l == NULL && (l = make_lane(p, worker)) == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    struct order *o = spsc_reserve(&l->ring);
    if (o == NULL)
        errno = EAGAIN;
    return o;
}

struct order_mark port_mark(struct port *p, uint32_t worker)
{
    struct lane *l = atomic_load_explicit(&p->lanes[worker], memory_order_relaxed);
    return (struct order_mark){.port = p->number, .given = l == NULL ? 0 : spsc_published(&l->ring)};
}

struct port *port_unread(struct order_mark m, uint32_t worker)
{
    struct port *p = port_first(PORT_BIT_FIRST + m.port % PORT_BITS);
    while (p->number != m.port)
        p = p->next;
    struct lane *l = port_lane(p, worker);
    return l == NULL || spsc_is_read_to(&l->ring, m.given) ? NULL : p;
}

/* See port.h. */
void port_wake(uint32_t worker, unsigned bit)
{
    const struct executor *t = executor_here;
    struct doorbell *bell = worker == PORT_ROUTE ? hub.route_bell : hub.bells[worker];
    if (t == NULL || t->shard == NULL || t->pub.ind != worker) {
        doorbell_ring(bell, bit);
        return;
    }
    doorbell_hold(bell, bit);
    enum fence_state state = fence_state(fence_look(&t->fence));
    if (state == FENCE_TAKEN || state == FENCE_DIED)
        doorbell_insist(bell, bit);
}

void port_commit(struct port *p, uint32_t worker)
{
    spsc_commit(&atomic_load_explicit(&p->lanes[worker], memory_order_relaxed)->ring);
    port_wake(worker, p->bit);
}
