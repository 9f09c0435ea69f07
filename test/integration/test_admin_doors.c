/*
 * test_admin_doors.c: the admin's addresses themselves: slow and many clients, of which no worker notices anything, the
 * server's start and stop, and what is refused when it starts.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"
#include "surfer.h"
#include "test/apps/testapp/commands.h"

enum { CLIENTS = 32 };

/* ---- Bad neighbours ---- */

/* Goal: who says nothing, half of something, or reads nothing is gone after ten seconds; meanwhile, and while 32 of
 * them are there, others are answered. */
START_TEST(slow_clients)
{
    static const char half[] = "GET /healthz HTTP/1.1\r\nHost: localh",
                      rows[] = SURFER_GET("/api/test/rows?40000");
    struct server s;
    struct page p;
    int fds[6];
    surfer_start(&s, "testapp", NULL);
    uint64_t began = mono_ns();
    for (int i = 0; i < 6; i++)
        fds[i] = i < 3 ? surfer_open() : surfer_open_unix();
    for (int i = 1; i < 6; i += 3)
        ck_assert_int_eq(net_send_wait(fds[i], half, sizeof half - 1, itest_deadline(2000)), 0);
    for (int i = 2; i < 6; i += 3)
        ck_assert_int_eq(net_send_wait(fds[i], rows, sizeof rows - 1, itest_deadline(2000)), 0);
    ck_assert_int_eq(surfer_get("/healthz", &p), 200);
    for (int i = 0; i < 6; i++) {
        if (i % 3 != 2)
            ck_assert_int_eq(client_ending(fds[i], NULL, 14000), END_FIN);
    }
    unsigned ms = itest_ms_since(began);
    ck_assert_msg(ms >= 9900, "gone after %u ms", ms);
    server_wait_fds(&s, s.fds, 3000);
    for (int i = 0; i < 6; i++)
        close(fds[i]);
    ck_assert_uint_ge(surfer_counter("admin_dropped"), 6);
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Whether it is open: nothing came, not even an end. */
static bool is_open(int fd)
{
    char c;
    return net_recv(fd, &c, 1) < 0 && errno == EAGAIN;
}

static bool is_closed(void *arg)
{
    return !is_open(*(int *) arg);
}

enum { CROWD = 1000 };
static bool crowd_dropped(void *arg)
{
    (void) arg;
    return surfer_counter("admin_dropped") >= CROWD - CLIENTS;
}

/* Goal: the 33rd takes the place of the oldest, but not of one on the unix socket; and of 1,000 that come at the
 * address at once each gets an end, while a worker's client notices nothing, and one on the unix socket is answered. */
START_TEST(crowd)
{
    static int fds[CROWD];
    struct server s;
    surfer_start(&s, "testapp", NULL);
    int local = surfer_open_unix(), client = client_open(&s);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = surfer_open();
    ck_assert(itest_wait(is_closed, &fds[0], 4000));
    ck_assert(is_open(local) && is_open(fds[1]) && is_open(fds[CLIENTS - 1]));
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    uint64_t worst = 0;
    for (int i = 0; i < CROWD; i++) {
        fds[i] = surfer_open();
        uint64_t before = mono_ns();
        client_echo(client, 100);
        worst = mono_ns() - before > worst ? mono_ns() - before : worst;
    }
    ck_assert_msg(worst < UINT64_C(500000000) * ITEST_SLOW, "an echo took %llu us",
                  (unsigned long long) worst / 1000);
    ck_assert_int_eq(strncmp(surfer_say("stats admin_dropped\n", 20), "0 ", 2), 0);
    ck_assert(is_open(local));
    /* Before they leave: one that leaves by itself while it waits to be accepted is not dropped. */
    ck_assert(itest_wait(crowd_dropped, NULL, 4000));
    for (int i = 0; i < CROWD; i++)
        close(fds[i]);
    close(local);
    close(client);
    server_wait_fds(&s, s.fds, 4000);
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Goal: clients that leave while their answer is still being made, by FIN or RST, and a server that stops meanwhile,
 * hurt nobody. */
START_TEST(leaving)
{
    static const char later[] = SURFER_GET("/api/test/later?300");
    struct server s;
    struct page p;
    surfer_start(&s, "testapp", NULL);
    for (int i = 0; i < 40; i++) {
        int fd = i % 2 ? surfer_open() : surfer_open_unix();
        ck_assert_int_eq(net_send_wait(fd, later, sizeof later - 1, itest_deadline(2000)), 0);
        if (i % 3)
            net_reset(fd);
        else
            close(fd);
    }
    ck_assert_int_eq(surfer_get("/api/test/later?400", &p), 200);
    server_wait_fds(&s, s.fds, 4000);
    int fd = surfer_open();
    ck_assert_int_eq(net_send_wait(fd, later, sizeof later - 1, itest_deadline(2000)), 0);
    server_stop(&s);
    close(fd);
    surfer_end();
}
END_TEST

/* ---- The server around it ---- */

/* Goal: while the server stops it is not ready, but still answers. */
START_TEST(not_ready)
{
    struct server s;
    struct page p;
    uint32_t ms = 1500 * ITEST_SLOW;
    surfer_start(&s, "testapp", "server.workernum=1", "watch.warn_ms=0", NULL);
    int client = client_open(&s);
    ck_assert_int_eq(surfer_get("/readyz", &p), 200);
    client_send_packet(client, TEST_SLEEP, &ms, sizeof ms);
    itest_sleep(50);
    server_signal(&s, SIGTERM);
    server_wait_log(&s, "stopping:", 2000);
    ck_assert_int_eq(surfer_get("/readyz", &p), 503);
    ck_assert_str_eq(p.body, "not ready\n");
    ck_assert_int_eq(surfer_get("/healthz", &p), 200);
    ck_assert_int_eq(server_wait_exit(&s, 12000), 0);
    close(client);
    server_check(&s);
    surfer_end();
}
END_TEST

/* Goal: a command that never comes back cannot keep the server from stopping: it says so and exits with 3. */
START_TEST(hanging_command)
{
    static const char hang[] = SURFER_GET("/api/test/hang?60000");
    struct server s;
    surfer_start(&s, "testapp", NULL);
    int fd = surfer_open(), client = client_open(&s);
    ck_assert_int_eq(net_send_wait(fd, hang, sizeof hang - 1, itest_deadline(2000)), 0);
    client_echo(client, 10); /* workers go on */
    close(client);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 8000), 3);
    char *err = program_slurp(s.err);
    ck_assert_msg(strstr(err, "the admin thread did not end in time") != NULL, "%s", err);
    free(err);
    close(fd);
    server_discard(&s);
    surfer_end();
}
END_TEST

