/*
 * test_ws.c: WebSocket's frames: what a server has to do with each kind of good and bad stream, case by case, in the
 * order of the well-known suite of cases for it (1 to 7, 9, 10); each whole, and cut at every byte. Then messages at
 * random, in frames at random, that come in pieces at random, against what was put in.
 */
#include "ws_oracle.h"
#include "ws_rig.h"
#include "unit.h"
#include "ws_cases.h"

#include <string.h>

#include "mario/frame/utf8.h"

static unsigned char bytes[WS_RIG_ROOM], wanted[WS_RIG_ROOM];
static const unsigned char masks[][4] = {{0, 0, 0, 0}, {0x37, 0xfa, 0x21, 0x3d}, {0xff, 1, 0x80, 0x7f}};

/* Frames one behind the other; how many bytes. */
static size_t frames(unsigned char *out, const struct piece *p, const unsigned char *mask)
{
    static char fill[70000];
    size_t at = 0;
    memset(fill, '*', sizeof fill);
    for (size_t i = 0; i < PIECES && (p[i].first != 0 || p[i].text != NULL); i++)
        at += websocket_frame(out + at, p[i].first, p[i].text != NULL ? p[i].text : fill, p[i].n, mask);
    return at;
}

static void answered(const struct ws_rig *r, const struct ws_case *c)
{
    size_t n = frames(wanted, c->out, NULL);
    ck_assert_msg(r->out_len == n && memcmp(r->out, wanted, n) == 0, "%s: %zu bytes answered, not %zu",
                  c->name, r->out_len, n);
    ck_assert_msg(r->over == (c->fault != REASON_NONE) && r->fault == c->fault, "%s: ended %d, reason %d",
                  c->name, r->over, (int) r->fault);
}

/* Goal: the right answer, and the right end, to each. */
START_TEST(each_case)
{
    const struct ws_case *c = &cases[_i];
    struct ws_rig r;
    for (size_t mask = 0; mask < sizeof masks / sizeof masks[0]; mask++) {
        size_t n = frames(bytes, c->in, masks[mask]);
        ws_rig_begin(&r, &ws_rig_payload, true);
        ws_rig_feed(&r, bytes, n);
        answered(&r, c);
    }
}
END_TEST

/* Goal: the same if the bytes come in two pieces, and if they come one by one. */
START_TEST(each_case_cut_at_every_byte)
{
    const struct ws_case *c = &cases[_i];
    struct ws_rig r;
    size_t n = frames(bytes, c->in, masks[1]), step = n < 1000 ? 1 : n / 50;
    for (size_t cut = 1; cut < n; cut += cut < 300 ? 1 : step) {
        ws_rig_begin(&r, &ws_rig_payload, true);
        r.exact = n < 1000;
        ws_rig_feed(&r, bytes, cut);
        ws_rig_feed(&r, bytes + cut, n - cut);
        answered(&r, c);
    }
    ws_rig_begin(&r, &ws_rig_payload, true);
    for (size_t i = 0; i < n && !r.over; i++)
        ws_rig_feed(&r, bytes + i, 1);
    answered(&r, c);
}
END_TEST

/* ---- Heads ---- */

static const struct {
    const char *name;
    const char *text;
    size_t n;
    const char *code;
    enum reason fault;
} heads[] = {
#define HEAD(name, s, code, fault)          \
    {                                       \
        name, s, sizeof(s) - 1, code, fault \
    }
    HEAD("no mask", "\x81\x05", C1002, REASON_bad_frame),
    HEAD("16 bits for 125", "\x82\xfe\x00\x7d", C1002, REASON_bad_frame),
    HEAD("16 bits for 0", "\x82\xfe\x00\x00", C1002, REASON_bad_frame),
    HEAD("64 bits for 65535", "\x82\xff\x00\x00\x00\x00\x00\x00\xff\xff", C1002, REASON_bad_frame),
    HEAD("a sign", "\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00", C1002, REASON_bad_frame),
    HEAD("256 MB", "\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00", C1009, REASON_bad_length),
    HEAD("all there is", "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff", C1009, REASON_bad_length),
    HEAD("a long ping", "\x89\xfe", C1002, REASON_bad_frame),
    HEAD("a very long close", "\x88\xff", C1002, REASON_bad_frame),
    HEAD("a reserved bit", "\xc1", C1002, REASON_bad_frame),
    HEAD("HEAD+Data", "\x78", C1002, REASON_bad_frame),
    HEAD("a continuation of nothing", "\x80", C1002, REASON_bad_frame),
#undef HEAD
};

