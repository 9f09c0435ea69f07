/*
 * crash_line.c: the lines about a death, and where they go. All of it is async-signal-safe but crash_localtime():
 * no lock, no heap, no stdio. Runs on whichever thread dies, and in the supervising parent.
 */
#include "mario/process/crash.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "mario/base/complain.h"
#include "mario/base/id.h"
#include "mario/base/symbol.h"
#include "mario/log/sink.h"

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

static struct text line_begin(char *out, size_t size, bool json, const char *what)
{
    struct text t = {.at = out, .end = out + size - (json ? strlen("\"}\n") : strlen("\n"))};
    put(&t, json ? "{\"time\":\"" : "");
    put_time(&t, json);
    put(&t, json ? "Z\",\"level\":\"err\",\"subsystem\":\"server\",\"text\":\"" : " ERROR ");
    t.quoted = json;
    put(&t, what);
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

/* "[fe80::1]", as inet_ntop() has it: the longest run of zeros, of two words at least, is left out. */
static void put_ipv6(struct text *t, const unsigned char *address)
{
    unsigned word[8], from = 8, run = 1;
    for (unsigned i = 0; i < 8; i++)
        word[i] = (unsigned) (address[2 * i] << 8 | address[2 * i + 1]);
    for (unsigned i = 0, n; i < 8; i += n + 1) {
        for (n = 0; i + n < 8 && word[i + n] == 0;)
            n++;
        if (n > run) {
            from = i;
            run = n;
        }
    }
    put(t, "[");
    for (unsigned i = 0; i < 8; i++) {
        if (i == from)
            put(t, "::");
        if (i >= from && i < from + run)
            continue;
        if (i > 0 && i != from + run)
            put(t, ":");
        put_number(t, word[i], 16, 1);
    }
    put(t, "]");
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
        put_ipv6(t, w->address);
    for (int i = 0; w->family == AF_INET && i < 4; i++) {
        put(t, i > 0 ? "." : "");
        put_number(t, w->address[i], 10, 1);
    }
    put(t, ":");
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
    } else if (w->in_call) {
        put(t, w->in_framing ? ", in its framing" : w->in_shake ? ", in a TLS handshake" : ", in a call");
    } else {
        put(t, ", akg_id ");
        put_hex(t, w->akg_id, 4);
    }
    if (w->conn == 0 && w->family != 0 && w->port != 0) {
        put(t, ", datagram");
        put_peer(t, w);
    }
    if (w->conn == 0)
        return;
    put(t, ", connection ");
    put_number(t, id_worker(w->conn), 10, 1);
    put(t, ".");
    put_number(t, id_slot(w->conn), 10, 1);
    put(t, ".");
    put_number(t, id_generation(w->conn), 10, 1);
    put_peer(t, w);
}

/* file(function+0x12), or file+0x1234 for addr2line(1) where the file does not tell names. */
static void put_frame(struct text *t, uintptr_t pc)
{
    struct symbol s;
    put(t, " ");
    if (!symbol_find(pc, &s)) {
        put_hex(t, pc, 1);
        return;
    }
    put(t, s.file);
    if (s.function != NULL) {
        put(t, "(");
        put(t, s.function);
    }
    put(t, "+");
    put_hex(t, s.offset, 1);
    put(t, s.function != NULL ? ")" : "");
}

/* Nothing is believed: the record may be what a process that had gone wild left in shared memory. */
static void put_backtrace(struct text *t, const struct crash_record *r)
{
    int first = 0, frames = r->frames < 0 ? 0 : r->frames > CRASH_FRAMES ? CRASH_FRAMES : r->frames;
    for (int i = 0; i < frames && first == 0; i++) {
        if ((uintptr_t) r->frame[i] == r->pc)
            first = i; /* those before are the handler's */
    }
    if (first == 0 && r->pc != 0)
        put_frame(t, r->pc);
    for (int i = first; i < frames; i++)
        put_frame(t, (uintptr_t) r->frame[i]);
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
    struct text t = line_begin(out, size, format == MARIO_LOG_JSON, "died: ");
    int stage = atomic_load_explicit(&r->stage, memory_order_acquire);
    put(&t, head);
    if (stage >= CRASH_BEGUN) {
        put(&t, "; thread ");
        put_number(&t, (uint64_t) r->thread, 10, 1);
    }
    if (stage >= CRASH_WHERE)
        put_where(&t, &r->where, ", ");
    if (stage < CRASH_WHERE || !r->where.is_worker)
        put_activities(&t, activities, count);
    if (stage >= CRASH_BEGUN && r->is_fault) {
        put(&t, ", at address ");
        put_hex(&t, r->address, 1);
    }
    if (stage >= CRASH_WHOLE) {
        put(&t, "; backtrace:");
        put_backtrace(&t, r);
    } else if (stage >= CRASH_BEGUN && r->pc != 0) {
        put(&t, ", in");
        put_frame(&t, r->pc);
    }
    return line_end(&t, out);
}

size_t crash_trace_line(char *out, size_t size, enum mario_log_format format, const struct crash_record *r)
{
    struct text t = line_begin(out, size, format == MARIO_LOG_JSON, "backtrace of process ");
    put_number(&t, (uint64_t) getpid(), 10, 1);
    put(&t, ", thread ");
    put_number(&t, (uint64_t) r->thread, 10, 1);
    put(&t, ":");
    put_backtrace(&t, r);
    return line_end(&t, out);
}

void crash_head(char *out, size_t size, const char *what, int sig, uint64_t up_ms)
{
    struct text t = {.at = out, .end = out + size - 1};
    put(&t, what);
    put(&t, " ");
    put_number(&t, (uint64_t) getpid(), 10, 1);
    put(&t, ", signal ");
    put_number(&t, (uint64_t) sig, 10, 1);
    put(&t, " (");
    put(&t, crash_signal_name(sig));
    put(&t, "), up ");
    put_number(&t, up_ms / 1000, 10, 1);
    put(&t, ".");
    put_number(&t, up_ms % 1000, 10, 3);
    put(&t, " s");
    *t.at = '\0';
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

static int open_log(const char *log)
{
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK;
    int fd = open(log, flags, 0640);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && crash_is_dying()) {
        close(STDIN_FILENO); /* we die: one of ours for the last words */
        fd = open(log, flags, 0640);
    }
    return fd;
}

static bool append_to_file(const char *file, const char *line, size_t n)
{
    int fd = open_log(file);
    bool done = fd >= 0 && complain_bytes(fd, line, n);
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
        complain_bytes(STDERR_FILENO, line, n);
}

void crash_localtime(void)
{
    struct tm tm;
    time_t now = time(NULL);
    if (localtime_r(&now, &tm) != NULL)
        atomic_store_explicit(&gmt_offset, tm.tm_gmtoff, memory_order_relaxed);
}
