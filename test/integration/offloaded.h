/*
 * offloaded.h: servers whose functions may block, and asking for them, for the suites offload and offload_ends. Main
 * thread of a test.
 */
#ifndef ITEST_OFFLOADED_H
#define ITEST_OFFLOADED_H

#include "stuck.h"

/* A command, offloaded; offloaded and concurrent. */
#define AWAY(cmd)  ((uint16_t) ((cmd) + TEST_OFFLOADED))
#define LOOSE(cmd) ((uint16_t) ((cmd) + TEST_CONCURRENT))

/* Start testapp with these words of the form section.key=value, and functions that are offloaded. */
#define START(s, ...) server_start(s, "testapp", "test.offload=on", __VA_ARGS__, NULL)

/* Receive a packet with a number, as send_number() sends one. */
static inline uint32_t recv_number(int fd, uint16_t akg_id)
{
    uint32_t n = 0;
    ck_assert_uint_eq(client_recv_packet(fd, akg_id, &n, sizeof n), sizeof n);
    return n;
}

/* What functions and hooks checked of themselves. */
static inline void expect_sound(const struct server *s)
{
    ck_assert_uint_eq(server_counter(s, "wrong_thread"), 0);
    ck_assert_uint_eq(server_counter(s, "wrong_state"), 0);
}

#endif
