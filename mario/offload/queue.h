/*
 * queue.h: a worker's side of offloaded functions: packets go out to the pool's threads (offload.h) and come back
 * with what was written. Everything here is for the thread whose executor serves the shard, outside user code.
 *
 * c->refs counts what is out for a connection, and its place in line. So it outlives its end until all that has
 * come back; then its end hook runs. What no thread has taken by its end does not run, and is not waited for.
 */
#ifndef MARIO_OFFLOAD_QUEUE_H
#define MARIO_OFFLOAD_QUEUE_H

#include "mario/conn/conn.h"
#include "mario/offload/pool.h"

/* Go on with a connection that is open: hand out what it has carried if it was `waiting` until now, watch it. */
typedef void (*queue_go_on_fn)(struct executor *t, struct conn *c, bool waited);

enum queue_answer {
    QUEUE_SENT,  /* the packet is on its way; c->wait says whether c waits for it */
    QUEUE_LATER, /* c waits until there is room; the packet is to be carried */
    QUEUE_NO_MEMORY
};

/* Hand what the frame shows of data to its offloaded function. */
enum queue_answer queue_send(struct conn *c, const struct mario_frame *frame, const unsigned char *data);

/* Hand the packet of a datagram, which a function sees by pub, to its offloaded function: came bytes by this socket of
 * the shard. False: there is no room. */
bool queue_send_datagram(struct shard *s, const CONN *pub, const struct udp_from *from, uint32_t socket,
                         const struct mario_frame *frame, uint32_t came);
/* Those that no thread has taken do not run any more. */
void queue_cancel_datagrams(struct shard *s);

/* What shard.shake is to be where handshakes are offloaded. */
bool queue_shake(struct conn *c, struct tls_session *session, const unsigned char *in, size_t n);

/* The bell rang: take what has come back, send the replies, and go on with these connections and with those in
 * line. A bounded number; true if there may be more. */
bool queue_collect(struct executor *t, queue_go_on_fn go_on);

/* What shard.take_back is to be where functions are offloaded. */
uint32_t queue_take_back(struct shard *s, struct conn *c);

#endif
