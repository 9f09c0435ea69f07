/*
 * test_cluster_links.c: bad days of a cluster: the link to the engine is cut, nodes die, others speak on our channels.
 */
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "mario/mario_cluster.h"
#include "nodes.h"

#define UID   NODES_UID
#define GROUP NODES_GROUP

#define START(n, count, ears, ...)     \
    NODES_NEED((enum engine_kind) _i); \
    struct nodes n;                    \
    nodes_start(&n, (enum engine_kind) _i, count, ears, &(struct nodes_options){__VA_ARGS__})

/* ---- The link ---- */

/* A network of its own, behind a link that can be cut: its process, and its addresses here and there. */
struct far_away {
    pid_t pid;
    char netns[40], here[24], there[24];
};

static bool said(const char *format, ...) __attribute__((format(printf, 1, 2)));
static bool said(const char *format, ...)
{
    char command[400];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(command, sizeof command - 20, format, args);
    va_end(args);
    strcpy(command + n, " 2>/dev/null");
    return system(command) == 0;
}

static pid_t network_holder(void)
{
    char ready;
    int fds[2];
    ck_assert(pipe(fds) == 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (unshare(CLONE_NEWNET) != 0 || write(fds[1], "", 1) != 1)
            _exit(1);
        close(fds[1]);
        for (;;)
            pause();
    }
    close(fds[1]);
    bool there = pid > 0 && read(fds[0], &ready, 1) == 1;
    close(fds[0]);
    return there ? pid : 0;
}

/* The namespace and the link end with the holder. */
static bool far_away(struct far_away *f)
{
    f->pid = network_holder();
    if (f->pid == 0)
        return false;
    unsigned net = (unsigned) f->pid & 0x3fff;
    snprintf(f->netns, sizeof f->netns, "/proc/%d/ns/net", (int) f->pid);
    snprintf(f->here, sizeof f->here, "10.99.%u.%u", net >> 6, (net & 63) * 4 + 1);
    snprintf(f->there, sizeof f->there, "10.99.%u.%u", net >> 6, (net & 63) * 4 + 2);
    return said("ip link add mt%d type veth peer name far netns %d", (int) f->pid, (int) f->pid) &&
           said("ip addr add %s/30 dev mt%d && ip link set mt%d up", f->here, (int) f->pid, (int) f->pid) &&
           said(
               "nsenter -t %d -n sh -c 'ip addr add %s/30 dev far && ip link set far up && ip link set lo up'",
               (int) f->pid, f->there);
}

/* From now on every packet vanishes, both ways, and nobody is told; or it passes again. */
static bool cut(const struct far_away *f, bool is_cut)
{
    const char *how = is_cut ? "replace" : "del";
    const char *filter = is_cut ? "tbf rate 8bit burst 10 latency 1ms" : "";
    return said("tc qdisc %s dev mt%d root %s", how, (int) f->pid, filter) &&
           said("nsenter -t %d -n tc qdisc %s dev far root %s", (int) f->pid, how, filter);
}

/* Goal: the link to the engine is cut without a word: it is noticed, and all goes on here; when it is mended all is as
 * before. */
START_TEST(the_link_is_cut)
{
    NODES_NEED((enum engine_kind) _i);
    struct far_away f;
    if (geteuid() != 0 || !far_away(&f) || !cut(&f, true) || !cut(&f, false))
        TEST_SKIP("no network of one's own can be made here");
    START(n, 2, 3, .engine = {.address = f.there, .netns = f.netns}, .args = {"cluster.queue=262144"});
    nodes_settle(&n);
    nodes_all_is_well(&n);
    ck_assert(cut(&f, true));
    nodes_go_on_here(&n, 1);
    nodes_all_count(&n, "event_down", 1);
    nodes_go_on_here(&n, 2);
    ear_order(
        &n.each[0].e, 0,
        (struct test_order){.kind = ORDER_SEND_GROUP, .to = GROUP, .len = 30000, .times = 24, .sender = 3});
    nodes_wait_counter(&n, 0, "cluster_dropped", 1);
    ck_assert(cut(&f, false));
    nodes_all_count(&n, "event_up", 2);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 4);
    nodes_stop(&n);
    kill(f.pid, SIGKILL);
}
END_TEST

/* ---- Nodes ---- */

/* Goal: a node is killed in the middle of a storm, another one is stopped and started anew: who stays hears
 * everything. */
