/*
 * setup.c: a server out of its options: descriptors, listeners, workers; and what is left when it has ended. On the
 * thread that makes the server.
 */
#include "mario/server/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "mario/admin/admin.h"
#include "mario/base/complain.h"
#include "mario/exec/registry.h"
#include "mario/exec/timing.h"
#include "mario/net/activation.h"
#include "mario/net/descriptor.h"
#include "mario/process/limit.h"
#include "mario/process/privilege.h"
#include "mario/process/supervise.h"
#include "mario/server/certificates.h"
#include "mario/server/commands.h"

enum {
    FDS_A_WORKER = 6,             /* epoll, doorbell, tick, push's alarm, libevent's pair for signals */
    FDS_MASTER = 4,               /* epoll, doorbell, libevent's pair for signals */
    FDS_POOL = 3,                 /* epoll, libevent's pair for signals */
    FDS_LOG = 4,                  /* log file, the next one, epoll, doorbell */
    FDS_TRIM = 1,                 /* doorbell */
    FDS_LOBBY = LOBBY_PLACES + 1, /* who waits for a PROXY header, epoll */
    FDS_SPARE = 16                /* for the application, and to accept what is then refused */
};

/* ---- Descriptors ---- */

/* Settle connnum against the descriptor limit. `besides` are needed beside connections. */
static bool fit_limits(SERVER *s, const struct mario_options *o, uint64_t besides)
{
    uint64_t wanted = besides + (uint64_t) s->workernum * o->connnum;
    uint64_t limit = limit_raise(wanted);
    uint64_t fits = limit > besides ? (limit - besides) / s->workernum : 0;
    if (fits == 0)
        return complain(
            "the limit of %llu file descriptors leaves none for connections: %llu are needed besides; raise it "
            "(ulimit -n, LimitNOFILE=)",
            (unsigned long long) limit, (unsigned long long) besides);
    if (o->connnum == 0) {
        s->connnum = (uint32_t) (fits < MARIO_CONNNUM_AUTO_MAX ? fits : MARIO_CONNNUM_AUTO_MAX);
        return true;
    }
    s->connnum = o->connnum;
    if (wanted <= limit)
        return true;
    if (o->strict_limits)
        return complain(
            "%u workers * %u connections need %llu file descriptors, the limit is %llu: %llu too many; raise it "
            "(ulimit -n %llu, or LimitNOFILE=), or set connnum to %llu or 0, or strict_limits = off",
            s->workernum, o->connnum, (unsigned long long) wanted, (unsigned long long) limit,
            (unsigned long long) (wanted - limit), (unsigned long long) wanted, (unsigned long long) fits);
    complain("connnum = %u needs %llu file descriptors, the limit is %llu: clamped to %llu a worker",
             o->connnum, (unsigned long long) wanted, (unsigned long long) limit, (unsigned long long) fits);
    s->connnum = (uint32_t) fits;
    return true;
}

static bool has_proxy(const SERVER *s)
{
    bool any = false;
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++)
        any = any || s->made[i].proxy.on;
    return any;
}

static uint32_t count_datagrams(const SERVER *s)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++)
        n += s->listeners[i].address.datagram;
    return n;
}

static bool settle_descriptors(SERVER *s, const struct mario_options *o)
{
    uint64_t besides =
        limit_open_descriptors() + s->master.acceptor.listener_count + FDS_MASTER + FDS_POOL + FDS_LOG +
        FDS_TRIM + FDS_SPARE + admin_descriptors(o) + (has_proxy(s) ? FDS_LOBBY : 0) +
        (uint64_t) s->workernum *
            (FDS_A_WORKER + count_datagrams(s) + (o->push_uring == MARIO_URING_AUTO ? 1u : 0u));
    if (!fit_limits(s, o, besides))
        return false;
    if (!descriptor_setup((uint32_t) (besides + (uint64_t) s->workernum * s->connnum)))
        return complain("cannot start: %s", strerror(errno));
    limit_reserve(besides + (uint64_t) s->workernum * s->connnum);
    return true;
}

/* ---- Listeners ---- */

