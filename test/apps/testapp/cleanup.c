/*
 * cleanup.c: functions whose answer is memory of their own, added by reference, and what its cleanup does; functions
 * that write where nobody reads, and that treat their socket and their worker's loop badly. On the connection's worker,
 * or offloaded.
 */
#include "app.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>

struct reference {
    CONN *c;
    struct bufferevent *bufev; /* c->bufev in the function */
    uint32 what;               /* enum test_cleanup */
    pthread_t thread;
    char bytes[];
};

/* Memory of an answer is not needed any more: this must be said where the function ran. */
static void on_done(const void *data, size_t n, void *arg)
{
    struct reference *r = arg;
    uint32 what = r->what;
    CONN *c = r->c;
    own_cleanups++;
    if (!pthread_equal(r->thread, pthread_self()) || data != r->bytes)
        own_wrong_thread++;
    if (what == CLEANUP_CLOSES) {
        close_conn(c, 1);
        close_conn(c, 1);
    } else if (what == CLEANUP_WRITES) {
        bufferevent_write(c->bufev, data, n); /* nobody's by now */
        bufferevent_write(r->bufev, data, n);
    } else if (what == CLEANUP_STICKS) {
        stick(1);
    }
    free(r);
    if (what == CLEANUP_ENDS_THREAD)
        pthread_exit(NULL);
}

/* Whether n bytes of data were added by reference. */
static bool refer(CONN *c, struct bufferevent *to, uint32 what, uint32 n)
{
    struct reference *r = malloc(sizeof *r + n);
    if (r == NULL)
        return false;
    *r = (struct reference){.c = c, .bufev = c->bufev, .what = what, .thread = pthread_self()};
    memset(r->bytes, 'r', n);
    if (evbuffer_add_reference(bufferevent_get_output(to), r->bytes, n, on_done, r) == 0)
        return true;
    free(r);
    return false;
}

sint32 do_reference(CONN *c)
{
    struct test_reference ask = {0};
    HEAD h = *(const HEAD *) c->in_buf;
    own_functions++;
    track_is_wrong(c);
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof ask)
        return -1;
    memcpy(&ask, c->in_buf + SIZE_OF_HEAD, sizeof ask);
    for (uint32 n = ask.packets; n > 0; n--) {
        h.pkglen = (uint16) (SIZE_OF_HEAD + ask.len);
        if (bufferevent_write(c->bufev, &h, sizeof h) != 0 || !refer(c, c->bufev, ask.cleanup, ask.len))
            return -1;
    }
    if (ask.then_sticks)
        stick(1);
    return 0;
}

/* Not offloaded: it looks at what belongs to the worker. */
sint32 do_write_other(CONN *c)
{
    static const char text[] = "this is for nobody";
    uint16 port = htons((uint16) number_in(c));
    ubyte found = 0;
    for (uint32 i = 0; i < SLOTS; i++) {
        CONN *other = alive[c->owner->ind][i];
        if (other == NULL || other == c || other->cport != port)
            continue;
        for (int k = 0; k < 1000; k++)
            bufferevent_write(other->bufev, text, sizeof text);
        if (!refer(c, other->bufev, CLEANUP_CLOSES, 100000)) /* so c closes */
            return -1;
        found++;
    }
    return answer(c, &found, sizeof found);
}

sint32 do_may_wait(CONN *c)
{
    int off = 0;
    return ioctl(c->fd, FIONBIO, &off) == 0 ? do_echo(c) : -1;
}

/* ---- Events of its own ---- */

static _Thread_local pthread_t own_thread; /* of a worker that has one */
static struct event *own_events[16];       /* nobody frees them */
static _Atomic uint32 own_event_count;

static void on_own_event(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    if (!pthread_equal(*(const pthread_t *) arg, pthread_self()))
        own_wrong_thread++;
}

/* Not offloaded: there is no loop. */
sint32 do_own_event(CONN *c)
{
    own_thread = pthread_self();
    int fd = eventfd(1, 0); /* readable for ever */
    struct event *e = event_new(c->owner->base, fd, EV_READ | EV_PERSIST, on_own_event, &own_thread);
    if (fd < 0 || e == NULL || event_add(e, NULL) != 0)
        return -1;
    own_events[own_event_count++ % 16] = e;
    return do_echo(c);
}

static void on_own_signal(evutil_socket_t sig, short what, void *arg)
{
    (void) sig;
    (void) what;
    (void) arg;
}

sint32 do_own_signal(CONN *c)
{
    struct event *e = evsignal_new(c->owner->base, SIGUSR2, on_own_signal, NULL);
    if (e == NULL || event_add(e, NULL) != 0)
        return -1;
    own_events[own_event_count++ % 16] = e;
    return do_echo(c);
}

static void on_own_timer(evutil_socket_t fd, short what, void *ms)
{
    uint32 left = (uint32) (size_t) ms;
    (void) fd;
    (void) what;
    susleep(left / 1000, left % 1000 * 1000);
}

sint32 do_own_timer(CONN *c)
{
    const struct timeval soon = {.tv_usec = 1000};
    uint32 ms;
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof ms)
        return -1;
    memcpy(&ms, c->in_buf + SIZE_OF_HEAD, sizeof ms);
    return event_base_once(c->owner->base, -1, EV_TIMEOUT, on_own_timer, (void *) (size_t) ms, &soon) == 0
               ? do_echo(c)
               : -1;
}

static void write_late(evutil_socket_t fd, short what, void *bufev)
{
    static const char text[] = "too late for anybody";
    (void) fd;
    (void) what;
    bufferevent_write(bufev, text, sizeof text);
}

sint32 do_keep_bufev(CONN *c)
{
    const struct timeval soon = {.tv_usec = 1000};
    return event_base_once(c->owner->base, -1, EV_TIMEOUT, write_late, c->bufev, &soon) == 0
               ? answer(c, NULL, 0)
               : -1;
}

/* ---- Descriptors ---- */

static _Atomic int replaced = -1; /* a descriptor of a connection that is a file by now */

sint32 do_close_fd(CONN *c)
{
    uint32 answered = 0;
    switch ((enum test_close_fd) number_in(c)) {
    case CLOSE_FD_AT_END:
        return close_to(c, END_CLOSES_FD);
    case CLOSE_FD_CHECK:
        answered = fcntl(replaced, F_GETFD) >= 0 && close(replaced) == 0;
        return answer(c, &answered, sizeof answered);
    case CLOSE_FD_REPLACE:
        do_echo(c);
        replaced = c->fd;
        int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
        return file < 0 || dup2(file, c->fd) < 0 || close(file) != 0;
    case CLOSE_FD_AND_WRITE:
        close(c->fd);
        return do_echo(c);
    default:
        close(c->fd);
        own_functions++;
        return 0;
    }
}
