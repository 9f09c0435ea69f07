/*
 * test_listeners.c: options behind an address of the listen list: how they are read, what they make, what is refused
 * and what is said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/mario_tls.h"
#include "mario/server/listeners.h"
#include "unit.h"

static struct listen_address all[LISTEN_MAX];
static struct listener_make made[LISTEN_MAX];
static char why[512];

static int parse(const char *list)
{
    static struct head_rules head;
    why[0] = '\0';
    return listeners_parse(list, &(struct framing_world){.head = &head, .max = 8192}, all, made, why,
                           sizeof why);
}

static void has(uint32_t i, const char *name, const char *value)
{
    const char *there = listen_option(&all[i], name);
    if (value == NULL)
        ck_assert_msg(there == NULL, "%s: %s", name, there);
    else
        ck_assert_str_eq(there, value);
}

/* ---- Reading ---- */

START_TEST(words_behind_an_address)
{
    ck_assert_int_eq(
        parse("0.0.0.0:80,\t127.0.0.1:81 \t proto=line  id=0x10\tmax=100 ,[::1]:82 id=word proto=raw"), 3);
    ck_assert_str_eq(all[0].name, "0.0.0.0:80");
    ck_assert_str_eq(all[1].name, "127.0.0.1:81");
    ck_assert_uint_eq(listen_port(&all[1]), 81);
    has(0, "proto", NULL);
    has(1, "proto", "line");
    has(1, "id", "0x10");
    has(1, "max", "100");
    has(1, "eol", NULL);
    has(2, "proto", "raw");
    has(2, "id", "word");
}
END_TEST

/* Three names are of the length, or of the id that they stand behind. */
START_TEST(whose_option_it_is)
{
    ck_assert_int_eq(parse("1.1.1.1:1 proto=length off=1 size=4 id=field off=5 size=1 endian=little,"
                           "1.1.1.1:2 id=field size=1 off=2 proto=length endian=little off=3"),
                     2);
    has(0, "off", "1");
    has(0, "size", "4");
    has(0, "endian", NULL);
    has(0, "id off", "5");
    has(0, "id size", "1");
    has(0, "id endian", "little");
    has(1, "id off", "2");
    has(1, "off", "3");
    has(1, "endian", "little");
    has(1, "id endian", NULL);
}
END_TEST

START_TEST(short_forms)
{
    ck_assert_int_eq(parse("1.1.1.1:1 proto=fixed=16 id=1,1.1.1.1:2 proto=delim=0x0304 id=1"), 2);
    has(0, "proto", "fixed");
    has(0, "fixed", "16");
    has(1, "proto", "delim");
    has(1, "delim", "0x0304");
    ck_assert_uint_eq(made[0].framing.pub.max, 16);
    ck_assert_uint_eq(made[1].framing.rules.delim.len, 2);
}
END_TEST

/* A path may have blanks; its options begin where one could. */
START_TEST(behind_a_path)
{
    ck_assert_int_eq(parse("unix:/a b proto=raw id=1, unix:/a  b, unix:/c id=2 proto=raw"), 3);
    ck_assert_str_eq(all[0].name, "unix:/a b");
    ck_assert_str_eq(all[1].name, "unix:/a  b");
    ck_assert_str_eq(all[2].name, "unix:/c");
    has(0, "id", "1");
    ck_assert_uint_eq(all[1].option_count, 0);
}
END_TEST

/* Datagrams and connections do not meet, whatever their port. */
START_TEST(udp_beside_tcp)
{
    ck_assert_int_eq(
        listen_parse("0.0.0.0:80, udp:0.0.0.0:80, udp:[::]:81, 0.0.0.0:81", all, why, sizeof why), 4);
    ck_assert(!all[0].datagram && all[1].datagram && all[2].datagram);
    ck_assert_str_eq(all[1].name, "udp:0.0.0.0:80");
    ck_assert_uint_eq(listen_port(&all[1]), 80);
    ck_assert(all[2].lacks_v4);
    ck_assert_int_eq(listen_parse("udp:0.0.0.0:80, udp:127.0.0.1:80", all, why, sizeof why), -1);
    ck_assert_str_eq(why, "'udp:127.0.0.1:80': overlaps udp:0.0.0.0:80, which is in the list too");
    ck_assert_int_eq(listen_parse("udp:unix:/a", all, why, sizeof why), -1);
    ck_assert_str_eq(why, "'udp:unix:/a': a unix socket takes no datagrams");
}
END_TEST

