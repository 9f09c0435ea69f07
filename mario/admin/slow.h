/*
 * slow.h: the command `slow`: the last calls that took too long. The admin thread.
 */
#ifndef MARIO_ADMIN_SLOW_H
#define MARIO_ADMIN_SLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_admin.h"

/* Before start. */
__attribute__((warn_unused_result)) bool slow_regist(void);

/* A list of the last `most` slow calls, the last one first. */
void slow_put_list(struct mario_answer *a, const char *key, uint32_t most);

#endif
