/*
 * test_cgroup.c: the cores that the cgroups allow, from files as they are on machines and in containers of each kind.
 */
#include "mario/process/cgroup.h"
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/process/limit.h"

enum { FILES = 6 };

struct machine {
    const char *what;
    const char *file[FILES][2]; /* path, content */
    uint32_t cores;
};

#define V2(top, mount) "30 23 0:27 " top " " mount " rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"
#define V1(top, mount) "32 31 0:29 " top " " mount " rw - cgroup cgroup rw,cpu,cpuacct\n"
#define SELF           "/proc/self/cgroup"
#define MOUNTS         "/proc/self/mountinfo"

static const struct machine machines[] = {
    {"nothing to be read", {{NULL}}, 0},
    {"v2 without a quota",
     {{SELF, "0::/a/b\n"}, {MOUNTS, V2("/", "/cg")}, {"/cg/a/b/cpu.max", "max 100000\n"}},
     0},
    {"v2, two cores", {{SELF, "0::/a\n"}, {MOUNTS, V2("/", "/cg")}, {"/cg/a/cpu.max", "200000 100000\n"}}, 2},
    {"v2, one and a half",
     {{SELF, "0::/a\n"}, {MOUNTS, V2("/", "/cg")}, {"/cg/a/cpu.max", "150000 100000\n"}},
     2},
    {"v2, a tenth", {{SELF, "0::/a\n"}, {MOUNTS, V2("/", "/cg")}, {"/cg/a/cpu.max", "10000 100000"}}, 1},
    {"v2, the parent's is tighter",
     {{SELF, "0::/a/b/c\n"},
      {MOUNTS, V2("/", "/cg")},
      {"/cg/a/b/c/cpu.max", "800000 100000\n"},
      {"/cg/a/cpu.max", "300000 100000\n"}},
     3},
    {"v2, a container that sees its own part as the top",
     {{SELF, "0::/\n"}, {MOUNTS, V2("/", "/sys/fs/cgroup")}, {"/sys/fs/cgroup/cpu.max", "400000 100000\n"}},
     4},
    {"v2, a part is mounted",
     {{SELF, "0::/docker/x/sub\n"},
      {MOUNTS, V2("/docker/x", "/cg")},
      {"/cg/sub/cpu.max", "500000 100000\n"},
      {"/cg/docker/x/cpu.max", "100000 100000\n"}},
     5},
    {"v2, the path is not below what is mounted",
     {{SELF, "0::/docker/xy\n"}, {MOUNTS, V2("/docker/x", "/cg")}, {"/cg/cpu.max", "600000 100000\n"}},
     6},
    {"v1",
     {{SELF, "4:memory:/m\n3:cpu,cpuacct:/a/b\n1:name=systemd:/s\n"},
      {MOUNTS, "31 23 0:28 / /x rw - tmpfs tmpfs rw\n33 31 0:30 / /cpuset rw - cgroup cgroup rw,cpuset\n" V1(
                   "/", "/v1")},
      {"/v1/a/b/cpu.cfs_quota_us", "-1\n"},
      {"/v1/a/b/cpu.cfs_period_us", "100000\n"},
      {"/v1/a/cpu.cfs_quota_us", "250000\n"},
      {"/v1/a/cpu.cfs_period_us", "100000\n"}},
     3},
    {"v1 and v2 side by side, the quota in v1",
     {{SELF, "3:cpu:/\n0::/\n"},
      {MOUNTS, V1("/", "/v1") V2("/", "/unified")},
      {"/v1/cpu.cfs_quota_us", "700000\n"},
      {"/v1/cpu.cfs_period_us", "100000\n"}},
     7},
    {"nonsense", {{SELF, "::\n0\n:\n0::\n"}, {MOUNTS, "- - -\n\n - \n 1 2 3"}, {"/cg/cpu.max", "x y\n"}}, 0},
    {"a quota that is none",
     {{SELF, "0::/a\n"},
      {MOUNTS, V2("/", "/cg")},
      {"/cg/a/cpu.max", "0 0\n"},
      {"/cg/cpu.max", "-5 100000\n"}},
     0},
};

static void write_file(const char *root, const char *path, const char *content)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    for (char *slash = full + strlen(root); (slash = strchr(slash + 1, '/')) != NULL; *slash = '/') {
        *slash = '\0';
        ck_assert(mkdir(full, 0700) == 0 || errno == EEXIST);
    }
    FILE *f = fopen(full, "we");
    ck_assert_msg(f != NULL && fputs(content, f) >= 0 && fclose(f) == 0, "%s: %s", full, strerror(errno));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void) st;
    (void) type;
    (void) ftw;
    return remove(path);
}

/* Goal: the tightest quota of the process's own cgroup and those above it counts, rounded up to whole cores. */
START_TEST(the_quota)
{
    const struct machine *m = &machines[_i];
    char root[] = "/tmp/mario_cgroup.XXXXXX";
    ck_assert(mkdtemp(root) != NULL);
    for (int i = 0; i < FILES && m->file[i][0] != NULL; i++)
        write_file(root, m->file[i][0], m->file[i][1]);
    uint32_t cores = cgroup_cores(root), all = limit_cores("/nonexistent"), some = limit_cores(root);
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    ck_assert_msg(cores == m->cores, "%s: %u, not %u", m->what, cores, m->cores);
    ck_assert_uint_eq(some, cores != 0 && cores < all ? cores : all);
}
END_TEST

/* Goal: on this machine it is a number that a server can start with. */
START_TEST(here)
{
    uint32_t cores = limit_cores(""), quota = cgroup_cores("");
    ck_assert_uint_ge(cores, 1);
    ck_assert(quota == 0 || cores <= quota);
}
END_TEST

/* Goal: a table for so many descriptors is there, none is open; more than the limit does no harm. */
START_TEST(reserve)
{
    uint64_t before = limit_open_descriptors();
    char line[128];
    unsigned long size = 0;
    limit_reserve(600);
    limit_reserve(0);
    limit_reserve(UINT64_MAX);
    ck_assert_uint_eq(limit_open_descriptors(), before);
    FILE *f = fopen("/proc/self/status", "re");
    while (f != NULL && fgets(line, sizeof line, f) != NULL && sscanf(line, "FDSize: %lu", &size) != 1) {
    }
    ck_assert(f != NULL && size >= 600);
    fclose(f);
}
END_TEST

Suite *cgroup_suite(void)
{
    Suite *s = suite_create("cgroup");
    TCase *c = unit_case(s, "cgroup", 10);
    tcase_add_loop_test(c, the_quota, 0, sizeof machines / sizeof machines[0]);
    tcase_add_test(c, here);
    tcase_add_test(c, reserve);
    return s;
}
