/*
 * test_peer.c: every peer has its name: for functions, hooks and offloaded functions, in the log, in alarms, in records
 * of deaths; over IPv4, IPv6 and unix sockets, also when the connection is gone already.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mortal.h"
#include "program.h"
#include "stuck.h"

/* Our own address as the server should call it. */
static const char *own_name(int fd)
{
    static char text[80];
    union {
        struct sockaddr_storage any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } me;
    char ip[INET6_ADDRSTRLEN];
    socklen_t len = sizeof me;
    ck_assert(getsockname(fd, (struct sockaddr *) &me, &len) == 0);
    if (me.any.ss_family == AF_INET)
        snprintf(text, sizeof text, "%s:%u", inet_ntop(AF_INET, &me.v4.sin_addr, ip, sizeof ip),
                 ntohs(me.v4.sin_port));
    else if (me.any.ss_family == AF_INET6)
        snprintf(text, sizeof text, "[%s]:%u", inet_ntop(AF_INET6, &me.v6.sin6_addr, ip, sizeof ip),
                 ntohs(me.v6.sin6_port));
    else
        snprintf(text, sizeof text, "unix");
    return text;
}

/* A server that listens on [::1] alone, or with the others. */
static void start(struct server *s, const char *listen, const char *const *args)
{
    server_launch(s,
                  &(struct launch){.program = "testapp", .args = args, .listen = listen, .env = mortal_env});
    s->log_lines_max = 100000;
}

/* Goal: functions of all three kinds learn it, on all three kinds of sockets; testapp's hooks compare it from the first
 * to the last, also behind a reset; the log has it. */
START_TEST(everywhere)
{
    static const uint16_t kinds[] = {0, TEST_OFFLOADED, TEST_CONCURRENT};
    char listen[200], line[200];
    struct server s;
    snprintf(listen, sizeof listen, "127.0.0.1:0,unix:/tmp/mario-peer-%d%s", (int) getpid(),
             client_has_ipv6() ? ",[::1]:0" : "");
    start(&s, listen, (const char *[]){"test.offload=on", "log.level=debug", NULL});
    for (unsigned i = 0; i < s.address_count; i++) {
        for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
            char text[100];
            int fd = client_open_at(&s.addresses[i]);
            const char *name = own_name(fd);
            size_t n = client_ask(fd, (uint16_t) (TEST_PEER + kinds[k]), NULL, 0, text, sizeof text - 1);
            text[n] = '\0';
            ck_assert_str_eq(text, name);
            snprintf(line, sizeof line, " %s] closed: ", name);
            if (k == 0 && strcmp(name, "unix") != 0)
                client_reset(fd);
            else
                close(fd);
            server_wait_log(&s, line, 3000);
        }
    }
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "wrong_state"), 0);
}
END_TEST

/* Goal: an alarm about a function that is stuck knows for whom it is, and so does the line. */
START_TEST(alarms)
{
    char warn[64], replace[64], words[160];
    struct server s;
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    start(&s, client_has_ipv6() ? "[::1]:0" : "127.0.0.1:0", (const char *[]){warn, replace, NULL});
    int other = open_at_worker(&s, 1), fd = open_at_worker(&s, 0);
    snprintf(words, sizeof words, " from %s has been running for ", own_name(fd));
    stick(fd);
    server_wait_log(&s, words, BACK_MS);
    snprintf(words, sizeof words, " from %s did not return for ", own_name(fd));
    server_wait_log(&s, words, BACK_MS);
    unstick(other);
    client_expect_fin(fd);
    wait_counter(other, "watch_buried", 1);
    close(other);
    server_finish(&s);
    ck_assert_uint_eq(
        server_counter(&s, "alarm_v6"),
        client_has_ipv6() ? server_counter(&s, "alarm_stuck") + server_counter(&s, "alarm_replaced") : 0);
}
END_TEST

/* Goal: so does the record of a death: the handler's, and, of a process that was killed, its parent's. */
START_TEST(deaths)
{
    static const uint32_t how[] = {DIE_SEGV, DIE_KILL};
    char line[MORTAL_LINE], words[64];
    struct server s;
    if (!client_has_ipv6())
        return;
    start(&s, "[::1]:0", (const char *[]){"server.supervise=on", "server.workernum=2", NULL});
    for (size_t i = 0; i < 2; i++) {
        int fd = client_open(&s);
        client_echo(fd, 10);
        const char *port = strrchr(own_name(fd), ':');
        snprintf(words, sizeof words, " from [::1]%s", port);
        client_send_packet(fd, TEST_DIE, &how[i], sizeof how[i]);
        server_wait_log(&s, words, 5000);
        mortal_last_line(&s, words, line);
        ck_assert_ptr_nonnull(strstr(line, " ERROR died: "));
        close(fd);
        mortal_served_again(&s);
    }
    server_signal(&s, SIGTERM);
    server_wait_exit(&s, 10000);
    server_discard(&s);
}
END_TEST

Suite *peer_suite(void)
{
    Suite *s = suite_create("peer");
    TCase *c = itest_case(s, "peer", 40);
    tcase_add_test(c, everywhere);
    tcase_add_test(c, alarms);
    tcase_add_test(c, deaths);
    return s;
}
