/*
 * conn_filter.h: which connections an operator means: worker= state= tls= ip=CIDR age>SECONDS idle>SECONDS
 * pending>BYTES. Read on the admin thread, then constant: workers look at their connections with it.
 */
#ifndef MARIO_ADMIN_CONN_FILTER_H
#define MARIO_ADMIN_CONN_FILTER_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/admin/args.h"
#include "mario/admin/conn_row.h"
#include "mario/base/cidr.h"

#define CONN_FILTER_USAGE \
    "[worker=N] [state=STATE] [tls=STATE] [ip=CIDR] [age>SECONDS] [idle>SECONDS] [pending>BYTES]"

struct conn_filter {
    bool any;        /* something is asked for, the worker included */
    bool has_worker; /* not looked at by conn_filter_has(): only this one is asked */
    bool has_net, has_age, has_idle, has_pending;
    uint32_t worker;
    uint32_t states; /* a bit for each enum conn_state */
    uint32_t looks;  /* a bit for each enum secure_look */
    struct cidr net;
    uint64_t age, idle; /* more than so many tenths of a second */
    uint64_t pending;   /* more than so many bytes */
};

/* What stands in the words; what is wrong refuses the answer. */
void conn_filter_read(struct conn_filter *f, struct args *args, uint32_t workernum);

/* Pure. */
static inline bool conn_filter_has_state(const struct conn_filter *f, uint32_t state)
{
    return (f->states & UINT32_C(1) << state) != 0;
}
bool conn_filter_has(const struct conn_filter *f, const struct conn_row *r);

#endif
