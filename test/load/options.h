/*
 * options.h: what the command line of mario_load asks for. Constant once read.
 */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "test/lib/exchange.h"
#include "test/lib/net.h"
#include "test/lib/secure_args.h"

struct mode;

struct load_options {
    struct net_targets targets;
    const struct mode *mode;
    enum exchange_framing framing; /* of all that is asked */
    struct exchange exchange;      /* what is asked, over and over */
    struct exchange login;         /* what idle connections ask, once */
    uint32_t connections;          /* that work */
    uint32_t idle;                 /* that log in and stay */
    uint32_t inflight;             /* requests without an answer that a connection may have */
    uint32_t threads;              /* 1 .. connections + idle */
    double rate;                   /* requests a second in all; 0 = as fast as answers come */
    double warmup_s, measure_s, timeout_s;
    double heartbeat_s;   /* hold: each connection is asked once in this time */
    double ramp;          /* hold: connections opened a second; 0 = as fast as they are answered */
    double churn;         /* hold: connections closed and opened again a second */
    double active;        /* hold: requests a second on connections chosen by chance */
    uint32_t slow;        /* hold: clients that read a few bytes a second, besides */
    uint32_t stopped;     /* hold: and that do not read */
    uint32_t broadcasts;  /* hold: said to all at the end */
    struct exchange join; /* hold: what takes a connection into the group to which they are said */
    uint32_t publishers;  /* push: connections that say something, besides */
    uint32_t groups;      /* push: that they speak to */
    uint32_t joins;       /* push: how many of these each of the others is in */
    uint32_t size;        /* push: bytes of a message */
    uint64_t first_group; /* push: its number; the others follow */
    bool reconnect;       /* push: a connection that ends is made again at the next server */
    struct secure_args tls;
    const char *host;      /* as it was given; NULL: a unix socket, or several */
    pid_t server;          /* whose CPU is measured; 0 = nobody's */
    const char *json;      /* a path, "-" for standard output, or NULL */
    const char *histogram; /* the same */
    const char *akg_name;  /* as it was given */
    bool verbose;          /* status lines also when standard error is no terminal */
};

/* Read the command line. Returns -1 to go on, or the exit code after a complaint, -h or -V. Main thread. */
int options_read(int argc, char **argv, struct load_options *o);

#endif
