/*
 * test_frames.c: the framings without a state, against a second reading of their rules (frame_oracle.h): however a
 * stream is cut the packets are the same, an answer comes with the first byte that allows it, nothing is looked at
 * twice or behind the end, and what goes out is what comes in.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "frame_oracle.h"
#include "mario/frame/framings.h"
#include "unit.h"

enum { MAX = 24, LONGEST = 40, STREAMS = 40, PACKETS = LONGEST + 1, ROOM = 4096 };

static struct framing made;
static struct oracle oracle;
static unsigned char *guarded; /* ROOM bytes, then a page that may not be touched */
static void *guarded_base;
static size_t guarded_mapped;

static void setup(void)
{
    ck_assert_ptr_null(word_add("get", 0x10));
    ck_assert_ptr_null(word_add("put", 0x12));
    ck_assert_ptr_null(word_add("getter", 0x11));
    guarded = unit_guarded(ROOM, &guarded_base, &guarded_mapped);
    ck_assert_ptr_nonnull(guarded);
}

static void teardown(void)
{
    munmap(guarded_base, guarded_mapped);
}

static void make(const char *words)
{
    static struct listen_address all[LISTEN_MAX];
    static struct head_rules head;
    struct framing_world world = {.head = &head, .max = MAX};
    char list[256], why[256] = "";
    snprintf(list, sizeof list, "127.0.0.1:1 %s", words);
    ck_assert_msg(listen_parse(list, all, why, sizeof why) == 1 &&
                      framing_make(all, &world, &made, why, sizeof why),
                  "%s", why);
    oracle_set(&oracle, words, MAX);
}

/* The framing about data[0 .. n-1], which end at the guard. */
static enum mario_frame_answer ask(const unsigned char *data, size_t n, size_t seen, struct mario_frame *f)
{
    unsigned char *at = guarded + ROOM - n;
    memcpy(at, data, n);
    *f = (struct mario_frame){0};
    return made.pub.next(&made.pub, NULL, at, (uint32_t) n, (uint32_t) seen, f);
}

static bool same(enum mario_frame_answer answer, const struct mario_frame *f, enum oracle_answer plain,
                 const struct oracle_packet *p)
{
    switch (plain) {
    case ORACLE_OK:
        return answer == MARIO_FRAME_OK && f->need == p->need && f->at == p->at && f->len == p->len &&
               f->id == p->id;
    case ORACLE_MORE:
        return answer == MARIO_FRAME_MORE && f->need == p->need;
    case ORACLE_LENGTH:
        return answer == MARIO_FRAME_BAD && f->fault == REASON_bad_length;
    case ORACLE_FRAME:
        return answer == MARIO_FRAME_BAD && f->fault == REASON_bad_frame;
    default:
        return answer == MARIO_FRAME_BAD && f->fault == REASON_unknown_akg;
    }
}

/* A stream that is often nearly right. */
static size_t draw(unsigned char *stream, uint64_t *random)
{
    static const char some[] =
        "get put getter ab\n\r\n\r\naba\3\1\2\4\5\6\7\10\0\0\0\0\x80\x81\xff\x0a\x0a\x0a";
    size_t n = 1 + unit_random(random) % LONGEST;
    bool wild = unit_random(random) % 8 == 0;
    for (size_t i = 0; i < n; i++) {
        size_t run = unit_random(random) % 6, from = unit_random(random) % (sizeof some - 1);
        for (size_t k = 0; k <= run && i < n && from + k < sizeof some - 1; k++, i++)
            stream[i] = (unsigned char) (wild ? unit_random(random) : (unsigned char) some[from + k]);
        if (i < n)
            stream[i] = (unsigned char) (unit_random(random) % 6);
    }
    return n;
}

/* ---- Every prefix ---- */

START_TEST(every_prefix)
{
    unsigned char stream[LONGEST];
    uint64_t random = 7 + (uint64_t) _i;
    make(oracle_options[_i]);
    bool is_raw = strcmp(oracle.proto, "raw") == 0;
    for (int k = 0; k < 2000; k++) {
        size_t len = draw(stream, &random), bad = 0;
        for (size_t n = 1; n <= len; n++) {
            struct oracle_packet p;
            struct mario_frame f;
            enum oracle_answer plain = oracle_next(&oracle, stream, n, &p);
            UNIT_ASSERT(same(ask(stream, n, 0, &f), &f, plain, &p));
            UNIT_ASSERT(plain != ORACLE_OK || (p.need >= 1 && p.need <= n && p.at + p.len <= p.need));
            UNIT_ASSERT(bad == 0 || plain > ORACLE_MORE || is_raw); /* what is wrong stays so */
            bad = plain > ORACLE_MORE ? n : 0;
        }
    }
}
END_TEST

/* ---- Every cut ---- */

