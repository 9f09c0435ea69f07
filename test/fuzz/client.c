/*
 * client.c: what the clients of the fuzzed worker do: say who they are, send, read, go. The fuzzer's thread.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sealed.h"

uint8_t script_byte(struct script *s)
{
    if (s->n == 0)
        return 0;
    s->n--;
    return *s->data++;
}

static void leave(struct client *a)
{
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    sealed_free(&a->tls);
}

/* Over for both sides: judge it. */
void client_part(struct client *a)
{
    if (!(a->peer.state == PEER_ENDED || (a->peer.is_loose && a->peer.state == PEER_ARRIVING)) ||
        !(a->eof || a->peer.dropped))
        return;
    if (!a->peer.is_loose)
        peer_settle(&a->peer);
    leave(a);
    a->peer.state = PEER_NONE;
}

void client_read(struct client *a, size_t limit)
{
    static unsigned char data[65536];
    ssize_t n = 1;
    while (a->fd >= 0 && limit > 0 && n > 0) {
        n = recv(a->fd, data, limit < sizeof data ? limit : sizeof data, 0);
        if (n > 0) {
            if (!a->peer.is_loose)
                peer_got(&a->peer, data, (size_t) n);
            sealed_read(a->tls, data, (size_t) n);
            business.bytes_got += (size_t) n;
            limit -= (size_t) n;
        } else if (n == 0 || errno != EAGAIN) {
            a->eof = true;
        }
    }
    client_part(a);
}

/* Who it is to be; and what functions are to be told. */
struct peer client_identify(struct client *a)
{
    static const unsigned char address[PEER_ADDRESS] = {0x20, 0x01, 0x0d, 0xb8};
    unsigned char mine[PEER_ADDRESS];
    unsigned number = (unsigned) (a - business.clients);
    uint16_t port = (uint16_t) (1 + number); /* in network order: times 256 */
    memcpy(mine, address, sizeof mine);
    mine[15] = (unsigned char) (1 + number);
    a->peer.is_unix = a->mode & MODE_UNIX;
    if (a->mode & MODE_UNIX) {
        snprintf(a->address, sizeof a->address, "unix");
        return (struct peer){.port = 0};
    }
    if (a->mode & MODE_IPV6) {
        snprintf(a->address, sizeof a->address, "[2001:db8::%u]:%u", 1 + number, htons(port));
        return peer_of_v6(mine, port);
    }
    snprintf(a->address, sizeof a->address, "127.0.0.1:%u", htons(port));
    return peer_of_v4(htonl(0x7f000001), port);
}

void client_push(struct client *a, size_t limit)
{
    sealed_write(a->tls, &a->outbox);
    while (a->fd >= 0 && !a->peer.fin && limit > 0 && a->pushed < a->outbox.len) {
        const unsigned char *data = a->outbox.data + a->pushed;
        size_t n = a->outbox.len - a->pushed;
        ssize_t sent = send(a->fd, data, n < limit ? n : limit, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            return;
        if (sent < 0) { /* nobody is there to take it */
            a->pushed = a->outbox.len;
            a->eof = a->eof || a->peer.is_loose;
            return;
        }
        if (!a->peer.is_loose)
            peer_sent(&a->peer, data, (size_t) sent);
        business.bytes_sent += (size_t) sent;
        a->pushed += (size_t) sent;
        limit -= (size_t) sent;
    }
}

void client_finish(struct client *a)
{
    if (a->fd < 0 || a->peer.fin)
        return;
    a->peer.fin = true;
    shutdown(a->fd, SHUT_WR);
}

void client_drop(struct client *a)
{
    if (a->fd < 0)
        return;
    a->peer.dropped = business.any_dropped = true;
    leave(a);
    client_part(a);
}

void client_want(struct client *a, const void *data, size_t n)
{
    bytes_add(a->tls != NULL ? sealed_plain(a->tls) : &a->outbox, data, n);
}

void client_want_raw(struct client *a, struct script *s)
{
    size_t n = script_byte(s);
    n = n < s->n ? n : s->n;
    client_want(a, s->data, n);
    s->data += n;
    s->n -= n;
}

/* A good packet, mostly: the id may be one beyond those that are known, or the length one that is not allowed. */
void client_want_packet(struct client *a, struct script *s)
{
    unsigned char packet[65536] = {STX & 255, STX >> 8 & 255, STX >> 16 & 255, STX >> 24};
    size_t id = script_byte(s) % (business_count() + 1) + FIRST_ID, len = script_byte(s);
    uint8_t first = script_byte(s);
    len = SIZE_OF_HEAD + (len < 200 ? len : (len - 199) * 300);
    packet[4] = (unsigned char) len;
    packet[5] = (unsigned char) (len >> 8);
    packet[6] = (unsigned char) id;
    for (size_t i = SIZE_OF_HEAD; i < len; i++)
        packet[i] = (unsigned char) (first + (i - SIZE_OF_HEAD) * 13);
    client_want(a, packet, len);
}

/* The server has closed its side, or the client has closed its own. */
bool client_is_hung_up(const struct client *a)
{
    struct pollfd p = {.fd = a->fd};
    int n;
    do {
        n = poll(&p, 1, 0);
    } while (n < 0 && errno == EINTR); /* libFuzzer has an alarm */
    MUST(n >= 0);
    return (p.revents & (POLLHUP | POLLERR)) != 0;
}
