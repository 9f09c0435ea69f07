/*
 * integration_main.c: runs the integration tests: all of them, the suites named on the command line (`make test
 * T=wire`), or with --share DIR those that no other run has taken: see runner.h.
 */
#include "harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "test/lib/secure.h"
#include "test/runner/runner.h"

static const struct runner_suite suites[] = {
#define ROW(name) {#name, name##_suite, NULL},
#define TLS(name) {#name, name##_suite, secure_missing},
    SUITES(ROW, TLS)
#undef TLS
#undef ROW
};

int main(int argc, char **argv)
{
    char dir[] = "/tmp/mario-itest-XXXXXX";
    if (mkdtemp(dir) == NULL || setenv("ITEST_DIR", dir, 1) != 0) {
        perror("integration_tests: no directory for logs");
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    int code = runner_main(suites, sizeof suites / sizeof suites[0], argc, argv);
    if (rmdir(dir) != 0) /* each test that passes removes its own */
        fprintf(stderr, "what the failed tests' servers said is in %s\n", dir);
    return code;
}
