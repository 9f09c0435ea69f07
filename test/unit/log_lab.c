/*
 * log_lab.c: what the tests of the log share. See log_lab.h.
 */
#include "log_lab.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char lab_dir[64];  /* of this test alone */
char lab_path[80]; /* the log file in it */
LOG_QUEUE *lab_queue;
struct mario_log_options lab_options;

static void setup(void)
{
    snprintf(lab_dir, sizeof lab_dir, "/tmp/mario_log.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(lab_dir));
    snprintf(lab_path, sizeof lab_path, "%s/log", lab_dir);
    mario_log_options_init(&lab_options);
    lab_options.target = lab_path;
    lab_queue = create_log_queue();
    ck_assert_ptr_nonnull(lab_queue);
    mario_log_name(lab_queue, "tester");
}

static void teardown(void)
{
    char command[96];
    snprintf(command, sizeof command, "rm -rf %s", lab_dir);
    ck_assert_int_eq(system(command), 0);
}

void lab_start(void)
{
    ck_assert_int_eq(mario_log_setup(&lab_options), 0);
    ck_assert_int_eq(start_log_thread(), 0);
}

void lab_flush(void)
{
    ck_assert_int_eq(mario_log_flush(FLUSH_MS), 0);
}

/* The path of a file beside the log, as static text. */
const char *lab_beside(const char *suffix)
{
    static char name[4][96];
    static unsigned turn;
    char *at = name[turn++ % 4];
    snprintf(at, sizeof name[0], "%s%s", lab_path, suffix);
    return at;
}

/* All of a file, "" if there is none; as static text, of which two are kept. */
const char *lab_contents(const char *file)
{
    static char room[2][256 * 1024];
    static unsigned turn;
    char *text = room[turn++ % 2];
    size_t n = 0;
    FILE *f = fopen(file, "re");
    if (f != NULL) {
        n = fread(text, 1, sizeof room[0] - 1, f);
        fclose(f);
    }
    text[n] = '\0';
    return text;
}

unsigned lab_count(const char *text, const char *what)
{
    unsigned n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what))
        n++;
    return n;
}

void lab_must_have(const char *text, const char *what)
{
    ck_assert_msg(strstr(text, what) != NULL, "'%s' is not in '%.3000s'", what, text);
}

struct look {
    const char *file, *what;
};

static bool has(void *arg)
{
    const struct look *l = arg;
    return strstr(lab_contents(l->file), l->what) != NULL;
}

bool lab_wait_for(const char *file, const char *what, unsigned ms)
{
    return unit_wait(has, &(struct look){file, what}, ms * UNIT_SLOW);
}

/* Send standard error to a file, whose path is given back. */
const char *lab_catch_stderr(void)
{
    static char err[96];
    snprintf(err, sizeof err, "%s.err", lab_path);
    int fd = open(err, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
    return err;
}

TCase *lab_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = unit_case(s, name, seconds);
    tcase_add_checked_fixture(c, setup, teardown);
    return c;
}