static bool parse_listeners(SERVER *s, const struct mario_options *o)
{
    char why[512];
    struct framing_world world = {.head = &s->head_rules, .max = o->max_pkglen};
    struct listen_address *all = calloc(LISTEN_MAX, sizeof *all);
    if (all == NULL)
        return complain("no memory to start");
    s->head_rules = (struct head_rules){.funcs = registry_functions()};
    int n = listen_parse(o->listen, all, why, sizeof why);
    bool ok = n >= 0;
    for (int i = 0; i < n; i++) {
        struct listener *l = &s->listeners[i];
        l->address = all[i];
        l->proxy = &s->made[i].proxy;
        l->fd = -1;
        ok = ok && listeners_make(&l->address, &world, &s->made[i], why, sizeof why);
    }
    free(all);
    if (!ok)
        return complain("listen: %s", why);
    s->master.acceptor.listeners = s->listeners;
    s->master.acceptor.listener_count = (uint32_t) n;
    certificates_setup(s->listeners, (uint32_t) n, &s->settings, &s->master);
    return true;
}

/* A socket for each worker. */
static bool open_datagrams(SERVER *s, struct listener *l)
{
    struct udp_listener *u = &s->udp[s->udp_count];
    *u = (struct udp_listener){.fds = calloc(s->workernum, sizeof *u->fds),
                               .listener = (uint8_t) (l - s->listeners),
                               .amplify = (uint32_t) s->made[l - s->listeners].amplify};
    if (u->fds == NULL)
        return false;
    s->udp_count++;
    memset(u->fds, -1, s->workernum * sizeof *u->fds);
    bool ok =
        supervise_datagrams(&l->address, u->fds, s->workernum) || udp_open(&l->address, u->fds, s->workernum);
    u->port = htons(listen_port(&l->address));
    return ok;
}

static void close_datagrams(SERVER *s)
{
    for (uint32_t i = 0; i < s->udp_count; i++) {
        for (uint32_t k = 0; k < s->workernum; k++) {
            if (s->udp[i].fds[k] >= 0)
                close(s->udp[i].fds[k]);
        }
        free(s->udp[i].fds);
    }
    s->udp_count = 0;
}

static bool open_stream(struct listener *l, const struct listen_options *set)
{
    l->fd = supervise_listener(&l->address, set);
    l->borrowed = l->fd >= 0;
    if (!l->borrowed)
        l->fd = activation_open(&l->address, set);
    return l->fd >= 0;
}

static bool open_listeners(SERVER *s, const struct mario_options *o)
{
    struct listen_options set;
    if (!listen_settings(&set, o))
        return false;
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        struct listener *l = &s->listeners[i];
        if (l->address.datagram ? open_datagrams(s, l) : open_stream(l, &set))
            continue;
        return complain("cannot listen on %s: %s%s", l->address.name, strerror(errno),
                        listen_hint(&l->address, errno));
    }
    return true;
}

/* ---- Workers ---- */

static void settle(SERVER *s, const struct mario_options *o)
{
    s->service = (struct service){.funcs = registry_functions(),
                                  .max_pkglen = o->max_pkglen,
                                  .push_ring = o->push_ring,
                                  .push_uring = o->push_uring,
                                  .tls_offload = o->tls_offload};
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        s->service.framing[i] = &s->made[i].framing.pub;
        s->service.ends[i] = framing_ends(s->service.framing[i]);
        s->service.marks |= s->made[i].marks ? UINT64_C(1) << i : 0;
        s->service.tls |= s->made[i].tls ? UINT64_C(1) << i : 0;
    }
    s->workernum = o->workernum != 0 ? o->workernum : limit_cores("");
    s->offload_threads = o->offload_threads;
    s->offload_queue = o->offload_queue;
    if (s->service.tls != 0 && o->tls_offload != MARIO_TLS_OFFLOAD_OFF)
        s->shakes = o->tls_handshakes < o->offload_queue ? o->tls_handshakes : o->offload_queue;
    s->master.workernum = s->workernum;
    s->master.acceptor.backlog = o->backlog; /* as the listeners are opened */
    s->master.acceptor.keepalive = o->keepalive;
}

static bool has_ipv6(const SERVER *s)
{
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        if (s->listeners[i].address.addr.ss_family == AF_INET6 && !s->listeners[i].address.datagram)
            return true;
    }
    return false;
}

/* Which framings are user code or have a state, and what the workers need for them. */
static void settle_guests(SERVER *s, struct worker_options *w)
{
    for (uint32_t i = 0; i < s->master.acceptor.listener_count; i++) {
        const struct mario_framing *f = s->service.framing[i];
        bool is_guest = f->next != head_next && (s->service.ends[i] == NULL || f->state_size > 0);
        s->service.is_guest[i] = is_guest;
        w->has_guest |= is_guest;
        w->state_size = is_guest && f->state_size > w->state_size ? f->state_size : w->state_size;
    }
}

