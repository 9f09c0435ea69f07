/*
 * redis_address.c: where the servers are. An address is taken at once; a name has a thread that asks for it. Who is
 * done last with a look-up, that thread or the cluster's, frees it.
 */
#ifdef MARIO_WITH_REDIS
#include "mario/cluster/redis_address.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The list ---- */

/* host:port of len bytes. */
static bool parse_one(const char *at, size_t len, struct redis_address *a)
{
    const char *host = at, *end = at + len, *colon = memrchr(at, ':', len);
    size_t host_len = len;
    if (len > 0 && at[0] == '[') {
        const char *bracket = memchr(at, ']', len);
        if (bracket == NULL || (bracket + 1 != end && bracket[1] != ':'))
            return false;
        host = at + 1;
        host_len = (size_t) (bracket - host);
        colon = bracket + 1 == end ? NULL : bracket + 1;
    } else if (colon != NULL) {
        host_len = (size_t) (colon - at);
    }
    if (host_len == 0 || host_len >= sizeof a->host || (host == at && memchr(host, ':', host_len) != NULL))
        return false;
    memcpy(a->host, host, host_len);
    a->host[host_len] = '\0';
    size_t digits = colon == NULL ? 0 : (size_t) (end - colon - 1);
    if (colon == NULL) {
        strcpy(a->port, "6379");
        return true;
    }
    if (digits == 0 || digits >= sizeof a->port || strspn(colon + 1, "0123456789") < digits)
        return false;
    memcpy(a->port, colon + 1, digits);
    a->port[digits] = '\0';
    return atoi(a->port) > 0 && atoi(a->port) <= 65535;
}

unsigned redis_address_list(const char *list, struct redis_address *a, unsigned max, char *why, size_t size)
{
    unsigned n = 0;
    for (const char *at = list;; n++) {
        size_t len = strcspn(at, ",");
        const char *end = at + len;
        if (n == max) {
            snprintf(why, size, "more than %u servers", max);
            return 0;
        }
        if (!parse_one(at, len, &a[n])) {
            snprintf(why, size, "\"%.*s\" is no host:port", (int) (len < 100 ? len : 100), at);
            return 0;
        }
        if (*end == '\0')
            return n + 1;
        at = end + 1;
    }
}

/* ---- Looking up ---- */

struct redis_lookup {
    atomic_int users;
    atomic_bool over; /* release: what is below is there */
    struct redis_address address;
    struct addrinfo *found;
    int error; /* of getaddrinfo() */
};

static void leave(struct redis_lookup *l)
{
    if (atomic_fetch_sub_explicit(&l->users, 1, memory_order_acq_rel) > 1)
        return;
    if (l->found != NULL)
        freeaddrinfo(l->found);
    free(l);
}

static void look_up(struct redis_lookup *l, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    l->error = getaddrinfo(l->address.host, l->address.port, &hints, &l->found);
    if (l->error != 0)
        l->found = NULL;
}

static void *look_up_main(void *arg)
{
    struct redis_lookup *l = arg;
    look_up(l, 0);
    atomic_store_explicit(&l->over, true, memory_order_release);
    leave(l);
    return NULL;
}

/* A thread without signals; false with errno. */
static bool start_thread(struct redis_lookup *l)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, look_up_main, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pthread_detach(thread);
    errno = error;
    return error == 0;
}

struct redis_lookup *redis_lookup_begin(const struct redis_address *a)
{
    struct redis_lookup *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    l->address = *a;
    atomic_init(&l->users, 1);
    look_up(l, AI_NUMERICHOST);
    if (l->error != EAI_NONAME) {
        atomic_init(&l->over, true);
        return l;
    }
    atomic_init(&l->users, 2);
    if (start_thread(l))
        return l;
    free(l);
    return NULL;
}

bool redis_lookup_over(struct redis_lookup *l, const struct addrinfo **found, const char **why)
{
    if (!atomic_load_explicit(&l->over, memory_order_acquire))
        return false;
    *found = l->found;
    *why = l->error == 0 ? "" : gai_strerror(l->error);
    return true;
}

void redis_lookup_end(struct redis_lookup **l)
{
    if (*l != NULL)
        leave(*l);
    *l = NULL;
}
#endif
