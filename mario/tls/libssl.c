/*
 * libssl.c: loading libssl, and what it says went wrong. Loading: one thread at a time; errors: any, each its own.
 */
#include "mario/tls/libssl.h"

#ifdef MARIO_WITH_TLS

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "mario/base/mem.h"
#include "mario/base/spans.h"
#include "mario/tls/kdf.h"

#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x
/* Its name says with which versions the headers that this is built with agree. libcrypto comes with it. */
#define LIBSSL_SO "libssl.so." TEXT(OPENSSL_SHLIB_VERSION)

/* Addresses for what handshakes take, and OpenSSL's sessions: for some four million of these. */
#define SPANS_AREA ((size_t) 1 << (sizeof(size_t) > 4 ? 36 : 28))

struct libssl libssl;

static const struct {
    const char *name;
    void **place;
} functions[] = {
#define LIBSSL_ROW(f) {#f, (void **) &libssl.f},
    LIBSSL_FUNCTIONS(LIBSSL_ROW)
#undef LIBSSL_ROW
};

/* What is larger than a span has is a record's buffer, which comes and goes; what is smaller, but is not taken by a
 * handshake, stays, and must not be rounded up. */
static void *give(size_t n, const char *file, int line)
{
    (void) file;
    (void) line;
    void *p = spans_alloc(n);
    return p != NULL ? p : n > SPANS_MOST ? mem_try(n) : mem_exact(n);
}

static void give_back(void *p)
{
    if (!spans_free(p))
        mem_free(p);
}

static size_t room_of(void *p)
{
    size_t room = spans_room(p);
    return room > 0 ? room : mem_room(p);
}

/* An SSL that is on its way out, see libssl_free(). */
static _Thread_local const void *to_wipe;

static void take(void *p, const char *file, int line)
{
    (void) file;
    (void) line;
    if (p != NULL && p == to_wipe)
        explicit_bzero(p, room_of(p));
    give_back(p);
}

static void *give_again(void *p, size_t n, const char *file, int line)
{
    size_t room = room_of(p);
    if (p != NULL && n == 0) {
        give_back(p);
        return NULL;
    }
    if (p != NULL && n <= room && n > room / 2)
        return p;
    void *q = give(n, file, line);
    if (q == NULL || p == NULL)
        return q;
    memcpy(q, p, n < room ? n : room);
    give_back(p);
    return q;
}

/* Its memory is ours, if it has taken none yet. It is not cleaned up at exit: a thread that does not return may be in
 * it then. */
static bool set_up(void)
{
    if (mem_keeps())
        spans_setup(SPANS_AREA);
    libssl.CRYPTO_set_mem_functions(give, give_again, take);
    return libssl.OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, NULL) == 1 && kdf_setup();
}

bool libssl_load(char *why, size_t size)
{
    static bool loaded;
    if (loaded)
        return true;
    void *so = dlopen(LIBSSL_SO, RTLD_NOW | RTLD_LOCAL);
    if (so == NULL) {
        snprintf(why, size, "%s cannot be loaded; install its package (libssl3)", LIBSSL_SO);
        return false;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        *functions[i].place = dlsym(so, functions[i].name);
        if (*functions[i].place == NULL) {
            snprintf(why, size, "%s has no %s: another version than this was built with", LIBSSL_SO,
                     functions[i].name);
            dlclose(so);
            return false;
        }
    }
    if (!set_up()) {
        snprintf(why, size, "%s cannot be initialized: see its configuration, openssl.cnf", LIBSSL_SO);
        return false;
    }
    loaded = true;
    return true;
}

void libssl_free(SSL *ssl)
{
    to_wipe = ssl;
    libssl.SSL_free(ssl);
    to_wipe = NULL;
}

int libssl_error(const char **words, bool *no_memory)
{
    unsigned long best = 0;
    if (no_memory != NULL)
        *no_memory = false;
    for (unsigned long e = libssl.ERR_get_error(); e != 0; e = libssl.ERR_get_error()) {
        if (no_memory != NULL && ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE)
            *no_memory = true;
        if (ERR_GET_LIB(e) == ERR_LIB_SSL || ERR_GET_LIB(best) != ERR_LIB_SSL)
            best = e;
    }
    if (words != NULL) {
        *words = best != 0 ? libssl.ERR_reason_error_string(best) : NULL;
        if (*words == NULL)
            *words = "no reason given";
    }
    return best != 0 ? ERR_GET_REASON(best) : 0;
}

#endif
