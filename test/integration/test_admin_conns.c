/*
 * test_admin_conns.c: what an operator asks about connections: they are listed exactly once however many come and go,
 * filters mean what they say, who is kicked is who was meant, and nobody else notices much.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "census.h"
#include "hiccups.h"
#include "stuck.h"

enum { SOON_MS = 8000 };

static void start(struct server *s, const char *more, const char *and_more)
{
    server_start(s, "testapp", operator_option(), more, and_more, NULL);
}

static void order(int fd, uint8_t kind, uint64_t to)
{
    struct test_done done;
    struct test_order o = {.kind = kind, .to = to};
    ck_assert_uint_eq(client_ask(fd, TEST_PUSH, &o, sizeof o, &done, sizeof done), sizeof done);
    ck_assert_uint_eq(done.accepted, 1);
}

/* ---- Listing ---- */

enum { STAY = 300, LISTS = 12, CHURNERS = 100, CHURNED_LEAST = 2000 };

static struct churn {
    const struct server *server;
    _Atomic bool stop;
    _Atomic unsigned seen;
} churn;

/* Connections come and go, some at a time. */
static void *come_and_go(void *arg)
{
    int fds[CHURNERS];
    (void) arg;
    while (!atomic_load(&churn.stop)) {
        unsigned n = 0;
        for (; n < CHURNERS; n++)
            fds[n] = net_connect_wait(&churn.server->target, itest_deadline(SOON_MS));
        for (unsigned i = 0; i < n; i++)
            close(fds[(i * 37) % CHURNERS]);
        atomic_fetch_add(&churn.seen, n);
    }
    return NULL;
}

/* Goal: who is there all the while is listed exactly once, and nobody twice, while thousands come and go. */
START_TEST(each_exactly_once)
{
    struct server s;
    static int fds[STAY];
    static struct test_who who[STAY];
    pthread_t t;
    start(&s, NULL, NULL);
    for (int i = 0; i < STAY; i++)
        fds[i] = client_open(&s);
    for (int i = 0; i < STAY; i++)
        who[i] = who_of(fds[i]);
    churn.server = &s;
    ck_assert_int_eq(pthread_create(&t, NULL, come_and_go, NULL), 0);
    unsigned pages = 0;
    for (int n = 0; n < LISTS || atomic_load(&churn.seen) < CHURNED_LEAST; n++) {
        pages += list_all(n % 2 == 0 ? 7 : 100, NULL, NULL);
        for (int i = 0; i < STAY; i++)
            ITEST_ASSERT(listed.times[who[i].worker][who[i].ind] == 1, "place %u.%u: %u times in list %d",
                         who[i].worker, who[i].ind, listed.times[who[i].worker][who[i].ind], n);
        for (unsigned i = 0; i < WORKERS * PLACES; i++)
            ITEST_ASSERT(listed.times[i / PLACES][i % PLACES] <= 1, "a place twice in list %d", n);
    }
    atomic_store(&churn.stop, true);
    pthread_join(t, NULL);
    ck_assert_uint_gt(pages, STAY / 7 * LISTS / 2);
    for (int i = 0; i < STAY; i++)
        close(fds[i]);
    server_stop(&s);
}
END_TEST

/* ---- What is shown ---- */