static bool make_workers(SERVER *s, const struct mario_options *o, const struct settings *set)
{
    struct worker_options w = {.connnum = s->connnum,
                               .prefault = o->prefault != 0,
                               .has_ipv6 = has_ipv6(s) || has_proxy(s),
                               .has_proxy = has_proxy(s),
                               .has_tls = s->service.tls != 0,
                               .has_admin = admin_is_on(),
                               .service = &s->service,
                               .set = set,
                               .master_bell = &s->master.bell,
                               .udp = s->udp,
                               .udp_count = s->udp_count};
    settle_guests(s, &w);
    if (posix_memalign((void **) &s->workers, SPSC_LINE, s->workernum * sizeof *s->workers) != 0) {
        s->workers = NULL;
        return complain("no memory for %u workers", s->workernum);
    }
    memset(s->workers, 0, s->workernum * sizeof *s->workers);
    s->master.workers = s->workers;
    s->master.settings = &s->settings;
    s->settings.workers = s->workers;
    s->settings.workernum = s->workernum;
    s->master.acceptor.connnum = s->connnum;
    for (uint32_t i = 0; i < s->workernum; i++) {
        s->workers_made = i + 1;
        if (!worker_setup(&s->workers[i], i, &w, &s->stats[i], &s->activities[i]))
            return complain("cannot make worker %u with %u connections: %s", i, s->connnum, strerror(errno));
        s->push[i] = s->workers[i].shard.push;
        s->bells[i] = &s->workers[i].bell;
    }
    push_prepare(s->push, o->push_memory);
    return true;
}

static bool make_stats(SERVER *s)
{
    size_t size = (s->workernum + 1) * sizeof *s->stats;
    errno = posix_memalign((void **) &s->stats, SPSC_LINE, size);
    if (errno != 0) {
        s->stats = NULL;
        return false;
    }
    memset(s->stats, 0, size);
    s->master.stats = &s->stats[s->workernum];
    supervise_stats(s->master.stats);
    s->activities = supervise_activities();
    if (s->activities != NULL)
        return true;
    s->activities = mmap(NULL, ACTIVITIES * sizeof *s->activities, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (s->activities == MAP_FAILED)
        s->activities = NULL;
    return s->activities != NULL;
}

/* ---- All of it ---- */

/* From here on nothing needs the rights of root. */
static bool drop(const struct mario_options *o)
{
    char why[256];
    return privilege_drop(o->user, why, sizeof why) || complain("user: %s", why);
}

bool server_setup(SERVER *s, const struct mario_options *o)
{
    if (!parse_listeners(s, o))
        return false;
    settle(s, o);
    if (!settle_descriptors(s, o) || !open_listeners(s, o) || !admin_open(o))
        return false;
    activation_close_rest();
    if (!drop(o))
        return false;
    if (!timing_begin() || !make_stats(s) || !doorbell_init(&s->master.bell))
        return complain("cannot start: %s", strerror(errno));
    if (!server_offer(s, o))
        return false;
    const struct live *live = publish_take(&s->settings);
    if (!make_workers(s, o, &live->worker))
        return false;
    s->master.activities = s->activities;
    if (!master_setup(&s->master))
        return complain("cannot start the master: %s", strerror(errno));
    live_apply(&s->master, &live->master);
    return !admin_is_on() || commands_setup(s, &s->master, o);
}

/* What the application's threads have counted is the server's from here on. */
static void keep_shared_counters(SERVER *s)
{
    for (uint32_t i = 0; s->stats != NULL && i < STAT_COUNT; i++)
        stats_add(s->master.stats, (enum counter) i, stats_take_shared((enum counter) i));
}

void server_teardown(SERVER *s)
{
    push_close(s->workers_made);
    keep_shared_counters(s);
    mario_log_flush(LAST_LINES_MS);
    admin_teardown();
    master_teardown(&s->master);
    offload_destroy(&s->pool);
    for (uint32_t i = 0; i < s->workers_made; i++)
        worker_teardown(&s->workers[i]);
    s->workers_made = 0;
    close_datagrams(s);
    free(s->workers);
    s->workers = NULL;
    certificates_teardown();
    publish_teardown(&s->settings);
    server_here = NULL;
    timing_end();
    registry_thaw();
}

void server_destroy(SERVER *s)
{
    doorbell_fini(&s->master.bell);
    publish_teardown(&s->settings); /* what was offered late */
    free(s->stats);
    if (s->activities != NULL && s->activities != supervise_activities())
        munmap(s->activities, ACTIVITIES * sizeof *s->activities);
    free(s);
}
