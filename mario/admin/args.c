/*
 * args.c: the words behind a command. The admin thread.
 */
#include "mario/admin/args.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/id.h"

_Static_assert(ARGS_MAX <= 32, "used has a bit for each");

enum { DAY = 86400, HOUR = 3600, MINUTE = 60 };

struct args args_of(struct mario_answer *a, uint32_t argc, const char *const argv[])
{
    struct args s = {.a = a, .argc = argc, .argv = argv};
    if (argc > ARGS_MAX) {
        mario_answer_usage(a, "more than %u words", ARGS_MAX);
        s.wrong = true;
        s.argc = 0;
    }
    return s;
}

/* What stands behind the key in the first word that has it and was not read; NULL. */
static const char *take(struct args *s, const char *key)
{
    size_t len = strlen(key);
    for (uint32_t i = 0; i < s->argc; i++) {
        if ((s->used & UINT32_C(1) << i) == 0 && strncmp(s->argv[i], key, len) == 0) {
            s->used |= UINT32_C(1) << i;
            return s->argv[i] + len;
        }
    }
    return NULL;
}

/* The digits that *text begins with, which goes behind them. False if there are none, or too many. */
static bool digits(const char **text, uint64_t *value)
{
    uint64_t n = 0;
    const char *p = *text;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (n > (UINT64_MAX - 9) / 10)
            return false;
        n = n * 10 + (uint64_t) (*p - '0');
    }
    if (p == *text)
        return false;
    *text = p;
    *value = n;
    return true;
}

static bool number(struct args *s, const char *name, const char *text, uint64_t *value, uint64_t min,
                   uint64_t max)
{
    const char *p = text;
    uint64_t n;
    if (digits(&p, &n) && *p == '\0' && n >= min && n <= max) {
        *value = n;
        return true;
    }
    mario_answer_usage(s->a, "%s%s: not a number of %" PRIu64 "..%" PRIu64, name, text, min, max);
    s->wrong = true;
    return false;
}

bool args_number(struct args *s, const char *key, uint64_t *value, uint64_t min, uint64_t max)
{
    const char *text = take(s, key);
    return text != NULL && number(s, key, text, value, min, max);
}

bool args_text(struct args *s, const char *key, const char **value)
{
    const char *text = take(s, key);
    if (text != NULL)
        *value = text;
    return text != NULL;
}

bool args_duration(struct args *s, const char *key, uint64_t *value, uint64_t max)
{
    const char *text = take(s, key), *p = text;
    uint64_t n;
    if (text == NULL)
        return false;
    if (digits(&p, &n)) {
        uint64_t unit = *p == 'm' ? MINUTE : *p == 'h' ? HOUR : *p == 'd' ? DAY : 1;
        bool end = *p == '\0' || (strchr("smhd", *p) != NULL && p[1] == '\0');
        if (end && n <= max / unit) {
            *value = n * unit;
            return true;
        }
    }
    mario_answer_usage(s->a, "%s%s: not a time as 90, 90s, 15m, 2h or 1d, of at most %" PRIu64 " seconds",
                       key, text, max);
    s->wrong = true;
    return false;
}

bool args_cidr(struct args *s, const char *key, struct cidr *value)
{
    const char *text = take(s, key), *wrong = text != NULL ? cidr_parse(text, value) : NULL;
    if (text == NULL || wrong == NULL)
        return text != NULL;
    mario_answer_usage(s->a, "%s'%s' %s", key, text, wrong);
    s->wrong = true;
    return false;
}

bool id_parse(const char *text, uint64_t *id)
{
    static const uint64_t most[] = {255, 0xffffff, UINT32_MAX};
    uint64_t part[3];
    for (int i = 0; i < 3; i++) {
        if (!digits(&text, &part[i]) || part[i] > most[i] || *text != (i < 2 ? '.' : '\0'))
            return false;
        text += i < 2;
    }
    *id = id_of((uint32_t) part[0], (uint32_t) part[1], (uint32_t) part[2]);
    return true;
}

bool args_id(struct args *s, const char *key, uint64_t *value)
{
    const char *text = take(s, key);
    if (text == NULL)
        return false;
    if (id_parse(text, value))
        return true;
    mario_answer_usage(s->a, "%s%s: not a connection's id as WORKER.SLOT.GENERATION", key, text);
    s->wrong = true;
    return false;
}

bool args_choice(struct args *s, const char *key, const char *const *names, uint32_t count, uint32_t *value)
{
    char all[256] = "";
    const char *text = take(s, key);
    size_t used = 0;
    if (text == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(text, names[i]) == 0) {
            *value = i;
            return true;
        }
        if (used < sizeof all)
            used += (size_t) snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    mario_answer_usage(s->a, "%s%s: none of %s", key, text, all);
    s->wrong = true;
    return false;
}

bool args_flag(struct args *s, const char *word)
{
    for (uint32_t i = 0; i < s->argc; i++) {
        if ((s->used & UINT32_C(1) << i) == 0 && strcmp(s->argv[i], word) == 0) {
            s->used |= UINT32_C(1) << i;
            return true;
        }
    }
    return false;
}

bool args_word(struct args *s, const char **word)
{
    return args_text(s, "", word);
}

bool args_word_number(struct args *s, const char *name, uint64_t *value, uint64_t min, uint64_t max)
{
    const char *text = take(s, "");
    char shown[64];
    snprintf(shown, sizeof shown, "%s ", name);
    return text != NULL && number(s, shown, text, value, min, max);
}

bool args_good(struct args *s)
{
    const char *rest = take(s, "");
    if (rest != NULL && !s->wrong) {
        mario_answer_usage(s->a, "'%s' is not understood here", rest);
        s->wrong = true;
    }
    return !s->wrong;
}
