/*
 * loop.c: how libevent is used here. For the thread that makes the server; libevent calls the two callbacks
 * on any thread.
 */
#include "loop.h"

#include <errno.h>
#include <stdio.h>

#include <event2/event.h>

#include "assert.h"
#include "mem.h"
#include "shard.h"

/* What libevent has to say is about a system call that failed; we count and answer that ourselves. So: debug.
 */
static void on_message(int severity, const char *text)
{
    (void) severity;
    if (shard_here != NULL)
        mario_slog(shard_here->pub.qlog, MARIO_LOG_DEBUG, 1, NULL, "libevent: %s", text);
}

static void on_fatal(int err)
{
    fprintf(stderr, "mario: libevent gave up (%d)\n", err);
    assert_failed("libevent goes on", __FILE__, __LINE__);
}

void loop_setup(void)
{
    mem_setup();
    event_set_log_callback(on_message);
    event_set_fatal_callback(on_fatal);
}

struct event_base *loop_base_create(void)
{
    struct event_config *cfg = event_config_new();
    struct event_base *base = NULL;
    if (cfg == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    if (event_config_set_flag(cfg, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV) == 0)
        base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}
