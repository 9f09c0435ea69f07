/*
 * test_udp_ends.c: datagrams in bad company: no function that is stuck or dies, no stop, no death of the process takes
 * more with it than its own.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datagrams.h"
#include "program.h"

/* ---- Functions that do not return ---- */

/* A batch for worker 0, as it is read at once: three that are answered, one that gets stuck or dies, five behind it. */
static void put_batch(const struct server *s, int fd, uint16_t akg, uint32_t number)
{
    server_signal(s, SIGSTOP);
    for (uint32_t i = 0; i < 9; i++) {
        if (i == 3)
            udp_put_packet(fd, akg, &number, sizeof number);
        else
            udp_put_packet(fd, TEST_ECHO, &i, sizeof i);
    }
    server_signal(s, SIGCONT);
}

static void take_batch(int fd)
{
    for (uint32_t i = 0, got; i < 9; i++) {
        if (i == 3)
            continue;
        ck_assert_uint_eq(udp_take_packet(fd, TEST_ECHO, &got, sizeof got), sizeof got);
        ck_assert_uint_eq(got, i);
    }
}

/* Goal: a function of a datagram that does not return keeps its worker's connections and the other datagrams, those
 * behind it and those before it too, from nothing; nobody's connection is lost; what it writes at last is nobody's. */
START_TEST(a_stuck_one)
{
    char warn[64], replace[64];
    struct server s;
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    udp_start(&s, (const char *[]){warn, replace, NULL});
    int other = open_at_worker(&s, 1), beside = open_at_worker(&s, 0), fd = udp_open_to(&s, 0);
    put_batch(&s, fd, TEST_STICK, TEST_AND_SAY);
    take_batch(fd);
    client_echo(beside, 50);
    wait_counter(other, "alarm_replaced", 1);
    server_wait_log(&s, "function 0x7020 of a datagram from 127.0.0.1:", BACK_MS);
    unstick(other);
    wait_counter(other, "watch_buried", 1);
    server_wait_log(&s, "stuck no more", BACK_MS);
    udp_quiet(fd);
    ck_assert_uint_eq(server_log_count(&s, "[udp 127.0.0.1:"), 1); /* its line is said to be a datagram's */
    close(fd);
    close(beside);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_stuck"), 0);
}
END_TEST

/* Goal: the same if its thread ends in it, also again and again. */
START_TEST(a_dying_one)
{
    struct server s;
    udp_start(&s, (const char *[]){"watch.warn_ms=50", NULL});
    int other = open_at_worker(&s, 1), beside = open_at_worker(&s, 0), fd = udp_open_to(&s, 0);
    for (uint32_t i = 0; i < 3; i++) {
        put_batch(&s, fd, i == 1 ? TEST_CANCEL : TEST_END_THREAD, TEST_IN_FUNCTION);
        take_batch(fd);
        client_echo(beside, 50);
    }
    wait_counter(other, "alarm_died", 3);
    close(fd);
    close(beside);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 0);
}
END_TEST

/* Goal: where nobody ever connects, a function that does not return is noticed all the same, and its worker
 * replaced. */
START_TEST(datagrams_alone)
{
    char warn[64], replace[64], room[8];
    struct server s;
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    udp_start_at(&s, "udp:127.0.0.1:0,udp:127.0.0.1:0",
                 (const char *[]){warn, replace, "test.hooks=off", NULL});
    int fd = udp_open_to(&s, 0), other = udp_open_to(&s, 1);
    udp_put_packet(fd, TEST_STICK, NULL, 0);
    server_wait_log(&s, " has been running for ", BACK_MS);
    udp_echo(fd, 9); /* by its successor */
    udp_ask(other, TEST_UNSTICK, NULL, 0, room, sizeof room);
    udp_echo(fd, 9);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    close(fd);
    close(other);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), 0);
    ck_assert_uint_eq(server_counter(&s, "watch_replaced"), 1);
}
END_TEST

/* ---- Offloaded functions ---- */

