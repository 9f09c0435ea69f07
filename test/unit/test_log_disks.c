/*
 * test_log_disks.c: where lines go, and what becomes of them when they cannot: rotation, disks and pipes that fail
 * and come back, syslog.
 */
#include "log_lab.h"

#include "mario/mario_util.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* ---- Rotation ---- */

/* Goal: no file is larger than the limit, no line is cut or lost, `keep` files are kept, in order. */
START_TEST(rotated_by_size)
{
    char want[64];
    unsigned lines = 0;
    lab_options.rotate_size = 1000;
    lab_options.keep = 3;
    lab_start();
    for (int i = 0; i < 300; i++)
        slog_info(lab_queue, "line %03d", i); /* 15 bytes: 66 fit */
    lab_flush();
    ck_assert_int_ne(access(lab_beside(".4"), F_OK), 0);
    static const char *const names[] = {".3", ".2", ".1", ""};
    for (int f = 0, i = 66; f < 4; f++) {
        const char *text = lab_contents(lab_beside(names[f]));
        ck_assert_uint_le(strlen(text), 1000);
        for (const char *at = text; *at != '\0'; at += 15, i++, lines++) {
            snprintf(want, sizeof want, "INFO  line %03d\n", i);
            ck_assert_msg(strncmp(at, want, 15) == 0, "%s: not '%s': '%.20s'", names[f], want, at);
        }
    }
    ck_assert_uint_eq(lines, 300 - 66);
    lab_options.keep = 1; /* fewer from now on */
    ck_assert_int_eq(mario_log_setup(&lab_options), 0);
    for (int i = 0; i < 70; i++)
        slog_info(lab_queue, "line %03d", i);
    lab_flush();
    ck_assert_int_eq(access(lab_beside(".1"), F_OK), 0);
    ck_assert_int_ne(access(lab_beside(".2"), F_OK), 0);
    ck_assert_int_ne(access(lab_beside(".3"), F_OK), 0);
    ck_assert_uint_eq(mario_log_dropped(), 0);
}
END_TEST

START_TEST(rotated_by_day)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - 86400}, {.tv_sec = time(NULL) - 86400}};
    int fd = open(lab_path, O_WRONLY | O_CREAT, 0640);
    ck_assert(fd >= 0 && write(fd, "yesterday\n", 10) == 10);
    ck_assert_int_eq(futimens(fd, times), 0);
    close(fd);
    lab_options.rotate_daily = 1;
    lab_start();
    slog_info(lab_queue, "today");
    lab_flush();
    slog_info(lab_queue, "still today");
    lab_flush();
    ck_assert_str_eq(lab_contents(lab_path), "INFO  today\nINFO  still today\n");
    ck_assert_str_eq(lab_contents(lab_beside(".1")), "yesterday\n");
    ck_assert_int_ne(access(lab_beside(".2"), F_OK), 0);
}
END_TEST

/* Goal: a file that cannot be rotated is said once, and grows on. */
START_TEST(it_cannot_be_rotated)
{
    ck_assert_int_eq(mkdir(lab_beside(".1"), 0700), 0);
    lab_options.rotate_size = 100;
    lab_options.keep = 1;
    lab_start();
    for (int i = 0; i < 100; i++)
        slog_info(lab_queue, "line %03d", i);
    lab_flush();
    const char *text = lab_contents(lab_path);
    ck_assert_uint_eq(lab_count(text, "INFO  line "), 100);
    ck_assert_uint_eq(lab_count(text, "log: the log file cannot be rotated: "), 1);
    ck_assert_uint_eq(mario_log_dropped(), 0);
}
END_TEST

