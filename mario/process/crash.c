/*
 * crash.c: the last words of a process that dies of a signal. Setup runs on the main thread, crash_thread() on
 * each thread; on_crash() on whichever thread dies, so that it and all it calls are async-signal-safe: no
 * lock, no heap, no stdio. crash_line() and crash_append() serve the supervising parent too.
 */
#include "mario/process/crash.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "mario/base/id.h"
#include "mario/exec/executor.h"
#include "mario/log/sink.h"

enum {
    STACK_SIZE = 64 * 1024, /* beside what the kernel puts on it */
    LOG_PATH = 4096,
    HANDLER_MS = 500, /* a handler that hangs is ended by SIGALRM: the restart must not wait for it */
    OTHERS_MS = 1000
};

static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

static struct {
    bool ready;
    bool shared; /* the parent writes the line */
    pthread_key_t stack_key;
    struct crash_record own;
    struct crash_record *record;
    struct timespec since; /* when setup was called: what `up` counts from */
    _Atomic pid_t dying;   /* the thread that writes the record */
    char log[LOG_PATH];
    enum mario_log_format format;
} crash = {.record = &crash.own};

static _Atomic long gmt_offset; /* seconds; localtime_r() is not for handlers */

/* ---- A line, built without stdio ---- */

struct text {
    char *at, *end; /* behind end there is room for what ends the line */
    bool quoted;    /* within a string of JSON */
};

static void put(struct text *t, const char *s)
{
    for (; *s != '\0' && t->at < t->end; s++) {
        bool plain = (unsigned char) *s >= ' ' && (!t->quoted || (unsigned char) *s < 0x80);
        bool escape = t->quoted && (*s == '"' || *s == '\\');
        if (escape && t->end - t->at < 2)
            return;
        if (escape)
            *t->at++ = '\\';
        *t->at++ = plain ? *s : '?';
    }
}

/* With at least `digits` digits. */
static void put_number(struct text *t, uint64_t v, unsigned base, unsigned digits)
{
    char reversed[24], out[24];
    unsigned n = 0;
    do {
        reversed[n++] = "0123456789abcdef"[v % base];
        v /= base;
    } while (v != 0 || n < digits);
    for (unsigned i = 0; i < n; i++)
        out[i] = reversed[n - 1 - i];
    out[n] = '\0';
    put(t, out);
}

static void put_hex(struct text *t, uint64_t v, unsigned digits)
{
    put(t, "0x");
    put_number(t, v, 16, digits);
}

/* As the log's lines begin: local time, in JSON UTC. The date from the days since 1970-01-01, in years that
 * begin in March. */
static void put_time(struct text *t, bool json)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long offset = json ? 0 : atomic_load_explicit(&gmt_offset, memory_order_relaxed);
    uint64_t s = (uint64_t) (now.tv_sec + offset);
    uint64_t days = s / 86400 + 719468, era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t of_year = day - (365 * year + year / 4 - year / 100), month = (5 * of_year + 2) / 153;
    const uint64_t parts[] = {era * 400 + year + (month > 9),
                              month < 10 ? month + 3 : month - 9,
                              of_year - (153 * month + 2) / 5 + 1,
                              s / 3600 % 24,
                              s / 60 % 60,
                              s % 60};
    for (int i = 0; i < 6; i++) {
        put_number(t, parts[i], 10, i == 0 ? 4 : 2);
        put(t, &(json ? "-\0-\0T\0:\0:\0." : "-\0-\0 \0:\0:\0.")[2 * i]);
    }
    put_number(t, (uint64_t) now.tv_nsec / 1000, 10, 6);
}

static struct text line_begin(char *out, size_t size, bool json)
{
    struct text t = {.at = out, .end = out + size - (json ? strlen("\"}\n") : strlen("\n"))};
    put(&t, json ? "{\"time\":\"" : "");
    put_time(&t, json);
    put(&t, json ? "Z\",\"level\":\"err\",\"subsystem\":\"server\",\"text\":\"died: " : " ERROR died: ");
    t.quoted = json;
    return t;
}

static size_t line_end(struct text *t, const char *out)
{
    if (t->quoted) {
        *t->at++ = '"';
        *t->at++ = '}';
    }
    *t->at++ = '\n';
    return (size_t) (t->at - out);
}

