/*
 * conn_filter.c: which connections an operator means. Reading it: the admin thread; looking with it: any, pure.
 */
#include "mario/admin/conn_filter.h"

#include "mario/conn/secure_look.h"

enum { SECONDS_MAX = 400000000 /* what the clock of struct conn_seen can tell apart */ };

static void read_state(struct conn_filter *f, struct args *args)
{
    const char *names[CONN_STATES - 1];
    uint32_t which;
    for (uint32_t i = CONN_FREE + 1; i < CONN_STATES; i++)
        names[i - 1] = conn_state_name((enum conn_state) i);
    f->states = ~(UINT32_C(1) << CONN_FREE);
    if (!args_choice(args, "state=", names, CONN_STATES - 1, &which))
        return;
    f->states = UINT32_C(1) << (which + 1);
    f->any = true;
}

static void read_look(struct conn_filter *f, struct args *args)
{
    const char *names[SECURE_LOOK_COUNT];
    uint32_t which;
    for (uint32_t i = 0; i < SECURE_LOOK_COUNT; i++)
        names[i] = secure_look_name((enum secure_look) i);
    f->looks = UINT32_MAX;
    if (!args_choice(args, "tls=", names, SECURE_LOOK_COUNT, &which))
        return;
    f->looks = UINT32_C(1) << which;
    f->any = true;
}

/* age>N, idle>N: seconds, or with a unit; in tenths of them. */
static bool read_time(struct args *args, const char *key, uint64_t *tenths)
{
    uint64_t seconds;
    if (!args_duration(args, key, &seconds, SECONDS_MAX))
        return false;
    *tenths = seconds * 10;
    return true;
}

void conn_filter_read(struct conn_filter *f, struct args *args, uint32_t workernum)
{
    uint64_t n;
    *f = (struct conn_filter){.any = false};
    read_state(f, args);
    read_look(f, args);
    if ((f->has_worker = args_number(args, "worker=", &n, 0, workernum - 1)))
        f->worker = (uint32_t) n;
    f->has_net = args_cidr(args, "ip=", &f->net);
    f->has_age = read_time(args, "age>", &f->age);
    f->has_idle = read_time(args, "idle>", &f->idle);
    f->has_pending = args_number(args, "pending>", &f->pending, 0, UINT64_MAX);
    f->any = f->any || f->has_worker || f->has_net || f->has_age || f->has_idle || f->has_pending;
}

bool conn_filter_has(const struct conn_filter *f, const struct conn_row *r)
{
    return conn_filter_has_state(f, r->state) && (f->looks & UINT32_C(1) << r->tls) != 0 &&
           (!f->has_age || r->age > f->age) && (!f->has_idle || r->idle > f->idle) &&
           (!f->has_pending || r->pending > f->pending) &&
           (!f->has_net || (r->peer.port != 0 && cidr_has(&f->net, r->peer.address)));
}
