/*
 * ask.h: one request to a process of the pool, and its answer. Threads that may wait.
 */
#ifndef WEB_ASK_H
#define WEB_ASK_H

#include "fastcgi.h"
#include "head.h"
#include "mario/mario.h"

/* What came. */
struct ask_answer {
    char head[HEAD_MAX]; /* its first bytes */
    uint64 size;         /* all of it */
    int fd;              /* likewise, in a file without a name; the caller closes it; -1 if there is none */
    LOG_QUEUE *qlog;     /* what the script says to its errors goes there */
};

/* Send a whole request, and wait for the answer up to `ms`. 200 with *a; 502: it ended without one, or it was too long;
 * 503: no process became free, or there is no memory; 504: it took too long, and was killed. *a has a file only with
 * 200. */
int ask_pool(const struct fastcgi_out *request, int ms, LOG_QUEUE *qlog, struct ask_answer *a);

#endif
