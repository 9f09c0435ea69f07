/*
 * crash.c: the last words of a process that dies of a signal. Setup runs on the main thread, crash_thread() on
 * each thread; on_crash() on whichever thread dies, so that it and all it calls are async-signal-safe: no
 * lock, no heap, no stdio. What is written, and where, is in crash_line.c.
 */
#include "mario/process/crash.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "mario/base/faults.h"
#include "mario/base/symbol.h"
#include "mario/exec/executor.h"

enum {
    PLACES = 4,       /* where lines went lately: a handler may still read the last one */
    HANDLER_MS = 500, /* a handler that hangs is ended by SIGALRM: the restart must not wait for it */
    OTHERS_MS = 1000
};

static struct {
    bool shared; /* the parent writes the line */
    struct crash_record own;
    struct crash_record *record;
    struct timespec since; /* when setup was called: what `up` counts from */
    _Atomic pid_t process; /* whose record it is; one that is forked by the application has another */
    _Atomic pid_t dying;   /* the thread that writes the record */
    _Atomic int sig;       /* of what */
    struct place {
        char log[CRASH_LOG];
        enum mario_log_format format;
    } places[PLACES];
    _Atomic unsigned place; /* the one that counts */
    const char *what;       /* dies: "process" */
} crash = {.record = &crash.own};

static char line[CRASH_LINE]; /* the dying thread's */

/* ---- What ran ---- */

void crash_where_of(struct crash_where *w, uint32_t worker, const struct activity *b)
{
    uint64_t what = atomic_load_explicit(&b->what, memory_order_relaxed);
    struct peer peer = activity_peer(b);
    uint32_t ip = peer_v4(&peer);
    enum activity_kind kind = activity_kind(what);
    *w = (struct crash_where){.is_worker = true, .worker = worker};
    if (kind == ACTIVITY_IDLE)
        return;
    w->in_function = true;
    w->in_call = activity_is_call(what);
    w->in_framing = kind == ACTIVITY_FRAMING;
    w->in_shake = kind == ACTIVITY_SHAKE;
    w->in_hook = kind != ACTIVITY_PACKET && !w->in_call;
    w->akg_id = activity_akg(what);
    w->conn = atomic_load_explicit(&b->conn, memory_order_relaxed);
    w->family = peer.port == 0 ? AF_UNIX : ip != 0 ? AF_INET : AF_INET6;
    w->port = ntohs(peer.port);
    if (ip != 0)
        memcpy(w->address, &ip, sizeof ip);
    else
        memcpy(w->address, peer.address, sizeof w->address);
}

void crash_where(struct crash_where *w)
{
    const struct executor *t = executor_here;
    if (t == NULL) {
        *w = (struct crash_where){.is_worker = false};
        return;
    }
    crash_where_of(w, t->pub.ind, executor_runs(t));
}

static uintptr_t pc_of(const void *context)
{
    const ucontext_t *u = context;
#if defined(__x86_64__)
    return (uintptr_t) u->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (uintptr_t) u->uc_mcontext.pc;
#else
    (void) u;
    return 0;
#endif
}

/* ---- The handler ---- */

bool crash_is_dying(void)
{
    return atomic_load_explicit(&crash.dying, memory_order_relaxed) != 0;
}

static void fill(struct crash_record *r, int sig, const siginfo_t *info, const void *context)
{
    r->sig = sig;
    r->is_fault = info->si_code > 0 && sig != SIGABRT;
    r->address = (uintptr_t) info->si_addr;
    r->thread = (pid_t) syscall(SYS_gettid);
    r->pc = pc_of(context);
    atomic_store_explicit(&r->stage, CRASH_BEGUN, memory_order_release);
    crash_where(&r->where);
    atomic_store_explicit(&r->stage, CRASH_WHERE, memory_order_release);
}

static const struct place *place(void)
{
    return &crash.places[atomic_load_explicit(&crash.place, memory_order_acquire)];
}

static void write_line(const struct crash_record *r)
{
    char head[160];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (now.tv_sec - crash.since.tv_sec) * 1000 + (now.tv_nsec - crash.since.tv_nsec) / 1000000;
    crash_head(head, sizeof head, crash.what, r->sig, (uint64_t) ms);
    const struct place *p = place();
    crash_append(p->log, line, crash_line(line, sizeof line, p->format, head, r, NULL, 0));
}

/* The line first: what the unwinder follows may be in ruins, and it may fault or hang. */
static void write_record(struct crash_record *r)
{
    if (!crash.shared)
        write_line(r);
    r->frames = symbol_frames(r->frame, CRASH_FRAMES);
    atomic_store_explicit(&r->stage, CRASH_WHOLE, memory_order_release);
    if (!crash.shared && r->frames > 0)
        crash_append(place()->log, line, crash_trace_line(line, sizeof line, place()->format, r));
}

