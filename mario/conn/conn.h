/*
 * conn.h: the pool of connections and a connection's life. Everything here is for the worker that owns the
 * shard.
 *
 *     FREE -> OPEN -> (DRAINING) -> CLOSING -> (LINGER) -> FREE
 *
 * OPEN is read and served. DRAINING only gets its pending output sent. CLOSING is over: events removed, what it
 * held dropped. When the pass of the loop is over, so that nothing of it can touch its successor, and no function
 * holds it any more, its end hook runs, and its place is given up. If its client still has something coming its socket
 * stays for that, in LINGER (linger.h). Then the socket is closed and the slot is free.
 */
#ifndef MARIO_CONN_CONN_H
#define MARIO_CONN_CONN_H

#include <event2/event.h>
#include <event2/event_struct.h>

#include "mario/base/clock.h"
#include "mario/base/peer.h"
#include "mario/conn/shard.h"

/* What a connection waits for that is open, but not read. */
enum conn_wait {
    WAIT_NONE,
    WAIT_FUNCTION, /* its offloaded function is to return */
    WAIT_JOB,      /* in the offload queue's line, until a job is free */
    WAIT_OWN,      /* REFS_MAX functions run with it: until one returns */
    WAIT_LINE,     /* in the shard's line: its packets had their share of this pass */
    WAIT_LIMIT,    /* it sent more than limit.packets or limit.bytes let it */
    WAIT_TLS       /* a place for its handshake is to be free */
};

#define REFS_MAX 254u /* and one for its place in a line: that of the offload queue, or of the shard */

#define CONN_MAGIC 0x4du /* cleared when the slot is free: a callback on a free slot stops the process */

/* 256 bytes: four cache lines, and the budget of memory per connection. */
struct conn {
    CONN pub; /* first: a business function's CONN is this object */
    struct event event;
    struct wheel_node node;
    uint8_t magic;
    bool has_member : 1; /* it has a record of what it is in, see push */
    bool has_bond : 1;   /* it is, or is to be, bound to a user */
    bool routed : 1;     /* the route has decided that it is */
    bool newcomer : 1;   /* it came while a walk of all went on, which is not for it */
    bool dirty : 1;      /* its slot stands in the list of those to be flushed, whoever is there by then */
    bool lowat : 1;      /* it was pushed to: its socket keeps little that is not sent */
    bool finished : 1;   /* its socket was half-closed: a FIN has gone out behind what the kernel has */
    union {
        uint16_t seen;  /* of the packet that begins in carry, bytes that its framing was asked about */
        uint16_t fault; /* once it ends for what came: enum frame_looks, or its framing's own number */
    };
    unsigned char
        *carry; /* bytes received but not yet handed out: an unfinished packet; a mem.h block or NULL */
    struct outbox *outbox; /* output the kernel did not take yet; NULL when there is none */
    uint32_t carry_len;
    union {
        uint32_t
            packet_since; /* tick of the first byte of the unfinished packet in carry, or record of TLS's;
                                * during its handshake of its beginning */
        uint32_t prev;    /* LINGER: 1 + slot before this one */
    };
    uint32_t last_rx;    /* tick of the last byte received */
    uint32_t last_tx;    /* tick when pending output last shrank, or began; LINGER: when unacked did */
    uint32_t generation; /* changes on each reuse of the slot, and is never 0 once it was used */
    uint32_t next;       /* 1 + slot behind this one in the free list, in a line or in LINGER */
    union {
        uint32_t stop_bytes; /* stopping: bytes that had arrived when the stop came and are not read yet */
        uint32_t unacked;    /* LINGER: bytes, and the FIN, that the peer had not acknowledged */
    };
    uint8_t state : 3;    /* enum conn_state */
    uint8_t wait : 3;     /* enum conn_wait */
    bool paused : 1;      /* not read because of output.high */
    bool fin : 1;         /* the peer has closed; answers are still computed, or LINGER */
    uint8_t listener : 6; /* index of the listener it came in by */
    bool greeted : 1;     /* the connected hook ran: an end hook is due */
    bool stopping : 1;    /* the stop has seen it */
    uint8_t reason;       /* enum reason, once it is to end */
    uint8_t
        refs; /* functions that run with it on other threads, and its place in the offload queue's line: it
                          outlives its end until they are over */
};
_Static_assert(sizeof(struct conn) <= 256, "a connection fits in four cache lines");

