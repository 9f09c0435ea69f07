/*
 * events.c: what happens is told to the application: regist_cluster_func()'s function, on the cluster's thread.
 */
#include "mario/cluster/inside.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_SIZE = 512 };

void say(const char *fmt, ...)
{
    char line[LINE_MAX_SIZE] = "mario: ";
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(line + 7, sizeof line - 8, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 7 : 7 + ((size_t) n < sizeof line - 9 ? (size_t) n : sizeof line - 9);
    line[len] = '\n';
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT) && write(STDERR_FILENO, line, len + 1) < 0)
        return; /* nobody is left to tell */
}

sint32 regist_cluster_func(void (*f)(const struct mario_cluster_event *))
{
    if (atomic_load(&cluster.runs))
        return -1;
    atomic_store(&cluster.func, f);
    return 0;
}

static void tell(const struct mario_cluster_event *e)
{
    void (*f)(const struct mario_cluster_event *) = atomic_load_explicit(&cluster.func, memory_order_relaxed);
    if (f != NULL && atomic_load_explicit(&cluster.runs, memory_order_relaxed))
        f(e);
}

void event_tell(enum mario_cluster_what what, const char *fmt, ...)
{
    char text[LINE_MAX_SIZE];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    tell(&(struct mario_cluster_event){.what = what, .node = cluster.set.node, .text = text});
}

/* Milliseconds of 1970, of a moment of the clock that does not jump. */
static uint64_t wall_ms(uint64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t ago = cluster.now > ns ? (cluster.now - ns) / NS_PER_MS : 0;
    return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / NS_PER_MS - ago;
}

void event_gap(uint32_t part, uint64_t from_ns)
{
    char text[LINE_MAX_SIZE], which[32] = "";
    uint64_t ms = (cluster.now - from_ns) / NS_PER_MS;
    if (cluster.parts > 1)
        snprintf(which, sizeof which, " of server %u", part + 1);
    snprintf(text, sizeof text, "messages%s may have been missed for %llu.%03u s", which,
             (unsigned long long) (ms / 1000), (unsigned) (ms % 1000));
    tell(&(struct mario_cluster_event){.what = MARIO_CLUSTER_GAP,
                                       .node = cluster.set.node,
                                       .from_ms = wall_ms(from_ns),
                                       .to_ms = wall_ms(cluster.now),
                                       .text = text});
}

void event_node(enum mario_cluster_what what, const char *node)
{
    char text[LINE_MAX_SIZE];
    snprintf(text, sizeof text, "node %s %s", node,
             what == MARIO_CLUSTER_NODE_JOINED ? "has joined" : "has left");
    tell(&(struct mario_cluster_event){.what = what, .node = node, .text = text});
}

void event_nobody(uint64_t uid, uint64_t tag)
{
    char text[LINE_MAX_SIZE];
    snprintf(text, sizeof text, "user %llu is on no node", (unsigned long long) uid);
    tell(&(struct mario_cluster_event){
        .what = MARIO_CLUSTER_NOBODY, .node = cluster.set.node, .uid = uid, .tag = tag, .text = text});
}
