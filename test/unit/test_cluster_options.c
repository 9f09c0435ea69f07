/*
 * test_cluster_options.c: what a cluster may be told. Files in a directory of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/cluster/options.h"
#include "unit.h"

static char dir[64], file[96];
static struct mario_cluster_options o;
static struct settings s;
static char why[256];

static void begin(void)
{
    snprintf(dir, sizeof dir, "/tmp/test_cluster_options.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/password", dir);
    mario_cluster_options_init(&o);
}

static void end(void)
{
    unlink(file);
    ck_assert_int_eq(rmdir(dir), 0);
}

static int take(void)
{
    why[0] = '\0';
    return settings_take(&s, &o, why, sizeof why);
}

/* Goal: without being told anything it is one node without a bus; names and epochs are made, each its own. */
START_TEST(defaults)
{
    ck_assert_int_eq(take(), 0);
    ck_assert_ptr_null(s.ops);
    ck_assert_str_eq(s.servers, "127.0.0.1:6379");
    ck_assert_str_eq(s.prefix, "mario");
    ck_assert_uint_eq(s.queue, 8u << 20);
    ck_assert_uint_eq(s.linger_ms, 2000);
    ck_assert_uint_eq(s.heartbeat_ms, 10000);
    ck_assert_uint_eq(s.ttl_ms, 30000);
    ck_assert_ptr_null(s.user);
    ck_assert_ptr_null(s.password);
    uint64_t epoch = s.epoch;
    char pid[24], node[sizeof s.node];
    snprintf(pid, sizeof pid, "-%d-", (int) getpid());
    snprintf(node, sizeof node, "%s", s.node);
    ck_assert_ptr_nonnull(strstr(node, pid));
    ck_assert(epoch != 0);
    o.bus = o.redis = o.nats = o.prefix = o.node = o.password_file = "-";
    ck_assert_int_eq(take(), 0);
    ck_assert(s.epoch != epoch && s.epoch != 0);
    ck_assert_str_ne(s.node, node);
    o.node = s.node; /* what is made is allowed */
    ck_assert_int_eq(mario_cluster_check(&o, why, sizeof why), 0);
}
END_TEST

/* Goal: a list is cleaned of blanks; the one of the bus that is used is the one that counts. */
START_TEST(lists)
{
    o.redis = " a-b.example:1 ,\t[::1]:65535,10.0.0.1:6379 ";
    o.nats = "n:4222";
    ck_assert_int_eq(take(), 0);
    ck_assert_str_eq(s.servers, "a-b.example:1,[::1]:65535,10.0.0.1:6379");
    o.bus = "nats";
    if (take() == 0)
        ck_assert_str_eq(s.servers, "n:4222");
    o.bus = NULL;
    o.redis = "a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11,a:12,a:13,a:14,a:15,a:16";
    ck_assert_int_eq(take(), 0);
}
END_TEST

static const char seventeen[] = "a:1,a:2,a:3,a:4,a:5,a:6,a:7,a:8,a:9,a:10,a:11,a:12,a:13,a:14,a:15,a:16,a:17";
static const char letters_64[] = "0123456789012345678901234567890123456789012345678901234567890123";

