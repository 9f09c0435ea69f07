/*
 * unit_main.c: runs the unit tests: all of them, or the suites named on the command line (`make test T=head`), or with
 * --share DIR those that no other run has taken: see runner.h.
 */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test/lib/clock.h"
#include "test/lib/secure.h"
#include "test/runner/runner.h"

static const struct runner_suite suites[] = {
#define ROW(name) {#name, name##_suite, NULL},
#ifdef MARIO_WITH_TLS
    SUITES(ROW, ROW)
#else
#define TLS(name) {#name, NULL, secure_missing},
    SUITES(ROW, TLS)
#undef TLS
#endif
#undef ROW
};

void unit_failed(const char *file, int line, const char *what)
{
    unit_heap_heal();
    ck_abort_msg("%s:%d: '%s' failed", file, line, what);
    abort(); /* not reached */
}

TCase *unit_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = tcase_create(name);
    tcase_set_timeout(c, (double) seconds * UNIT_SLOW);
    suite_add_tcase(s, c);
    return c;
}

uint64_t unit_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t unit_ms(void)
{
    return mono_ns() / NS_PER_MS;
}

bool unit_wait(bool (*cond)(void *arg), void *arg, unsigned limit_ms)
{
    uint64_t end = unit_ms() + limit_ms;
    while (!cond(arg)) {
        if (unit_ms() >= end)
            return cond(arg);
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return true;
}

unsigned char *unit_guarded(size_t size, void **base, size_t *mapped)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    size_t room = (size + page - 1) / page * page;
    unsigned char *p = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p + room, page, PROT_NONE) != 0) {
        munmap(p, room + page);
        return NULL;
    }
    *base = p;
    *mapped = room + page;
    return p + room - size;
}

size_t unit_resident(void)
{
    unsigned long size = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    ck_assert(f != NULL && fscanf(f, "%lu %lu", &size, &pages) == 2);
    fclose(f);
    return pages * (size_t) sysconf(_SC_PAGESIZE);
}

bool unit_memory_has(const void *bytes, size_t n)
{
    char line[512], mode[5], name[256];
    unsigned long from, to, inode;
    bool found = false;
    FILE *f = fopen("/proc/self/maps", "re");
    UNIT_ASSERT(f != NULL);
    while (!found && fgets(line, sizeof line, f) != NULL) {
        name[0] = '\0';
        UNIT_ASSERT(sscanf(line, "%lx-%lx %4s %*s %*s %lu %255s", &from, &to, mode, &inode, name) >= 4);
        if (strcmp(mode, "rw-p") == 0 && strcmp(name, "[stack]") != 0)
            found = memmem((const void *) from, to - from, bytes, n) != NULL;
    }
    fclose(f);
    return found;
}

int main(int argc, char **argv)
{
    return runner_main(suites, sizeof suites / sizeof suites[0], argc, argv);
}
