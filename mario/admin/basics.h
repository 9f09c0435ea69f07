/*
 * basics.h: commands about the server as a whole: help, stats, reasons, listeners, limits, log.
 */
#ifndef MARIO_ADMIN_BASICS_H
#define MARIO_ADMIN_BASICS_H

#include <stdbool.h>

/* Before start. False after a line on standard error. */
__attribute__((warn_unused_result)) bool basics_regist(void);

#endif
