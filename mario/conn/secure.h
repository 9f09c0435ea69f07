/*
 * secure.h: connections over TLS: their handshakes, and their records both ways. For the worker that owns the shard;
 * shard.secure is there only if some listener has tls=.
 *
 * What has come is opened in the receive buffer and goes the way of all that comes. What is to be sent waits as it is,
 * shared messages too, and is sealed as it is offered to the kernel, a record at a time, in the order of sending. What
 * the kernel did not take of a sealed record, of an alert or an answer to new keys, stands here and goes out ahead of
 * all else; as long as there is some the connection has an outbox, which counts it (outbox.h).
 *
 * A session is made when a whole ClientHello is there, and one of tls.handshakes places is free: it takes 14 to 50 KB
 * until the handshake is over. Before that a connection has what came of it, a few hundred bytes, and nothing else.
 */
#ifndef MARIO_CONN_SECURE_H
#define MARIO_CONN_SECURE_H

#include "mario/conn/conn.h"
#include "mario/tls/session.h"

enum secure_phase {
    SECURE_HELLO,  /* its ClientHello is not whole */
    SECURE_WAITS,  /* it is, and waits for a place */
    SECURE_SHAKES, /* it has one */
    SECURE_UP,     /* the handshake is over */
    SECURE_OVER /* nothing can be sealed any more: we have said so, or a record was none, or it has ended */
};

/* What a connection has besides as long as something is going on: while it waits for a place or has one, and while
 * there are bytes. */
struct secure_apart {
    struct tls_session *session; /* in place of conn_secure's */
    uint32_t prev, next;         /* WAITS, SHAKES: 1 + slot of those beside it in its list */
    uint32_t since;              /* SHAKES: tick of its last step */
    uint32_t len;                /* bytes in data: HELLO, WAITS: what has come; then: what goes out first */
    uint32_t sent;               /* of these, gone */
    unsigned char data[];
};

/* A connection's part. All zero for one whose listener has no tls=. */
struct conn_secure {
    union {
        struct tls_session
            *session;               /* NULL: none yet; or it is away, with a thread that takes a step of it */
        struct secure_apart *apart; /* is_apart: a mem.h block, which has the session */
    };
    uint8_t phase; /* enum secure_phase */
    bool is_apart : 1;
    bool begins : 1;  /* it is up, and dispatch does not know yet */
    bool ended : 1;   /* close_notify has come: nothing more will */
    bool broken : 1;  /* its tickets met an RST: what has come before that is read, then it ends by that */
    uint8_t notified; /* bytes of ours, the last that was sent; 0 = not said */
};
_Static_assert(sizeof(struct conn_secure) <= 16, "idle connections have this and their session");

struct secure_list {
    uint32_t first, last; /* 1 + slot, 0 = none */
};

struct secure {
    struct conn_secure *conns; /* [count] */
    unsigned char *homes;      /* [count * TLS_HOME]: for sessions that are up; memory at first use */
    struct tls_thread *thread; /* what the thread that has the shard needs for TLS */
    struct secure_list shakes; /* those who have a place, whose last step is longest ago first */
    struct secure_list waits;  /* those who wait for one, who came last first */
    uint32_t places;           /* that are taken */
    uint64_t why_of;           /* conn_id() of who failed last */
    char why[160];             /* and why, in words; "": no more is known than its fault */
};

/* A step of a handshake that another thread has taken (shard.shake). */
struct secure_step {
    struct tls_session *session;
    enum tls_answer answer;
    enum tls_fault fault; /* of a BAD one, as `why` */
    const char *why;
    unsigned char *data; /* what it was about: data[0 .. n-1], `used` of them are taken */
    size_t n, used;
    const unsigned char *out; /* what is to be sent */
    size_t out_len;
};

/* Make shard.secure, for all its connections; memory at first use or at once. False without memory. Behind it all
 * connections have ended. */
__attribute__((warn_unused_result)) bool secure_setup(struct shard *s, bool prefault);
void secure_teardown(struct shard *s);