/* Goal: a restarted server has its addresses again, the unix socket for its owner alone; without the key there is
 * neither thread nor socket. */
START_TEST(addresses)
{
    struct server s;
    struct page p;
    struct stat st;
    surfer_start(&s, "maritcp", "server.supervise=on", "server.workernum=1", NULL);
    ck_assert(stat(surfer_socket(), &st) == 0 && S_ISSOCK(st.st_mode));
    ck_assert_uint_eq(st.st_mode & 0777, 0600);
    ck_assert_int_eq(surfer_get("/readyz", &p), 200);
    server_stop(&s);
    ck_assert_int_eq(stat(surfer_socket(), &st), -1);
    surfer_end();
}
END_TEST

static bool is_answered(void *arg)
{
    struct net_target t;
    char where[128], c;
    (void) arg;
    snprintf(where, sizeof where, "unix:%s", surfer_socket());
    if (net_resolve(where, NULL, &t) != NULL)
        return false;
    int fd = net_connect_wait(&t, itest_deadline(1000));
    bool answered = fd >= 0 && net_send_wait(fd, "stats restarts\n", 15, itest_deadline(1000)) == 0 &&
                    net_recv_wait(fd, &c, 1, itest_deadline(1000)) == 1;
    if (fd >= 0)
        close(fd);
    return answered;
}

/* Goal: a server that was killed and started again by its parent is asked at the same place. */
START_TEST(restarted)
{
    struct server s;
    surfer_start(&s, "testapp", "server.supervise=on", NULL);
    mortal_die(&s, DIE_KILL);
    mortal_served_again(&s);
    ck_assert(itest_wait(is_answered, NULL, 4000));
    ck_assert_str_eq(surfer_say("stats restarts\n", 15), "0 11\nrestarts 1\n");
    s.log_lines_max = 30;
    server_stop(&s);
    surfer_end();
}
END_TEST

