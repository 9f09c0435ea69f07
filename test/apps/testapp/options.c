/*
 * options.c: the command line. Main thread, before the server is made.
 *
 *     testapp [-o section.key=value]...      the keys of maritcp.conf's sections, and
 *         test.connected = none | greet | refuse | close | big | stick | die   what the connected hook does;
 *                                                 stick: worker 0 blocks until TEST_UNSTICK, the first time
 *         test.end = none | write | slow            what the end hooks do besides checking; slow: they take 2 ms
 *         test.stderr = full                        standard error is a pipe that is full and nobody reads
 * test.leave = tell | stick | close what the leave function does: TEST_LEAVING; and blocks, the first time; or
 *                                   closes and fails
 *         test.urgent = tell | big | close | fail | stick   what the function for urgent data does: TEST_URGENT; and
 *                                   4 MiB more; closes; fails; blocks until TEST_UNSTICK
 *         test.hooks = on | off
 *         test.offload = on | off       the offloaded commands
 *         test.route = on | off         a way to other servers, see route.c
 *         test.early = thread | twice   mario_supervise() with other threads, and in its own child
 *         test.early = daemon       run_daemon() before that
 *         test.early = usr1 | sigwait   a handler of its own for USR1; a thread that waits for it
 *         cluster.bus = - | redis | nats and all other keys of cluster.*
 *         tls.* and sections of TLS: see secure.c
 *         test.listen2 = ADDRESS    init gets server.listen and this; mario_supervise() only the first
 */
#include "app.h"

#include <fcntl.h>

static _Noreturn void bad_option(const char *text)
{
    fprintf(stderr, "testapp: what is -o %s?\n", text);
    exit(1);
}

/* The number behind `=`, with k or m. */
static uint32 number_of(const char *text)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    return (uint32) (*end == 'k' ? n << 10 : *end == 'm' ? n << 20 : n);
}

static bool set_number(struct mario_options *o, const char *key, const char *value)
{
    const struct {
        const char *key;
        uint32 *place;
    } numbers[] = {
        {"server.workernum", &o->workernum},
        {"server.connnum", &o->connnum},
        {"server.timeout", &o->timeout},
        {"server.write_timeout", &o->write_timeout},
        {"server.packet_timeout", &o->packet_timeout},
        {"server.keepalive", &o->keepalive},
        {"server.max_pkglen", &o->max_pkglen},
        {"server.backlog", &o->backlog},
        {"server.drain_timeout", &o->drain_timeout},
        {"server.linger", &o->linger},
        {"drain.time", &o->drain_time},
        {"drain.rate", &o->drain_rate},
        {"drain.delay", &o->drain_delay},
        {"drain.spread", &o->drain_spread},
        {"output.high", &o->output_high},
        {"output.max", &o->output_max},
        {"watch.warn_ms", &o->watch_warn_ms},
        {"watch.replace_ms", &o->watch_replace_ms},
        {"watch.replace_max", &o->watch_replace_max},
        {"watch.master_ms", &o->watch_master_ms},
        {"offload.threads", &o->offload_threads},
        {"offload.queue", &o->offload_queue},
        {"push.queue", &o->push_queue},
        {"push.bytes", &o->push_bytes},
        {"push.groups", &o->push_groups},
        {"push.memory", &o->push_memory},
        {"push.lowat", &o->push_lowat},
        {"push.ring", &o->push_ring},
        {"admit.rate", &o->admit_rate},
        {"admit.ip_conns", &o->admit_ip_conns},
        {"admit.ip_rate", &o->admit_ip_rate},
        {"admit.net_conns", &o->admit_net_conns},
        {"admit.net_rate", &o->admit_net_rate},
        {"admit.v4_net", &o->admit_v4_net},
        {"admit.v6_host", &o->admit_v6_host},
        {"admit.v6_net", &o->admit_v6_net},
        {"admit.ban_after", &o->admit_ban_after},
        {"admit.ban_seconds", &o->admit_ban_seconds},
        {"admit.table", &o->admit_table},
        {"admit.first_packet", &o->admit_first_packet},
        {"slow.ms", &o->slow_ms},
        {"slow.keep", &o->slow_keep},
        {"limit.packets", &o->limit_packets},
        {"limit.bytes", &o->limit_bytes},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (strcmp(numbers[i].key, key) == 0) {
            *numbers[i].place = number_of(value);
            return true;
        }
    }
    return false;
}

static bool set_connected(const char *value)
{
    static const char *const names[] = {"none", "greet", "refuse", "close", "big", "stick", "die"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], value) == 0) {
            app.connected_mode = (enum connected_mode) i;
            return true;
        }
    }
    return false;
}

static bool set_urgent(const char *value)
{
    static const char *const names[] = {"tell", "big", "close", "fail", "stick"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], value) == 0) {
            app.urgent_mode = (enum urgent_mode) i;
            return true;
        }
    }
    return false;
}

static bool set_slow(struct mario_options *o, const char *value)
{
    static const char *const names[] = {"close", "drop_oldest", "drop_newest", "coalesce"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], value) == 0) {
            o->push_slow = (enum mario_slow) i;
            return true;
        }
    }
    return false;
}

