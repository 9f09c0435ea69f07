/*
 * test_push_frames.c: one message, and receivers of all framings: each gets it in his; the ledger and receipts count it
 * once for each. An application's framing that refuses, says nothing, gets stuck, ends its thread.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hearers.h"
#include "mario/mario_push.h"
#include "nodes.h"
#include "stuck.h"

#define GROUP UINT64_C(0x9)
#define USER  UINT64_C(0x5)

enum { EACH = 4, LEN = 40 };
enum { WS_NORMAL = 1000, WS_AWAY = 1001 }; /* what a browser is told at the end */

static void start(struct server *s, struct ears *e)
{
    static char warn[64], replace[64];
    snprintf(warn, sizeof warn, "watch.warn_ms=%u", WARN_MS);
    snprintf(replace, sizeof replace, "watch.replace_ms=%u", REPLACE_MS);
    hearers_start(s, (const char *const[]){warn, replace, "server.workernum=2", "test.offload=on",
                                           "push.queue=100000", "push.bytes=64m", NULL});
    ears_open(e, s, 2); /* one of each worker */
    ck_assert_uint_ne(id_worker_of(e->each[0].id), id_worker_of(e->each[1].id));
}

static void finish(struct server *s, struct ears *e, struct hearers *h)
{
    hearers_close(h);
    ears_close(e);
    server_finish(s);
    ck_assert_uint_eq(server_counter(s, "wrong_state"), 0);
}

/* An order that sends a text to the group, but not to ears. */
static struct test_order text_to_group(char how, uint32_t number)
{
    return (struct test_order){.kind = ORDER_SEND_GROUP,
                               .flags = ORDER_TEXT,
                               .how = (uint8_t) how,
                               .to = GROUP,
                               .len = LEN,
                               .number = number};
}

static void expect_text(struct hearers *h, char how, uint32_t number)
{
    char text[LEN + 1];
    hearer_text(text, how, 0, number, LEN);
    hearers_expect(h, text, LEN);
}

/* ---- Each in his framing ---- */

/* Goal: whatever way a message goes, from a function, an offloaded one, a thread, each receiver gets it in the
 * framing of his listener, all of them in the order in which they were sent. */
START_TEST(each_in_his_framing)
{
    enum { TIMES = 50 };
    struct server s;
    struct ears e;
    struct hearers h;
    start(&s, &e);
    hearers_open(&h, &e, HEAR_HEAD, HEARINGS, EACH, GROUP, USER);
    struct test_order way[] = {{.kind = ORDER_THREAD, .body = 3},
                               text_to_group('t', 0),
                               text_to_group('t', TIMES),
                               text_to_group('t', 2 * TIMES)};
    if (_i == 2) /* those by uid go by way of his home */
        way[1].kind = way[2].kind = way[3].kind = ORDER_SEND_USER;
    for (int i = 1; i < 4; i++) {
        way[i].to = way[i].kind == ORDER_SEND_USER ? USER : GROUP;
        way[i].times = TIMES - 1;
    }
    if (_i == 0)
        ear_do(&e, 0, TEST_PUSH, way, 4, NULL);
    else
        ear_do(&e, 0, _i == 1 ? TEST_PUSH + TEST_OFFLOADED : TEST_PUSH, way + 1, 3, NULL);
    for (uint32_t i = 0; i < 3 * TIMES; i++)
        expect_text(&h, 't', i);
    hearers_wait(&h, 0);
    ear_wait_counter(&e, 0, "push_sent", 3 * TIMES * EACH * HEARINGS);
    finish(&s, &e, &h);
    ck_assert_uint_eq(server_counter(&s, "push_sent"), 3 * TIMES * EACH * HEARINGS);
}
END_TEST

/* Goal: an application's framing writes a message once for all receivers of a worker, not for each. */
START_TEST(written_once)
{
    enum { MEMBERS = 40, TIMES = 30 };
    struct server s;
    struct ears e;
    struct hearers h;
    start(&s, &e);
    hearers_open(&h, &e, HEAR_WRAPPED, HEARINGS, MEMBERS, GROUP, USER);
    struct test_order o = text_to_group('t', 0);
    o.times = TIMES - 1;
    ear_do(&e, 0, TEST_PUSH, &o, 1, NULL);
    for (uint32_t i = 0; i < TIMES; i++)
        expect_text(&h, 't', i);
    hearers_wait(&h, 0);
    uint64_t wraps = ear_counter(&e, 0, "wraps");
    ck_assert_uint_ge(wraps, TIMES);
    ck_assert_uint_le(wraps, 2 * TIMES * 4); /* a walk may be interrupted, and go on in another round */
    finish(&s, &e, &h);
}
END_TEST