static void datagrams_refused(const char *list, const char *line)
{
    ck_assert_int_eq(parse(list), -1);
    ck_assert_str_eq(why, line);
}

/* How long an answer may be, and what datagrams cannot have. */
START_TEST(what_datagrams_may_ask_for)
{
    ck_assert_int_eq(
        parse("udp:1.1.1.1:1, udp:1.1.1.1:2 amplify=3, udp:1.1.1.1:3 proto=line id=1 amplify=100"), 3);
    ck_assert_int_eq(made[0].amplify, 1);
    ck_assert_int_eq(made[1].amplify, 3);
    ck_assert_int_eq(made[2].amplify, 100);
    datagrams_refused("1.1.1.1:1 amplify=3", "'1.1.1.1:1': amplify= is for udp: alone");
    datagrams_refused("udp:1.1.1.1:1 amplify=0",
                      "'udp:1.1.1.1:1': amplify=0: not a number that can be (allowed: 1 .. 100)");
    datagrams_refused("udp:1.1.1.1:1 amplify=101",
                      "'udp:1.1.1.1:1': amplify=101: not a number that can be (allowed: 1 .. 100)");
    datagrams_refused("udp:1.1.1.1:1 proto=ws",
                      "'udp:1.1.1.1:1': proto=ws is for connections: not with udp:");
    datagrams_refused("udp:1.1.1.1:1 proxy=on", "'udp:1.1.1.1:1': proxy= is for connections: not with udp:");
    datagrams_refused("udp:1.1.1.1:1 tls=a", "'udp:1.1.1.1:1': tls= is for connections: not with udp:");
    datagrams_refused("udp:1.1.1.1:1 oob=mark", "'udp:1.1.1.1:1': oob= is for connections: not with udp:");
}
END_TEST

/* ---- What they make ---- */

/* Whatever else an entry asks for, but datagrams and a mark in the stream. */
START_TEST(with_tls)
{
    static const struct mario_tls sections[] = {{.name = "a"}, {.name = "a23456789012345678901234567890_"}};
    static const char list[] =
        "1.1.1.1:1, 1.1.1.1:2 tls=a proto=ws, 1.1.1.1:3 proxy=on trust=10.0.0.0/8 oob=inline "
        "tls=a23456789012345678901234567890_+a, unix:/a b tls=a proto=raw id=1";
    ck_assert_int_eq(parse(list), 4);
    ck_assert(!made[0].tls && made[1].tls && made[2].tls && made[3].tls);
    has(0, "tls", NULL);
    has(2, "tls", "a23456789012345678901234567890_+a");
    ck_assert_int_eq(mario_tls_listen_check(list, sections, 2, why, sizeof why), 0);
    ck_assert_int_eq(mario_tls_listen_check("1.1.1.1:1 tls=a+b", sections, 2, why, sizeof why), -1);
    ck_assert_str_eq(why, "'1.1.1.1:1': tls=a+b: there is no section 'b'");
    ck_assert_int_eq(mario_tls_listen_check("1.1.1.1:1 tls=a2", sections, 2, why, sizeof why), -1);
    ck_assert_int_eq(mario_tls_listen_check("1.1.1.1:1", NULL, 0, why, sizeof why), 0);
}
END_TEST

