/*
 * test_proxy.c: headers of the PROXY protocol: each as it is to be read, cut at every byte, at the end of readable
 * memory; what stands behind one is not looked at. And whose are believed.
 */
#include "unit.h"
#include "mario/net/proxy_rules.h"
#include "mario/net/proxy.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Look with the page behind the bytes not to be touched. What *h points to is gone. */
static enum proxy_answer look(const void *bytes, uint32_t n, struct proxy_header *h)
{
    void *base;
    size_t mapped;
    unsigned char *at = unit_guarded(n, &base, &mapped);
    UNIT_ASSERT(at != NULL);
    memcpy(at, bytes, n);
    enum proxy_answer answer = proxy_look(at, n, h);
    munmap(base, mapped);
    return answer;
}

/* However a header is cut, no part of it is one; what a part is refused for, all is. */
static void cut_everywhere(const unsigned char *bytes, uint32_t n)
{
    struct proxy_header whole, part;
    enum proxy_answer answer = look(bytes, n, &whole);
    uint32_t size = answer == PROXY_OK ? whole.size : n;
    for (uint32_t cut = 0; cut < size; cut++) {
        enum proxy_answer some = look(bytes, cut, &part);
        UNIT_ASSERT(some == PROXY_MORE ||
                    (some == PROXY_BAD && answer == PROXY_BAD && strcmp(part.why, whole.why) == 0));
    }
}

/* ---- Version 1 ---- */

