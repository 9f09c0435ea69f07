/*
 * site.c: the server of example/web with files and scripts of a test's own. Main thread of a test.
 */
#include "site.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "program.h"

enum { ARGS_MAX = 16, CHILDREN_MAX = SITE_POOL - 1 };

static char dir[64]; /* of the test; below it htdocs and cgi-bin */

const char *site_path(const char *path)
{
    static char whole[256];
    snprintf(whole, sizeof whole, "%s/htdocs/%s", dir, path);
    return whole;
}

static void write_file(const char *path, const void *bytes, size_t n, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    ck_assert_msg(fd >= 0 && write(fd, bytes, n) == (ssize_t) n, "%s: %s", path, strerror(errno));
    close(fd);
}

void site_file(const char *path, const void *bytes, size_t n)
{
    write_file(site_path(path), bytes, n, 0644);
}

void site_text(const char *path, const char *text)
{
    site_file(path, text, strlen(text));
}

void site_script(const char *name, const char *text)
{
    char path[128], all[2048];
    snprintf(path, sizeof path, "%s/cgi-bin/%s", dir, name);
    snprintf(all, sizeof all, "#!/bin/sh\n%s\n", text);
    write_file(path, all, strlen(all), 0755);
}

/* TSan does not know the calls that make descriptors here (memfd_create, openat2): when one of them gives a number anew
 * that another thread has closed, it takes what is done with it for something done with the former one. */
static const char *const *environment(void)
{
    static char options[700];
    static const char *const with[] = {options, NULL};
    const char *others = getenv("TSAN_OPTIONS");
    snprintf(options, sizeof options,
             "TSAN_OPTIONS=%s:suppressions='%s/test/tsan_web.supp':print_suppressions=0",
             others != NULL ? others : "exitcode=66", itest_root());
    return with;
}

void site_start(struct server *s, ...)
{
    static char files[80], programs[80];
    const char *args[ARGS_MAX] = {"-l127.0.0.1:0 proto=http", "-d", files, "-c", programs};
    size_t n = 5;
    va_list more;
    program_make_dir(dir, sizeof dir);
    snprintf(files, sizeof files, "%s/htdocs", dir);
    snprintf(programs, sizeof programs, "%s/cgi-bin", dir);
    ck_assert(mkdir(files, 0755) == 0 && mkdir(programs, 0755) == 0);
    va_start(more, s);
    while (n < ARGS_MAX - 1 && (args[n] = va_arg(more, const char *)) != NULL)
        n++;
    va_end(more);
    server_launch(s, &(struct launch){.program = "web", .args = args, .env = environment(), .bare = true});
}

/* ---- Its processes ---- */

/* The children of a process, of all its threads: at most CHILDREN_MAX. */
static unsigned children_of(pid_t pid, pid_t *children)
{
    char path[64];
    unsigned n = 0;
    int child;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", pid, pid);
    FILE *f = fopen(path, "re");
    while (f != NULL && n < CHILDREN_MAX && fscanf(f, "%d", &child) == 1)
        children[n++] = child;
    if (f != NULL)
        fclose(f);
    return n;
}

unsigned site_pool(const struct server *s, pid_t *pids)
{
    ck_assert_uint_eq(children_of(s->pid, pids), 1);
    return children_of(pids[0], pids + 1);
}

static bool are_gone(void *arg)
{
    const pid_t *pids = arg;
    while (*pids != 0 && kill(*pids, 0) != 0)
        pids++;
    return *pids == 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void) st;
    (void) type;
    (void) at;
    return remove(path);
}

void site_remove(void)
{
    ck_assert_int_eq(nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

void site_stop(struct server *s)
{
    pid_t pids[SITE_POOL + 1] = {0};
    pids[1 + site_pool(s, pids)] = 0;
    server_finish(s);
    ck_assert_msg(itest_wait(are_gone, pids, 5000), "a process of the pool is left");
    site_remove();
}

/* ---- Asking ---- */

void site_send(int fd, const char *request)
{
    client_send(fd, request, strlen(request));
}

int site_ask(int fd, const char *request, struct page *p)
{
    site_send(fd, request);
    ck_assert_msg(surfer_read(fd, p, strncmp(request, "HEAD ", 5) != 0), "no answer to '%s'", request);
    return p->status;
}

int site_get(const struct server *s, const char *path, const char *fields, struct page *p)
{
    char request[16384];
    int fd = client_open(s);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a.b:80\r\n%s\r\n", path, fields);
    int status = site_ask(fd, request, p);
    close(fd);
    return status;
}

const char *site_field(const struct page *p, const char *name)
{
    static char value[512];
    size_t n = strlen(name);
    for (const char *line = strstr(p->head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) != 0 || line[2 + n] != ':')
            continue;
        snprintf(value, sizeof value, "%.*s", (int) strcspn(line + 4 + n, "\r"), line + 4 + n);
        return value;
    }
    return "";
}