enum accepted_as {
    ACCEPTED_PLAIN,    /* all that comes is the client's */
    ACCEPTED_HEADER,   /* a PROXY header is there, whole */
    ACCEPTED_NO_HEADER /* none came, or a wrong one: it is only to be closed */
};

/* A socket that was accepted. */
struct accepted_socket {
    int fd;
    uint8_t listener; /* index of the one it came in by, below LISTEN_MAX */
    uint8_t as;       /* enum accepted_as; with a header the peer is whom that says */
    struct peer peer;
    uint64_t pass; /* what the master has counted it under, see passes.h; 0 = nothing */
};

/* What the framing of a listener that is a guest (shard.h) has said of the packet that begins in carry. */
struct conn_frame {
    uint32_t need; /* the whole packet's size; 0 = not known */
    bool
        whole; /* it is a whole one, that waits for its function: it is not asked again, the rest says what it is */
    uint16_t id;
    uint32_t at, len;
};

/* What only some connections have beside their struct conn: shard.ext, if a listener needs it. Behind each stands the
 * state of its framing, as many bytes as the largest one has. */
struct conn_ext {
    unsigned char address[PEER_ADDRESS]; /* of an IPv6 peer; of others not set */
    struct conn_frame frame;             /* with carry only */
    _Alignas(8) unsigned char state[];
};

/* What operators are told of a connection and nobody else needs: so it lies apart, and is there only where they can
 * ask. The tick would not do for its age: it lives through no more than a few steps of a loop that was held up. */
struct conn_seen {
    uint32_t opened; /* by conn_seen_now() */
    uint16_t akg;    /* of the last packet that a function got */
    bool has_akg;    /* there was one */
};

/* The monotonic clock in tenths of a second, modulo 2^32. */
static inline uint32_t conn_seen_now(void)
{
    return (uint32_t) (clock_ms() / 100);
}

/* Allocate the pool: address space for `count` connections, memory at first use or at once; with shard.ext, so many
 * bytes a connection, conn_ext_size() or 0 for none, whose memory only those that need it touch; and shard.seen. False
 * without memory. */
__attribute__((warn_unused_result)) bool conn_pool_init(struct shard *s, uint32_t count, bool prefault,
                                                        uint32_t ext_size, bool with_seen);
static inline uint32_t conn_ext_size(uint32_t state_size)
{
    return ((uint32_t) sizeof(struct conn_ext) + state_size + 7) & ~7u;
}
/* After the worker's thread has ended; all connections must have ended. */
void conn_pool_fini(struct shard *s);

/* Begin a connection: take a slot, watch the socket for reading with on_event. The master has made sure of a
 * free slot. NULL when the socket cannot be watched: it is closed and counted, no hook runs. */
struct conn *conn_open(struct shard *s, const struct accepted_socket *a, event_callback_fn on_event);

/* The one way out; not while a function of c runs. Pending output is sent first (DRAINING), unless the reason
 * says the socket or the peer is beyond that. Once a connection is to end, only a reason of that last kind
 * changes anything. */
void conn_close(struct conn *c, enum reason reason);

/* End it now whatever is pending, with the reason noted before, else this one: CLOSING. */
void conn_end(struct conn *c, enum reason reason);

/* Something of what waited for c was sent: if it is DRAINING and nothing waits any more, it ends. */
void conn_drained(struct conn *c);

/* Nothing can be sent any more after this reason, or nobody is there to take it. */
bool conn_is_beyond_sending(enum reason r);

/* A function that ran with c on another thread has returned, or its place in a line is given up: c->refs
 * counted it. */
void conn_release(struct conn *c);

/* The calling thread has taken the shard over from another executor: c is watched by it from here on. */
void conn_move(struct conn *c);
/* The calling thread has taken the shard over while the other one ran a function or hook of c, and may do so for
 * ever: c ends with this reason, but is held. Its public part, owner included, is the other executor's and left alone
 * until that thread has ended: conn_end_orphan(). The executor may be freed before that is called. */
void conn_orphan(struct conn *c, enum reason reason);
void conn_end_orphan(struct conn *c);

/* Watch for what its state needs: reading unless paused, writing if output is pending; and set its next
 * deadline. */
void conn_poll(struct conn *c);