/* Goal: they are answered by other threads, in any order; when all are busy and the queue is full, what comes is
 * dropped and counted, while connections wait for their turn; one whose thread ends in it costs nobody else
 * anything. */
START_TEST(offloaded)
{
    struct server s;
    uint32_t zero = 0;
    char path[128], room[16];
    udp_start(&s, (const char *[]){"server.workernum=1", "test.offload=on", "offload.threads=1",
                                   "offload.queue=2", NULL});
    int fd = udp_open(&s), tcp = client_open(&s);
    snprintf(path, sizeof path, "%s/go", s.dir);
    udp_put_packet(fd, AWAY(TEST_WAIT_FILE), path, strlen(path));
    server_wait_counter(&s, "offload_jobs", 1, ANSWER_MS);
    udp_put_packet(fd, LOOSE(TEST_ECHO), "second", 6);
    for (int i = 0; i < 5; i++)
        udp_put_packet(fd, AWAY(TEST_ECHO), "too many", 8);
    udp_quiet(fd); /* what is inline waits for none of them */
    client_send_packet(tcp, AWAY(TEST_ECHO), "waits", 5);
    server_wait_counter(&s, "offload_full", 1, ANSWER_MS);
    udp_put_packet(fd, AWAY(TEST_ECHO), "too many", 8); /* nor does one get in front of a connection */
    server_wait_counter(&s, "udp_dropped", 6, ANSWER_MS);
    fclose(fopen(path, "w"));
    udp_take_packet(fd, AWAY(TEST_WAIT_FILE), path, sizeof path);
    ck_assert_uint_eq(udp_take_packet(fd, LOOSE(TEST_ECHO), room, sizeof room), 6);
    ck_assert_uint_eq(client_recv_packet(tcp, AWAY(TEST_ECHO), room, sizeof room), 5);
    udp_put_packet(fd, AWAY(TEST_VANISH), &zero, sizeof zero);
    server_wait_counter(&s, "offload_died", 1, ANSWER_MS);
    udp_ask(fd, AWAY(TEST_ECHO), "again", 5, room, sizeof room);
    close(tcp);
    close(fd);
    unlink(path);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "udp_dropped"), 6);
}
END_TEST

/* ---- Stopping, starting ---- */

/* Goal: what had come when the stop came is answered, also what runs elsewhere; what comes later finds nobody. */
START_TEST(stop)
{
    enum { WAITING = 100 };
    struct server s;
    uint32_t ms = 200;
    char room[64];
    udp_start(&s, (const char *[]){"server.workernum=1", "test.offload=on", NULL});
    int fd = udp_open(&s), tcp = client_open(&s);
    udp_echo(fd, 1);
    client_echo(tcp, 1);
    udp_put_packet(fd, AWAY(TEST_SLEEP), &ms, sizeof ms);
    server_wait_counter(&s, "offload_jobs", 1, ANSWER_MS);
    server_signal(&s, SIGSTOP);
    for (uint32_t i = 0; i < WAITING; i++)
        udp_put_packet(fd, TEST_NAP, &i, sizeof i);
    server_signal(&s, SIGTERM);
    server_signal(&s, SIGCONT);
    for (uint32_t i = 0, got; i < WAITING; i++) { /* more than are read before the stop is seen */
        ck_assert_uint_eq(udp_take_packet(fd, TEST_NAP, &got, sizeof got), sizeof got);
        ck_assert_uint_eq(got, i);
    }
    udp_take_packet(fd, AWAY(TEST_SLEEP), room, sizeof room);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 0);
    close(tcp);
    close(fd);
    server_check(&s);
}
END_TEST

/* Goal: a stop does not wait for an offloaded function that does not return, nor for those behind it, and says whose it
 * is. */
