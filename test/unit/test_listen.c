/*
 * test_listen.c: the listen list, listening sockets, what they hand on to the connections they accept; the files of
 * unix sockets.
 */
#include "mario/net/listen.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct listen_options plain = {.backlog = 8, .unix_mode = 0666, .unix_group = (gid_t) -1};

static int option_of(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;
    ck_assert_int_eq(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

/* Accept one connection of a listener; the descriptor of its server's end. */
static int accept_one(int listener, const struct listen_address *a)
{
    int client = socket(a->addr.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(client, (const struct sockaddr *) &a->addr, a->len), 0);
    int fd = accept(listener, NULL, NULL);
    ck_assert_int_ge(fd, 0);
    close(client);
    return fd;
}

static void check_keepalive(int fd, uint32_t seconds)
{
    int on = option_of(fd, SOL_SOCKET, SO_KEEPALIVE);
    int limit_ms = option_of(fd, IPPROTO_TCP, TCP_USER_TIMEOUT);
    ck_assert_int_eq(on, seconds != 0);
    if (on == 0) {
        ck_assert_int_eq(limit_ms, 0);
        return;
    }
    int idle = option_of(fd, IPPROTO_TCP, TCP_KEEPIDLE), interval = option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL);
    int count = option_of(fd, IPPROTO_TCP, TCP_KEEPCNT);
    ck_assert_uint_eq((unsigned) idle, seconds);
    ck_assert_int_eq(count, seconds < 3 ? (int) seconds : 3);
    ck_assert_int_ge(interval, 1);
    ck_assert_int_eq(limit_ms, (idle + count * interval) * 1000); /* both find it, neither before the other */
    ck_assert_int_le(limit_ms, 2 * idle * 1000);
    ck_assert_int_gt(limit_ms, 2 * idle * 1000 - 3000);
}

/* Goal: connections inherit keepalive from the listener, for IPv4 and IPv6; a dead peer is found within twice the
 * setting whatever it is; a listener that is taken over can get another setting. */
START_TEST(keepalive_is_inherited)
{
    static const uint32_t rows[] = {0, 1, 2, 3, 5, 60, 1000, MARIO_KEEPALIVE_MAX};
    static const char *const lists[] = {"127.0.0.1:0", "[::1]:0"};
    struct listen_address all[LISTEN_MAX];
    char why[256];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(listen_parse(lists[i % 2], all, why, sizeof why), 1);
        int listener = listen_open(&all[0], &(struct listen_options){.backlog = 8, .keepalive = rows[i]});
        if (listener < 0 && i % 2 == 1) {
            TEST_SKIP_PART("no IPv6 here");
            continue;
        }
        ck_assert_int_ge(listener, 0);
        uint32_t other = rows[(i + 1) % (sizeof rows / sizeof rows[0])];
        int fd = accept_one(listener, &all[0]);
        check_keepalive(fd, rows[i]);
        ck_assert(listen_keepalive(listener, all[0].addr.ss_family, other));
        int later = accept_one(listener, &all[0]);
        check_keepalive(later, other);
        check_keepalive(fd, rows[i]);
        close(fd);
        close(later);
        listen_close(&all[0], listener);
    }
}
END_TEST

/* Goal: a unix socket has no keepalive, and does not mind. */
START_TEST(unix_sockets_have_none)
{
    struct listen_address all[LISTEN_MAX];
    char list[64], why[256];
    snprintf(list, sizeof list, "unix:/tmp/mario-listen-%d", (int) getpid());
    ck_assert_int_eq(listen_parse(list, all, why, sizeof why), 1);
    int listener = listen_open(
        &all[0],
        &(struct listen_options){.backlog = 8, .keepalive = 60, .unix_mode = 0600, .unix_group = (gid_t) -1});
    ck_assert_int_ge(listener, 0);
    close(accept_one(listener, &all[0]));
    listen_close(&all[0], listener);
}
END_TEST

/* ---- Which lists ---- */