/* Put it into the wheel at its next deadline; out of it if it has none. */
void conn_arm(struct conn *c);
/* Which timeout has passed at this tick; REASON_NONE if none. */
enum reason conn_overdue(const struct conn *c);

/* Keep data[0 .. n-1] for later, behind what is kept already. False without memory. */
__attribute__((warn_unused_result)) bool conn_carry(struct conn *c, const unsigned char *data, size_t n);
void conn_carry_drop(struct conn *c);

/* Once after each pass of the loop: end hooks run, those that are CLOSING become free, or linger. */
void conn_pass(struct shard *s);
/* Nothing of c is left but its socket: that is closed, with an RST if `reset`, and the slot is free. */
void conn_give_back(struct conn *c, bool reset);
/* It is free from here on: for conn_give_back(). */
void conn_return_slot(struct shard *s, struct conn *c);

/* Whether the descriptor is c's own still, and not somebody else's since the application closed it. Nothing may be done
 * to one that is not. */
bool conn_has_socket(const struct conn *c);
/* Half-close it. */
void conn_finish(struct conn *c);
/* The master found that the number of the connection at this slot, which was fd, is not its own any more. */
void conn_lose_socket(struct shard *s, uint32_t slot, int fd);

/* Its name in the table of descriptors (net/descriptor.h). */
static inline uint32_t conn_owner(const struct conn *c)
{
    return c->pub.owner->ind << 24 | (c->pub.ind + 1);
}

/* The one place where a state changes. */
static inline void conn_become(struct shard *s, struct conn *c, enum conn_state to)
{
    _Atomic uint32_t *from = &s->in_state[c->state], *in = &s->in_state[to];
    atomic_store_explicit(from, atomic_load_explicit(from, memory_order_relaxed) - 1, memory_order_relaxed);
    atomic_store_explicit(in, atomic_load_explicit(in, memory_order_relaxed) + 1, memory_order_relaxed);
    c->state = (uint8_t) (to & 7u);
}

/* A packet of c has gone to the function of this id. */
static inline void conn_note_packet(const struct shard *s, const struct conn *c, uint16_t akg)
{
    if (s->seen != NULL) {
        s->seen[c->pub.ind].akg = akg;
        s->seen[c->pub.ind].has_akg = true;
    }
}

/* Names this connection and none before or after it: worker, slot, generation. */
uint64_t conn_id(const struct conn *c);

/* Whether its socket is read: nothing is in the way. */
static inline bool conn_is_read(const struct conn *c)
{
    return c->state == CONN_OPEN && !c->paused && !c->fin && c->wait == WAIT_NONE;
}

/* Too much is pending: stop reading this connection; what it has sent waits in its carry. */
static inline void conn_pause(const struct shard *s, struct conn *c)
{
    c->paused = true;
    stats_add(s->stats, STAT_output_paused, 1);
}

/* A line of connections, first come, first served, linked by their `next`: each stands in one at most. A place in one
 * that others than those who are CLOSING stand in counts in refs, so that who ends stays until its turn. */
static inline void conn_line_push(struct shard *s, struct conn_line *line, struct conn *c)
{
    uint32_t link = c->pub.ind + 1;
    c->next = 0;
    if (line->first == 0)
        line->first = link;
    else
        s->conns[line->last - 1].next = link;
    line->last = link;
}

/* NULL if nobody stands there. */
static inline struct conn *conn_line_pop(struct shard *s, struct conn_line *line)
{
    struct conn *c = line->first == 0 ? NULL : &s->conns[line->first - 1];
    if (c != NULL)
        line->first = c->next;
    return c;
}

static inline struct executor *conn_executor(const struct conn *c)
{
    return (struct executor *) (void *) c->pub.owner;
}

static inline struct shard *conn_shard(const struct conn *c)
{
    return conn_executor(c)->shard;
}

/* That of c; only if the shard has them. */
static inline struct conn_ext *conn_ext(const struct shard *s, const struct conn *c)
{
    return (struct conn_ext *) (void *) (s->ext + (size_t) c->pub.ind * s->ext_size);
}

/* The address of an IPv6 peer, PEER_ADDRESS bytes that stay while c is not free; NULL of others. */
static inline const unsigned char *conn_address6(const struct conn *c)
{
    return c->pub.cip == 0 && c->pub.cport != 0 ? conn_ext(conn_shard(c), c)->address : NULL;
}

#endif
