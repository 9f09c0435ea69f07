/*
 * test_doctor.c: each check of the doctor on machines that are right, tight and wrong, made of files; and on machines
 * whose files are not there, or say nonsense.
 */
#include "doctor/check.h"
#include "unit.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct file {
    const char *path, *content; /* NULL: it is not there */
};

#define LIMITS(threads, files)                                                                \
    "Limit                     Soft Limit           Hard Limit           Units     \n"        \
    "Max processes             100                  " threads "                 processes \n" \
    "Max open files            1024                 " files "                files     \n"
#define STATUS(rights, cores) \
    "Name:\tmaritcp\nCapEff:\t" rights "\nCpus_allowed:\tf\nCpus_allowed_list:\t" cores "\n"
#define MEMORY(total, available, limit, used)                                                              \
    "MemTotal:       " total " kB\nMemFree:  1 kB\nMemAvailable:   " available " kB\nCommitLimit:  " limit \
    " kB\nCommitted_AS:   " used " kB\n"
#define NETSTAT(overflows, memory)                                                          \
    "TcpExt: SyncookiesSent ListenOverflows ListenDrops TCPAbortOnMemory TCPReqQFullDrop\n" \
    "TcpExt: 7 " overflows " 0 " memory " 0\nIpExt: InNoRoutes\nIpExt: 5\n"
#define SWAPS "Filename\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"

/* A machine that is right for 4 workers with 1,000 connections each. */
static const struct file good[] = {
    {"/proc/self/limits", LIMITS("1000", "20000")},
    {"/proc/self/status", STATUS("0000000000000000", "0-3")},
    {"/proc/self/cgroup", "0::/a\n"},
    {"/proc/self/mountinfo", "30 23 0:27 / /cg rw,nosuid shared:4 - cgroup2 cgroup2 rw\n"},
    {"/cg/a/cpu.max", "max 100000\n"},
    {"/cg/a/memory.max", "max\n"},
    {"/cg/a/pids.max", "max\n"},
    {"/proc/self/net/netstat", NETSTAT("0", "0")},
    {"/proc/sys/fs/nr_open", "1048576\n"},
    {"/proc/sys/fs/file-nr", "1000\t0\t100000\n"},
    {"/proc/sys/fs/epoll/max_user_watches", "50000\n"},
    {"/proc/sys/net/core/somaxconn", "4096\n"},
    {"/proc/sys/net/ipv4/tcp_max_syn_backlog", "4096\n"},
    {"/proc/sys/net/ipv4/tcp_mem", "90000\t120000\t180000\n"},
    {"/proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n"},
    {"/proc/sys/net/ipv4/tcp_wmem", "4096\t16384\t4194304\n"},
    {"/proc/sys/net/netfilter/nf_conntrack_max", "65536\n"},
    {"/proc/sys/net/ipv4/tcp_max_orphans", "8192\n"},
    {"/proc/meminfo", MEMORY("1000000", "900000", "900000", "100000")},
    {"/proc/sys/vm/overcommit_memory", "0\n"},
    {"/sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n"},
    {"/proc/swaps", SWAPS},
    {"/proc/sys/vm/swappiness", "60\n"},
    {"/sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n"},
};

enum { GOOD = sizeof good / sizeof good[0] };

struct case_ {
    const char *check;
    enum verdict verdict;
    struct file other[2]; /* instead of what is good */
    const char *overrides[2];
    const char *says;   /* in found, wanted, why or todo */
    const char *sysctl; /* or NULL: none */
};

#define OK_   VERDICT_OK
#define WARN_ VERDICT_WARN
#define FAIL_ VERDICT_FAIL