static const struct {
    const char *text, *peer; /* NULL: it is refused; "" = it does not say */
    uint32_t size;           /* 0: all of the text */
} lines[] = {
    {"PROXY TCP4 10.1.2.3 10.0.0.1 56324 443\r\n", "10.1.2.3:56324", 0},
    {"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1 0\r\nGET / HTTP/1.1\r\n", "10.1.2.3:1", 34},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1 0\r\nPROXY TCP4 1.1.1.1 2.2.2.2 3 4\r\n", "10.1.2.3:1", 34},
    {"PROXY TCP6 2001:db8::1 ::1 4124 443\r\n", "[2001:db8::1]:4124", 0},
    {"PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n",
     "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", 0},
    {"PROXY TCP6 ::ffff:10.1.2.3 ::1 4124 443\r\n", "10.1.2.3:4124", 0},
    {"PROXY UNKNOWN\r\n", "", 0},
    {"PROXY UNKNOWN \r\n", "", 0},
    {"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 "
     "65535\r\n",
     "", 0},
    {"PROXY UNKNOWNX\r\n", NULL, 0},
    {"PROXY UNKNOWN\r\r\n", NULL, 0},
    {"PROXY UNKNOWN\n", NULL, 0},
    {"PROXY\r\n", NULL, 0},
    {"PROXY \r\n", NULL, 0},
    {"PROXY TCP4\r\n", NULL, 0},
    {"PROXY TCP4 \r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1 2 3\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1 2 \r\n", NULL, 0},
    {"PROXY TCP4  10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY  TCP4 10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3  10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1  2\r\n", NULL, 0},
    {"PROXY TCP4\t10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 01 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1 00\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 +1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 -1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 0 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 65536 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 1 65536\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 10.0.0.1 4294967297 2\r\n", NULL, 0},
    {"PROXY TCP4 010.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.256 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 0x0a.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 2001:db8::1 ::1 1 2\r\n", NULL, 0},
    {"PROXY TCP4 10.1.2.3 ::1 1 2\r\n", NULL, 0},
    {"PROXY TCP6 10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP6 2001:db8::1 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY TCP6 2001:db8::1::2 ::1 1 2\r\n", NULL, 0},
    {"PROXY TCP6 [2001:db8::1] ::1 1 2\r\n", NULL, 0},
    {"PROXY TCP6 fe80::1%lo ::1 1 2\r\n", NULL, 0},
    {"PROXY UDP4 10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"PROXY tcp4 10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"proxy TCP4 10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {" PROXY TCP4 10.1.2.3 10.0.0.1 1 2\r\n", NULL, 0},
    {"GET / HTTP/1.1\r\n", NULL, 0},
    {"PUT / HTTP/1.1\r\n", NULL, 0},
};

/* Goal: each line is read as it is written, at every cut, and what is behind it is left alone. */
START_TEST(each_line)
{
    struct proxy_header h;
    char peer[PEER_TEXT] = "";
    uint32_t n = (uint32_t) strlen(lines[_i].text);
    enum proxy_answer answer = look(lines[_i].text, n, &h);
    ck_assert_msg((answer == PROXY_OK) == (lines[_i].peer != NULL), "'%s': %d", lines[_i].text, answer);
    if (answer == PROXY_OK) {
        if (h.has_peer)
            peer_print(&h.peer, peer, sizeof peer);
        ck_assert_str_eq(peer, lines[_i].peer);
        ck_assert_uint_eq(h.size, lines[_i].size != 0 ? lines[_i].size : n);
    } else {
        ck_assert_int_eq(answer, PROXY_BAD);
        ck_assert_ptr_nonnull(h.why);
    }
    cut_everywhere((const unsigned char *) lines[_i].text, n);
}
END_TEST

/* Goal: a line may have 107 bytes, and one more is refused when it is there, not when it ends. */
START_TEST(longest_line)
{
    struct proxy_header h;
    char text[PROXY_LINE_MAX + 8];
    memset(text, 'x', sizeof text);
    memcpy(text, "PROXY UNKNOWN ", 14);
    memcpy(text + PROXY_LINE_MAX - 2, "\r\n", 2);
    ck_assert_int_eq(look(text, PROXY_LINE_MAX - 1, &h), PROXY_MORE);
    ck_assert_int_eq(look(text, PROXY_LINE_MAX, &h), PROXY_OK);
    ck_assert_uint_eq(h.size, PROXY_LINE_MAX);
    memcpy(text + PROXY_LINE_MAX - 2, "x\r\n", 3);
    ck_assert_int_eq(look(text, PROXY_LINE_MAX - 1, &h), PROXY_MORE);
    ck_assert_int_eq(look(text, PROXY_LINE_MAX, &h), PROXY_BAD);
    ck_assert_int_eq(look(text, PROXY_LINE_MAX + 1, &h), PROXY_BAD);
}
END_TEST

/* Goal: a byte of 0 is none of a line's. */
START_TEST(line_with_zero)
{
    static const char zero[] = "PROXY TCP4\0 10.1.2.3 10.0.0.1 1 2\r\n", behind[] = "PROXY UNKNOWN\0\r\n";
    struct proxy_header h;
    ck_assert_int_eq(look(zero, sizeof zero - 1, &h), PROXY_BAD);
    ck_assert_int_eq(look(behind, sizeof behind - 1, &h), PROXY_BAD);
}
END_TEST

/* ---- Version 2 ---- */

struct built {
    unsigned char bytes[PROXY_MAX + 64];
    uint32_t n;
};

static void put(struct built *b, const void *bytes, size_t n)
{
    memcpy(b->bytes + b->n, bytes, n);
    b->n += (uint32_t) n;
}

static void put_zeros(struct built *b, size_t n)
{
    memset(b->bytes + b->n, 0, n);
    b->n += (uint32_t) n;
}

/* Head, and the addresses of that family: 10.1.2.3 or 2001:db8::1 from port 0x1234. */
static void begin(struct built *b, uint8_t command, uint8_t family)
{
    static const unsigned char v4[12] = {10, 1, 2, 3, 10, 0, 0, 1, 0x12, 0x34, 1, 187};
    static const unsigned char v6[36] = {0x20, 1, 0x0d, 0xb8, [15] = 1, [31] = 1, 0x12, 0x34, 1, 187};
    b->n = 0;
    put(b, "\r\n\r\n\0\r\nQUIT\n", 12);
    put(b, (unsigned char[]){command, family, 0, 0}, 4);
    if (family == 0x11)
        put(b, v4, sizeof v4);
    else if (family == 0x21)
        put(b, v6, sizeof v6);
    else if (family == 0x31)
        put_zeros(b, 216);
}

static void value(struct built *b, uint8_t type, const void *bytes, size_t n)
{
    put(b, (unsigned char[]){type, (uint8_t) (n >> 8), (uint8_t) n}, 3);
    put(b, bytes, n);
}

/* Write its length, and look. */
static enum proxy_answer end(struct built *b, struct proxy_header *h)
{
    b->bytes[14] = (uint8_t) ((b->n - 16) >> 8);
    b->bytes[15] = (uint8_t) (b->n - 16);
    cut_everywhere(b->bytes, b->n);
    return look(b->bytes, b->n, h);
}

static void is_peer(const struct proxy_header *h, const char *expected)
{
    char peer[PEER_TEXT];
    peer_print(&h->peer, peer, sizeof peer);
    ck_assert(h->has_peer);
    ck_assert_str_eq(peer, expected);
}

/* Goal: addresses of each family; their size is the least, more may follow. */
START_TEST(families)
{
    static const struct {
        uint8_t family;
        uint32_t size;
        const char *peer;
    } rows[] = {{0x11, 28, "10.1.2.3:4660"}, {0x21, 52, "[2001:db8::1]:4660"}, {0x31, 232, "unix"}};
    struct built b;
    struct proxy_header h;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(&b, 0x21, rows[i].family);
        ck_assert_int_eq(end(&b, &h), PROXY_OK);
        ck_assert_uint_eq(h.size, rows[i].size);
        is_peer(&h, rows[i].peer);
        put(&b, "\x30\0\1x", 4);
        ck_assert_int_eq(end(&b, &h), PROXY_OK);
        ck_assert_uint_eq(h.size, rows[i].size + 4);
        b.n = rows[i].size - 1;
        ck_assert_int_eq(end(&b, &h), PROXY_BAD);
    }
    begin(&b, 0x21, 0);
    ck_assert_int_eq(end(&b, &h), PROXY_OK);
    ck_assert(!h.has_peer);
}
END_TEST

