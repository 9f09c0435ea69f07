/*
 * context.c: all sections as one, which listener has which, and what is chosen by what a client asks for. Making: one
 * thread, which may wait; the rest: any.
 */
#include "mario/tls/context.h"

#ifdef MARIO_WITH_TLS

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"
#include "mario/tls/choose.h"
#include "mario/tls/inside.h"
#include "mario/tls/pem.h"
#include "mario/tls/registry.h"
#include "mario/tls/section.h"
#include "mario/tls/tickets.h"

struct set {
    uint16_t
        *members; /* sections, the first for who names none; a mem.h block. NULL: the listener has no tls= */
    uint16_t count;
};

struct tls_contexts {
    _Atomic uint32_t refs;
    bool slim;
    uint32_t count; /* sections */
    uint32_t sets;
    struct tls_section *section; /* [count] */
    struct set *set;             /* [sets] */
};

/* ---- Making ---- */

static int find(const struct mario_tls *sections, uint32_t n, const char *name, size_t len)
{
    for (uint32_t i = 0; i < n; i++)
        if (strlen(sections[i].name) == len && memcmp(sections[i].name, name, len) == 0)
            return (int) i;
    return -1;
}

/* There is none of that name: say which there are. */
static bool say_missing(const struct mario_tls *sections, uint32_t n, const char *name, size_t len, char *why,
                        size_t size)
{
    char all[256] = "";
    for (uint32_t i = 0; i < n; i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "", sections[i].name);
    }
    if (n == 0)
        return tls_refuse(why, size, "tls=%.*s: there is no such section, and no other one", (int) len, name);
    return tls_refuse(why, size, "tls=%.*s: there is no such section; there are: %s", (int) len, name, all);
}

static bool make_set(struct set *set, const char *list, const struct mario_tls *sections, uint32_t n,
                     char *why, size_t size)
{
    if (list == NULL)
        return true;
    set->members = mem_exact(MARIO_TLS_NAMES_MAX * sizeof *set->members);
    if (set->members == NULL)
        return tls_refuse(why, size, "no memory");
    for (const char *at = list; at != NULL;) {
        const char *end = strchrnul(at, '+');
        int i = find(sections, n, at, (size_t) (end - at));
        if (i < 0)
            return say_missing(sections, n, at, (size_t) (end - at), why, size);
        for (uint16_t k = 0; k < set->count; k++)
            if (set->members[k] == i)
                return tls_refuse(why, size, "tls=%s: '%s' twice", list, sections[i].name);
        set->members[set->count++] = (uint16_t) i;
        at = *end == '\0' ? NULL : end + 1;
    }
    return true;
}

static bool make_sections(struct tls_contexts *c, const struct mario_tls *sections, uint32_t n,
                          const struct tls_policy *policy, char *why, size_t size)
{
    char line[400];
    for (; c->count < n; c->count++) {
        struct tls_section *s = &c->section[c->count];
        if (section_make(s, &sections[c->count], policy, line, sizeof line)) {
            int number = registry_tls_number(sections[c->count].name);
            s->number = (uint8_t) number;
            if (number >= 0) {
                section_learn(s);
                continue;
            }
            section_free(s);
            snprintf(line, sizeof line, "name: more than %u since the process began", MARIO_TLS_NAMES_MAX);
        }
        return tls_refuse(why, size, "tls %s: %s",
                          sections[c->count].name != NULL ? sections[c->count].name : "", line);
    }
    return true;
}

static void destroy(struct tls_contexts *c)
{
    for (uint32_t i = 0; i < c->count; i++)
        section_free(&c->section[i]);
    for (uint32_t i = 0; c->set != NULL && i < c->sets; i++)
        mem_free(c->set[i].members);
    mem_free(c->section);
    mem_free(c->set);
    mem_free(c);
}

