/*
 * registry.c: names of TLS sections, and what is registered. Any thread; the lock is held for some copying, by threads
 * that may wait. What workers ask takes none: a number of a name comes from a context, which was made after that had
 * been written; a text that was learned is there whole, and never changes.
 */
#include "mario/tls/registry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/complain.h"
#include "mario/base/mem.h"
#include "mario/tls/context.h"

enum {
    NAME_ROOM = sizeof((struct mario_tls_certificate *) NULL)->name,
    TEXT_PLACES = 1 << 14, /* a power of two; half of them are used at most */
    TEXTS_MAX = TEXT_PLACES / 2
};

static struct {
    char name[NAME_ROOM];
    _Atomic uint64_t handshakes;
} names[MARIO_TLS_NAMES_MAX];
static _Atomic uint32_t name_count;

struct text {
    uint16_t len;
    char bytes[];
};

/* Each in the first place that was free from that of its hash on, where it stays; its number is 1 + its place. */
static const struct text *_Atomic known[TEXT_PLACES];
static uint32_t known_count; /* the lock's */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of what follows, and of adding a name or a text */
static struct mario_tls sections[MARIO_TLS_NAMES_MAX];   /* each with a block of its texts */
static char *texts[MARIO_TLS_NAMES_MAX];
static uint32_t count;

/* ---- Names ---- */

static int find(const char *name)
{
    uint32_t n = atomic_load_explicit(&name_count, memory_order_acquire);
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(names[i].name, name) == 0)
            return (int) i;
    return -1;
}

static int number_of(const char *name)
{
    int i = find(name);
    uint32_t n = atomic_load_explicit(&name_count, memory_order_relaxed);
    if (i >= 0 || n == MARIO_TLS_NAMES_MAX)
        return i;
    snprintf(names[n].name, NAME_ROOM, "%s", name);
    atomic_store_explicit(&name_count, n + 1, memory_order_release);
    return (int) n;
}

int registry_tls_number(const char *name)
{
    pthread_mutex_lock(&lock);
    int i = number_of(name);
    pthread_mutex_unlock(&lock);
    return i;
}

const char *registry_tls_name(unsigned number)
{
    return names[number].name;
}

void registry_tls_count(unsigned number)
{
    atomic_fetch_add_explicit(&names[number].handshakes, 1, memory_order_relaxed);
}

uint64_t tls_handshakes_of(const char *name)
{
    int i = find(name);
    return i >= 0 ? atomic_load_explicit(&names[i].handshakes, memory_order_relaxed) : 0;
}

/* ---- Texts ---- */

/* Where this one is, or where it would have to be: then *is_there is false. */
static uint32_t place_of_text(const char *text, size_t n, bool *is_there)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ (unsigned char) text[i]) * 16777619u;
    for (uint32_t at = hash;; at++) {
        const struct text *one = atomic_load_explicit(&known[at % TEXT_PLACES], memory_order_acquire);
        *is_there = one != NULL && one->len == n && memcmp(one->bytes, text, n) == 0;
        if (one == NULL || *is_there)
            return at % TEXT_PLACES;
    }
}

static bool learn(const char *text, size_t n)
{
    bool is_there;
    uint32_t at = place_of_text(text, n, &is_there);
    if (is_there)
        return true;
    struct text *one = known_count < TEXTS_MAX ? mem_exact(sizeof *one + n) : NULL;
    if (one == NULL)
        return false;
    one->len = (uint16_t) n;
    memcpy(one->bytes, text, n);
    atomic_store_explicit(&known[at], one, memory_order_release);
    known_count++;
    return true;
}

bool registry_tls_learn(const char *text, size_t n)
{
    pthread_mutex_lock(&lock);
    bool good = n <= UINT16_MAX && learn(text, n);
    pthread_mutex_unlock(&lock);
    return good;
}

uint16_t registry_tls_known(const char *text, size_t n)
{
    bool is_there;
    uint32_t at = place_of_text(text, n, &is_there);
    return is_there ? (uint16_t) (at + 1) : 0;
}