/* Goal: what is wrong is said at the first byte that proves it, and not before. */
START_TEST(at_the_first_byte)
{
    struct ws_rig r;
    ws_rig_begin(&r, &ws_rig_payload, true);
    r.exact = true;
    for (size_t i = 0; i < heads[_i].n; i++) {
        ck_assert_msg(!r.over, "%s: refused at byte %zu", heads[_i].name, i);
        ws_rig_feed(&r, heads[_i].text + i, 1);
    }
    size_t n = websocket_frame(wanted, CLOSE, heads[_i].code, 2, NULL);
    ck_assert_msg(r.over && r.fault == heads[_i].fault && r.out_len == n && memcmp(r.out, wanted, n) == 0,
                  "%s", heads[_i].name);
}
END_TEST

/* Goal: 7.7, 7.9, 7.13: which codes a Close may have. */
START_TEST(codes_of_the_end)
{
    static const unsigned bad[] = {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535};
    static const unsigned good[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                    1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};
    size_t all = sizeof bad / sizeof bad[0] + sizeof good / sizeof good[0];
    for (size_t i = 0; i < all; i++) {
        bool is_bad = i < sizeof bad / sizeof bad[0];
        unsigned code = is_bad ? bad[i] : good[i - sizeof bad / sizeof bad[0]];
        const unsigned char payload[2] = {(unsigned char) (code >> 8), (unsigned char) code};
        struct ws_rig r;
        ws_rig_begin(&r, &ws_rig_payload, true);
        ws_rig_feed(&r, bytes, websocket_frame(bytes, CLOSE, payload, 2, masks[2]));
        size_t n = websocket_frame(wanted, CLOSE, is_bad ? (const void *) C1002 : payload, 2, NULL);
        ck_assert_msg(r.out_len == n && memcmp(r.out, wanted, n) == 0, "%u", code);
        ck_assert_int_eq(r.fault, is_bad ? REASON_bad_frame : REASON_peer_closed);
    }
}
END_TEST

/* Goal: a message of one frame says at once how long it is, so that it is only appended to; a text is looked at as it
 * comes. */
START_TEST(how_long_it_is)
{
    struct ws_rig r;
    memset(wanted, 'x', 1000);
    websocket_frame(bytes, BIN, wanted, 1000, masks[1]);
    ws_rig_begin(&r, &ws_rig_payload, true);
    ws_rig_feed(&r, bytes, 100);
    ck_assert_uint_eq(r.need, 1008);
    websocket_frame(bytes, TEXT, wanted, 1000, masks[1]);
    ws_rig_begin(&r, &ws_rig_payload, true);
    ws_rig_feed(&r, bytes, 100);
    ck_assert_uint_eq(r.need, 0);
}
END_TEST

/* Goal: with id=field a payload says whom it is for; one that is too short to say it, or is for nobody, ends it. */
START_TEST(an_id_in_the_payload)
{
    static const struct framing_rules rules = {.id = {.kind = ID_FIELD, .size = 2}, .ws = {.max = 100}};
    struct mario_framing framing = ws_rig_payload;
    framing.arg = &rules;
    for (int i = 0; i < 3; i++) {
        const char *payload = i == 2 ? "\xff\xfc more" : "\x01\x23 more"; /* WS_RIG_ID, a reserved one */
        struct ws_rig r;
        ws_rig_begin(&r, &framing, true);
        ws_rig_feed(&r, bytes, websocket_frame(bytes, BIN, payload, i == 1 ? 1 : 7, masks[1]));
        size_t n = i == 0 ? websocket_frame(wanted, BIN, payload, 7, NULL)
                          : websocket_frame(wanted, CLOSE, "\x03\xf0", 2, NULL);
        ck_assert_msg(r.out_len == n && memcmp(r.out, wanted, n) == 0, "%d", i);
        ck_assert_int_eq(r.fault, i == 0 ? REASON_NONE : i == 1 ? REASON_bad_length : REASON_unknown_akg);
    }
}
END_TEST

/* ---- UTF-8 ---- */