/* A worker's way through a stream: what came, what of it is carried, and how much of that was seen. */
struct reader {
    unsigned char kept[LONGEST];
    size_t have, seen, begun; /* the packet in front begins there in the stream */
    struct oracle_packet packets[PACKETS];
    uint32_t count;
    enum mario_frame_answer answer;
    struct mario_frame last;
};

/* Looked at again, as a packet that waits is, it must be the same, also if more has come meanwhile. */
static void check_again(const unsigned char *data, size_t n, const struct mario_frame *first)
{
    struct mario_frame again;
    UNIT_ASSERT(ask(data, n, first->need, &again) == MARIO_FRAME_OK &&
                memcmp(&again, first, sizeof again) == 0);
    UNIT_ASSERT(ask(data, first->need, first->need, &again) == MARIO_FRAME_OK &&
                memcmp(&again, first, sizeof again) == 0);
}

static void feed(struct reader *r, const unsigned char *data, size_t n)
{
    size_t at = 0;
    memcpy(r->kept + r->have, data, n);
    r->have += n;
    while (r->answer != MARIO_FRAME_BAD && at < r->have) {
        r->answer = ask(r->kept + at, r->have - at, r->seen, &r->last);
        r->seen = r->have - at;
        if (r->answer != MARIO_FRAME_OK)
            break;
        check_again(r->kept + at, r->have - at, &r->last);
        r->packets[r->count++] =
            (struct oracle_packet){r->last.need, r->begun + r->last.at, r->last.len, r->last.id};
        at += r->last.need;
        r->begun += r->last.need;
        r->seen = 0;
    }
    if (r->answer == MARIO_FRAME_BAD)
        return;
    r->have -= at;
    memmove(r->kept, r->kept + at, r->have);
}

/* The stream in one piece, by the oracle. */
static enum oracle_answer read_plainly(const unsigned char *stream, size_t n, struct reader *r)
{
    enum oracle_answer answer = ORACLE_MORE;
    struct oracle_packet p;
    while (r->begun < n &&
           (answer = oracle_next(&oracle, stream + r->begun, n - r->begun, &p)) == ORACLE_OK) {
        r->packets[r->count++] = (struct oracle_packet){p.need, r->begun + p.at, p.len, p.id};
        r->begun += p.need;
    }
    return r->begun == n ? ORACLE_MORE : answer;
}

static void check_reader(const struct reader *r, const struct reader *plain, enum oracle_answer end)
{
    UNIT_ASSERT(r->count == plain->count && r->begun == plain->begun);
    UNIT_ASSERT(memcmp(r->packets, plain->packets, r->count * sizeof r->packets[0]) == 0);
    UNIT_ASSERT((r->answer == MARIO_FRAME_BAD) == (end > ORACLE_MORE));
    UNIT_ASSERT(end != ORACLE_LENGTH || r->last.fault == REASON_bad_length);
    UNIT_ASSERT(end != ORACLE_FRAME || r->last.fault == REASON_bad_frame);
    UNIT_ASSERT(end != ORACLE_UNKNOWN || r->last.fault == REASON_unknown_akg);
}

/* Cut at each two places, and into single bytes: always the packets that are there in one piece. */
START_TEST(every_cut)
{
    unsigned char stream[LONGEST];
    uint64_t random = 1000 + (uint64_t) _i;
    make(oracle_options[_i]);
    if (strcmp(oracle.proto, "raw") == 0)
        return; /* its packets are what came */
    for (int k = 0; k < STREAMS; k++) {
        size_t n = draw(stream, &random);
        struct reader plain = {.count = 0}, single = {.count = 0};
        enum oracle_answer end = read_plainly(stream, n, &plain);
        for (size_t a = 0; a <= n; a++) {
            for (size_t b = a; b <= n; b++) {
                struct reader r = {.count = 0};
                feed(&r, stream, a);
                if (r.answer != MARIO_FRAME_BAD)
                    feed(&r, stream + a, b - a);
                if (r.answer != MARIO_FRAME_BAD)
                    feed(&r, stream + b, n - b);
                check_reader(&r, &plain, end);
            }
        }
        for (size_t i = 0; i < n && single.answer != MARIO_FRAME_BAD; i++)
            feed(&single, stream + i, 1);
        check_reader(&single, &plain, end);
    }
}
END_TEST

/* What was seen is not looked at again: there may stand what it likes. */
START_TEST(a_trickle_is_linear)
{
    static const struct {
        const char *options;
        const char *end;
        size_t len;
    } rows[] = {{"proto=line id=1 max=4000", "\n", 1},
                {"proto=delim=0x03 id=1 max=4000", "\3", 1},
                {"proto=delim=0x0a0d0a0d id=1 max=4000", "\n\r\n\r", 4}};
    unsigned char stream[ROOM];
    struct mario_frame f;
    make(rows[_i].options);
    memset(stream, 'x', sizeof stream);
    for (size_t n = 1; n < 3000; n++) {
        UNIT_ASSERT(ask(stream, n, n - 1, &f) == MARIO_FRAME_MORE && f.need == 0);
        if (n > 2 * rows[_i].len)
            memcpy(stream + n - 2 * rows[_i].len, rows[_i].end, rows[_i].len);
    }
}
END_TEST

