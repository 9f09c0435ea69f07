/*
 * ws_cases.h: what a server has to answer to good and bad streams of a WebSocket: cases in the order of the well-known
 * suite of them (1 to 7, 9, 10). For test_ws.c.
 */
#ifndef MARIO_UNIT_WS_CASES_H
#define MARIO_UNIT_WS_CASES_H

#include <stddef.h>

#include "mario/base/reason.h"

enum { PIECES = 12, TEXT = 0x81, BIN = 0x82, CONT = 0x80, CLOSE = 0x88, PING = 0x89, PONG = 0x8a };

/* A frame: its first byte and payload, or n bytes of '*' if there is no text. */
struct piece {
    unsigned char first;
    const char *text;
    size_t n;
};
#define LIT(first, s)                   \
    {                                   \
        (first), "" s, sizeof("" s) - 1 \
    }
#define FILL(first, n)     \
    {                      \
        (first), NULL, (n) \
    }
#define DONE(code) LIT(CLOSE, code)
#define C1000      "\x03\xe8"
#define C1002      "\x03\xea"
#define C1007      "\x03\xef"
#define C1009      "\x03\xf1"

struct ws_case {
    const char *name;
    struct piece in[PIECES], out[PIECES];
    enum reason fault; /* with which it ends; REASON_NONE: it does not */
};