/* Goal: each filter leaves out whom it should, and nobody else. */
START_TEST(filters)
{
    struct server s;
    start(&s, "output.high=4m", "output.max=64m");
    int old = client_open(&s), slow = client_open_narrow(&s);
    struct id old_id = id_of_conn(old), slow_id = id_of_conn(slow);
    uint32_t much = 6u << 20;
    client_send_packet(slow, TEST_REPLY, &much, sizeof much);
    operator_await(slow_id.text, SOON_MS, "conn list pending>100000");
    ck_assert_uint_eq(operator_count(operator_json("conn list pending>100000"), "\"id\""), 1);
    ck_assert_uint_eq(operator_count(operator_json("conn list pending>100000000"), "\"id\""), 0);
    operator_await(old_id.text, SOON_MS, "conn list age>1");
    client_echo(old, 10);
    int young = client_open(&s);
    struct id young_id = id_of_conn(young);
    const char *json = operator_json("conn list age>1");
    ck_assert_ptr_null(strstr(json, young_id.text));
    ck_assert_uint_eq(operator_count(json, "\"id\""), 2);
    ck_assert_ptr_null(strstr(operator_json("conn list idle>1s"), young_id.text));
    operator_await(young_id.text, SOON_MS, "conn list idle>1");
    ck_assert_double_gt(operator_number(row_of(operator_json("conn list"), young_id.text), "idle"), 1);
    uint64_t end = itest_deadline(SOON_MS);
    do { /* it is not silent for long, however old it is; but this machine may be */
        ITEST_ASSERT(mono_ns() < end, "silent after an echo: %s", operator_json("conn list"));
        client_echo(young, 10);
    } while (strstr(operator_json("conn list idle>1"), young_id.text) != NULL);
    ck_assert_uint_eq(operator_count(operator_json("conn list state=open"), "\"id\""), 3);
    ck_assert_uint_eq(operator_count(operator_json("conn list state=linger"), "\"id\""), 0);
    ck_assert_uint_eq(operator_count(operator_json("conn list ip=127.0.0.0/8"), "\"id\""), 3);
    ck_assert_uint_eq(operator_count(operator_json("conn list ip=127.0.0.1"), "\"id\""), 3);
    ck_assert_uint_eq(operator_count(operator_json("conn list ip=10.0.0.0/8"), "\"id\""), 0);
    for (unsigned w = 0; w < WORKERS; w++) {
        char begins[32];
        json = operator_json("conn list worker=%u", w);
        snprintf(begins, sizeof begins, "\"id\": \"%u.", w);
        ck_assert_uint_eq(operator_count(json, "\"id\""), operator_count(json, begins));
    }
    close(young);
    client_reset(slow);
    close(old);
    server_finish(&s);
}
END_TEST

