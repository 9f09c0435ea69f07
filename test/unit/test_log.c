/*
 * test_log.c: the log. What a line looks like, that every line is either written once, whole and in order, or
 * counted as dropped, and that whoever writes one never waits: not for a stuck reader, not for a full disk.
 *
 * A process has one log, so each test here needs a process of its own (check's fork mode).
 */
#include "mario/log/log.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FLUSH_MS = 5000 * UNIT_SLOW };

static char dir[64];      /* of this test alone */
static char path[80];     /* the log file in it */
static char path_old[80]; /* where it is moved to */

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/mario_log.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/log", dir);
    snprintf(path_old, sizeof path_old, "%s/log.1", dir);
}

static void teardown(void)
{
    unlink(path);
    unlink(path_old);
    rmdir(dir);
}

static LOG_QUEUE *queue_make(void)
{
    LOG_QUEUE *q = create_log_queue();
    ck_assert_ptr_nonnull(q);
    return q;
}

/* The log thread, writing to `path`. */
static void start_on_file(void)
{
    ck_assert_int_eq(mario_log_open(path), 0);
    ck_assert_int_eq(start_log_thread(), 0);
}

static void flush(void)
{
    ck_assert_int_eq(mario_log_flush(FLUSH_MS), 0);
}

/* All of a file, to be freed. */
static char *contents(const char *file)
{
    FILE *f = fopen(file, "re");
    ck_assert_msg(f != NULL, "%s: %s", file, strerror(errno));
    ck_assert_int_eq(fseek(f, 0, SEEK_END), 0);
    long size = ftell(f);
    char *text = malloc((size_t) size + 1);
    ck_assert_ptr_nonnull(text);
    rewind(f);
    ck_assert_uint_eq(fread(text, 1, (size_t) size, f), (size_t) size);
    text[size] = '\0';
    fclose(f);
    return text;
}

static void check_contents(const char *file, const char *want)
{
    char *text = contents(file);
    ck_assert_str_eq(text, want);
    free(text);
}

