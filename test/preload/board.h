/*
 * board.h: how a preloaded library finds the board it shares with the test: a file that both have mapped,
 * named in the environment. Before main, on the program's first thread.
 */
#ifndef PRELOAD_BOARD_H
#define PRELOAD_BOARD_H

#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* The board of `size` bytes in the file that the environment variable names, or NULL. It stays mapped. The
 * variable is taken out, so that no program started later gets the faults too. */
static inline void *board_find(const char *variable, size_t size)
{
    const char *path = getenv(variable);
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    unsetenv(variable);
    return p == MAP_FAILED ? NULL : p;
}

#endif
