/*
 * delivery_lab.h: what the tests of delivery share: messages put onto connections of pool_lab.h, peers that take
 * nothing, what they hear in the end, and the ledger. Main thread of a test.
 */
#ifndef DELIVERY_LAB_H
#define DELIVERY_LAB_H

#include "mario/conn/delivery.h"
#include "pool_lab.h"

enum { BIG = 60000 };

extern char noise[BIG];          /* dots, which heard() leaves out */
extern struct mario_msg *filler; /* made of it: one of them fills a socket's buffers, several */

extern const struct slow_policy closing;

/* A test case in s with all that of pool_case(), and the filler, which alone takes memory in the end. */
TCase *delivery_case(Suite *s, const char *name, unsigned seconds);

struct mario_msg *text(const char *s);
/* A message made of this text that only the queue of c keeps; with a key; one that is to be kept. */
void put(struct conn *c, const char *s, const struct slow_policy *p);
void put_key(struct conn *c, const char *s, uint64_t key, const struct slow_policy *p);
void put_keep(struct conn *c, const char *s, const struct slow_policy *p);

/* Its peer takes nothing more: the kernel is full, and a message has begun. */
struct conn *open_stopped(void);
/* All that its peer gets, behind the filler, with a zero behind it. The peer reads, the kernel is offered more. */
const char *heard(struct conn *c);

/* What the ledger has for all that was put. */
void check_ledger(void);
/* All is over: nothing is pending, and no memory is taken but the filler's. */
void check_over(void);

#endif
