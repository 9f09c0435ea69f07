/*
 * test_cluster_conf.c: maritcp as a node that cannot be one: mistakes in cluster.*, an engine it was not built with,
 * one that does not let it in. One line says which, with the right exit code, and nothing is left behind.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"
#include "program.h"

enum { EXIT_CONF = 1, EXIT_NO_START = 2, TEXT = 4096 };

static char dir[64], listen_in[128], log_in[128];

static void begin(void)
{
    program_make_dir(dir, sizeof dir);
    snprintf(listen_in, sizeof listen_in, "server.listen=unix:%s/s", dir);
    snprintf(log_in, sizeof log_in, "log.file=%s/log", dir);
}

static void end(void)
{
    program_remove_dir(dir);
}

/* Started with these arguments, ended by NULL, it must end with this code and one line that has both words. */
static void must_refuse(const char *program, const char *const *more, int code, const char *word,
                        const char *second)
{
    const char *args[12] = {listen_in, log_in};
    for (size_t i = 0; more[i] != NULL; i++)
        args[2 + i] = more[i];
    char out[TEXT], err[TEXT];
    int got = itest_run(&(struct launch){.program = program, .args = args, .bare = true}, out, sizeof out,
                        err, sizeof err);
    ck_assert_msg(got == code, "%s: exit code %d instead of %d, with '%s'", more[0], got, code, err);
    ck_assert_msg(out[0] == '\0', "%s: it printed '%s'", more[0], out);
    const char *newline = strchr(err, '\n');
    ck_assert_msg(newline != NULL && newline[1] == '\0', "%s: not one line but '%s'", more[0], err);
    ck_assert_msg(strstr(err, word) != NULL && strstr(err, second) != NULL, "%s: no '%s', '%s' in '%s'",
                  more[0], word, second, err);
    ck_assert_msg(access(log_in + strlen("log.file="), F_OK) != 0, "%s: there is a log", more[0]);
}

/* Goal: each mistake gets one line with the key, what it has and what is allowed, whether there is a bus or not; exit
 * 1. */
START_TEST(a_bad_key)
{
    static const char *const rows[][3] = {
        {"cluster.bus=kafka", "'kafka' is not one of the words", "-, redis, nats"},
        {"cluster.redis=localhost", "an entry without a port", "host:port"},
        {"cluster.redis=a:1,b:0", "a port that is out of range", "1 .. 65535"},
        {"cluster.redis=a:1,,b:2", "an empty entry", "separated by commas"},
        {"cluster.redis=a:1,b:2,a:1", "the same server twice", "separated by commas"},
        {"cluster.redis=a:1,b:2,c:3,d:4,e:5,f:6,g:7,h:8,i:9,j:1,k:1,l:1,m:1,n:1,o:1,p:1,q:1",
         "too many servers", "up to 16"},
        {"cluster.nats=::1:4222", "IPv6 goes into [ ]", "[v6]:port"},
        {"cluster.prefix=a:b", "a character that no name has", "letters, digits"},
        {"cluster.node=web 1", "web 1: a character that no name has", "letters, digits"},
        {"cluster.node=0123456789012345678901234567890123456789012345678901234567890123", "length",
         "1 .. 63"},
        {"cluster.password_file=/nonexistent/password", "No such file", "nobody else may read"},
        {"cluster.password_file=/dev/null", "it is no file", "nobody else may read"},
        {"cluster.queue=1k", "out of range", "64k .. 1g"},
        {"cluster.linger=-1", "negative", "0 .. 3600"},
        {"cluster.heartbeat=0", "out of range", "1 .. 3600"},
        {"cluster.heartbeat=30", "30 is not below cluster.ttl", "1 .. 29"},
        {"cluster.ttl=10", "10 is not above cluster.heartbeat", "11 .. 86400"},
        {"cluster.note=a", "did you mean cluster.node", "prefix"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *plain[] = {rows[i][0], NULL}, *with_bus[] = {"cluster.bus=redis", rows[i][0], NULL};
        must_refuse("maritcp", i % 2 == 0 ? plain : with_bus, EXIT_CONF, rows[i][1], rows[i][2]);
    }
}
END_TEST

static void write_password(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    ck_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text) && fchmod(fd, mode) == 0);
    close(fd);
}

/* Goal: a password that others can read, or that is none, is refused, and not shown; exit 1. */
START_TEST(a_bad_password_file)
{
    char path[96], key[128];
    snprintf(path, sizeof path, "%s/password", dir);
    snprintf(key, sizeof key, "cluster.password_file=%s", path);
    const char *args[] = {key, "cluster.bus=redis", NULL};
    static const mode_t modes[] = {0644, 0640, 0602};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        write_password(path, "open sesame\n", modes[i]);
        must_refuse("maritcp", args, EXIT_CONF, "chmod 600", path);
    }
    write_password(path, "\nopen sesame\n", 0600);
    must_refuse("maritcp", args, EXIT_CONF, "no password in its first line", path);
    write_password(path, "user:\n", 0600);
    must_refuse("maritcp", args, EXIT_CONF, "no password in its first line", path);
    unlink(path);
}
END_TEST

/* Goal: an engine that it was not built with: the line names the package; exit 2, also with -t, as a daemon and with a
 * parent. Without one such a maritcp serves. */
START_TEST(not_built_in)
{
    static const char *const rows[][2] = {{"cluster.bus=redis", "install libhiredis-dev and build again"},
                                          {"cluster.bus=nats", "install libnats-dev and build again"}};
    static const char *const ways[] = {NULL, "-t", "-d", "-S"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t w = 0; w < sizeof ways / sizeof ways[0]; w++) {
            const char *args[] = {rows[i][0], ways[w], NULL};
            must_refuse("maritcp-bare", args, EXIT_NO_START, "maritcp: cluster.bus = ", rows[i][1]);
        }
    }
    struct server s;
    server_start(&s, "maritcp-bare", NULL);
    int fd = client_open(&s);
    client_echo(fd, 100);
    close(fd);
    server_finish(&s);
}
END_TEST

Suite *cluster_conf_suite(void)
{
    Suite *s = suite_create("cluster_conf");
    TCase *c = itest_case(s, "refused", 20);
    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, a_bad_key);
    tcase_add_test(c, a_bad_password_file);
    tcase_add_test(c, not_built_in);
    return s;
}
