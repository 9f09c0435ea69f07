/*
 * test_conf.c: the configuration: every kind of bad input gives exactly one line with place and range, good
 * input gives its values, and the four uses of the option table agree. Runs on one thread; files in a
 * directory of its own.
 */
#include <check.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/cmdline.h"
#include "conf/option.h"
#include "conf/row.h"
#include "conf_cases.h"
#include "unit.h"

#define MUTATIONS 6000

static char test_dir[64];
static char test_file[96];
static struct maritcp_conf conf;
static struct conf_error err;

static void conf_test_setup(void)
{
    snprintf(test_dir, sizeof(test_dir), "/tmp/test_conf.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(test_dir));
    snprintf(test_file, sizeof(test_file), "%s/t.conf", test_dir);
}

static void conf_test_teardown(void)
{
    unlink(test_file);
    ck_assert_int_eq(rmdir(test_dir), 0);
}

static void write_file(const char *text, size_t len)
{
    FILE *f = fopen(test_file, "w");
    ck_assert_ptr_nonnull(f);
    ck_assert_uint_eq(fwrite(text, 1, len, f), len);
    ck_assert_int_eq(fclose(f), 0);
}

static sint32 load_text(struct maritcp_conf *to, const char *text, size_t len)
{
    write_file(text, len);
    return conf_load(to, test_file, NULL, 0, &err);
}

static sint32 load_override(const char *override)
{
    char *overrides[1];
    char copy[512];
    snprintf(copy, sizeof(copy), "%s", override);
    overrides[0] = copy;
    return conf_load(&conf, NULL, overrides, 1, &err);
}

/* err holds one printable line and nothing else. */
static void assert_one_line(const char *what)
{
    ck_assert_msg(err.text[0] != '\0', "no error for: %s", what);
    ck_assert_msg(!text_bad(err.text, strlen(err.text)) && !strchr(err.text, '\t'),
                  "not one line of text: %s", what);
}

static void assert_value(const struct maritcp_conf *c, const char *section, const char *key,
                         const char *expected)
{
    char value[CONF_LISTEN_SIZE];
    const struct row *row = row_find(section, key);
    UNIT_ASSERT(row != NULL); /* all rows, for each of thousands of files */
    value_print(row, c, value, sizeof(value));
    if (strcmp(value, expected) != 0)
        ck_abort_msg("%s.%s is '%s', not '%s'", section, key, value, expected);
}

static void assert_same_values(const struct maritcp_conf *a, const struct maritcp_conf *b)
{
    char value[CONF_LISTEN_SIZE];
    for (uint32 i = 0; i < conf_row_count; i++) {
        value_print(&conf_rows[i], a, value, sizeof(value));
        assert_value(b, conf_rows[i].section, conf_rows[i].key, value);
    }
}

/* What a printing function writes, to be freed; its length in *len. */
static char *print_conf(const struct maritcp_conf *c, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    ck_assert_ptr_nonnull(out);
    if (c)
        conf_print(out, c);
    else
        conf_print_sample(out);
    fclose(out);
    return text;
}

/* Goal: a bad value in a file names file, line, option and range. */
START_TEST(test_bad_value_in_file)
{
    const char *key = bad_values[_i].key, *dot = strchr(key, '.');
    char text[512], place[256];
    snprintf(text, sizeof(text), "# one\n[%.*s]\n\n  %s = %s\n", (int) (dot - key), key, dot + 1,
             bad_values[_i].value);
    ck_assert_int_eq(load_text(&conf, text, strlen(text)), -1);
    assert_one_line(text);
    snprintf(place, sizeof(place), "%s:4: %s: ", test_file, key);
    /* A list that ends with a comma could go on; its error still names the line where it began. */
    ck_assert_msg(strncmp(err.text, place, strlen(place)) == 0, "%s", err.text);
    ck_assert_msg(strstr(err.text, bad_values[_i].says) != NULL, "%s", err.text);
    const char *allowed = strstr(err.text, "(allowed: ");
    ck_assert_msg(allowed && strstr(allowed, bad_values[_i].allowed), "%s", err.text);
}
END_TEST

/* Goal: the same as an override names the override. */
START_TEST(test_bad_override)
{
    char text[256], place[300];
    snprintf(text, sizeof(text), "%s=%s", bad_values[_i].key, bad_values[_i].value);
    ck_assert_int_eq(load_override(text), -1);
    assert_one_line(text);
    snprintf(place, sizeof(place), "-o %.200s: ", text);
    ck_assert_msg(strncmp(err.text, place, strlen(place) - 2) == 0, "%s", err.text);
    ck_assert_msg(strstr(err.text, bad_values[_i].says) != NULL, "%s", err.text);
    const char *allowed = strstr(err.text, "(allowed: ");
    ck_assert_msg(allowed && strstr(allowed, bad_values[_i].allowed), "%s", err.text);
}
END_TEST

/* Goal: a file that is wrong in its form gives one line with its place, and it is the first mistake's. */
START_TEST(test_bad_file)
{
    char place[128];
    ck_assert_int_eq(load_text(&conf, bad_files[_i].text, bad_files[_i].len), -1);
    assert_one_line(bad_files[_i].text);
    snprintf(place, sizeof(place), "%s:%d: ", test_file, bad_files[_i].line);
    ck_assert_msg(strncmp(err.text, place, strlen(place)) == 0, "%s", err.text);
    ck_assert_msg(strstr(err.text, bad_files[_i].says) != NULL, "%s", err.text);
}
END_TEST

/* Goal: what is no readable file gives one line with the name and the reason. */
START_TEST(test_no_file)
{
    ck_assert_int_eq(conf_load(&conf, test_file, NULL, 0, &err), -1);
    assert_one_line("missing file");
    ck_assert_ptr_nonnull(strstr(err.text, test_file));
    ck_assert_ptr_nonnull(strstr(err.text, "No such file"));
    ck_assert_int_eq(conf_load(&conf, test_dir, NULL, 0, &err), -1);
    assert_one_line("directory");
    ck_assert_ptr_nonnull(strstr(err.text, test_dir));
    ck_assert_ptr_nonnull(strstr(err.text, "Is a directory"));
    write_file("", 0);
    ck_assert_int_eq(chmod(test_file, 0), 0);
    if (access(test_file, R_OK) != 0) {
        ck_assert_int_eq(conf_load(&conf, test_file, NULL, 0, &err), -1);
        assert_one_line("unreadable file");
        ck_assert_ptr_nonnull(strstr(err.text, "Permission denied"));
    } else {
        TEST_SKIP_PART("a file that may not be read: root may read all");
    }
    char strange[128];
    snprintf(strange, sizeof(strange), "%s/a\nb\xff.conf", test_dir);
    ck_assert_int_eq(conf_load(&conf, strange, NULL, 0, &err), -1);
    assert_one_line("a file name with a newline");
}
END_TEST

/* Goal: what is read while the server runs asks nobody who a user is, and opens nothing that may make it wait. */
START_TEST(test_again)
{
    static const char text[] = "[server]\nuser = no-such-user\nunix_group = no-such-group\ntimeout = 9\n"
                               "[cluster]\npassword_file = /no/such/file\n";
    write_file(text, sizeof text - 1);
    ck_assert_int_eq(conf_load(&conf, test_file, NULL, 0, &err), -1);
    ck_assert_msg(conf_load_again(&conf, test_file, NULL, 0, &err) == 0, "%s", err.text);
    ck_assert_uint_eq(conf.server.timeout, 9);
    ck_assert(unlink(test_file) == 0 && mkfifo(test_file, 0600) == 0);
    ck_assert_int_eq(conf_load_again(&conf, test_file, NULL, 0, &err), -1);
    assert_one_line("a pipe");
    ck_assert_ptr_nonnull(strstr(err.text, "is no regular file"));
}
END_TEST

START_TEST(test_bad_override_form)
{
    ck_assert_int_eq(load_override(bad_overrides[_i]), -1);
    assert_one_line(bad_overrides[_i]);
    ck_assert_msg(strncmp(err.text, "-o ", 3) == 0 && strstr(err.text, "(allowed: "), "%s", err.text);
}
END_TEST

/* Goal: good input gives its value, and what -t prints of it reads back the same. */
START_TEST(test_good_file)
{
    static struct maritcp_conf again;
    size_t len;
    ck_assert_msg(load_text(&conf, good_files[_i].text, strlen(good_files[_i].text)) == 0, "%s", err.text);
    assert_value(&conf, good_files[_i].section, good_files[_i].key, good_files[_i].value);
    char *printed = print_conf(&conf, &len);
    ck_assert_msg(load_text(&again, printed, len) == 0, "%s", err.text);
    assert_same_values(&conf, &again);
    free(printed);
}
END_TEST

/* Goal: each option reaches its own field of the struct. */
START_TEST(test_fields)
{
    static const char text[] =
        "[server]\nlisten=127.0.0.1:7\nworkernum=1\nconnnum=2\nstrict_limits=off\nwhen_full=wait\ntimeout=3\n"
        "write_timeout=4\npacket_timeout=5\nkeepalive=6\nmax_pkglen=60\nstx=7\nbacklog=8\ndrain_timeout=9\nlinger=15\n"
        "prefault=on\nunix_mode=0640\nunix_group=0\n"
        "[output]\nhigh=10k\nmax=11k\n[push]\nqueue=16\nbytes=17k\nmemory=18m\nslow=drop_newest\n"
        "lowat=19k\nring=32\nuring=auto\n[log]\nfile=x\nlevel=warn,conn=debug\nformat=json\n"
        "rotate_size=13k\nrotate_daily=on\nkeep=14\n[login]\npolicy=kick_old\n[collect]\ninterval=12\n"
        "[cluster]\nbus=redis\nredis=r:1\nnats=n:2\nprefix=p\nnode=q\nqueue=20m\nlinger=21\nheartbeat=22\nttl=23\n";
    ck_assert_msg(load_text(&conf, text, sizeof(text) - 1) == 0, "%s", err.text);
    const struct mario_options *o = &conf.server;
    ck_assert_str_eq(o->listen, "127.0.0.1:7");
    ck_assert_uint_eq(o->workernum, 1);
    ck_assert_uint_eq(o->connnum, 2);
    ck_assert_int_eq(o->strict_limits, 0);
    ck_assert_int_eq(o->when_full, MARIO_FULL_WAIT);
    ck_assert_uint_eq(o->timeout, 3);
    ck_assert_uint_eq(o->write_timeout, 4);
    ck_assert_uint_eq(o->packet_timeout, 5);
    ck_assert_uint_eq(o->keepalive, 6);
    ck_assert_uint_eq(o->max_pkglen, 60);
    ck_assert_uint_eq(conf.stx, 7);
    ck_assert_uint_eq(o->backlog, 8);
    ck_assert_uint_eq(o->drain_timeout, 9);
    ck_assert_uint_eq(o->linger, 15);
    ck_assert_int_eq(o->prefault, 1);
    ck_assert_uint_eq(o->unix_mode, 0640);
    ck_assert_str_eq(o->unix_group, "0");
    ck_assert_uint_eq(o->output_high, 10 * 1024);
    ck_assert_uint_eq(o->output_max, 11 * 1024);
    ck_assert_uint_eq(o->push_queue, 16);
    ck_assert_uint_eq(o->push_bytes, 17 * 1024);
    ck_assert_uint_eq(o->push_memory, 18 * 1024 * 1024);
    ck_assert_int_eq(o->push_slow, MARIO_SLOW_DROP_NEWEST);
    ck_assert_uint_eq(o->push_lowat, 19 * 1024);
    ck_assert_uint_eq(o->push_ring, 32);
    ck_assert_int_eq(o->push_uring, MARIO_URING_AUTO);
    ck_assert_int_eq(conf.login_policy, MARIO_BIND_KICK_OLD);
    ck_assert_str_eq(conf.log_file, "x");
    ck_assert_str_eq(conf.log.target, "x");
    ck_assert_str_eq(conf.log_level, "warn,conn=debug");
    ck_assert_int_eq(conf.log.format, MARIO_LOG_JSON);
    ck_assert_uint_eq(conf.log.rotate_size, 13 * 1024);
    ck_assert_int_eq(conf.log.rotate_daily, 1);
    ck_assert_uint_eq(conf.log.keep, 14);
    ck_assert_uint_eq(conf.collect_interval, 12);
    ck_assert_str_eq(conf.cluster.bus, "redis");
    ck_assert_str_eq(conf.cluster.redis, "r:1");
    ck_assert_str_eq(conf.cluster.nats, "n:2");
    ck_assert_str_eq(conf.cluster.prefix, "p");
    ck_assert_str_eq(conf.cluster.node, "q");
    ck_assert_str_eq(conf.cluster.password_file, "-");
    ck_assert_uint_eq(conf.cluster.queue, 20 * 1024 * 1024);
    ck_assert_uint_eq(conf.cluster.linger, 21);
    ck_assert_uint_eq(conf.cluster.heartbeat, 22);
    ck_assert_uint_eq(conf.cluster.ttl, 23);
}
END_TEST

/* Goal: the table's defaults are the library's. */
START_TEST(test_defaults_are_the_librarys)
{
    struct mario_options o;
    memset(&o, 0, sizeof(o));
    mario_options_init(&o);
    ck_assert_int_eq(conf_load(&conf, NULL, NULL, 0, &err), 0);
    ck_assert_str_eq(o.listen, conf.server.listen);
    ck_assert_uint_eq(o.workernum, conf.server.workernum);
    ck_assert_uint_eq(o.connnum, conf.server.connnum);
    ck_assert_int_eq(o.strict_limits, conf.server.strict_limits);
    ck_assert_int_eq(o.when_full, conf.server.when_full);
    ck_assert_uint_eq(o.timeout, conf.server.timeout);
    ck_assert_uint_eq(o.write_timeout, conf.server.write_timeout);
    ck_assert_uint_eq(o.packet_timeout, conf.server.packet_timeout);
    ck_assert_uint_eq(o.keepalive, conf.server.keepalive);
    ck_assert_uint_eq(o.max_pkglen, conf.server.max_pkglen);
    ck_assert_uint_eq(o.backlog, conf.server.backlog);
    ck_assert_uint_eq(o.drain_timeout, conf.server.drain_timeout);
    ck_assert_uint_eq(o.linger, conf.server.linger);
    ck_assert_uint_eq(o.output_high, conf.server.output_high);
    ck_assert_uint_eq(o.output_max, conf.server.output_max);
    ck_assert_uint_eq(o.push_queue, conf.server.push_queue);
    ck_assert_uint_eq(o.push_bytes, conf.server.push_bytes);
    ck_assert_uint_eq(o.push_groups,
                      0); /* the application's functions know; maritcp's JOIN takes what comes */
    ck_assert_uint_eq(o.push_memory, conf.server.push_memory);
    ck_assert_int_eq(o.push_slow, conf.server.push_slow);
    ck_assert_uint_eq(o.push_lowat, conf.server.push_lowat);
    ck_assert_uint_eq(o.push_ring, conf.server.push_ring);
    ck_assert_int_eq(o.push_uring, conf.server.push_uring);
    ck_assert_int_eq(o.prefault, conf.server.prefault);
    ck_assert_uint_eq(o.unix_mode, conf.server.unix_mode);
    struct mario_log_options log;
    mario_log_options_init(&log);
    ck_assert_str_eq(log.target, conf.log.target);
    ck_assert_int_eq(log.format, conf.log.format);
    ck_assert_uint_eq(log.rotate_size, conf.log.rotate_size);
    ck_assert_int_eq(log.rotate_daily, conf.log.rotate_daily);
    ck_assert_uint_eq(log.keep, conf.log.keep);
    struct mario_cluster_options cluster;
    mario_cluster_options_init(&cluster);
    ck_assert_uint_eq(cluster.queue, conf.cluster.queue);
    ck_assert_uint_eq(cluster.linger, conf.cluster.linger);
    ck_assert_uint_eq(cluster.heartbeat, conf.cluster.heartbeat);
    ck_assert_uint_eq(cluster.ttl, conf.cluster.ttl);
    ck_assert_str_eq(conf.cluster.bus, "-");
}
END_TEST

/* Goal: an override wins over the file, the last of two wins, also of port and listen; blanks do not count.
 */
START_TEST(test_override_wins)
{
    char *first[] = {"server.timeout=5", "server.timeout = 6 ", " server.listen=[::1]:1, unix:/a"};
    char *second[] = {"server.listen=[::1]:1", "server.port=9"};
    static const char text[] = "[server]\nport = 1\ntimeout = 4\nwrite_timeout = 7\n";
    write_file(text, sizeof(text) - 1);
    ck_assert_msg(conf_load(&conf, test_file, first, 3, &err) == 0, "%s", err.text);
    assert_value(&conf, "server", "timeout", "6");
    assert_value(&conf, "server", "write_timeout", "7");
    ck_assert_str_eq(conf.server.listen, "[::1]:1, unix:/a");
    ck_assert_msg(conf_load(&conf, test_file, second, 2, &err) == 0, "%s", err.text);
    ck_assert_str_eq(conf.server.listen, "0.0.0.0:9");
}
END_TEST

/* Goal: a list longer than a line, given as an override, is printed so that it can be read back. */
START_TEST(test_long_list)
{
    static struct maritcp_conf again;
    char text[2048] = "server.listen=";
    char *overrides[] = {text};
    size_t len;
    for (int i = 10; i < 20; i++)
        sprintf(text + strlen(text), "%sunix:/" FIFTY FIFTY "%d", i > 10 ? "," : "", i);
    ck_assert_msg(conf_load(&conf, NULL, overrides, 1, &err) == 0, "%s", err.text);
    char *printed = print_conf(&conf, &len);
    ck_assert_msg(load_text(&again, printed, len) == 0, "%s", err.text);
    assert_same_values(&conf, &again);
    ck_assert_uint_gt(strlen(again.listen), 1000);
    strcpy(text, "server.listen=127.0.0.1:1");
    for (int i = 2; i <= 65; i++)
        sprintf(text + strlen(text), ",127.0.0.1:%d", i);
    ck_assert_int_eq(conf_load(&conf, NULL, overrides, 1, &err), -1);
    assert_one_line(text);
    ck_assert_ptr_nonnull(strstr(err.text, "too many"));
    free(printed);
}
END_TEST

/* Goal: the sample file is exactly the defaults, and shows every option. */
START_TEST(test_sample)
{
    static struct maritcp_conf sample;
    size_t len;
    char *text = print_conf(NULL, &len), line[128];
    ck_assert_int_eq(conf_load(&conf, NULL, NULL, 0, &err), 0);
    ck_assert_msg(load_text(&sample, text, len) == 0, "%s", err.text);
    assert_same_values(&conf, &sample);
    for (uint32 i = 0; i < conf_row_count; i++) {
        snprintf(line, sizeof(line), "%s = %s\n", conf_rows[i].key, conf_rows[i].fallback);
        ck_assert_msg(strstr(text, line) != NULL, "%s", line);
        ck_assert_msg(conf_rows[i].type == ROW_PORT || sample.origin[i] > 0, "%s is a comment", line);
    }
    free(text);
}
END_TEST

/* Load a damaged file: it may be good or bad, but bad is one line, and good can be printed and read again. */
static void load_damaged(const char *text, size_t len)
{
    static struct maritcp_conf damaged, again;
    if (load_text(&damaged, text, len) != 0) {
        assert_one_line("damaged file");
        ck_assert_msg(strncmp(err.text, test_file, strlen(test_file)) == 0, "%s", err.text);
        return;
    }
    ck_assert_str_eq(err.text, "");
    size_t printed_len;
    char *printed = print_conf(&damaged, &printed_len);
    ck_assert_msg(load_text(&again, printed, printed_len) == 0, "%s\n%s", err.text, printed);
    assert_same_values(&damaged, &again);
    free(printed);
}

/* Goal: the sample file cut off at any byte. */
START_TEST(test_truncated)
{
    size_t len;
    char *text = print_conf(NULL, &len);
    for (size_t cut = 0; cut <= len; cut += 3 * UNIT_SLOW) /* each byte of a line by some row */
        load_damaged(text, cut);
    free(text);
}
END_TEST

static uint32 random_next(uint32 *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* Change text at one place; it has room for 64 bytes more. Returns the new length. */
static size_t mutate(char *text, size_t len, uint32 *state)
{
    static const char *const words[] = {"[",
                                        "]",
                                        "=",
                                        ":",
                                        ";",
                                        ",\n ",
                                        "\n",
                                        "\r\n",
                                        "\xff",
                                        "-",
                                        "0",
                                        "99999",
                                        "0x",
                                        "k",
                                        " ",
                                        "\t",
                                        "on",
                                        "#",
                                        "\xef\xbb\xbf",
                                        "unix:/",
                                        "[server]\n",
                                        "port = 9\n",
                                        "listen = [::1]:0,\n",
                                        "   [::]:80",
                                        "127.0.0.1"};
    size_t at = random_next(state) % (len + 1), count;
    switch (random_next(state) % 4) {
    case 0: /* one byte becomes another */
        if (at < len)
            text[at] = (char) random_next(state);
        return len;
    case 1: /* some bytes vanish */
        count = random_next(state) % 64;
        if (count > len - at)
            count = len - at;
        memmove(text + at, text + at + count, len - at - count);
        return len - count;
    default: { /* a word comes in */
        const char *word = words[random_next(state) % (sizeof(words) / sizeof(words[0]))];
        count = strlen(word);
        memmove(text + at + count, text + at, len - at);
        memcpy(text + at, word, count);
        return len + count;
    }
    }
}

/* Goal: the sample file with one to eight random changes; the seed is fixed, so it can be run again. */
START_TEST(test_mutated)
{
    uint32 state = 0x8eb69af7;
    size_t sample_len;
    char *sample = print_conf(NULL, &sample_len), text[32768];
    ck_assert_uint_lt(sample_len + 8 * 64, sizeof(text));
    for (int i = 0; i < MUTATIONS / UNIT_SLOW; i++) {
        size_t len = sample_len;
        memcpy(text, sample, len);
        for (uint32 n = random_next(&state) % 8 + 1; n > 0; n--)
            len = mutate(text, len, &state);
        load_damaged(text, len);
    }
    free(sample);
}
END_TEST

/* Goal: log.file, cluster.password_file and unix sockets become absolute; "-" and what is absolute stays; too long is
 * an error. */
START_TEST(test_absolute)
{
    char here[PATH_MAX], path[PATH_MAX + 16], list[2 * PATH_MAX];
    char *relative[] = {"log.file=a.log",
                        "server.listen= 127.0.0.1:1 , unix:s proto=raw id=1,unix:/t ,[::1]:2"};
    ck_assert_int_eq(chdir(test_dir), 0);
    ck_assert_ptr_nonnull(getcwd(here, sizeof(here)));
    snprintf(path, sizeof(path), "%s/a.log", here);
    snprintf(list, sizeof(list), "127.0.0.1:1,unix:%s/s proto=raw id=1,unix:/t,[::1]:2", here);
    ck_assert_msg(conf_load(&conf, NULL, relative, 2, &err) == 0, "%s", err.text);
    for (int i = 0; i < 2; i++) {
        ck_assert_msg(conf_make_absolute(&conf, &err) == 0, "%s", err.text);
        ck_assert_str_eq(conf.log_file, path);
        ck_assert_str_eq(conf.server.listen, list);
    }
    static const char *const stay[] = {"-", "syslog", "syslog:local7", "/a/b"};
    for (size_t i = 0; i < sizeof(stay) / sizeof(stay[0]); i++) {
        char text[64];
        snprintf(text, sizeof(text), "log.file=%s", stay[i]);
        ck_assert_int_eq(load_override(text), 0);
        ck_assert_int_eq(conf_make_absolute(&conf, &err), 0);
        ck_assert_str_eq(conf.log_file, stay[i]);
    }
    write_file("secret\n", 7);
    ck_assert_int_eq(chmod(test_file, 0600), 0);
    ck_assert_msg(load_override("cluster.password_file=t.conf") == 0, "%s", err.text);
    ck_assert_int_eq(conf_make_absolute(&conf, &err), 0);
    ck_assert_str_eq(conf.cluster.password_file, test_file);
    write_file("", 0);
    ck_assert_int_eq(conf_load(&conf, "t.conf", NULL, 0, &err), 0); /* relative, as test_file is not */
    ck_assert_int_eq(conf_make_absolute(&conf, &err), 0);
    ck_assert_str_eq(conf.file, test_file);
    ck_assert_int_eq(load_override("server.listen=unix:" FIFTY FIFTY), 0);
    ck_assert_int_eq(conf_make_absolute(&conf, &err), -1);
    assert_one_line("a unix path that becomes too long");
    ck_assert_int_eq(chdir("/"), 0);
}
END_TEST

/* Goal: the command line, short and long. */
START_TEST(test_cmdline)
{
    char *argv[] = {"maritcp", "-c", "f", "-o", "a.b=c", "--option=d.e=f", "--daemon", "-t", NULL};
    struct cmdline cmd;
    optind = 0;
    ck_assert_int_eq(cmdline_init(&cmd, 8, argv), -1);
    ck_assert_str_eq(cmd.file, "f");
    ck_assert_uint_eq(cmd.override_count, 2);
    ck_assert_str_eq(cmd.overrides[0], "a.b=c");
    ck_assert_str_eq(cmd.overrides[1], "d.e=f");
    ck_assert(cmd.daemon && cmd.test);
    cmdline_fini(&cmd);
}
END_TEST

/* Goal: a wrong command line is exit code 1 and one line. */
START_TEST(test_bad_cmdline)
{
    char *wrong[] = {"stray", "-x", "--nonsense", "-o", "--config", "--test=1"};
    char *argv[] = {"maritcp", wrong[_i], NULL};
    struct cmdline cmd;
    char line[512];
    write_file("", 0);
    ck_assert_ptr_nonnull(freopen(test_file, "w+", stderr));
    optind = 0;
    ck_assert_int_eq(cmdline_init(&cmd, 2, argv), 1);
    cmdline_fini(&cmd);
    rewind(stderr);
    ck_assert_ptr_nonnull(fgets(line, sizeof(line), stderr));
    ck_assert_ptr_nonnull(strstr(line, "usage: maritcp"));
    ck_assert_ptr_null(fgets(line, sizeof(line), stderr));
}
END_TEST

#define ROWS(table) ((int) (sizeof(table) / sizeof(table[0])))

Suite *conf_suite(void)
{
    Suite *s = suite_create("conf");
    TCase *bad = tcase_create("bad"), *good = tcase_create("good"), *damage = tcase_create("damage");
    TCase *line = tcase_create("cmdline"), *all[] = {bad, good, damage, line};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        tcase_add_checked_fixture(all[i], conf_test_setup, conf_test_teardown);
        suite_add_tcase(s, all[i]);
    }
    tcase_add_loop_test(bad, test_bad_value_in_file, 0, ROWS(bad_values));
    tcase_add_loop_test(bad, test_bad_override, 0, ROWS(bad_values));
    tcase_add_loop_test(bad, test_bad_file, 0, ROWS(bad_files));
    tcase_add_loop_test(bad, test_bad_override_form, 0, ROWS(bad_overrides));
    tcase_add_test(bad, test_no_file);
    tcase_add_test(bad, test_again);
    tcase_add_loop_test(good, test_good_file, 0, ROWS(good_files));
    tcase_add_test(good, test_fields);
    tcase_add_test(good, test_defaults_are_the_librarys);
    tcase_add_test(good, test_override_wins);
    tcase_add_test(good, test_long_list);
    tcase_add_test(good, test_sample);
    tcase_add_test(good, test_absolute);
    tcase_set_timeout(damage, 60);
    tcase_add_test(damage, test_truncated);
    tcase_add_test(damage, test_mutated);
    tcase_add_test(line, test_cmdline);
    tcase_add_loop_test(line, test_bad_cmdline, 0, 6);
    return s;
}
