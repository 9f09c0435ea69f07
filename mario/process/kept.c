/*
 * kept.c: an address that a supervising parent keeps open. Runs on the parent's thread, kept_is() and kept_copy() in
 * the child on the one that makes the server.
 */
#include "mario/process/kept.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/net/activation.h"
#include "mario/net/udp.h"

static bool open_datagrams(struct kept *k, uint32_t workers)
{
    k->fd = -1;
    k->datagrams = calloc(workers, sizeof *k->datagrams);
    if (k->datagrams == NULL)
        return false;
    if (udp_open(&k->got, k->datagrams, workers)) {
        k->datagram_count = workers;
        return true;
    }
    free(k->datagrams);
    k->datagrams = NULL;
    return false;
}

bool kept_open(struct kept *k, const struct listen_options *set, uint32_t workers)
{
    k->got = k->asked;
    if (k->asked.datagram)
        return open_datagrams(k, workers);
    k->fd = activation_open(&k->got, set);
    return k->fd >= 0;
}

void kept_close(const struct kept *k, bool removed)
{
    for (uint32_t i = 0; i < k->datagram_count; i++)
        close(k->datagrams[i]);
    free(k->datagrams);
    if (k->fd < 0)
        return;
    if (removed)
        close(k->fd);
    else
        listen_close(&k->got, k->fd);
}

bool kept_is(const struct kept *k, const struct listen_address *a)
{
    return k->asked.datagram == a->datagram && k->asked.len == a->len &&
           memcmp(&k->asked.addr, &a->addr, a->len) == 0;
}

bool kept_copy(const struct kept *k, int *fds, uint32_t count)
{
    if (k->datagram_count != count)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        fds[i] = fcntl(k->datagrams[i], F_DUPFD_CLOEXEC, 0);
        if (fds[i] >= 0)
            continue;
        while (i > 0) {
            close(fds[--i]);
            fds[i] = -1;
        }
        return false;
    }
    return true;
}