START_TEST(what_they_make)
{
    ck_assert_int_eq(
        parse(
            "1.1.1.1:1, 1.1.1.1:2 max=100, 1.1.1.1:3 proto=line id=7, 1.1.1.1:4 proto=raw id=0xfffb max=65535,"
            "1.1.1.1:5 proto=line eol=crlf eof=packet id=word, 1.1.1.1:6 proto=length id=field off=2"),
        6);
    const struct framing *f = &made[0].framing;
    ck_assert_str_eq(f->pub.name, "head");
    ck_assert_uint_eq(f->pub.max, 8192);
    ck_assert(f->pub.next == head_next && framing_ends(&f->pub) == head_ends);
    ck_assert_uint_eq(made[1].framing.pub.max, 100);
    ck_assert(made[2].framing.rules.id.kind == ID_ALWAYS && made[2].framing.rules.id.id == 7);
    ck_assert_uint_eq(made[2].framing.pub.max, 8192);
    ck_assert_uint_eq(made[3].framing.pub.max, 65535);
    ck_assert_uint_eq(made[3].framing.rules.id.id, 0xfffb);
    ck_assert(made[4].framing.rules.delim.strict && made[4].framing.rules.delim.eof_is_end);
    ck_assert(made[4].framing.rules.id.kind == ID_WORD);
    for (int i = 1; i < 6; i++)
        ck_assert_uint_eq(made[i].framing.pub.state_size, 0);
}
END_TEST

#define SUBPROTOCOLS " of subprotocols (allowed: of 1 .. 64 characters, with + between them)"
#define LETTERS      "sixty-four-letters-and-one-are-more-than-a-subprotocol-can-have-"
#define ALL_NAMES    "head, raw, line, delim, fixed, length"