/* Goal: version, command, family and transport are what they may be, and nothing else. */
START_TEST(fixed_bytes)
{
    struct built b;
    struct proxy_header h;
    for (unsigned byte = 0; byte < 256; byte++) {
        begin(&b, (uint8_t) byte, 0x11);
        UNIT_ASSERT((end(&b, &h) == PROXY_OK) == (byte == 0x20 || byte == 0x21));
        begin(&b, 0x21, (uint8_t) byte);
        put_zeros(&b, 216);
        b.bytes[16 + 9] = b.bytes[16 + 33] = 1;
        UNIT_ASSERT((end(&b, &h) == PROXY_OK) == (byte == 0 || byte == 0x11 || byte == 0x21 || byte == 0x31));
    }
    for (unsigned i = 0; i < 12; i++) {
        begin(&b, 0x21, 0x11);
        b.bytes[i] ^= 0x20;
        UNIT_ASSERT(end(&b, &h) == PROXY_BAD);
    }
}
END_TEST

/* Goal: LOCAL is skipped whatever it holds, and says nobody's address. */
START_TEST(local)
{
    struct built b;
    struct proxy_header h;
    begin(&b, 0x20, 0xff);
    put(&b, "\2\xff\xffgarbage", 10);
    ck_assert_int_eq(end(&b, &h), PROXY_OK);
    ck_assert_uint_eq(h.size, 26);
    ck_assert(!h.has_peer);
    begin(&b, 0x20, 0);
    ck_assert_int_eq(end(&b, &h), PROXY_OK);
    ck_assert_uint_eq(h.size, 16);
}
END_TEST