START_TEST(varints)
{
    static const struct {
        const char *bytes;
        size_t n, need; /* 0: it is none */
    } rows[] = {{"\x05", 1, 6},
                {"\x80\x01", 2, 130},
                {"\x80\x80\x80\x80\x00", 5, 5}, /* longer than it had to be */
                {"\x80\x80\x80\x80\x10", 5, 0}, /* 1 << 32 */
                {"\x80\x80\x80\x80\x80", 5, 0},
                {"\xff\xff\xff\xff\x0f", 5, 0}}; /* above max */
    make("proto=length size=varint id=3 max=200");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mario_frame f;
        enum mario_frame_answer answer = ask((const unsigned char *) rows[i].bytes, rows[i].n, 0, &f);
        if (rows[i].need == 0)
            UNIT_ASSERT(answer == MARIO_FRAME_BAD && f.fault == REASON_bad_length);
        else
            UNIT_ASSERT(f.need == rows[i].need && f.at == rows[i].n);
    }
}
END_TEST

/* Bytes that come while a packet of `raw` waits are another one. */
START_TEST(raw_that_waits)
{
    struct mario_frame f;
    make("proto=raw id=1");
    UNIT_ASSERT(ask((const unsigned char *) "abc", 3, 0, &f) == MARIO_FRAME_OK && f.need == 3 && f.len == 3);
    UNIT_ASSERT(ask((const unsigned char *) "abcdef", 6, 3, &f) == MARIO_FRAME_OK && f.need == 3 &&
                f.len == 3);
}
END_TEST

/* ---- What goes out ---- */

static bool send_out(const unsigned char *data, size_t len, uint16_t id, unsigned char *out, size_t *n)
{
    struct frame_ends e;
    struct frame_out o = {.data = len > 0 ? data : NULL, .len = (uint32_t) len, .id = id};
    if (!framing_ends(&made.pub)(&made.pub, &o, &e))
        return false;
    memcpy(out, e.front, e.front_len);
    memcpy(out + e.front_len, data, len);
    memcpy(out + e.front_len + len, e.back, e.back_len);
    *n = e.front_len + len + e.back_len;
    return true;
}

/* A payload of each length, framed and read again, is itself, with its id where the packet has a place for it. */
START_TEST(what_goes_out_comes_in)
{
    unsigned char data[300], out[400];
    uint64_t random = 99;
    uint32_t refused = 0, seen = 0;
    make(oracle_options[_i]);
    made.pub.max = oracle.max = made.pub.max == MAX ? 400 : made.pub.max;
    bool bare = framing_ends(&made.pub) == bare_ends;
    for (size_t len = 0; len < sizeof data; len++) {
        uint16_t id = (uint16_t) (unit_random(&random) % (made.rules.id.size == 1 ? 0x100 : 0xfffc));
        struct mario_frame f;
        size_t n;
        for (size_t i = 0; i < len; i++)
            data[i] = (unsigned char) ('A' + unit_random(&random) % 26);
        if (!send_out(data, len, id, out, &n)) {
            refused++;
            continue;
        }
        if (n > made.pub.max || (bare && n != made.pub.max))
            continue;
        enum mario_frame_answer answer = ask(out, n, 0, &f);
        if (made.rules.id.kind == ID_WORD || (made.rules.id.kind == ID_FIELD && oracle.strip >= 0) || bare)
            continue; /* its id is in the payload */
        bool in_front = strcmp(oracle.proto, "length") == 0;
        if (made.rules.id.kind == ID_FIELD && !in_front)
            continue;
        UNIT_ASSERT(answer == MARIO_FRAME_OK && f.need == n);
        UNIT_ASSERT(made.rules.id.kind != ID_FIELD || f.id == id);
        UNIT_ASSERT(oracle.strip >= 0 || (f.len == len && memcmp(out + f.at, data, len) == 0));
        seen++;
    }
    UNIT_ASSERT(seen > 4 || made.pub.max < 6 || bare || made.rules.id.kind != ID_ALWAYS);
    UNIT_ASSERT(refused < 290);
}
END_TEST

