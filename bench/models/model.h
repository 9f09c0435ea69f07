/*
 * model.h: what the models share beside the wire format, so that each file shows only its model: starting,
 * accepting, serving one blocking connection, and the state of one non-blocking connection.
 */
#ifndef MODELS_MODEL_H
#define MODELS_MODEL_H

#include <stdint.h>

#include "wire.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Starting; the main thread, before any other ---- */

/* Read the command line `NAME PORT`, raise the descriptor limit as far as it may, ignore SIGPIPE, let SIGTERM
 * and SIGINT end the process with exit code 0, listen on 127.0.0.1 (0 = any free port), print "listening
 * PORT". type is 0 or SOCK_NONBLOCK, of the listening socket. Returns it; does not return on failure. */
int model_start(int argc, char **argv, int type);

/* Say what failed, with errno, and exit 1. */
void model_die(const char *what) __attribute__((noreturn));

/* A child of fork(): end when the parent ends, however that happens. parent: its process id. */
void model_child(int parent);

/* ---- Accepting; one thread at a time ---- */

/* The next connection, with TCP_NODELAY; type as for accept4(). Returns its descriptor, or -1 when the
 * listener is non-blocking and none waits. Beyond the descriptor limit a connection is accepted with a
 * spare descriptor and closed at once: a client is told, and a level-triggered loop does not spin. */
int model_accept(int listener, int type);

/* ---- A blocking connection: models with a thread or process for each ---- */

/* Answer until the peer has finished or sent nonsense, then close fd. Needs 200 KiB of stack. */
void model_serve(int fd);

/* Stack for a thread that calls it. */
#define MODEL_STACK ((size_t) (1024 * 1024))

/* ---- A non-blocking connection: models with a loop; one thread at a time ---- */

/* What it holds between two wake-ups. */
struct stream {
    int fd;
    uint32_t tail_len; /* bytes of an unfinished packet in tail */
    uint32_t out_len;  /* bytes in out; while it is not 0 the connection is not read */
    uint32_t out_off;  /* how many of them are sent */
    ubyte *tail;       /* made when first needed, lives as long as the stream */
    ubyte *out;        /* what the kernel did not take, until it is sent */
};

enum stream_state {
    STREAM_MORE,  /* read and answered; there may be more to read */
    STREAM_EMPTY, /* nothing more to read: wait until it is readable */
    STREAM_FULL,  /* output waits: do not read, wait until it is writable */
    STREAM_END    /* to be closed: the peer has finished, broke, or sent nonsense */
};

/* A stream for fd, to be freed by stream_close(). NULL without memory; fd is closed then. */
struct stream *stream_open(int fd);

/* One recv(), the replies to what came, one send(). */
enum stream_state stream_readable(struct stream *s, struct wire_scratch *scratch);

/* Send what waits. STREAM_FULL while there is more of it, else STREAM_MORE. */
enum stream_state stream_writable(struct stream *s);

/* For edge-triggered models: send what waits, then read and answer until the kernel has no more. Never
 * STREAM_MORE. */
enum stream_state stream_drain(struct stream *s, struct wire_scratch *scratch);

/* Close its descriptor and free it. */
void stream_close(struct stream *s);

#ifdef __cplusplus
}
#endif

#endif
