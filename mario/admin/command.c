/*
 * command.c: the command table. Written before start by the thread that registers, then constant.
 */
#include "mario/admin/command.h"

#include <stdlib.h>
#include <string.h>

#include "mario/base/complain.h"
#include "mario/exec/registry.h"

enum { NAME_MAX_BYTES = 48 };

static struct command table[MARIO_COMMANDS_MAX]; /* in the order of their names */
static uint32_t count;

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* One or two words with one blank between. */
static bool is_name(const char *name)
{
    uint32_t words = 1;
    if (strlen(name) > NAME_MAX_BYTES || !is_letter(name[0]))
        return false;
    for (size_t i = 0; name[i] != '\0'; i++) {
        if (name[i] == ' ' && is_letter(name[i + 1]))
            words++;
        else if (!is_letter(name[i]))
            return false;
    }
    return words <= 2;
}

/* The place of this name, or where it belongs. */
static uint32_t place_of(const char *name, bool *taken)
{
    uint32_t i = 0;
    while (i < count && strcmp(table[i].name, name) < 0)
        i++;
    *taken = i < count && strcmp(table[i].name, name) == 0;
    return i;
}

static bool insert(const struct command *c)
{
    bool taken;
    uint32_t i = place_of(c->name, &taken);
    if (taken || count == MARIO_COMMANDS_MAX)
        return taken && table[i].f == c->f && table[i].arg == c->arg;
    memmove(&table[i + 1], &table[i], (count - i) * sizeof table[0]);
    table[i] = *c;
    count++;
    return true;
}

bool commands_regist(const struct command *rows, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (!insert(&rows[i]))
            return complain(
                "the command '%s' cannot be registered: its name is taken, or there are %u already",
                rows[i].name, MARIO_COMMANDS_MAX);
    }
    return true;
}

int32_t regist_command(enum mario_command_kind kind, const char *name, const char *usage, const char *help,
                       MARIO_COMMAND_FUNC f, void *arg)
{
    bool taken;
    struct command c = {.name = name, .usage = usage, .help = help, .kind = kind, .f = f, .arg = arg};
    if (registry_is_frozen() || f == NULL || help == NULL || usage == NULL || name == NULL ||
        !is_name(name) || (kind != MARIO_COMMAND_READS && kind != MARIO_COMMAND_CHANGES))
        return -1;
    place_of(name, &taken);
    return !taken && insert(&c) ? 0 : -1;
}

/* Whether name is the first, or the first two, of these words: how many, 0 if it is not. */
static uint32_t matches(const char *name, const char *const *words, uint32_t n)
{
    const char *blank = strchr(name, ' ');
    size_t first = blank != NULL ? (size_t) (blank - name) : strlen(name);
    if (n == 0 || strlen(words[0]) != first || memcmp(words[0], name, first) != 0)
        return 0;
    if (blank == NULL)
        return 1;
    return n > 1 && strcmp(words[1], blank + 1) == 0 ? 2 : 0;
}

const struct command *command_find(const char *const *words, uint32_t n, uint32_t *used)
{
    const struct command *best = NULL;
    *used = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t m = matches(table[i].name, words, n);
        if (m > *used) {
            *used = m;
            best = &table[i];
        }
    }
    return best;
}

uint32_t command_count(void)
{
    return count;
}

const struct command *command_at(uint32_t i)
{
    return &table[i];
}