static void put_peer(struct text *t, const struct crash_where *w)
{
    if (w->family == 0)
        return;
    put(t, " from ");
    if (w->family == AF_UNIX) {
        put(t, "a unix socket");
        return;
    }
    if (w->family == AF_INET6)
        put(t, "[");
    for (int i = 0; w->family == AF_INET6 && i < 16; i += 2) {
        put(t, i > 0 ? ":" : "");
        put_number(t, (uint64_t) (w->address[i] << 8 | w->address[i + 1]), 16, 1);
    }
    for (int i = 0; w->family == AF_INET && i < 4; i++) {
        put(t, i > 0 ? "." : "");
        put_number(t, w->address[i], 10, 1);
    }
    put(t, w->family == AF_INET6 ? "]:" : ":");
    put_number(t, w->port, 10, 1);
}

static void put_where(struct text *t, const struct crash_where *w, const char *separator)
{
    if (w->is_worker) {
        put(t, separator);
        put(t, "worker ");
        put_number(t, w->worker, 10, 1);
    }
    if (!w->in_function)
        return;
    if (w->in_hook) {
        put(t, ", in a hook");
    } else {
        put(t, ", akg_id ");
        put_hex(t, w->akg_id, 4);
    }
    put(t, ", connection ");
    put_number(t, id_worker(w->conn), 10, 1);
    put(t, ".");
    put_number(t, id_slot(w->conn), 10, 1);
    put(t, ".");
    put_number(t, id_generation(w->conn), 10, 1);
    put_peer(t, w);
}

/* file(function+0x12), or file+0x1234 for addr2line(1) where the file does not tell names. */
static void put_frame(struct text *t, void *address)
{
    Dl_info info;
    put(t, " ");
    if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
        put_hex(t, (uintptr_t) address, 1);
        return;
    }
    const char *slash = strrchr(info.dli_fname, '/');
    put(t, slash != NULL ? slash + 1 : info.dli_fname);
    if (info.dli_sname == NULL) {
        put(t, "+");
        put_hex(t, (uintptr_t) address - (uintptr_t) info.dli_fbase, 1);
        return;
    }
    put(t, "(");
    put(t, info.dli_sname);
    put(t, "+");
    put_hex(t, (uintptr_t) address - (uintptr_t) info.dli_saddr, 1);
    put(t, ")");
}

/* Nothing is believed: the record may be what a process that had gone wild left in shared memory. */
static void put_backtrace(struct text *t, const struct crash_record *r)
{
    int first = 0, frames = r->frames < 0 ? 0 : r->frames > CRASH_FRAMES ? CRASH_FRAMES : r->frames;
    for (int i = 0; i < frames && first == 0; i++) {
        if ((uintptr_t) r->frame[i] == r->pc)
            first = i; /* those before are the handler's */
    }
    put(t, "; backtrace:");
    if (first == 0 && r->pc != 0)
        put_frame(t, (void *) r->pc);
    for (int i = first; i < frames; i++)
        put_frame(t, r->frame[i]);
}

/* Nobody could say what ran: what all workers did. */
static void put_activities(struct text *t, const struct activity *activities, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct crash_where w;
        uint64_t conn = atomic_load_explicit(&activities[i].conn, memory_order_relaxed);
        crash_where_of(&w, i < ACTIVITIES_OF_POOL ? i : id_worker(conn), &activities[i]);
        if (!w.in_function)
            continue;
        put_where(t, &w, "; ");
    }
}

size_t crash_line(char *out, size_t size, enum mario_log_format format, const char *head,
                  const struct crash_record *r, const struct activity *activities, uint32_t count)
{
    struct text t = line_begin(out, size, format == MARIO_LOG_JSON);
    int stage = atomic_load_explicit(&r->stage, memory_order_acquire);
    put(&t, head);
    if (stage >= CRASH_BEGUN) {
        put(&t, "; thread ");
        put_number(&t, (uint64_t) r->thread, 10, 1);
    }
    if (stage >= CRASH_WHERE)
        put_where(&t, &r->where, ", ");
    else
        put_activities(&t, activities, count);
    if (stage >= CRASH_BEGUN && r->is_fault) {
        put(&t, ", at address ");
        put_hex(&t, r->address, 1);
    }
    if (stage >= CRASH_WHOLE)
        put_backtrace(&t, r);
    return line_end(&t, out);
}

