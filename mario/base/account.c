/*
 * account.c: users' and groups' numbers. For the thread that makes the server, before there are others.
 */
#include "mario/base/account.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_SIZE = 256 };

/* The last answers, which a child has of its parent. */
static struct {
    char name[NAME_SIZE]; /* "" = none */
    struct account account;
} last_user;

static struct {
    char name[NAME_SIZE];
    gid_t gid;
} last_group;

static void remember(char last[NAME_SIZE], const char *name)
{
    snprintf(last, NAME_SIZE, "%s", strlen(name) < NAME_SIZE ? name : "");
}

static bool is_last(const char last[NAME_SIZE], const char *name)
{
    return name[0] != '\0' && strcmp(last, name) == 0;
}

/* A plain number below 2^32 - 1, which is nobody's id. */
static bool read_id(const char *text, unsigned *id)
{
    size_t n = strlen(text);
    if (n == 0 || n > 10 || strspn(text, "0123456789") != n)
        return false;
    unsigned long long v = strtoull(text, NULL, 10);
    *id = (unsigned) v;
    return v < UINT32_MAX;
}

static const char *ask_user(const char *name, struct account *a)
{
    *a = (struct account){.gid = (gid_t) -1};
    errno = 0;
    const struct passwd *p = getpwnam(name);
    if (p == NULL && !read_id(name, &a->uid))
        return errno == 0 || errno == ENOENT || errno == ESRCH ? "there is no such user" : strerror(errno);
    if (p == NULL)
        p = getpwuid(a->uid);
    if (p != NULL)
        *a = (struct account){.uid = p->pw_uid, .gid = p->pw_gid, .has_entry = true};
    return NULL;
}

const char *account_user(const char *name, struct account *a)
{
    if (!is_last(last_user.name, name)) {
        const char *wrong = ask_user(name, &last_user.account);
        remember(last_user.name, wrong == NULL ? name : "");
        if (wrong != NULL)
            return wrong;
    }
    *a = last_user.account;
    return NULL;
}

bool account_group(const char *name, gid_t *gid)
{
    if (!is_last(last_group.name, name)) {
        const struct group *g = getgrnam(name);
        if (g != NULL)
            last_group.gid = g->gr_gid;
        bool found = g != NULL || read_id(name, &last_group.gid);
        remember(last_group.name, found ? name : "");
        if (!found)
            return false;
    }
    *gid = last_group.gid;
    return true;
}