START_TEST(what_cannot_go_out)
{
    static unsigned char data[70000], out[70100];
    size_t n;
    memset(data, 'x', sizeof data);
    make("proto=line id=1");
    UNIT_ASSERT(send_out(data, 10, 1, out, &n) && n == 11);
    data[3] = '\n'; /* it would be two */
    UNIT_ASSERT(!send_out(data, 10, 1, out, &n) && send_out(data, 3, 1, out, &n));
    make("proto=delim=0x0a78 id=1");
    UNIT_ASSERT(!send_out(data, 10, 1, out, &n) && send_out(data, 4, 1, out, &n));
    make("proto=delim=0x7878 id=1"); /* its last byte would begin the end */
    UNIT_ASSERT(!send_out(data, 1, 1, out, &n) && !send_out((const unsigned char *) "ax", 2, 1, out, &n));
    UNIT_ASSERT(send_out((const unsigned char *) "xa", 2, 1, out, &n) && n == 4);
    make("proto=line eol=crlf id=1"); /* who is not strict would see two */
    UNIT_ASSERT(!send_out((const unsigned char *) "a\nb", 3, 1, out, &n) && send_out(data, 3, 1, out, &n) &&
                n == 5);
    make("proto=length size=1 id=1");
    UNIT_ASSERT(send_out(data, 255, 1, out, &n) && n == 256 && !send_out(data, 256, 1, out, &n));
    make("proto=length size=1 counts=all id=1");
    UNIT_ASSERT(send_out(data, 254, 1, out, &n) && !send_out(data, 255, 1, out, &n));
    make("proto=length adjust=5 id=1"); /* it cannot say less than 0 */
    UNIT_ASSERT(!send_out(data, 4, 1, out, &n) && send_out(data, 5, 1, out, &n) && out[1] == 0);
    make("proto=length size=varint counts=all id=1"); /* 127: with itself it needs one byte more */
    UNIT_ASSERT(send_out(data, 126, 1, out, &n) && n == 127 && out[0] == 127);
    UNIT_ASSERT(send_out(data, 127, 1, out, &n) && n == 129 && out[0] == 0x81 && out[1] == 1);
    make("proto=length size=1 id=field off=1 size=1");
    UNIT_ASSERT(send_out(data, 1, 0xff, out, &n) && !send_out(data, 1, 0x100, out, &n));
    static struct head_rules head;
    made = (struct framing){.pub = {.next = head_next, .arg = &head}};
    UNIT_ASSERT(send_out(data, 65527, 1, out, &n) && n == 65535 && !send_out(data, 65528, 1, out, &n));
}
END_TEST

/* Bytes that are no packet go as they are. */
START_TEST(raw_is_raw)
{
    struct frame_ends e = {.front_len = 1, .back_len = 1};
    make(oracle_options[_i]);
    UNIT_ASSERT(
        framing_ends(&made.pub)(&made.pub, &(struct frame_out){.data = "a\nb", .len = 3, .raw = true}, &e));
    UNIT_ASSERT(e.front_len == 0 && e.back_len == 0);
}
END_TEST

START_TEST(what_a_fin_ends)
{
    static const struct {
        const char *options, *last, *missing;
    } rows[] = {
        {"proto=line id=1", "a", ""},
        {"proto=line eof=packet id=1", "a\r", "\n"},
        {"proto=line eol=crlf eof=packet id=1", "a", "\r\n"},
        {"proto=line eol=crlf eof=packet id=1", "a\r", "\n"},
        {"proto=delim=0x010203 eof=packet id=1", "a\1\3", "\1\2\3"},
        {"proto=delim=0x010203 eof=packet id=1", "\1\2", "\3"},
        {"proto=delim=0x0d0a0d0a eof=packet id=1", "a\r\n", "\r\n"},
        {"proto=delim=0x0d0a0d0a eof=packet id=1", "a\r\n\r", "\n"},
        {"proto=delim=0x6161616161616162 eof=packet id=1", "xaaaaaaaaaa", "b"},
        {"proto=raw id=1", "a", ""},
    };
    unsigned char end[ENDS_BACK];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *last = rows[i].last, *missing = rows[i].missing;
        make(rows[i].options);
        uint32_t n = framing_eof(&made.pub, (const unsigned char *) last, (uint32_t) strlen(last), end);
        UNIT_ASSERT(n == strlen(missing) && memcmp(end, missing, n) == 0);
    }
}
END_TEST

Suite *frames_suite(void)
{
    Suite *s = suite_create("frames");
    TCase *c = unit_case(s, "bytes in", 20);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, every_prefix, 0, ORACLE_OPTIONS);
    tcase_add_loop_test(c, every_cut, 0, ORACLE_OPTIONS);
    tcase_add_loop_test(c, a_trickle_is_linear, 0, 3);
    tcase_add_test(c, varints);
    tcase_add_test(c, raw_that_waits);
    c = unit_case(s, "bytes out", 20);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, what_goes_out_comes_in, 0, ORACLE_OPTIONS);
    tcase_add_test(c, what_cannot_go_out);
    tcase_add_loop_test(c, raw_is_raw, 0, ORACLE_OPTIONS);
    tcase_add_test(c, what_a_fin_ends);
    return s;
}