static const struct case_ cases[] = {
    {"nofile", OK_, {{0}}, {0}, "20000", NULL},
    {"nofile", FAIL_, {{"/proc/self/limits", LIMITS("1000", "4000")}}, {0}, "ulimit -n 4112", NULL},
    {"nofile",
     WARN_,
     {{"/proc/self/limits", LIMITS("1000", "4000")}},
     {"server.strict_limits=off"},
     "fewer",
     NULL},
    {"nofile",
     FAIL_,
     {{"/proc/self/limits", LIMITS("1000", "64")}},
     {"server.strict_limits=off"},
     "64",
     NULL},
    {"nofile", OK_, {{"/proc/self/limits", LIMITS("1000", "unlimited")}}, {0}, "no limit", NULL},
    {"nofile",
     OK_,
     {{"/proc/self/limits", LIMITS("1000", "4000")},
      {"/proc/self/status", STATUS("0000000001000000", "0-3")}},
     {0},
     "CAP_SYS_RESOURCE",
     NULL},
    {"nofile",
     WARN_,
     {{"/proc/self/limits", LIMITS("1000", "4096")}},
     {"server.connnum=0"},
     "only 3984 connections",
     NULL},
    {"nofile", OK_, {{0}}, {"server.connnum=0"}, "19888", NULL},
    {"nr_open", OK_, {{0}}, {0}, "1048576", NULL},
    {"nr_open",
     FAIL_,
     {{"/proc/sys/fs/nr_open", "4000"}},
     {0},
     "sysctl -w fs.nr_open=4112",
     "fs.nr_open = 4112"},
    {"file-max", OK_, {{0}}, {0}, "4112 more", NULL},
    {"file-max", WARN_, {{"/proc/sys/fs/file-nr", "1000 0 5200"}}, {0}, "5200", "fs.file-max = 7668"},
    {"file-max", FAIL_, {{"/proc/sys/fs/file-nr", "1000 0 5000"}}, {0}, "5000", "fs.file-max = 7668"},
    {"max_user_watches", OK_, {{0}}, {0}, "50000", NULL},
    {"max_user_watches",
     FAIL_,
     {{"/proc/sys/fs/epoll/max_user_watches", "4000"}},
     {0},
     "4000",
     "fs.epoll.max_user_watches = 4112"},
    {"somaxconn", OK_, {{0}}, {0}, "4096", NULL},
    {"somaxconn",
     WARN_,
     {{"/proc/sys/net/core/somaxconn", "128"}},
     {"server.backlog=1000"},
     "server.backlog is 1000",
     "net.core.somaxconn = 1000"},
    {"tcp_max_syn_backlog", OK_, {{0}}, {0}, "4096", NULL},
    {"tcp_max_syn_backlog",
     WARN_,
     {{"/proc/sys/net/ipv4/tcp_max_syn_backlog", "1024"}},
     {0},
     "cookies",
     "net.ipv4.tcp_max_syn_backlog = 4096"},
    {"tcp_max_syn_backlog",
     OK_,
     {{"/proc/sys/net/ipv4/tcp_max_syn_backlog", "1"}},
     {"server.listen=unix:/a, unix:/b"},
     "no TCP",
     NULL},
    {"tcp_mem", OK_, {{0}}, {0}, "180000", NULL},
    {"tcp_mem",
     WARN_,
     {{"/proc/sys/net/ipv4/tcp_mem", "100 200 3999"}},
     {0},
     "at least 4000",
     "net.ipv4.tcp_mem = 3000 4000 6000"},
    {"tcp_mem", OK_, {{"/proc/sys/net/ipv4/tcp_mem", "1 2 3"}}, {"server.listen=unix:/a"}, "no TCP", NULL},
    {"tcp_rmem", OK_, {{0}}, {0}, "131072", NULL},
    {"tcp_rmem",
     WARN_,
     {{"/proc/sys/net/ipv4/tcp_rmem", "4096 262144 6291456"}},
     {0},
     "at most 180224",
     "net.ipv4.tcp_rmem = 4096 180224 6291456"},
    {"tcp_rmem",
     OK_,
     {{"/proc/sys/net/ipv4/tcp_rmem", "4096 262144 6291456"}},
     {"server.listen=unix:/a"},
     "no TCP",
     NULL},
    {"tcp_wmem", OK_, {{0}}, {0}, "16384", NULL},
    {"tcp_wmem",
     WARN_,
     {{"/proc/sys/net/ipv4/tcp_wmem", "4096 262144 4194304"}},
     {0},
     "at most 180224",
     "net.ipv4.tcp_wmem = 4096 180224 4194304"},
    {"tcp_wmem",
     OK_,
     {{"/proc/sys/net/ipv4/tcp_wmem", "4096 262144 4194304"}},
     {"server.listen=unix:/a"},
     "no TCP",
     NULL},
    {"conntrack", OK_, {{0}}, {0}, "65536", NULL},
    {"conntrack", OK_, {{"/proc/sys/net/netfilter/nf_conntrack_max", NULL}}, {0}, "none", NULL},
    {"conntrack",
     FAIL_,
     {{"/proc/sys/net/netfilter/nf_conntrack_max", "4096"}},
     {0},
     "4096",
     "net.netfilter.nf_conntrack_max = 5000"},
    {"conntrack",
     OK_,
     {{"/proc/sys/net/netfilter/nf_conntrack_max", "16"}},
     {"server.listen=unix:/a"},
     "no TCP",
     NULL},
    {"orphans", OK_, {{0}}, {0}, "8192", NULL},
    {"orphans",
     WARN_,
     {{"/proc/sys/net/ipv4/tcp_max_orphans", "1024"}},
     {0},
     "1024",
     "net.ipv4.tcp_max_orphans = 4096"},
    {"orphans",
     OK_,
     {{"/proc/sys/net/ipv4/tcp_max_orphans", "1"}},
     {"server.listen=unix:/a"},
     "no TCP",
     NULL},
    {"memory", OK_, {{0}}, {0}, "1.0 GB", NULL},
    {"memory", WARN_, {{"/proc/meminfo", MEMORY("1000000", "200000", "1", "1")}}, {0}, "205 MB", NULL},
    {"memory", FAIL_, {{"/proc/meminfo", MEMORY("20000", "10000", "1", "1")}}, {0}, "20 MB", NULL},
    {"cgroup memory", OK_, {{0}}, {0}, "no limit", NULL},
    {"cgroup memory", OK_, {{"/cg/a/memory.max", "1000000000"}}, {0}, "1.0 GB", NULL},
    {"cgroup memory", WARN_, {{"/cg/a/memory.max", "100000000"}}, {0}, "100 MB", NULL},
    {"cgroup memory", FAIL_, {{"/cg/memory.max", "10000000"}}, {0}, "10 MB", NULL},
    {"cgroup memory", OK_, {{"/cg/a/memory.max", "9223372036854771712"}}, {0}, "no limit", NULL},
    {"overcommit", OK_, {{0}}, {0}, "0", NULL},
    {"overcommit", OK_, {{"/proc/sys/vm/overcommit_memory", "2"}}, {0}, "819 MB to be had", NULL},
    {"overcommit",
     FAIL_,
     {{"/proc/sys/vm/overcommit_memory", "2"}, {"/proc/meminfo", MEMORY("1000000", "900000", "1000", "900")}},
     {0},
     "102 KB to be had",
     "vm.overcommit_memory = 0"},
    {"overcommit",
     FAIL_,
     {{"/proc/sys/vm/overcommit_memory", "2"},
      {"/proc/meminfo", MEMORY("1000000", "900000", "1000", "2000")}},
     {0},
     "0 bytes to be had",
     "vm.overcommit_memory = 0"},
    {"huge pages", OK_, {{0}}, {0}, "madvise", NULL},
    {"huge pages", OK_, {{"/sys/kernel/mm/transparent_hugepage/enabled", NULL}}, {0}, "none", NULL},
    {"huge pages",
     WARN_,
     {{"/sys/kernel/mm/transparent_hugepage/enabled", "[always] madvise never"}},
     {0},
     "echo madvise",
     NULL},
    {"swap", OK_, {{0}}, {0}, "none", NULL},
    {"swap",
     WARN_,
     {{"/proc/swaps", SWAPS "/dev/sda2 partition 1 0 -2\n"}},
     {0},
     "swappiness 60",
     "vm.swappiness = 1"},
    {"swap",
     OK_,
     {{"/proc/swaps", SWAPS "/dev/sda2 partition 1 0 -2\n"}, {"/proc/sys/vm/swappiness", "10"}},
     {0},
     "10",
     NULL},
    {"threads", OK_, {{0}}, {0}, "1000 (processes", NULL},
    {"threads", OK_, {{"/proc/self/limits", LIMITS("unlimited", "20000")}}, {0}, "no limit", NULL},
    {"threads", WARN_, {{"/cg/a/pids.max", "32"}}, {0}, "32 (pids.max", NULL},
    {"threads", FAIL_, {{"/cg/pids.max", "16"}}, {0}, "16 (pids.max", NULL},
    {"threads", FAIL_, {{"/proc/self/limits", LIMITS("20", "20000")}}, {0}, "ulimit -u", NULL},
    {"cores", OK_, {{0}}, {0}, "4", NULL},
    {"cores", WARN_, {{"/cg/a/cpu.max", "150000 100000"}}, {0}, "2 by cpu.max", NULL},
    {"cores", OK_, {{"/cg/a/cpu.max", "150000 100000"}}, {"server.workernum=0"}, "2 by cpu.max", NULL},
    {"cores", WARN_, {{"/proc/self/status", STATUS("0", "0,2-3")}}, {0}, "taskset", NULL},
    {"clock", OK_, {{0}}, {0}, "tsc", NULL},
    {"clock",
     WARN_,
     {{"/sys/devices/system/clocksource/clocksource0/current_clocksource", "hpet"}},
     {0},
     "hpet",
     NULL},
    {"overflows", OK_, {{0}}, {0}, "none", NULL},
    {"overflows",
     WARN_,
     {{"/proc/self/net/netstat", NETSTAT("12", "3")}},
     {0},
     "ListenOverflows 12, TCPAbortOnMemory 3",
     NULL},
};