/* Goal: peers of each family have their name, and what a unix socket does not have is null. */
START_TEST(peers_of_all_families)
{
    struct server s;
    static char path[96];
    static char listen[160];
    snprintf(path, sizeof path, "unix:/tmp/mario-itest-conns-%d.sock", (int) getpid());
    snprintf(listen, sizeof listen, "127.0.0.1:0,%s%s", path, client_has_ipv6() ? ",[::1]:0" : "");
    const char *const args[] = {operator_option(), NULL};
    server_launch(&s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
    for (unsigned i = 0; i < s.address_count; i++) {
        int fd = client_open_at(&s.addresses[i]);
        struct id id = id_of_conn(fd);
        char peer[64];
        size_t n = client_ask(fd, TEST_PEER, NULL, 0, peer, sizeof peer - 1);
        peer[n] = '\0';
        const char *json = operator_json("conn show %s", id.text);
        ck_assert_str_eq(operator_text(json, "peer"), peer);
        ck_assert_str_eq(operator_text(row_of(operator_json("conn list"), id.text), "peer"), peer);
        json = operator_json("conn show %s", id.text);
        ck_assert_int_eq((int) operator_number(json, "listener"), (int) i);
        bool is_unix = strcmp(peer, "unix") == 0;
        ck_assert_int_eq(operator_number(json, "rtt_ms") < 0, is_unix);
        ck_assert_int_eq(operator_number(json, "bytes_received") < 0, is_unix);
        ck_assert_uint_eq(operator_count(operator_json("conn list ip=0.0.0.0/0"), "\"id\""), peer[0] == '1');
        ck_assert_uint_eq(operator_count(operator_json("conn list ip=::1/128"), "\"id\""), peer[0] == '[');
        if (is_unix)
            ck_assert_uint_eq(operator_count(operator_json("conn list ip=::/0"), "\"id\""), 0);
        client_send_packet(fd, TEST_CLOSE_ERR, NULL, 0);
        client_expect_fin(fd);
        operator_await("\"connections\": []", SOON_MS, "conn list");
    }
    server_finish(&s);
}
END_TEST

/* Goal: `conn show` tells what is so. */
START_TEST(one_connection)
{
    struct server s;
    static const unsigned char part[] = {0xf7, 0x9a, 0xb6, 0x8e, 100, 0, 0x03, 0x61, 1, 2, 3};
    start(&s, NULL, NULL);
    int fd = client_open(&s);
    struct id id = id_of_conn(fd);
    order(fd, ORDER_JOIN, UINT64_C(12345678901234567890));
    order(fd, ORDER_JOIN, 5);
    order(fd, ORDER_BIND, UINT64_C(9876543210987654321));
    struct test_called bound; /* testapp says so when it is decided */
    ck_assert_uint_eq(client_recv_packet(fd, TEST_CALLED, &bound, sizeof bound), sizeof bound);
    client_echo(fd, 1000);
    operator_await("\"user\": \"9876543210987654321\"", SOON_MS, "conn list");
    client_send(fd, part, sizeof part);
    char show[64];
    snprintf(show, sizeof show, "conn show %s", id.text);
    operator_await("\"bytes\": 11, \"of\": 100", SOON_MS, show);
    const char *json = operator_json("%s", show);
    ck_assert_str_eq(operator_text(json, "id"), id.text);
    ck_assert_str_eq(operator_text(json, "state"), "open");
    ck_assert_str_eq(operator_text(json, "user"), "9876543210987654321");
    ck_assert_str_eq(operator_text(json, "last_packet"), "0x6103");
    ck_assert_str_eq(operator_text(json, "listen"), operator_text(operator_json("%s", show), "listen"));
    ck_assert_int_eq((int) operator_number(json, "group_count"), 2);
    ck_assert_ptr_nonnull(strstr(json, "\"12345678901234567890\""));
    ck_assert_ptr_nonnull(strstr(json, "\"5\""));
    ck_assert_double_ge(operator_number(json, "bytes_received"), 1008 + 11);
    ck_assert_double_ge(operator_number(json, "bytes_acknowledged"), 1008);
    ck_assert_double_gt(operator_number(json, "rtt_ms"), 0);
    ck_assert_double_gt(operator_number(json, "cwnd"), 0);
    ck_assert_double_eq(operator_number(json, "kernel_bytes"), 0);
    ck_assert_double_eq(operator_number(json, "unread"), 0);
    ck_assert_double_le(operator_number(json, "age"), 60.0 * ITEST_SLOW);
    close(fd);
    operator_await("\"connections\": []", SOON_MS, "conn list");
    operator_refused(1, "no such connection", show);
    server_finish(&s);
}
END_TEST

/* Goal: each wrong word is named, with what would be right; and nothing is done. */
START_TEST(wrong_words)
{
    static const struct {
        const char *command, *says;
    } wrong[] = {
        {"conn list limit=0", "limit=0"},
        {"conn list limit=10001", "1..10000"},
        {"conn list limit=", "limit="},
        {"conn list worker=2", "0..1"},
        {"conn list worker=-1", "worker=-1"},
        {"conn list state=asleep", "open"},
        {"conn list ip=300.1.1.1", "address"},
        {"conn list ip=10.0.0.1/8", "mask"},
        {"conn list age=5", "age=5"},
        {"conn list age>", "age>"},
        {"conn list idle>99999999999999999999", "idle>"},
        {"conn list pending>x", "pending>x"},
        {"conn list cursor=1", "cursor=1"},
        {"conn list cursor=2.0", "cursor=2.0"},
        {"conn list cursor=0.4294967296", "cursor="},
        {"conn list cursor=0.1x", "cursor="},
        {"conn list worker=1 cursor=0.5", "cursor=0.5"},
        {"conn list state=open state=open", "state=open"},
        {"conn list everything", "everything"},
        {"conn show", "id"},
        {"conn show 0.1", "WORKER.SLOT.GENERATION"},
        {"conn show 0.1.2.3", "WORKER.SLOT.GENERATION"},
        {"conn show 0.16777216.1", "WORKER.SLOT.GENERATION"},
        {"conn show 0.1.2 0.1.3", "0.1.3"},
        {"conn kick", "which"},
        {"conn kick --yes", "which"},
        {"conn kick 0.0.1 state=open", "not both"},
        {"conn kick all", "all"},
        {"conn top", "retrans"},
        {"conn top size", "size"},
        {"conn top age 0", "1..100"},
        {"conn top age 101", "1..100"},
        {"conn top age ten", "ten"},
    };
    struct server s;
    start(&s, NULL, NULL);
    int fd = client_open(&s);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        operator_refused(2, wrong[i].says, wrong[i].command);
    operator_refused(1, "no such connection", "conn show 1.5.1");
    operator_refused(1, "no such connection", "conn kick 1.5.1");
    operator_refused(1, "there are 2 workers", "conn show 2.0.1");
    operator_refused(1, "there are 2 workers", "conn kick 255.0.1");
    client_echo(fd, 10);
    close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), 0);
}
END_TEST

