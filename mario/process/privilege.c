/*
 * privilege.c: becoming a user of few rights. Runs on the thread that makes the server, before there are
 * others: what the kernel keeps for each thread (capabilities, no_new_privs) is inherited by those that come
 * later. mario_user_check() changes nothing.
 */
#include "mario/process/privilege.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mario/base/account.h"
#include "mario/base/complain.h"
#include "mario/mario_server.h"

enum { NAME_SIZE = 256, CAPABILITY_WORDS = 2, GROUPS_MAX = 1024 };

struct who {
    bool wanted; /* false: stay who we are */
    uid_t uid;
    gid_t gid;
};

/* ---- Names to ids ---- */

static const char *find(const char *user, const char *group, struct who *w)
{
    struct account a;
    const char *wrong = account_user(user, &a);
    if (wrong != NULL)
        return wrong;
    w->uid = a.uid;
    w->gid = a.gid;
    if (w->uid == 0)
        return "that is root, who keeps all rights";
    if (group != NULL)
        return account_group(group, &w->gid) ? NULL : "there is no such group";
    return a.has_entry ? NULL : "this number has no entry, so its group must be given: user:group";
}

static bool parse(const char *text, struct who *w, char *why, size_t size)
{
    char user[NAME_SIZE];
    *w = (struct who){.wanted = text != NULL && text[0] != '\0' && strcmp(text, "-") != 0};
    if (!w->wanted)
        return true;
    const char *colon = strchr(text, ':');
    size_t len = colon != NULL ? (size_t) (colon - text) : strlen(text);
    if (len == 0 || len >= sizeof user) {
        snprintf(why, size, "'%.64s': no user's name", text);
        return false;
    }
    memcpy(user, text, len);
    user[len] = '\0';
    const char *wrong = find(user, colon != NULL ? colon + 1 : NULL, w);
    if (wrong != NULL)
        snprintf(why, size, "'%.64s': %s", text, wrong);
    return wrong == NULL;
}

int32_t mario_user_check(const char *user, char *why, uint32_t size)
{
    struct who w;
    return parse(user, &w, why, size) ? 0 : -1;
}

/* ---- The drop ---- */

static bool is_already(const struct who *w)
{
    return geteuid() == w->uid && getegid() == w->gid;
}

/* Who started us as that user already may have given us more groups than its own, and an unprivileged process cannot
 * give them back. Said once, also by those that are forked later. */
static void warn_of_groups(const struct who *w)
{
    static bool said;
    char names[256] = "";
    gid_t groups[GROUPS_MAX];
    size_t used = 0;
    int n = getgroups(GROUPS_MAX, groups);
    for (int i = 0; i < n && used < sizeof names; i++) {
        const struct group *g = groups[i] == w->gid ? NULL : getgrgid(groups[i]);
        if (g != NULL)
            used += (size_t) snprintf(names + used, sizeof names - used, " %s", g->gr_name);
        else if (groups[i] != w->gid)
            used += (size_t) snprintf(names + used, sizeof names - used, " %u", groups[i]);
    }
    if (used > 0 && !said)
        complain(
            "warning: the server keeps the rights of these groups, which only root can drop:%s; start as root, or "
            "without them",
            names);
    said = said || used > 0;
}

static const char *become(const struct who *w)
{
    if (geteuid() == 0) {
        for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* needs CAP_SETPCAP; no_new_privs makes up for it */
        if (setgroups(1, &w->gid) != 0)
            return "setgroups";
    } else if (setgroups(1, &w->gid) != 0) {
        warn_of_groups(w);
    }
    if (setresgid(w->gid, w->gid, w->gid) != 0)
        return "setresgid";
    if (setresuid(w->uid, w->uid, w->uid) != 0)
        return "setresuid";
    return NULL;
}

/* All that root had apart from its id. Of capset(2), which glibc does not wrap. */
static const char *forget_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[CAPABILITY_WORDS] = {{0}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) != 0)
        return "capset";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return "no_new_privs";
    return NULL;
}

/* What the kernel says now. A drop that only seems to have worked is worse than none. */
static bool is_dropped(const struct who *w)
{
    uid_t r, e, s;
    gid_t rg, eg, sg;
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct have[CAPABILITY_WORDS] = {{0}};
    if (getresuid(&r, &e, &s) != 0 || getresgid(&rg, &eg, &sg) != 0 || syscall(SYS_capget, &head, have) != 0)
        return false;
    bool ids = r == w->uid && e == w->uid && s == w->uid && rg == w->gid && eg == w->gid && sg == w->gid;
    return ids && (have[0].permitted | have[1].permitted | have[0].effective | have[1].effective) == 0 &&
           prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && setuid(0) != 0;
}

bool privilege_drop(const char *user, char *why, size_t size)
{
    struct who w;
    if (!parse(user, &w, why, size))
        return false;
    if (!w.wanted)
        return true;
    if (geteuid() != 0 && !is_already(&w)) {
        snprintf(why, size, "'%.64s': only root can become another user; start as root or as that user",
                 user);
        return false;
    }
    const char *wrong = become(&w);
    if (wrong == NULL)
        wrong = forget_capabilities();
    if (wrong != NULL) {
        snprintf(why, size, "'%.64s': %s: %s", user, wrong, strerror(errno));
        return false;
    }
    if (!is_dropped(&w)) {
        snprintf(why, size, "'%.64s': the rights of root cannot be given up here", user);
        return false;
    }
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* a change of user forbids core dumps: allow them again */
    return true;
}
