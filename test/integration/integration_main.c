/*
 * integration_main.c: runs the integration tests: all of them, the suites named on the command line (`make test
 * T=wire`), or with --part K/N each N-th suite, from the K-th on. Parts may run at the same time.
 *
 * Exit code 0 when all passed, 1 when one failed, 2 for a name that does not exist. When all pass, check's
 * own summary is the last line. CK_FORK=no in the environment runs everything in one process, for a debugger.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *name;
    Suite *(*make)(void);
} suites[] = {
#define ROW(name) {#name, name##_suite},
    SUITES(ROW)
#undef ROW
};

enum { SUITE_COUNT = sizeof suites / sizeof suites[0] };

/* The index of a suite, or SUITE_COUNT. */
static size_t suite_find(const char *name)
{
    size_t i = 0;
    while (i < SUITE_COUNT && strcmp(suites[i].name, name) != 0)
        i++;
    return i;
}

/* "2/3": the second, the fifth, the eighth ... False when text is not such a thing. */
static bool choose_part(const char *text, bool *wanted)
{
    unsigned part, parts;
    char end;
    if (sscanf(text, "%u/%u%c", &part, &parts, &end) != 2 || part < 1 || part > parts)
        return false;
    for (size_t i = 0; i < SUITE_COUNT; i++)
        wanted[i] = i % parts == part - 1;
    return true;
}

static bool choose_named(int count, char **names, bool *wanted)
{
    for (int i = 0; i < count; i++) {
        size_t found = suite_find(names[i]);
        if (found == SUITE_COUNT) {
            fprintf(stderr, "integration_tests: no suite '%s'; there are:", names[i]);
            for (size_t k = 0; k < SUITE_COUNT; k++)
                fprintf(stderr, " %s", suites[k].name);
            fprintf(stderr, "\n");
            return false;
        }
        wanted[found] = true;
    }
    return true;
}

int main(int argc, char **argv)
{
    bool wanted[SUITE_COUNT] = {false};
    bool known = argc == 1                                     ? choose_part("1/1", wanted)
                 : argc == 3 && strcmp(argv[1], "--part") == 0 ? choose_part(argv[2], wanted)
                                                               : choose_named(argc - 1, argv + 1, wanted);
    if (!known)
        return 2;
    char dir[] = "/tmp/mario-itest-XXXXXX";
    if (mkdtemp(dir) == NULL || setenv("ITEST_DIR", dir, 1) != 0) {
        perror("integration_tests: no directory for logs");
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    SRunner *runner = srunner_create(NULL);
    for (size_t i = 0; i < SUITE_COUNT; i++) {
        if (wanted[i])
            srunner_add_suite(runner, suites[i].make());
    }
    fflush(stdout); /* what is buffered here would be printed again by each test's process */
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    if (rmdir(dir) != 0) /* each test that passes removes its own */
        fprintf(stderr, "what the failed tests' servers said is in %s\n", dir);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
