/*
 * test_guests.c: framings that are user code or have a state, on a worker's connection: however the bytes come the
 * functions see the same packets, what the framing keeps and writes is the same, and each answer that makes no sense is
 * its own fault and ends the connection.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>

#include "mario/exec/registry.h"
#include "mario/worker/dispatch.h"
#include "pool_lab.h"

enum { ID = 0x7000, MAX = 200, SEEN_MAX = 70000, LISTENER = 3 };

static FUNC_PTR table[AKG_IDS];
static struct mario_framing toy;
static struct {
    char text[SEEN_MAX]; /* what the function saw, each packet behind a '|' */
    size_t len;
    uint64_t looked; /* bytes that the framing looked at */
    uint32_t asked;
} seen;

static sint32 note(CONN *c)
{
    UNIT_ASSERT(seen.len + c->in_buf_len + 1 < SEEN_MAX && strlen(c->in_buf) == c->in_buf_len);
    UNIT_ASSERT(mario_frame_conn() == NULL);
    seen.text[seen.len++] = '|';
    memcpy(seen.text + seen.len, c->in_buf, c->in_buf_len);
    seen.len += c->in_buf_len;
    return 0;
}

/* The state of the toy: how many pings there were, and how much of a packet was looked at. */
struct toy_state {
    uint32_t pings, looked;
};

/* '?' is a ping, answered with the number it has and no packet. "(...)" is one, what is in it; a '+' there asks for
 * it to be shouted, which the framing does to its bytes. */
static enum mario_frame_answer next_toy(const struct mario_framing *framing, void *state, ubyte *data,
                                        uint32 n, uint32 before, struct mario_frame *f)
{
    struct toy_state *s = state;
    UNIT_ASSERT(framing == &toy && n >= 1 && before <= n && f->need == 0);
    UNIT_ASSERT(before == s->looked); /* the state and what is carried belong together */
    seen.looked += n - before;
    seen.asked++;
    s->looked = 0;
    if (data[0] == '?') {
        char digit = (char) ('0' + s->pings++ % 10);
        CONN *c = mario_frame_conn();
        f->need = 1;
        return bufferevent_write(c->bufev, &digit, 1) == 0 ? MARIO_FRAME_SKIP : MARIO_FRAME_BAD;
    }
    if (data[0] != '(') {
        f->fault = 0x123;
        return MARIO_FRAME_BAD;
    }
    ubyte *end = memchr(data + before, ')', n - before);
    uint32 upto = end != NULL ? (uint32) (end - data) : n;
    for (uint32 i = before; i < upto; i++)
        data[i] = data[i] >= 'a' && data[i] <= 'z' ? (ubyte) (data[i] - 32) : data[i];
    if (end == NULL) {
        s->looked = n;
        return MARIO_FRAME_MORE;
    }
    f->at = 1;
    f->len = upto - 1;
    f->need = upto + 1;
    f->id = ID;
    return MARIO_FRAME_OK;
}

static struct conn *begin(const struct mario_framing *framing)
{
    toy = *framing;
    table[ID] = note;
    pool.service.funcs = table;
    pool.service.framing[LISTENER] = &toy;
    pool.service.is_guest[LISTENER] = true;
    if (pool.executor->rx == NULL)
        ck_assert_ptr_nonnull(pool.executor->rx = malloc(RX_BYTES));
    memset(&seen, 0, sizeof seen);
    return pool_open_at(LISTENER);
}

static struct conn *begin_toy(uint32 max)
{
    return begin(&(struct mario_framing){
        .name = "toy", .next = next_toy, .state_size = sizeof(struct toy_state), .max = max});
}

static void feed(struct conn *c, const void *data, size_t n)
{
    UNIT_ASSERT(n == 0 || send(pool.peers[c->pub.ind], data, n, 0) == (ssize_t) n);
    dispatch_begin_pass(pool.executor);
    if (n > 0)
        UNIT_ASSERT(dispatch_receive(pool.executor, c));
}

static void end(struct conn *c)
{
    if (c->state == CONN_OPEN)
        conn_end(c, REASON_stop);
    conn_pass(&pool.shard);
}

static void check_packets(const char *packets)
{
    UNIT_ASSERT(seen.len == strlen(packets) && memcmp(seen.text, packets, seen.len) == 0);
}

