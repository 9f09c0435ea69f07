/*
 * test_addresses.c: where a server listens: unix sockets that others listen on, or have left; their permissions; what
 * cannot be listened on is said with the way to mend it; IPv6 without IPv4.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"
#include "test/lib/own_port.h"
#include "test/lib/skip.h"

enum { STARTERS = 4, NO_START = 2 };

/* A place for a unix socket, below a directory of its own. */
struct place {
    char dir[64], path[96], listen[112];
    struct net_target target;
};

static void place_make(struct place *p)
{
    program_make_dir(p->dir, sizeof p->dir);
    snprintf(p->path, sizeof p->path, "%s/s", p->dir);
    snprintf(p->listen, sizeof p->listen, "unix:%s", p->path);
    ck_assert_ptr_null(net_resolve(p->listen, NULL, &p->target));
}

static bool is_there(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Nothing is left there. */
static void place_remove(const struct place *p)
{
    ck_assert_msg(rmdir(p->dir) == 0, "%s: %s", p->dir, strerror(errno));
}

static void must_serve(const struct place *p)
{
    int fd = client_open_at(&p->target);
    client_echo(fd, 100);
    close(fd);
}

static void start_at(struct server *s, const struct place *p, bool supervised)
{
    const char *args[] = {supervised ? "server.supervise=on" : "server.supervise=off", NULL};
    server_launch(s, &(struct launch){.program = "maritcp", .listen = p->listen, .args = args});
}

/* ---- Whose a unix socket is ---- */

/* Goal: a server that stops leaves the socket that another has put in the place of its own; with a parent as well. */
START_TEST(the_successors_socket_stays)
{
    struct place p;
    struct server first, second;
    place_make(&p);
    start_at(&first, &p, _i == 1);
    ck_assert(unlink(p.path) == 0);
    start_at(&second, &p, _i == 1);
    server_stop(&first);
    must_serve(&p);
    server_stop(&second);
    ck_assert(!is_there(p.path));
    place_remove(&p);
}
END_TEST

static void leave_a_socket(const struct place *p)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(fd >= 0 &&
              bind(fd, (const struct sockaddr *) &p->target.addr, sizeof(struct sockaddr_un)) == 0);
    close(fd);
}

/* Until all but one have ended. Who is left, or STARTERS. */
static int await_the_last(const pid_t pids[STARTERS], int codes[STARTERS])
{
    int left = STARTERS;
    for (uint64_t end = itest_deadline(5000); mono_ns() < end && left > 1; itest_sleep(2)) {
        left = 0;
        for (int i = 0; i < STARTERS; i++) {
            if (codes[i] < 0)
                codes[i] = program_wait(pids[i], 0);
            left += codes[i] < 0;
        }
    }
    for (int i = 0; left == 1 && i < STARTERS; i++) {
        if (codes[i] < 0)
            return i;
    }
    return STARTERS;
}

/* Goal: of servers that start at once over a socket that is left one listens, and the others say that it does. */
START_TEST(several_start_at_once)
{
    struct place p;
    char log[96], out[96], err[96];
    place_make(&p);
    for (int round = 0; round < 3; round++) {
        pid_t pids[STARTERS];
        int codes[STARTERS] = {-1, -1, -1, -1};
        struct launch l = {.program = "maritcp", .listen = p.listen};
        leave_a_socket(&p);
        for (int i = 0; i < STARTERS; i++) {
            snprintf(log, sizeof log, "%s/log%d", p.dir, i);
            snprintf(out, sizeof out, "%s/out%d", p.dir, i);
            snprintf(err, sizeof err, "%s/err%d", p.dir, i);
            pids[i] = program_start(&l, log, out, err);
        }
        int last = await_the_last(pids, codes);
        ck_assert_msg(last < STARTERS, "%d %d %d %d", codes[0], codes[1], codes[2], codes[3]);
        must_serve(&p);
        ck_assert(kill(pids[last], SIGTERM) == 0);
        ck_assert_int_eq(program_wait(pids[last], itest_deadline(5000)), 0);
        for (int i = 0; i < STARTERS; i++) {
            snprintf(err, sizeof err, "%s/err%d", p.dir, i);
            char *said = program_slurp(err);
            ck_assert_int_eq(codes[i], i == last ? -1 : NO_START);
            ck_assert_msg(i == last || strstr(said, "stop who listens there") != NULL, "%s", said);
            free(said);
            unlink(err);
        }
        ck_assert(!is_there(p.path));
    }
    program_remove_dir(p.dir);
}
END_TEST

/* Goal: permissions and group do not depend on the umask; with a parent as well. */
START_TEST(permissions)
{
    struct place p;
    struct server s;
    struct stat st;
    place_make(&p);
    umask(077);
    start_at(&s, &p, _i == 1);
    ck_assert(lstat(p.path, &st) == 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0666);
    server_stop(&s);
    char group[48];
    snprintf(group, sizeof group, "server.unix_group=%u", geteuid() == 0 ? 65534u : (unsigned) getegid());
    const char *args[] = {"server.unix_mode=0660", group,
                          _i == 1 ? "server.supervise=on" : "server.supervise=off", NULL};
    server_launch(&s, &(struct launch){.program = "maritcp", .listen = p.listen, .args = args});
    ck_assert(lstat(p.path, &st) == 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0660);
    ck_assert_uint_eq(st.st_gid, geteuid() == 0 ? 65534u : getegid());
    must_serve(&p);
    server_stop(&s);
    place_remove(&p);
}
END_TEST