/* ---- A machine of files ---- */

static char root[64];

static void write_file(const char *path, const char *content)
{
    char full[512];
    snprintf(full, sizeof full, "%s%s", root, path);
    unlink(full);
    if (content == NULL)
        return;
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

static void make_machine(void)
{
    snprintf(root, sizeof root, "/tmp/mario_doctor.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    for (size_t i = 0; i < GOOD; i++)
        write_file(good[i].path, good[i].content);
}

static void remove_machine(void)
{
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Run one check, or all into findings[] with name NULL. */
static void look(const char *name, const char *const more[2], struct finding *findings)
{
    static struct maritcp_conf conf;
    static struct conf_error err;
    static struct machine m;
    struct plan plan;
    char why[256], *overrides[4] = {(char[]){"server.workernum=4"}, (char[]){"server.connnum=1000"}};
    uint32 count = 2;
    for (int i = 0; more != NULL && i < 2 && more[i] != NULL; i++)
        overrides[count++] = (char *) (uintptr_t) more[i];
    ck_assert_msg(conf_load(&conf, NULL, overrides, count, &err) == 0, "%s", err.text);
    ck_assert_msg(machine_look(&m, root, NULL, 0, why, sizeof why), "%s", why);
    plan_make(&plan, &conf, &m);
    bool any = false;
    for (size_t i = 0; i < check_count; i++) {
        if (name != NULL && strcmp(checks[i].name, name) != 0)
            continue;
        check_run(&checks[i], &plan, &m, name != NULL ? findings : &findings[i]);
        any = true;
    }
    ck_assert_msg(any, "there is no check %s", name);
}

/* ---- The tests ---- */

/* Goal: each check says OK, WARN or FAIL where it should, what it found, and what to type. */
START_TEST(each_check)
{
    const struct case_ *c = &cases[_i];
    struct finding f;
    char all[1200];
    make_machine();
    for (int i = 0; i < 2 && c->other[i].path != NULL; i++)
        write_file(c->other[i].path, c->other[i].content);
    look(c->check, c->overrides, &f);
    remove_machine();
    snprintf(all, sizeof all, "found %s; wanted %s; why %s; type %s; sysctl %s", f.found, f.wanted, f.why,
             f.todo, f.sysctl);
    ck_assert_msg(f.verdict == c->verdict, "row %d, %s: %d, not %d: %s", _i, c->check, f.verdict, c->verdict,
                  all);
    ck_assert_msg(strstr(all, c->says) != NULL, "row %d, %s: no '%s' in: %s", _i, c->check, c->says, all);
    ck_assert_msg(strcmp(f.sysctl, c->sysctl != NULL ? c->sysctl : "") == 0, "row %d: %s", _i, all);
    ck_assert_msg(f.found[0] != '\0' && f.wanted[0] != '\0' && f.why[0] != '\0', "row %d: %s", _i, all);
    ck_assert_msg((f.verdict == VERDICT_OK) == (f.todo[0] == '\0'), "row %d: %s", _i, all);
}
END_TEST

/* Goal: a certificate that expires within two weeks is a warning, one that has expired fails. */
START_TEST(certificates)
{
    static const struct {
        sint64 days;
        enum verdict verdict;
        const char *says;
    } left[] = {{14, OK_, "expires first, in 14 days"},
                {13, WARN_, "expires first, in 13 days"},
                {0, WARN_, "in 0 days"},
                {-1, FAIL_, "expired 1 days ago"}};
    struct finding f;
    size_t at = 0;
    while (strcmp(checks[at].name, "certificates") != 0)
        at++;
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        struct plan plan = {.certificates = 2, .expiry_days = left[i].days, .expiry_name = "one"};
        check_run(&checks[at], &plan, NULL, &f);
        ck_assert_int_eq(f.verdict, left[i].verdict);
        ck_assert_msg(strstr(f.found, left[i].says) != NULL && strstr(f.found, "[tls one]") != NULL, "%s",
                      f.found);
        ck_assert((f.verdict == VERDICT_OK) == (f.todo[0] == '\0'));
    }
    check_run(&checks[at], &(struct plan){.certificates = 0}, NULL, &f);
    ck_assert(f.verdict == VERDICT_OK && f.todo[0] == '\0');
}
END_TEST

/* Goal: there is no check that the table above has no OK and nothing else for; but of certificates. */
START_TEST(all_are_tried)
{
    for (size_t i = 0; i < check_count; i++) {
        unsigned ok = strcmp(checks[i].name, "certificates") == 0, other = ok;
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            if (strcmp(cases[k].check, checks[i].name) == 0)
                *(cases[k].verdict == VERDICT_OK ? &ok : &other) += 1;
        }
        ck_assert_msg(ok > 0 && other > 0, "%s: %u, %u", checks[i].name, ok, other);
    }
}
END_TEST

/* Goal: a file that is not there, is empty, is a directory, or says nonsense is a finding that names it or nothing at
 * all; never a crash, and never good because a number could not be read. */
START_TEST(files_that_are_not_what_they_should_be)
{
    static const char *const contents[] = {
        NULL, "", "\n\n", "nonsense", "-1", "99999999999999999999999 x", "\xff\xfe"};
    static struct finding findings[64];
    const struct file *file = &good[_i];
    ck_assert_uint_le(check_count, 64);
    make_machine();
    for (size_t i = 0; i < sizeof contents / sizeof contents[0]; i++) {
        bool said = false;
        write_file(file->path, contents[i]);
        look(NULL, NULL, findings);
        for (size_t k = 0; k < check_count; k++)
            said = said || strstr(findings[k].found, file->path) != NULL || findings[k].verdict != VERDICT_OK;
        bool may_be_absent =
            strstr(file->path, "/cg/") == file->path || strstr(file->path, "self/cgroup") != NULL ||
            strstr(file->path, "mountinfo") != NULL || strstr(file->path, "conntrack") != NULL ||
            strstr(file->path, "hugepage") != NULL || strstr(file->path, "swappiness") != NULL;
        if (i < 4 && !may_be_absent && !(strstr(file->path, "swaps") != NULL && i == 3))
            ck_assert_msg(said, "%s with '%s': nothing is said", file->path,
                          contents[i] != NULL ? contents[i] : "(none)");
    }
    char full[512];
    write_file(file->path, NULL);
    snprintf(full, sizeof full, "%s%s", root, file->path);
    ck_assert(mkdir(full, 0700) == 0);
    look(NULL, NULL, findings);
    remove_machine();
}
END_TEST

/* Goal: with no file at all every check ends, and says what it could not read. */
START_TEST(nothing_at_all)
{
    static struct finding findings[64];
    snprintf(root, sizeof root, "/nonexistent");
    look(NULL, NULL, findings);
    unsigned unread = 0;
    for (size_t k = 0; k < check_count; k++)
        unread += findings[k].verdict == VERDICT_WARN;
    ck_assert_uint_ge(unread, 14);
}
END_TEST

/* Goal: on this machine too. */
START_TEST(here)
{
    static struct finding findings[64];
    root[0] = '\0';
    look(NULL, NULL, findings);
    for (size_t k = 0; k < check_count; k++)
        ck_assert_msg(findings[k].found[0] != '\0', "%s", checks[k].name);
}
END_TEST

/* ---- A process, and none ---- */

/* Goal: --pid reads that process's limits, and says so if there is none. */
START_TEST(a_process)
{
    static struct machine m;
    char why[256];
    make_machine();
    write_file("/proc/4711/limits", LIMITS("50", "77"));
    write_file("/proc/4711/status", STATUS("0000000001000000", "0,4-5"));
    write_file("/proc/4711/cgroup", "0::/b\n");
    write_file("/cg/b/pids.max", "42\n");
    ck_assert(machine_look(&m, root, NULL, 4711, why, sizeof why));
    ck_assert_uint_eq(m.nofile, 77);
    ck_assert_uint_eq(m.threads, 50);
    ck_assert_uint_eq(m.cores, 3);
    ck_assert_uint_eq(m.pids_max, 42);
    ck_assert(m.may_raise);
    ck_assert(!machine_look(&m, root, NULL, 4712, why, sizeof why));
    ck_assert_str_eq(why, "--pid 4712: there is no such process");
    remove_machine();
}
END_TEST

Suite *doctor_suite(void)
{
    Suite *s = suite_create("doctor");
    TCase *c = unit_case(s, "doctor", 10);
    tcase_add_loop_test(c, each_check, 0, sizeof cases / sizeof cases[0]);
    tcase_add_test(c, certificates);
    tcase_add_test(c, all_are_tried);
    tcase_add_loop_test(c, files_that_are_not_what_they_should_be, 0, GOOD);
    tcase_add_test(c, nothing_at_all);
    tcase_add_test(c, here);
    tcase_add_test(c, a_process);
    return s;
}