/* Goal: what the kernel would refuse, or take otherwise than it reads, is said before anything is opened. */
START_TEST(lists_that_cannot_be)
{
    static const char *const rows[][2] = {
        {"0.0.0.0:80, 127.0.0.1:80", "'127.0.0.1:80': overlaps 0.0.0.0:80, which is in the list too"},
        {"127.0.0.1:80,127.0.0.2:80,0.0.0.0:80",
         "'0.0.0.0:80': overlaps 127.0.0.1:80, which is in the list too"},
        {"[::1]:80,[::]:80", "'[::]:80': overlaps [::1]:80, which is in the list too"},
        {"[0:0::0]:80,[::]:80", "'[::]:80': listed twice"},
        {"unix:/a,unix:/b,unix:/a", "'unix:/a': listed twice"},
        {"[::ffff:1.2.3.4]:80",
         "'[::ffff:1.2.3.4]:80': an IPv4 address in the form of IPv6; write it as IPv4"},
    };
    struct listen_address all[LISTEN_MAX];
    char why[256];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ck_assert_int_eq(listen_parse(rows[i][0], all, why, sizeof why), -1);
        ck_assert_str_eq(why, rows[i][1]);
    }
    ck_assert_int_eq(
        listen_parse("0.0.0.0:80,[::]:80,0.0.0.0:81,127.0.0.1:82,127.0.0.2:82,0.0.0.0:0,127.0.0.1:0", all,
                     why, sizeof why),
        7);
    ck_assert(!all[1].lacks_v4);
    ck_assert_int_eq(listen_parse("0.0.0.0:80,[::]:81,[::1]:82", all, why, sizeof why), 3);
    ck_assert(all[1].lacks_v4 && !all[2].lacks_v4);
}
END_TEST

/* ---- IPv6 ---- */

/* Goal: [::] takes no IPv4, so that 0.0.0.0 can be listened on beside it, by this server or another. */
START_TEST(ipv6_takes_ipv6_alone)
{
    struct listen_address all[2], *v6 = &all[0], *v4 = &all[1];
    char why[256], list[64];
    ck_assert_int_eq(listen_parse("[::]:0", v6, why, sizeof why), 1);
    int fd6 = listen_open(v6, &plain);
    if (fd6 < 0)
        TEST_SKIP("no IPv6 here");
    ck_assert_int_eq(option_of(fd6, IPPROTO_IPV6, IPV6_V6ONLY), 1);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(listen_port(v6))};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert(connect(client, (struct sockaddr *) &to, sizeof to) != 0 && errno == ECONNREFUSED);
    close(client);
    snprintf(list, sizeof list, "0.0.0.0:%u", listen_port(v6));
    ck_assert_int_eq(listen_parse(list, v4, why, sizeof why), 1);
    int fd4 = listen_open(v4, &plain);
    ck_assert_msg(fd4 >= 0, "%s: %s", list, strerror(errno));
    listen_close(v4, fd4);
    listen_close(v6, fd6);
}
END_TEST

/* ---- Unix sockets ---- */

static char dir[64], path[96];
static struct listen_address at;

static void make_place(void)
{
    char list[128], why[256];
    snprintf(dir, sizeof dir, "/tmp/mario-listen.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    snprintf(list, sizeof list, "unix:%s", path);
    ck_assert_int_eq(listen_parse(list, &at, why, sizeof why), 1);
}

static void remove_place(void)
{
    unlink(path);
    ck_assert_int_eq(rmdir(dir), 0);
}

static bool exists(void)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Whether a connection to the path comes to this listener. */
static bool comes_to(int listener)
{
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool connected = connect(client, (const struct sockaddr *) &at.addr, at.len) == 0;
    int fd = connected ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1; /* listeners do not block */
    if (fd >= 0)
        close(fd);
    close(client);
    return fd >= 0;
}

/* Goal: mode and group are what was asked for, whatever the umask, which is afterwards as it was. */
START_TEST(mode_and_group)
{
    static const mode_t modes[] = {0666, 0600, 0660, 0777, 0};
    struct stat st;
    make_place();
    umask(077);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        struct listen_options o = plain;
        o.unix_mode = modes[i];
        o.unix_group = geteuid() == 0 ? 65534 : getegid();
        int fd = listen_open(&at, &o);
        ck_assert(fd >= 0 && lstat(path, &st) == 0);
        ck_assert_uint_eq(st.st_mode & 0777, modes[i]);
        ck_assert_uint_eq(st.st_gid, o.unix_group);
        listen_close(&at, fd);
        ck_assert(!exists());
    }
    ck_assert_uint_eq(umask(022), 077);
    remove_place();
}
END_TEST

