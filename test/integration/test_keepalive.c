/*
 * test_keepalive.c: peers that die without a word (SCORECARD row 20): the link to them is cut while they are
 * silent, while an answer is on its way, while they do not read. They are found within what server.keepalive
 * promises; those who are silent but alive stay.
 *
 * The kernel keeps the time here, so it is not multiplied under a sanitizer; its timers may be an eighth late.
 */
#include "far.h"
#include "hiccups.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "test/apps/testapp/commands.h"
#include "test_ledger.h"

enum {
    KEEPALIVE = 2,                   /* seconds */
    FOUND_MS = 2 * KEEPALIVE * 1000, /* what that promises */
    LATE_MS = FOUND_MS / 8 + 300 * ITEST_SLOW,
    REPEAT_MS = 1000 /* of an answer: the limit counts from its first repetition */
};

/* Wait until `peers` were found dead; since `begun` that must have taken FOUND_MS, and at most `more` beyond. */
static void check_found(const struct server *s, unsigned peers, uint64_t begun, unsigned more)
{
    server_wait_counter(s, "closed_peer_dead", peers, FOUND_MS + more + LATE_MS + 4000);
    uint64_t took = (mono_ns() - begun) / NS_PER_MS;
    ck_assert_msg(took + 300 >= FOUND_MS && took <= FOUND_MS + more + hiccups_allow(LATE_MS),
                  "they were found after %llu ms instead of %u", (unsigned long long) took, FOUND_MS);
}

/* Wait until the other side's kernel has all that was sent. */
static bool is_delivered(void *arg)
{
    int left = 1;
    ck_assert_int_eq(ioctl(*(int *) arg, SIOCOUTQ, &left), 0);
    return left == 0;
}

static void start(struct server *s, const char *option, const char *another)
{
    hiccups_start();
    const char *args[] = {"server.workernum=2", option, another, NULL};
    server_launch(s, &(struct launch){
                         .program = "testapp", .args = args, .listen = "127.0.0.1:0," FAR_NEAR_ADDRESS ":0"});
}

/* Goal: of silent clients the dead ones are found, each once and with the reason peer_dead, the living ones
 * stay, and bystanders lose nothing. */
START_TEST(silent_peers)
{
    enum { DEAD = 8, ALIVE = 8 };
    struct far f;
    struct server s;
    int dead[DEAD], alive[ALIVE];
    if (!far_make(&f))
        TEST_SKIP("no network namespaces with a link here: %s", strerror(errno));
    start(&s, "server.keepalive=2", NULL);
    struct bystanders *b = bystanders_start(&s.target, 4, 100, 1);
    for (int i = 0; i < DEAD; i++)
        client_echo(dead[i] = far_open(&f, &s.addresses[1]), 10);
    for (int i = 0; i < ALIVE; i++)
        client_echo(alive[i] = client_open(&s), 10);
    far_cut(&f);
    check_found(&s, DEAD, mono_ns(), 0);
    for (int i = 0; i < ALIVE; i++) {
        client_echo(alive[i], 10);
        close(alive[i]);
    }
    bystanders_finish(&b);
    for (int i = 0; i < DEAD; i++)
        close(dead[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_dead"), DEAD);
    ck_assert_uint_eq(server_counter(&s, "hook_end_error"), DEAD);
}
END_TEST

/* Goal: an answer is on its way when the peer dies, so that no probe is sent: it is found all the same. */
START_TEST(an_answer_on_its_way)
{
    const uint32_t ms = 500;
    struct far f;
    struct server s;
    char byte;
    if (!far_make(&f))
        TEST_SKIP("no network namespaces with a link here: %s", strerror(errno));
    start(&s, "server.keepalive=2", "log.level=debug");
    s.log_lines_max = 1000; /* looking at a counter is a connection, too */
    int fd = far_open(&f, &s.addresses[1]);
    client_echo(fd, 10);
    uint64_t begun = mono_ns();
    client_send_packet(fd, TEST_SLEEP, &ms, sizeof ms);
    ck_assert(itest_wait(is_delivered, &fd, 400));
    far_cut(&f);
    check_found(&s, 1, begun, ms + REPEAT_MS);
    server_wait_log(&s, "closed: peer_dead", 1000);
    ck_assert_int_eq(recv(fd, &byte, 1, MSG_DONTWAIT), -1); /* the link was cut in time */
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_dead"), 1);
}
END_TEST

/* Goal: a peer that takes no output, dead or alive, with more pending than the kernel holds, ends as soon; it
 * need not wait for write_timeout. */
START_TEST(output_that_is_not_taken)
{
    const uint32_t n = 12 << 20;
    struct far f;
    struct server s;
    if (!far_make(&f))
        TEST_SKIP("no network namespaces with a link here: %s", strerror(errno));
    start(&s, "server.keepalive=2", "output.max=16m");
    int dead = far_open(&f, &s.addresses[1]), alive = client_open(&s);
    client_send_packet(dead, TEST_REPLY, &n, sizeof n);
    client_send_packet(alive, TEST_REPLY, &n, sizeof n);
    server_wait_counter(&s, "output_paused", 2, 1000);
    uint64_t begun = mono_ns();
    far_cut(&f);
    check_found(&s, 2, begun, REPEAT_MS);
    close(dead);
    close(alive);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_dead"), 2);
}
END_TEST

/* Goal: without keepalive, the default, a dead peer is silent like any other. */
START_TEST(without_keepalive)
{
    struct far f;
    struct server s;
    if (!far_make(&f))
        TEST_SKIP("no network namespaces with a link here: %s", strerror(errno));
    start(&s, "server.timeout=3", NULL);
    int fd = far_open(&f, &s.addresses[1]);
    client_echo(fd, 10);
    far_cut(&f);
    server_wait_counter(&s, "closed_idle_timeout", 1, 4000);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_peer_dead"), 0);
}
END_TEST

Suite *keepalive_suite(void)
{
    Suite *s = suite_create("keepalive");
    TCase *c = itest_case(s, "dead peers", 20);
    tcase_add_test(c, silent_peers);
    tcase_add_test(c, an_answer_on_its_way);
    tcase_add_test(c, output_that_is_not_taken);
    tcase_add_test(c, without_keepalive);
    return s;
}
