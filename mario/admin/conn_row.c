/*
 * conn_row.c: a connection as a line of a list. conn_row_of() runs on its worker, and reads nothing that may be another
 * thread's while a function is stuck with it: of the public part only what does not change. The rest is the admin
 * thread's.
 */
#include "mario/admin/conn_row.h"

#include <inttypes.h>

#include "mario/admin/admin.h"
#include "mario/base/id.h"
#include "mario/conn/secure_look.h"
#include "mario/push/push.h"

static struct peer peer_of_conn(const struct shard *s, const struct conn *c)
{
    return c->pub.cip == 0 && c->pub.cport != 0 ? peer_of_v6(conn_ext(s, c)->address, c->pub.cport)
                                                : peer_of_v4(c->pub.cip, c->pub.cport);
}

void conn_row_of(const struct shard *s, const struct conn *c, struct conn_row *r)
{
    uint32_t slot = (uint32_t) (c - s->conns);
    const struct conn_seen *seen = &s->seen[slot];
    const struct bond *b = push_bond(s, c);
    *r = (struct conn_row){.id = id_of(s->ind, slot, c->generation),
                           .user = b != NULL ? b->uid : 0,
                           .pending = outbox_all_bytes(c->outbox),
                           .peer = peer_of_conn(s, c),
                           .age = conn_seen_now() - seen->opened,
                           .idle = s->tick - c->last_rx,
                           .akg = seen->akg,
                           .has_akg = seen->has_akg,
                           .state = c->state,
                           .tls = (uint8_t) secure_look(s, c),
                           .listener = c->listener};
}

static void put_user(struct mario_answer *a, uint64_t user)
{
    if (user != 0)
        mario_answer_format(a, "user", "%" PRIu64, user); /* a text: 64 bits are no number of JavaScript */
    else
        mario_answer_null(a, "user");
}

void conn_row_put(struct mario_answer *a, const struct conn_row *r)
{
    char peer[PEER_TEXT];
    peer_print(&r->peer, peer, sizeof peer);
    mario_answer_id(a, "id", r->id);
    mario_answer_text(a, "state", conn_state_name((enum conn_state) r->state));
    mario_answer_text(a, "peer", peer);
    mario_answer_number(a, "listener", r->listener);
    mario_answer_real(a, "age", r->age / 10.0);
    mario_answer_real(a, "idle", r->idle / 10.0);
    mario_answer_number(a, "pending", r->pending);
    put_user(a, r->user);
    if (r->has_akg)
        mario_answer_format(a, "last_packet", "0x%04x", r->akg);
    else
        mario_answer_null(a, "last_packet");
}

void conn_row_put_listed(struct mario_answer *a, const struct conn_row *r)
{
    conn_row_put(a, r);
    if (admin_view()->workers[0].shard.secure == NULL)
        return;
    if (r->tls == SECURE_LOOK_none)
        mario_answer_null(a, "tls");
    else
        mario_answer_text(a, "tls", secure_look_name((enum secure_look) r->tls));
}
