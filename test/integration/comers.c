/*
 * comers.c: who comes from an address of his own. Main thread of a test.
 */
#include "comers.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "test/apps/testapp/commands.h"

bool comer_is_served(int fd)
{
    unsigned char packet[WIRE_HEAD_LEN + 4], answer[sizeof packet];
    size_t n = client_packet(packet, TEST_ECHO, "ping", 4);
    uint64_t end = itest_deadline(COMER_MS);
    if (net_send_wait(fd, packet, n, end) == 0 && net_recv_wait(fd, answer, n, end) == (ptrdiff_t) n)
        return true;
    ck_assert_msg(errno == ECONNRESET || errno == EPIPE, "neither served nor reset: %s", strerror(errno));
    close(fd);
    return false;
}

int comer_try(const struct server *s, const char *address)
{
    int fd = client_open_from(s, address);
    return comer_is_served(fd) ? fd : -1;
}

void comer_in(const struct server *s, const char *address, int *fd)
{
    *fd = comer_try(s, address);
    ck_assert_msg(*fd >= 0, "%s is refused; see %s", address, s->dir);
}

void comer_out(const struct server *s, const char *address)
{
    ck_assert_msg(comer_try(s, address) < 0, "%s is let in; see %s", address, s->dir);
}

unsigned comer_in_at_last(const struct server *s, const char *address, int *fd)
{
    unsigned refused = 0;
    for (uint64_t end = itest_deadline(COMER_MS); (*fd = comer_try(s, address)) < 0; refused++)
        ck_assert_msg(mono_ns() < end, "%s is refused still; see %s", address, s->dir);
    return refused;
}

const char *comer_address(char text[32], unsigned n)
{
    snprintf(text, 32, "127.%u.%u.%u", 1 + (n >> 16), n >> 8 & 255, n & 255);
    return text;
}

const char *comer_file(char *option, size_t size, const char *key, const char *text)
{
    static unsigned n;
    int len = snprintf(option, size, "%s=/tmp/mario-itest-gate.%d.%u", key, (int) getpid(), n++);
    ck_assert(len > 0 && (size_t) len < size);
    FILE *f = fopen(strchr(option, '=') + 1, "we");
    ck_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return strchr(option, '=') + 1;
}