/* All of it, empty. */
static struct tls_contexts *create(uint32_t n, uint32_t sets, bool slim)
{
    struct tls_contexts *c = mem_exact(sizeof *c);
    if (c == NULL)
        return NULL;
    *c = (struct tls_contexts){.refs = 1, .slim = slim, .sets = sets};
    c->section = mem_exact((n + 1) * sizeof *c->section);
    c->set = mem_exact((sets + 1) * sizeof *c->set);
    if (c->set != NULL)
        memset(c->set, 0, sets * sizeof *c->set);
    if (c->section != NULL && c->set != NULL)
        return c;
    destroy(c);
    return NULL;
}

struct tls_contexts *tls_contexts_make(const struct mario_tls *sections, uint32_t n, const char *const *lists,
                                       uint32_t list_count, const struct tls_policy *policy, char *why,
                                       size_t size)
{
    if (!libssl_load(why, size))
        return NULL;
    struct tls_contexts *c = create(n, list_count, policy->slim);
    bool good = c != NULL && tickets_setup();
    if (!good)
        tls_refuse(why, size, "no memory, or no randomness");
    good = good && make_sections(c, sections, n, policy, why, size);
    for (uint32_t i = 0; good && i < list_count; i++)
        good = make_set(&c->set[i], lists[i], sections, n, why, size);
    if (good)
        return c;
    if (c != NULL)
        destroy(c);
    libssl_error(NULL, NULL);
    return NULL;
}

const struct tls_contexts *tls_contexts_hold(const struct tls_contexts *contexts)
{
    struct tls_contexts *c = (struct tls_contexts *) contexts;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    return contexts;
}

void tls_contexts_free(const struct tls_contexts **contexts)
{
    struct tls_contexts *c = (struct tls_contexts *) *contexts;
    *contexts = NULL;
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1)
        destroy(c);
}

sint32 mario_tls_describe(const struct mario_tls *section, struct mario_tls_certificate *certificate,
                          char *why, uint32 size)
{
    struct tls_section s;
    if (!libssl_load(why, size) ||
        (!tickets_setup() && !tls_refuse(why, size, "no memory, or no randomness")) ||
        !section_make(&s, section, &(struct tls_policy){.slim = false}, why, size))
        return -1;
    *certificate = s.certificate;
    section_free(&s);
    return 0;
}

/* ---- Asking ---- */

bool tls_set_is_there(const struct tls_contexts *contexts, uint32_t set)
{
    return set < contexts->sets && contexts->set[set].count > 0;
}

bool tls_set_is_slow(const struct tls_contexts *contexts, uint32_t set)
{
    CHECK(tls_set_is_there(contexts, set));
    const struct set *s = &contexts->set[set];
    for (uint16_t i = 0; i < s->count; i++)
        if (contexts->section[s->members[i]].is_rsa)
            return true;
    return false;
}

uint32_t tls_contexts_count(const struct tls_contexts *contexts)
{
    return contexts->count;
}

const struct mario_tls_certificate *tls_contexts_at(const struct tls_contexts *contexts, uint32_t i)
{
    CHECK(i < contexts->count);
    return &contexts->section[i].certificate;
}

bool contexts_are_slim(const struct tls_contexts *contexts)
{
    return contexts->slim;
}

const struct tls_section *contexts_first(const struct tls_contexts *contexts, uint32_t set)
{
    CHECK(tls_set_is_there(contexts, set));
    return &contexts->section[contexts->set[set].members[0]];
}

const struct tls_section *contexts_choose(const struct tls_contexts *contexts, uint32_t set, const char *host,
                                          size_t n)
{
    const struct set *s = &contexts->set[set];
    const struct tls_section *best = NULL;
    int how = 0;
    for (uint16_t i = 0; i < s->count && how < 2; i++) {
        const struct tls_section *one = &contexts->section[s->members[i]];
        int answer = section_answers_to(one, host, n);
        if (answer > how) {
            how = answer;
            best = one;
        }
    }
    return best;
}

#endif
