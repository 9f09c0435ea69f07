/*
 * lines.c: lines of a server's log. Main thread of a test.
 */
#include "lines.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

void lines_make(const struct server *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int fd = client_open(s);
        client_echo(fd, 10);
        close(fd);
    }
}

uint64_t lines_dropped(const struct server *s)
{
    static const char front[] = "log: ", behind[] = " records dropped";
    char *log = program_slurp(s->log), *end;
    uint64_t sum = 0;
    for (const char *at = log; (at = strstr(at, front)) != NULL;) {
        at += sizeof front - 1;
        uint64_t n = strtoull(at, &end, 10);
        if (end != at && strncmp(end, behind, sizeof behind - 1) == 0)
            sum += n;
    }
    free(log);
    return sum;
}

unsigned lines_in(const char *text)
{
    unsigned n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}
