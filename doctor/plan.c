/*
 * plan.c: what a configuration asks of the machine, and until when its certificates are good. Pure, but for these.
 */
#include "check.h"

#include <string.h>
#include <time.h>

enum {
    USER_BYTES =
        360, /* a connection in the process: its place, libevent's entry, its user (docs/tuning.md) */
    TLS_BYTES = 15000, /* more with tls=: docs/tls.md */
    SLIM_BYTES = 600,
    KERNEL_BYTES = 4608, /* its socket, descriptor and entry of epoll */
    WORKER_BYTES = 1 << 20,
    STACK_BYTES = 64 << 10, /* of a thread's stack, as far as it is touched */
    READERS = 1000,         /* of so many connections one does not read */
    DESCRIPTORS_WORKER = 8, /* somewhat more than are needed: what a library opens at start counts too */
    DESCRIPTORS_BESIDES = 80,
    THREADS_BESIDES = 8, /* master, log, memory, replacing, cluster, admin */
    WMEM_MAX = 4194304,
    DAY = 86400
};

/* How many connections fit where the number is left open. */
static uint64_t auto_connections(const struct machine *m, uint64_t workers, uint64_t besides)
{
    uint64_t each = m->nofile == MACHINE_NONE || m->nofile <= besides ? MARIO_CONNNUM_AUTO_MAX
                                                                      : (m->nofile - besides) / workers;
    return workers * (each > MARIO_CONNNUM_AUTO_MAX ? MARIO_CONNNUM_AUTO_MAX : each);
}

static bool is_local(const char *list)
{
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += strspn(at, ", \t");
        if (strncmp(at, "unix:", 5) != 0)
            return false;
    }
    return true;
}

/* Which certificate expires first; those that cannot be read were refused before. */
static void look_at_certificates(struct plan *plan, const struct maritcp_conf *conf)
{
    sint64 now = (sint64) time(NULL);
    for (uint32 i = 0; i < conf->certificate_count; i++) {
        struct mario_tls_certificate c;
        char why[256];
        if (mario_tls_describe(&conf->certificates[i], &c, why, sizeof why) != 0)
            continue;
        sint64 left = c.not_after - now, days = left < 0 ? -1 + (left + 1) / DAY : left / DAY;
        if (plan->certificates == 0 || days < plan->expiry_days) {
            plan->expiry_days = days;
            snprintf(plan->expiry_name, sizeof plan->expiry_name, "%s", c.name);
        }
        plan->certificates++;
    }
}

void plan_make(struct plan *plan, const struct maritcp_conf *conf, const struct machine *m)
{
    const struct mario_options *o = &conf->server;
    uint64_t cores = m->cores != 0 ? m->cores : mario_cores(), wmem[3] = {0, 0, WMEM_MAX}, stuck;
    unsigned count;
    if (m->quota < cores)
        cores = m->quota;
    if (!machine_numbers(m, "/proc/sys/net/ipv4/tcp_wmem", wmem, 3, &count) || count < 3)
        wmem[2] = WMEM_MAX;
    *plan = (struct plan){.conf = conf, .is_local = is_local(conf->listen)};
    plan->workers = o->workernum != 0 ? o->workernum : cores;
    uint64_t besides = DESCRIPTORS_BESIDES + plan->workers * DESCRIPTORS_WORKER;
    plan->connections =
        o->connnum != 0 ? plan->workers * o->connnum : auto_connections(m, plan->workers, besides);
    plan->descriptors = plan->connections + besides;
    plan->threads = plan->workers + o->offload_threads + THREADS_BESIDES;
    plan->has_tls = strstr(conf->listen, " tls=") != NULL;
    plan->bytes_each = USER_BYTES + (!plan->has_tls                     ? 0
                                     : o->tls_records == MARIO_TLS_SLIM ? SLIM_BYTES
                                                                        : TLS_BYTES);
    plan->bytes = plan->connections * (plan->bytes_each + KERNEL_BYTES) + plan->workers * WORKER_BYTES +
                  plan->threads * STACK_BYTES;
    look_at_certificates(plan, conf);
    stuck = plan->connections / READERS + 1;
    plan->bytes_all = plan->bytes + o->push_memory + stuck * (o->output_max + wmem[2]);
}