static void check_matches(const char *file, const char *pattern)
{
    regex_t re;
    char *text = contents(file);
    ck_assert_int_eq(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
    ck_assert_msg(regexec(&re, text, 0, NULL, 0) == 0, "'%s' does not match '%s'", text, pattern);
    regfree(&re);
    free(text);
}

/* ---- What a line looks like ---- */

#define DAY  "[0-9]{4}-[0-9]{2}-[0-9]{2}"
#define HOUR "[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}"

START_TEST(what_a_line_looks_like)
{
    LOG_QUEUE *q = queue_make();
    start_on_file();
    slog_info(q, "one %d", 1);
    slog_warn(q, "two\n"); /* a newline of the caller's is not doubled */
    slog_err_w(q, "three");
    slog_info_t(q, "four");
    slog_err_t_w(q, "five %s", "5");
    slog_info(q, "%s", "");
    flush();
    check_matches(path, "^INFO +one 1\nWARN +two\nERROR +what_a_line_looks_like_fn: three\n" DAY " " HOUR
                        " main INFO +four\n" DAY " " HOUR
                        " main ERROR +what_a_line_looks_like_fn: five 5\nINFO +\n$");
}
END_TEST

START_TEST(levels)
{
    LOG_QUEUE *q = queue_make();
    start_on_file();
    ck_assert(log_wants(MARIO_LOG_INFO) && !log_wants(MARIO_LOG_DEBUG)); /* the default */
    for (int level = MARIO_LOG_ERR; level <= MARIO_LOG_DEBUG; level++) {
        mario_log_level((enum mario_log_level) level);
        for (int line = MARIO_LOG_ERR; line <= MARIO_LOG_DEBUG; line++) {
            ck_assert(log_wants((enum mario_log_level) line) == (line <= level));
            mario_slog(q, (enum mario_log_level) line, 0, NULL, "%d", level);
        }
    }
    flush();
    check_contents(path, "ERROR 0\nERROR 1\nWARN  1\nERROR 2\nWARN  2\nINFO  2\n"
                         "ERROR 3\nWARN  3\nINFO  3\nDEBUG 3\n");
}
END_TEST

START_TEST(raw_text_goes_where_it_is_sent)
{
    LOG_QUEUE *q = queue_make();
    int a[2], b[2];
    char got[64] = "";
    start_on_file();
    ck_assert_int_eq(pipe(a), 0);
    ck_assert_int_eq(pipe(b), 0);
    ck_assert_int_eq(record_log(q, a[1], "a%d", 1), 2);
    ck_assert_int_eq(record_log(q, b[1], "b\n"), 2);
    slog_info(q, "file");
    ck_assert_int_eq(record_log(q, a[1], "%s", ""), 0);
    ck_assert_int_eq(record_log(q, a[1], "%%a2"), 3);
    flush();
    ck_assert_int_eq(read(a[0], got, sizeof got), 5);
    ck_assert_str_eq(got, "a1%a2");
    memset(got, 0, sizeof got);
    ck_assert_int_eq(read(b[0], got, sizeof got), 2);
    ck_assert_str_eq(got, "b\n");
    check_matches(path, "^INFO +file\n$");
    ck_assert_int_eq(record_log(q, -1, "nowhere"), -1);
}
END_TEST

START_TEST(long_lines_are_cut)
{
    static char text[5001];
    LOG_QUEUE *q = queue_make();
    int p[2];
    char got[4096];
    start_on_file();
    ck_assert_int_eq(pipe(p), 0);
    memset(text, 'x', 5000);
    ck_assert_int_eq(record_log(q, p[1], "%.*s", 900, text), 900);
    flush();
    ck_assert_int_eq(read(p[0], got, sizeof got), 900);
    sint32 recorded = record_log(q, p[1], "%s", text);
    ck_assert_int_ge(recorded, 900);
    ck_assert_int_lt(recorded, 5000);
    flush();
    ck_assert_int_eq(read(p[0], got, sizeof got), recorded);
    ck_assert_mem_eq(got + recorded - 4, "...\n", 4);
    slog_info_t_w(q, "%s", text);
    slog_info(q, "behind");
    flush();
    check_matches(path, "xxxx\\.\\.\\.\nINFO +behind\n$");
}
END_TEST

/* Begin a test of seconds at the beginning of one, so that it does not turn in between. */
static bool second_is_young(void *arg)
{
    struct timespec now;
    (void) arg;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_nsec < 300000000;
}

START_TEST(a_flood_is_held_back)
{
    struct log_limit l = {0};
    uint32_t held = 99;
    for (uint32_t round = 0; round < 2; round++) {
        struct timespec before, after;
        ck_assert(unit_wait(second_is_young, NULL, 2000));
        clock_gettime(CLOCK_MONOTONIC_COARSE, &before);
        while (!log_limit_pass(&l, 2, &held)) { /* the last round's second may not be over yet */
        }
        ck_assert_uint_eq(held > 0, round > 0);
        ck_assert(log_limit_pass(&l, 2, &held));
        ck_assert_uint_eq(held, 0);
        for (int i = 0; i < 8; i++)
            ck_assert(!log_limit_pass(&l, 2, &held));
        clock_gettime(CLOCK_MONOTONIC_COARSE, &after);
        ck_assert_int_le(after.tv_sec - before.tv_sec, 1);
    }
    ck_assert_uint_eq(atomic_load(&l.held_back), 8);
}
END_TEST

struct flood {
    struct log_limit limit;
    _Atomic uint64_t passed, held, asked;
    uint64_t end; /* of unit_ms() */
};

static void *flood_main(void *arg)
{
    struct flood *f = arg;
    while (unit_ms() < f->end) {
        uint32_t held = 0;
        f->asked++;
        if (log_limit_pass(&f->limit, 3, &held)) {
            f->passed++;
            f->held += held;
        }
    }
    return NULL;
}

/* Over some two seconds: three lines in each, and every line that is
 * missing is told of by a later one. */
START_TEST(a_flood_from_many_threads_is_held_back)
{
    enum { FLOODERS = 3 };
    pthread_t threads[FLOODERS];
    struct flood f = {.end = unit_ms() + 2100};
    uint64_t first = unit_ms() / 1000;
    for (int i = 0; i < FLOODERS; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, flood_main, &f), 0);
    for (int i = 0; i < FLOODERS; i++)
        pthread_join(threads[i], NULL);
    uint64_t seconds = unit_ms() / 1000 - first + 1;
    ck_assert_uint_ge(f.passed, 3 * (seconds - 2));
    ck_assert_uint_le(f.passed, 3 * (seconds + 1));
    ck_assert_uint_eq(f.passed + f.held + f.limit.held_back, f.asked);
}
END_TEST