/* Goal: who stops removes its own file, not the one that another has put there since. */
START_TEST(the_successors_file_stays)
{
    make_place();
    struct listen_address first = at, second = at;
    int a = listen_open(&first, &plain);
    ck_assert(a >= 0 && unlink(path) == 0);
    int b = listen_open(&second, &plain);
    ck_assert_int_ge(b, 0);
    listen_close(&first, a);
    ck_assert(comes_to(b));
    listen_close(&second, b);
    ck_assert(!exists());
    remove_place();
}
END_TEST

/* Goal: what somebody listens on stays, and what is no socket; a deserted socket is replaced. */
START_TEST(what_is_there)
{
    make_place();
    struct listen_address first = at, second = at;
    int a = listen_open(&first, &plain);
    ck_assert(listen_open(&second, &plain) < 0 && errno == EADDRINUSE);
    ck_assert_ptr_nonnull(strstr(listen_hint(&second, EADDRINUSE), "stop who listens there"));
    ck_assert(comes_to(a));
    close(a); /* as if it had died */
    int b = listen_open(&second, &plain);
    ck_assert(b >= 0 && comes_to(b));
    listen_close(&second, b);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ck_assert(file >= 0 && listen_open(&second, &plain) < 0 && errno == EADDRINUSE && exists());
    ck_assert_ptr_nonnull(strstr(listen_hint(&second, EADDRINUSE), "no socket"));
    close(file);
    remove_place();
}
END_TEST

/* Goal: who finds the directory locked waits, and not for ever. */
START_TEST(a_directory_that_is_locked)
{
    make_place();
    int lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    ck_assert(lock >= 0 && flock(lock, LOCK_EX) == 0);
    ck_assert(listen_open(&at, &plain) < 0 && errno == EAGAIN && !exists());
    ck_assert_ptr_nonnull(strstr(listen_hint(&at, EAGAIN), "lock"));
    close(lock);
    int fd = listen_open(&at, &plain);
    ck_assert_int_ge(fd, 0);
    listen_close(&at, fd);
    remove_place();
}
END_TEST

enum { STARTERS = 4, ROUNDS = 400 / UNIT_SLOW };

static pthread_barrier_t together;
static _Atomic int winner;
static _Atomic unsigned winners;

static void *start_over_and_over(void *arg)
{
    (void) arg;
    for (int i = 0; i < ROUNDS; i++) {
        struct listen_address mine = at;
        pthread_barrier_wait(&together); /* a deserted socket is there */
        int fd = listen_open(&mine, &plain);
        if (fd >= 0) {
            winner = fd;
            winners++;
        }
        pthread_barrier_wait(&together); /* all have tried */
        pthread_barrier_wait(&together); /* the test has looked */
        if (fd >= 0)
            close(fd);
    }
    return NULL;
}

/* Goal: of those that start at once over a deserted socket one gets the path, and the path leads to it. */
START_TEST(several_at_once)
{
    pthread_t threads[STARTERS];
    make_place();
    ck_assert_int_eq(pthread_barrier_init(&together, NULL, STARTERS + 1), 0);
    close(listen_open(&at, &plain));
    for (int i = 0; i < STARTERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, start_over_and_over, NULL), 0);
    for (int i = 0; i < ROUNDS; i++) {
        winners = 0;
        pthread_barrier_wait(&together);
        pthread_barrier_wait(&together);
        ck_assert_msg(winners == 1, "%u listen, round %d", winners, i);
        ck_assert_msg(comes_to(winner), "the path does not lead to who listens, round %d", i);
        pthread_barrier_wait(&together);
    }
    for (int i = 0; i < STARTERS; i++)
        pthread_join(threads[i], NULL);
    remove_place();
}
END_TEST

Suite *listen_suite(void)
{
    Suite *s = suite_create("listen");
    TCase *c = tcase_create("options");
    tcase_add_test(c, keepalive_is_inherited);
    tcase_add_test(c, unix_sockets_have_none);
    tcase_add_test(c, lists_that_cannot_be);
    tcase_add_test(c, ipv6_takes_ipv6_alone);
    suite_add_tcase(s, c);
    c = tcase_create("unix");
    tcase_set_timeout(c, 15 * UNIT_SLOW);
    tcase_add_test(c, mode_and_group);
    tcase_add_test(c, the_successors_file_stays);
    tcase_add_test(c, what_is_there);
    tcase_add_test(c, a_directory_that_is_locked);
    tcase_add_test(c, several_at_once);
    suite_add_tcase(s, c);
    return s;
}
