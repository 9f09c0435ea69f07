/*
 * far_inside.h: what far.c and far_lists.c share.
 */
#ifndef FAR_INSIDE_H
#define FAR_INSIDE_H

#include "far.h"

/* Other servers that are there; the cluster's thread (w), the clerk (r), relaxed. */
extern uint32 far_nodes;
/* The user that the ear of this process is; constant. */
extern uint64 far_self;

/* To all clerks. The clerk's thread. */
void far_ask_all(struct mario_msg *m);

#endif
