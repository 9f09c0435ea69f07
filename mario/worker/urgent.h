/*
 * urgent.h: urgent data at listeners with oob=mark. Everything here is for the thread whose executor it is.
 */
#ifndef MARIO_WORKER_URGENT_H
#define MARIO_WORKER_URGENT_H

#include "mario/conn/conn.h"

/* Whether the next byte of c, which has come, is an urgent one that is to be told of. */
bool urgent_is_next(const struct conn *c);

/* The n bytes that have come begin at the mark: its function comes first. They were read before, so that it is called
 * once. True if they may be handed out now. */
bool urgent_tell(struct executor *t, struct conn *c, uint32_t n);

#endif
