/*
 * places.h: the places for handshakes of TLS. Everything here is for secure.c, on the worker that owns the shard; who
 * is next is secure_next().
 */
#ifndef MARIO_CONN_PLACES_H
#define MARIO_CONN_PLACES_H

#include "mario/conn/conn.h"

/* Whether another one may shake hands. */
bool places_are_left(const struct shard *s);

/* c, which has something apart, has one; its handshake has come a step on; it waits for one. */
void places_take(const struct conn *c);
void places_note_step(const struct conn *c);
void places_wait(struct conn *c);

/* c stands in no list any more. */
void places_leave(const struct conn *c);

#endif