static const struct {
    const char *options, *why;
} refused[] = {
    {"line", "'line': an option is name=value"},
    {"tls=", "'tls=': an option is name=value"},
    {"tls=a tls=b", "tls= stands there twice"},
    {"tls=Default", "tls=Default: not NAME or NAME+NAME... (allowed: 1 .. 31 of a-z, 0-9, '-', '_')"},
    {"tls=a+", "tls=a+: not NAME or NAME+NAME... (allowed: "},
    {"tls=+a", "tls=+a: not NAME or NAME+NAME... (allowed: "},
    {"tls=a++b", "tls=a++b: not NAME or NAME+NAME... (allowed: "},
    {"tls=a:b", "tls=a:b: not NAME or NAME+NAME... (allowed: "},
    {"tls=a23456789012345678901234567890_2",
     "tls=a23456789012345678901234567890_2: not NAME or NAME+NAME... (allowed: 1 .. 31 of a-z, 0-9, '-', '_')"},
    {"tls=a oob=mark", "oob=mark is not for tls="},
    {"proto=", "'proto=': an option is name=value"},
    {"=line", "'=line': an option is name=value"},
    {"proto=raw id=1 proto=line", "proto= stands there twice"},
    {"proto=fixed=1 fixed=2 id=1", "fixed= stands there twice"},
    {"proto=raw id=field size=2 size=3", "id size= stands there twice"},
    {"proto=raw id=1 size=2", "id=1 has no off=, size=, endian=: id=field has"},
    {"proto=raw", "proto=raw: for which function? (allowed: id=0x0000 .. 0xfffb, id=field, id=word)"},
    {"id=1", "proto=head says itself which function a packet is for: no id="},
    {"max=7", "max=7 is less than a HEAD (allowed: 8 .. 65535)"},
    {"max=0", "max=0: not a number that can be (allowed: 1 .. 65535)"},
    {"max=65536", "max=65536: not a number that can be (allowed: 1 .. 65535)"},
    {"max=1k", "max=1k: not a number that can be (allowed: 1 .. 65535)"},
    {"max=0x", "max=0x: not a number that can be (allowed: 1 .. 65535)"},
    {"max=-1", "max=-1: not a number that can be (allowed: 1 .. 65535)"},
    {"max=99999999999999999999", "max=99999999999999999999: not a number that can be (allowed: 1 .. 65535)"},
    {"proto=raw id=0xfffc", "id=0xfffc: not a number that can be (allowed: 0 .. 65531)"},
    {"proto=raw id=words", "id=words: no such rule (allowed: 0x0000 .. 0xfffb, field, word)"},
    {"proto=raw id=field size=5", "id size=5: not a number that can be (allowed: 1 .. 4)"},
    {"proto=line id=1 eol=cr", "eol=cr: no such value (allowed: lf, crlf)"},
    {"proto=line id=1 eof=x", "eof=x: no such value (allowed: drop, packet)"},
    {"proto=line id=1 max=1", "max=1 has no room for more than the end"},
    {"proto=raw id=1 eol=lf", "eol= is no option of proto=raw"},
    {"proto=line id=1 delim=0x01", "delim= is no option of proto=line, which has eol eof "},
    {"proto=delim id=1",
     "proto=delim: by which bytes? (allowed: delim=0x00 .. of 1 .. 8 bytes, as in 0x0d0a)"},
    {"proto=delim=0x id=1",
     "proto=delim: by which bytes? (allowed: delim=0x00 .. of 1 .. 8 bytes, as in 0x0d0a)"},
    {"proto=delim=0x123 id=1",
     "proto=delim: by which bytes? (allowed: delim=0x00 .. of 1 .. 8 bytes, as in 0x0d0a)"},
    {"proto=delim=0x1g id=1",
     "proto=delim: by which bytes? (allowed: delim=0x00 .. of 1 .. 8 bytes, as in 0x0d0a)"},
    {"proto=delim=0x010203040506070809 id=1",
     "proto=delim: by which bytes? (allowed: delim=0x00 .. of 1 .. 8 bytes, as in 0x0d0a)"},
    {"proto=fixed id=1", "proto=fixed: of how many bytes? (allowed: fixed=1 .. 65535)"},
    {"proto=fixed=0 id=1", "fixed=0: not a number that can be (allowed: 1 .. 65535)"},
    {"proto=fixed=4 max=4 id=1", "max= and fixed= are the same"},
    {"proto=fixed=4 id=field off=3", "id=field is not within 4 bytes"},
    {"proto=length id=1 proto=raw", "proto= stands there twice"},
    {"proto=length size=5 id=1", "size=5: not a number that can be (allowed: 1 .. 4)"},
    {"proto=length size=varint endian=big id=1", "size=varint has no endian="},
    {"proto=length size=varint strip=1 id=1", "strip=1: not a number that can be (allowed: 0 .. 0)"},
    {"proto=length size=varint id=field off=1", "id=field must end where the varint begins, at 0"},
    {"proto=length off=33 id=1", "off=33: not a number that can be (allowed: 0 .. 32)"},
    {"proto=length off=2 id=field off=1", "id=field and the length are at the same place"},
    {"proto=length id=field off=40 size=1",
     "id=field ends behind what can be stripped: strip= is needed (allowed: 0 .. 40)"},
    {"proto=length size=4 max=4 id=1", "max=4 has no room for more than the length"},
    {"proto=line subprotocol=a id=1", "subprotocol= is no option of proto=line, which has eol eof "},
    {"proto=ws subprotocol=a(b", "subprotocol=a(b: no names" SUBPROTOCOLS},
    {"proto=ws subprotocol=a++b", "subprotocol=a++b: no names" SUBPROTOCOLS},
    {"proto=ws subprotocol=a+", "subprotocol=a+: no names" SUBPROTOCOLS},
    {"proto=ws subprotocol=" LETTERS "l", "subprotocol=" LETTERS ": no names" SUBPROTOCOLS},
    {"proto=length counts=most id=1", "counts=most: no such value (allowed: rest, all)"},
    {"proto=Line id=1", "proto=Line: no such framing (allowed: "},
};

START_TEST(what_cannot_be)
{
    char list[256], want[512], said[512];
    snprintf(list, sizeof list, "0.0.0.0:1, 1.2.3.4:5 %s", refused[_i].options);
    snprintf(want, sizeof want, "'1.2.3.4:5': %s", refused[_i].why);
    ck_assert_int_eq(parse(list), -1);
    size_t n = why[0] != '\0' && want[strlen(want) - 1] == ' ' ? strlen(want) : strlen(why);
    ck_assert_msg(strncmp(why, want, n) == 0 && n >= strlen(want), "'%s': '%s'", refused[_i].options, why);
    ck_assert_int_eq(mario_listen_check(list, said, sizeof said), -1);
    ck_assert_str_eq(said, why);
    ck_assert_int_eq(mario_listen_check(list, NULL, 0), -1);
}
END_TEST

