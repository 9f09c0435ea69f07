/*
 * test_urgent.c: urgent data: no byte of a stream is lost by it; and with oob=mark a function is called where it
 * stands, between the packets in front of it and what is behind.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stuck.h"

static void start(struct server *s, const char *const *args)
{
    server_launch(s, &(struct launch){.program = "testapp",
                                      .args = args,
                                      .listen = "127.0.0.1:0,127.0.0.1:0 oob=mark,127.0.0.1:0 oob=inline"});
}

/* The last of these bytes is urgent. */
static void send_urgent(int fd, const void *data, size_t n)
{
    ck_assert_int_eq(send(fd, data, n, MSG_OOB | MSG_NOSIGNAL), (ssize_t) n);
}

static void expect(int fd, uint16_t command, size_t n)
{
    char data[64];
    ck_assert_uint_eq(client_recv_packet(fd, command, data, sizeof data), n);
}

/* Goal: a packet is whole whichever of its bytes was urgent; without oob=mark nobody is called. */
START_TEST(no_byte_is_lost)
{
    unsigned char packet[64];
    char data[64];
    struct server s;
    start(&s, (const char *[]){NULL});
    size_t n = client_packet(packet, TEST_ECHO, "hello", 5);
    for (unsigned which = 0; which < 3; which += 2) {
        int fd = client_open_at(&s.addresses[which]);
        for (size_t i = 0; i < n; i++) {
            send_urgent(fd, packet, i + 1);
            client_send(fd, packet + i + 1, n - i - 1 > 0 ? n - i - 1 : 0);
            ck_assert_uint_eq(client_recv_packet(fd, TEST_ECHO, data, sizeof data), 5);
            ck_assert(memcmp(data, "hello", 5) == 0);
        }
        close(fd);
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "urgent_marks"), 0);
}
END_TEST

/* Goal: with oob=mark the function is called once for each, behind the packets that are whole in front of the urgent
 * byte and before the one that this belongs to, whichever byte it is, however much is behind it. */
START_TEST(called_at_the_mark)
{
    unsigned char packets[256];
    struct server s;
    start(&s, (const char *[]){NULL});
    int fd = client_open_at(&s.addresses[1]);
    size_t first = client_packet(packets, TEST_ECHO, "one", 3), n = first;
    n += client_packet(packets + n, TEST_ECHO, "three", 5);
    size_t third = client_packet(packets + n, TEST_ECHO, "seven..", 7);
    for (size_t i = first; i < n; i++) {
        send_urgent(fd, packets, i + 1);
        client_send(fd, packets + i + 1, n + third - i - 1);
        expect(fd, TEST_ECHO, 3);
        expect(fd, TEST_URGENT, 0);
        expect(fd, TEST_ECHO, 5);
        expect(fd, TEST_ECHO, 7);
    }
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "urgent_marks"), n - first);
    ck_assert_uint_eq(server_counter(&s, "wrong_state"), 0);
}
END_TEST

/* Goal: a mark is not passed while what is in front of it waits: for an offloaded function, in front of whose answer
 * nothing of the mark may come. */
START_TEST(waits_for_its_turn)
{
    unsigned char packets[128];
    uint32_t ms = 50;
    struct server s;
    start(&s, (const char *[]){"test.offload=on", NULL});
    int fd = client_open_at(&s.addresses[1]);
    size_t n = client_packet(packets, TEST_SLEEP + TEST_OFFLOADED, &ms, sizeof ms);
    n += client_packet(packets + n, TEST_ECHO, "hello", 5);
    send_urgent(fd, packets, n - 4);
    client_send(fd, packets + n - 4, 4);
    expect(fd, TEST_SLEEP + TEST_OFFLOADED, sizeof ms);
    expect(fd, TEST_URGENT, 0);
    expect(fd, TEST_ECHO, 5);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "urgent_marks"), 1);
}
END_TEST

/* Goal: if the function writes more than may wait, what was received behind the mark waits too, and neither it nor the
 * call is lost or doubled. */
START_TEST(writes_too_much)
{
    static char data[8192];
    unsigned char packets[128];
    size_t got = 0, want = 4 * 1024 * 1024;
    struct server s;
    start(&s, (const char *[]){"test.urgent=big", "output.high=64k", "output.max=8m", NULL});
    int fd = client_open_at(&s.addresses[1]);
    size_t n = client_packet(packets, TEST_ECHO, "hello", 5);
    n += client_packet(packets + n, TEST_ECHO, "nobody", 6);
    send_urgent(fd, packets, 1);
    client_send(fd, packets + 1, n - 1);
    server_wait_counter(&s, "output_paused", 1, 3000);
    expect(fd, TEST_URGENT, 0);
    while (got < want)
        got += 8 + client_recv_packet(fd, TEST_REPLY, data, sizeof data);
    expect(fd, TEST_ECHO, 5);
    expect(fd, TEST_ECHO, 6);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "urgent_marks"), 1);
}
END_TEST

static const struct {
    const char *option, *counter;
} ends[] = {{"test.urgent=fail", "closed_function_error"}, {"test.urgent=close", "closed_function_closed"}};

/* Goal: what it returns counts, and it may close: nothing behind the mark is looked at then. */
START_TEST(may_end_it)
{
    unsigned char packet[64];
    size_t extra;
    struct server s;
    start(&s, (const char *[]){ends[_i].option, NULL});
    int fd = client_open_at(&s.addresses[1]);
    size_t n = client_packet(packet, TEST_ECHO, "hello", 5);
    send_urgent(fd, packet, 1);
    client_send(fd, packet + 1, n - 1);
    ck_assert_int_eq(client_ending(fd, &extra, 3000), END_FIN);
    ck_assert_uint_eq(extra, 8);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, ends[_i].counter), 1);
    ck_assert_uint_eq(server_counter(&s, "urgent_marks"), 1);
}
END_TEST

/* Goal: one that is stuck there loses its connection, and the others go on. */
START_TEST(may_be_stuck)
{
    char replace[64];
    struct server s;
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    start(&s, (const char *[]){"test.urgent=stick", "server.workernum=1", replace, NULL});
    int other = client_open(&s), fd = client_open_at(&s.addresses[1]);
    client_echo(other, 5);
    send_urgent(fd, "\xf7", 1);
    server_wait_log(&s, " did not return for ", BACK_MS);
    client_echo(other, 5);
    unstick(other);
    client_expect_fin(fd);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 1);
}
END_TEST

Suite *urgent_suite(void)
{
    Suite *s = suite_create("urgent");
    TCase *c = itest_case(s, "urgent", 40);
    tcase_add_test(c, no_byte_is_lost);
    tcase_add_test(c, called_at_the_mark);
    tcase_add_test(c, waits_for_its_turn);
    tcase_add_test(c, writes_too_much);
    tcase_add_loop_test(c, may_end_it, 0, 2);
    tcase_add_test(c, may_be_stuck);
    return s;
}
