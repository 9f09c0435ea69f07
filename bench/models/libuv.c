/*
 * libuv.c: libuv, the loop under Node.js.
 *
 * How: the loop asks for a buffer when a socket is readable, reads, and calls back; a write is tried at once and
 * the rest of it queued. One receive buffer serves all connections, because a callback has used it up when it
 * returns. Limits: memory and callbacks for each connection (a uv_tcp_t is 248 bytes); the loop and all its
 * handles belong to one thread. Right when the program is to run on Windows too, or needs files, processes, name
 * lookups and a thread pool beside sockets: it costs next to nothing over bare epoll.
 */
#include "model.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <uv.h>

enum { BACKLOG = 4096 };

struct conn {
    uv_tcp_t tcp; /* first: a handle is a conn */
    uv_write_t write;
    size_t tail_len;
    ubyte *tail; /* an unfinished packet; made when first needed, lives as long as the connection */
    ubyte *out;  /* what the kernel did not take; while there is some, the connection is not read */
};

static struct wire_scratch scratch;

static void on_close(uv_handle_t *handle)
{
    struct conn *c = (struct conn *) handle;

    free(c->tail);
    free(c->out);
    free(c);
}

static void conn_close(struct conn *c)
{
    if (!uv_is_closing((uv_handle_t *) c))
        uv_close((uv_handle_t *) c, on_close);
}

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    struct conn *c = (struct conn *) handle;

    (void) wanted;
    if (c->tail_len > 0)
        memcpy(scratch.in, c->tail, c->tail_len);
    *buf = uv_buf_init((char *) scratch.in + c->tail_len, WIRE_RECV);
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf);

static void on_written(uv_write_t *write, int status)
{
    struct conn *c = write->data;

    free(c->out);
    c->out = NULL;
    if (status < 0 || uv_read_start((uv_stream_t *) c, on_alloc, on_read) < 0)
        conn_close(c);
}

/* Returns 0, or -1 if the connection is to be closed. */
static int conn_send(struct conn *c, size_t len)
{
    uv_buf_t buf = uv_buf_init((char *) scratch.out, (unsigned) len);
    int sent = uv_try_write((uv_stream_t *) c, &buf, 1);

    if (sent == (int) len)
        return 0;
    if (sent < 0 && sent != UV_EAGAIN)
        return -1;
    len -= sent > 0 ? (size_t) sent : 0;
    c->out = malloc(len);
    if (c->out == NULL)
        return -1;
    memcpy(c->out, scratch.out + (sent > 0 ? sent : 0), len);
    uv_read_stop((uv_stream_t *) c);
    c->write.data = c;
    buf = uv_buf_init((char *) c->out, (unsigned) len);
    return uv_write(&c->write, (uv_stream_t *) c, &buf, 1, on_written) < 0 ? -1 : 0;
}

static void on_read(uv_stream_t *stream, ssize_t got, const uv_buf_t *buf)
{
    struct conn *c = (struct conn *) stream;
    size_t used, out_len;

    (void) buf;
    if (got <= 0) {
        if (got < 0)
            conn_close(c);
        return;
    }
    size_t len = c->tail_len + (size_t) got;
    int bad = wire_answer(scratch.in, len, &used, scratch.out, &out_len);

    if (out_len > 0 && conn_send(c, out_len) < 0)
        bad = -1;
    c->tail_len = len - used;
    if (bad == 0 && c->tail_len > 0 && c->tail == NULL && (c->tail = malloc(WIRE_PACKET_MAX)) == NULL)
        bad = -1;
    if (bad != 0)
        conn_close(c);
    else if (c->tail_len > 0)
        memcpy(c->tail, scratch.in + used, c->tail_len);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct conn *c = status < 0 ? NULL : calloc(1, sizeof *c);

    if (c == NULL)
        return; /* libuv refuses by itself when it is out of descriptors */
    if (uv_tcp_init(server->loop, &c->tcp) < 0) {
        free(c);
        return;
    }
    if (uv_accept(server, (uv_stream_t *) c) < 0 || uv_read_start((uv_stream_t *) c, on_alloc, on_read) < 0)
        conn_close(c);
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, SOCK_NONBLOCK);
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t server;

    if (loop == NULL || uv_tcp_init(loop, &server) < 0 || uv_tcp_open(&server, listener) < 0 ||
        uv_listen((uv_stream_t *) &server, BACKLOG, on_connection) < 0)
        model_die("libuv");
    uv_run(loop, UV_RUN_DEFAULT);
    return 1;
}
