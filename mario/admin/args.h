/*
 * args.h: the words behind a command, read one key at a time. A word that is wrong refuses the answer itself, with a
 * line that says which and what is allowed; args_good() at the end says whether the command may go on.
 *
 * A key is what a word begins with, its operator included: "limit=", "age>". What begins with no key is a plain word.
 */
#ifndef MARIO_ADMIN_ARGS_H
#define MARIO_ADMIN_ARGS_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/base/cidr.h"
#include "mario/mario_admin.h"

#define ARGS_MAX 32u /* words behind a command */

struct args {
    struct mario_answer *a;
    uint32_t argc;
    const char *const *argv;
    uint32_t used; /* a bit for each word that was read */
    bool wrong;
};

struct args args_of(struct mario_answer *a, uint32_t argc, const char *const argv[]);

/* Whether it is there, and good: then *value is set, else it stays. */
bool args_number(struct args *s, const char *key, uint64_t *value, uint64_t min, uint64_t max);
bool args_text(struct args *s, const char *key, const char **value);
/* Seconds, or with a unit: 90, 90s, 15m, 2h, 1d; in seconds. */
bool args_duration(struct args *s, const char *key, uint64_t *value, uint64_t max);
/* A network or an address. */
bool args_cidr(struct args *s, const char *key, struct cidr *value);
/* "WORKER.SLOT.GENERATION", as mario_answer_id() writes it; key may be "": the next plain word. */
bool args_id(struct args *s, const char *key, uint64_t *value);
/* A connection's id from text. */
bool id_parse(const char *text, uint64_t *id);
/* Which of names[0 .. count-1]. */
bool args_choice(struct args *s, const char *key, const char *const *names, uint32_t count, uint32_t *value);

/* Whether this very word is there, as "--yes". */
bool args_flag(struct args *s, const char *word);
/* The next word that was not read. Behind what has keys. */
bool args_word(struct args *s, const char **word);
/* The same as a number, its name for the line that says what is wrong. */
bool args_word_number(struct args *s, const char *name, uint64_t *value, uint64_t min, uint64_t max);

/* Nothing was wrong, and no word is left that nobody has read. */
bool args_good(struct args *s);

#endif