/* Whether c's listener has tls=. */
static inline bool conn_is_tls(const struct conn *c)
{
    const struct shard *s = conn_shard(c);
    return s->secure != NULL && (s->service->tls >> c->listener & 1) != 0;
}

/* That of c, for the thread that runs its functions; only if the shard has them. */
static inline struct conn_secure *secure_of(const struct conn *c)
{
    return &conn_shard(c)->secure->conns[c->pub.ind];
}

/* That one's session, see there. */
static inline struct tls_session *secure_session(const struct conn *c)
{
    const struct conn_secure *e = secure_of(c);
    return e->is_apart ? e->apart->session : e->session;
}

/* Whether c speaks TLS and its handshake is not over. */
static inline bool secure_is_shaking(const struct conn *c)
{
    return conn_is_tls(c) && secure_of(c)->phase < SECURE_UP;
}

/* Whether c's client has said close_notify: the same as a FIN, which may come yet. */
static inline bool secure_has_ended(const struct conn *c)
{
    return conn_is_tls(c) && secure_of(c)->ended;
}

/* Whether c's peer has reset it, which nobody is told again: reading says that there is no more. */
static inline bool secure_is_broken(const struct conn *c)
{
    return conn_is_tls(c) && secure_of(c)->broken;
}

/* Bytes of a record of c's that is not whole. */
static inline size_t secure_held(const struct conn *c)
{
    return conn_is_tls(c) && secure_of(c)->phase == SECURE_UP ? tls_held(secure_session(c)) : 0;
}

/* Bytes of our close_notify, the last that c's peer has to acknowledge, if we have said it. */
static inline uint32_t secure_notified(const struct conn *c)
{
    return conn_is_tls(c) ? secure_of(c)->notified : 0;
}

/* A connection begins, which may have tls=. */
void secure_begin(struct conn *c);
/* It ends: CLOSING; then, when no hook of it is to run any more. */
void secure_end(struct conn *c);
void secure_forget(struct conn *c);

/* ---- In ---- */

/* How many bytes of c may be received at once, `most` at most; they are to stand secure_held() behind the beginning of
 * the receive buffer, which has room for TLS_HELD_MAX more. */
size_t secure_room(const struct conn *c, size_t most);

/* n bytes of c, which is read, have come, and stand there. What was in them stands at data[0 .. *plain-1] afterwards.
 * `late`: others are to have their turn before a handshake begins. False: c has ended, or is to be sent its last. */
bool secure_received(struct conn *c, unsigned char *data, size_t n, bool late, size_t *plain);

/* The handshake of c is over, and this is the first time that it is asked. */
bool secure_begins(struct conn *c);

/* Somebody waits for a place, and there is one. */
static inline bool secure_is_due(const struct shard *s)
{
    return s->secure != NULL && s->secure->waits.first != 0 && s->secure->places < s->set->tls_handshakes;
}

/* Who is to have a place now, of those who wait; NULL: nobody. If there is none who did nothing with his for a second
 * gives it up. Then secure_go_on() with its receive buffer, which is as secure_received(). */
struct conn *secure_next(struct shard *s);
bool secure_go_on(struct conn *c, unsigned char *data, size_t *plain);

/* A step of c's handshake is back, and c is open; it does not wait for it any more. What was said behind the handshake
 * is carried. */
void secure_shaken(struct executor *t, struct conn *c, const struct secure_step *step);

/* ---- Out: for output.c and conn.c ---- */

/* Seal the first bytes of vec[0 .. n-1], which go out ahead of what waits otherwise: they are in the thread's `out`,
 * and nothing else is. How many; 0 with errno. */
size_t secure_seal(const struct conn *c, const struct iovec *vec, size_t n);
/* n bytes are to go out ahead, behind those that do already. False without memory. */
__attribute__((warn_unused_result)) bool secure_put_ahead(struct conn *c, const unsigned char *data,
                                                          size_t n);
/* What goes out ahead: not nothing. The first n bytes of it are gone. */
struct iovec secure_ahead(const struct conn *c);
void secure_ahead_sent(struct conn *c, size_t n);

/* Nothing waits for c, and nothing more is to be said: say that. Something may wait afterwards. */
void secure_say_end(struct conn *c);

#endif