/* Those that are not the library's. */
static bool set_own_word(const char *key, const char *value)
{
    bool on = strcmp(value, "on") == 0;
    if (strcmp(key, "test.connected") == 0)
        return set_connected(value);
    else if (strcmp(key, "test.end") == 0)
        app.end_mode = strcmp(value, "write") == 0  ? END_WRITES
                       : strcmp(value, "slow") == 0 ? END_IS_SLOW
                                                    : END_ONLY_CHECKS;
    else if (strcmp(key, "test.stderr") == 0)
        app.stderr_is_full = strcmp(value, "full") == 0;
    else if (strcmp(key, "test.leave") == 0)
        app.leave_mode = strcmp(value, "stick") == 0   ? LEAVE_STICKS
                         : strcmp(value, "close") == 0 ? LEAVE_CLOSES
                                                       : LEAVE_ONLY_TELLS;
    else if (strcmp(key, "test.urgent") == 0)
        return set_urgent(value);
    else if (strcmp(key, "test.hooks") == 0)
        app.with_hooks = on;
    else if (strcmp(key, "test.early") == 0)
        app.early = value;
    else if (strcmp(key, "test.listen2") == 0)
        app.listen2 = value;
    else if (strcmp(key, "test.route") == 0)
        app.with_route = on;
    else if (strcmp(key, "test.offload") == 0)
        app.with_offload = on;
    else
        return false;
    return true;
}

static bool set_word(struct mario_options *o, const char *key, const char *value)
{
    bool on = strcmp(value, "on") == 0;
    if (strcmp(key, "server.listen") == 0)
        o->listen = value;
    else if (strcmp(key, "server.strict_limits") == 0)
        o->strict_limits = on;
    else if (strcmp(key, "server.prefault") == 0)
        o->prefault = on;
    else if (strcmp(key, "server.assign") == 0)
        o->assign = strcmp(value, "least") == 0 ? MARIO_ASSIGN_LEAST : MARIO_ASSIGN_ROUND_ROBIN;
    else if (strcmp(key, "push.slow") == 0)
        return set_slow(o, value);
    else if (strcmp(key, "admit.allow_file") == 0)
        o->admit_allow_file = value;
    else if (strcmp(key, "admit.deny_file") == 0)
        o->admit_deny_file = value;
    else if (strcmp(key, "limit.action") == 0)
        o->limit_action = strcmp(value, "close") == 0 ? MARIO_LIMIT_CLOSE : MARIO_LIMIT_PAUSE;
    else if (strcmp(key, "stats.timing") == 0)
        o->stats_timing = strcmp(value, "off") == 0   ? MARIO_TIMING_OFF
                          : strcmp(value, "all") == 0 ? MARIO_TIMING_ALL
                                                      : MARIO_TIMING_SAMPLED;
    else if (strcmp(key, "push.uring") == 0)
        o->push_uring = strcmp(value, "auto") == 0 ? MARIO_URING_AUTO : MARIO_URING_OFF;
    else if (strcmp(key, "server.when_full") == 0)
        o->when_full = strcmp(value, "wait") == 0 ? MARIO_FULL_WAIT : MARIO_FULL_REFUSE;
    else if (strcmp(key, "log.file") == 0)
        app.log_file = o->death_log = value;
    else if (strcmp(key, "server.user") == 0)
        o->user = value;
    else if (strcmp(key, "admin.listen") == 0)
        o->admin_listen = value;
    else if (strcmp(key, "admin.hosts") == 0)
        o->admin_hosts = value;
    else if (strcmp(key, "admin.token_file") == 0)
        o->admin_token_file = value;
    else if (strcmp(key, "server.supervise") == 0)
        app.supervised = on;
    else if (strcmp(key, "log.level") == 0)
        mario_log_level(strcmp(value, "debug") == 0 ? MARIO_LOG_DEBUG : MARIO_LOG_INFO);
    else if (strcmp(key, "drain.on_term") == 0)
        o->drain_on_term = on;
    else
        return set_own_word(key, value);
    return true;
}

void stuff_stderr(void)
{
    static char much[65536];
    int fds[2];
    if (pipe(fds) != 0 || fcntl(fds[1], F_SETFL, O_NONBLOCK) != 0)
        return;
    for (size_t n = sizeof much; n > 0; n /= 2) {
        while (write(fds[1], much, n) > 0) {
        }
    }
    fcntl(fds[1], F_SETFL, 0);
    dup2(fds[1], STDERR_FILENO);
}

void set_option(struct mario_options *o, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL)
        bad_option(text);
    *equals = '\0';
    if (!set_number(o, text, equals + 1) && !set_word(o, text, equals + 1) &&
        !set_cluster(text, equals + 1) && !set_tls(o, text, equals + 1))
        bad_option(text);
}

void read_options(struct mario_options *o, int argc, char **argv)
{
    for (int opt; (opt = getopt(argc, argv, "o:")) != -1;) {
        if (opt != 'o')
            bad_option("?");
        set_option(o, optarg);
    }
}