/* Goal: a symbolic link stays where it is; what it leads to is rotated, beside itself. */
START_TEST(a_link_is_not_rotated)
{
    char link[96], target[112], inner[96];
    snprintf(inner, sizeof inner, "%s/disk", lab_dir);
    snprintf(link, sizeof link, "%s/link", lab_dir);
    snprintf(target, sizeof target, "%s/log", inner);
    ck_assert(mkdir(inner, 0700) == 0 && symlink("disk/log", link) == 0);
    lab_options.target = link;
    lab_options.rotate_size = 20;
    lab_start();
    for (int i = 1; i <= 3; i++)
        slog_info(lab_queue, "line %d", i); /* 13 bytes */
    lab_flush();
    struct stat st;
    ck_assert(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    static const char *const want[] = {"INFO  line 3\n", "INFO  line 2\n", "INFO  line 1\n"};
    for (unsigned i = 0; i < 3; i++) {
        char file[128], suffix[8] = "";
        if (i > 0)
            snprintf(suffix, sizeof suffix, ".%u", i);
        snprintf(file, sizeof file, "%s%s", target, suffix);
        ck_assert_str_eq(lab_contents(file), want[i]);
    }
}
END_TEST

/* Goal: on a disk that takes nothing no file is rotated: empty ones would push those out that are kept. */
START_TEST(a_full_disk_keeps_what_is_kept)
{
    struct rlimit r;
    lab_catch_stderr();
    lab_options.rotate_size = 200;
    lab_options.keep = 2;
    lab_start();
    for (int i = 0; i < 31; i++)
        slog_info(lab_queue, "line %02d", i); /* 14 bytes: 14 fit */
    lab_flush();
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &r), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = r.rlim_max};
    setrlimit(RLIMIT_FSIZE, &none); /* no asserts meanwhile: they are written to a file too */
    for (int i = 0; i < 100; i++)
        slog_info(lab_queue, "lost %02d", i);
    mario_log_flush(FLUSH_MS);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
    ck_assert_uint_eq(mario_log_dropped(), 100);
    ck_assert_uint_eq(lab_count(lab_contents(lab_path), "INFO  line "), 3);
    ck_assert_uint_eq(lab_count(lab_contents(lab_beside(".1")), "\n"), 14);
    ck_assert_uint_eq(lab_count(lab_contents(lab_beside(".2")), "\n"), 14);
}
END_TEST

/* Goal: what another program has made of the log's name is not touched. */
START_TEST(a_file_of_others_is_not_rotated)
{
    lab_options.rotate_size = 40;
    lab_start();
    slog_info(lab_queue, "first line of twenty bytes");
    lab_flush();
    ck_assert_int_eq(rename(lab_path, lab_beside(".moved")), 0);
    int fd = open(lab_path, O_WRONLY | O_CREAT, 0640);
    ck_assert(fd >= 0 && write(fd, "theirs\n", 7) == 7);
    close(fd);
    slog_info(lab_queue, "second line of twenty bytes");
    lab_flush();
    ck_assert_str_eq(lab_contents(lab_path), "theirs\nINFO  second line of twenty bytes\n");
    ck_assert_int_ne(access(lab_beside(".1"), F_OK), 0);
}
END_TEST

START_TEST(pipes_and_devices_are_not_rotated)
{
    char got[256] = "";
    ck_assert_int_eq(mkfifo(lab_path, 0600), 0);
    int fd = open(lab_path, O_RDONLY | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    lab_options.rotate_size = 1;
    lab_start();
    slog_info(lab_queue, "one");
    slog_info(lab_queue, "two");
    lab_flush();
    ck_assert_int_eq(read(fd, got, sizeof got), 20);
    ck_assert_str_eq(got, "INFO  one\nINFO  two\n");
    ck_assert_int_ne(access(lab_beside(".1"), F_OK), 0);
}
END_TEST

START_TEST(bad_options_change_nothing)
{
    lab_start();
    struct mario_log_options bad[5] = {lab_options, lab_options, lab_options, lab_options, lab_options};
    bad[0].keep = 0;
    bad[1].keep = MARIO_LOG_KEEP_MAX + 1;
    bad[2].rotate_size = MARIO_LOG_ROTATE_MAX + 1;
    bad[3].target = "syslog:nobody";
    bad[4].format = (enum mario_log_format) 2;
    for (int i = 0; i < 5; i++) {
        errno = 0;
        ck_assert_int_eq(mario_log_setup(&bad[i]), -1);
        ck_assert_int_eq(errno, EINVAL);
    }
    slog_info(lab_queue, "still");
    lab_flush();
    ck_assert_str_eq(lab_contents(lab_path), "INFO  still\n");
}
END_TEST

static int syslogd(const char *at)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 5 * UNIT_SLOW};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", at);
    unlink(at);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ck_assert(fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof a) == 0);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait), 0);
    if (log_syslog_path != at)
        log_syslog_path = at; /* before the log thread reads it */
    return fd;
}

static const char *datagram(int fd)
{
    static char got[16384];
    ssize_t n = recv(fd, got, sizeof got - 1, 0);
    ck_assert_msg(n >= 0, "no datagram: %s", strerror(errno));
    got[n] = '\0';
    return got;
}

/* ---- A disk that goes away and comes back ---- */

