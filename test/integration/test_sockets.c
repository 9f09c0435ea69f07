/*
 * test_sockets.c: what a running server's descriptors are like, seen from outside: who inherits them, what is set on
 * them, and what writing to them can do to the process.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"
#include "test/apps/testapp/commands.h"

/* The number behind `key:` in a file of /proc, in this base. */
static uint64_t number_of(const char *path, const char *key, int base)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[len < 0 ? 0 : len] = '\0';
    close(fd);
    const char *at = strstr(text, key);
    ck_assert_msg(at != NULL, "%s has no %s: '%s'", path, key, text);
    return strtoull(at + strlen(key) + 1, NULL, base);
}

/* ---- Who inherits them ---- */

/* All of a process but the standard ones must close at exec. How many there are. */
static unsigned check_cloexec(pid_t pid)
{
    char dir[64], path[96 + sizeof(((struct dirent *) 0)->d_name)];
    unsigned n = 0;
    snprintf(dir, sizeof dir, "/proc/%d/fd", (int) pid);
    DIR *d = opendir(dir);
    ck_assert_msg(d != NULL, "%s: %s", dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char what[128];
        if (e->d_name[0] == '.' || atoi(e->d_name) <= STDERR_FILENO)
            continue;
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        ssize_t len = readlink(path, what, sizeof what - 1);
        what[len < 0 ? 0 : len] = '\0';
        snprintf(path, sizeof path, "/proc/%d/fdinfo/%s", (int) pid, e->d_name);
        ck_assert_msg((number_of(path, "flags", 8) & O_CLOEXEC) != 0, "descriptor %s, %s, outlives an exec",
                      e->d_name, what);
        n++;
    }
    closedir(d);
    return n;
}

/* Goal: no program that an application starts gets a descriptor of the library's: listeners, connections, files,
 * loops; of the parent's neither. */
START_TEST(nothing_outlives_an_exec)
{
    char unix_path[64], listen[160];
    snprintf(unix_path, sizeof unix_path, "/tmp/mario_sockets.%d", (int) getpid());
    snprintf(listen, sizeof listen, "127.0.0.1:0,unix:%s", unix_path);
    const char *args[] = {"server.workernum=2", "test.offload=on", "server.supervise=off", NULL};
    for (int supervise = 0; supervise <= 1; supervise++) {
        struct server s;
        args[2] = supervise ? "server.supervise=on" : args[2];
        server_launch(&s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
        int tcp = client_open(&s), local = client_open_at(&s.addresses[1]);
        client_echo(tcp, 10);
        client_echo(local, 10);
        unsigned n = check_cloexec(supervise ? mortal_child(s.pid) : s.pid);
        ck_assert_uint_ge(n, 10);
        if (supervise)
            ck_assert_uint_ge(check_cloexec(s.pid), 4);
        close(tcp);
        close(local);
        server_stop(&s);
    }
}
END_TEST

/* Goal: the table of descriptors has its size before the first thread: growing later stops all of them. */
START_TEST(the_table_does_not_grow)
{
    struct server s;
    char path[64];
    server_start(&s, "testapp", "server.workernum=2", "server.connnum=3000", NULL);
    snprintf(path, sizeof path, "/proc/%d/status", (int) s.pid);
    ck_assert_uint_ge(number_of(path, "FDSize", 10), 6000);
    server_stop(&s);
}
END_TEST

/* ---- What is set on them ---- */

/* A copy of a descriptor of another process. -1 if that is not permitted. */
static int copy_of(pid_t pid, int fd)
{
    int process = (int) syscall(SYS_pidfd_open, pid, 0);
    int copy = process < 0 ? -1 : (int) syscall(SYS_pidfd_getfd, process, fd, 0);
    if (process >= 0)
        close(process);
    return copy;
}

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    ck_assert_msg(getsockopt(fd, level, name, &value, &len) == 0, "getsockopt: %s", strerror(errno));
    return value;
}

/* A copy of the server's socket whose peer, or if there is none whose own address, has this port. -1: none. */
static int socket_with(const struct server *s, uint16_t port)
{
    for (int fd = 3; fd < 100; fd++) {
        struct sockaddr_in6 a = {0};
        socklen_t len = sizeof a;
        int copy = copy_of(s->pid, fd);
        if (copy < 0)
            continue;
        bool found = getpeername(copy, (struct sockaddr *) &a, &len) == 0;
        if (!found && errno == ENOTCONN)
            found = getsockname(copy, (struct sockaddr *) &a, &len) == 0;
        if (found && ntohs(a.sin6_port) == port) /* sin_port lies there too */
            return copy;
        close(copy);
    }
    return -1;
}

/* Goal: replies do not wait for others to be acknowledged, over IPv4 and IPv6. */
START_TEST(no_delay)
{
    struct server s;
    server_launch(&s, &(struct launch){.program = "testapp", .listen = "127.0.0.1:0,[::1]:0"});
    for (unsigned i = 0; i < s.address_count; i++) {
        struct sockaddr_in6 me;
        socklen_t len = sizeof me;
        int fd = client_open_at(&s.addresses[i]);
        client_echo(fd, 10);
        ck_assert(getsockname(fd, (struct sockaddr *) &me, &len) == 0);
        int copy = socket_with(&s, ntohs(me.sin6_port));
        ck_assert_msg(copy >= 0, "the server's socket cannot be looked at: %s", strerror(errno));
        ck_assert_int_ne(option_of(copy, IPPROTO_TCP, TCP_NODELAY), 0);
        close(copy);
        close(fd);
    }
    server_stop(&s);
}
END_TEST

/* Goal: [::] is IPv6 alone, so that who wants IPv4 says so, and can have it on the same port. */
START_TEST(v6_only)
{
    struct server s;
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    server_launch(&s, &(struct launch){.program = "testapp", .listen = "[::]:0"});
    int copy = socket_with(&s, s.port), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(copy >= 0 && option_of(copy, IPPROTO_IPV6, IPV6_V6ONLY) == 1);
    close(copy);
    v4.sin_port = htons(s.port);
    ck_assert(connect(fd, (struct sockaddr *) &v4, sizeof v4) != 0 && errno == ECONNREFUSED);
    close(fd);
    server_stop(&s);
}
END_TEST

/* ---- What writing can do ---- */

/* Goal: a reply that nobody can get is that connection's end, though the application has SIGPIPE kill. */
START_TEST(a_broken_pipe)
{
    struct server s;
    server_start(&s, "testapp", "server.workernum=1", NULL);
    int fd = client_open(&s);
    client_send_packet(fd, TEST_SIGPIPE, "x", 1);
    ck_assert_int_eq(client_ending(fd, NULL, 5000), END_FIN);
    close(fd);
    fd = client_open(&s);
    client_echo(fd, 10);
    close(fd);
    server_stop(&s);
}
END_TEST

Suite *sockets_suite(void)
{
    Suite *s = suite_create("sockets");
    TCase *c = itest_case(s, "sockets", 20);
    tcase_add_test(c, nothing_outlives_an_exec);
    tcase_add_test(c, the_table_does_not_grow);
    tcase_add_test(c, no_delay);
    tcase_add_test(c, v6_only);
    tcase_add_test(c, a_broken_pipe);
    return s;
}