/* What a text is, by what each number has for bytes. */
static bool is_utf8(const unsigned char *p, size_t n)
{
    for (size_t i = 0, size; i < n; i += size) {
        uint32_t least = p[i] < 0x80 ? 0 : p[i] < 0xe0 ? 0x80 : p[i] < 0xf0 ? 0x800 : 0x10000, value;
        size = p[i] < 0x80 ? 1 : p[i] < 0xc0 ? 0 : p[i] < 0xe0 ? 2 : p[i] < 0xf0 ? 3 : p[i] < 0xf8 ? 4 : 0;
        if (size == 0 || i + size > n)
            return false;
        value = size == 1 ? p[i] : p[i] & (0x7fu >> size);
        for (size_t k = 1; k < size; k++) {
            if ((p[i + k] & 0xc0) != 0x80)
                return false;
            value = value << 6 | (p[i + k] & 0x3f);
        }
        if (value < least || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
            return false;
    }
    return true;
}

/* Goal: 6: whatever the bytes, cut wherever: right, and wrong no later than a text that goes on from there would be. */
START_TEST(texts)
{
    static const unsigned char edges[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf,
                                          0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee,
                                          0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff};
    enum { N = sizeof edges };
    for (size_t i = 0; i < (size_t) N * N * N * N; i++) {
        const unsigned char text[] = {'a', edges[i % N], edges[i / N % N], edges[i / N / N % N],
                                      edges[i / N / N / N]};
        struct utf8 whole = {0}, cut = {0};
        bool good = utf8_go_on(&whole, text, sizeof text) && utf8_is_whole(&whole);
        size_t at = 1 + i % 4;
        bool good_cut = utf8_go_on(&cut, text, at) && utf8_go_on(&cut, text + at, sizeof text - at) &&
                        utf8_is_whole(&cut);
        UNIT_ASSERT(good == is_utf8(text, sizeof text) && good == good_cut);
    }
}
END_TEST

/* Goal: it is refused at the byte that no text can have there, also behind many good ones. */
START_TEST(a_text_fails_at_once)
{
    static const char start[] = "a text of some length, behind which \xed";
    struct ws_rig r;
    ws_rig_begin(&r, &ws_rig_payload, true);
    unsigned char payload[300];
    memset(payload, 'x', sizeof payload);
    memcpy(payload, start, sizeof start - 1);
    payload[sizeof start - 1] = 0xa0; /* half of a pair: U+D800 .. */
    size_t n = websocket_frame(bytes, TEXT, payload, sizeof payload, masks[1]);
    size_t bad = n - sizeof payload + sizeof start - 1;
    for (size_t i = 0; i < bad; i++)
        ws_rig_feed(&r, bytes + i, 1);
    ck_assert(!r.over);
    ws_rig_feed(&r, bytes + bad, 1);
    ck_assert(r.over && r.fault == REASON_bad_frame);
}
END_TEST

/* ---- Many, at random ---- */

/* A message of len bytes in frames at random, with pings between them, to bytes + *n; what is to be answered, to wanted
 * + *m. */
static void random_message(uint64_t *random, size_t len, size_t *n, size_t *m)
{
    static unsigned char payload[WS_MESSAGE_MAX];
    uint8_t opcode = unit_random(random) % 2 == 0 ? WS_TEXT : WS_BINARY, first = opcode;
    size_t at = 0, most = 1 + len / (1 + unit_random(random) % 8);
    for (size_t i = 0; i < len; i++)
        payload[i] = (unsigned char) (unit_random(random) % (opcode == WS_TEXT ? 0x80 : 0x100));
    for (bool last = false; !last; first = 0) {
        size_t part = unit_random(random) % (most + 1);
        const unsigned char *mask = masks[unit_random(random) % 3];
        last = part >= len - at;
        part = last ? len - at : part;
        *n += websocket_frame(bytes + *n, (uint8_t) (first | (last ? 0x80 : 0)), payload + at, part, mask);
        at += part;
        if (unit_random(random) % 4 == 0 && !last) {
            size_t ping = unit_random(random) % 126 % (len + 1);
            *n += websocket_frame(bytes + *n, PING, payload, ping, mask);
            *m += websocket_frame(wanted + *m, PONG, payload, ping, NULL);
        }
    }
    *m += websocket_frame(wanted + *m, (uint8_t) (0x80 | opcode), payload, len, NULL);
}

static void feed_in_pieces(struct ws_rig *r, uint64_t *random, size_t n)
{
    static const size_t pieces[] = {1, 7, 200, 5000, 65536};
    size_t most = pieces[unit_random(random) % 5];
    for (size_t at = 0, part; at < n; at += part) {
        part = 1 + unit_random(random) % most;
        part = part < n - at ? part : n - at;
        if (!r->over)
            ws_rig_feed(r, bytes + at, part);
    }
}

/* Goal: 9, 10: any messages in any frames in any pieces come out as they are, and all pings are answered. */
START_TEST(anything_in_any_pieces)
{
    static const size_t lengths[] = {3, 130, 3000, WS_MESSAGE_MAX + 1u};
    uint64_t random = 77 + (uint64_t) _i;
    struct ws_rig r;
    for (int round = 0; round < 60 / UNIT_SLOW; round++) {
        size_t n = 0, m = 0, most = lengths[unit_random(&random) % 4];
        for (int i = 0; i < 8; i++)
            random_message(&random, unit_random(&random) % most, &n, &m);
        ws_rig_begin(&r, &ws_rig_payload, true);
        feed_in_pieces(&r, &random, n);
        ck_assert_msg(!r.over && r.n == 0, "over %d, %zu left", r.over, r.n);
        ck_assert_uint_eq(r.packets, 8);
        ck_assert(r.out_len == m && memcmp(r.out, wanted, m) == 0);
    }
}
END_TEST

/* Goal: between two parts of a message there may be as many bytes of pings and empty parts as come at once, and more
 * than a packet can have: they go in time. */
START_TEST(a_lot_between_two_parts)
{
    static const size_t parts[] = {1, 2000, 40000};
    static unsigned char payload[40000];
    const size_t len = parts[_i % 3], most = 2 * WS_CARRY;
    size_t n = 0, m = 0;
    struct ws_rig r;
    memset(payload, 'x', sizeof payload);
    n += websocket_frame(bytes, WS_BINARY, payload, len, masks[1]);
    while (n < most) {
        if (_i < 3) {
            n += websocket_frame(bytes + n, PING, payload, 1, masks[1]);
            m += websocket_frame(wanted + m, PONG, payload, 1, NULL);
        } else {
            n += websocket_frame(bytes + n, WS_MORE, payload, 0, masks[1]);
        }
    }
    n += websocket_frame(bytes + n, CONT, payload, 0, masks[1]);
    m += websocket_frame(wanted + m, BIN, payload, len, NULL);
    ws_rig_begin(&r, &ws_rig_payload, true);
    ws_rig_feed(&r, bytes, n);
    ck_assert(!r.over && r.n == 0 && r.packets == 1);
    ck_assert(r.out_len == m && memcmp(r.out, wanted, m) == 0);
}
END_TEST

/* Goal: the longest message in the smallest frames, empty ones and pings among them, byte by byte: what is kept of it
 * never grows beyond a carry, and it is moved as seldom as that allows. */
START_TEST(the_smallest_frames)
{
    struct ws_rig r;
    unsigned char one = 'x', two[32];
    size_t len = WS_MESSAGE_MAX / UNIT_SLOW;
    ws_rig_begin(&r, &ws_rig_payload, true);
    for (size_t i = 0; i < len; i++) {
        ws_rig_feed(&r, two, websocket_frame(two, i == 0 ? WS_BINARY : WS_MORE, &one, 1, masks[1]));
        if (i % 3 == 0)
            ws_rig_feed(&r, two, websocket_frame(two, PING, "", 0, masks[1]));
        if (i % 2 == 0)
            ws_rig_feed(&r, two, websocket_frame(two, WS_MORE, "", 0, masks[1]));
        ck_assert_uint_le(r.n, WS_CARRY);
    }
    ws_rig_feed(&r, two, websocket_frame(two, CONT, "", 0, masks[1]));
    ck_assert(!r.over && r.packets == 1 && r.n == 0);
    ck_assert_uint_eq(r.out_len, (len + 2) / 3 * 2 + 4 + len);
    ck_assert_uint_le(r.skips, len / 50 + 100);
    ws_rig_feed(&r, two, websocket_frame(two, BIN, "ok", 2, masks[1]));
    ck_assert_uint_eq(r.packets, 2);
}
END_TEST

/* Goal: the same with bytes changed at random: what is answered, and the end, are what a second reading of the rules
 * says. */
START_TEST(anything_broken)
{
    static unsigned char answer[WS_RIG_ROOM];
    uint64_t random = 4711 + (uint64_t) _i;
    for (int round = 0; round < 3000 / UNIT_SLOW; round++) {
        size_t n = 0, m = 0;
        int code;
        struct ws_rig r;
        for (int i = 0; i < 4; i++)
            random_message(&random, unit_random(&random) % 200, &n, &m);
        for (uint64_t i = unit_random(&random) % 3; i > 0; i--)
            bytes[unit_random(&random) % n] ^= (unsigned char) (1 << unit_random(&random) % 8);
        size_t expected = ws_oracle(bytes, n, false, WS_MESSAGE_MAX, answer, &code);
        ws_rig_begin(&r, &ws_rig_payload, true);
        feed_in_pieces(&r, &random, n);
        ck_assert(r.over == (code >= 0) && r.out_len == expected && memcmp(r.out, answer, expected) == 0);
    }
}
END_TEST

/* ---- Packets of HEAD+Data in messages ---- */

static size_t packet(unsigned char *out, uint16_t id, size_t data)
{
    const unsigned char head[] = {0x78,
                                  0x56,
                                  0x34,
                                  0x12,
                                  (unsigned char) (8 + data),
                                  (unsigned char) ((8 + data) >> 8),
                                  (unsigned char) id,
                                  (unsigned char) (id >> 8)};
    memcpy(out, head, sizeof head);
    memset(out + sizeof head, 'd', data);
    return sizeof head + data;
}

/* Goal: a message of one packet, of several, in one frame and in many, in any pieces: each packet is handed out. */
START_TEST(packets_in_messages)
{
    static unsigned char payload[8 * 320];
    uint64_t random = 5 + (uint64_t) _i;
    for (int round = 0; round < 300 / UNIT_SLOW; round++) {
        size_t n = 0, m = 0, len = 0, count = 1 + unit_random(&random) % 8, ends[8];
        struct ws_rig r;
        for (size_t i = 0; i < count; i++)
            ends[i] = len +=
                packet(payload + len, (uint16_t) (unit_random(&random) % 10), unit_random(&random) % 300);
        for (size_t at = 0, part; at < len; at += part) {
            part = 1 + unit_random(&random) % len;
            part = part < len - at ? part : len - at;
            n += websocket_frame(bytes + n,
                                 (uint8_t) ((at == 0 ? WS_BINARY : 0) | (at + part == len ? 0x80 : 0)),
                                 payload + at, part, masks[1]);
            if (at + part < len) {
                n += websocket_frame(bytes + n, PING, "p", 1, masks[2]);
                m += websocket_frame(wanted + m, PONG, "p", 1, NULL);
            }
        }
        for (size_t i = 0, at = 0; i < count; at = ends[i++])
            m += websocket_frame(wanted + m, BIN, payload + at, ends[i] - at, NULL);
        n += websocket_frame(bytes + n, PING, "", 0, masks[2]);
        m += websocket_frame(wanted + m, PONG, "", 0, NULL);
        ws_rig_begin(&r, &ws_rig_packets, true);
        feed_in_pieces(&r, &random, n);
        ck_assert(!r.over && r.packets == count && r.out_len == m && memcmp(r.out, wanted, m) == 0);
    }
}
END_TEST

static const struct {
    const char *name;
    unsigned char first;
    const char *payload;
    size_t n;
    unsigned code;
    enum reason fault;
} no_packets[] = {
#define NONE(name, first, s, code, fault)          \
    {                                              \
        name, first, s, sizeof(s) - 1, code, fault \
    }
    NONE("text", TEXT, "\x78\x56\x34\x12\x08\0\1\0", 1003, REASON_bad_frame),
    NONE("nothing", BIN, "", 1008, REASON_bad_length),
    NONE("cut off", BIN, "\x78\x56\x34\x12\x09\0\1\0", 1008, REASON_bad_length),
    NONE("half a head", BIN, "\x78\x56\x34", 1008, REASON_bad_length),
    NONE("a second one cut off", BIN, "\x78\x56\x34\x12\x08\0\1\0\x78", 1008, REASON_bad_length),
    NONE("another magic", BIN, "\x79\x56\x34\x12\x08\0\1\0", 1008, REASON_bad_stx),
    NONE("no function", BIN, "\x78\x56\x34\x12\x08\0\x10\0", 1008, REASON_unknown_akg),
#undef NONE
};

/* Goal: what is no packet is refused with the reason that it has elsewhere. */
START_TEST(no_packets_in_messages)
{
    struct ws_rig r;
    ws_rig_begin(&r, &ws_rig_packets, true);
    ws_rig_feed(
        &r, bytes,
        websocket_frame(bytes, no_packets[_i].first, no_packets[_i].payload, no_packets[_i].n, masks[1]));
    const unsigned char code[] = {(unsigned char) (no_packets[_i].code >> 8),
                                  (unsigned char) no_packets[_i].code};
    size_t n = websocket_frame(wanted, CLOSE, code, 2, NULL);
    ck_assert_msg(r.over && r.fault == no_packets[_i].fault, "%s: %d", no_packets[_i].name, (int) r.fault);
    ck_assert(r.out_len >= n && memcmp(r.out + r.out_len - n, wanted, n) == 0);
}
END_TEST

/* ---- What goes out ---- */

/* Goal: a reply is what its request was, but never a text that is none; with packets each reply has a head. */
START_TEST(what_goes_out)
{
    struct frame_ends ends;
    struct frame_out out = {
        .data = "h\xc3\xa4", .len = 3, .stx = 0x12345678, .id = 0x0201, .opcode = WS_TEXT};
    ck_assert(ws_ends(&ws_rig_payload, &out, &ends));
    ck_assert(ends.front_len == 2 && ends.front[0] == TEXT && ends.front[1] == 3 && ends.back_len == 0);
    out.len = 2;
    ck_assert(ws_ends(&ws_rig_payload, &out, &ends) && ends.front[0] == BIN && ends.front[1] == 2);
    out.opcode = 0;
    out.len = 1;
    ck_assert(ws_ends(&ws_rig_payload, &out, &ends) && ends.front[0] == BIN && ends.front[1] == 1);
    ck_assert(ws_ends(&ws_rig_packets, &out, &ends) && ends.front_len == 10);
    ck_assert(memcmp(ends.front, "\x82\x09\x78\x56\x34\x12\x09\0\x01\x02", 10) == 0);
    out.raw = true;
    ck_assert(ws_ends(&ws_rig_packets, &out, &ends) && ends.front_len == 2 && ends.front[0] == BIN);
    out.data = NULL;
    out.len = 1u << 20;
    ck_assert(ws_ends(&ws_rig_payload, &out, &ends) && ends.front_len == 10);
    ck_assert(memcmp(ends.front, "\x82\x7f\0\0\0\0\0\x10\0\0", 10) == 0);
    out.raw = false;
    ck_assert(!ws_ends(&ws_rig_packets, &out, &ends));
}
END_TEST

/* Goal: the server's own end is said once, and only to who was greeted. */
START_TEST(goodbyes)
{
    static const struct {
        enum reason reason;
        unsigned code;
    } codes[] = {{REASON_kicked, 1000},          {REASON_stop, 1001},           {REASON_idle_timeout, 1001},
                 {REASON_limit, 1008},           {REASON_function_error, 1011}, {REASON_no_memory, 1011},
                 {REASON_function_closed, 1000}, {REASON_unknown_akg, 1008},    {REASON_peer_closed, 1000}};
    unsigned char out[WS_GOODBYE];
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        struct ws_state s = {.phase = WS_HEAD};
        ck_assert_uint_eq(ws_goodbye(&s, codes[i].reason, out), 0);
        s.phase = WS_OPEN;
        ck_assert_uint_eq(ws_goodbye(&s, codes[i].reason, out), 4);
        ck_assert(out[0] == CLOSE && out[1] == 2 && (unsigned) (out[2] << 8 | out[3]) == codes[i].code);
        ck_assert_uint_eq(ws_goodbye(&s, codes[i].reason, out), 0);
    }
}
END_TEST

Suite *ws_suite(void)
{
    Suite *s = suite_create("ws");
    TCase *t = unit_case(s, "frames", 15);
    tcase_add_loop_test(t, each_case, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(t, each_case_cut_at_every_byte, 0, sizeof cases / sizeof cases[0]);
    tcase_add_loop_test(t, at_the_first_byte, 0, sizeof heads / sizeof heads[0]);
    tcase_add_test(t, codes_of_the_end);
    tcase_add_test(t, an_id_in_the_payload);
    tcase_add_test(t, how_long_it_is);
    tcase_add_test(t, texts);
    tcase_add_test(t, a_text_fails_at_once);
    tcase_add_loop_test(t, anything_in_any_pieces, 0, 4);
    tcase_add_loop_test(t, anything_broken, 0, 2);
    tcase_add_test(t, the_smallest_frames);
    tcase_add_loop_test(t, a_lot_between_two_parts, 0, 6);
    tcase_add_loop_test(t, packets_in_messages, 0, 2);
    tcase_add_loop_test(t, no_packets_in_messages, 0, sizeof no_packets / sizeof no_packets[0]);
    tcase_add_test(t, what_goes_out);
    tcase_add_test(t, goodbyes);
    return s;
}
