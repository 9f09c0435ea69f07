/*
 * account.h: users' and groups' numbers. For the thread that makes the server, before there are others.
 *
 * The name service is asked, which may take its time; but never twice in a row about the same name: a server that is
 * started again by its parent must not depend on it.
 */
#ifndef MARIO_BASE_ACCOUNT_H
#define MARIO_BASE_ACCOUNT_H

#include <stdbool.h>
#include <sys/types.h>

struct account {
    uid_t uid;
    gid_t gid;      /* the user's own group */
    bool has_entry; /* false: a bare number, and gid is nobody's */
};

/* A user by name, else by number. NULL, or what is wrong. */
const char *account_user(const char *name, struct account *a);

/* A group by name, else by number. False: there is no such group. */
bool account_group(const char *name, gid_t *gid);

#endif