START_TEST(stop_beside_a_stuck_one)
{
    struct server s;
    udp_start(&s, (const char *[]){"server.workernum=1", "test.offload=on", "offload.threads=1",
                                   "server.drain_timeout=1", NULL});
    int fd = udp_open(&s);
    udp_put_packet(fd, AWAY(TEST_HANG), NULL, 0);
    udp_put_packet(fd, AWAY(TEST_ECHO), NULL, 0);
    server_wait_counter(&s, "offload_jobs", 2, ANSWER_MS);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 10000), 3);
    char *err = program_slurp(s.err);
    ITEST_ASSERT(strstr(err, "function 0x7114, offloaded for a datagram, did not return") != NULL,
                 "it says: %s", err);
    free(err);
    close(fd);
    server_discard(&s);
}
END_TEST

/* Goal: when time is up those that no thread has taken are not waited for. */
START_TEST(stop_with_a_queue)
{
    struct server s;
    uint32_t ms = 1500;
    udp_start(&s, (const char *[]){"server.workernum=1", "test.offload=on", "offload.threads=1",
                                   "server.drain_timeout=1", NULL});
    int fd = udp_open(&s);
    for (int i = 0; i < 20; i++)
        udp_put_packet(fd, AWAY(TEST_SLEEP), &ms, sizeof ms);
    server_wait_counter(&s, "offload_jobs", 20, ANSWER_MS);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 9000), 0);
    close(fd);
    server_check(&s);
    ck_assert_uint_ge(server_counter(&s, "offload_cancelled"), 15);
}
END_TEST

/* Goal: of a supervised server that dies the next process has the same sockets, and what was sent meanwhile. */
START_TEST(the_next_process)
{
    struct server s;
    uint32_t how = DIE_ABORT;
    udp_start(&s, (const char *[]){"server.supervise=on", "server.workernum=2", NULL});
    s.log_lines_max = 1000;
    int fd = udp_open(&s);
    for (uint32_t n = 1; n <= 3; n++) {
        udp_echo(fd, 10);
        udp_put_packet(fd, TEST_DIE, &how, sizeof how);
        for (uint64_t end = itest_deadline(BACK_MS); server_log_count(&s, " died: ") < n; itest_sleep(1))
            ck_assert(mono_ns() < end);
        udp_echo(fd, 20);
    }
    close(fd);
    server_stop(&s);
    ck_assert_uint_eq(server_counter(&s, "restarts"), 3);
}
END_TEST

/* Goal: who comes second does not share a port by mistake, with another server of ours or with whoever would share it;
 * and says what to do. */
START_TEST(a_port_that_is_taken)
{
    struct server s;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char listen[64], out[200], err[1000];
    udp_start(&s, NULL);
    ck_assert(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
              bind(fd, (struct sockaddr *) &in, len) == 0 &&
              getsockname(fd, (struct sockaddr *) &in, &len) == 0);
    for (int i = 0; i < 2; i++) {
        uint16_t port = i == 0 ? ((struct sockaddr_in *) &s.addresses[UDP].addr)->sin_port : in.sin_port;
        snprintf(listen, sizeof listen, "udp:127.0.0.1:%u", ntohs(port));
        int code = itest_run(&(struct launch){.program = "maritcp", .listen = listen}, out, sizeof out, err,
                             sizeof err);
        ck_assert_int_eq(code, 2);
        ITEST_ASSERT(strstr(err, "cannot listen on udp:127.0.0.1:") != NULL &&
                         strstr(err, "(ss -lunp)") != NULL,
                     "it says: %s", err);
    }
    close(fd);
    server_finish(&s);
}
END_TEST

Suite *udp_ends_suite(void)
{
    Suite *s = suite_create("udp_ends");
    TCase *lost = itest_case(s, "functions that do not return", 40);
    tcase_add_test(lost, a_stuck_one);
    tcase_add_test(lost, a_dying_one);
    tcase_add_test(lost, datagrams_alone);
    tcase_add_test(lost, offloaded);
    TCase *ends = itest_case(s, "stopping, starting", 30);
    tcase_add_test(ends, stop);
    tcase_add_test(ends, stop_beside_a_stuck_one);
    tcase_add_test(ends, stop_with_a_queue);
    tcase_add_test(ends, the_next_process);
    tcase_add_test(ends, a_port_that_is_taken);
    return s;
}