static void unblock(int sig)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

/* End now, of this signal. The kernel lets no signal that is sent end the first process of a container. */
static _Noreturn void end_of(int sig)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(sig, &plain, NULL);
    unblock(sig);
    syscall(SYS_tgkill, getpid(), (pid_t) syscall(SYS_gettid), sig);
    _exit(128 + sig);
}

/* The time is up: the unwinder hangs, or the process lives on although it has died. On any thread. */
static void on_late(int sig)
{
    (void) sig;
    end_of(crash.sig);
}

/* HANDLER_MS from now on_late() ends this process; should that not be called, the alarm after it does. */
static void set_watchdog(void)
{
    struct sigaction late = {.sa_handler = on_late, .sa_flags = (int) SA_RESETHAND};
    struct timeval ms = {.tv_usec = HANDLER_MS * 1000};
    struct itimerval t = {.it_value = ms, .it_interval = ms};
    sigaction(SIGALRM, &late, NULL);
    unblock(SIGALRM);
    setitimer(ITIMER_REAL, &t, NULL);
}

/* Back to what was interrupted, and die there by default: a fault happens again, what was sent is sent again. So a
 * core dump shows the place. If it does not happen again the watchdog is still there. */
static void die_there(int sig, const siginfo_t *info, void *context)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    ucontext_t *there = context;
    bool is_sent = info->si_code <= 0;
    if (is_sent && getpid() == 1)
        end_of(sig);
    sigaction(sig, &plain, NULL);
    if (crash_is_dying())
        sigdelset(&there->uc_sigmask, SIGALRM);
    if (is_sent)
        syscall(SYS_tgkill, getpid(), (pid_t) syscall(SYS_gettid), sig); /* blocked until the return */
}

/* All signals are blocked here but other faults and the alarm: a second fault inside ends the process, with what has
 * been said, and of the first one's signal. A thread that dies meanwhile waits for the first one. A process that the
 * application has forked is none of ours, whatever it inherits. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
    pid_t nobody = 0, me = (pid_t) syscall(SYS_gettid);
    bool is_ours = getpid() == atomic_load_explicit(&crash.process, memory_order_relaxed);
    if (is_ours && atomic_compare_exchange_strong(&crash.dying, &nobody, me)) {
        crash.sig = sig;
        set_watchdog();
        fill(crash.record, sig, info, context);
        write_record(crash.record);
    } else if (is_ours && nobody == me) {
        end_of(crash.sig);
    } else if (is_ours) {
        nanosleep(&(struct timespec){.tv_sec = OTHERS_MS / 1000}, NULL);
    }
    die_there(sig, info, context);
}

/* ---- Before ---- */

void crash_share(struct crash_record *record)
{
    crash.record = record;
    crash.shared = true;
}

void crash_thread(void)
{
    atomic_store_explicit(&crash.process, getpid(), memory_order_relaxed);
    faults_thread();
}

/* An application that handles a signal itself keeps it. One that is ignored is so by whoever started it. */
static void take(int sig, const struct sigaction *sa)
{
    struct sigaction old;
    if (sigaction(sig, NULL, &old) == 0 && (old.sa_flags & SA_SIGINFO) == 0 &&
        (old.sa_handler == SIG_DFL || old.sa_handler == SIG_IGN))
        sigaction(sig, sa, NULL);
}

void crash_log_to(const char *log, enum mario_log_format format)
{
    unsigned now = atomic_load_explicit(&crash.place, memory_order_relaxed), next = (now + 1) % PLACES;
    const char *text = log != NULL ? log : "";
    if (strcmp(crash.places[now].log, text) == 0 && crash.places[now].format == format)
        return;
    snprintf(crash.places[next].log, sizeof crash.places[next].log, "%s", text);
    crash.places[next].format = format;
    atomic_store_explicit(&crash.place, next, memory_order_release);
}

void crash_setup(const char *what, const char *log, enum mario_log_format format)
{
    struct sigaction sa = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    crash_log_to(log, format);
    crash.what = what;
    crash_localtime();
    if (crash.since.tv_sec == 0)
        clock_gettime(CLOCK_MONOTONIC, &crash.since);
    crash_thread();
    sigfillset(&sa.sa_mask);
    sigdelset(&sa.sa_mask, SIGALRM);
    faults_leave_out(&sa.sa_mask);
    for (int i = 0; i < FAULTS; i++)
        take(faults[i], &sa);
}
