/*
 * skip.h: a test that cannot look here says so instead of passing in silence. Any thread of a test.
 *
 * The line goes to the end of the file that TEST_SKIPPED names in the environment, which scripts/test shows and
 * counts when all is over; to standard error if there is none.
 */
#ifndef TEST_SKIP_H
#define TEST_SKIP_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Note that what is told, or a part of `test` in `file`, was not looked at. One write, so that tests that run at the
 * same time do not mix their lines. */
static inline void __attribute__((format(printf, 3, 4)))
skip_note(const char *file, const char *test, const char *why, ...)
{
    char line[400];
    const char *path = getenv("TEST_SKIPPED");
    size_t name = strlen(test);
    if (name > 3 && strcmp(test + name - 3, "_fn") == 0) /* check's own name for the body of a test */
        name -= 3;
    int n = snprintf(line, sizeof line, "%s: %.*s: ", file, (int) name, test);
    va_list args;
    va_start(args, why);
    if (n > 0 && (size_t) n < sizeof line)
        n += vsnprintf(line + n, sizeof line - (size_t) n, why, args);
    va_end(args);
    if (n < 0 || (size_t) n > sizeof line - 2)
        n = (int) sizeof line - 2;
    line[n++] = '\n';
    int fd = path == NULL ? STDERR_FILENO : open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, line, (size_t) n) != n)
        abort();
    if (fd != STDERR_FILENO)
        close(fd);
}

/* Instead of a part of a test that cannot be. printf's arguments: why. */
#define TEST_SKIP_PART(...) skip_note(__FILE__, __func__, __VA_ARGS__)

/* End the test here, for it cannot look at what it is for. */
#define TEST_SKIP(...)               \
    do {                             \
        TEST_SKIP_PART(__VA_ARGS__); \
        return;                      \
    } while (0)

#endif
