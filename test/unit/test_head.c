/*
 * test_head.c: HEAD+Data. Every answer at every length of a prefix, as early as the bytes allow and never
 * from a byte beyond them: what is looked at ends where a page begins that may not be touched.
 */
#include "mario/frame/head.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STX 0x8eb69af7u

enum { IDS = 65536, ROOM = 65535 };

static FUNC_PTR funcs[IDS]; /* the ids that are known */
static struct head_rules rules;
static unsigned char *guarded; /* ROOM bytes, then a page that may not be touched */
static void *guarded_base;
static size_t guarded_mapped;

static sint32 some_function(CONN *c)
{
    (void) c;
    return 0;
}

static void setup(void)
{
    memset(funcs, 0, sizeof funcs);
    rules = (struct head_rules){.stx = STX, .funcs = funcs};
    funcs[0x6101] = funcs[0x6102] = funcs[0x0000] = funcs[0xfffb] = some_function;
    guarded = unit_guarded(ROOM, &guarded_base, &guarded_mapped);
    ck_assert_ptr_nonnull(guarded);
}

static void teardown(void)
{
    munmap(guarded_base, guarded_mapped);
}

static struct mario_framing framing_for(uint32_t max_pkglen)
{
    return (struct mario_framing){.name = "head", .next = head_next, .max = max_pkglen, .arg = &rules};
}

static void put_head(unsigned char *to, uint32_t stx, uint32_t len, uint32_t id)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char) (stx >> 8 * i);
    to[4] = (unsigned char) len;
    to[5] = (unsigned char) (len >> 8);
    to[6] = (unsigned char) id;
    to[7] = (unsigned char) (id >> 8);
}

/* head_look() on n bytes that begin with this head; they end at the guard page, and *p begins as rubbish. */
static enum mario_frame_answer ask(const struct mario_framing *framing, size_t n, const unsigned char head[8],
                                   struct mario_frame *p)
{
    unsigned char *at = guarded + ROOM - n;
    memcpy(at, head, n < 8 ? n : 8);
    memset(p, 0xa5, sizeof *p);
    return head_look(framing, at, (uint32_t) n, p);
}

static void check_more(enum mario_frame_answer answer, const struct mario_frame *p, uint32_t len)
{
    UNIT_ASSERT(answer == MARIO_FRAME_MORE);
    UNIT_ASSERT(p->need == len);
}

static void check_ok(enum mario_frame_answer answer, const struct mario_frame *p, uint32_t len, uint32_t id)
{
    UNIT_ASSERT(answer == MARIO_FRAME_OK);
    UNIT_ASSERT(p->need == len);
    UNIT_ASSERT(p->id == id);
    UNIT_ASSERT(p->at == 0 && p->len == p->need);
}

static void check_bad(enum mario_frame_answer answer, const struct mario_frame *p, enum reason fault)
{
    UNIT_ASSERT(answer == MARIO_FRAME_BAD);
    UNIT_ASSERT(p->fault == fault);
}

/* ---- Each answer at each prefix ---- */

static const struct {
    const char *what;
    uint32_t stx, len, id;
    enum reason fault;
    size_t judged; /* with so many bytes the answer is BAD, with one less it is not */
} heads[] = {
    {"a bare head", STX, 8, 0x6101, REASON_NONE, 0},
    {"two bytes of data", STX, 10, 0x6101, REASON_NONE, 0},
    {"the longest", STX, 300, 0xfffb, REASON_NONE, 0},
    {"the lowest id", STX, 9, 0x0000, REASON_NONE, 0},
    {"stx in the wrong byte order", 0xf79ab68e, 8, 0x6101, REASON_bad_stx, 4},
    {"stx 0", 0, 8, 0x6101, REASON_bad_stx, 4},
    {"everything wrong: stx comes first", ~STX, 0, 0xffff, REASON_bad_stx, 4},
    {"length 0", STX, 0, 0x6101, REASON_bad_length, 6},
    {"length 7", STX, 7, 0x6101, REASON_bad_length, 6},
    {"one too long", STX, 301, 0x6101, REASON_bad_length, 6},
    {"far too long", STX, 65535, 0x6101, REASON_bad_length, 6},
    {"length and id wrong: length comes first", STX, 7, 0x6100, REASON_bad_length, 6},
    {"an unknown id", STX, 8, 0x6100, REASON_unknown_akg, 8},
    {"an unknown id, most of it missing", STX, 300, 0x6103, REASON_unknown_akg, 8},
    {"a reserved id", STX, 8, 0xfffc, REASON_unknown_akg, 8},
    {"the id in the wrong byte order", STX, 8, 0x0161, REASON_unknown_akg, 8},
};