const char *crash_signal_name(int sig)
{
    static const struct {
        int sig;
        const char *name;
    } rows[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"},   {SIGFPE, "SIGFPE"},   {SIGILL, "SIGILL"},
                {SIGABRT, "SIGABRT"}, {SIGKILL, "SIGKILL"}, {SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"},
                {SIGHUP, "SIGHUP"},   {SIGQUIT, "SIGQUIT"}, {SIGTRAP, "SIGTRAP"}, {SIGPIPE, "SIGPIPE"},
                {SIGALRM, "SIGALRM"}, {SIGUSR1, "SIGUSR1"}, {SIGUSR2, "SIGUSR2"}, {SIGXCPU, "SIGXCPU"},
                {SIGXFSZ, "SIGXFSZ"}, {SIGSYS, "SIGSYS"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].sig == sig)
            return rows[i].name;
    }
    return "";
}

/* ---- Writing it ---- */

/* At most as much as a pipe takes without waiting, so that nobody who does not read holds us up. */
static bool write_line(int fd, const char *line, size_t n)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) != 0 && write(fd, line, n) == (ssize_t) n;
}

static int open_log(const char *log)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
    int fd = open(log, flags, 0640);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && crash.dying != 0) {
        close(STDIN_FILENO); /* we die: one of ours for the last words */
        fd = open(log, flags, 0640);
    }
    return fd;
}

static bool append_to_file(const char *file, const char *line, size_t n)
{
    int fd = open_log(file);
    bool done = fd >= 0 && write_line(fd, line, n);
    if (fd >= 0)
        close(fd);
    return done;
}

static bool send_to_syslogd(const struct sockaddr_un *to, const char *datagram, size_t n)
{
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool done =
        fd >= 0 && sendto(fd, datagram, n, MSG_NOSIGNAL, (const struct sockaddr *) to, sizeof *to) >= 0;
    if (fd >= 0)
        close(fd);
    return done;
}

/* syslogd knows the time, and what a datagram without it means. */
static bool append_to_syslog(int facility, const char *line, size_t n)
{
    static char datagram[CRASH_LINE + 96]; /* one thread comes here */
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    struct text t = {.at = datagram, .end = datagram + sizeof datagram};
    size_t path = strlen(log_syslog_path), stamp = line[0] == '{' ? 0 : strlen("2026-11-21 10:33:44.905259 ");
    if (path >= sizeof to.sun_path || n <= stamp)
        return false;
    memcpy(to.sun_path, log_syslog_path, path);
    put(&t, "<");
    put_number(&t, (uint64_t) (facility | LOG_ERR), 10, 1);
    put(&t, ">");
    put(&t, program_invocation_short_name);
    if (t.at > datagram + 48)
        t.at = datagram + 48;
    put(&t, "[");
    put_number(&t, (uint64_t) getpid(), 10, 1);
    put(&t, "]: ");
    n -= stamp + 1; /* and the newline */
    n = n < (size_t) (t.end - t.at) ? n : (size_t) (t.end - t.at);
    memcpy(t.at, line + stamp, n);
    return send_to_syslogd(&to, datagram, (size_t) (t.at - datagram) + n);
}

void crash_append(const char *log, const char *line, size_t n)
{
    static struct log_target target; /* large, for a handler's stack; one thread comes here */
    char why[64];
    bool done = false;
    if (log != NULL && log_target_parse(&target, log, why, sizeof why)) {
        if (target.kind == LOG_TARGET_FILE)
            done = append_to_file(log, line, n);
        else if (target.kind == LOG_TARGET_SYSLOG)
            done = append_to_syslog(target.facility, line, n);
    }
    if (!done)
        write_line(STDERR_FILENO, line, n);
}

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
    w->in_hook = kind != ACTIVITY_PACKET;
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
    r->frames = backtrace(r->frame, CRASH_FRAMES);
    atomic_store_explicit(&r->stage, CRASH_WHOLE, memory_order_release);
}