/* ---- Where lines go ---- */

START_TEST(appended_and_not_for_everyone)
{
    struct stat st;
    LOG_QUEUE *q = queue_make();
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "old\n", 4), 4);
    close(fd);
    start_on_file();
    slog_info(q, "new");
    flush();
    check_matches(path, "^old\nINFO +new\n$");
    umask(0);
    ck_assert_int_eq(mario_log_open(path_old), 0);
    ck_assert_int_eq(stat(path_old, &st), 0);
    ck_assert_uint_eq(st.st_mode & 0777, 0640);
}
END_TEST

START_TEST(a_new_target_gets_what_follows)
{
    enum { ROUNDS = 20 };
    LOG_QUEUE *q = queue_make();
    char even[ROUNDS * 16] = "", odd[ROUNDS * 16] = "";
    start_on_file();
    for (int i = 0; i < ROUNDS; i++) {
        ck_assert_int_eq(mario_log_open(path), 0);
        slog_info(q, "even %d", i); /* not flushed: it was recorded for this file, it goes to this file */
        ck_assert_int_eq(mario_log_open(path_old), 0);
        slog_info(q, "odd %d", i);
        if (i % 2 == 0)
            flush();
        snprintf(even + strlen(even), 16, "INFO  even %d\n", i);
        snprintf(odd + strlen(odd), 16, "INFO  odd %d\n", i);
    }
    flush();
    check_contents(path, even);
    check_contents(path_old, odd);
}
END_TEST

START_TEST(a_bad_target_changes_nothing)
{
    LOG_QUEUE *q = queue_make();
    char *long_path = malloc(100001);
    ck_assert_ptr_nonnull(long_path);
    memset(long_path, 'x', 100000);
    long_path[100000] = '\0';
    start_on_file();
    errno = 0;
    ck_assert_int_eq(mario_log_open("/nonexistent/log"), -1);
    ck_assert_int_eq(errno, ENOENT);
    ck_assert_int_eq(mario_log_open(dir), -1);
    ck_assert_int_eq(errno, EISDIR);
    ck_assert_int_eq(mario_log_open(long_path), -1);
    ck_assert_int_eq(errno, ENAMETOOLONG);
    free(long_path);
    slog_info(q, "still here");
    flush();
    log_reopen(); /* by the name that worked */
    flush();
    slog_info(q, "and here");
    flush();
    check_matches(path, "^INFO +still here\nINFO +and here\n$");
}
END_TEST

static bool exists(void *arg)
{
    return access(arg, F_OK) == 0;
}

START_TEST(reopened_after_rotation)
{
    LOG_QUEUE *q = queue_make();
    start_on_file();
    slog_info(q, "first");
    flush();
    ck_assert_int_eq(rename(path, path_old), 0);
    slog_info(q, "second"); /* nobody has said anything yet: it goes to the file that is open */
    flush();
    log_reopen();
    ck_assert(unit_wait(exists, path, FLUSH_MS));
    slog_info(q, "third");
    flush();
    check_matches(path_old, "^INFO +first\nINFO +second\n$");
    check_matches(path, "^INFO +third\n$");
    ck_assert_uint_eq(mario_log_dropped(), 0);
}
END_TEST

/* ---- Drops are counted, nobody waits ---- */