/* Goal: each mistake is refused with a line that names the key, what it says and what is allowed. */
START_TEST(mistakes)
{
    static const struct {
        const char *key, *value, *says;
    } rows[] = {
        {"bus", "kafka", "bus = kafka: there is no such bus (allowed: -, redis, nats)"},
        {"redis", "localhost", "redis = localhost: an entry without a port"},
        {"redis", "localhost:", "without a port"},
        {"redis", ":6379", "without a host"},
        {"redis", "[]:6379", "without a host"},
        {"redis", "[::1]", "without a port"},
        {"redis", "::1:6379", "more than one colon"},
        {"redis", "a:0", "out of range"},
        {"redis", "a:65536", "out of range"},
        {"redis", "a:99999999999999999999", "out of range"},
        {"redis", "a:6379x", "not a number"},
        {"redis", "a:-1", "not a number"},
        {"redis", "a:1,", "an empty entry"},
        {"redis", ",a:1", "an empty entry"},
        {"redis", "a:1,,b:1", "an empty entry"},
        {"redis", "a:1 b:2", "more than one colon"},
        {"redis", "a b:2", "that no host has"},
        {"redis", "redis://a:1", "more than one colon"},
        {"redis", "a/b:1", "that no host has"},
        {"redis", "a:1, A:1", "the same server twice"},
        {"redis", seventeen, "too many servers"},
        {"nats", "nohost", "nats = nohost: an entry without a port"},
        {"prefix", "with:colon", "prefix = with:colon: a character"},
        {"prefix", "0123456789012345678901234567890x", "too long (allowed: 1 .. 31 bytes)"},
        {"node", "web 1", "node = web 1: a character that no name has"},
        {"node", "w*", "a character"},
        {"node", letters_64, "too long (allowed: 1 .. 63 bytes)"},
        {"password_file", "/nonexistent/password", "cannot be opened: No such file"},
        {"password_file", "/dev/null", "it is no file"},
        {"password_file", "/tmp", "it is no file"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *key = rows[i].key, *v = rows[i].value;
        mario_cluster_options_init(&o);
        *(strcmp(key, "bus") == 0      ? &o.bus
          : strcmp(key, "redis") == 0  ? &o.redis
          : strcmp(key, "nats") == 0   ? &o.nats
          : strcmp(key, "prefix") == 0 ? &o.prefix
          : strcmp(key, "node") == 0   ? &o.node
                                       : &o.password_file) = v;
        errno = 0;
        ck_assert_msg(mario_cluster_check(&o, why, sizeof why) == -1, "%s = %s is taken", key, v);
        ck_assert_int_eq(errno, strcmp(key, "password_file") == 0 ? EACCES : EINVAL);
        ck_assert_msg(strstr(why, rows[i].says) != NULL, "%s = %s: '%s'", key, v, why);
        ck_assert_msg(strncmp(why, key, strlen(key)) == 0, "%s = %s: '%s'", key, v, why);
        ck_assert_ptr_null(strchr(why, '\n'));
    }
}
END_TEST

/* Goal: numbers have their ranges, and a node is not to be dead before it can give a second sign of life. */
START_TEST(numbers)
{
    static const struct {
        uint32_t queue, linger, heartbeat, ttl;
        const char *says; /* NULL: it is good */
    } rows[] = {
        {65536, 0, 1, 2, NULL},
        {1u << 30, 3600, 3600, 86400, NULL},
        {65535, 2, 10, 30, "queue = 65535: it is out of range (allowed: 65536 .. 1073741824)"},
        {(1u << 30) + 1, 2, 10, 30, "queue"},
        {65536, 3601, 10, 30, "linger"},
        {65536, 2, 0, 30, "heartbeat"},
        {65536, 2, 3601, 86400, "heartbeat"},
        {65536, 2, 10, 10, "ttl = 10: it is out of range (allowed: 11 .. 86400)"},
        {65536, 2, 10, 86401, "ttl"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        o.queue = rows[i].queue;
        o.linger = rows[i].linger;
        o.heartbeat = rows[i].heartbeat;
        o.ttl = rows[i].ttl;
        ck_assert_int_eq(take(), rows[i].says == NULL ? 0 : EINVAL);
        ck_assert_msg(rows[i].says == NULL || strncmp(why, rows[i].says, strlen(rows[i].says)) == 0, "'%s'",
                      why);
    }
}
END_TEST

static void write_password(const char *text, mode_t mode)
{
    FILE *f = fopen(file, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(chmod(file, mode), 0);
    o.password_file = file;
}

/* Goal: the first line is the password, or user and password; nobody else may read it; it can be forgotten. */
START_TEST(passwords)
{
    static const struct {
        const char *text, *user, *password;
    } rows[] = {
        {"secret", NULL, "secret"},        {"secret\nmore\n", NULL, "secret"}, {"secret\r\n", NULL, "secret"},
        {"me:se:cret\n", "me", "se:cret"}, {":se:cret\n", NULL, "se:cret"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        write_password(rows[i].text, 0400);
        ck_assert_msg(take() == 0, "%s", why);
        ck_assert_pstr_eq(s.user, rows[i].user);
        ck_assert_pstr_eq(s.password, rows[i].password);
        unlink(file);
    }
    settings_forget(&s);
    ck_assert_ptr_null(s.password);
    for (size_t i = 0; i < sizeof s.secret; i++)
        ck_assert_int_eq(s.secret[i], 0);
    static const mode_t modes[] = {0640, 0604, 0620, 0602, 0610};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        write_password("secret\n", modes[i]);
        ck_assert_int_eq(take(), EACCES);
        ck_assert_ptr_nonnull(strstr(why, "chmod 600"));
        ck_assert_ptr_null(strstr(why, "secret"));
    }
    static const char *const empty[] = {"", "\n", "me:\n", ":\n", ":", "\nsecret\n"};
    for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
        write_password(empty[i], 0600);
        ck_assert_int_eq(take(), EINVAL);
        ck_assert_ptr_nonnull(strstr(why, "no password in its first line"));
    }
    char text[600];
    memset(text, 'x', sizeof text);
    text[SETTINGS_PASSWORD_SIZE - 2] = '\0';
    write_password(text, 0600);
    ck_assert_int_eq(take(), 0);
    text[SETTINGS_PASSWORD_SIZE - 2] = 'x';
    text[sizeof text - 1] = '\0';
    write_password(text, 0600);
    ck_assert_int_eq(take(), EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "too long (allowed: up to 510 bytes)"));
}
END_TEST

/* Goal: a bus is taken, or the line says which package is missing; what is wrong besides is said first. */
START_TEST(buses)
{
    static const char *const rows[][2] = {{"redis", "libhiredis-dev"}, {"nats", "libnats-dev"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        o.bus = rows[i][0];
        o.ttl = 30;
        int error = take();
        if (error == 0)
            ck_assert_str_eq(s.ops->name, o.bus);
        else
            ck_assert_ptr_nonnull(strstr(why, rows[i][1]));
        ck_assert(error == 0 || error == ENOSYS);
        o.ttl = 1;
        ck_assert_int_eq(take(), EINVAL);
    }
}
END_TEST

Suite *cluster_options_suite(void)
{
    Suite *suite = suite_create("cluster_options");
    TCase *c = unit_case(suite, "options", 10);
    tcase_add_checked_fixture(c, begin, end);
    tcase_add_test(c, defaults);
    tcase_add_test(c, lists);
    tcase_add_test(c, mistakes);
    tcase_add_test(c, numbers);
    tcase_add_test(c, passwords);
    tcase_add_test(c, buses);
    return suite;
}
