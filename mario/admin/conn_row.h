/*
 * conn_row.h: a connection as a line of a list: what its worker writes down of it, and how an operator sees that.
 */
#ifndef MARIO_ADMIN_CONN_ROW_H
#define MARIO_ADMIN_CONN_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/base/peer.h"
#include "mario/conn/conn.h"
#include "mario/mario_admin.h"

struct conn_row {
    uint64_t id;
    uint64_t user;    /* it is bound to, 0 = none */
    uint64_t pending; /* bytes that wait to be sent: of replies, and of messages */
    uint64_t value;   /* by which it is among the top ones */
    struct peer peer;
    uint32_t age;  /* tenths of a second */
    uint32_t idle; /* tenths of a second since the last byte came, as timeouts count it */
    uint16_t akg;  /* of the last packet, */
    bool has_akg;  /* if there was one */
    uint8_t state; /* enum conn_state */
    uint8_t tls;   /* enum secure_look */
    uint8_t listener;
};

/* The shard's thread, library state: the slot of c is not free. */
void conn_row_of(const struct shard *s, const struct conn *c, struct conn_row *r);

/* The admin thread: its values, into the object that is open. */
void conn_row_put(struct mario_answer *a, const struct conn_row *r);
/* The same for a row of a list: also how far it is with TLS, where there is some. */
void conn_row_put_listed(struct mario_answer *a, const struct conn_row *r);

#endif