/* Goal: 4,096 bytes in all are the most, and more is refused with the 16th of them. */
START_TEST(longest_header)
{
    static const unsigned char filler[PROXY_MAX];
    struct built b;
    struct proxy_header h;
    begin(&b, 0x21, 0x11);
    value(&b, 0xe0, filler, PROXY_MAX - 28 - 3);
    ck_assert_int_eq(end(&b, &h), PROXY_OK);
    ck_assert_uint_eq(h.size, PROXY_MAX);
    begin(&b, 0x21, 0x11);
    value(&b, 0xe0, filler, PROXY_MAX - 28 - 3 + 1);
    ck_assert_int_eq(end(&b, &h), PROXY_BAD);
    ck_assert_int_eq(look(b.bytes, 15, &h), PROXY_MORE);
    ck_assert_int_eq(look(b.bytes, 16, &h), PROXY_BAD);
}
END_TEST

static bool is(const struct proxy_value *v, const char *text)
{
    return v->at != NULL && v->len == strlen(text) && memcmp(v->at, text, v->len) == 0;
}

/* Goal: authority, unique id and what is said of TLS are found among others. */
START_TEST(values)
{
    static const char ssl[] = "\x05\0\0\0\x07\x21\0\7TLSv1.3\x25\0\1x\x23\0\3aes\x22\0\5alice";
    struct built b;
    struct proxy_header h;
    begin(&b, 0x21, 0x21);
    value(&b, 0x01, "h2", 2);
    value(&b, 0x05, "id-7", 4);
    value(&b, 0x20, ssl, sizeof ssl - 1);
    value(&b, 0x02, "chat.example", 12);
    value(&b, 0x04, "", 0);
    ck_assert_int_eq(end(&b, &h), PROXY_OK);
    ck_assert_int_eq(proxy_look(b.bytes, b.n, &h), PROXY_OK);
    ck_assert(is(&h.authority, "chat.example") && is(&h.unique_id, "id-7"));
    ck_assert(h.ssl.said && h.ssl.client == 5 && h.ssl.verify == 7);
    ck_assert(is(&h.ssl.version, "TLSv1.3") && is(&h.ssl.cipher, "aes") && is(&h.ssl.name, "alice"));
}
END_TEST

static const struct {
    const char *what, *bytes;
    uint32_t n;
} bad_values[] = {
    {"type alone", "\x02", 1},
    {"half a length", "\x02\0", 2},
    {"longer than the header", "\x02\0\2a", 4},
    {"longer than any", "\xe0\xff\xff", 3},
    {"authority twice", "\2\0\1a\2\0\1a", 8},
    {"authority twice, empty", "\2\0\0\2\0\0", 6},
    {"authority with 0", "\2\0\3a\0b", 6},
    {"unique id twice", "\5\0\1a\5\0\1b", 8},
    {"tls twice", "\x20\0\5\1\0\0\0\0\x20\0\5\1\0\0\0\0", 16},
    {"tls too short", "\x20\0\4\1\0\0\0", 7},
    {"tls with half a value", "\x20\0\7\1\0\0\0\0\x21\0", 10},
    {"tls with a value too long", "\x20\0\x09\1\0\0\0\0\x21\0\2a", 12},
    {"tls with a value beyond it", "\x20\0\x08\1\0\0\0\0\x21\0\1a", 12},
    {"tls with two versions", "\x20\0\x0b\1\0\0\0\0\x21\0\0\x21\0\0", 14},
    {"a sum of 3", "\3\0\3\0\0\0", 6},
    {"a sum of 5", "\3\0\5\0\0\0\0\0", 8},
    {"a wrong sum", "\3\0\4\0\0\0\0", 7},
};

/* Goal: values that do not fit, are too many or wrong are refused; and in LOCAL they are not. */
START_TEST(each_bad_value)
{
    struct built b;
    struct proxy_header h;
    begin(&b, 0x21, 0x11);
    put(&b, bad_values[_i].bytes, bad_values[_i].n);
    ck_assert_msg(end(&b, &h) == PROXY_BAD, "%s", bad_values[_i].what);
    b.bytes[12] = 0x20;
    ck_assert_msg(end(&b, &h) == PROXY_OK, "%s", bad_values[_i].what);
}
END_TEST

