/*
 * listen_option.c: what stands behind an address of the listen list: name=value, by blanks. For the thread that makes
 * the server; pure.
 */
#include "mario/net/listen.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/text.h"

/* All there are. Which of them an entry may have depends on its framing: framings.c, and on what listens: listeners.c.
 * Three belong to id= if they stand behind it. */
static const char *const names[] = {
    "proto", "id",     "max",       "eol",    "eof",     "delim",  "fixed", "off",
    "size",  "endian", "counts",    "adjust", "strip",   "origin", "path",  "subprotocol",
    "proxy", "trust",  "untrusted", "oob",    "amplify", "tls",
};
static const char *const of_id[] = {"id off", "id size", "id endian"};

bool listen_refuse(const struct listen_address *a, char *why, size_t size, const char *fmt, ...)
{
    va_list args;
    int n = snprintf(why, size, "'%s': ", a->name);
    va_start(args, fmt);
    if (n > 0 && (size_t) n < size)
        vsnprintf(why + n, size - (size_t) n, fmt, args);
    va_end(args);
    return false;
}

const char *listen_option(const struct listen_address *a, const char *name)
{
    for (uint32_t i = 0; i < a->option_count; i++) {
        if (strcmp(a->options[i].name, name) == 0)
            return a->text + a->options[i].at;
    }
    return NULL;
}

/* ---- Reading them ---- */

/* The constant for it; NULL if there is none. */
static const char *known(const char *name, bool behind_id)
{
    for (size_t i = 0; behind_id && i < sizeof of_id / sizeof of_id[0]; i++) {
        if (strcmp(of_id[i] + 3, name) == 0)
            return of_id[i];
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0)
            return names[i];
    }
    return NULL;
}

static bool refuse_unknown(const struct listen_address *a, const char *name, char *why, size_t size)
{
    char all[192] = "";
    size_t used = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        used += (size_t) snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? " " : "", names[i]);
    return listen_refuse(a, why, size, "'%.24s' is no option (allowed: %s)", name, all);
}

static bool add(struct listen_address *a, const char *name, const char *value, char *why, size_t size)
{
    size_t used = a->text_used, len = strlen(value) + 1;
    if (listen_option(a, name) != NULL)
        return listen_refuse(a, why, size, "%s= stands there twice", name);
    if (a->option_count == LISTEN_OPTIONS || len > sizeof a->text - used)
        return listen_refuse(a, why, size, "too many options (allowed: %d, of %zu bytes together)",
                             LISTEN_OPTIONS, sizeof a->text);
    memcpy(a->text + used, value, len);
    a->options[a->option_count++] = (struct listen_pair){.name = name, .at = (uint16_t) used};
    a->text_used = (uint16_t) (used + len);
    return true;
}

/* One word, which is written to. *behind_id: an option of id stands in front. */
static bool take(struct listen_address *a, char *word, bool *behind_id, char *why, size_t size)
{
    char *value = strchr(word, '=');
    if (value == NULL || value == word || value[1] == '\0')
        return listen_refuse(a, why, size, "'%.24s': an option is name=value", word);
    *value++ = '\0';
    const char *name = known(word, *behind_id);
    if (name == NULL)
        return refuse_unknown(a, word, why, size);
    if (strcmp(name, "id") == 0)
        *behind_id = true;
    if (strcmp(name, "proto") != 0)
        return add(a, name, value, why, size);
    *behind_id = false;
    char *own = strchr(value, '='); /* proto=fixed=16: the same as proto=fixed fixed=16 */
    if (own == NULL)
        return add(a, name, value, why, size);
    *own = '\0';
    if (!add(a, name, value, why, size))
        return false;
    *own = '=';
    return take(a, value, behind_id, why, size);
}

bool listen_options_parse(struct listen_address *a, char *words, char *why, size_t size)
{
    bool behind_id = false;
    char *word;
    while ((word = strsep(&words, " \t")) != NULL) {
        if (word[0] != '\0' && !take(a, word, &behind_id, why, size))
            return false;
    }
    return true;
}

/* ---- What they say ---- */

bool listen_number(const struct listen_address *a, const char *name, int32_t least, int32_t most,
                   int32_t *out, char *why, size_t size)
{
    const char *text = listen_option(a, name);
    char *end;
    if (text == NULL)
        return true;
    const char *digits = text[0] == '-' ? text + 1 : text;
    bool hex = digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X');
    size_t n = strspn(hex ? digits + 2 : digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
    long value = strtol(text, &end, hex ? 16 : 10);
    if (n == 0 || n > 9 || *end != '\0' || value < least || value > most)
        return listen_refuse(a, why, size, "%s=%.24s: not a number that can be (allowed: %d .. %d)", name,
                             text, least, most);
    *out = (int32_t) value;
    return true;
}

bool listen_choice(const struct listen_address *a, const char *name, const char *const choices[],
                   uint32_t *out, char *why, size_t size)
{
    const char *text = listen_option(a, name);
    char all[128] = "";
    size_t used = 0;
    if (text == NULL)
        return true;
    for (uint32_t i = 0; choices[i] != NULL; i++) {
        if (strcmp(choices[i], text) == 0) {
            *out = i;
            return true;
        }
        if (used < sizeof all)
            used += (size_t) snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", choices[i]);
    }
    return listen_refuse(a, why, size, "%s=%.24s: no such value (allowed: %s)", name, text, all);
}