/* ---- Kicking ---- */

enum { CROWD = 120 };

/* Goal: counted first, then exactly those are ended, for this reason; others stay. */
START_TEST(kicks)
{
    struct server s;
    static int fds[CROWD];
    static struct test_who who[CROWD];
    unsigned of_one = 0;
    char kick[96];
    start(&s, NULL, NULL);
    for (int i = 0; i < CROWD; i++) {
        fds[i] = client_open(&s);
        who[i] = who_of(fds[i]);
        of_one += who[i].worker == 1;
    }
    const char *json = operator_json("conn kick worker=1");
    ck_assert_uint_eq((unsigned) operator_number(json, "would_be_kicked"), of_one);
    client_echo(fds[0], 10);
    struct id id = id_of_conn(fds[0]);
    snprintf(kick, sizeof kick, "conn kick %s why=\"too loud\"", id.text);
    ck_assert_int_eq((int) operator_number(operator_json("%s", kick), "kicked"), 1);
    client_expect_fin(fds[0]);
    operator_refused(1, "no such connection", kick);
    ck_assert_double_eq(operator_number(operator_json("conn kick age>100000 --yes"), "kicked"), 0);
    json = operator_json("conn kick worker=1 --yes");
    of_one -= who[0].worker == 1;
    ck_assert_uint_eq((unsigned) operator_number(json, "kicked"), of_one);
    for (int i = 1; i < CROWD; i++) {
        if (who[i].worker == 1)
            client_expect_fin(fds[i]);
        else
            client_echo(fds[i], 10);
    }
    for (int i = 1; i < CROWD; i++) {
        if (who[i].worker != 1)
            close(fds[i]);
    }
    server_wait_log(&s, "too loud", SOON_MS);
    server_wait_log(&s, "worker=1 --yes: ", SOON_MS);
    ck_assert_uint_eq(server_log_count(&s, "kicked"), 2); /* a line for what an operator did, not for each */
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), of_one + 1);
}
END_TEST

/* ---- The top ones ---- */

/* Goal: the right ones, the largest first. */
START_TEST(top_ones)
{
    enum { SOME = 24, BEST = 5 };
    struct server s;
    int fds[SOME];
    struct id ids[SOME];
    start(&s, NULL, NULL);
    for (int i = 0; i < SOME; i++) {
        fds[i] = client_open(&s);
        ids[i] = id_of_conn(fds[i]);
    }
    for (int i = 0; i < SOME; i++) {
        for (int n = 0; n < (i * 7) % SOME; n++)
            client_echo(fds[i], 4000);
    }
    const char *json = operator_json("conn top bytes %d", BEST);
    const char *at = json;
    ck_assert_uint_eq(operator_count(json, "\"id\""), BEST);
    for (int rank = 0; rank < BEST; rank++, at++) {
        int best = 0;
        while ((best * 7) % SOME != SOME - 1 - rank)
            best++;
        at = strstr(at, "\"id\"");
        ck_assert_ptr_nonnull(at);
        ck_assert_str_eq(operator_text(at, "id"), ids[best].text);
        ck_assert_double_ge(operator_number(at, "bytes"),
                            8000.0 * (SOME - 1 - rank) - 5000); /* some may still be on its way */
    }
    static const char *const others[] = {"pending", "age", "rtt", "retrans"};
    static const char *const values[] = {"pending", "age", "rtt_ms", "retrans"};
    for (int k = 0; k < 4; k++) {
        double last = 1e18;
        json = operator_json("conn top %s 100", others[k]);
        ck_assert_uint_eq(operator_count(json, "\"id\""), SOME);
        for (at = json; (at = strstr(at, "\"id\"")) != NULL; at++) {
            ck_assert_double_le(operator_number(at, values[k]), last);
            last = operator_number(at, values[k]);
        }
    }
    ck_assert_uint_eq(operator_count(operator_json("conn top age worker=1"), "\"id\": \"0."), 0);
    for (int i = 0; i < SOME; i++)
        close(fds[i]);
    server_finish(&s);
}
END_TEST

