/*
 * test_dispatch.c: framings through the interface of frame.h, on a worker's connection: however the bytes come, the
 * functions see the same packets, each byte is looked at once, and what cannot be a packet ends the connection.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mario/conn/output.h"
#include "mario/frame/plain.h"
#include "mario/exec/registry.h"
#include "mario/net/descriptor.h"
#include "mario/worker/dispatch.h"
#include "pool_lab.h"

enum { LINE = 0x7000, MAX = 64, SEEN_MAX = 4096 };

static FUNC_PTR table[AKG_IDS];
static struct {
    char text[SEEN_MAX]; /* all packets that the function saw, each behind a '|' */
    size_t len;
    uint64_t looked; /* bytes that the framing looked at */
} seen;

static sint32 note(CONN *c)
{
    UNIT_ASSERT(seen.len + c->in_buf_len + 1 < SEEN_MAX);
    UNIT_ASSERT(strlen(c->in_buf) == c->in_buf_len); /* a zero stands behind it */
    seen.text[seen.len++] = '|';
    memcpy(seen.text + seen.len, c->in_buf, c->in_buf_len);
    seen.len += c->in_buf_len;
    return 0;
}

static sint32 count(CONN *c)
{
    seen.len += c->in_buf_len;
    return 0;
}

/* Lines: how long one is shows at its end. '!' begins none, '?' one that nobody serves. */
static enum mario_frame_answer next_line(const struct mario_framing *framing, void *state,
                                         unsigned char *data, uint32_t n, uint32_t before,
                                         struct mario_frame *f)
{
    (void) framing;
    (void) state;
    UNIT_ASSERT(n >= 1 && before <= n && f->need == 0 && f->at == 0 && f->len == 0);
    seen.looked += n - before;
    if (data[0] == '!') {
        f->fault = REASON_bad_stx;
        return MARIO_FRAME_BAD;
    }
    const unsigned char *end = memchr(data + before, '\n', n - before);
    if (before > 0 && data[before - 1] == '\n')
        end = data + before - 1; /* asked again */
    if (end == NULL)
        return MARIO_FRAME_MORE;
    f->len = (uint32_t) (end - data);
    f->need = f->len + 1;
    f->id = data[0] == '?' ? LINE + 1 : LINE;
    return MARIO_FRAME_OK;
}

