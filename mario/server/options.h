/*
 * options.h: whether options make sense. For the thread that makes the server.
 */
#ifndef MARIO_SERVER_OPTIONS_H
#define MARIO_SERVER_OPTIONS_H

#include <stdbool.h>

#include "mario/mario_server.h"

/* False after a line on standard error that names the option and its range. */
__attribute__((warn_unused_result)) bool options_check(const struct mario_options *o);

#endif