/* ---- What cannot be listened on ---- */

/* Goal: one line that says what is wrong and how to mend it. */
START_TEST(hints)
{
    struct place p;
    place_make(&p);
    char plain[128], below[128], none[128];
    int fd = open(p.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert(fd >= 0 && close(fd) == 0);
    snprintf(plain, sizeof plain, "unix:%s", p.path);
    snprintf(below, sizeof below, "unix:%s/s", p.path);
    snprintf(none, sizeof none, "unix:%s/none/s", p.dir);
    const struct {
        const char *listen, *says;
    } rows[] = {
        {plain, "Address already in use; what is there is no socket: remove it or choose another path"},
        {below, "Not a directory; a part of its path is no directory"},
        {none, "No such file or directory; make its directory"},
        {"192.0.2.77:0", "Cannot assign requested address; this machine does not have that address"},
        {"[::1]:0,unix:/sys/s", "; "},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[512], err[2048];
        int code = itest_run(&(struct launch){.program = "maritcp", .listen = rows[i].listen}, out,
                             sizeof out, err, sizeof err);
        ck_assert_msg(code == NO_START && strstr(err, rows[i].says) != NULL && strchr(err, '\n')[1] == '\0',
                      "%s: exit code %d: %s", rows[i].listen, code, err);
    }
    program_remove_dir(p.dir);
}
END_TEST

/* Goal: the same for a directory that may not be written to, which root could. */
START_TEST(a_directory_of_others)
{
    struct place p;
    int fds[2];
    char list[160], err[2048] = "";
    if (geteuid() != 0)
        TEST_SKIP("only root can become another user for it");
    place_make(&p);
    snprintf(list, sizeof list, "server.listen=%s", p.listen);
    ck_assert(chmod(p.dir, 0755) == 0 && pipe2(fds, O_CLOEXEC) == 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fds[1], STDERR_FILENO);
        if (setgid(65534) == 0 && setuid(65534) == 0)
            execl(itest_program("maritcp"), "maritcp", "-o", list, (char *) NULL);
        _exit(99);
    }
    close(fds[1]);
    int code = program_wait(pid, itest_deadline(5000));
    ssize_t n = read(fds[0], err, sizeof err - 1);
    close(fds[0]);
    if (code == 99 || n == 0)
        TEST_SKIP("another user cannot run the programs here");
    ck_assert_msg(code == NO_START &&
                      strstr(err, "Permission denied; who starts the server must be able to write") != NULL,
                  "exit code %d: %s", code, err);
    program_remove_dir(p.dir);
}
END_TEST

/* ---- IPv6 ---- */

static int connect_v4(uint16_t port)
{
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int err = connect(fd, (struct sockaddr *) &to, sizeof to) == 0 ? 0 : errno;
    close(fd);
    return err;
}

/* Goal: [::] takes no IPv4, and the log says so; with 0.0.0.0 beside it there is nothing to say. */
START_TEST(ipv6_alone)
{
    struct server s;
    int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    if (probe < 0 || bind(probe, (struct sockaddr *) &any, sizeof any) != 0)
        TEST_SKIP("no IPv6 here");
    close(probe);
    char alone[32], both[64];
    int hold;
    uint16_t port = own_port(&hold);
    snprintf(alone, sizeof alone, "[::]:%u", port);
    server_launch(&s, &(struct launch){.program = "maritcp", .listen = alone});
    ck_assert_int_eq(connect_v4(s.port), ECONNREFUSED);
    server_wait_log(&s, " takes IPv6 alone; for IPv4 add 0.0.0.0:", 2000);
    snprintf(both, sizeof both, "[::]:%u, 0.0.0.0:%u", port, port);
    server_stop(&s);
    server_launch(&s, &(struct launch){.program = "maritcp", .listen = both});
    ck_assert_int_eq(connect_v4(s.port), 0);
    ck_assert_uint_eq(server_log_count(&s, "takes IPv6 alone"), 0);
    server_finish(&s);
    close(hold);
}
END_TEST

Suite *addresses_suite(void)
{
    Suite *s = suite_create("addresses");
    TCase *c = itest_case(s, "unix", 20);
    tcase_add_loop_test(c, the_successors_socket_stays, 0, 2);
    tcase_add_test(c, several_start_at_once);
    tcase_add_loop_test(c, permissions, 0, 2);
    c = itest_case(s, "errors", 20);
    tcase_add_test(c, hints);
    tcase_add_test(c, a_directory_of_others);
    c = itest_case(s, "ipv6", 20);
    tcase_add_test(c, ipv6_alone);
    return s;
}
