/*
 * supervise_child.c: the child's side of supervision: what it got of its parent, and what it tells it. The functions of
 * supervise.h, on the thread that makes and runs the server.
 */
#include "mario/process/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/base/complain.h"
#include "mario/mario_util.h"
#include "mario/process/daemon.h"
#include "mario/process/supervise_inside.h"

enum { ECHO_MS = 500 };

static uint64_t heard_ms; /* when a stop signal came that was no echo */

/* The parent then looks at the page. */
static void wake_parent(void)
{
    uint64_t one = 1;
    if (write(sup.ready_fd, &one, sizeof one) != sizeof one)
        complain("cannot tell the parent: %s", strerror(errno));
}

/* ---- Its beginning ---- */

/* What is passed on may come before the server takes it. */
static void ignore_until_init(int sig)
{
    struct sigaction sa;
    if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
        signal_handler(sig, SIG_IGN);
}

void supervise_become_child(pid_t parent)
{
    sigset_t later;
    sup.child = true;
    close(sup.signal_fd);
    sigaction(SIGCHLD, &sup.on_child, NULL);
    crash_share(&sup.page->crash);
    notify_relay(&sup.page->news, wake_parent);
    daemon_leave_word_to_parent();
    ignore_until_init(SIGUSR1);
    ignore_until_init(SIGUSR2);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent)
        raise(SIGTERM); /* it has died already */
    sigemptyset(&later);
    sigaddset(&later, SIGTERM);
    sigaddset(&later, SIGINT);
    sigaddset(&later, SIGHUP);
    sigorset(&later, &later, &sup.mask);
    sigprocmask(SIG_SETMASK, &later, NULL);
}

/* ---- What it got ---- */

int supervise_listener(struct listen_address *a, const struct listen_options *o)
{
    for (uint32_t i = 0; sup.child && i < sup.kept_count; i++) {
        struct kept *k = &sup.kept[i];
        if (k->lent || !kept_is(k, a) || !listen_keepalive(k->fd, a->addr.ss_family, o->keepalive) ||
            listen(k->fd, o->backlog) != 0)
            continue;
        k->lent = true;
        *a = k->got;
        return k->fd;
    }
    return -1;
}

bool supervise_datagrams(struct listen_address *a, int *fds, uint32_t count)
{
    for (uint32_t i = 0; sup.child && i < sup.kept_count; i++) {
        struct kept *k = &sup.kept[i];
        if (!kept_is(k, a) || !kept_copy(k, fds, count))
            continue;
        *a = k->got;
        return true;
    }
    return false;
}

void supervise_release(const struct listen_address *a, int fd, bool for_good)
{
    for (uint32_t i = 0; i < sup.kept_count; i++) {
        if (sup.kept[i].fd == fd)
            sup.kept[i].lent = false;
    }
    if (!for_good)
        return;
    atomic_store_explicit(&sup.page->stopping, true, memory_order_release);
    if (a->activated)
        return; /* who comes now waits for the server that the service manager starts next */
    listen_remove(a);
    shutdown(fd, SHUT_RDWR); /* unlike close() it counts for the parent's descriptor too */
}

struct activity *supervise_activities(void)
{
    return sup.child ? sup.page->activities : NULL;
}

void supervise_stats(struct stats *s)
{
    for (uint32_t i = 0; sup.child && i < STAT_COUNT; i++) {
        if (sup.counts[i] != 0)
            stats_add(s, (enum counter) i, sup.counts[i]);
    }
}

/* ---- What it tells ---- */

void supervise_ready(void)
{
    if (!sup.child)
        return;
    atomic_store_explicit(&sup.page->stopping, false, memory_order_release); /* of a server before this one */
    atomic_store_explicit(&sup.page->ready, true, memory_order_release);
    wake_parent();
}

void supervise_tune(const struct supervise_tuning *t)
{
    if (!sup.child)
        return;
    struct tuned *to = &sup.page->tuned;
    uint32_t changes = atomic_load_explicit(&to->changes, memory_order_relaxed);
    atomic_store_explicit(&to->changes, changes + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    bool begins = sup.master_ms == 0 && t->master_ms != 0;
    sup.master_ms = to->master_ms = t->master_ms;
    to->drain_ms = t->drain_ms;
    to->format = t->format;
    snprintf(to->log, sizeof to->log, "%s", t->log);
    atomic_store_explicit(&to->changes, changes + 2, memory_order_release);
    if (begins)
        wake_parent(); /* it sleeps: it looked at nothing so far */
}

uint32_t supervise_beat_ms(void)
{
    uint32_t ms = sup.master_ms / BEATS;
    return !sup.child || sup.master_ms == 0 ? 0 : ms > BEAT_MAX_MS ? BEAT_MAX_MS : ms > 0 ? ms : 1;
}

void supervise_beat(void)
{
    if (sup.child)
        atomic_fetch_add_explicit(&sup.page->heart.beats, 1, memory_order_relaxed);
}

void supervise_master(bool runs)
{
    if (sup.child)
        atomic_store_explicit(&sup.page->heart.master, runs ? gettid() : 0, memory_order_relaxed);
}

bool supervise_is_echo(void)
{
    uint64_t now = clock_ms();
    if (sup.child && heard_ms != 0 && now - heard_ms < ECHO_MS)
        return true;
    heard_ms = now;
    return false;
}
