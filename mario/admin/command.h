/*
 * command.h: the command table: one for all doors, for rooms of the library and for applications.
 */
#ifndef MARIO_ADMIN_COMMAND_H
#define MARIO_ADMIN_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_admin.h"

struct command {
    const char *name; /* one or two words */
    const char *usage;
    const char *help;
    enum mario_command_kind kind;
    MARIO_COMMAND_FUNC f;
    void *arg;
};

/* The library's own, as rows of a table that is constant. Before start; a second time is nothing. False after a line
 * on standard error: a name is taken. */
__attribute__((warn_unused_result)) bool commands_regist(const struct command *rows, uint32_t count);

/* The one that words[0 .. count-1] begin with, and how many of them are its name; NULL if there is none. */
const struct command *command_find(const char *const *words, uint32_t count, uint32_t *used);

/* All of them, in the order of their names. Constant once the server runs. */
uint32_t command_count(void);
const struct command *command_at(uint32_t i);

#endif
