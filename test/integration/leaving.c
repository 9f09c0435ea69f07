/*
 * leaving.c: the states a connection can be left in, and the ways to leave it. Main thread of a test.
 */
#include "leaving.h"

#include <inttypes.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/apps/testapp/commands.h"

uint16_t client_port(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &len), 0);
    return ntohs(a.sin_port);
}

/* ---- Tokens ---- */

static uint64_t token_of(uint32_t i)
{
    return (i + UINT64_C(1)) * UINT64_C(0x9e3779b97f4a7c15);
}

void token_send(int fd, uint32_t i)
{
    uint64_t token = token_of(i);
    client_send_packet(fd, TEST_CANARY, &token, sizeof token);
}

void token_expect(int fd, uint32_t i)
{
    uint64_t token = 0;
    size_t n = client_recv_packet(fd, TEST_CANARY, &token, sizeof token);
    ITEST_ASSERT(n == sizeof token && token == token_of(i), "connection %u has the canary %016" PRIx64, i,
                 token);
}

/* ---- States ---- */

static void not_taken_over_yet(const struct server *s, int fd, int other)
{
    (void) s;
    (void) fd;
    (void) other;
}

static void before_first_byte(const struct server *s, int fd, int other)
{
    (void) fd;
    (void) other;
    int later = client_open(s);
    client_echo(later, 1);
    close(later);
}

static void in_a_packet(const struct server *s, int fd, int other)
{
    unsigned char packet[64];
    (void) s;
    client_echo(fd, 1);
    client_send(fd, packet,
                client_packet(packet, TEST_ECHO, "thirty bytes, seven of which go missing", 30) - 7);
    client_echo(other, 1);
}

static void while_function_runs(const struct server *s, int fd, int other)
{
    (void) s;
    (void) other;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_SLEEP, &(uint32_t){10}, sizeof(uint32_t));
    itest_sleep(3);
}

static void with_output_pending(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_REPLY, &(uint32_t){8 << 20}, sizeof(uint32_t));
    client_echo(other, 1);
}

static void not_being_read(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    for (int i = 0; i < 12; i++)
        client_send_packet(fd, TEST_MEGABYTE, NULL, 0);
    client_echo(other, 1);
}

static void while_draining(const struct server *s, int fd, int other)
{
    with_output_pending(s, fd, other);
    client_send_packet(other, TEST_CLOSE_OTHER, &(uint32_t){client_port(fd)}, sizeof(uint32_t));
    uint8_t found;
    ITEST_ASSERT(client_recv_packet(other, TEST_CLOSE_OTHER, &found, 1) == 1, "an answer without a byte");
    ITEST_ASSERT(found == 1 || client_is_closed(fd),
                 "it is not alive"); /* its function may have been replaced */
}

static void half_closed_and_pending(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_REPLY, &(uint32_t){5 << 20}, sizeof(uint32_t));
    shutdown(fd, SHUT_WR);
    client_echo(other, 1);
}

static void with_answer_unread(const struct server *s, int fd, int other)
{
    (void) s;
    client_echo(fd, 1);
    client_send_packet(fd, TEST_ECHO, NULL, 0);
    client_echo(other, 1);
}

const struct leaving_state leaving_states[LEAVING_STATES] = {
    {"before the first byte", true, before_first_byte},
    {"not taken over yet", true, not_taken_over_yet},
    {"in a packet", false, in_a_packet},
    {"while its function runs", false, while_function_runs},
    {"with output pending", false, with_output_pending},
    {"not being read", false, not_being_read},
    {"while draining", false, while_draining},
    {"half-closed, with output pending", false, half_closed_and_pending},
    {"with an answer unread", false, with_answer_unread},
};

/* ---- Ways ---- */

const enum reason leaving_reason[LEAVING_WAYS] = {
    REASON_peer_closed, REASON_peer_closed, REASON_NONE, REASON_reset,
    REASON_reset,       REASON_bad_stx,     REASON_NONE, REASON_function_error,
};

void leave(int fd, uint32_t i)
{
    uint32_t n = 100000 + i % 1000 * 300;
    unsigned char half[128] = {0};
    switch (i % LEAVING_WAYS) {
    case 0: /* answered and clean */
        close(fd);
        return;
    case 1: /* half a packet stays with the server */
        client_send(fd, half, client_packet(half, TEST_ECHO, half + 64, 40) - 1 - i % 40);
        close(fd);
        return;
    case 2: /* large answers nobody reads */
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        close(fd);
        return;
    case 3:
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        client_reset(fd);
        return;
    case 4: /* requests that may or may not be read */
        token_send(fd, i);
        client_reset(fd);
        return;
    case 5: /* the server ends it, with garbage behind */
        client_send(fd, half, sizeof half);
        client_expect_fin(fd);
        return;
    case 6:
        client_send_packet(fd, TEST_REPLY, &n, sizeof n);
        if (i % 128 != 6 || !client_destroy(fd))
            close(fd);
        return;
    default:
        client_send_packet(fd, TEST_CLOSE_ERR, NULL, 0);
        close(fd);
    }
}
