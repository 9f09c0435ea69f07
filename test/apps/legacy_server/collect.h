/*
 * collect.h: who is online. Declares what it takes by its tag, as nothing of the library is known here yet.
 */
#ifndef COLLECT_H
#define COLLECT_H

struct _CONN;

int init_collect(void);
int start_collect_thread(void);
void collect_login(struct _CONN *c);
void collect_logout(struct _CONN *c);
unsigned int collect_online(void);

#endif