/* Goal: bytes that are no packet go out as they are by every framing, to a browser as one message; the application
 * is not asked. */
START_TEST(bytes_as_they_are)
{
    struct server s;
    struct ears e;
    struct hearers h;
    start(&s, &e);
    hearers_open(&h, &e, HEAR_HEAD, HEARINGS, 2, GROUP, USER);
    struct test_order o = {.kind = ORDER_SEND_GROUP, .to = GROUP, .len = sizeof(struct test_pushed)};
    ear_do(&e, 0, TEST_PUSH, &o, 1, NULL);
    for (uint32_t i = 0; i < h.count; i++) {
        struct wire {
            unsigned char head[WIRE_HEAD_LEN];
            struct test_pushed p;
        } __attribute__((packed)) got, want;
        client_packet((unsigned char *) &want, TEST_PUSHED, &want.p, sizeof want.p);
        unsigned char frame[2];
        if (h.each[i].by == HEAR_WS)
            client_recv(h.each[i].fd, frame, 2);
        ck_assert(h.each[i].by != HEAR_WS || (frame[0] == 0x82 && frame[1] == sizeof got));
        client_recv(h.each[i].fd, &got, sizeof got);
        ck_assert_int_eq(memcmp(got.head, want.head, sizeof want.head), 0);
    }
    hearers_wait(&h, 0);
    ck_assert_uint_eq(ear_counter(&e, 0, "wraps"), 0);
    finish(&s, &e, &h);
}
END_TEST

/* ---- What cannot be written ---- */

static uint64_t receipts_of(struct ears *e, uint64_t targets, uint64_t sent)
{
    ear_wait_counter(e, 0, "receipts", 1);
    ck_assert_uint_eq(ear_counter(e, 0, "receipt_targets"), targets);
    ck_assert_uint_eq(ear_counter(e, 0, "receipt_sent"), sent);
    return ear_counter(e, 0, "receipt_dropped");
}

/* Goal: what a framing cannot carry is dropped for those who have it, counted and in the receipt; they and all others
 * stay, and get what comes behind. */
START_TEST(what_cannot_be_carried)
{
    static const struct {
        char how;
        enum hearing by;
    } bad[] = {{'\n', HEAR_LINE}, {WRAP_REFUSES, HEAR_WRAPPED}, {WRAP_WRITES_NOTHING, HEAR_WRAPPED}};
    struct server s;
    struct ears e;
    struct hearers h;
    char text[LEN + 1];
    start(&s, &e);
    hearers_open(&h, &e, HEAR_HEAD, HEARINGS, EACH, GROUP, USER);
    struct test_order orders[2] = {text_to_group(bad[_i].how, 0), text_to_group('t', 1)};
    orders[0].flags |= ORDER_RECEIPT;
    orders[0].key = 77;
    ear_do(&e, 0, TEST_PUSH, orders, 2, NULL);
    hearer_text(text, bad[_i].how, 0, 0, LEN);
    for (enum hearing by = 0; by < HEARINGS; by++) {
        if (by != bad[_i].by)
            hearers_expect_by(&h, by, text, LEN);
    }
    expect_text(&h, 't', 1);
    hearers_wait(&h, 0);
    ck_assert_uint_eq(receipts_of(&e, EACH * HEARINGS, EACH * (HEARINGS - 1)), EACH);
    ck_assert_uint_eq(ear_counter(&e, 0, "push_unframed"), EACH);
    server_wait_log(&s, "cannot carry it", EAR_MS);
    finish(&s, &e, &h);
}
END_TEST

/* Goal: in its wrap an application may call what it likes for the CONN that it was given: nothing of it comes about,
 * nobody closes, and what it wrote is sent, by reference too, whose cleanups run once. */
