/*
 * own_port.c: reserving ports. Who binds the abstract unix socket "mario-port-N" has port N: the name goes with its
 * descriptor, and is of the same network namespace as the port. scripts/free-port and bench/procs.py do the same.
 */
#include "own_port.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LOWEST = 20000, HIGHEST = 65535, FEW = 1000, TRIES = 2000 };

/* Ports that no outgoing connection gets: below the kernel's range, else above it, else any. */
static void find_range(unsigned *first, unsigned *count)
{
    unsigned low = 32768, high = 60999, last = HIGHEST;
    FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
    if (f != NULL && fscanf(f, "%u %u", &low, &high) != 2)
        low = LOWEST;
    if (f != NULL)
        fclose(f);
    *first = LOWEST;
    if (low >= LOWEST + FEW)
        last = low - 1;
    else if (high <= HIGHEST - FEW && high >= LOWEST)
        *first = high + 1;
    *count = last - *first + 1;
}

static int take_name(unsigned port)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "mario-port-%u", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (struct sockaddr *) &a,
                        (socklen_t) (offsetof(struct sockaddr_un, sun_path) + 1 + (size_t) n)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool is_free(unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t) port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool it_is = fd >= 0 && bind(fd, (struct sockaddr *) &a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return it_is;
}

uint16_t own_port(int *hold)
{
    unsigned first, count, random;
    find_range(&first, &count);
    for (int i = 0; i < TRIES; i++) {
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            return 0;
        unsigned port = first + random % count;
        int fd = take_name(port);
        if (fd >= 0 && is_free(port)) {
            *hold = fd;
            return (uint16_t) port;
        }
        if (fd >= 0)
            close(fd);
    }
    errno = EADDRINUSE;
    return 0;
}