/* ---- Many ---- */

enum { MANY = 10000, ECHOES = 4000, HELD_US = 500 };

static struct {
    _Atomic bool stop;
    _Atomic unsigned lists;
    _Atomic unsigned bad;
} lister;

static void *list_on(void *arg)
{
    (void) arg;
    while (!atomic_load(&lister.stop)) {
        char command[96] = "json conn list limit=1000";
        unsigned n = 0;
        int code = 0;
        do {
            const char *json = operator_ask(command, &code);
            const char *cursor = strstr(json, "\"cursor\": \"");
            n += operator_count(json, "\"id\"");
            snprintf(command, sizeof command, "json conn list limit=1000 cursor=%.*s",
                     cursor == NULL ? 0 : (int) strcspn(cursor + 11, "\""),
                     cursor == NULL ? "" : cursor + 11);
            if (cursor == NULL)
                break;
        } while (code == 0 && !atomic_load(&lister.stop));
        if (!atomic_load(&lister.stop) && (code != 0 || n != MANY + 1))
            atomic_fetch_add(&lister.bad, 1);
        atomic_fetch_add(&lister.lists, 1);
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* The 99th percentile of ECHOES echoes, us. */
static unsigned p99(int fd)
{
    static uint64_t took[ECHOES];
    for (int i = 0; i < ECHOES; i++) {
        uint64_t began = mono_ns();
        client_echo(fd, 64);
        took[i] = mono_ns() - began;
    }
    qsort(took, ECHOES, sizeof took[0], by_size);
    return (unsigned) (took[ECHOES * 99 / 100] / 1000);
}

/* Goal: thousands are listed over and over, whole each time, and who is served meanwhile does not notice much. */
START_TEST(many_are_listed_beside_an_echo)
{
    static int fds[MANY];
    struct server s;
    pthread_t t;
    hiccups_start();
    start(&s, "server.connnum=6000", NULL);
    for (int i = 0; i < MANY; i++)
        fds[i] = client_open(&s);
    int fd = client_open(&s);
    unsigned quiet = p99(fd);
    ck_assert_int_eq(pthread_create(&t, NULL, list_on, NULL), 0);
    unsigned listed_at = p99(fd);
    while (atomic_load(&lister.lists) < 2)
        client_echo(fd, 64);
    atomic_store(&lister.stop, true);
    pthread_join(t, NULL);
    ck_assert_uint_eq(atomic_load(&lister.bad), 0);
    operator_json("conn top rtt");         /* the dearest: a system call for each of them */
    for (unsigned w = 0; w < WORKERS; w++) /* 60 us, where page faults and sanitizers are none */
        ck_assert_double_lt(operator_number(worker_row(w), "held_us"), HELD_US * ITEST_SLOW);
    ITEST_ASSERT(listed_at < hiccups_allow((quiet + 2000) * ITEST_SLOW), "p99 %u us, without a list %u us",
                 listed_at, quiet);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    close(fd);
    server_finish(&s);
}
END_TEST

Suite *admin_conns_suite(void)
{
    Suite *s = suite_create("admin_conns");
    TCase *c = itest_case(s, "lists", 60);
    tcase_add_test(c, each_exactly_once);
    tcase_add_test(c, filters);
    tcase_add_test(c, peers_of_all_families);
    tcase_add_test(c, one_connection);
    tcase_add_test(c, wrong_words);
    c = itest_case(s, "kicks and tops", 60);
    tcase_add_test(c, kicks);
    tcase_add_test(c, top_ones);
    c = itest_case(s, "many", 60);
    tcase_add_test(c, many_are_listed_beside_an_echo);
    return s;
}