START_TEST(names_that_are_none)
{
    ck_assert_int_eq(parse("1.2.3.4:5 protoo=line"), -1);
    ck_assert_msg(strncmp(why, "'1.2.3.4:5': 'protoo' is no option (allowed: proto id max eol ", 62) == 0,
                  "%s", why);
    ck_assert_int_eq(parse("1.2.3.4:5 proto=none id=1"), -1);
    ck_assert_msg(
        strstr(why, "proto=none: no such framing (allowed: head, raw, line, delim, fixed, length") != NULL,
        "%s", why);
}
END_TEST

START_TEST(too_many)
{
    char list[LISTEN_TEXT + 100] = "1.2.3.4:5 proto=raw id=1 trust=";
    memset(list + strlen(list), '1', LISTEN_TEXT);
    ck_assert_int_eq(parse(list), -1);
    ck_assert_str_eq(why, "'1.2.3.4:5': too many options (allowed: 16, of 1024 bytes together)");
    ck_assert_int_eq(
        parse(
            "1.2.3.4:5 id=field off=1 size=1 endian=big proto=length off=1 size=1 endian=big counts=all adjust=1 "
            "strip=1 max=9 eol=lf eof=drop delim=1 fixed=1 path=x"),
        -1);
    ck_assert_str_eq(why, "'1.2.3.4:5': too many options (allowed: 16, of 1024 bytes together)");
}
END_TEST

/* ---- Framings of one's own ---- */

static uint32 asked_max; /* what it was told of its largest packet */

static enum mario_frame_answer theirs(const struct mario_framing *f, void *state, ubyte *data, uint32 n,
                                      uint32 seen, struct mario_frame *frame)
{
    (void) state;
    (void) seen;
    ck_assert_str_eq(f->name, "own");
    ck_assert_ptr_eq(f->arg, why);
    asked_max = f->max;
    frame->need = data[0] == '?' ? n + 1 : n;
    frame->at = data[0] == '@';
    frame->len = n - frame->at;
    frame->id = 9;
    frame->fault = 0x123;
    return data[0] == '!' ? MARIO_FRAME_BAD : data[0] == '+' ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

static sint32 wrap(CONN *c, uint16 id, const void *data, uint32 len)
{
    return c == NULL && id == 0 && data == NULL && len == 0 ? 0 : -1;
}

static enum mario_frame_answer ask(const struct mario_framing *f, const char *text, struct mario_frame *frame)
{
    ubyte data[32];
    size_t n = strlen(text);
    memcpy(data, text, n);
    *frame = (struct mario_frame){0};
    return f->next(f, NULL, data, (uint32) n, 0, frame);
}

START_TEST(ones_own)
{
    struct mario_framing own = {
        .name = "own", .next = theirs, .wrap = wrap, .state_size = 8, .max = 100, .arg = why};
    struct mario_frame f;
    ck_assert_ptr_null(framing_add(&own));
    ck_assert_ptr_null(word_add("get", 0x10));
    ck_assert_int_eq(
        parse("1.1.1.1:1 proto=own,1.1.1.1:2 proto=own max=50 id=word,1.1.1.1:3 proto=own id=field off=2"),
        3);
    for (int i = 0; i < 3; i++) {
        const struct mario_framing *p = &made[i].framing.pub;
        ck_assert(p->wrap == wrap && p->state_size == 8 && framing_ends(p) == NULL);
        ck_assert_uint_eq(p->max, i == 1 ? 50 : 100);
    }
    ck_assert_int_eq(ask(&made[0].framing.pub, "get", &f), MARIO_FRAME_OK);
    ck_assert_uint_eq(f.id, 9);
    const struct mario_framing *words = &made[1].framing.pub;
    ck_assert_int_eq(ask(words, "get", &f), MARIO_FRAME_OK);
    ck_assert_uint_eq(f.id, 0x10);
    ck_assert_uint_eq(asked_max, 50);
    ck_assert_int_eq(ask(words, "@get", &f), MARIO_FRAME_OK); /* of what in_buf shows */
    ck_assert_uint_eq(f.id, 0x10);
    ck_assert_int_eq(ask(words, "put", &f), MARIO_FRAME_BAD);
    ck_assert_uint_eq(f.fault, MARIO_FAULT_ID);
    ck_assert_int_eq(ask(words, "!", &f), MARIO_FRAME_BAD);
    ck_assert_uint_eq(f.fault, 0x123);
    ck_assert_int_eq(ask(words, "+get", &f), MARIO_FRAME_MORE);
    ck_assert_int_eq(ask(words, "?get", &f), MARIO_FRAME_OK); /* nonsense is left to who says so */
    ck_assert_uint_eq(f.need, 5);
    ck_assert_int_eq(ask(&made[2].framing.pub, "abc", &f), MARIO_FRAME_BAD);
    ck_assert_uint_eq(f.fault, MARIO_FAULT_LENGTH);
    ck_assert_int_eq(ask(&made[2].framing.pub, "ab\1\2", &f), MARIO_FRAME_OK);
    ck_assert_uint_eq(f.id, 0x102);
    ck_assert_int_eq(parse("1.1.1.1:1 proto=own eol=lf"), -1);
    ck_assert_str_eq(why, "'1.1.1.1:1': eol= is no option of proto=own");
}
END_TEST

/* ---- Words ---- */

static bool means(const char *text, uint16_t id)
{
    uint16_t found = 0xffff;
    return word_find(text, (uint32_t) strlen(text), &found) && found == id;
}

START_TEST(words_in_any_order)
{
    char word[8];
    uint16_t id;
    ck_assert(!word_find("", 0, &id) && !word_find("a", 1, &id));
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(word, sizeof word, "w%u", (unsigned) (i * 617 % 1000));
        ck_assert_ptr_null(word_add(word, (uint16_t) i));
    }
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(word, sizeof word, "w%u", (unsigned) (i * 617 % 1000));
        ck_assert(means(word, (uint16_t) i));
    }
    ck_assert_ptr_null(word_add("w10", 0xfffb));
    ck_assert(means("w10", 0xfffb) && means("w10 arguments", 0xfffb) && means("w10\targuments", 0xfffb));
    ck_assert(!word_find("w1000", 5, &id) && !word_find(" w10", 4, &id) && !word_find("W10", 3, &id) &&
              !word_find("w", 1, &id));
    ck_assert_ptr_null(word_add("*", 5));
    ck_assert(means("w10", 0xfffb) && means("w1000", 5) && means("", 5) && means(" w10", 5) && means("*", 5));
}
END_TEST

