/*
 * datagrams.c: servers that take datagrams, and who sends some. Main thread of a test.
 */
#include "datagrams.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mortal.h"

int udp_open_at(const struct net_target *t)
{
    int fd = socket(t->addr.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    ck_assert_msg(fd >= 0 && connect(fd, (const struct sockaddr *) &t->addr, t->len) == 0, "udp: %s",
                  strerror(errno));
    return fd;
}

int udp_open(const struct server *s)
{
    return udp_open_at(&s->addresses[UDP]);
}

void udp_put(int fd, const void *data, size_t n)
{
    ck_assert_msg(send(fd, data, n, 0) == (ssize_t) n, "send: %s", strerror(errno));
}

void udp_put_packet(int fd, uint16_t akg_id, const void *data, size_t n)
{
    unsigned char packet[65536];
    udp_put(fd, packet, client_packet(packet, akg_id, data, n));
}

ssize_t udp_take(int fd, void *data, size_t size, unsigned ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, (int) (ms * ITEST_SLOW)) == 1 ? recv(fd, data, size, 0) : -1;
}

size_t udp_take_packet(int fd, uint16_t akg_id, void *data, size_t size)
{
    unsigned char packet[65536];
    unsigned char head[WIRE_HEAD_LEN];
    ssize_t n = udp_take(fd, packet, sizeof packet, ANSWER_MS);
    ITEST_ASSERT(n >= (ssize_t) sizeof head, "no answer to 0x%04x", akg_id);
    client_packet(head, akg_id, NULL, 0);
    head[4] = packet[4];
    head[5] = packet[5];
    ITEST_ASSERT(memcmp(packet, head, sizeof head) == 0 && n == packet[4] + 256 * packet[5],
                 "not a packet of 0x%04x alone: %zd bytes", akg_id, n);
    ITEST_ASSERT((size_t) n - sizeof head <= size, "too long: %zd", n);
    memcpy(data, packet + sizeof head, (size_t) n - sizeof head);
    return (size_t) n - sizeof head;
}

size_t udp_ask(int fd, uint16_t akg_id, const void *data, size_t n, void *answer, size_t size)
{
    udp_put_packet(fd, akg_id, data, n);
    return udp_take_packet(fd, akg_id, answer, size);
}

void udp_echo(int fd, size_t n)
{
    static unsigned char sent[MOST], got[MOST];
    for (size_t i = 0; i < n; i++)
        sent[i] = (unsigned char) (i * 7 + n);
    size_t came = udp_ask(fd, TEST_ECHO, sent, n, got, sizeof got);
    ITEST_ASSERT(came == n && memcmp(sent, got, n) == 0, "%zu bytes came back of %zu", came, n);
}

void udp_quiet(int fd)
{
    udp_echo(fd, 33);
}

int udp_open_to(const struct server *s, uint32_t worker)
{
    for (uint64_t end = itest_deadline(BACK_MS); mono_ns() < end;) {
        struct test_who who;
        char room[sizeof who] = {0};
        int fd = udp_open(s);
        udp_ask(fd, TEST_WHO, room, sizeof room, &who, sizeof who);
        if (who.worker == worker)
            return fd;
        close(fd);
    }
    ck_abort_msg("worker %u gets no datagrams", worker);
}

void udp_start_at(struct server *s, const char *listen, const char *const *args)
{
    server_launch(s,
                  &(struct launch){.program = "testapp", .args = args, .listen = listen, .env = mortal_env});
}

void udp_start(struct server *s, const char *const *args)
{
    udp_start_at(s, "127.0.0.1:0,udp:127.0.0.1:0", args);
}
