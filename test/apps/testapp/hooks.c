/*
 * hooks.c: the hooks, which check that each connection has exactly one beginning and one end, on the same thread, and
 * that it is fresh; and do what test.connected and test.end say. On the connection's worker.
 */
#include "app.h"

CONN *alive[MARIO_WORKERNUM_MAX][SLOTS];

static _Atomic uint32 untracked; /* connections that began without memory for a track, and have not ended */

static _Atomic bool has_stuck; /* in the connected hook, on worker 0 */

/*
 * Threads that run inline functions and hooks have numbers, given when they first ask; each serves one WORKER in its
 * life. A worker whose thread is replaced goes on with a higher number; addresses of workers and threads may come
 * again.
 */
static _Atomic uint32 numbers;
static _Thread_local uint32 own_number;
static _Thread_local const WORKER *own_worker;

static uint32 thread_number(const CONN *c)
{
    if (own_number == 0) {
        own_number = ++numbers;
        own_worker = c->owner;
    }
    return own_number;
}

/* Whether this thread may not run a function or hook of c: one for offloaded functions is nobody's worker; a worker's
 * serves its own, and none that a younger one has served. */
static bool thread_is_wrong(const CONN *c, struct track *t)
{
    if (c->owner->base == NULL) /* only offloaded functions have none */
        return own_number != 0;
    uint32 n = thread_number(c), last = t->thread;
    if (n > last)
        t->thread = n;
    return own_worker != c->owner || n < last;
}

bool track_is_wrong(const CONN *c)
{
    struct track *t = c->user;
    if (!app.with_hooks || mario_is_datagram(c))
        return false;
    if (t == NULL && untracked > 0) {
        untracked--; /* its end hook: the connected hook has refused it */
        return true;
    }
    if (t == NULL || t->magic != TRACK_MAGIC || t->cip != c->cip || t->cport != c->cport) {
        own_wrong_state++;
        return true;
    }
    if (thread_is_wrong(c, t))
        own_wrong_thread++;
    return false;
}

sint32 on_connected(CONN *c)
{
    own_hook_connected++;
    if (c->user != NULL || c->in_buf_len != 0 || c->bufev == NULL || c->err_type != 0 ||
        (c->ind < SLOTS && alive[c->owner->ind][c->ind] != NULL))
        own_wrong_state++;
    struct track *t = calloc(1, sizeof *t);
    if (t == NULL) {
        untracked++;
        return -1;
    }
    *t = (struct track){.magic = TRACK_MAGIC, .thread = thread_number(c), .cip = c->cip, .cport = c->cport};
    c->user = t;
    if (mario_peer(c, t->peer, sizeof t->peer) != 0)
        own_wrong_state++;
    if (c->ind < SLOTS)
        alive[c->owner->ind][c->ind] = c;
    if (app.connected_mode == CONNECTED_GREET)
        write_packet(c, TEST_ECHO, 5, 'g');
    else if (app.connected_mode == CONNECTED_BIG)
        write_bytes(c, TEST_REPLY, 1024 * 1024);
    else if (app.connected_mode == CONNECTED_CLOSE)
        close_conn(c, 7);
    else if (app.connected_mode == CONNECTED_STICK && c->owner->ind == 0 &&
             !atomic_exchange(&has_stuck, true))
        stick(1);
    else if (app.connected_mode == CONNECTED_DIE)
        abort();
    return app.connected_mode == CONNECTED_REFUSE ? -1 : connected_orders(c);
}

static sint32 on_end(CONN *c, _Atomic uint64 *counter)
{
    ++*counter;
    own_err_type = c->err_type;
    if (track_is_wrong(c))
        return 0;
    struct track *t = c->user;
    char peer[64];
    if (mario_peer(c, peer, sizeof peer) != 0 || strcmp(peer, t->peer) != 0)
        own_wrong_state++;
    if (app.end_mode == END_WRITES)
        write_packet(c, TEST_ECHO, 100, 'e');
    else if (app.end_mode == END_IS_SLOW)
        susleep(0, 2000);
    close_conn(c, 1); /* over already: must do nothing */
    if (c->ind < SLOTS)
        alive[c->owner->ind][c->ind] = NULL;
    end_orders(c, t->end_script);
    sint32 at_end = t->at_end;
    t->magic = 0;
    free(t);
    if (at_end == END_STICKS)
        stick(1);
    else if (at_end == END_CLOSES_FD)
        close(c->fd);
    else if (at_end == END_DIES)
        pthread_exit(NULL);
    return 0;
}

sint32 on_closed(CONN *c)
{
    return on_end(c, &own_hook_end_closed);
}

sint32 on_timeout(CONN *c)
{
    return on_end(c, &own_hook_end_timeout);
}

sint32 on_error(CONN *c)
{
    return on_end(c, &own_hook_end_error);
}

sint32 on_leave(CONN *c)
{
    static _Atomic bool sticks;
    unsigned char packet[SIZE_OF_HEAD + sizeof(uint32)];
    HEAD h = {.stx = STX, .pkglen = sizeof packet, .akg_id = TEST_LEAVING};
    uint32 seconds = mario_leave_seconds(c);
    if (track_is_wrong(c))
        return 0;
    memcpy(packet, &h, sizeof h);
    memcpy(packet + SIZE_OF_HEAD, &seconds, sizeof seconds);
    bufferevent_write(c->bufev, packet, sizeof packet);
    if (app.leave_mode == LEAVE_STICKS && !atomic_exchange(&sticks, true))
        stick(1);
    if (app.leave_mode == LEAVE_CLOSES)
        close_err_conn(c);
    return app.leave_mode == LEAVE_CLOSES ? -1 : 0;
}

sint32 close_to(CONN *c, sint32 at_end)
{
    struct track *t = c->user;
    t->at_end = at_end;
    close_conn(c, 1);
    return 0;
}