START_TEST(filled_before_the_thread_starts)
{
    LOG_QUEUE *q = queue_make();
    sint32 recorded = 0;
    int fd = open(path_old, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(mario_log_flush(100), -1); /* no thread: said at once */
    for (int i = 0; i < 5000; i++)
        recorded += record_log(q, fd, "x") == 1;
    ck_assert_int_ge(recorded, 100);
    ck_assert_uint_eq(mario_log_dropped(), 5000 - (uint64) recorded);
    start_on_file();
    ck_assert_int_eq(start_log_thread(), 0); /* once is enough */
    flush();
    char *text = contents(path_old);
    ck_assert_uint_eq(strlen(text), (size_t) recorded);
    free(text);
    ck_assert_uint_eq(mario_log_dropped(), 5000 - (uint64) recorded);
    char pattern[128];
    snprintf(pattern, sizeof pattern, "^" DAY " " HOUR " log WARN +log: %d records dropped\n$",
             5000 - recorded);
    check_matches(path, pattern);
}
END_TEST

struct pipe_reader {
    int fd;
    uint64_t bytes;
};

static void *pipe_read_all(void *arg)
{
    struct pipe_reader *r = arg;
    char room[65536];
    for (ssize_t n; (n = read(r->fd, room, sizeof room)) > 0;)
        r->bytes += (uint64_t) n;
    return NULL;
}

START_TEST(a_stuck_reader_holds_up_nobody)
{
    enum { RECORDS = 20000, LENGTH = 800 };
    LOG_QUEUE *q = queue_make();
    int p[2];
    uint64_t recorded = 0;
    start_on_file();
    ck_assert_int_eq(pipe(p), 0);
    uint64_t start = unit_ms();
    for (int i = 0; i < RECORDS; i++)
        recorded += record_log(q, p[1], "%0800d", i) == LENGTH;
    ck_assert_uint_lt(unit_ms() - start, 2000 * UNIT_SLOW);
    ck_assert_uint_lt(recorded, RECORDS);
    ck_assert_uint_eq(mario_log_dropped(), RECORDS - recorded);
    start = unit_ms();
    ck_assert_int_eq(mario_log_flush(100), -1);
    ck_assert_uint_ge(unit_ms() - start, 99);
    ck_assert_uint_lt(unit_ms() - start, 2000 * UNIT_SLOW);
    LOG_QUEUE *other = queue_make(); /* also not those who come, look or change the target now */
    slog_info(other, "meanwhile");
    struct pipe_reader reader = {.fd = p[0]};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, pipe_read_all, &reader), 0);
    flush();
    close(p[1]);
    pthread_join(thread, NULL);
    ck_assert_uint_eq(reader.bytes, recorded * LENGTH);
    check_matches(path, "INFO +meanwhile\n");
}
END_TEST

START_TEST(a_full_disk_is_survived)
{
    LOG_QUEUE *q = queue_make();
    ck_assert_int_eq(mario_log_open("/dev/full"), 0);
    ck_assert_int_eq(start_log_thread(), 0);
    for (int i = 0; i < 10; i++) {
        slog_info(q, "lost");
        flush();
    }
    ck_assert_uint_ge(mario_log_dropped(), 10);
    ck_assert_int_eq(mario_log_open(path), 0);
    flush();
    slog_info(q, "found again");
    flush();
    check_matches(path, "INFO +found again\n");
}
END_TEST

START_TEST(queues_come_and_go)
{
    start_on_file();
    for (int i = 0; i < 50; i++) {
        LOG_QUEUE *q = queue_make();
        slog_info(q, "%d", i);
        flush();
        log_queue_destroy(&q);
        ck_assert_ptr_null(q);
    }
    LOG_QUEUE *none = NULL;
    log_queue_destroy(&none);
    char want[50 * 16] = "";
    for (int i = 0; i < 50; i++)
        snprintf(want + strlen(want), 16, "INFO  %d\n", i);
    check_contents(path, want);
}
END_TEST

START_TEST(what_a_queue_dropped_is_remembered)
{
    LOG_QUEUE *q = queue_make();
    for (int i = 0; i < 5000; i++)
        slog_info(q, "x");
    uint64 dropped = mario_log_dropped();
    ck_assert_uint_gt(dropped, 0);
    log_queue_destroy(&q);
    ck_assert_uint_eq(mario_log_dropped(), dropped);
}
END_TEST

/* ---- Many threads ---- */

enum { THREADS = 6, LINES = 30000 / UNIT_SLOW };

struct writer {
    int index;
    bool patient; /* waits now and then, so that it loses little */
};

