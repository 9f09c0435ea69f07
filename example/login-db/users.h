/*
 * users.h: the database: one table of users in an SQLite file.
 */
#ifndef USERS_H
#define USERS_H

#include "mario/mario.h"

/* Make the file with its table and three users if it does not exist. Main thread, before the server starts. 0, or -1
 * with a line on standard error. path is kept, not copied. */
sint32 users_prepare(const char *path);

/* Ask whether this token is name's, and count the login. Blocks, for some seconds at worst. Any thread; each has a
 * connection to the database of its own, made at first use and closed when the thread ends. Returns LOGIN_GRANTED with
 * *logins set, LOGIN_DENIED, or LOGIN_UNAVAILABLE after a line in q, the calling thread's log queue. */
uint32 users_login(const char *name, uint64 token, uint32 *logins, LOG_QUEUE *q);

#endif