/* Goal: the longest authority and id, and one byte more. */
START_TEST(longest_values)
{
    static const struct {
        uint8_t type;
        uint32_t most;
    } rows[] = {{0x02, 255}, {0x05, 128}};
    char text[300];
    struct built b;
    struct proxy_header h;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i < 2; i++) {
        for (uint32_t more = 0; more < 2; more++) {
            begin(&b, 0x21, 0x11);
            value(&b, rows[i].type, text, rows[i].most + more);
            ck_assert_int_eq(end(&b, &h), more ? PROXY_BAD : PROXY_OK);
        }
    }
}
END_TEST

/* Goal: a client's port 0 is no port. */
START_TEST(port_zero)
{
    struct built b;
    struct proxy_header h;
    begin(&b, 0x21, 0x11);
    memset(b.bytes + 24, 0, 2);
    ck_assert_int_eq(end(&b, &h), PROXY_BAD);
    begin(&b, 0x21, 0x21);
    memset(b.bytes + 48, 0, 2);
    ck_assert_int_eq(end(&b, &h), PROXY_BAD);
}
END_TEST

/* Castagnoli's sum by a table. */
static uint32_t crc_by_table(const unsigned char *data, uint32_t n)
{
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t v = i;
        for (int bit = 0; bit < 8; bit++)
            v = v & 1 ? v >> 1 ^ 0x82f63b78u : v >> 1;
        table[i] = v;
    }
    for (uint32_t i = 0; i < n; i++)
        crc = crc >> 8 ^ table[(crc ^ data[i]) & 0xff];
    return ~crc;
}

/* Goal: a header with a sum is whole: each bit of it that is turned is noticed. */
START_TEST(sum)
{
    struct built b;
    struct proxy_header h;
    ck_assert_uint_eq(crc_by_table((const unsigned char *) "123456789", 9), 0xe3069283u);
    begin(&b, 0x21, 0x11);
    value(&b, 0x05, "id", 2);
    value(&b, 0x03, "\0\0\0\0", 4);
    value(&b, 0x30, "net", 3);
    b.bytes[14] = 0;
    b.bytes[15] = (uint8_t) (b.n - 16);
    uint32_t crc = htonl(crc_by_table(b.bytes, b.n));
    memcpy(b.bytes + 16 + 12 + 5 + 3, &crc, sizeof crc);
    ck_assert_int_eq(end(&b, &h), PROXY_OK);
    for (uint32_t bit = 16 * 8; bit < b.n * 8; bit++) {
        b.bytes[bit / 8] ^= (uint8_t) (1u << bit % 8);
        bool of_type = bit / 8 == 16 + 12 + 5; /* then it may be no sum at all */
        UNIT_ASSERT(of_type || end(&b, &h) == PROXY_BAD);
        b.bytes[bit / 8] ^= (uint8_t) (1u << bit % 8);
    }
}
END_TEST

/* ---- Whose are believed ---- */

static const struct {
    const char *entry, *wrong; /* a piece of what is said; NULL: it is good */
} rules[] = {
    {"0.0.0.0:1 proxy=on trust=10.0.0.0/8", NULL},
    {"0.0.0.0:1 trust=10.0.0.0/8+::1+fd00::/8 proxy=on untrusted=refuse", NULL},
    {"0.0.0.0:1 proxy=on trust=0.0.0.0/0 untrusted=direct", NULL},
    {"0.0.0.0:1 proxy=off", NULL},
    {"unix:/tmp/x proxy=on", NULL},
    {"0.0.0.0:1 oob=mark, [::1]:2 oob=inline", NULL},
    {"0.0.0.0:1 proxy=on", "needs trust="},
    {"0.0.0.0:1 trust=10.0.0.0/8", "are for proxy=on"},
    {"0.0.0.0:1 proxy=off untrusted=direct", "are for proxy=on"},
    {"0.0.0.0:1 proxy=yes trust=10.0.0.0/8", "no such value"},
    {"0.0.0.0:1 proxy=on trust=10.0.0.0/8 untrusted=maybe", "no such value"},
    {"0.0.0.0:1 proxy=on trust=10.0.0.0/33", "'10.0.0.0/33' has no number of bits"},
    {"0.0.0.0:1 proxy=on trust=10.0.0.1/8", "'10.0.0.1/8' has bits behind its mask"},
    {"0.0.0.0:1 proxy=on trust=10.0.0.0/8+", "'' is no address"},
    {"0.0.0.0:1 proxy=on trust=+10.0.0.0/8", "'' is no address"},
    {"0.0.0.0:1 proxy=on trust=lb.example", "'lb.example' is no address"},
    {"0.0.0.0:1 proxy=on trust=1+2+3333333333333333333333333333333333333333333333333333333333333333333333333",
     "'1' is no address"},
    {"unix:/tmp/x proxy=on trust=10.0.0.0/8", "a unix socket trusts all"},
    {"udp:0.0.0.0:1 proxy=on trust=10.0.0.0/8", "proxy= is for connections"},
    {"0.0.0.0:1 oob=maybe", "no such value"},
    {"unix:/tmp/x oob=mark", "oob= is for TCP"},
};

