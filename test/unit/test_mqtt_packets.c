/*
 * test_mqtt_packets.c: the framing of example/mqtt, cut at every byte, against an oracle that is told what it makes;
 * what it reads of a body; the numbers of names.
 */
#include <stdlib.h>
#include <string.h>

#include "example/mqtt/mqtt.h"
#include "unit.h"

enum { STREAM_PACKETS = 12, STREAM_MAX = 40000 };

/* Packets one behind the other, and where each begins, by who made them. */
struct stream {
    unsigned char *bytes; /* in a block of its own length, so that a sanitizer sees who reads beyond */
    uint32_t len, count;
    uint32_t from[STREAM_PACKETS + 1], body[STREAM_PACKETS];
};

static const unsigned char types[] = {0x10, 0x30, 0x31, 0x82, 0xa2, 0xc0, 0xe0};

static void add_packet(struct stream *s, unsigned char *out, unsigned char type, uint32_t body)
{
    uint32_t at = s->len, left = body;
    s->from[s->count] = at;
    out[at++] = type;
    for (; left > 127; left /= 128)
        out[at++] = (unsigned char) (left % 128 + 128);
    out[at++] = (unsigned char) left;
    s->body[s->count] = at;
    memset(out + at, (int) (s->count + 'a'), body);
    s->len = at + body;
    s->from[++s->count] = s->len;
}

static struct stream make_stream(void)
{
    static unsigned char out[STREAM_MAX];
    static const uint32_t bodies[STREAM_PACKETS] = {0, 1, 127, 128, 129, 300, 0, 16383, 16384, 2, 126, 0};
    struct stream s = {0};
    for (uint32_t i = 0; i < STREAM_PACKETS; i++)
        add_packet(&s, out, types[i % sizeof types], bodies[i]);
    s.bytes = malloc(s.len);
    ck_assert_ptr_nonnull(s.bytes);
    memcpy(s.bytes, out, s.len);
    return s;
}

static enum mario_frame_answer ask(unsigned char *data, uint32_t n, struct mario_frame *frame)
{
    *frame = (struct mario_frame){.need = 0};
    return mqtt_framing.next(&mqtt_framing, NULL, data, n, 0, frame);
}

/* Goal: with any number of bytes there, the packet in front is whole or not exactly as it was made. */
START_TEST(any_number_of_bytes)
{
    struct stream s = make_stream();
    struct mario_frame frame;
    for (uint32_t i = 0; i < s.count; i++) {
        uint32_t from = s.from[i], whole = s.from[i + 1] - from, head = s.body[i] - from;
        for (uint32_t n = 1; n <= s.len - from; n++) {
            unsigned char *copy = malloc(n);
            memcpy(copy, s.bytes + from, n);
            enum mario_frame_answer answer = ask(copy, n, &frame);
            ck_assert_int_eq(answer, n < whole ? MARIO_FRAME_MORE : MARIO_FRAME_OK);
            ck_assert_uint_eq(frame.need, n < head ? 0 : whole);
            if (answer == MARIO_FRAME_OK) {
                ck_assert_uint_eq(frame.at, head);
                ck_assert_uint_eq(frame.len, whole - head);
                ck_assert_uint_eq(frame.id, types[i % sizeof types]);
            }
            free(copy);
            if (n > whole + 3)
                break;
        }
    }
    free(s.bytes);
}
END_TEST

/* Goal: a byte that begins no packet of a client is refused alone; so is a length of five bytes, with its fifth at the
 * latest; one that is too long says so for the library to judge. */
START_TEST(what_is_no_mqtt)
{
    struct mario_frame frame;
    for (uint32_t type = 0; type < 256; type++) {
        unsigned char byte = (unsigned char) type;
        bool good = memchr(types, (int) type, sizeof types) != NULL;
        ck_assert_int_eq(ask(&byte, 1, &frame), good ? MARIO_FRAME_MORE : MARIO_FRAME_BAD);
    }
    unsigned char long_length[] = {0x30, 0xff, 0xff, 0xff, 0xff};
    ck_assert_int_eq(ask(long_length, 4, &frame), MARIO_FRAME_MORE);
    ck_assert_int_eq(ask(long_length, 5, &frame), MARIO_FRAME_BAD);
    long_length[4] = 0x7f;
    ck_assert_int_eq(ask(long_length, 5, &frame), MARIO_FRAME_MORE);
    ck_assert_uint_eq(frame.need, 5u + 268435455u);
    unsigned char padded[] = {0xc0, 0x80, 0x00}; /* 0 in two bytes: 3.1.1 does not forbid it */
    ck_assert_int_eq(ask(padded, 3, &frame), MARIO_FRAME_OK);
    ck_assert_uint_eq(frame.len, 0);
}
END_TEST