START_TEST(every_prefix)
{
    struct mario_framing framing = framing_for(300);
    struct mario_frame p;
    unsigned char head[8];
    put_head(head, heads[_i].stx, heads[_i].len, heads[_i].id);
    for (size_t n = 0; n <= 400; n++) {
        enum mario_frame_answer answer = ask(&framing, n, head, &p);
        if (heads[_i].fault != REASON_NONE && n >= heads[_i].judged)
            check_bad(answer, &p, heads[_i].fault);
        else if (heads[_i].fault != REASON_NONE || n < heads[_i].len)
            check_more(answer, &p, heads[_i].fault == REASON_NONE && n >= 8 ? heads[_i].len : 0);
        else
            check_ok(answer, &p, heads[_i].len, heads[_i].id);
        if (heads[_i].fault == REASON_unknown_akg && n >= 8)
            UNIT_ASSERT(p.id == heads[_i].id);
    }
}
END_TEST

START_TEST(every_length)
{
    static const uint32_t limits[] = {8, 8192, 65535};
    struct mario_framing framing = framing_for(limits[_i]);
    struct mario_frame p;
    unsigned char head[8];
    for (uint32_t len = 0; len <= 65535; len++) {
        bool good = len >= 8 && len <= limits[_i];
        put_head(head, STX, len, 0x6102);
        check_more(ask(&framing, 5, head, &p), &p, 0);
        for (size_t n = 6; n <= 7; n++) {
            enum mario_frame_answer early = ask(&framing, n, head, &p);
            if (good)
                check_more(early, &p, 0);
            else
                check_bad(early, &p, REASON_bad_length);
        }
        enum mario_frame_answer answer = ask(&framing, 8, head, &p);
        if (!good) {
            check_bad(answer, &p, REASON_bad_length);
            continue;
        }
        if (len > 8) {
            check_more(answer, &p, len);
            check_more(ask(&framing, len - 1, head, &p), &p, len);
        }
        check_ok(ask(&framing, len, head, &p), &p, len, 0x6102);
        if (len < ROOM)
            check_ok(ask(&framing, len + 1, head, &p), &p, len, 0x6102);
    }
}
END_TEST

START_TEST(every_id)
{
    struct mario_framing framing = framing_for(8192);
    struct mario_frame p;
    unsigned char head[8];
    memset(funcs, 0, sizeof funcs);
    for (uint32_t id = 0; id < IDS; id++) {
        put_head(head, STX, 8, id);
        check_bad(ask(&framing, 8, head, &p), &p, REASON_unknown_akg);
        UNIT_ASSERT(p.id == id);
        funcs[id] = some_function;
        check_ok(ask(&framing, 8, head, &p), &p, 8, id);
        put_head(head, STX, 9, id);
        check_more(ask(&framing, 8, head, &p), &p, 9);
        funcs[id] = NULL;
        check_bad(ask(&framing, 8, head, &p), &p, REASON_unknown_akg);
    }
}
END_TEST

START_TEST(every_bit_of_stx)
{
    static const uint32_t magics[] = {STX, 0, 0xffffffffu, 0x00000080u};
    struct mario_framing framing = framing_for(8192);
    struct mario_frame p;
    unsigned char head[8];
    rules.stx = magics[_i];
    put_head(head, magics[_i], 8, 0x6101);
    check_ok(ask(&framing, 8, head, &p), &p, 8, 0x6101);
    for (int bit = 0; bit < 32; bit++) {
        put_head(head, magics[_i] ^ 1u << bit, 8, 0x6101);
        for (size_t n = 0; n < 4; n++)
            check_more(ask(&framing, n, head, &p), &p, 0);
        for (size_t n = 4; n <= 8; n++)
            check_bad(ask(&framing, n, head, &p), &p, REASON_bad_stx);
    }
}
END_TEST

/* ---- Streams ---- */

/* A reader as the worker is one: it takes bytes as they come and keeps the unfinished rest. */
struct reader {
    struct mario_framing framing;
    unsigned char *kept;
    size_t have;
    uint32_t packets;
    enum mario_frame_answer answer; /* the last one */
    struct mario_frame last;
    uint32_t ids[64]; /* of the first packets */
    uint32_t lens[64];
};