START_TEST(words_that_are_none)
{
    char longest[66];
    uint16_t id;
    memset(longest, 'x', sizeof longest);
    longest[65] = '\0';
    ck_assert_ptr_nonnull(word_add("", 1));
    ck_assert_ptr_nonnull(word_add("two words", 1));
    ck_assert_ptr_nonnull(word_add("\xc3\xa4", 1));
    ck_assert_ptr_nonnull(word_add(longest, 1));
    longest[64] = '\0';
    ck_assert_ptr_null(word_add(longest, 2));
    ck_assert(means(longest, 2));
    longest[64] = 'x';
    ck_assert(!word_find(longest, 65, &id) && word_find(longest, 64, &id));
    longest[63] = '\0';
    ck_assert(!word_find(longest, 63, &id));
}
END_TEST

Suite *listeners_suite(void)
{
    Suite *s = suite_create("listeners");
    TCase *c = unit_case(s, "options", 10);
    tcase_add_test(c, words_behind_an_address);
    tcase_add_test(c, whose_option_it_is);
    tcase_add_test(c, short_forms);
    tcase_add_test(c, behind_a_path);
    tcase_add_test(c, udp_beside_tcp);
    tcase_add_test(c, what_datagrams_may_ask_for);
    tcase_add_test(c, what_they_make);
    tcase_add_test(c, with_tls);
    tcase_add_loop_test(c, what_cannot_be, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(c, names_that_are_none);
    tcase_add_test(c, too_many);
    tcase_add_test(c, ones_own);
    c = unit_case(s, "words", 10);
    tcase_add_test(c, words_in_any_order);
    tcase_add_test(c, words_that_are_none);
    return s;
}