static void write_own(const struct crash_record *r)
{
    static char line[CRASH_LINE]; /* one thread comes here, once */
    char head[160];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ms = (now.tv_sec - crash.since.tv_sec) * 1000 + (now.tv_nsec - crash.since.tv_nsec) / 1000000;
    struct text t = {.at = head, .end = head + sizeof head - 1};
    put(&t, "process ");
    put_number(&t, (uint64_t) getpid(), 10, 1);
    put(&t, ", signal ");
    put_number(&t, (uint64_t) r->sig, 10, 1);
    put(&t, " (");
    put(&t, crash_signal_name(r->sig));
    put(&t, "), up ");
    put_number(&t, (uint64_t) ms / 1000, 10, 1);
    put(&t, ".");
    put_number(&t, (uint64_t) ms % 1000, 10, 3);
    put(&t, " s");
    *t.at = '\0';
    crash_append(crash.log, line, crash_line(line, sizeof line, crash.format, head, r, NULL, 0));
}

/* Should the unwinder hang in what is left of a stack, SIGALRM ends the process. */
static void set_watchdog(bool on)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};
    struct itimerval t = {.it_value = {.tv_usec = on ? HANDLER_MS * 1000 : 0}};
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    sigaction(SIGALRM, &plain, NULL);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    setitimer(ITIMER_REAL, &t, NULL);
}

/* All signals are blocked here: a second fault inside ends the process at once, with what has been said. A
 * thread that dies meanwhile waits for the first one. When this returns a fault happens again, and what was
 * sent is sent again: now by default. */
static void on_crash(int sig, siginfo_t *info, void *context)
{
    pid_t nobody = 0, me = (pid_t) syscall(SYS_gettid);
    if (atomic_compare_exchange_strong(&crash.dying, &nobody, me)) {
        set_watchdog(true);
        fill(crash.record, sig, info, context);
        if (!crash.shared)
            write_own(crash.record);
        set_watchdog(false);
    } else if (nobody != me) {
        nanosleep(&(struct timespec){.tv_sec = OTHERS_MS / 1000}, NULL);
    }
    struct sigaction plain = {.sa_handler = SIG_DFL};
    sigaction(sig, &plain, NULL);
    if (info->si_code <= 0)
        syscall(SYS_tgkill, getpid(), me, sig);
}

/* ---- Before ---- */

void crash_share(struct crash_record *record)
{
    crash.record = record;
    crash.shared = true;
}

static void drop_stack(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    free(stack);
}

void crash_thread(void)
{
    stack_t have;
    if (!crash.ready || sigaltstack(NULL, &have) != 0 || (have.ss_flags & SS_DISABLE) == 0)
        return; /* the application's, or a sanitizer's */
    long least = sysconf(_SC_MINSIGSTKSZ);
    stack_t mine = {.ss_size = STACK_SIZE + (size_t) (least > 0 ? least : 0)};
    mine.ss_sp = malloc(mine.ss_size);
    if (mine.ss_sp == NULL)
        return; /* the thread can do without, unless its own stack overflows */
    if (pthread_setspecific(crash.stack_key, mine.ss_sp) == 0 && sigaltstack(&mine, NULL) == 0)
        return;
    pthread_setspecific(crash.stack_key, NULL);
    free(mine.ss_sp);
}

void crash_localtime(void)
{
    struct tm tm;
    time_t now = time(NULL);
    if (localtime_r(&now, &tm) != NULL)
        atomic_store_explicit(&gmt_offset, tm.tm_gmtoff, memory_order_relaxed);
}

void crash_setup(const char *log, enum mario_log_format format)
{
    struct sigaction sa = {.sa_sigaction = on_crash, .sa_flags = SA_SIGINFO | SA_ONSTACK}, old;
    void *once[1];
    snprintf(crash.log, sizeof crash.log, "%s", log != NULL ? log : "");
    crash.format = format;
    crash_localtime();
    if (!crash.ready) {
        clock_gettime(CLOCK_MONOTONIC, &crash.since);
        if (pthread_key_create(&crash.stack_key, drop_stack) != 0)
            return;
        crash.ready = true;
    }
    crash_thread();
    backtrace(once, 1); /* the unwinder is loaded now; later that would need the heap */
    sigfillset(&sa.sa_mask);
    sigdelset(&sa.sa_mask, SIGALRM);
    for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++) {
        if (sigaction(fatal[i], NULL, &old) == 0 && (old.sa_flags & SA_SIGINFO) == 0 &&
            old.sa_handler == SIG_DFL)
            sigaction(fatal[i], &sa, NULL);
    }
}