static void reader_feed(struct reader *r, const unsigned char *data, size_t n)
{
    memcpy(r->kept + r->have, data, n);
    r->have += n;
    size_t at = 0;
    while ((r->answer = head_look(&r->framing, r->kept + at, (uint32_t) (r->have - at), &r->last)) ==
           MARIO_FRAME_OK) {
        UNIT_ASSERT(r->last.need >= 8 && r->last.need <= r->have - at);
        if (r->packets < 64) {
            r->ids[r->packets] = r->last.id;
            r->lens[r->packets] = r->last.need;
        }
        r->packets++;
        at += r->last.need;
    }
    memmove(r->kept, r->kept + at, r->have - at);
    r->have -= at;
}

static size_t put_packet(unsigned char *to, uint32_t len, uint32_t id, unsigned char fill)
{
    memset(to, fill, len);
    put_head(to, STX, len, id);
    return len;
}

static void check_three(const struct reader *r)
{
    static const uint32_t lens[] = {8, 23, 10}, ids[] = {0x6101, 0x6102, 0xfffb};
    UNIT_ASSERT(r->packets == 3);
    for (int i = 0; i < 3; i++)
        UNIT_ASSERT(r->lens[i] == lens[i] && r->ids[i] == ids[i]);
    check_more(r->answer, &r->last, 0);
    UNIT_ASSERT(r->have == 0);
}

START_TEST(split_at_every_byte)
{
    unsigned char stream[64], kept[64];
    size_t n = put_packet(stream, 8, 0x6101, 0);
    n += put_packet(stream + n, 23, 0x6102, 0xf7); /* data that looks like the beginning of a head */
    n += put_packet(stream + n, 10, 0xfffb, 0);
    for (size_t a = 0; a <= n; a++) {
        for (size_t b = a; b <= n; b++) {
            struct reader r = {.framing = framing_for(23), .kept = kept};
            reader_feed(&r, stream, a);
            reader_feed(&r, stream + a, b - a);
            reader_feed(&r, stream + b, n - b);
            check_three(&r);
        }
    }
    struct reader r = {.framing = framing_for(23), .kept = kept};
    for (size_t i = 0; i < n; i++)
        reader_feed(&r, stream + i, 1);
    check_three(&r);
}
END_TEST

START_TEST(ten_thousand_merged)
{
    enum { PACKETS = 10000, LONGEST = 64 };
    unsigned char *stream = malloc((size_t) PACKETS * LONGEST + 8);
    uint64_t seed = 42, again = 42;
    size_t n = 0, at = 0;
    struct mario_framing framing = framing_for(LONGEST);
    struct mario_frame p;
    ck_assert_ptr_nonnull(stream);
    for (int i = 0; i < PACKETS; i++)
        n += put_packet(stream + n, 8 + (uint32_t) (unit_random(&seed) % (LONGEST - 7)),
                        i & 1 ? 0x6101 : 0x6102, 0xff);
    memset(stream + n, 0, 8); /* and a bad one at the end */
    for (int i = 0; i < PACKETS; i++) {
        uint32_t len = 8 + (uint32_t) (unit_random(&again) % (LONGEST - 7));
        check_ok(head_look(&framing, stream + at, (uint32_t) (n + 8 - at), &p), &p, len,
                 i & 1 ? 0x6101 : 0x6102);
        at += p.need;
    }
    ck_assert_uint_eq(at, n);
    check_bad(head_look(&framing, stream + at, 8, &p), &p, REASON_bad_stx);
    free(stream);
}
END_TEST

START_TEST(any_alignment_and_nothing_written)
{
    struct mario_framing framing = framing_for(65535);
    struct mario_frame p;
    for (uint32_t at = 0; at < 64; at++) {
        uint32_t len = ROOM - at;
        put_packet(guarded + at, len, 0x6101, 0x5a);
        ck_assert_int_eq(mprotect(guarded_base, ROOM, PROT_READ), 0);
        check_ok(head_look(&framing, guarded + at, len, &p), &p, len, 0x6101);
        check_more(head_look(&framing, guarded + at, len - 1, &p), &p, len);
        ck_assert_int_eq(mprotect(guarded_base, ROOM, PROT_READ | PROT_WRITE), 0);
    }
}
END_TEST

Suite *head_suite(void)
{
    Suite *s = suite_create("head");
    TCase *c = unit_case(s, "one head", 20);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_loop_test(c, every_prefix, 0, sizeof heads / sizeof heads[0]);
    tcase_add_loop_test(c, every_length, 0, 3);
    tcase_add_test(c, every_id);
    tcase_add_loop_test(c, every_bit_of_stx, 0, 4);
    c = unit_case(s, "streams", 20);
    tcase_add_checked_fixture(c, setup, teardown);
    tcase_add_test(c, split_at_every_byte);
    tcase_add_test(c, ten_thousand_merged);
    tcase_add_test(c, any_alignment_and_nothing_written);
    return s;
}