static const struct ws_case cases[] = {
    /* 1: messages of one frame, echoed */
    {"1.1.1", {LIT(TEXT, "")}, {LIT(TEXT, "")}, REASON_NONE},
    {"1.1.2", {FILL(TEXT, 125)}, {FILL(TEXT, 125)}, REASON_NONE},
    {"1.1.3", {FILL(TEXT, 126)}, {FILL(TEXT, 126)}, REASON_NONE},
    {"1.1.4", {FILL(TEXT, 127)}, {FILL(TEXT, 127)}, REASON_NONE},
    {"1.1.5", {FILL(TEXT, 128)}, {FILL(TEXT, 128)}, REASON_NONE},
    {"1.1.6", {FILL(TEXT, 65535)}, {FILL(TEXT, 65535)}, REASON_NONE},
    {"1.1.7", {FILL(TEXT, 65536)}, {DONE(C1009)}, REASON_bad_length},
    {"1.2.1", {LIT(BIN, "")}, {LIT(BIN, "")}, REASON_NONE},
    {"1.2.2", {FILL(BIN, 125)}, {FILL(BIN, 125)}, REASON_NONE},
    {"1.2.3", {FILL(BIN, 126)}, {FILL(BIN, 126)}, REASON_NONE},
    {"1.2.5", {FILL(BIN, 128)}, {FILL(BIN, 128)}, REASON_NONE},
    {"1.2.6", {FILL(BIN, 65535)}, {FILL(BIN, 65535)}, REASON_NONE},
    {"1.2.7", {FILL(BIN, 65536)}, {DONE(C1009)}, REASON_bad_length},
    /* 2: pings and pongs */
    {"2.1", {LIT(PING, "")}, {LIT(PONG, "")}, REASON_NONE},
    {"2.2", {LIT(PING, "Hello, world!")}, {LIT(PONG, "Hello, world!")}, REASON_NONE},
    {"2.3",
     {LIT(PING, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")},
     {LIT(PONG, "\x00\xff\xfe\xfd\xfc\xfb\x00\xff")},
     REASON_NONE},
    {"2.4", {FILL(PING, 125)}, {FILL(PONG, 125)}, REASON_NONE},
    {"2.5", {FILL(PING, 126)}, {DONE(C1002)}, REASON_bad_frame},
    {"2.7", {LIT(PONG, "")}, {{0}}, REASON_NONE},
    {"2.8", {LIT(PONG, "unsolicited")}, {{0}}, REASON_NONE},
    {"2.9", {LIT(PONG, "unsolicited"), LIT(PING, "ping")}, {LIT(PONG, "ping")}, REASON_NONE},
    {"2.10",
     {LIT(PING, "1"), LIT(PING, "2"), LIT(PING, "3")},
     {LIT(PONG, "1"), LIT(PONG, "2"), LIT(PONG, "3")},
     REASON_NONE},
    /* 3: reserved bits */
    {"3.1", {LIT(TEXT | 0x10, "small")}, {DONE(C1002)}, REASON_bad_frame},
    {"3.2",
     {LIT(TEXT, "small"), LIT(TEXT | 0x20, "small"), LIT(PING, "")},
     {LIT(TEXT, "small"), DONE(C1002)},
     REASON_bad_frame},
    {"3.4",
     {LIT(TEXT, "small"), LIT(TEXT | 0x40, "small"), LIT(PING, "")},
     {LIT(TEXT, "small"), DONE(C1002)},
     REASON_bad_frame},
    {"3.5", {LIT(BIN | 0x50, "\x00\xff")}, {DONE(C1002)}, REASON_bad_frame},
    {"3.6", {LIT(PING | 0x60, "ping")}, {DONE(C1002)}, REASON_bad_frame},
    {"3.7", {LIT(CLOSE | 0x70, "")}, {DONE(C1002)}, REASON_bad_frame},
    /* 4: reserved opcodes */
    {"4.1.1", {LIT(0x83, "")}, {DONE(C1002)}, REASON_bad_frame},
    {"4.1.2", {LIT(0x84, "reserved")}, {DONE(C1002)}, REASON_bad_frame},
    {"4.1.3",
     {LIT(TEXT, "x"), LIT(0x85, ""), LIT(PING, "")},
     {LIT(TEXT, "x"), DONE(C1002)},
     REASON_bad_frame},
    {"4.1.4",
     {LIT(TEXT, "x"), LIT(0x86, "reserved"), LIT(PING, "")},
     {LIT(TEXT, "x"), DONE(C1002)},
     REASON_bad_frame},
    {"4.1.5",
     {LIT(TEXT, "x"), LIT(0x87, ""), LIT(PING, "")},
     {LIT(TEXT, "x"), DONE(C1002)},
     REASON_bad_frame},
    {"4.2.1", {LIT(0x8b, "")}, {DONE(C1002)}, REASON_bad_frame},
    {"4.2.2", {LIT(0x8c, "reserved")}, {DONE(C1002)}, REASON_bad_frame},
    {"4.2.3",
     {LIT(TEXT, "x"), LIT(0x8d, ""), LIT(PING, "")},
     {LIT(TEXT, "x"), DONE(C1002)},
     REASON_bad_frame},
    {"4.2.4",
     {LIT(TEXT, "x"), LIT(0x8e, "reserved"), LIT(PING, "")},
     {LIT(TEXT, "x"), DONE(C1002)},
     REASON_bad_frame},
    {"4.2.5",
     {LIT(TEXT, "x"), LIT(0x8f, ""), LIT(PING, "")},
     {LIT(TEXT, "x"), DONE(C1002)},
     REASON_bad_frame},
    /* 5: fragments */
    {"5.1", {LIT(0x09, "fragment1"), LIT(CONT, "fragment2")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.2", {LIT(0x0a, "fragment1"), LIT(CONT, "fragment2")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.3", {LIT(0x01, "fragment1"), LIT(CONT, "fragment2")}, {LIT(TEXT, "fragment1fragment2")}, REASON_NONE},
    {"5.6",
     {LIT(0x01, "fragment1"), LIT(PING, "ping"), LIT(CONT, "fragment2")},
     {LIT(PONG, "ping"), LIT(TEXT, "fragment1fragment2")},
     REASON_NONE},
    {"5.9", {LIT(CONT, "non-continuation"), LIT(TEXT, "Hello")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.12", {LIT(0x00, "non-continuation"), LIT(TEXT, "Hello")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.15",
     {LIT(0x01, "fragment1"), LIT(CONT, "fragment2"), LIT(0x00, "fragment3"), LIT(0x01, "fragment4"),
      LIT(CONT, "fragment5")},
     {LIT(TEXT, "fragment1fragment2"), DONE(C1002)},
     REASON_bad_frame},
    {"5.16", {LIT(0x00, "f1"), LIT(0x01, "f2"), LIT(CONT, "f3")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.17", {LIT(CONT, "f1"), LIT(0x01, "f2"), LIT(CONT, "f3")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.18", {LIT(0x01, "fragment1"), LIT(TEXT, "fragment2")}, {DONE(C1002)}, REASON_bad_frame},
    {"5.19",
     {LIT(0x01, "1"), LIT(0x00, "2"), LIT(PING, "a"), LIT(0x00, "3"), LIT(0x00, "4"), LIT(PING, "b"),
      LIT(CONT, "5")},
     {LIT(PONG, "a"), LIT(PONG, "b"), LIT(TEXT, "12345")},
     REASON_NONE},
    {"5.binary",
     {LIT(0x02, "\xff"), LIT(0x00, ""), LIT(0x00, "\xfe"), LIT(CONT, ""), LIT(TEXT, "t")},
     {LIT(BIN, "\xff\xfe"), LIT(TEXT, "t")},
     REASON_NONE},
    {"5.too long", {FILL(0x02, 40000), FILL(CONT, 40000)}, {DONE(C1009)}, REASON_bad_length},
    {"5.longest",
     {FILL(0x02, 60000), FILL(PING, 125), FILL(PING, 125), FILL(PING, 125), FILL(PING, 125), FILL(PING, 125),
      FILL(PING, 125), FILL(PING, 125), FILL(PING, 125), FILL(PING, 125), FILL(CONT, 5535)},
     {FILL(PONG, 125), FILL(PONG, 125), FILL(PONG, 125), FILL(PONG, 125), FILL(PONG, 125), FILL(PONG, 125),
      FILL(PONG, 125), FILL(PONG, 125), FILL(PONG, 125), FILL(BIN, 65535)},
     REASON_NONE},
    /* 6: UTF-8 */
    {"6.1.2", {LIT(0x01, ""), LIT(0x00, ""), LIT(CONT, "")}, {LIT(TEXT, "")}, REASON_NONE},
    {"6.1.4",
     {LIT(BIN & 0x7f, ""), LIT(0x00, ""), LIT(PING, ""), LIT(CONT, "")},
     {LIT(PONG, ""), LIT(BIN, "")},
     REASON_NONE},
    {"6.1.3", {LIT(0x01, ""), LIT(0x00, "middle"), LIT(CONT, "")}, {LIT(TEXT, "middle")}, REASON_NONE},
    {"6.2.1",
     {LIT(TEXT, "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!")},
     {LIT(TEXT, "Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!")},
     REASON_NONE},
    {"6.2.3",
     {LIT(0x01, "\xce\xba\xe1"), LIT(0x00, "\xbd"), LIT(CONT, "\xb9")},
     {LIT(TEXT, "\xce\xba\xe1\xbd\xb9")},
     REASON_NONE},
    {"6.3.1",
     {LIT(TEXT, "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80"
                "edited")},
     {DONE(C1007)},
     REASON_bad_frame},
    {"6.4.1", {LIT(0x01, "\xce\xba\xf4\x90\x80\x80"), LIT(CONT, "edited")}, {DONE(C1007)}, REASON_bad_frame},
    {"6.6.1", {LIT(TEXT, "\xce")}, {DONE(C1007)}, REASON_bad_frame},
    {"6.6.5", {LIT(0x01, "ok \xe1\xbd"), LIT(CONT, "")}, {DONE(C1007)}, REASON_bad_frame},
    {"6.binary", {LIT(BIN, "\xce\xff")}, {LIT(BIN, "\xce\xff")}, REASON_NONE},
    /* 7: the end */
    {"7.1.1",
     {LIT(TEXT, "Hello World!"), DONE(C1000)},
     {LIT(TEXT, "Hello World!"), DONE(C1000)},
     REASON_peer_closed},
    {"7.1.2", {DONE(C1000), DONE(C1000)}, {DONE(C1000)}, REASON_peer_closed},
    {"7.1.3", {DONE(C1000), LIT(PING, "after")}, {DONE(C1000)}, REASON_peer_closed},
    {"7.1.4", {DONE(C1000), LIT(TEXT, "after")}, {DONE(C1000)}, REASON_peer_closed},
    {"7.1.5",
     {LIT(0x01, "fragment1"), DONE(C1000), LIT(CONT, "fragment2")},
     {DONE(C1000)},
     REASON_peer_closed},
    {"7.1.6",
     {FILL(BIN, 60000), DONE(C1000), LIT(PING, "")},
     {FILL(BIN, 60000), DONE(C1000)},
     REASON_peer_closed},
    {"7.3.1", {LIT(CLOSE, "")}, {LIT(CLOSE, "")}, REASON_peer_closed},
    {"7.3.2", {LIT(CLOSE, "a")}, {DONE(C1002)}, REASON_bad_frame},
    {"7.3.4", {LIT(CLOSE, C1000 "Hello World!")}, {DONE(C1000)}, REASON_peer_closed},
    {"7.3.5",
     {LIT(CLOSE, C1000 "12345678901234567890123456789012345678901234567890123456789012"
                       "3456789012345678901234567890123456789012345678901234567890123")},
     {DONE(C1000)},
     REASON_peer_closed},
    {"7.3.6", {FILL(CLOSE, 126)}, {DONE(C1002)}, REASON_bad_frame},
    {"7.5.1", {LIT(CLOSE, C1000 "\xce\xba\xed\xa0\x80")}, {DONE(C1007)}, REASON_bad_frame},
    {"7.5.cut", {LIT(CLOSE, C1000 "\xce")}, {DONE(C1007)}, REASON_bad_frame},
    {"close fragmented", {LIT(0x08, C1000)}, {DONE(C1002)}, REASON_bad_frame},
};

#endif
