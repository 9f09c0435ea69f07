/*
 * runner.c: runs suites: those that were named, or each that no other run has taken yet. One thread; check forks a
 * process for each test.
 */
#include "runner.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test/lib/skip.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED true
#else
#define IS_SANITIZED false
#endif

#ifdef __SANITIZE_ADDRESS__
/*
 * With each assert check's parent frees something. Kept back for long, millions of such blocks are looked through for
 * leaks at the end of each test's process: that took more than all the tests.
 */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "quarantine_size_mb=16";
}
#endif

/* ---- How long tests took ---- */

enum { SLOWEST = 10, NAME = 64 };
static const double slow = 1; /* seconds: what is quicker is not worth a line */

struct times {
    char log
        [32]; /* where check writes how long each took: only its XML log has that; "" if somebody else has it */
    unsigned count;
    struct {
        double seconds;
        char suite[NAME], test[NAME];
    } tests[SLOWEST]; /* the slowest first */
};

static void times_begin(struct times *t, SRunner *runner)
{
    t->count = 0;
    strcpy(t->log, "/tmp/mario-times-XXXXXX");
    int fd = getenv("CK_XML_LOG_FILE_NAME") == NULL ? mkstemp(t->log) : -1;
    if (fd < 0) {
        t->log[0] = '\0';
        return;
    }
    close(fd);
    srunner_set_xml(runner, t->log);
}

static void times_note(struct times *t, double seconds, const char *suite, const char *test)
{
    unsigned at = t->count;
    while (at > 0 && t->tests[at - 1].seconds < seconds)
        at--;
    if (seconds < slow || at == SLOWEST)
        return;
    if (t->count < SLOWEST)
        t->count++;
    memmove(&t->tests[at + 1], &t->tests[at], (t->count - at - 1) * sizeof t->tests[0]);
    t->tests[at].seconds = seconds;
    snprintf(t->tests[at].suite, NAME, "%s", suite);
    snprintf(t->tests[at].test, NAME, "%s", test);
}

/* What the log has of the tests that have just been run: each run begins it anew. Those of a loop are one. */
static void times_read(struct times *t)
{
    FILE *log = t->log[0] != '\0' ? fopen(t->log, "re") : NULL;
    char line[512], suite[NAME] = "", of[NAME] = "", id[NAME] = "", test[NAME] = "";
    double sum = 0, seconds;
    if (log == NULL)
        return;
    while (fgets(line, sizeof line, log) != NULL) {
        sscanf(line, " <title>%63[^<]", suite);
        sscanf(line, " <id>%63[^<]", id);
        if (sscanf(line, " <duration>%lf", &seconds) != 1)
            continue;
        if (strcmp(id, test) != 0 ||
            strcmp(suite, of) != 0) { /* the last of all, the whole run's, has no id */
            times_note(t, sum, of, test);
            memcpy(test, id, NAME);
            memcpy(of, suite, NAME);
            sum = 0;
        }
        sum += seconds > 0 ? seconds : 0; /* -1 of a test that failed */
        id[0] = '\0';
    }
    fclose(log);
}

static void times_end(const struct times *t)
{
    for (unsigned i = 0; i < t->count; i++)
        printf("slow: %5.1f s %s: %s\n", t->tests[i].seconds, t->tests[i].suite, t->tests[i].test);
    if (t->log[0] != '\0')
        unlink(t->log);
}

/* ---- Which suites ---- */

/* The index of a suite, or count. */
static size_t find(const struct runner_suite *suites, size_t count, const char *name)
{
    size_t i = 0;
    while (i < count && strcmp(suites[i].name, name) != 0)
        i++;
    return i;
}

/* Whether it can be run here; if not, that is noted. */
static bool is_possible(const struct runner_suite *suite)
{
    const char *why = suite->missing != NULL ? suite->missing() : NULL;
    if (why != NULL)
        skip_note(suite->name, "all of it", "%s", why);
    return why == NULL;
}

static int run_chosen(const struct runner_suite *suites, size_t count, const bool *wanted)
{
    SRunner *runner = srunner_create(NULL);
    struct times times;
    for (size_t i = 0; i < count; i++) {
        if (wanted[i] && is_possible(&suites[i]))
            srunner_add_suite(runner, suites[i].make());
    }
    times_begin(&times, runner);
    fflush(stdout); /* what is buffered here would be printed again by each test's process */
    srunner_run_all(runner, CK_ENV);
    times_read(&times);
    times_end(&times);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Who makes a suite's directory is who runs it. False with errno EEXIST if that is another. */
static bool take(const char *dir, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return mkdir(path, 0700) == 0;
}

/* Run it beside what `runner` has run before. False if no test of it was run, and that not because a sanitizer is no
 * place for any of them. */
static bool run_one(SRunner *runner, const struct runner_suite *suite, struct times *times)
{
    int before = srunner_ntests_run(runner);
    printf("%s%s\n", before == 0 ? "Running suite(s): " : " ", suite->name);
    fflush(stdout);
    srunner_add_suite(runner, suite->make());
    srunner_run(runner, suite->name, NULL, CK_SILENT);
    times_read(times);
    return srunner_ntests_run(runner) > before || IS_SANITIZED;
}

static int run_shared(const struct runner_suite *suites, size_t count, const char *dir)
{
    SRunner *runner = srunner_create(NULL);
    struct times times;
    bool bad = false;
    times_begin(&times, runner);
    for (size_t i = 0; i < count && !bad; i++) {
        errno = 0;
        if (take(dir, suites[i].name)) {
            bad = is_possible(&suites[i]) && !run_one(runner, &suites[i], &times);
            if (bad)
                fprintf(stderr, "the suite '%s' has no test, or another name\n", suites[i].name);
        } else if (errno != EEXIST) {
            perror(dir);
            bad = true;
        }
    }
    if (srunner_ntests_run(runner) > 0)
        srunner_print(runner, CK_ENV);
    times_end(&times);
    bad = bad || srunner_ntests_failed(runner) > 0;
    srunner_free(runner);
    return bad ? EXIT_FAILURE : EXIT_SUCCESS;
}

int runner_main(const struct runner_suite *suites, size_t count, int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            puts(suites[i].name);
        return EXIT_SUCCESS;
    }
    if (argc == 3 && strcmp(argv[1], "--share") == 0)
        return run_shared(suites, count, argv[2]);
    bool wanted[count];
    for (size_t i = 0; i < count; i++)
        wanted[i] = argc == 1;
    for (int i = 1; i < argc; i++) {
        size_t found = find(suites, count, argv[i]);
        if (found == count) {
            fprintf(stderr, "%s: no suite '%s'; there are:", argv[0], argv[i]);
            for (size_t k = 0; k < count; k++)
                fprintf(stderr, " %s", suites[k].name);
            fprintf(stderr, "\n");
            return 2;
        }
        wanted[found] = true;
    }
    return run_chosen(suites, count, wanted);
}