/* Goal: what listeners may be told is taken, and all else refused with the reason. */
START_TEST(each_rule)
{
    char why[512] = "";
    int rc = mario_listen_check(rules[_i].entry, why, sizeof why);
    ck_assert_msg((rc == 0) == (rules[_i].wrong == NULL), "'%s': %s", rules[_i].entry, why);
    ck_assert_msg(rc == 0 || strstr(why, rules[_i].wrong) != NULL, "'%s': %s", rules[_i].entry, why);
}
END_TEST

/* Goal: 32 networks are believed, each of them and nobody beside; one more is too many. */
START_TEST(many_networks)
{
    char entry[1000] = "0.0.0.0:1 proxy=on trust=", why[512], text[32];
    static struct listen_address all[LISTEN_MAX];
    struct proxy_rules r;
    for (int i = 0; i < PROXY_NETS; i++) {
        snprintf(text, sizeof text, "%s10.%d.0.0/16", i > 0 ? "+" : "", 2 * i);
        strcat(entry, text);
    }
    ck_assert_int_eq(listen_parse(entry, all, why, sizeof why), 1);
    ck_assert_msg(proxy_rules_make(&r, &all[0], why, sizeof why), "%s", why);
    for (uint32_t i = 0; i < 2 * PROXY_NETS; i++) {
        struct peer p = peer_of_v4(htonl(10u << 24 | i << 16 | 7), htons(1));
        ck_assert_int_eq(proxy_rules_trust(&r, &p), i % 2 == 0);
    }
    strcat(entry, "+11.0.0.0/8");
    ck_assert_int_eq(listen_parse(entry, all, why, sizeof why), 1);
    ck_assert(!proxy_rules_make(&r, &all[0], why, sizeof why));
    ck_assert_ptr_nonnull(strstr(why, "too many networks"));
}
END_TEST

Suite *proxy_suite(void)
{
    Suite *s = suite_create("proxy");
    TCase *tc = unit_case(s, "version 1", 10);
    tcase_add_loop_test(tc, each_line, 0, sizeof lines / sizeof lines[0]);
    tcase_add_test(tc, longest_line);
    tcase_add_test(tc, line_with_zero);
    tc = unit_case(s, "version 2", 10);
    tcase_add_test(tc, families);
    tcase_add_test(tc, fixed_bytes);
    tcase_add_test(tc, local);
    tcase_add_test(tc, longest_header);
    tcase_add_test(tc, values);
    tcase_add_loop_test(tc, each_bad_value, 0, sizeof bad_values / sizeof bad_values[0]);
    tcase_add_test(tc, longest_values);
    tcase_add_test(tc, port_zero);
    tcase_add_test(tc, sum);
    tc = unit_case(s, "rules", 10);
    tcase_add_loop_test(tc, each_rule, 0, sizeof rules / sizeof rules[0]);
    tcase_add_test(tc, many_networks);
    return s;
}