static void check_sent(const struct conn *c, const char *bytes)
{
    char got[64];
    ssize_t n = recv(pool.peers[c->pub.ind], got, sizeof got, MSG_DONTWAIT);
    UNIT_ASSERT((n < 0 ? 0 : (size_t) n) == strlen(bytes) && memcmp(got, bytes, strlen(bytes)) == 0);
}

static const char mixed[] = "?(one)?"
                            "?()(three is longer)?(4)";
static const char mixed_packets[] = "|ONE||THREE IS LONGER|4", mixed_answers[] = "0123";

START_TEST(however_they_come)
{
    size_t n = sizeof mixed - 1;
    for (size_t a = 0; a <= n; a++) {
        for (size_t b = a; b <= n; b++) {
            struct conn *c = begin_toy(MAX);
            feed(c, mixed, a);
            feed(c, mixed + a, b - a);
            feed(c, mixed + b, n - b);
            check_packets(mixed_packets);
            check_sent(c, mixed_answers);
            UNIT_ASSERT(c->state == CONN_OPEN && c->carry_len == 0 && pool.executor->lent == NULL);
            UNIT_ASSERT(seen.looked <=
                        (uint64_t) n * n); /* of those that came together it sees all that follow */
            end(c);
        }
    }
}
END_TEST

/* Byte by byte, and what came is looked at once; the state of who was here before is nobody's. */
START_TEST(byte_by_byte)
{
    size_t n = sizeof mixed - 1;
    for (int round = 0; round < 2; round++) {
        struct conn *c = begin_toy(MAX);
        for (size_t i = 0; i < n; i++)
            feed(c, mixed + i, 1);
        check_packets(mixed_packets);
        check_sent(c, mixed_answers);
        ck_assert_uint_eq(seen.looked, n);
        ck_assert_uint_eq(seen.asked, n);
        end(c);
    }
}
END_TEST

/* What is carried stays where it is while it grows, and where it was looked at: nothing is put together elsewhere. */
START_TEST(a_trickle_stays_where_it_is)
{
    enum { LEN = 6000 };
    static char packet[LEN + 3];
    uint64_t moved = 0;
    memset(packet, 'x', sizeof packet);
    packet[0] = '(';
    packet[LEN + 1] = ')';
    struct conn *c = begin_toy(MARIO_FRAME_MAX);
    feed(c, packet, 64);
    memset(pool.executor->rx, 0x5a, RX_FRONT);
    for (size_t i = 64; i < LEN + 1; i++) {
        const unsigned char *was = c->carry;
        feed(c, packet + i, 1);
        UNIT_ASSERT(pool.executor->rx[RX_FRONT - 1] == 0x5a && c->carry_len == i + 1);
        moved += c->carry != was;
    }
    feed(c, packet + LEN + 1, 1);
    ck_assert_uint_eq(seen.len, LEN + 1);
    ck_assert_uint_eq(seen.looked, LEN + 2);
    ck_assert_uint_le(moved, 8);
    end(c);
}
END_TEST

