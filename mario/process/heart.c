/*
 * heart.c: whether the master goes on. Runs in the parent, on its only thread: no heap.
 */
#include "mario/process/heart.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Stopped by a signal, or by a debugger. */
static bool is_stopped(pid_t pid, int32_t thread)
{
    char text[512];
    snprintf(text, sizeof text, "/proc/%d/task/%d/stat", (int) pid, (int) thread);
    int fd = open(text, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *name_end = strrchr(text, ')'); /* the state is the word behind the name */
    return name_end != NULL && name_end[1] == ' ' && (name_end[2] == 'T' || name_end[2] == 't');
}

uint64_t heart_look(struct heart_watch *w, const struct heart *h, pid_t pid, uint64_t now_ms,
                    uint64_t look_ms)
{
    uint64_t beats = atomic_load_explicit(&h->beats, memory_order_relaxed), passed = now_ms - w->looked_ms;
    int32_t master = atomic_load_explicit(&h->master, memory_order_relaxed);
    bool first = w->looked_ms == 0, goes_on = beats != w->beats;
    w->beats = beats;
    w->looked_ms = now_ms;
    if (first || goes_on || master == 0 || is_stopped(pid, master))
        w->silent_ms = 0;
    else
        w->silent_ms += passed < 2 * look_ms ? passed : look_ms;
    return w->silent_ms;
}