START_TEST(others_lose_nothing)
{
    START(n, 3, 3);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    nodes_begin_storm(&n);
    nodes_kill_one(&n, 2);
    nodes_start_one(&n, 2, 3, NULL);
    nodes_stop_one(&n, 2);
    nodes_expect(&n, 1, 1, 1, NODES_STORM);
    nodes_expect(&n, 0, 1, 1, NODES_STORM);
    ck_assert_uint_eq(ear_counter(&n.each[1].e, 0, "cluster_lost"), 0);
    ck_assert_uint_eq(ear_counter(&n.each[0].e, 0, "cluster_dropped"), 0);
    n.count = 2;
    nodes_all_is_well(&n);
    nodes_stop(&n);
}
END_TEST

/* Goal: what is here no longer is counted no longer: of a killed node nothing is left, as soon as it is noticed. */
START_TEST(counts_heal)
{
    START(n, 2, 3, .heartbeat = 1, .ttl = 3);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    ck_assert_uint_eq(ear_ask_nodes(&n.each[1].e, 0, ORDER_ASK_USER, UID), 2);
    uint64_t end = itest_deadline(EAR_MS);
    while (ear_order(&n.each[1].e, 0, (struct test_order){.kind = ORDER_COUNT_ALL, .to = GROUP}) != 2)
        ck_assert(mono_ns() < end);
    nodes_kill_one(&n, 0);
    while (ear_order(&n.each[1].e, 0, (struct test_order){.kind = ORDER_COUNT_ALL, .to = GROUP}) != 1 ||
           ear_order(&n.each[1].e, 0, (struct test_order){.kind = ORDER_ONLINE, .to = UID}) != 1) {
        ck_assert_msg(mono_ns() < end, "counts do not heal; see %s", n.each[1].s.dir);
        ears_turn(&n.each[1].e, 50);
    }
    ck_assert_uint_eq(ear_ask_nodes(&n.each[1].e, 0, ORDER_ASK_USER, UID), 1);
    nodes_stop(&n);
}
END_TEST

/* ---- Others on our channels ---- */

static void publish(struct nodes *n, const char *channel, const char *text)
{
    char answer[100];
    engine_ask(&n->engine, answer, sizeof answer, "PUBLISH %s \"%s\"", channel, text);
}

/* Goal: what is no frame is counted and ignored, on every channel. */
START_TEST(garbage)
{
    static const char *const texts[] = {"",
                                        "x",
                                        "\\x00",
                                        "M",
                                        "M\\x01",
                                        "#",
                                        "#1 1\\n",
                                        "#99999999999999999999999 -1\\nM\\x01",
                                        "hello, is there anybody?",
                                        "M\\x01\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff"};
    enum { TEXTS = sizeof texts / sizeof texts[0] };
    char channels[4][64] = {"mario:all", "mario:n:n0"};
    NODES_NEED(ENGINE_REDIS);
    struct nodes n;
    nodes_start(&n, ENGINE_REDIS, 2, 3, NULL);
    nodes_settle(&n);
    nodes_all_is_well(&n);
    snprintf(channels[2], sizeof channels[2], "mario:u:%" PRIu64, UID);
    snprintf(channels[3], sizeof channels[3], "mario:g:%" PRIu64, GROUP);
    for (unsigned i = 0; i < TEXTS; i++) {
        for (unsigned k = 0; k < 4; k++)
            publish(&n, channels[k], texts[i]);
    }
    uint64_t state = 1;
    for (unsigned i = 0; i < 400; i++) { /* anything that begins as a frame does */
        char text[300] = "M\\x01";
        size_t len = 5;
        for (unsigned k = 0; k < i % 60; k++, len += 4) {
            state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
            snprintf(text + len, sizeof text - len, "\\x%02x",
                     (unsigned) (state >> 56) % (i % 2 == 0 ? 256 : 4));
        }
        publish(&n, channels[i % 4], text);
    }
    nodes_wait_counter(&n, 0, "cluster_garbage", TEXTS * 3);
    nodes_all_is_well(&n);
    nodes_nothing_is_missing(&n, 1);
    for (unsigned at = 0; at < 2; at++) {
        for (uint32_t i = 0; i < 3; i++)
            ck_assert_int_ge(n.each[at].e.each[i].fd, 0);
    }
    nodes_stop(&n);
}
END_TEST

Suite *cluster_links_suite(void)
{
    Suite *s = suite_create("cluster_links");
    TCase *c = itest_case(s, "the link and the nodes", 40);
    tcase_add_loop_test(c, the_link_is_cut, 0, 2);
    tcase_add_loop_test(c, others_lose_nothing, 0, 2);
    tcase_add_loop_test(c, counts_heal, 0, 2);
    tcase_add_test(c, garbage);
    return s;
}
