/*
 * checks.c: the table of checks, and those about settings of the kernel that are numbers: descriptors, queues, buffers
 * of TCP. Pure.
 */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAGE UINT64_C(4096)

static void check_nofile(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_nr_open(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_file_max(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_watches(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_somaxconn(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_syn_backlog(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_tcp_mem(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_rmem(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_wmem(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_conntrack(const struct plan *plan, const struct machine *m, struct finding *f);
static void check_orphans(const struct plan *plan, const struct machine *m, struct finding *f);

const struct check checks[] = {
    {"nofile", check_nofile},
    {"nr_open", check_nr_open},
    {"file-max", check_file_max},
    {"max_user_watches", check_watches},
    {"somaxconn", check_somaxconn},
    {"tcp_max_syn_backlog", check_syn_backlog},
    {"tcp_mem", check_tcp_mem},
    {"tcp_rmem", check_rmem},
    {"tcp_wmem", check_wmem},
    {"conntrack", check_conntrack},
    {"orphans", check_orphans},
    {"memory", check_memory},
    {"cgroup memory", check_cgroup_memory},
    {"overcommit", check_overcommit},
    {"huge pages", check_huge_pages},
    {"swap", check_swap},
    {"threads", check_threads},
    {"cores", check_cores},
    {"clock", check_clock},
    {"overflows", check_overflows},
    {"certificates", check_certificates},
};
const size_t check_count = sizeof checks / sizeof checks[0];

void check_run(const struct check *c, const struct plan *plan, const struct machine *m, struct finding *f)
{
    memset(f, 0, sizeof *f);
    c->look(plan, m, f);
    for (char *at = f->found; *at != '\0'; at++) { /* what was read is for a terminal */
        if (*at < ' ' || *at > '~')
            *at = '?';
    }
}

/* ---- What they share ---- */

struct check_bytes check_bytes(uint64_t n)
{
    static const char *const units[] = {"bytes", "KB", "MB", "GB", "TB"};
    struct check_bytes b;
    double value = (double) n;
    size_t u = 0;
    while (value >= 1000 && u < sizeof units / sizeof units[0] - 1) {
        value /= 1000;
        u++;
    }
    snprintf(b.text, sizeof b.text, u > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value, units[u]);
    return b;
}

static void number(char *text, size_t size, uint64_t n)
{
    if (n == MACHINE_NONE)
        snprintf(text, size, "no limit");
    else
        snprintf(text, size, "%llu", (unsigned long long) n);
}

void check_unread(struct finding *f, const char *path)
{
    int err = errno;
    f->verdict = VERDICT_WARN;
    snprintf(f->found, sizeof f->found, "%.100s cannot be read: %s", path, strerror(err));
    snprintf(f->todo, sizeof f->todo, "look yourself; in a container this may be seen outside of it alone");
    if (f->wanted[0] == '\0')
        snprintf(f->wanted, sizeof f->wanted, "to be read");
}

/* The line that sets /proc/sys/PATH, for sysctl.conf, and the command that does it now. */
__attribute__((format(printf, 3, 4))) static void set_sysctl(struct finding *f, const char *path,
                                                             const char *fmt, ...)
{
    char key[64], value[64];
    va_list args;
    va_start(args, fmt);
    vsnprintf(value, sizeof value, fmt, args);
    va_end(args);
    snprintf(key, sizeof key, "%s", path);
    for (char *at = key; (at = strchr(at, '/')) != NULL;)
        *at = '.';
    snprintf(f->sysctl, sizeof f->sysctl, "%s = %s", key, value);
    snprintf(f->todo, sizeof f->todo, "sysctl -w %s=%s%s%s", key, strchr(value, ' ') ? "'" : "", value,
             strchr(value, ' ') ? "'" : "");
}

void check_at_least(const struct machine *m, struct finding *f, const char *path, uint64_t wanted,
                    enum verdict verdict)
{
    char full[128];
    uint64_t n;
    snprintf(full, sizeof full, "/proc/sys/%s", path);
    snprintf(f->wanted, sizeof f->wanted, "at least %llu", (unsigned long long) wanted);
    if (!machine_number(m, full, &n)) {
        check_unread(f, full);
        return;
    }
    number(f->found, sizeof f->found, n);
    if (n >= wanted)
        return;
    f->verdict = verdict;
    set_sysctl(f, path, "%llu", (unsigned long long) wanted);
}

#define WHY(f, ...) snprintf((f)->why, sizeof(f)->why, __VA_ARGS__)

/* What need not be looked at. */
static void is_none(struct finding *f, const char *found, const char *why)
{
    f->verdict = VERDICT_OK;
    snprintf(f->found, sizeof f->found, "%s", found);
    snprintf(f->wanted, sizeof f->wanted, "nothing");
    WHY(f, "%s", why);
}

/* ---- Descriptors ---- */

static void check_nofile(const struct plan *plan, const struct machine *m, struct finding *f)
{
    const struct mario_options *o = &plan->conf->server;
    uint64_t besides = plan->descriptors - plan->connections;
    snprintf(f->wanted, sizeof f->wanted, "%llu, for %llu connections",
             (unsigned long long) plan->descriptors, (unsigned long long) plan->connections);
    WHY(f, "each connection is a descriptor; the server raises its soft limit to the hard one, this");
    if (!m->knows_limits) {
        f->verdict = VERDICT_WARN;
        snprintf(f->found, sizeof f->found, "not known: %s", m->why_not);
        return;
    }
    number(f->found, sizeof f->found, m->nofile);
    bool none = m->nofile <= besides, few = o->connnum == 0 && plan->connections < 10000;
    if (m->nofile >= plan->descriptors && !few)
        return;
    if (m->may_raise && !none) {
        WHY(f, "it has the right (CAP_SYS_RESOURCE) to raise its limit by itself, up to fs.nr_open");
        return;
    }
    f->verdict = none || (!few && o->strict_limits) ? VERDICT_FAIL : VERDICT_WARN;
    if (few && !none)
        WHY(f, "server.connnum = 0 takes what the limit allows: only %llu connections",
            (unsigned long long) plan->connections);
    else if (f->verdict == VERDICT_FAIL)
        WHY(f, "each connection is a descriptor; with less the server does not start (server.strict_limits)");
    else
        WHY(f,
            "each connection is a descriptor; the server will take fewer connections (server.strict_limits = off)");
    uint64_t ask = few ? 1048576 : plan->descriptors;
    if (m->unit[0] != '\0')
        snprintf(f->todo, sizeof f->todo, "systemctl edit %s   # [Service] LimitNOFILE=%llu", m->unit,
                 (unsigned long long) ask);
    else
        snprintf(
            f->todo, sizeof f->todo,
            "ulimit -n %llu   # or LimitNOFILE=, limits.conf(5), --ulimit nofile=", (unsigned long long) ask);
}

static void check_nr_open(const struct plan *plan, const struct machine *m, struct finding *f)
{
    WHY(f, "no process may have more descriptors than this, whatever its limit");
    check_at_least(m, f, "fs/nr_open", plan->descriptors, VERDICT_FAIL);
}

static void check_file_max(const struct plan *plan, const struct machine *m, struct finding *f)
{
    uint64_t n[3], wanted;
    unsigned count;
    WHY(f, "files and sockets of all processes together; beyond, accept() fails with ENFILE");
    if (!machine_numbers(m, "/proc/sys/fs/file-nr", n, 3, &count) || count < 3) {
        check_unread(f, "/proc/sys/fs/file-nr");
        return;
    }
    wanted = n[0] + plan->descriptors;
    snprintf(f->found, sizeof f->found, "%llu, of which %llu are taken", (unsigned long long) n[2],
             (unsigned long long) n[0]);
    snprintf(f->wanted, sizeof f->wanted, "%llu more", (unsigned long long) plan->descriptors);
    if (wanted + wanted / 10 <= n[2])
        return;
    f->verdict = wanted > n[2] ? VERDICT_FAIL : VERDICT_WARN;
    wanted += wanted / 2;
    set_sysctl(f, "fs/file-max", "%llu", (unsigned long long) wanted);
}

static void check_watches(const struct plan *plan, const struct machine *m, struct finding *f)
{
    WHY(f,
        "what one user may have epoll look at; beyond, connections are closed as soon as they are accepted");
    check_at_least(m, f, "fs/epoll/max_user_watches", plan->descriptors, VERDICT_FAIL);
}

/* ---- Queues ---- */

static void check_somaxconn(const struct plan *plan, const struct machine *m, struct finding *f)
{
    WHY(f, "server.backlog is %u, and the kernel cuts it to this; when it is full, clients wait seconds",
        plan->conf->server.backlog);
    check_at_least(m, f, "net/core/somaxconn", plan->conf->server.backlog, VERDICT_WARN);
}

static void check_syn_backlog(const struct plan *plan, const struct machine *m, struct finding *f)
{
    if (plan->is_local) {
        is_none(f, "no TCP", "it listens on unix sockets alone");
        return;
    }
    WHY(f,
        "handshakes that are not finished; with fewer than server.backlog the kernel falls back to SYN cookies");
    check_at_least(m, f, "net/ipv4/tcp_max_syn_backlog", plan->conf->server.backlog, VERDICT_WARN);
}

/* ---- Buffers ---- */

static void check_tcp_mem(const struct plan *plan, const struct machine *m, struct finding *f)
{
    uint64_t n[3], wanted = plan->connections + plan->connections / 2;
    unsigned count;
    if (plan->is_local) {
        is_none(f, "no TCP", "it listens on unix sockets alone");
        return;
    }
    WHY(f,
        "pages that data in all sockets may take; a page on its way for each connection must fit, or what was "
        "received is dropped");
    if (!machine_numbers(m, "/proc/sys/net/ipv4/tcp_mem", n, 3, &count) || count < 3) {
        check_unread(f, "/proc/sys/net/ipv4/tcp_mem");
        return;
    }
    snprintf(f->found, sizeof f->found, "%llu %llu %llu", (unsigned long long) n[0],
             (unsigned long long) n[1], (unsigned long long) n[2]);
    snprintf(f->wanted, sizeof f->wanted, "the third at least %llu (%s)",
             (unsigned long long) plan->connections, check_bytes(plan->connections * PAGE).text);
    if (n[2] >= plan->connections)
        return;
    f->verdict = VERDICT_WARN;
    set_sysctl(f, "net/ipv4/tcp_mem", "%llu %llu %llu", (unsigned long long) wanted / 2,
               (unsigned long long) wanted * 2 / 3, (unsigned long long) wanted);
}

/* What each socket may hold before the kernel looks at what all have: for all of them at once it must not be more than
 * tcp_mem, or a storm on a quiet million is cut off. */
static void check_buffer(const struct plan *plan, const struct machine *m, struct finding *f,
                         const char *path)
{
    char full[64];
    uint64_t n[3], pages[3], most;
    unsigned count;
    if (plan->is_local) {
        is_none(f, "no TCP", "it listens on unix sockets alone");
        return;
    }
    WHY(f,
        "bytes of a socket: least, at first, at most; if all of %llu connections are busy at once they may hold "
        "that much each, and tcp_mem is what there is",
        (unsigned long long) plan->connections);
    snprintf(full, sizeof full, "/proc/sys/%s", path);
    if (!machine_numbers(m, full, n, 3, &count) || count < 3) {
        check_unread(f, full);
        return;
    }
    snprintf(f->found, sizeof f->found, "%llu %llu %llu", (unsigned long long) n[0],
             (unsigned long long) n[1], (unsigned long long) n[2]);
    if (!machine_numbers(m, "/proc/sys/net/ipv4/tcp_mem", pages, 3, &count) || count < 3) {
        check_unread(f, "/proc/sys/net/ipv4/tcp_mem");
        return;
    }
    most = pages[2] * PAGE / (plan->connections + 1) / PAGE * PAGE;
    most = most < PAGE ? PAGE : most;
    snprintf(f->wanted, sizeof f->wanted, "the second at most %llu", (unsigned long long) most);
    if (n[1] <= most)
        return;
    f->verdict = VERDICT_WARN;
    set_sysctl(f, path, "%llu %llu %llu", (unsigned long long) (n[0] < most ? n[0] : most),
               (unsigned long long) most, (unsigned long long) n[2]);
}

static void check_rmem(const struct plan *plan, const struct machine *m, struct finding *f)
{
    check_buffer(plan, m, f, "net/ipv4/tcp_rmem");
}

static void check_wmem(const struct plan *plan, const struct machine *m, struct finding *f)
{
    check_buffer(plan, m, f, "net/ipv4/tcp_wmem");
}

/* ---- Tables ---- */

static void check_conntrack(const struct plan *plan, const struct machine *m, struct finding *f)
{
    static const char path[] = "/proc/sys/net/netfilter/nf_conntrack_max";
    uint64_t n, wanted = plan->connections + plan->connections / 4;
    if (plan->is_local) {
        is_none(f, "no TCP", "it listens on unix sockets alone");
        return;
    }
    if (!machine_number(m, path, &n) && errno == ENOENT) {
        is_none(f, "none", "no firewall here remembers connections");
        return;
    }
    WHY(f, "a firewall here remembers connections; when its table is full, packets of new ones are dropped");
    check_at_least(m, f, path + sizeof "/proc/sys/" - 1, wanted, VERDICT_FAIL);
}

static void check_orphans(const struct plan *plan, const struct machine *m, struct finding *f)
{
    uint64_t wanted = plan->connections / 4;
    if (plan->is_local) {
        is_none(f, "no TCP", "it listens on unix sockets alone");
        return;
    }
    WHY(f,
        "sockets that are closed here while their last bytes are under way; beyond, the kernel resets them");
    check_at_least(m, f, "net/ipv4/tcp_max_orphans", wanted < 4096 ? 4096 : wanted, VERDICT_WARN);
}
