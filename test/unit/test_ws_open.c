/*
 * test_ws_open.c: a WebSocket's upgrade: which requests are taken, what those are answered that are not, whole and byte
 * by byte; what proves that a key was understood, and the hash below it.
 */
#include "ws_rig.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "mario/frame/http_head.h"
#include "mario/frame/sha1.h"

#define KEY     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define ASKS    "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define GOOD    "GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION

static const char accepted[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

static const struct {
    const char *text;
    int status;
    enum reason fault;
} requests[] = {
    {GOOD "\r\n", 101, REASON_NONE},
    {GOOD "Origin: http://a.example\r\n\r\n", 101, REASON_NONE},
    {GOOD "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n\r\n", 101,
     REASON_NONE},
    {"GET /chat?x=1 HTTP/1.1\r\nhost: a\r\n" ASKS KEY VERSION "\r\n", 101, REASON_NONE},
    {"GET /chat HTTP/1.1\r\nHost: a\r\nUPGRADE: WebSocket\r\nCONNECTION: keep-alive, Upgrade\r\n" KEY VERSION
     "\r\n",
     101, REASON_NONE},
    {"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: h2c, websocket\r\nConnection: keep-alive\r\nConnection: upgrade\r\n" KEY
         VERSION "\r\n",
     101, REASON_NONE},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS "sec-websocket-key:dGhlIHNhbXBsZSBub25jZQ==  \r\n" VERSION
     "\r\n",
     101, REASON_NONE},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n\r\n", 426, REASON_bad_upgrade},
    {"GET /chat HTTP/1.0\r\nHost: a\r\n" ASKS KEY VERSION "\r\n", 426, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n" KEY VERSION "\r\n", 426, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websockets\r\nConnection: Upgrade\r\n" KEY VERSION "\r\n",
     426, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive\r\n" KEY VERSION "\r\n",
     426, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY "\r\n", 426, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426,
     REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS VERSION "\r\n", 400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n",
     400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQAA\r\n\r\n",
     400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR==\r\n\r\n",
     400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub2 jZQ==\r\n\r\n",
     400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY KEY VERSION "\r\n", 400, REASON_bad_upgrade},
    {GOOD "Content-Length: 1\r\n\r\nx", 400, REASON_bad_upgrade},
    {GOOD "Transfer-Encoding: chunked\r\n\r\n", 400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\r\n" ASKS KEY VERSION "\r\n", 400, REASON_bad_upgrade},
    {"GET /chat HTTP/1.1\nHost: a\n\n", 400, REASON_bad_upgrade},
    {"GET http://a/chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION "\r\n", 400, REASON_bad_upgrade},
    {"GET /chat HTTP/2.0\r\nHost: a\r\n" ASKS KEY VERSION "\r\n", 505, REASON_bad_upgrade},
    {"GET / HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION "\r\n", 404, REASON_bad_upgrade},
    {"GET /chat/ HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION "\r\n", 404, REASON_bad_upgrade},
    {GOOD "Origin: http://c.example\r\n\r\n", 403, REASON_bad_upgrade},
    {GOOD "Origin: null\r\n\r\n", 403, REASON_bad_upgrade},
    {GOOD "Origin: http://a.exampl\r\n\r\n", 403, REASON_bad_upgrade},
    {GOOD "Origin: HTTPS://B.example:8443\r\n\r\n", 101, REASON_NONE},
    {"POST /chat HTTP/1.1\r\nHost: a\r\n" ASKS KEY VERSION "\r\n", 405, REASON_bad_upgrade},
    {"\x16\x03\x01\x02", 400, REASON_bad_frame},
    {"\x78\x56\x34\x12\x08", 400, REASON_bad_frame},
    {"SSH-2.0-x\r\n", 400, REASON_bad_frame},
};

static const struct framing_rules rules = {
    .id = {.kind = ID_ALWAYS, .id = WS_RIG_ID},
    .ws = {.max = 1000, .path = "/chat", .origins = "http://a.example+https://b.example:8443"}};
static const struct mario_framing framing = {
    .name = "ws", .next = ws_next, .state_size = sizeof(struct ws_state), .max = WS_CARRY, .arg = &rules};

static void answered(const struct ws_rig *r, int i)
{
    char status[16];
    int n = snprintf(status, sizeof status, "HTTP/1.1 %d ", requests[i].status);
    ck_assert_msg(r->out_len > (size_t) n && memcmp(r->out, status, (size_t) n) == 0, "request %d: %s: %.*s",
                  i, requests[i].text, (int) r->out_len, r->out);
    ck_assert_msg(r->fault == requests[i].fault && r->over == (r->fault != REASON_NONE), "request %d: %d", i,
                  (int) r->fault);
    ck_assert(memcmp(r->out + r->out_len - 4, "\r\n\r\n", 4) == 0);
    if (requests[i].status == 101)
        ck_assert(r->out_len == sizeof accepted - 1 && memcmp(r->out, accepted, sizeof accepted - 1) == 0);
}

/* Goal: who asks as the RFC says is let in, whatever the order and case; all others are told why not. */
START_TEST(each_request)
{
    struct ws_rig r;
    const char *text = requests[_i].text;
    size_t n = strlen(text);
    ws_rig_begin(&r, &framing, false);
    ws_rig_feed(&r, text, n);
    answered(&r, _i);
    ws_rig_begin(&r, &framing, false);
    r.exact = true;
    for (size_t i = 0; i < n && !r.over; i++)
        ws_rig_feed(&r, text + i, 1);
    answered(&r, _i);
}
END_TEST

static const struct {
    const char *ours, *theirs, *chosen;
} subprotocols[] = {
    {NULL, "Sec-WebSocket-Protocol: chat\r\n", NULL},
    {"chat", "", NULL},
    {"chat", "Sec-WebSocket-Protocol: chat\r\n", "chat"},
    {"chat", "sec-websocket-protocol:\tchat \r\n", "chat"},
    {"chat", "Sec-WebSocket-Protocol: superchat\r\n", NULL},
    {"chat", "Sec-WebSocket-Protocol: chats, cha, CHAT, \r\n", NULL},
    {"mqtt+chat", "Sec-WebSocket-Protocol: soap, chat, mqtt\r\n", "chat"},
    {"mqtt+chat", "Sec-WebSocket-Protocol: mqtt+chat,,mqtt,chat\r\n", "mqtt"},
    {"mqtt+chat", "Sec-WebSocket-Protocol: soap\r\nX: mqtt\r\nSec-WebSocket-Protocol: chat\r\n", "chat"},
    {"a", "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: ,\r\n", NULL},
};

/* Goal: of the subprotocols that a client names the first one that the listener has is chosen, letter by letter; if
 * there is none, or it names none, the answer says nothing of it. */
START_TEST(a_subprotocol_is_chosen)
{
    char asked[512], wanted[512];
    struct framing_rules some = rules;
    struct mario_framing with = framing;
    struct ws_rig r;
    some.ws.subprotocols = subprotocols[_i].ours;
    with.arg = &some;
    snprintf(asked, sizeof asked, "%s%s\r\n", GOOD, subprotocols[_i].theirs);
    int n = snprintf(wanted, sizeof wanted, "%.*s", (int) sizeof accepted - 3, accepted);
    if (subprotocols[_i].chosen != NULL)
        n += snprintf(wanted + n, sizeof wanted - (size_t) n, "Sec-WebSocket-Protocol: %s\r\n",
                      subprotocols[_i].chosen);
    n += snprintf(wanted + n, sizeof wanted - (size_t) n, "\r\n");
    ws_rig_begin(&r, &with, false);
    ws_rig_feed(&r, asked, strlen(asked));
    ck_assert_msg(!r.over && r.out_len == (size_t) n && memcmp(r.out, wanted, r.out_len) == 0, "%s: %.*s",
                  subprotocols[_i].theirs, (int) r.out_len, r.out);
}
END_TEST

/* Goal: what comes in the same packet as the upgrade is not lost. */
START_TEST(a_message_right_behind)
{
    static const char end[] = "\r\n";
    unsigned char bytes[512];
    struct ws_rig r;
    size_t n = sizeof GOOD - 1;
    memcpy(bytes, GOOD, n);
    memcpy(bytes + n, end, 2);
    n += 2 + websocket_frame(bytes + n + 2, 0x81, "early", 5, (const unsigned char *) "abcd");
    for (size_t cut = 1; cut < n; cut++) {
        ws_rig_begin(&r, &framing, false);
        ws_rig_feed(&r, bytes, cut);
        ws_rig_feed(&r, bytes + cut, n - cut);
        ck_assert(!r.over && r.packets == 1 && r.out_len == sizeof accepted - 1 + 7);
        ck_assert(memcmp(r.out + sizeof accepted - 1,
                         "\x81\x05"
                         "early",
                         7) == 0);
    }
}
END_TEST

/* Goal: a head may be 8 KB, and no more; one that comes byte by byte is not read again for each byte. */
START_TEST(long_heads)
{
    static char text[2 * HTTP_HEAD_MAX];
    for (int extra = 0; extra < 2; extra++) {
        struct ws_rig r;
        size_t n = sizeof GOOD - 1, all = HTTP_HEAD_MAX + (size_t) extra;
        memcpy(text, GOOD, n);
        memcpy(text + n, "X: ", 3);
        memset(text + n + 3, 'x', all - n - 3);
        memcpy(text + all - 4, "\r\n\r\n", 4);
        ws_rig_begin(&r, &framing, false);
        for (size_t i = 0; i < all && !r.over; i++)
            ws_rig_feed(&r, text + i, 1);
        ck_assert_int_eq(r.fault, extra == 0 ? REASON_NONE : REASON_bad_upgrade);
        ck_assert(memcmp(r.out, extra == 0 ? "HTTP/1.1 101" : "HTTP/1.1 431", 12) == 0);
    }
}
END_TEST

/* Goal: a line without an end is refused when it is too long, and not read to see that it is. */
START_TEST(an_endless_line)
{
    struct ws_rig r;
    ws_rig_begin(&r, &framing, false);
    ws_rig_feed(&r, "GET /", 5);
    for (int i = 5; i < (int) HTTP_HEAD_MAX; i++) {
        ck_assert_msg(!r.over, "refused at byte %d", i);
        ws_rig_feed(&r, "x", 1);
    }
    ck_assert(r.over && r.fault == REASON_bad_upgrade && memcmp(r.out, "HTTP/1.1 431", 12) == 0);
}
END_TEST

/* Goal: SHA-1 as RFC 3174 has it, around the lengths where a second block begins. */
START_TEST(hashes)
{
    static const struct {
        const char *text, *hash;
    } known[] = {
        {"", "da39a3ee5e6b4b0d3255bfef95601890afd80709"},
        {"abc", "a9993e364706816aba3e25717850c26c9cd0d89d"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "84983e441c3bd26ebaae4aa1f95129e5e54670f1"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "c1c8bbdc22796e28c0e15163d20899b65621d65a"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "0098ba824b5c16427bd7a1122a5a442a25ec644d"},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        unsigned char hash[SHA1_BYTES];
        char hex[2 * SHA1_BYTES + 1];
        sha1(known[i].text, strlen(known[i].text), hash);
        for (size_t k = 0; k < SHA1_BYTES; k++)
            snprintf(hex + 2 * k, 3, "%02x", hash[k]);
        ck_assert_str_eq(hex, known[i].hash);
    }
}
END_TEST

Suite *ws_open_suite(void)
{
    Suite *s = suite_create("ws_open");
    TCase *t = unit_case(s, "upgrade", 10);
    tcase_add_loop_test(t, each_request, 0, sizeof requests / sizeof requests[0]);
    tcase_add_loop_test(t, a_subprotocol_is_chosen, 0, sizeof subprotocols / sizeof subprotocols[0]);
    tcase_add_test(t, a_message_right_behind);
    tcase_add_test(t, long_heads);
    tcase_add_test(t, an_endless_line);
    tcase_add_test(t, hashes);
    return s;
}
