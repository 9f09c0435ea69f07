/*
 * loop.c: how libevent is used here. For the thread that makes the server; libevent calls the two callbacks
 * on any thread.
 */
#include "mario/base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <event2/event.h>

#include "mario/base/check.h"
#include "mario/base/complain.h"
#include "mario/base/mem.h"

static struct loop_hooks hooks; /* set by loop_setup(), before the first base */

/* What libevent has to say is about a system call that failed; we count and answer that ourselves. So: debug.
 */
static void on_message(int severity, const char *text)
{
    (void) severity;
    hooks.message(text);
}

/* libevent does not come back from here. While the server is being made it is a refusal like any other: one
 * line and the exit code of a failed start. */
static void on_fatal(int err)
{
    if (!hooks.is_running()) {
        complain("cannot start: libevent: %s", strerror(errno));
        _exit(2);
    }
    complain("libevent gave up (%d)", err);
    check_failed("libevent goes on", __FILE__, __LINE__);
}

/* A base makes a pair of descriptors for signals, and libevent ends the process when it gets none. So ask
 * first. */
static bool has_descriptors(void)
{
    int fds[2];
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool ok = epoll >= 0 && pipe2(fds, O_CLOEXEC) == 0;
    int saved = errno;
    if (ok) {
        close(fds[0]);
        close(fds[1]);
    }
    if (epoll >= 0)
        close(epoll);
    errno = saved;
    return ok;
}

void loop_setup(const struct loop_hooks *h)
{
    hooks = *h;
    mem_setup();
    event_set_log_callback(on_message);
    event_set_fatal_callback(on_fatal);
}

struct event_base *loop_base_create(void)
{
    if (!has_descriptors())
        return NULL;
    struct event_config *cfg = event_config_new();
    struct event_base *base = NULL;
    if (cfg == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    /* Without epoll libevent would take poll(), which knows no edges: the doorbell would never be silent. */
    if (event_config_require_features(cfg, EV_FEATURE_ET) == 0 &&
        event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}
