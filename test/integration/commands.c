/*
 * commands.c: what clients of maritcp's commands about others do. Main thread of a test.
 */
#include "commands.h"

#include <string.h>
#include <unistd.h>

void commands_send(int fd, uint16_t akg_id, uint64_t number, size_t size, const void *text, size_t n)
{
    unsigned char data[WIRE_PACKET_MAX];
    wire_put64(data, number);
    memcpy(data + size, text, n);
    client_send_packet(fd, akg_id, data, size + n);
}

void commands_bare(int fd, uint16_t akg_id)
{
    unsigned char data[64];
    ck_assert_uint_eq(client_recv_packet(fd, akg_id, data, sizeof data), 0);
}

void commands_refused(int fd, uint16_t akg_id, int why)
{
    unsigned char data[64];
    ck_assert_uint_eq(client_recv_packet(fd, akg_id, data, sizeof data), 1);
    ck_assert_int_eq(data[0], why);
}

void commands_login(int fd, uint16_t uid)
{
    commands_send(fd, CMD_FUNCTION_LOGIN, uid, 2, "", 0);
    commands_bare(fd, CMD_FUNCTION_LOGIN);
}

int commands_open(const struct server *s, uint16_t uid)
{
    int fd = client_open(s);
    commands_login(fd, uid);
    return fd;
}

void commands_push(int fd, uint16_t uid, const char *text)
{
    commands_send(fd, CMD_FUNCTION_PUSH_TO, uid, 2, text, strlen(text));
}

void commands_join(int fd, uint64_t group)
{
    commands_send(fd, CMD_FUNCTION_JOIN, group, 8, "", 0);
    commands_bare(fd, CMD_FUNCTION_JOIN);
}

void commands_say(int fd, uint64_t group, const char *text)
{
    commands_send(fd, CMD_FUNCTION_SAY, group, 8, text, strlen(text));
}

uint64_t commands_who(int fd, uint64_t group)
{
    unsigned char data[64];
    commands_send(fd, CMD_FUNCTION_WHO, group, 8, "", 0);
    ck_assert_uint_eq(client_recv_packet(fd, CMD_FUNCTION_WHO, data, sizeof data), 8);
    return wire_get64(data);
}

void commands_await_who(int fd, uint64_t group, uint64_t count)
{
    uint64_t until = itest_deadline(COMMANDS_SOON_MS), is;
    while ((is = commands_who(fd, group)) != count && mono_ns() < until)
        itest_sleep(1);
    ck_assert_uint_eq(is, count);
}

void commands_pushed(int fd, uint16_t from, const char *text)
{
    unsigned char data[WIRE_PACKET_MAX];
    size_t n = client_recv_packet(fd, CMD_FUNCTION_PUSHED, data, sizeof data);
    ck_assert_uint_eq(n, 2 + strlen(text));
    ck_assert_uint_eq(wire_get16(data), from);
    ck_assert_mem_eq(data + 2, text, strlen(text));
}

void commands_said(int fd, uint64_t group, uint16_t from, const char *text)
{
    unsigned char data[WIRE_PACKET_MAX];
    size_t n = client_recv_packet(fd, CMD_FUNCTION_SAID, data, sizeof data);
    ck_assert_uint_eq(n, 10 + strlen(text));
    ck_assert_uint_eq(wire_get64(data), group);
    ck_assert_uint_eq(wire_get16(data + 8), from);
    ck_assert_mem_eq(data + 10, text, strlen(text));
}

void commands_quiet(int fd)
{
    unsigned char data[64];
    ck_assert_uint_eq(client_ask(fd, CMD_FUNCTION_ECHO, "q", 1, data, sizeof data), 1);
}

void commands_ledger(const struct server *s)
{
    static const char *const ends[] = {"push_sent",      "push_dropped_oldest", "push_dropped_newest",
                                       "push_coalesced", "push_dropped_closed", "push_unframed",
                                       "push_pending"};
    uint64_t sum = 0;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        sum += server_counter(s, ends[i]);
    ck_assert_msg(sum == server_counter(s, "push_targets") && server_counter(s, "push_pending") == 0, "%s",
                  s->final);
}