/* Goal: a socket that a service manager opened is used, and left to it. */
START_TEST(handed_over)
{
    struct server s;
    struct sockaddr_un where = {.sun_family = AF_UNIX};
    struct stat st;
    char listen_option[160];
    surfer_make_socket(listen_option, sizeof listen_option);
    int fds[] = {socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), -1};
    snprintf(where.sun_path, sizeof where.sun_path, "%s", surfer_socket());
    ck_assert(bind(fds[0], (struct sockaddr *) &where, sizeof where) == 0 && listen(fds[0], 5) == 0);
    const char *args[] = {listen_option, NULL};
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .handed = fds});
    ck_assert_str_eq(surfer_say("stats restarts\n", 15), "0 11\nrestarts 0\n");
    server_stop(&s);
    ck_assert(stat(surfer_socket(), &st) == 0 && S_ISSOCK(st.st_mode));
    close(fds[0]);
    surfer_end();
}
END_TEST

static const struct {
    const char *args[4];
    mode_t mode; /* of the token file */
    const char *token, *says;
} bad_starts[] = {
    {{"admin.listen=0.0.0.0:0"}, 0600, NULL, "others can reach 0.0.0.0:"},
    {{"admin.listen=[::]:0"}, 0600, NULL, "others can reach [::]:"},
    {{"admin.listen=127.0.0.1:0"}, 0644, SURFER_TOKEN, "others may read or write it"},
    {{"admin.listen=127.0.0.1:0"}, 0620, SURFER_TOKEN, "others may read or write it"},
    {{"admin.listen=127.0.0.1:0"}, 0600, "short\n", "has less than 16 bytes"},
    {{"admin.listen=127.0.0.1:0"}, 0600, "a token that has blanks in it\n", "has a blank"},
    {{"admin.listen=127.0.0.1:0", "admin.token_file=/nowhere/token"}, 0600, NULL, "No such file"},
    {{"admin.listen=127.0.0.1:0", "admin.token_file=/tmp"}, 0600, NULL, "no regular file"},
    {{"admin.listen=127.0.0.1:0", "admin.hosts=local host"}, 0600, NULL, "'local host': not a host's name"},
    {{"admin.listen=127.0.0.1:0", "admin.hosts=localhost:80"},
     0600,
     NULL,
     "'localhost:80': not a host's name"},
    {{"admin.listen=nowhere"}, 0600, NULL, "a port is missing"},
    {{"admin.listen=unix:/nowhere/at/all/s"}, 0600, NULL, "make its directory"},
};

/* Goal: what would be unsafe or cannot be is refused at the start, in one line that says what is wrong. */
START_TEST(bad_start)
{
    char dir[64], file[96], option[128], out[4096], err[4096];
    const char *args[8] = {"server.listen=127.0.0.1:0", "log.file=/dev/null"};
    size_t n = 2;
    program_make_dir(dir, sizeof dir);
    snprintf(file, sizeof file, "%s/token", dir);
    for (int i = 0; i < 4 && bad_starts[_i].args[i] != NULL; i++)
        args[n++] = bad_starts[_i].args[i];
    if (bad_starts[_i].token != NULL) {
        FILE *f = fopen(file, "w");
        ck_assert(f != NULL && fputs(bad_starts[_i].token, f) >= 0 &&
                  fchmod(fileno(f), bad_starts[_i].mode) == 0);
        fclose(f);
        snprintf(option, sizeof option, "admin.token_file=%s", file);
        args[n++] = option;
    }
    int code = itest_run(&(struct launch){.program = "maritcp", .args = args, .bare = true}, out, sizeof out,
                         err, sizeof err);
    ck_assert_msg(code == 1 || code == 2, "%d", code);
    ck_assert_msg(strstr(err, bad_starts[_i].says) != NULL, "'%s' lacks '%s'", err, bad_starts[_i].says);
    ck_assert_msg(strchr(err, '\n') == err + strlen(err) - 1, "not one line: '%s'", err);
    program_remove_dir(dir);
}
END_TEST

Suite *admin_doors_suite(void)
{
    Suite *s = suite_create("admin_doors");
    TCase *neighbours = itest_case(s, "neighbours", 25), *around = itest_case(s, "around", 12);
    tcase_add_test(neighbours, slow_clients);
    tcase_add_test(neighbours, crowd);
    tcase_add_test(neighbours, leaving);
    tcase_add_test(around, not_ready);
    tcase_add_test(around, hanging_command);
    tcase_add_test(around, addresses);
    tcase_add_test(around, restarted);
    tcase_add_test(around, handed_over);
    tcase_add_loop_test(around, bad_start, 0, sizeof bad_starts / sizeof bad_starts[0]);
    return s;
}