START_TEST(a_removed_file_is_made_again)
{
    lab_start();
    slog_info(lab_queue, "one");
    lab_flush();
    for (int i = 0; i < 5; i++) { /* also several times a second */
        ck_assert_int_eq(unlink(lab_path), 0);
        slog_info(lab_queue, "two");
        lab_flush();
        ck_assert_str_eq(lab_contents(lab_path), "INFO  two\n");
    }
    ck_assert_uint_eq(mario_log_dropped(), 0);
}
END_TEST

/* Goal: the log's directory is gone: one clear line, drops are counted; when it is back the log goes on by itself
 * and says how many and why. Three times. */
START_TEST(a_directory_that_is_gone_and_comes_back)
{
    char inner[96], file[112];
    const char *err = lab_catch_stderr();
    snprintf(inner, sizeof inner, "%s/d", lab_dir);
    snprintf(file, sizeof file, "%s/log", inner);
    lab_options.target = file;
    ck_assert_int_eq(mkdir(inner, 0700), 0);
    lab_start();
    for (unsigned round = 1; round <= 3; round++) {
        uint64 dropped = mario_log_dropped();
        slog_info(lab_queue, "good %u", round);
        lab_flush();
        ck_assert(unlink(file) == 0 && rmdir(inner) == 0);
        for (int i = 0; i < 10; i++) {
            slog_info(lab_queue, "lost %d", i);
            lab_flush();
        }
        ck_assert_uint_eq(mario_log_dropped() - dropped, 10);
        ck_assert_uint_eq(lab_count(lab_contents(err), "\n"), round);
        ck_assert_int_eq(mkdir(inner, 0700), 0);
        ck_assert(
            lab_wait_for(file, "log: 10 records dropped: No such file or directory\n", 4000)); /* by itself */
        slog_info(lab_queue, "back");
        lab_flush();
        lab_must_have(lab_contents(file), "INFO  back\n");
    }
    lab_must_have(lab_contents(err),
                  "cannot be written: No such file or directory; lines are dropped and counted\n");
}
END_TEST

/* Goal: a target that may be gone is no error at the start; when it is there the log goes on, and says what is lost. */
START_TEST(a_target_that_may_be_gone)
{
    char inner[96], file[112];
    lab_catch_stderr();
    snprintf(inner, sizeof inner, "%s/d", lab_dir);
    snprintf(file, sizeof file, "%s/log", inner);
    log_syslog_path = file;
    lab_options.target = _i == 0 ? file : "syslog";
    ck_assert_int_eq(mario_log_setup(&lab_options), -1);
    lab_options.may_be_gone = 1;
    lab_start();
    slog_info(lab_queue, "lost");
    lab_flush();
    ck_assert_uint_eq(mario_log_dropped(), 1);
    lab_must_have(lab_contents(lab_beside(".err")),
                  "cannot be written: No such file or directory; lines are");
    ck_assert_int_eq(mkdir(inner, 0700), 0);
    if (_i == 0) {
        ck_assert(lab_wait_for(file, "log: 1 records dropped: No such file or directory\n", 4000));
    } else {
        int fd = syslogd(file);
        lab_must_have(datagram(fd), "log: 1 records dropped: No such file or directory");
    }
}
END_TEST

/* Goal: the same for a file that may not grow. What is there is whole lines; what is not there was counted. */
START_TEST(a_file_that_may_not_grow)
{
    struct rlimit r;
    unsigned whole = 0;
    const char *err = lab_catch_stderr();
    lab_start();
    slog_info(lab_queue, "line %04d", 0);
    lab_flush();
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &r), 0);
    struct rlimit small = {.rlim_cur = 1000, .rlim_max = r.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 1; i < 300; i++)
        slog_info(lab_queue, "line %04d", i); /* 16 bytes: 62 fit, and half of one, which is taken back */
    lab_flush();
    ck_assert_uint_eq(strlen(lab_contents(lab_path)), 62 * 16);
    ck_assert_uint_eq(mario_log_dropped(), 300 - 62);
    lab_must_have(lab_contents(err), "File too large");
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
    ck_assert(lab_wait_for(lab_path, "log: 238 records dropped: File too large\n", 4000));
    slog_info(lab_queue, "line 9999");
    lab_flush();
    const char *text = lab_contents(lab_path);
    for (const char *at = text; (at = strstr(at, "INFO  line ")) != NULL; at++)
        whole += at[15] == '\n' && (at == text || at[-1] == '\n');
    ck_assert_uint_eq(whole, 63);
    lab_must_have(text, "\nINFO  line 9999\n");
}
END_TEST