START_TEST(nobody_can_do_nothing)
{
    struct server s;
    struct ears e;
    struct hearers h;
    char text[LEN + 1], whole[LEN + 32];
    start(&s, &e);
    hearers_open(&h, &e, HEAR_WRAPPED, HEARINGS, EACH, GROUP, USER);
    const struct test_order orders[] = {text_to_group(WRAP_CLOSES, 0), text_to_group(WRAP_CALLS, 1),
                                        text_to_group(WRAP_REFERS, 2), text_to_group('t', 3)};
    ear_do(&e, 0, TEST_PUSH, orders, 4, NULL);
    expect_text(&h, WRAP_CLOSES, 0);
    expect_text(&h, WRAP_CALLS, 1);
    hearer_text(text, WRAP_REFERS, 0, 2, LEN);
    sprintf(whole, "by reference [%.*s]\n", LEN, text);
    for (uint32_t i = 0; i < h.count; i++) {
        memcpy(h.each[i].expected + h.each[i].expects, whole, strlen(whole));
        h.each[i].expects += strlen(whole);
    }
    expect_text(&h, 't', 3);
    hearers_wait(&h, 0);
    uint64_t cleanups = ear_counter(&e, 0, "unwrapped");
    ck_assert_msg(cleanups >= 1 && cleanups <= 4, "%u cleanups", (unsigned) cleanups);
    finish(&s, &e, &h);
    ck_assert_uint_eq(server_counter(&s, "writes_outside"), 0);
}
END_TEST

/* ---- Last words ---- */

/* Goal: the last message of a kick, and that of a stop, come in each one's framing, and then the end. */
START_TEST(last_words)
{
    struct server s;
    struct ears e;
    struct hearers h;
    start(&s, &e);
    hearers_open(&h, &e, HEAR_HEAD, HEARINGS, EACH, GROUP, USER);
    struct test_order o = {.kind = _i == 0 ? ORDER_KICK_USER : ORDER_STOP_MESSAGE,
                           .flags = ORDER_TEXT,
                           .how = 't',
                           .to = USER,
                           .len = LEN};
    ear_do(&e, 0, TEST_PUSH, &o, 1, NULL);
    expect_text(&h, 't', 0);
    hearers_expect_goodbye(&h, _i == 0 ? WS_NORMAL : WS_AWAY);
    if (_i == 1) {
        ears_close(&e);
        server_signal(&s, SIGTERM);
        hearers_wait_ends(&h);
        ck_assert_int_eq(server_wait_exit(&s, 20000), 0);
        server_check(&s);
        ck_assert_uint_eq(server_counter(&s, "closed_stop"), h.count);
        hearers_close(&h);
        return;
    }
    hearers_wait_ends(&h);
    uint32_t count = h.count;
    finish(&s, &e, &h);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), count);
}
END_TEST

/* ---- Threads that are lost in it ---- */

/* Goal: a wrap that does not return, or ends its thread, costs the connection for which it was asked, as a function
 * does, and nothing else: all others get the message, those of other framings too, and the order of what comes
 * behind is kept; the message is settled. By group, and by user; as the last word of a kick. */
