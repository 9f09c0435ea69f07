/*
 * test_conf_change.c: what one configuration changes of another: which rows can change while the server runs, taking
 * those over and no others, values set by hand. On one thread.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/change.h"
#include "unit.h"

static struct maritcp_conf used, next;
static struct conf_error err;

/* Another value than the default of each row that has one. */
static const char *const others[][2] = {
    {"server.listen", "127.0.0.1:7"},
    {"server.unix_mode", "0640"},
    {"server.unix_group", "0"},
    {"server.workernum", "1"},
    {"server.connnum", "2"},
    {"server.strict_limits", "off"},
    {"server.when_full", "wait"},
    {"server.assign", "least"},
    {"server.timeout", "3"},
    {"server.write_timeout", "4"},
    {"server.packet_timeout", "5"},
    {"server.keepalive", "6"},
    {"server.max_pkglen", "60"},
    {"server.stx", "0x7"},
    {"server.backlog", "8"},
    {"server.drain_timeout", "9"},
    {"server.linger", "15"},
    {"server.prefault", "on"},
    {"server.user", "1234:1234"},
    {"server.supervise", "on"},
    {"output.high", "10k"},
    {"output.max", "11k"},
    {"push.queue", "16"},
    {"push.slow", "coalesce"},
    {"watch.warn_ms", "50"},
    {"watch.replace_max", "3"},
    {"log.file", "/tmp/x"},
    {"log.level", "err"},
    {"log.format", "json"},
    {"collect.interval", "12"},
    {"cluster.prefix", "p"},
    {"tls.records", "slim"},
    {"tls.handshake_timeout", "13"},
    {"tls.handshakes", "14"},
    {"tls.offload", "all"},
};
enum { OTHERS = sizeof others / sizeof others[0] };

static const struct row *row_of(const char *name)
{
    char section[32];
    const char *dot = strchr(name, '.');
    snprintf(section, sizeof section, "%.*s", (int) (dot - name), name);
    const struct row *row = row_find(section, dot + 1);
    ck_assert_msg(row != NULL, "%s", name);
    return row;
}

static void load_others(struct maritcp_conf *conf)
{
    static char text[OTHERS][80];
    char *overrides[OTHERS];
    for (int i = 0; i < OTHERS; i++) {
        snprintf(text[i], sizeof text[i], "%s=%s", others[i][0], others[i][1]);
        overrides[i] = text[i];
    }
    ck_assert_msg(conf_load(conf, NULL, overrides, OTHERS, &err) == 0, "%s", err.text);
}

static void has_value(const struct maritcp_conf *conf, const struct row *row, const char *value)
{
    char text[CONF_LISTEN_SIZE];
    value_print(row, conf, text, sizeof text);
    ck_assert_msg(strcmp(text, value) == 0, "%s.%s is %s, not %s", row->section, row->key, text, value);
}

/* Goal: each row says what it takes, and so do the sample and the manual. */
START_TEST(test_each_row_says_it)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    ck_assert(out != NULL);
    conf_print_sample(out);
    conf_print_manual(out);
    fclose(out);
    uint32 said = 0, live = 0;
    for (const char *at = text; (at = strstr(at, " changes it.")) != NULL; at++)
        said++;
    for (const char *at = text; (at = strstr(at, "A reload changes it.")) != NULL; at++)
        live++;
    for (uint32 i = 0; i < conf_row_count; i++) {
        const struct row *row = &conf_rows[i];
        ck_assert_msg(row->when == LIVE || row->when == RESTART, "%s.%s says nothing", row->section,
                      row->key);
        live -= row->when == LIVE ? 2 : 0;
    }
    live -= 2 * CONF_TLS_KEYS;
    ck_assert_uint_eq(said, 2 * (conf_row_count + CONF_TLS_KEYS));
    ck_assert_uint_eq(live, 0);
    free(text);
}
END_TEST

/* Goal: what a reload takes over is each row that is live, with where it is from, and no other one. */
START_TEST(test_takes_what_is_live)
{
    ck_assert_int_eq(conf_load(&used, NULL, NULL, 0, &err), 0);
    load_others(&next);
    uint32 live = change_count(&used, &next, LIVE), restart = change_count(&used, &next, RESTART);
    ck_assert_uint_eq(live + restart, OTHERS);
    ck_assert(live > 10 && restart > 5);
    conf_take_live(&used, &next);
    ck_assert_uint_eq(change_count(&used, &next, LIVE), 0);
    ck_assert_uint_eq(change_count(&used, &next, RESTART), restart);
    for (int i = 0; i < OTHERS; i++) {
        const struct row *row = row_of(others[i][0]);
        has_value(&used, row, row->when == LIVE ? others[i][1] : row->fallback);
        ck_assert_int_eq(origin_of(&used, row), row->when == LIVE ? -1 - i : 0);
    }
    ck_assert_ptr_eq(used.log.target, used.log_file); /* texts are its own */
    ck_assert_str_eq(used.server.death_log, "/tmp/x");
}
END_TEST

