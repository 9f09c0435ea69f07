/*
 * options.h: what options are when nobody sets them, and whether they make sense. For the thread that makes the server.
 */
#ifndef MARIO_SERVER_OPTIONS_H
#define MARIO_SERVER_OPTIONS_H

#include <stdbool.h>

#include "mario/mario_server.h"

/* As mario_options_init(), but where the arguments of init_server() do not say it as 0.9.9 had it: packets of at most
 * MAX_PKG_LEN bytes, for which its programs have buffers, and no deadline for the rest of one, as its clients send
 * bytes behind a packet that begin no other. */
void options_init_old(struct mario_options *o);

/* False after a line on standard error that names the option and its range. */
__attribute__((warn_unused_result)) bool options_check(const struct mario_options *o);

#endif
