/*
 * test_tls_drain.c: crowds over TLS that leave: by a drain, by a stop, by a stop that drains first. Whatever each of
 * them is at, it hears what it is owed, that it is to go, close_notify, and then the FIN; and who was in the middle of
 * his handshake hears the FIN at once.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "operator.h"
#include "sealed.h"

enum {
    GUESTS = 216,
    SLEEPERS = 15,
    READERS = 6,
    SHAKERS = 12,
    NAP_MS = 150,
    FAREWELL = 500,
    SOON_MS = 10000
};
enum { MUCH = 4 << 20 }; /* more than the kernel takes */

/* What a guest is at when it is told to leave. */
enum doing {
    IDLE,        /* it has had its answer */
    HALF_PACKET, /* half of one has come, in whole records */
    HALF_RECORD, /* the record is not whole */
    OWED,        /* its question is on its way */
    OWED_MUCH,   /* an answer is, of which it reads nothing yet */
    SLEEPS,      /* its function runs on another thread */
    DOINGS
};

enum how { BY_DRAIN, BY_TERM, BY_DRAIN_ON_TERM, HOWS };

static int guests[GUESTS], shakers[SHAKERS];

static enum doing doing_of(unsigned i)
{
    enum doing d = (enum doing)(i % DOINGS);
    if (d == OWED_MUCH && i >= DOINGS * READERS)
        return IDLE;
    return d == SLEEPS && i >= DOINGS * SLEEPERS ? IDLE : d;
}

static void start(struct server *s, enum how how)
{
    sealed_start(s, "",
                 (const char *[]){"server.workernum=3", "test.offload=on", "offload.threads=16",
                                  "drain.delay=0", "drain.rate=2000", "output.high=8m", "output.max=16m",
                                  "tls.handshakes=1", operator_option(),
                                  how == BY_DRAIN_ON_TERM ? "drain.on_term=on" : "drain.on_term=off", NULL});
    s->log_lines_max = 1000;
}

/* One who is at it; nothing that is sent here is answered before it has been told. */
static void enter(int fd, enum doing doing)
{
    unsigned char packet[64];
    uint32_t much = MUCH, nap = NAP_MS;
    switch (doing) {
    case HALF_PACKET:
        client_send(fd, packet, client_packet(packet, TEST_ECHO, "of which seven bytes are missing", 32) - 7);
        break;
    case HALF_RECORD:
        ck_assert_int_eq(send(fd, "\x17\3\3\0\x40record", 11, MSG_NOSIGNAL), 11);
        break;
    case OWED:
        client_send_packet(fd, TEST_ECHO, "asked", 5);
        break;
    case OWED_MUCH:
        client_send_packet(fd, TEST_REPLY, &much, sizeof much);
        break;
    case SLEEPS:
        client_send_packet(fd, TEST_SLEEP + TEST_OFFLOADED, &nap, sizeof nap);
        break;
    case IDLE:
    case DOINGS:
        break;
    }
}

static void come_all(const struct server *s)
{
    unsigned char hello[4096];
    size_t n = sealed_hello(hello, sizeof hello);
    for (unsigned i = 0; i < GUESTS; i++) {
        guests[i] = sealed_open(s);
        client_echo(guests[i], 30);
    }
    for (unsigned i = 0; i < SHAKERS; i++) {
        shakers[i] = client_open_at(&s->addresses[1]);
        if (i % 3 > 0) /* the others say nothing at all */
            client_send(shakers[i], hello, i % 3 == 1 ? n / 2 : n);
    }
    server_wait_counter(s, "tls_waited", 1, SOON_MS);
    for (unsigned i = 0; i < GUESTS; i++)
        enter(guests[i], doing_of(i));
}

/* What all are to hear when the server stops. */
static void leave_farewell(const struct server *s)
{
    struct test_done done;
    struct test_order o = {.kind = ORDER_STOP_MESSAGE, .len = FAREWELL, .sender = 9};
    int fd = sealed_open(s);
    ck_assert_uint_eq(client_ask(fd, TEST_PUSH, &o, sizeof o, &done, sizeof done), sizeof done);
    ck_assert_uint_eq(done.accepted, 1);
    net_close(fd);
}

