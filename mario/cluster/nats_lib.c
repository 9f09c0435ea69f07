/*
 * nats_lib.c: loading libnats. Main thread, before the driver's threads run.
 */
#define NATS_LIB_PLAIN
#include "mario/cluster/nats_lib.h"

#ifdef MARIO_WITH_NATS

#include <dlfcn.h>
#include <stdio.h>

#define TEXT(x)  TEXT_(x)
#define TEXT_(x) #x
/* Its name says with which versions the headers that this is built with agree. */
#define NATS_SO "libnats.so." TEXT(NATS_VERSION_MAJOR) "." TEXT(NATS_VERSION_MINOR)

struct nats_lib nats_lib;

static const struct {
    const char *name;
    void **place;
} functions[] = {
#define NATS_ROW(f) {#f, (void **) &nats_lib.f},
    NATS_FUNCTIONS(NATS_ROW)
#undef NATS_ROW
};

bool nats_lib_load(char *why, size_t size)
{
    static bool loaded;
    if (loaded)
        return true;
    void *so = dlopen(NATS_SO, RTLD_NOW | RTLD_LOCAL);
    if (so == NULL) {
        snprintf(why, size, "%s cannot be loaded; install its package", NATS_SO);
        return false;
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        *functions[i].place = dlsym(so, functions[i].name);
        if (*functions[i].place == NULL) {
            snprintf(why, size, "%s has no %s: another version than this was built with", NATS_SO,
                     functions[i].name);
            dlclose(so);
            return false;
        }
    }
    loaded = true;
    return true;
}

#endif
