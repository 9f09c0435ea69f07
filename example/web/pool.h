/*
 * pool.h: processes that answer one request at a time, each on a socket of its own, and their parent, which starts one
 * anew that has died or has to. All are forked before the server has threads; so nothing of it is in them.
 */
#ifndef WEB_POOL_H
#define WEB_POOL_H

#include <stdbool.h>

enum { POOL_MAX = 64 };

/* What a process does: answer whoever connects to `listener`, until it is killed. */
typedef int (*pool_main)(int listener);

/* Start the parent and `count` processes, 1 .. POOL_MAX. Main, before there are threads. 0, or -1 after a line on
 * standard error. */
int pool_start(int count, pool_main run);
/* End them all. Main, when nobody uses one any more. */
void pool_stop(void);

/* ---- Threads that may wait ---- */

/* A process for a request, for which up to `ms` are waited; its number, or -1. */
int pool_take(int ms);
/* A connection to it, nonblocking; the caller closes it. -1 with errno. */
int pool_connect(int number);
/* It is free again. */
void pool_give(int number);
/* Kill it, with all that it started and that did not leave its process group; when this returns another is in its
 * place, and it is free. */
void pool_kill(int number);

#endif
