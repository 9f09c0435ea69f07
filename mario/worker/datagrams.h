/*
 * datagrams.h: packets that come by themselves, without a connection: a worker has a socket of its own for each udp:
 * address of the listen list. Everything here is for the worker's thread, unless it says something else.
 *
 * The sockets are the shard's, and whoever serves that has them; what was read of them and is to be handed out is the
 * executor's, with the memory in which it lies: a function that never returns keeps its own datagram, and its
 * successor goes on with those behind it.
 */
#ifndef MARIO_WORKER_DATAGRAMS_H
#define MARIO_WORKER_DATAGRAMS_H

#include <stdbool.h>

#include "mario/conn/shard.h"
#include "mario/worker/worker.h"

/* Before the thread starts, and after it has ended: take the shard's sockets; close them. */
__attribute__((warn_unused_result)) bool datagrams_setup(struct shard *s, const struct worker_options *o);
void datagrams_teardown(struct shard *s);

/* Who makes an executor: the memory that it needs, if there are such sockets. It is freed with it. False without. */
__attribute__((warn_unused_result)) bool datagrams_prepare(struct executor *t);
/* The first executor of a worker, before its thread starts. False with errno. */
__attribute__((warn_unused_result)) bool datagrams_watch(struct executor *t);
/* t has taken the shard over from `old`, and these with it. */
void datagrams_take_over(struct executor *t, struct executor *old);

/* Whether something is to be done at once: some that were read had their share of a pass, or, `stopping`, some may have
 * come before the stop. Go on with the former. */
bool datagrams_look(const struct executor *t, bool stopping);
static inline bool datagrams_are_left(const struct executor *t, bool stopping)
{
    return t->datagrams != NULL && datagrams_look(t, stopping);
}
void datagrams_go_on(struct executor *t);

/* The server stops: answer what has come until now, some in each pass, then close the sockets. True if it is to be
 * called again. */
bool datagrams_stop(struct executor *t);
/* The same at once. */
void datagrams_end(struct executor *t);

#endif
