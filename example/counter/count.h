/*
 * count.h: what goes over the wire for the counter, and the functions that answer. All numbers are little-endian, no
 * padding. A packet is a HEAD (mario_akg.h) followed by the struct named here.
 */
#ifndef COUNT_H
#define COUNT_H

#include "mario/mario.h"

#define COUNT_STX 0x31544e43u /* the bytes "CNT1" */

enum { CMD_COUNT_ADD = 0x0001 }; /* COUNT_ADD_REQ -> COUNT_ADD_RSP */

typedef struct count_add_req {
    sint32 amount;
} __attribute__((packed)) COUNT_ADD_REQ;

typedef struct count_add_rsp {
    HEAD head;
    sint64 mine; /* the sum of this connection's amounts */
    sint64 all;  /* that of all connections since the server started */
} __attribute__((packed)) COUNT_ADD_RSP;

/* The connected hook: give c a sum of its own, in c->user. Non-zero without memory, which ends the connection. */
sint32 count_begin(CONN *c);
/* The disconnected hook: take it back. Always 0. */
sint32 count_end(CONN *c);
/* The business function. A packet of another length ends the connection. */
sint32 count_add(CONN *c);
/* Log the sum of all. A timer function, runs on the master. */
void count_report(LOG_QUEUE *qlog, void *unused);

#endif
