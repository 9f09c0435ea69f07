/*
 * runner.h: what a process of the pool does: it is a FastCGI responder that has programs answer.
 */
#ifndef WEB_RUNNER_H
#define WEB_RUNNER_H

/* The directory of the programs. Before pool_start(). 0, or -1 after a line on standard error. */
int runner_prepare(const char *dir);

/* Answer requests until the listener is gone. A pool_main. */
int runner_run(int listener);

#endif