static void *write_lines(void *arg)
{
    const struct writer *w = arg;
    LOG_QUEUE *q = create_log_queue();
    for (int i = 0; q != NULL && i < LINES; i++) {
        slog_info(q, "%d %d %.*s %d", w->index, i, i % 100,
                  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"
                  "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz",
                  i * 7 + w->index);
        if (w->patient && i % 256 == 255)
            mario_log_flush(FLUSH_MS);
    }
    return NULL;
}

/* One line of the file, without its newline; true if it is whole. */
static bool line_is_whole(const char *line, int *index, int *number)
{
    char text[128] = "";
    int check = -1;
    int fields = sscanf(line, "INFO %d %d %127[a-z] %d", index, number, text, &check);
    if (fields == 2) /* no text in between */
        fields = sscanf(line, "INFO %d %d %d", index, number, &check) == 3 ? 4 : 0;
    return fields == 4 && strlen(text) == (size_t) (*number % 100) && check == *number * 7 + *index;
}

START_TEST(many_threads)
{
    pthread_t threads[THREADS];
    struct writer writers[THREADS];
    int last[THREADS];
    uint64_t lines = 0;
    start_on_file();
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.index = i, .patient = i % 2 == 0};
        last[i] = -1;
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_lines, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    flush();
    char *text = contents(path), *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';) {
        int index, number;
        if (strstr(line, "records dropped") != NULL)
            continue;
        if (!line_is_whole(line, &index, &number) || index < 0 || index >= THREADS)
            ck_abort_msg("a broken line: '%s'", line);
        UNIT_ASSERT(number > last[index]);
        last[index] = number;
        lines++;
    }
    ck_assert_uint_eq(lines + mario_log_dropped(), (uint64_t) THREADS * LINES);
    ck_assert_uint_gt(lines, THREADS * 256);
    free(text);
}
END_TEST

/* ---- Waiting for what was recorded, while others go on recording ---- */

static void *write_until_told(void *arg)
{
    const _Atomic bool *over = arg;
    LOG_QUEUE *q = create_log_queue();
    while (q != NULL && !*over)
        slog_info(q, "torrent");
    return NULL;
}

START_TEST(flushed_in_the_middle_of_a_torrent)
{
    _Atomic bool over = false;
    pthread_t threads[2];
    LOG_QUEUE *q = queue_make();
    ck_assert_int_eq(mario_log_open("/dev/null"), 0);
    ck_assert_int_eq(start_log_thread(), 0);
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, write_until_told, &over), 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert_int_ge(fd, 0);
    int done = 0;
    for (int i = 0; i < 20; i++)
        done += record_log(q, fd, "x") == 1 && mario_log_flush(FLUSH_MS) == 0;
    over = true;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    ck_assert_int_eq(done, 20);
    check_contents(path, "xxxxxxxxxxxxxxxxxxxx");
}
END_TEST

Suite *log_suite(void)
{
    Suite *s = suite_create("log");
    TCase *c = unit_case(s, "lines", 10);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, what_a_line_looks_like);
    tcase_add_test(c, levels);
    tcase_add_test(c, raw_text_goes_where_it_is_sent);
    tcase_add_test(c, long_lines_are_cut);
    tcase_add_test(c, a_flood_is_held_back);
    tcase_add_test(c, a_flood_from_many_threads_is_held_back);
    c = unit_case(s, "targets", 10);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, appended_and_not_for_everyone);
    tcase_add_test(c, a_new_target_gets_what_follows);
    tcase_add_test(c, a_bad_target_changes_nothing);
    tcase_add_test(c, reopened_after_rotation);
    c = unit_case(s, "drops", 15);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, filled_before_the_thread_starts);
    tcase_add_test(c, a_stuck_reader_holds_up_nobody);
    tcase_add_test(c, a_full_disk_is_survived);
    tcase_add_test(c, queues_come_and_go);
    tcase_add_test(c, what_a_queue_dropped_is_remembered);
    c = unit_case(s, "threads", 30);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, many_threads);
    tcase_add_test(c, flushed_in_the_middle_of_a_torrent);
    return s;
}