START_TEST(test_says_what_changes)
{
    char text[CHANGE_SIZE], list[2 * CHANGE_SIZE] = "server.listen=";
    char *overrides[] = {"server.timeout=9", list};
    for (int i = 0; i < 20; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s127.0.0.1:%d", i ? "," : "", 9000 + i);
    ck_assert_int_eq(conf_load(&used, NULL, NULL, 0, &err), 0);
    ck_assert_int_eq(conf_load(&next, NULL, overrides, 2, &err), 0);
    ck_assert(!change_is(row_of("server.linger"), &used, &next));
    ck_assert(change_is(row_of("server.timeout"), &used, &next));
    change_print(row_of("server.timeout"), &used, &next, text);
    ck_assert_str_eq(text, "server.timeout 300 -> 9");
    ck_assert_int_eq(conf_set(&used, "server.timeout = 7", &err), 0);
    change_print(row_of("server.timeout"), &used, &next, text);
    ck_assert_str_eq(text, "server.timeout 7 (set) -> 9");
    change_print(row_of("server.listen"), &used, &next, text);
    ck_assert_msg(strncmp(text, "server.listen 0.0.0.0:8082 -> 127.0.0.1:9000,", 45) == 0 &&
                      strcmp(text + strlen(text) - 3, "...") == 0,
                  "%s", text);
}
END_TEST

/* Goal: by hand only what is live, good, and goes with the rest; a wrong one is one line that says so. */
START_TEST(test_set)
{
    static const char *const wrong[][2] = {
        {"server.workernum=2", "config set: server.workernum: needs a restart: set it in the file"},
        {"server.timeout=soon",
         "config set: server.timeout: 'soon' is not a number (allowed: 0 .. 31536000)"},
        {"server.timout=1", "did you mean server.timeout?"},
        {"timeout=1", "missing '.'"},
        {"server.timeout", "missing '='"},
        {"output.max=1k", "config set: output.max: 1k is below output.high 2k"},
        {"watch.replace_ms=10", "config set: watch.replace_ms: 10 is below watch.warn_ms"},
    };
    char *overrides[] = {"output.high=2k"}, origin[32];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_int_eq(conf_load(&used, NULL, overrides, 1, &err), 0);
        ck_assert_msg(conf_set(&used, wrong[i][0], &err) != 0, "%s", wrong[i][0]);
        ck_assert_msg(strstr(err.text, wrong[i][1]) != NULL, "%s: '%s'", wrong[i][0], err.text);
    }
    ck_assert_int_eq(conf_load(&used, NULL, overrides, 1, &err), 0);
    ck_assert_msg(conf_set(&used, "output.max=3k", &err) == 0, "%s", err.text);
    has_value(&used, row_of("output.max"), "3k");
    origin_print(row_of("output.max"), &used, origin, sizeof origin);
    ck_assert_str_eq(origin, "set");
    origin_print(row_of("output.high"), &used, origin, sizeof origin);
    ck_assert_str_eq(origin, "-o");
    origin_print(row_of("server.timeout"), &used, origin, sizeof origin);
    ck_assert_str_eq(origin, "default");
}
END_TEST

/* Goal: what was good on the command line, and is not any more, is said when another one is set by hand. */
START_TEST(test_set_beside_what_is_gone)
{
    char path[] = "/tmp/test_conf_change.XXXXXX", text[64];
    char *overrides[] = {text};
    int fd = mkstemp(path);
    ck_assert(fd >= 0 && close(fd) == 0);
    snprintf(text, sizeof text, "admit.deny_file=%s", path);
    ck_assert_msg(conf_load(&used, NULL, overrides, 1, &err) == 0, "%s", err.text);
    ck_assert(unlink(path) == 0);
    ck_assert_int_eq(conf_set(&used, "server.timeout=1", &err), -1);
    ck_assert_msg(strncmp(err.text, "-o: admit.deny_file: ", 21) == 0, "%s", err.text);
}
END_TEST

/* Goal: output.high, which nobody asked for, follows output.max down, and up again. */
START_TEST(test_set_what_others_follow)
{
    ck_assert_int_eq(conf_load(&used, NULL, NULL, 0, &err), 0);
    ck_assert_msg(conf_set(&used, "output.max=8k", &err) == 0, "%s", err.text);
    has_value(&used, row_of("output.high"), "8k");
    ck_assert_msg(conf_set(&used, "output.max=1m", &err) == 0, "%s", err.text);
    has_value(&used, row_of("output.high"), "256k");
}
END_TEST

/* Goal: what a daemon reads again is below the directory where it was started. */
START_TEST(test_base)
{
    char *relative[] = {"log.file=a.log", "server.listen=unix:s"};
    ck_assert_int_eq(conf_load(&next, NULL, relative, 2, &err), 0);
    snprintf(next.base, sizeof next.base, "/some/where");
    ck_assert_msg(conf_make_absolute(&next, &err) == 0, "%s", err.text);
    ck_assert_str_eq(next.log_file, "/some/where/a.log");
    ck_assert_str_eq(next.listen, "unix:/some/where/s");
    char here[PATH_MAX];
    ck_assert(getcwd(here, sizeof here) != NULL);
    ck_assert_int_eq(conf_load(&next, NULL, relative, 2, &err), 0);
    ck_assert_int_eq(conf_make_absolute(&next, &err), 0);
    ck_assert_str_eq(next.base, here);
}
END_TEST

Suite *conf_change_suite(void)
{
    Suite *s = suite_create("conf_change");
    TCase *c = tcase_create("conf_change");
    tcase_add_test(c, test_each_row_says_it);
    tcase_add_test(c, test_takes_what_is_live);
    tcase_add_test(c, test_says_what_changes);
    tcase_add_test(c, test_set);
    tcase_add_test(c, test_set_beside_what_is_gone);
    tcase_add_test(c, test_set_what_others_follow);
    tcase_add_test(c, test_base);
    suite_add_tcase(s, c);
    return s;
}
