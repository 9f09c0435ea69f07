/*
 * site.h: the server of example/web with files and scripts of a test's own, and somebody who asks it. Main thread of a
 * test; what does not go as it says fails the test with a message.
 */
#ifndef ITEST_SITE_H
#define ITEST_SITE_H

#include "surfer.h"

/* Start it for an empty site; more arguments end with NULL. */
void site_start(struct server *s, ...) __attribute__((sentinel));
/* Stop it, see that nothing of it is left, neither processes nor files, and remove the site. */
void site_stop(struct server *s);
/* Remove the site of a server that was stopped otherwise. */
void site_remove(void);

/* Make a file of the site; a script, of the text behind "#!/bin/sh". path is relative to either's directory. */
void site_file(const char *path, const void *bytes, size_t n);
void site_text(const char *path, const char *text);
void site_script(const char *name, const char *text);
/* The whole path of a file. Static. */
const char *site_path(const char *path);

/* Send a request. */
void site_send(int fd, const char *request);
/* The same, and read the answer; GET a path on a connection of its own, with more fields, whole lines. The status. */
int site_ask(int fd, const char *request, struct page *p);
int site_get(const struct server *s, const char *path, const char *fields, struct page *p);

/* The value of a field of an answer; "" if there is none. Static. */
const char *site_field(const struct page *p, const char *name);

#define SITE_POOL 65

/* The processes that are there of the pool, pids[SITE_POOL]: first their parent. How many beside it. */
unsigned site_pool(const struct server *s, pid_t *pids);

#endif