/* A trickle in which the size was said: it is asked about once more, when all is there. */
static enum mario_frame_answer next_sized(const struct mario_framing *framing, void *state, ubyte *data,
                                          uint32 n, uint32 before, struct mario_frame *f)
{
    (void) framing;
    (void) before;
    UNIT_ASSERT(state == NULL);
    seen.asked++;
    f->need = data[0];
    f->at = 1;
    f->len = f->need - 1;
    f->id = ID;
    return n < f->need ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

START_TEST(who_says_the_size_is_left_alone)
{
    char packet[101];
    memset(packet, 'y', sizeof packet);
    packet[0] = 100;
    packet[100] = 3;
    struct conn *c = begin(&(struct mario_framing){.name = "sized", .next = next_sized, .max = MAX});
    for (size_t i = 0; i < 99; i++)
        feed(c, packet + i, 1);
    ck_assert_uint_eq(seen.asked, 1);
    feed(c, packet + 99, 2);
    ck_assert_uint_eq(seen.asked, 3);
    ck_assert_uint_eq(seen.len, 100);
    feed(c, "zz", 2);
    ck_assert_uint_eq(seen.len, 103);
    end(c);
}
END_TEST

/* ---- Answers that make no sense ---- */

static struct {
    enum mario_frame_answer answer;
    struct mario_frame frame;
} said;

static enum mario_frame_answer next_said(const struct mario_framing *framing, void *state, ubyte *data,
                                         uint32 n, uint32 before, struct mario_frame *f)
{
    (void) framing;
    (void) state;
    (void) data;
    (void) n;
    (void) before;
    *f = said.frame;
    return said.answer;
}

enum { N = 10 }; /* bytes that stand there */

static const struct {
    enum mario_frame_answer answer;
    struct mario_frame frame;
    enum reason reason; /* NONE: nothing is wrong with it */
} answers[] = {
    {MARIO_FRAME_OK, {.need = N, .at = 2, .len = N - 2, .id = ID}, REASON_NONE},
    {MARIO_FRAME_OK, {.need = N, .at = N, .len = 0, .id = ID}, REASON_NONE},
    {MARIO_FRAME_OK, {.need = 0, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = N + 1, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = 0xffffffff, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = 5, .at = 2, .len = 4, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = 5, .at = 6, .len = 0, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = 5, .at = 2, .len = 0xfffffffe, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = 5, .at = 0xfffffffe, .len = 4, .id = ID}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = N, .id = 0xfffc}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = N, .id = 0xffff}, REASON_framing_error},
    {MARIO_FRAME_OK, {.need = N, .id = 0xfffb}, REASON_unknown_akg},
    {MARIO_FRAME_SKIP, {.need = N}, REASON_NONE},
    {MARIO_FRAME_SKIP, {.need = 0}, REASON_framing_error},
    {MARIO_FRAME_SKIP, {.need = N + 1}, REASON_framing_error},
    {MARIO_FRAME_MORE, {.need = 0}, REASON_NONE},
    {MARIO_FRAME_MORE, {.need = MAX}, REASON_NONE},
    {MARIO_FRAME_MORE, {.need = N}, REASON_framing_error},
    {MARIO_FRAME_MORE, {.need = 1}, REASON_framing_error},
    {MARIO_FRAME_MORE, {.need = MAX + 1}, REASON_bad_length},
    {MARIO_FRAME_BAD, {.fault = MARIO_FAULT_FRAME}, REASON_bad_frame},
    {MARIO_FRAME_BAD, {.fault = MARIO_FAULT_LENGTH}, REASON_bad_length},
    {MARIO_FRAME_BAD, {.fault = MARIO_FAULT_ID}, REASON_unknown_akg},
    {MARIO_FRAME_BAD, {.fault = REASON_no_memory}, REASON_bad_frame}, /* that number is none of its faults */
    {MARIO_FRAME_BAD, {.fault = 0xffff}, REASON_bad_frame},
    {(enum mario_frame_answer) 4, {.need = N}, REASON_framing_error},
    {(enum mario_frame_answer) - 1, {.need = N}, REASON_framing_error},
};

START_TEST(answers_are_judged)
{
    struct conn *c = begin(&(struct mario_framing){.name = "said", .next = next_said, .max = MAX});
    said.answer = answers[_i].answer;
    said.frame = answers[_i].frame;
    feed(c, "0123456789", N);
    if (answers[_i].reason == REASON_NONE) {
        ck_assert_uint_eq(c->state, CONN_OPEN);
    } else {
        ck_assert_uint_eq(c->state, CONN_CLOSING);
        ck_assert_uint_eq(c->reason, answers[_i].reason);
        ck_assert_uint_eq(seen.len, 0);
    }
    if (answers[_i].frame.fault == 0xffff)
        ck_assert_uint_eq(c->fault, 0xffff);
    end(c);
}
END_TEST

/* Nothing is longer than max, whether it comes at once or not. */
START_TEST(max_holds_for_each_answer)
{
    static const enum mario_frame_answer kinds[] = {MARIO_FRAME_OK, MARIO_FRAME_SKIP, MARIO_FRAME_MORE};
    struct conn *c = begin(&(struct mario_framing){.name = "said", .next = next_said, .max = N - 1});
    said.answer = kinds[_i];
    said.frame = (struct mario_frame){.need = kinds[_i] == MARIO_FRAME_MORE ? 0 : N, .id = ID};
    feed(c, "0123456789", N);
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    ck_assert_uint_eq(c->reason, REASON_bad_length);
    end(c);
}
END_TEST

START_TEST(what_came_before_is_answered)
{
    struct conn *c = begin_toy(MAX);
    feed(c, "?(good)?GET / HTTP/1.1\r\n", 24);
    check_packets("|GOOD");
    check_sent(c, "01");
    ck_assert_uint_eq(c->reason, REASON_bad_frame);
    ck_assert_uint_eq(c->fault, 0x123);
    end(c);
}
END_TEST

