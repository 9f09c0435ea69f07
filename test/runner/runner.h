/*
 * runner.h: what the unit tests' main and the integration tests' main are made of: which suites run, and how long their
 * tests took. Main thread.
 */
#ifndef TEST_RUNNER_H
#define TEST_RUNNER_H

#include <check.h>
#include <stddef.h>

struct runner_suite {
    const char *name; /* as the suite is created */
    Suite *(*make)(void);
    const char *(*missing)(
        void); /* why it cannot be run here, which is noted as skipped; NULL: it can, or always can */
};

/*
 * Run the suites that the command line names, without words all of them, in their order. `--list` prints the names.
 * `--share DIR`: of all of them those that no other run with this DIR, which exists, has taken: such runs may go on
 * at the same time, and each takes the next suite when it has ended one.
 *
 * Prints check's own summary, then the tests that took a second or more, the slowest first. Returns the exit code: 0
 * when all passed, 1 when one failed, 2 for a name that does not exist. CK_FORK=no in the environment runs everything
 * in one process, for a debugger.
 */
int runner_main(const struct runner_suite *suites, size_t count, int argc, char **argv);

#endif
