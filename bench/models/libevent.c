/*
 * libevent.c: plain libevent: an evconnlistener and a bufferevent for each connection.
 *
 * How: the library waits, reads into an input buffer, calls back, and writes the output buffer when the socket
 * is writable. Portable, with timeouts, TLS and rate limits to be had. Limits: a request and its reply are seven
 * system calls here (two epoll_wait, two epoll_ctl, ioctl, readv, writev) where bare epoll has three; an idle
 * bufferevent is about a kilobyte; the output has no limit unless one is kept, as below. Right when the program
 * is to run on every system, or needs what the library brings, and the handful of microseconds does not show.
 */
#include "model.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdlib.h>
#include <sys/socket.h>

#define OUT_HIGH ((size_t) (256 * 1024)) /* above it a connection is not read */

static struct evconnlistener *acceptor;
static struct wire_scratch scratch;

static void conn_close(struct bufferevent *bev)
{
    bufferevent_free(bev);
    evconnlistener_enable(acceptor); /* it may have run out of descriptors */
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void) arg;
    (void) what;
    conn_close(bev);
}

static void on_flushed(struct bufferevent *bev, void *arg)
{
    (void) arg;
    conn_close(bev);
}

/* Nothing more is answered: close when what waits is sent. */
static void conn_finish(struct bufferevent *bev)
{
    if (evbuffer_get_length(bufferevent_get_output(bev)) == 0) {
        conn_close(bev);
        return;
    }
    bufferevent_disable(bev, EV_READ);
    bufferevent_setcb(bev, NULL, on_flushed, on_event, NULL);
}

/* Answer what is in the input buffer, a scratch full at a time. */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct evbuffer *in = bufferevent_get_input(bev), *out = bufferevent_get_output(bev);
    size_t used = 1, out_len;
    int bad = 0;

    (void) arg;
    while (bad == 0 && used > 0 && evbuffer_get_length(out) <= OUT_HIGH) {
        size_t len = evbuffer_get_length(in);

        len = len < WIRE_IN ? len : WIRE_IN;
        if (len < sizeof(HEAD))
            return;
        bad = wire_answer(evbuffer_pullup(in, (ssize_t) len), len, &used, scratch.out, &out_len);
        evbuffer_drain(in, used);
        if (bufferevent_write(bev, scratch.out, out_len) != 0)
            bad = -1;
    }
    if (bad != 0)
        conn_finish(bev);
    else if (evbuffer_get_length(out) > OUT_HIGH)
        bufferevent_disable(bev, EV_READ);
}

/* All output is sent. */
static void on_written(struct bufferevent *bev, void *arg)
{
    if (bufferevent_get_enabled(bev) & EV_READ)
        return;
    bufferevent_enable(bev, EV_READ);
    on_read(bev, arg);
}

/* The peer has finished or broke; one that only finished gets its replies. */
static void on_end(struct bufferevent *bev, short what, void *arg)
{
    (void) arg;
    if (what & BEV_EVENT_EOF)
        conn_finish(bev);
    else
        conn_close(bev);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *peer, int len,
                      void *base)
{
    struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void) l;
    (void) peer;
    (void) len;
    if (bev == NULL) {
        evutil_closesocket(fd);
        return;
    }
    bufferevent_setcb(bev, on_read, on_written, on_end, NULL);
    if (bufferevent_enable(bev, EV_READ | EV_WRITE) != 0)
        bufferevent_free(bev);
}

/* Out of descriptors: wait for a connection to close, or the loop would spin. */
static void on_accept_error(struct evconnlistener *l, void *arg)
{
    (void) arg;
    evconnlistener_disable(l);
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, SOCK_NONBLOCK);
    struct event_base *base = event_base_new();

    if (base == NULL)
        model_die("event_base_new");
    acceptor = evconnlistener_new(base, on_accept, base, LEV_OPT_CLOSE_ON_EXEC, 0, listener);
    if (acceptor == NULL)
        model_die("evconnlistener_new");
    evconnlistener_set_error_cb(acceptor, on_accept_error);
    event_base_dispatch(base);
    return 1;
}