/* Goal: nothing is folded into a line that was lost. */
START_TEST(what_is_lost_is_not_folded)
{
    lab_catch_stderr();
    lab_options.target = "/dev/full";
    lab_start();
    for (int i = 0; i < 100; i++)
        slog_info(lab_queue, "the same");
    lab_flush();
    ck_assert_uint_eq(mario_log_dropped(), 100);
    ck_assert_int_eq(mario_log_open(lab_path), 0);
    slog_info(lab_queue, "the same");
    lab_flush();
    lab_must_have(lab_contents(lab_path), "INFO  the same\n");
    ck_assert(lab_wait_for(lab_path, "log: 100 records dropped: No space left on device\n", 4000));
}
END_TEST

/* A pipe's reader goes and comes back. */
START_TEST(a_pipe_whose_reader_comes_back)
{
    char got[4096] = "";
    lab_catch_stderr();
    ck_assert_int_eq(mkfifo(lab_path, 0600), 0);
    int fd = open(lab_path, O_RDONLY | O_NONBLOCK);
    ck_assert_int_ge(fd, 0);
    lab_start();
    slog_info(lab_queue, "one");
    lab_flush();
    close(fd);
    slog_info(lab_queue, "two");
    lab_flush();
    ck_assert_uint_eq(mario_log_dropped(), 1);
    fd = open(lab_path, O_RDONLY | O_NONBLOCK);
    slog_info(lab_queue, "three");
    lab_flush();
    ck_assert_int_gt(read(fd, got, sizeof got - 1), 0);
    lab_must_have(got, "INFO  three\n");
    ck_assert_uint_eq(mario_log_dropped(), 1);
}
END_TEST

/* Goal: a pipe that hangs: no call waits, the target can still be told to change, and all that was not dropped
 * arrives. */
START_TEST(a_pipe_that_hangs)
{
    enum { CALLS = 20000 };
    char got[8192];
    uint64_t lines = 0;
    ck_assert_int_eq(mkfifo(lab_path, 0600), 0);
    int fd = open(lab_path, O_RDONLY | O_NONBLOCK);
    ck_assert(fd >= 0 && fcntl(fd, F_SETPIPE_SZ, 4096) >= 4096);
    lab_start();
    uint64_t began = unit_ms();
    for (int i = 0; i < CALLS; i++)
        slog_info_t(lab_queue, "%d %0500d", i, i);
    ck_assert_uint_lt(unit_ms() - began, 1000 * UNIT_SLOW);
    ck_assert_int_eq(mario_log_flush(50), -1);
    began = unit_ms();
    mario_log_level(MARIO_LOG_INFO);
    regist_log_func(NULL, NULL);
    log_reopen();
    ck_assert_uint_lt(unit_ms() - began, 500 * UNIT_SLOW);
    uint64 dropped = mario_log_dropped();
    ck_assert_uint_gt(dropped, 0);
    for (uint64_t end = unit_ms() + FLUSH_MS; lines < CALLS - dropped + 1;) { /* and the line that says it */
        ssize_t n = read(fd, got, sizeof got);
        ck_assert_msg(unit_ms() < end, "%u lines of %u", (unsigned) lines, (unsigned) (CALLS - dropped));
        for (ssize_t i = 0; i < n; i++)
            lines += got[i] == '\n';
    }
    ck_assert_uint_eq(mario_log_dropped(), dropped);
}
END_TEST

/* Goal: raw texts without a byte, more than fit in one write, do no harm. */
START_TEST(nothing_very_often)
{
    lab_start();
    for (int i = 0; i < 4000; i++) {
        if (i % 400 == 399)
            lab_flush();
        ck_assert_int_eq(record_log(lab_queue, STDOUT_FILENO, "%s", ""), 0);
    }
    slog_info(lab_queue, "alive");
    lab_flush();
    ck_assert_str_eq(lab_contents(lab_path), "INFO  alive\n");
    ck_assert_uint_eq(mario_log_dropped(), 0);
}
END_TEST

/* ---- syslog ---- */

