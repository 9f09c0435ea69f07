/*
 * test_privilege.c: which users the server may become, and that becoming one cannot be taken back. Whatever
 * changes ids happens in a child of the test.
 */
#include "mario/process/privilege.h"
#include "unit.h"

#include <dlfcn.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mario/mario_server.h"

enum { NOBODY = 65534, SOMEBODY = 65533 };

static unsigned asked; /* how often the name service was */

/* In the place of libc's, for the whole program. */
struct passwd *getpwnam(const char *name)
{
    struct passwd *(*next)(const char *) =
        (struct passwd * (*) (const char *) )(uintptr_t) dlsym(RTLD_NEXT, "getpwnam");
    asked++;
    return next(name);
}

struct group *getgrnam(const char *name)
{
    struct group *(*next)(const char *) =
        (struct group * (*) (const char *) )(uintptr_t) dlsym(RTLD_NEXT, "getgrnam");
    asked++;
    return next(name);
}

/* Goal: nobody is asked twice about the same names: a process that its parent starts again does not wait for a name
 * service that hangs. A name that is not there is asked for again. */
START_TEST(the_name_service_is_asked_once)
{
    char why[256];
    ck_assert_int_eq(mario_user_check("nobody:nogroup", why, sizeof why), 0);
    ck_assert_int_eq(mario_group_check("nogroup", why, sizeof why), 0);
    ck_assert_uint_ge(asked, 2);
    asked = 0;
    ck_assert_int_eq(mario_user_check("nobody:nogroup", why, sizeof why), 0);
    ck_assert_int_eq(mario_group_check("nogroup", why, sizeof why), 0);
    ck_assert_uint_eq(asked, 0);
    ck_assert_int_eq(mario_user_check("nobody", why, sizeof why), 0);
    ck_assert_uint_eq(asked, 0);
    ck_assert_int_eq(mario_user_check("no-such-user", why, sizeof why), -1);
    ck_assert_int_eq(mario_user_check("no-such-user", why, sizeof why), -1);
    ck_assert_uint_eq(asked, 2);
}
END_TEST

/* Goal: each bad name has its reason in one line, each good one passes; nothing is changed by asking. */
START_TEST(names)
{
    static const struct {
        const char *user, *why; /* why NULL: good */
    } rows[] = {
        {NULL, NULL},
        {"", NULL},
        {"-", NULL},
        {"nobody", NULL},
        {"nobody:nogroup", NULL},
        {"65534", NULL},
        {"65533:65533", NULL},
        {"nobody:65533", NULL},
        {"root", "that is root"},
        {"0", "that is root"},
        {"0:65534", "that is root"},
        {"no-such-user", "no such user"},
        {"nobody:no-such-group", "no such group"},
        {"nobody:", "no such group"},
        {":nogroup", "no user's name"},
        {":", "no user's name"},
        {"65533", "its group must be given"},
        {"4294967295", "no such user"},
        {"99999999999999999999", "no such user"},
        {"-1", "no such user"},
        {"65534x", "no such user"},
        {"nobody:nogroup:x", "no such group"},
    };
    uid_t before = geteuid();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char why[256] = "";
        sint32 answer = mario_user_check(rows[i].user, why, sizeof why);
        ck_assert_msg((answer == 0) == (rows[i].why == NULL), "'%s': %d, '%s'", rows[i].user, answer, why);
        ck_assert_msg(rows[i].why == NULL || strstr(why, rows[i].why) != NULL, "'%s': '%s'", rows[i].user,
                      why);
        ck_assert(strchr(why, '\n') == NULL);
    }
    ck_assert_uint_eq(geteuid(), before);
}
END_TEST

/* Run f in a child; its exit code, 0 = all is well. */
static int in_child(int (*f)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(f());
    ck_assert(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

/* From here on as root, if the tests are. A number says which promise broke. */
static int drop_and_try(void)
{
    char why[256] = "";
    gid_t groups[8];
    if (!privilege_drop("nobody:65533", why, sizeof why))
        return 1;
    if (geteuid() != NOBODY || getegid() != SOMEBODY || getgroups(8, groups) != 1 || groups[0] != SOMEBODY)
        return 2;
    if (setuid(0) == 0 || setgid(0) == 0 || setgroups(0, NULL) == 0)
        return 3;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || prctl(PR_CAPBSET_READ, 0, 0, 0, 0) != 0)
        return 4;
    if (prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 1)
        return 5;
    if (!privilege_drop("nobody:65533", why, sizeof why) || !privilege_drop("-", why, sizeof why))
        return 6; /* who is there already may say so again */
    if (privilege_drop("nobody", why, sizeof why) || strstr(why, "only root") == NULL)
        return 7; /* another group is another user */
    return 0;
}

static int drop_without_root(void)
{
    char why[256] = "";
    if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0))
        return 1;
    return privilege_drop("65533:65533", why, sizeof why) || strstr(why, "only root") == NULL ? 2 : 0;
}

/* Started as that user already, with more groups than it is to have. What is said of it goes to a pipe. */
static int keep_groups(void)
{
    static const gid_t more[] = {1, NOBODY, 65111};
    int said[2];
    char why[256] = "", text[512] = "";
    if (setgroups(3, more) != 0 || setgid(NOBODY) != 0 || setuid(NOBODY) != 0)
        return 1;
    if (pipe(said) != 0 || dup2(said[1], STDERR_FILENO) != STDERR_FILENO)
        return 2;
    if (!privilege_drop("65534:65534", why, sizeof why) || !privilege_drop("65534:65534", why, sizeof why))
        return 3;
    close(said[1]);
    close(STDERR_FILENO);
    for (ssize_t n, have = 0; (n = read(said[0], text + have, sizeof text - 1 - (size_t) have)) > 0;)
        have += n;
    const char *end = strchr(text, '\n');
    if (end == NULL || end[1] != '\0') /* once */
        return 4;
    return strstr(text, ": daemon 65111; ") != NULL ? 0 : 5;
}

/* Goal: groups that cannot be dropped are named in one line; they are the operator's to mend. */
START_TEST(groups_that_stay)
{
    if (geteuid() == 0)
        ck_assert_int_eq(in_child(keep_groups), 0);
}
END_TEST

/* Goal: root becomes the user for good; who is not root cannot become another. */
START_TEST(drops)
{
    ck_assert_int_eq(in_child(drop_without_root), 0);
    if (geteuid() != 0)
        TEST_SKIP("only root becomes another user");
    ck_assert_int_eq(in_child(drop_and_try), 0);
}
END_TEST

Suite *privilege_suite(void)
{
    Suite *s = suite_create("privilege");
    TCase *c = unit_case(s, "privilege", 10);
    tcase_add_test(c, the_name_service_is_asked_once);
    tcase_add_test(c, names);
    tcase_add_test(c, drops);
    tcase_add_test(c, groups_that_stay);
    return s;
}