const char *registry_tls_text(uint16_t number)
{
    return atomic_load_explicit(&known[number - 1], memory_order_acquire)->bytes;
}

/* ---- What is registered ---- */

static bool is_name(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n < NAME_ROOM && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

static bool is_empty(const char *text)
{
    return text == NULL || *text == '\0';
}

bool registry_tls_check(const struct mario_tls *section, char *why, size_t size)
{
    if (section->name == NULL || !is_name(section->name))
        snprintf(why, size, "name: wanted: 1 .. %d of a-z, 0-9, '_', '-'", NAME_ROOM - 1);
    else if (is_empty(section->certificate))
        snprintf(why, size, "certificate: there is none");
    else if (section->tickets < -1 || section->tickets > MARIO_TLS_TICKETS_MAX)
        snprintf(why, size, "tickets: %d (allowed: -1 .. %d)", section->tickets, MARIO_TLS_TICKETS_MAX);
    else if (section->min_version < MARIO_TLS_DEFAULT || section->min_version > MARIO_TLS_1_3)
        snprintf(why, size, "min_version: there is no version %d", (int) section->min_version);
    else
        return true;
    return false;
}

/* Copy a section with its texts, which are in one block: *block. False without memory. */
static bool copy(const struct mario_tls *from, struct mario_tls *to, char **block)
{
    *to = *from;
    const char **const fields[] = {&to->name, &to->certificate, &to->key,       &to->chain,
                                   &to->sni,  &to->alpn,        &to->client_ca, &to->ciphers};
    size_t room = 1;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        room += *fields[i] != NULL ? strlen(*fields[i]) + 1 : 0;
    char *p = *block = mem_exact(room);
    if (p == NULL)
        return false;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (is_empty(*fields[i])) {
            *fields[i] = NULL;
            continue;
        }
        size_t n = strlen(*fields[i]) + 1;
        *fields[i] = memcpy(p, *fields[i], n);
        p += n;
    }
    return true;
}

/* Where a section of this name goes; the lock is held. -1: there are too many. */
static int place_of(const char *name)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(sections[i].name, name) == 0)
            return (int) i;
    return number_of(name) >= 0 && count < MARIO_TLS_NAMES_MAX ? (int) count : -1;
}

sint32 regist_tls(const struct mario_tls *section)
{
    char why[256];
    struct mario_tls one;
    char *block;
    if (!registry_tls_check(section, why, sizeof why)) {
        complain("regist_tls: %s%s%s", section->name != NULL ? section->name : "",
                 section->name != NULL ? ": " : "", why);
        return -1;
    }
    if (!copy(section, &one, &block)) {
        complain("regist_tls: %s: no memory", section->name);
        return -1;
    }
    pthread_mutex_lock(&lock);
    int i = place_of(one.name);
    char *old = block;
    if (i >= 0) {
        old = texts[i];
        sections[i] = one;
        texts[i] = block;
        count += (uint32_t) i == count;
    }
    pthread_mutex_unlock(&lock);
    mem_free(old);
    if (i < 0)
        complain("regist_tls: more than %u names", MARIO_TLS_NAMES_MAX);
    return i < 0 ? -1 : 0;
}

struct tls_contexts *tls_registry_make(const char *const *lists, uint32_t list_count,
                                       const struct tls_policy *policy, char *why, size_t size)
{
    struct mario_tls copies[MARIO_TLS_NAMES_MAX];
    char *blocks[MARIO_TLS_NAMES_MAX];
    uint32_t n = 0;
    pthread_mutex_lock(&lock);
    while (n < count && copy(&sections[n], &copies[n], &blocks[n]))
        n++;
    bool all = n == count;
    pthread_mutex_unlock(&lock);
    struct tls_contexts *contexts = NULL;
    if (all)
        contexts = tls_contexts_make(copies, n, lists, list_count, policy, why, size);
    else
        snprintf(why, size, "no memory");
    while (n > 0)
        mem_free(blocks[--n]);
    return contexts;
}