/* What one has heard until the end. */
struct heard {
    unsigned answers; /* of OWED, SLEEPS */
    unsigned much;    /* bytes of OWED_MUCH */
    unsigned farewells, told;
};

static struct heard hear(int fd)
{
    struct heard h = {0};
    unsigned char head[WIRE_HEAD_LEN], data[WIRE_PACKET_MAX];
    uint64_t deadline = itest_deadline(SOON_MS);
    ptrdiff_t n;
    while ((n = net_recv_wait(fd, head, sizeof head, deadline)) == WIRE_HEAD_LEN) {
        struct wire_head w = wire_get_head(head);
        ITEST_ASSERT(w.stx == ITEST_STX && w.pkglen >= WIRE_HEAD_LEN, "no packet: %08x", w.stx);
        client_recv(fd, data, w.pkglen - WIRE_HEAD_LEN);
        ITEST_ASSERT(h.told == 0, "something came behind what was to be the last: %04x", w.akg_id);
        h.answers += w.akg_id == TEST_ECHO || w.akg_id == TEST_SLEEP + TEST_OFFLOADED;
        h.much += w.akg_id == TEST_REPLY ? w.pkglen : 0;
        h.farewells += w.akg_id == TEST_PUSHED;
        h.told += w.akg_id == TEST_LEAVING;
    }
    ITEST_ASSERT(n == 0, "the end is none: %td bytes, %s", n, strerror(errno));
    sealed_expect_end(fd);
    return h;
}

static void hear_all(enum how how)
{
    for (unsigned i = 0; i < GUESTS; i++) {
        enum doing doing = doing_of(i);
        struct heard h = hear(guests[i]);
        ITEST_ASSERT(h.answers == (doing == OWED || doing == SLEEPS) &&
                         h.much == (doing == OWED_MUCH ? MUCH : 0),
                     "guest %u, at %d: %u answers, %u bytes", i, doing, h.answers, h.much);
        ITEST_ASSERT(h.told == (how != BY_TERM) && h.farewells == (how == BY_TERM),
                     "guest %u, at %d: told %u times, %u farewells", i, doing, h.told, h.farewells);
    }
    for (unsigned i = 0; i < SHAKERS; i++) {
        ck_assert_int_eq(client_ending(shakers[i], NULL, SOON_MS), END_FIN);
        close(shakers[i]);
    }
}

/* Goal: hundreds that are drained, or stopped, with answers on their way, packets and records half there: each gets
 * its answers, the last word, close_notify, the FIN, in this order; handshakes end at once, those too that wait for a
 * place. At no end was a stream cut. */
START_TEST(a_crowd_leaves)
{
    enum how how = (enum how) _i;
    struct server s;
    start(&s, how);
    if (how == BY_TERM)
        leave_farewell(&s);
    come_all(&s);
    if (how == BY_DRAIN)
        operator_json("drain start");
    else
        server_signal(&s, SIGTERM);
    hear_all(how);
    if (how == BY_DRAIN) {
        operator_await("\"state\": \"done\"", SOON_MS, "drain status");
        server_finish(&s);
    } else {
        ck_assert_int_eq(server_wait_exit(&s, SOON_MS), 0);
        server_check(&s);
    }
    uint64_t left = server_counter(&s, how == BY_TERM ? "closed_stop" : "closed_drain");
    ck_assert_uint_eq(left + server_counter(&s, "closed_tls_crowded"), GUESTS + SHAKERS);
    ck_assert_uint_eq(server_counter(&s, "ungreeted"), SHAKERS);
    ck_assert_uint_eq(server_counter(&s, "tls_handshakes_13"), GUESTS + (how == BY_TERM));
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), 0);
    ck_assert_uint_eq(server_counter(&s, "tls_shaking"), 0);
    ck_assert_uint_eq(server_counter(&s, "linger_reset"), 0);
}
END_TEST

Suite *tls_drain_suite(void)
{
    Suite *s = suite_create("tls_drain");
    for (int slim = 0; slim < 2; slim++)
        tcase_add_loop_test(sealed_case(s, "crowds", 20, slim), a_crowd_leaves, 0, HOWS);
    return s;
}