START_TEST(lines_go_to_syslog)
{
    char tag[64];
    int fd = syslogd(lab_path);
    lab_options.target = "syslog:local3";
    lab_start();
    snprintf(tag, sizeof tag, " %s[%d]: ", program_invocation_short_name, (int) getpid());
    static const char *const begin[] = {"<155>", "<156>", "<158>", "<159>"};
    mario_log_level(MARIO_LOG_DEBUG);
    for (int level = MARIO_LOG_ERR; level <= MARIO_LOG_DEBUG; level++) {
        mario_slog(lab_queue, (enum mario_log_level) level, 1, NULL, "hello %d", level);
        lab_flush();
        const char *got = datagram(fd);
        ck_assert_msg(strncmp(got, begin[level], 5) == 0, "%s", got);
        lab_must_have(got, tag);
        char text[32];
        snprintf(text, sizeof text, ": tester hello %d", level);
        ck_assert_str_eq(got + strlen(got) - strlen(text), text);
    }
    lab_options.format = MARIO_LOG_JSON;
    lab_options.target = "syslog";
    ck_assert_int_eq(mario_log_setup(&lab_options), 0);
    slog_info(lab_queue, "hello");
    lab_flush();
    const char *got = datagram(fd);
    ck_assert_msg(strncmp(got, "<30>", 4) == 0, "%s", got);
    lab_must_have(got, "]: {\"time\":\"");
    lab_must_have(got, "\"text\":\"hello\"}");
}
END_TEST

/* Goal: syslogd is started again: it is found again, and told what was lost meanwhile. */
START_TEST(syslogd_comes_back)
{
    lab_catch_stderr();
    int fd = syslogd(lab_path);
    lab_options.target = "syslog";
    lab_start();
    slog_info(lab_queue, "one");
    lab_flush();
    datagram(fd);
    close(fd);
    slog_info(lab_queue, "lost");
    lab_flush();
    unlink(lab_path);
    slog_info(lab_queue, "lost too");
    lab_flush();
    ck_assert_uint_eq(mario_log_dropped(), 2);
    fd = syslogd(lab_path);
    const char *got = datagram(fd);
    lab_must_have(got, "log: 2 records dropped: ");
    slog_info(lab_queue, "two");
    lab_flush();
    lab_must_have(datagram(fd), "two");
}
END_TEST

/* Goal: a syslogd that hangs costs nobody but the log; there is none: not opened. */
START_TEST(syslogd_hangs_or_is_not_there)
{
    lab_catch_stderr();
    log_syslog_path = lab_path;
    ck_assert_int_eq(mario_log_open("syslog"), -1);
    ck_assert_int_eq(errno, ENOENT);
    int fd = syslogd(lab_path);
    lab_options.target = "syslog";
    lab_start();
    uint64_t began = unit_ms();
    for (int i = 0; i < 5000; i++)
        slog_info(lab_queue, "%d", i);
    ck_assert_uint_lt(unit_ms() - began, 1000 * UNIT_SLOW);
    ck_assert_int_eq(mario_log_flush(50), -1);
    ck_assert_uint_gt(mario_log_dropped(), 0);
    const char *first = datagram(fd);
    if (strstr(first, " records dropped") != NULL) /* said by a round that began before the first line */
        first = datagram(fd);
    lab_must_have(first, "tester 0");
}
END_TEST

Suite *log_disks_suite(void)
{
    Suite *s = suite_create("log_disks");
    TCase *c = lab_case(s, "rotation", 10);
    tcase_add_test(c, rotated_by_size);
    tcase_add_test(c, rotated_by_day);
    tcase_add_test(c, it_cannot_be_rotated);
    tcase_add_test(c, a_link_is_not_rotated);
    tcase_add_test(c, a_full_disk_keeps_what_is_kept);
    tcase_add_test(c, a_file_of_others_is_not_rotated);
    tcase_add_test(c, pipes_and_devices_are_not_rotated);
    tcase_add_test(c, bad_options_change_nothing);
    c = lab_case(s, "failures", 30);
    tcase_add_test(c, a_removed_file_is_made_again);
    tcase_add_test(c, a_directory_that_is_gone_and_comes_back);
    tcase_add_loop_test(c, a_target_that_may_be_gone, 0, 2);
    tcase_add_test(c, a_file_that_may_not_grow);
    tcase_add_test(c, what_is_lost_is_not_folded);
    tcase_add_test(c, a_pipe_whose_reader_comes_back);
    tcase_add_test(c, a_pipe_that_hangs);
    tcase_add_test(c, nothing_very_often);
    c = lab_case(s, "syslog", 20);
    tcase_add_test(c, lines_go_to_syslog);
    tcase_add_test(c, syslogd_comes_back);
    tcase_add_test(c, syslogd_hangs_or_is_not_there);
    return s;
}
