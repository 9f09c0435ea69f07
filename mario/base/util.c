/*
 * util.c: small helpers. Each says in its header who may call it.
 */
#include "mario/mario_util.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "mario/base/check.h"
#include "mario/base/complain.h"
#include "mario/base/util.h"

void check_failed(const char *what, const char *file, int line)
{
    complain("broken promise: %s (%s:%d)", what, file, line);
    abort();
}

const char *mario_version(void)
{
    return MARIO_VERSION;
}

void signal_handler(int sig, void (*h)(int))
{
    struct sigaction sa = {.sa_handler = h, .sa_flags = SA_RESTART};
    sigemptyset(&sa.sa_mask);
    sigaction(sig, &sa, NULL);
}

void nsleep(uint32_t ns)
{
    struct timespec t = {.tv_sec = ns / 1000000000u, .tv_nsec = ns % 1000000000u};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

void susleep(uint32_t s, uint32_t us)
{
    struct timespec t = {.tv_sec = (time_t) s + us / 1000000u, .tv_nsec = (long) (us % 1000000u) * 1000};
    while (nanosleep(&t, &t) != 0 && errno == EINTR) {
    }
}

void util_fill_standard(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

void util_ignore_write_signals(void)
{
    static const int all[] = {SIGPIPE, SIGXFSZ};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct sigaction sa;
        if (sigaction(all[i], NULL, &sa) == 0 && sa.sa_handler == SIG_DFL)
            signal_handler(all[i], SIG_IGN);
    }
}