/* ---- Replies ---- */

static sint32 wrap_angles(CONN *c, uint16 id, const void *data, uint32 len)
{
    UNIT_ASSERT(mario_frame_conn() == c);
    bufferevent_write(c->bufev, "<", 1);
    bufferevent_write(c->bufev, data, len);
    bufferevent_write(c->bufev, id == ID ? ">" : "]", 1);
    return len == 3 ? -1 : 0;
}

static sint32 reply_back(CONN *c)
{
    UNIT_ASSERT(mario_reply(c, c->in_buf, 2) == 0);
    UNIT_ASSERT(mario_reply_id(c, 1, c->in_buf, 1) == 0);
    UNIT_ASSERT(mario_reply(c, c->in_buf, 3) == -1 && errno == EIO);
    UNIT_ASSERT(mario_reply_id(c, 0xfffc, "x", 1) == -1 && errno == EINVAL);
    UNIT_ASSERT(mario_reply(c, NULL, 1) == -1 && errno == EINVAL);
    CONN other = *c;
    UNIT_ASSERT(mario_reply(&other, "x", 1) == -1 && errno == EINVAL);
    UNIT_ASSERT(mario_frame_conn() == NULL);
    return 0;
}

START_TEST(replies_are_wrapped)
{
    struct conn *c = begin_toy(MAX);
    toy.wrap = wrap_angles;
    table[ID] = reply_back;
    feed(c, "(abcd)", 6);
    check_sent(c, "<AB><A]<ABC>");
    errno = 0;
    ck_assert(mario_reply(&c->pub, "x", 1) == -1 && errno == EINVAL);
    end(c);
}
END_TEST

static sint32 reply_none(CONN *c)
{
    UNIT_ASSERT(mario_reply(c, "x", 1) == -1 && errno == ENOTSUP);
    return 0;
}

START_TEST(without_a_wrap_there_are_none)
{
    struct conn *c = begin_toy(MAX);
    table[ID] = reply_none;
    feed(c, "(x)", 3);
    ck_assert_uint_eq(c->state, CONN_OPEN);
    end(c);
}
END_TEST

static bool angle_ends(const struct mario_framing *framing, const struct frame_out *out, struct frame_ends *e)
{
    UNIT_ASSERT(framing == &toy && out->opcode == 7 && !out->raw);
    *e = (struct frame_ends){
        .front_len = 2, .front = {'<', (unsigned char) ('0' + out->id % 10)}, .back_len = 1, .back = ">"};
    return out->len < 3;
}

static sint32 reply_built_in(CONN *c)
{
    UNIT_ASSERT(mario_reply(c, "ab", 2) == 0);
    UNIT_ASSERT(mario_reply_id(c, 3, NULL, 0) == 0);
    UNIT_ASSERT(mario_reply(c, "abc", 3) == -1 && errno == EMSGSIZE);
    return 0;
}

static enum mario_frame_answer next_seven(const struct mario_framing *framing, void *state, ubyte *data,
                                          uint32 n, uint32 before, struct mario_frame *f)
{
    (void) framing;
    (void) data;
    (void) before;
    *(char *) state = 7;
    f->need = f->len = n;
    f->id = ID;
    return MARIO_FRAME_OK;
}

START_TEST(built_in_ones_have_ends)
{
    struct conn *c =
        begin(&(struct mario_framing){.name = "seven", .next = next_seven, .state_size = 1, .max = MAX});
    pool.service.ends[LISTENER] = angle_ends;
    table[ID] = reply_built_in;
    feed(c, "x", 1);
    check_sent(c, "<2ab><3>");
    end(c);
}
END_TEST

Suite *guests_suite(void)
{
    Suite *s = suite_create("guests");
    TCase *c = pool_case(s, "guests", 20);
    tcase_add_test(c, however_they_come);
    tcase_add_test(c, byte_by_byte);
    tcase_add_test(c, a_trickle_stays_where_it_is);
    tcase_add_test(c, who_says_the_size_is_left_alone);
    tcase_add_loop_test(c, answers_are_judged, 0, sizeof answers / sizeof *answers);
    tcase_add_loop_test(c, max_holds_for_each_answer, 0, 3);
    tcase_add_test(c, what_came_before_is_answered);
    tcase_add_test(c, replies_are_wrapped);
    tcase_add_test(c, without_a_wrap_there_are_none);
    tcase_add_test(c, built_in_ones_have_ends);
    return s;
}
