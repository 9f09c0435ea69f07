/*
 * block.c: functions that block their thread, for a while, until they are told, or for ever; and the master that
 * blocks, in a timer function. On the connection's worker, or offloaded; what is the master's says so.
 *
 * What may block until it is replaced asks track_is_wrong() before: so its thread has its number before its successor
 * has one, see hooks.c.
 */
#include "app.h"

#include <dlfcn.h>

sint32 do_sleep(CONN *c)
{
    uint32 ms = number_in(c);
    track_is_wrong(c);
    susleep(ms / 1000, ms % 1000 * 1000);
    return do_echo(c);
}

sint32 do_nap(CONN *c)
{
    susleep(0, 1000);
    return do_echo(c);
}

sint32 do_hang(CONN *c)
{
    track_is_wrong(c);
    while (pause() != 0) { /* never */
    }
    return 0;
}

/* What no other connection can let go, where there is but one worker. */
sint32 do_wait_file(CONN *c)
{
    char path[256];
    track_is_wrong(c);
    snprintf(path, sizeof path, "%.*s", (int) (c->in_buf_len - SIZE_OF_HEAD), c->in_buf + SIZE_OF_HEAD);
    while (access(path, F_OK) != 0)
        susleep(0, 1000);
    return do_echo(c);
}

/* ---- Until TEST_UNSTICK ---- */

static _Atomic uint32 unstuck; /* times TEST_UNSTICK came; any thread */

void stick(uint32 times)
{
    for (uint32 then = unstuck; unstuck - then < times;)
        susleep(0, 1000);
}

/* As a destructor of thread-specific data. */
static void linger(void *arg)
{
    (void) arg;
    stick(1);
}

/* Load a library that calls stick() while it is loaded: whoever wants the loader's lock now waits. */
static void stick_in_dlopen(void)
{
    char path[512];
    const char *dir = getenv("PRELOADS");
    snprintf(path, sizeof path, "%s/stuck.so", dir != NULL ? dir : ".");
    if (dlopen(path, RTLD_NOW) == NULL)
        own_wrong_state++;
}

static void stick_in_stdio(void)
{
    flockfile(stderr);
    flockfile(stdout);
    stick(1);
    funlockfile(stdout);
    funlockfile(stderr);
}

/* Where it blocks. */
static void stick_as_told(uint32 place)
{
    if (place == TEST_IN_DLOPEN)
        stick_in_dlopen();
    else if (place == TEST_IN_STDIO)
        stick_in_stdio();
    else
        stick(place == TEST_UNTIL_TWICE ? 2 : 1);
}

sint32 do_stick(CONN *c)
{
    static pthread_key_t key;
    const CONN before = *c;
    track_is_wrong(c);
    if (number_in(c) == TEST_IN_END_HOOK)
        return close_to(c, END_STICKS);
    stick_as_told(number_in(c));
    if (c->owner != before.owner || c->out_buf != before.out_buf || c->bufev != before.bufev)
        own_wrong_state++; /* it is still ours, whoever serves the worker by now */
    if (number_in(c) == TEST_THEN_LINGER && pthread_key_create(&key, linger) == 0)
        pthread_setspecific(key, &key);
    if (number_in(c) == TEST_THEN_ABORT)
        abort();
    if (number_in(c) == TEST_AND_SAY)
        slog_info_t(c->owner->qlog, "stuck no more");
    return do_echo(c);
}

sint32 do_unstick(CONN *c)
{
    unstuck++;
    return do_echo(c);
}

/* ---- The master ---- */

static _Atomic uint32 stall_ms; /* a function (w) -> master (r, takes it) */

sint32 do_stall(CONN *c)
{
    stall_ms = number_in(c);
    return do_echo(c);
}

void on_second(LOG_QUEUE *q, void *arg)
{
    static uint64 before;
    uint64 accepted = mario_stat(app.server, "accepted");
    if (own_accept_step == 0 && accepted - before >= 32)
        own_accept_step = accepted - before;
    before = accepted;
    reload_if_asked();
    do_master_orders();
    uint32 ms = stall_ms;
    (void) q;
    (void) arg;
    if (ms == 0)
        return;
    stall_ms = 0;
    own_master_stalls++;
    susleep(ms / 1000, ms % 1000 * 1000);
    own_master_returns++;
}
