/*
 * proxied.h: connections that a balancer passes on: what their PROXY header said. For the worker that owns the shard;
 * shard.proxied, [count], is there only if some listener has proxy=on.
 *
 * The address and port that functions, logs and operators see is the client's; that of the socket is here.
 */
#ifndef MARIO_CONN_PROXIED_H
#define MARIO_CONN_PROXIED_H

#include "mario/conn/conn.h"

struct proxied_values;

struct conn_proxied {
    struct peer via; /* at the other end of the socket: the client's own without a header */
    bool has_header;
    struct proxied_values *values; /* what else it said; a mem.h block or NULL */
    const char *why;               /* bad_proxy: what was wrong */
};

/* Make shard.proxied, for all its connections; memory at first use or at once. False without memory. Behind it all
 * connections have ended. */
__attribute__((warn_unused_result)) bool proxied_setup(struct shard *s, bool prefault);
void proxied_teardown(struct shard *s);

/* A connection begins, in front of which there is no header. */
static inline void proxied_begin(const struct shard *s, const struct conn *c, const struct peer *via)
{
    if (s->proxied != NULL)
        s->proxied[c->pub.ind] = (struct conn_proxied){.via = *via};
}

/* It has begun with one: it is read off, or found to be none, which closes c. True if c is still open. */
bool proxied_enter(struct conn *c, enum accepted_as as);

/* c's place is given up. */
void proxied_end(const struct shard *s, const struct conn *c);

/* That of c, for the thread that runs its functions; NULL if there are none. It stays while c is not free. */
static inline const struct conn_proxied *proxied_of(const struct conn *c)
{
    const struct shard *s = conn_shard(c);
    return s->proxied != NULL ? &s->proxied[c->pub.ind] : NULL;
}

/* What was wrong, of one that ended because of that. */
static inline const char *proxied_why(const struct conn *c)
{
    const struct conn_proxied *p = proxied_of(c);
    return p != NULL && p->why != NULL ? p->why : "?";
}

/* Who is at the other end of c's socket. */
struct peer proxied_via(const struct conn *c);

/* Whether its socket is one of TCP. */
static inline bool conn_is_tcp(const struct conn *c)
{
    const struct conn_proxied *p = proxied_of(c);
    return p != NULL ? p->via.port != 0 : c->pub.cport != 0;
}

#endif