START_TEST(lost_in_it)
{
    static const struct {
        char how;
        uint8_t kind;
    } lost[] = {{WRAP_STICKS, ORDER_SEND_GROUP},
                {WRAP_STICKS, ORDER_SEND_USER},
                {WRAP_ENDS_THREAD, ORDER_SEND_GROUP},
                {WRAP_ENDS_THREAD, ORDER_SEND_USER},
                {WRAP_STICKS, ORDER_KICK_USER}};
    bool sticks = lost[_i].how == WRAP_STICKS, kicks = lost[_i].kind == ORDER_KICK_USER;
    struct server s;
    struct ears e;
    struct hearers h;
    start(&s, &e);
    hearers_open(&h, &e, HEAR_DELIM, HEARINGS, EACH, GROUP, USER);
    struct test_order orders[2] = {text_to_group(lost[_i].how, 0), text_to_group('t', 1)};
    orders[0].kind = orders[1].kind = lost[_i].kind;
    orders[0].to = orders[1].to = lost[_i].kind == ORDER_SEND_GROUP ? GROUP : USER;
    orders[0].flags |= ORDER_RECEIPT;
    orders[0].key = 77;
    ear_tell(&e, 0, orders, kicks ? 1 : 2);
    expect_text(&h, lost[_i].how, 0);
    if (kicks)
        hearers_expect_goodbye(&h, WS_NORMAL);
    else
        expect_text(&h, 't', 1);
    if (!kicks)
        ck_assert_uint_eq(hearers_wait(&h, 1), 1);
    ear_wait_counter(&e, 0, sticks ? "alarm_replaced" : "alarm_died", 1);
    ear_wait_counter(&e, 0, "receipts", 1); /* though the thread may still be there */
    if (sticks) {
        ear_ask(&e, 1, TEST_UNSTICK, NULL, 0);
        ear_wait_counter(&e, 0, "watch_buried", 1);
    }
    ck_assert_uint_eq(receipts_of(&e, h.count - 1, h.count - 1), 0);
    uint32_t count = h.count;
    finish(&s, &e, &h);
    ck_assert_uint_eq(server_counter(&s, sticks ? "closed_function_stuck" : "closed_function_died"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_kicked"), kicks ? count - 1 : 0);
    ck_assert_uint_eq(server_counter(&s, "push_unframed"), 0);
}
END_TEST

/* Goal: the farewell of a stop that is stuck at one keeps nobody else from his. */
START_TEST(lost_in_the_farewell)
{
    struct server s;
    struct ears e;
    struct hearers h;
    start(&s, &e);
    hearers_open(&h, &e, HEAR_RAW, HEARINGS, EACH, GROUP, USER);
    struct test_order o = {
        .kind = ORDER_STOP_MESSAGE, .flags = ORDER_TEXT, .how = WRAP_ENDS_THREAD, .len = LEN};
    ear_do(&e, 0, TEST_PUSH, &o, 1, NULL);
    expect_text(&h, WRAP_ENDS_THREAD, 0);
    hearers_expect_goodbye(&h, WS_AWAY);
    ears_close(&e);
    server_signal(&s, SIGTERM);
    ck_assert_int_eq(server_wait_exit(&s, 20000), 0);
    uint32_t got = 0, count = h.count;
    hearers_wait(&h, count);
    for (uint32_t i = 0; i < count; i++)
        got += h.each[i].have == h.each[i].expects;
    ck_assert_uint_eq(got, count - 1);
    hearers_close(&h);
    server_check(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 1);
    ck_assert_uint_eq(server_counter(&s, "closed_stop"), count - 1);
}
END_TEST

/* ---- From other nodes ---- */

static void wait_until_known(struct ears *e, enum test_order_kind asks, uint64_t key)
{
    for (uint64_t end = itest_deadline(EAR_MS); ear_ask_nodes(e, 0, asks, key) < 1;)
        ITEST_ASSERT(mono_ns() < end, "no other node has it");
}

/* Goal: what is sent on one node reaches who is on another one in his framing, a user's last word too. */
START_TEST(from_another_node)
{
    NODES_NEED((enum engine_kind) _i);
    const struct test_order come[] = {{.kind = ORDER_CONNECTED, .body = 2},
                                      {.kind = ORDER_JOIN, .to = GROUP},
                                      {.kind = ORDER_BIND, .how = MARIO_BIND_MANY, .to = USER}};
    struct test_order text = text_to_group('t', 5);
    unsigned char called[WIRE_HEAD_LEN + sizeof(struct test_called)];
    char want[LEN + 2], got[LEN + 2];
    struct nodes n;
    nodes_start(&n, (enum engine_kind) _i, 2, 2,
                &(struct nodes_options){.args = {"test.listen2=127.0.0.1:0 proto=line id=0x700e"}});
    ear_do(&n.each[1].e, 0, TEST_PUSH, come, ORDERS_IN(come), NULL);
    int fd = client_open_at(&n.each[1].s.addresses[1]);
    client_recv(fd, called, sizeof called);
    ears_expect_members(&n.each[1].e, 0, GROUP, 1);
    wait_until_known(&n.each[0].e, ORDER_ASK_GROUP, GROUP);
    wait_until_known(&n.each[0].e, ORDER_ASK_USER, USER);
    for (int kicks = 0; kicks < 2; kicks++, text.number++) {
        text.kind = kicks ? ORDER_KICK_USER : ORDER_SEND_GROUP;
        text.to = kicks ? USER : GROUP;
        ear_do(&n.each[0].e, 0, TEST_PUSH, &text, 1, NULL);
        hearer_text(want, 't', 0, text.number, LEN);
        want[LEN] = '\n';
        client_recv(fd, got, LEN + 1);
        ck_assert_int_eq(memcmp(want, got, LEN + 1), 0);
    }
    client_expect_fin(fd);
    nodes_stop(&n);
}
END_TEST

Suite *push_frames_suite(void)
{
    Suite *s = suite_create("push_frames");
    TCase *t = itest_case(s, "push_frames", 60);
    tcase_add_loop_test(t, each_in_his_framing, 0, 3);
    tcase_add_test(t, written_once);
    tcase_add_test(t, bytes_as_they_are);
    tcase_add_loop_test(t, what_cannot_be_carried, 0, 3);
    tcase_add_test(t, nobody_can_do_nothing);
    tcase_add_loop_test(t, last_words, 0, 2);
    tcase_add_loop_test(t, lost_in_it, 0, 5);
    tcase_add_test(t, lost_in_the_farewell);
    tcase_add_loop_test(t, from_another_node, 0, 2);
    return s;
}
