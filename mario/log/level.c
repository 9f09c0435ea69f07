/*
 * level.c: levels and subsystems: their names, reading them from text, and which lines are wanted. Any
 * thread.
 */
#include <stdio.h>
#include <string.h>

#include "mario/base/text.h"
#include "mario/log/format.h"

const char *const log_level_names[] = {"err", "warn", "info", "debug"};

const char *const log_subsystem_names[MARIO_LOG_SUBSYSTEM_COUNT] = {
#define ROW(name) #name,
    MARIO_LOG_SUBSYSTEMS(ROW)
#undef ROW
};

enum { LEVELS = sizeof log_level_names / sizeof log_level_names[0], ITEM_SIZE = 48 };

static _Atomic uint8_t levels[MARIO_LOG_SUBSYSTEM_COUNT] = {
#define ROW(name) MARIO_LOG_INFO,
    MARIO_LOG_SUBSYSTEMS(ROW)
#undef ROW
};

bool log_wants_in(enum mario_log_subsystem subsystem, enum mario_log_level level)
{
    unsigned i = (unsigned) subsystem < MARIO_LOG_SUBSYSTEM_COUNT ? (unsigned) subsystem : MARIO_LOG_IN_app;
    return (unsigned) level <= atomic_load_explicit(&levels[i], memory_order_relaxed);
}

void mario_log_level_of(enum mario_log_subsystem subsystem, enum mario_log_level level)
{
    unsigned highest = level <= MARIO_LOG_DEBUG ? level : MARIO_LOG_DEBUG;
    if ((unsigned) subsystem < MARIO_LOG_SUBSYSTEM_COUNT)
        atomic_store_explicit(&levels[subsystem], (uint8_t) highest, memory_order_relaxed);
}

void mario_log_level(enum mario_log_level level)
{
    for (unsigned i = 0; i < MARIO_LOG_SUBSYSTEM_COUNT; i++)
        mario_log_level_of((enum mario_log_subsystem) i, level);
}

/* ---- From text ---- */

static int find(const char *word, const char *const *names, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(word, names[i]) == 0)
            return (int) i;
    }
    return -1;
}

/* What a list says: a level for each subsystem, and behind them the one for all; -1 where it says nothing. */
enum { FOR_ALL = MARIO_LOG_SUBSYSTEM_COUNT, SAID = MARIO_LOG_SUBSYSTEM_COUNT + 1 };

/* One part of the list, which is cut up for it. NULL, or what is wrong with *bad. */
static const char *read_item(char *item, bool first, int level[SAID], const char **bad)
{
    char *equals = strchr(item, '=');
    if (equals != NULL)
        *equals = '\0';
    const char *name = text_trim(item), *word = equals == NULL ? name : text_trim(equals + 1);
    int wanted = find(word, log_level_names, LEVELS);
    int subsystem = find(name, log_subsystem_names, MARIO_LOG_SUBSYSTEM_COUNT);
    *bad = equals != NULL && subsystem < 0 ? name : word;
    if (equals != NULL && subsystem < 0)
        return "is not one of the subsystems";
    if (wanted < 0)
        return "is not one of the words";
    if (equals == NULL && !first)
        return "is a level for all, which comes first";
    *bad = name;
    if (equals != NULL && level[subsystem] >= 0)
        return "is there twice";
    level[equals != NULL ? subsystem : FOR_ALL] = wanted;
    return NULL;
}

static bool read_levels(const char *text, int level[SAID], char *why, size_t size)
{
    for (unsigned i = 0; i < SAID; i++)
        level[i] = -1;
    for (const char *at = text; at != NULL;) {
        char item[ITEM_SIZE];
        const char *bad = item, *wrong = "is too long";
        size_t len = strcspn(at, ",");
        snprintf(item, sizeof item, "%.*s", (int) (len < sizeof item ? len : sizeof item - 1), at);
        if (len < sizeof item)
            wrong = read_item(item, at == text, level, &bad);
        if (wrong != NULL) {
            if (why != NULL && size > 0)
                snprintf(why, size, "'%s' %s", bad, wrong);
            return false;
        }
        at = at[len] == ',' ? at + len + 1 : NULL;
    }
    return true;
}

int32_t mario_log_levels_check(const char *text, char *why, uint32_t size)
{
    int level[SAID];
    return read_levels(text, level, why, size) ? 0 : -1;
}

int32_t mario_log_levels(const char *text, char *why, uint32_t size)
{
    int level[SAID];
    if (!read_levels(text, level, why, size))
        return -1;
    int all = level[FOR_ALL] >= 0 ? level[FOR_ALL] : MARIO_LOG_INFO;
    for (unsigned i = 0; i < MARIO_LOG_SUBSYSTEM_COUNT; i++)
        mario_log_level_of((enum mario_log_subsystem) i,
                           (enum mario_log_level)(level[i] >= 0 ? level[i] : all));
    return 0;
}
