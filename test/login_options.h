/*
 * login_options.h: what mario_test is asked to do. Main thread.
 */
#ifndef TEST_LOGIN_OPTIONS_H
#define TEST_LOGIN_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "test/lib/exchange.h"
#include "test/lib/net.h"
#include "test/lib/secure_args.h"
#include "test/talk.h"

struct login_options {
    struct net_target target;
    uint32_t connections, logins, stx;
    uint16_t uid;
    double hold_s, timeout_s;
    const char *echo_text; /* NULL = numbered data */
    enum exchange_framing framing;
    bool hello, echo, quiet, help, version;
    struct talk talk;
    struct secure_args tls;
};

/* Read the command line. -1 to go on, or the exit code, after a line on standard error or what was asked for. */
int login_options_read(int argc, char **argv, struct login_options *o);

#endif