/* A length, a colour, and as many bytes of it, each with one bit turned until it was looked at. */
static enum mario_frame_answer next_masked(const struct mario_framing *framing, void *state,
                                           unsigned char *data, uint32_t n, uint32_t before,
                                           struct mario_frame *f)
{
    (void) framing;
    (void) state;
    UNIT_ASSERT(n >= 1 && before <= n);
    f->at = 1;
    f->len = data[0];
    f->need = f->len + 1;
    f->id = LINE;
    uint32_t here = n < f->need ? n : f->need;
    for (uint32_t i = before > 1 ? before : 1; i < here; i++)
        data[i] ^= 0x80;
    seen.looked += here > before ? here - before : 0;
    return n < f->need ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

static bool as_guest; /* the next connection's framing is asked where functions run */

static struct conn *begin(MARIO_FRAME_FUNC next)
{
    static struct mario_framing toy;
    toy = (struct mario_framing){.name = "toy", .next = next, .max = MAX};
    table[LINE] = note;
    pool.service.funcs = table;
    pool.service.framing[5] = &toy;
    pool.service.is_guest[5] = as_guest;
    if (pool.executor->rx == NULL)
        ck_assert_ptr_nonnull(pool.executor->rx = malloc(RX_BYTES));
    memset(&seen, 0, sizeof seen);
    return pool_open_at(5);
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

/* The bytes cut into three at any two places, then one by one: always these packets, and no byte looked at twice. */
static void check_cuts(MARIO_FRAME_FUNC next, const void *bytes, size_t n, const char *packets)
{
    const char *data = bytes;
    for (size_t a = 0; a <= n; a++) {
        for (size_t b = a; b <= n; b++) {
            struct conn *c = begin(next);
            feed(c, data, a);
            feed(c, data + a, b - a);
            feed(c, data + b, n - b);
            UNIT_ASSERT(seen.len == strlen(packets) && memcmp(seen.text, packets, seen.len) == 0);
            UNIT_ASSERT(c->state == CONN_OPEN && c->carry_len == 0);
            end(c);
        }
    }
    struct conn *c = begin(next);
    for (size_t i = 0; i < n; i++)
        feed(c, data + i, 1);
    UNIT_ASSERT(seen.len == strlen(packets) && memcmp(seen.text, packets, seen.len) == 0);
    UNIT_ASSERT(seen.looked <= 2 * n); /* a packet's last byte once more: it was whole in the carry */
    end(c);
}

START_TEST(lines_however_they_come)
{
    as_guest = _i == 1;
    static const char text[] = "one\n\nthree is longer\n4\n";
    check_cuts(next_line, text, sizeof text - 1, "|one||three is longer|4");
}
END_TEST

START_TEST(masked_however_they_come)
{
    as_guest = _i == 1;
    unsigned char bytes[] = "\3one\0\5three\1x\10in place";
    for (size_t i = 0, left = 0; i < sizeof bytes - 1; i++) {
        if (left-- == 0)
            left = bytes[i];
        else
            bytes[i] ^= 0x80;
    }
    check_cuts(next_masked, bytes, sizeof bytes - 1, "|one||three|x|in place");
}
END_TEST

START_TEST(what_cannot_be_a_packet)
{
    static const struct {
        const char *text, *packets;
        enum reason reason;
    } cases[] = {
        {"good\n!bad\n", "|good", REASON_bad_stx},
        {"good\n?nobody\n", "|good", REASON_unknown_akg},
        {"good\n0123456789012345678901234567890123456789012345678901234567890123", "|good",
         REASON_bad_length},
    };
    size_t n = strlen(cases[_i].text);
    for (size_t cut = 0; cut < n; cut++) {
        uint64_t before = pool_stat(stats_of_reason(cases[_i].reason));
        struct conn *c = begin(next_line);
        feed(c, cases[_i].text, cut);
        if (c->state == CONN_OPEN)
            feed(c, cases[_i].text + cut, n - cut);
        UNIT_ASSERT(c->state == CONN_CLOSING && c->reason == cases[_i].reason);
        UNIT_ASSERT(seen.len == strlen(cases[_i].packets) &&
                    memcmp(seen.text, cases[_i].packets, seen.len) == 0);
        end(c);
        UNIT_ASSERT(pool_stat(stats_of_reason(cases[_i].reason)) == before + 1);
    }
}
END_TEST

/* A large packet that comes in pieces is only appended to: what is carried is not moved for each of them. The front of
 * the receive buffer, where it would be put together with them, stays as it was. */
START_TEST(a_trickle_is_only_appended)
{
    enum { LEN = 3000 };
    unsigned char packet[LEN] = {1, 0, 0, 0, LEN & 0xff, LEN >> 8, 2, 0x70};
    struct conn *c = begin(next_line);
    c->listener = 0;
    table[LINE + 2] = count;
    pool.rules.funcs = table;
    feed(c, packet, 8);
    pool.executor->rx[RX_FRONT - 1] = 0x5a;
    for (size_t i = 8; i < LEN - 1; i++) {
        feed(c, packet + i, 1);
        UNIT_ASSERT(pool.executor->rx[RX_FRONT - 1] == 0x5a && c->carry_len == i + 1);
    }
    feed(c, packet + LEN - 1, 1);
    ck_assert_uint_eq(seen.len, LEN);
    end(c);
}
END_TEST

/* The application closed the socket, and the kernel gave its number to somebody: nothing of either goes to the
 * other. */
START_TEST(a_number_that_is_anothers)
{
    char bytes[8] = "secret\n";
    ck_assert(descriptor_setup(1024));
    struct conn *c = begin(next_line);
    int fd = c->pub.fd, peer = pool.peers[c->pub.ind];
    ck_assert_uint_ne(descriptor_take(fd), 0);
    ck_assert_int_eq(output_send_bytes(c, bytes, sizeof bytes), OUTPUT_NOBODY);
    ck_assert(outbox_add(&c->outbox, bytes, sizeof bytes, &pool.shard.delivery.all));
    ck_assert_int_eq(output_flush(c), OUTPUT_NOBODY);
    ck_assert_int_eq(recv(peer, bytes, sizeof bytes, MSG_DONTWAIT), -1);
    outbox_drop(&c->outbox, &pool.shard.delivery.all);
    UNIT_ASSERT(send(peer, bytes, sizeof bytes, 0) == sizeof bytes);
    dispatch_begin_pass(pool.executor);
    dispatch_receive(pool.executor, c);
    ck_assert_int_ne(c->state, CONN_OPEN);
    ck_assert_int_eq(c->reason, REASON_fd_closed);
    ck_assert_uint_eq(seen.len, 0);
    ck_assert_int_eq(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT), sizeof bytes);
    end(c);
}
END_TEST

START_TEST(other_listeners_have_their_own)
{
    unsigned char bare[8] = {1, 0, 0, 0, 8, 0, 2, 0x70};
    struct conn *lines = begin(next_line), *heads = pool_open();
    feed(lines, "a line\n", 7);
    table[LINE + 2] = count;
    pool.rules.funcs = table;
    feed(heads, bare, sizeof bare);
    ck_assert_uint_eq(heads->state, CONN_OPEN);
    ck_assert_uint_eq(seen.len, strlen("|a line") + sizeof bare);
    end(lines);
    end(heads);
}
END_TEST

/* ---- Half close ---- */

/* A connection of built-in lines. */
static struct conn *begin_lines(bool eof_is_end)
{
    static struct framing_rules rules;
    static struct mario_framing lines;
    rules = (struct framing_rules){.id = {.kind = ID_ALWAYS, .id = LINE},
                                   .delim = {.end = "\n", .len = 1, .eof_is_end = eof_is_end}};
    lines = (struct mario_framing){.name = "line", .next = line_next, .max = MAX, .arg = &rules};
    struct conn *c = begin(next_line);
    pool.service.framing[5] = &lines;
    return c;
}

static void fin(struct conn *c)
{
    UNIT_ASSERT(shutdown(pool.peers[c->pub.ind], SHUT_WR) == 0);
    dispatch_begin_pass(pool.executor);
    UNIT_ASSERT(!dispatch_receive(pool.executor, c));
}

START_TEST(what_is_not_whole_is_dropped)
{
    struct conn *c = begin_lines(false);
    feed(c, "one\ntwo\nthr", 11);
    fin(c);
    ck_assert_str_eq(seen.text, "|one|two");
    ck_assert_uint_eq(c->reason, REASON_peer_closed);
    ck_assert_uint_eq(pool_stat(STAT_truncated), 1);
    end(c);
    c = begin_lines(false);
    feed(c, "one\n", 4);
    fin(c);
    ck_assert_uint_eq(pool_stat(STAT_truncated), 1); /* nothing was left */
    end(c);
}
END_TEST

START_TEST(or_is_the_last_one)
{
    struct conn *c = begin_lines(true);
    feed(c, "one\nthr", 7);
    fin(c);
    ck_assert_str_eq(seen.text, "|one|thr");
    ck_assert_uint_eq(c->state, CONN_CLOSING);
    ck_assert_uint_eq(c->reason, REASON_peer_closed);
    end(c);
    c = begin_lines(true);
    feed(c, "one\n", 4);
    fin(c);
    ck_assert_str_eq(seen.text, "|one");
    end(c);
    ck_assert_uint_eq(pool_stat(STAT_truncated), 0);
}
END_TEST

static sint32 note_and_close(CONN *c)
{
    close_conn(c, g_akg_closed_id);
    return note(c);
}

/* The last one's function decides how it ends. */
START_TEST(the_last_one_may_close)
{
    struct conn *c = begin_lines(true);
    table[LINE] = note_and_close;
    feed(c, "last", 4);
    fin(c);
    ck_assert_str_eq(seen.text, "|last");
    ck_assert_uint_eq(c->reason, REASON_function_closed);
    end(c);
}
END_TEST

Suite *dispatch_suite(void)
{
    Suite *s = suite_create("dispatch");
    TCase *c = pool_case(s, "framings", 20);
    tcase_add_loop_test(c, lines_however_they_come, 0, 2);
    tcase_add_loop_test(c, masked_however_they_come, 0, 2);
    tcase_add_loop_test(c, what_cannot_be_a_packet, 0, 3);
    tcase_add_test(c, a_trickle_is_only_appended);
    tcase_add_test(c, other_listeners_have_their_own);
    tcase_add_test(c, a_number_that_is_anothers);
    tcase_add_test(c, what_is_not_whole_is_dropped);
    tcase_add_test(c, or_is_the_last_one);
    tcase_add_test(c, the_last_one_may_close);
    return s;
}
