/*
 * secure_look.c: how far a connection is with TLS, and why it failed. The worker that owns the shard; the public
 * function, for the connection's own functions and hooks, wherever they run.
 */
#include "mario/conn/secure_look.h"

#include <errno.h>

#include "mario/conn/secure.h"

/* Not by way of the connection's executor: that may be of a thread that got stuck with it, and is gone. */
enum secure_look secure_look(const struct shard *s, const struct conn *c)
{
    if (s->secure == NULL || (s->service->tls >> c->listener & 1) == 0)
        return SECURE_LOOK_none;
    const struct conn_secure *e = &s->secure->conns[c - s->conns];
    switch ((enum secure_phase) e->phase) {
    case SECURE_HELLO:
        return SECURE_LOOK_hello;
    case SECURE_WAITS:
        return SECURE_LOOK_waits;
    case SECURE_SHAKES:
        return (e->is_apart ? e->apart->session : e->session) != NULL ? SECURE_LOOK_shakes : SECURE_LOOK_away;
    case SECURE_UP:
        return SECURE_LOOK_up;
    case SECURE_OVER:
        break;
    }
    return SECURE_LOOK_over;
}

const char *secure_look_name(enum secure_look look)
{
    static const char *const names[] = {
#define ROW(name) #name,
        SECURE_LOOKS(ROW)
#undef ROW
    };
    return names[look];
}

const char *secure_fault(const struct conn *c)
{
    static const char *const words[] = {
#define ROW(name, words) words,
        TLS_FAULTS(ROW)
#undef ROW
    };
    const struct secure *x = conn_shard(c)->secure;
    uint32_t fault = c->fault < MARIO_FAULT_OWN ? TLS_FAULT_other : c->fault - MARIO_FAULT_OWN;
    if (x != NULL && x->why[0] != '\0' && x->why_of == conn_id(c))
        return x->why;
    return words[fault < TLS_FAULT_COUNT ? fault : TLS_FAULT_other];
}

/* ---- Public ---- */

/* The session of a connection whose function or hook runs here; NULL if it has none. */
static const struct tls_session *session_of(const struct executor *t, const CONN *c)
{
    if (t->shard == NULL) /* an offloaded function: its CONN is the job's */
        return t->tls;
    if (t->shard->secure == NULL || c->ind >= t->shard->count || c != &t->shard->conns[c->ind].pub)
        return NULL;
    const struct conn *conn = (const struct conn *) (const void *) c;
    return conn_is_tls(conn) ? secure_session(conn) : NULL;
}

int32_t mario_tls_info(CONN *c, struct mario_tls_info *info)
{
    const struct executor *t = executor_here;
    if (t == NULL || t->conn != c) {
        errno = EINVAL;
        return -1;
    }
    const struct tls_session *session = session_of(t, c);
    if (session != NULL && tls_facts(session, info))
        return 0;
    errno = ENOENT;
    return -1;
}