static const struct {
    const char *bytes;
    uint32_t len;
    bool good;
} texts[] = {
    {"", 0, true},
    {"a/b", 3, true},
    {"a\0b", 3, false},
    {"\x7f", 1, true},
    {"\x80", 1, false},
    {"\xc1\xbf", 2, false},
    {"\xc2\x80", 2, true},
    {"\xc2", 1, false},
    {"\xc2\x41", 2, false},
    {"\xe0\x9f\xbf", 3, false},
    {"\xe0\xa0\x80", 3, true},
    {"\xed\x9f\xbf", 3, true},
    {"\xed\xa0\x80", 3, false},
    {"\xee\x80\x80", 3, true},
    {"\xf0\x8f\xbf\xbf", 4, false},
    {"\xf0\x90\x80\x80", 4, true},
    {"\xf4\x8f\xbf\xbf", 4, true},
    {"\xf4\x90\x80\x80", 4, false},
    {"\xf5\x80\x80\x80", 4, false},
    {"a\xf0\x90\x80", 4, false},
};

/* Goal: a text is UTF-8 without a zero byte, or what it stands in is bad; and it is bad if it is not there. */
START_TEST(texts_are_checked)
{
    unsigned char body[16] = {0};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        body[1] = (unsigned char) texts[i].len;
        memcpy(body + 2, texts[i].bytes, texts[i].len);
        for (uint32_t there = 0; there <= texts[i].len + 2; there++) {
            struct mqtt_body b = {.at = body, .left = there};
            struct mqtt_text t = mqtt_text(&b);
            bool whole = there == texts[i].len + 2;
            ck_assert_msg(b.bad == !(whole && texts[i].good), "text %zu, %u bytes", i, there);
            if (!b.bad)
                ck_assert(t.len == texts[i].len && memcmp(t.at, texts[i].bytes, t.len) == 0 && b.left == 0);
        }
    }
}
END_TEST

/* With a will, a name and a password: all there can be. */
static const char full[] = "\0\4MQTT\4\xee\0\12\0\3abc\0\2w/\0\4\0\1\2\3\0\1n\0\2pw";
enum { FULL = sizeof full - 1, FULL_FLAGS = 7 };

/* Goal: a CONNECT is read as it stands there; each piece of it, and one with a byte more, is none; nor is one whose
 * flags contradict each other. */
START_TEST(a_connect_is_whole_or_none)
{
    struct mqtt_connect req;
    char body[FULL + 1];
    memcpy(body, full, FULL);
    body[FULL] = 0;
    ck_assert(mqtt_read_connect(body, FULL, &req));
    ck_assert(req.level == 4 && req.clean && req.has_will && req.keep_alive == 10);
    ck_assert(req.client.len == 3 && memcmp(req.client.at, "abc", 3) == 0);
    ck_assert(req.will_topic.len == 2 && req.will.len == 4 && memcmp(req.will.at, "\0\1\2\3", 4) == 0);
    for (uint32_t n = 0; n < FULL; n++)
        ck_assert_msg(!mqtt_read_connect(body, n, &req), "%u bytes of it", n);
    ck_assert(!mqtt_read_connect(body, FULL + 1, &req));
    static const unsigned char bad[] = {0xef, 0xfe, 0x6e, 0xea};
    for (size_t i = 0; i < sizeof bad; i++) {
        body[FULL_FLAGS] = (char) bad[i];
        ck_assert_msg(!mqtt_read_connect(body, FULL, &req), "flags %02x", bad[i]);
    }
    memcpy(body, full, FULL);
    body[6] = 5; /* of another level only that is known */
    ck_assert(mqtt_read_connect(body, 7, &req) && req.level == 5);
    body[2] = 'm';
    ck_assert(!mqtt_read_connect(body, FULL, &req));
}
END_TEST

/* Goal: the hash is the one it says it is: vectors of its authors. */
START_TEST(names_become_numbers)
{
    static const struct {
        uint16_t len;
        uint64_t hash;
    } vectors[] = {{0, 0x726fdb47dd0e0e31},
                   {1, 0x74f839c593dc67fd},
                   {7, 0xab0200f58b01d137},
                   {8, 0x93f5f5799a932462},
                   {15, 0xa129ca6149be45e5}};
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    unsigned char name[16];
    for (unsigned char i = 0; i < sizeof name; i++)
        name[i] = i;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++)
        ck_assert_uint_eq(topic_hash(key, (struct mqtt_text){.at = name, .len = vectors[i].len}),
                          vectors[i].hash);
    struct mqtt_text plain = {.at = (const unsigned char *) "a/b", .len = 3}, wild = plain, none = plain;
    wild.at = (const unsigned char *) "a/+";
    none.len = 0;
    ck_assert(mqtt_is_topic(plain) && !mqtt_is_topic(wild) && !mqtt_is_topic(none));
}
END_TEST

Suite *mqtt_packets_suite(void)
{
    Suite *s = suite_create("mqtt_packets");
    TCase *c = tcase_create("mqtt_packets");
    tcase_add_test(c, any_number_of_bytes);
    tcase_add_test(c, what_is_no_mqtt);
    tcase_add_test(c, texts_are_checked);
    tcase_add_test(c, a_connect_is_whole_or_none);
    tcase_add_test(c, names_become_numbers);
    suite_add_tcase(s, c);
    return s;
}
