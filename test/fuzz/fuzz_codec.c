/*
 * fuzz_codec.c: a libFuzzer target for the codec, driven as a worker drives it: bytes come in chunks, packets
 * are walked in place, the unfinished rest is carried to the next chunk. Built and run by ./run.
 *
 * Input: byte 0 chooses max_pkglen, byte 1 how the rest is cut into chunks; then the stream itself. Every
 * call of the codec sees a heap block of exactly the bytes it was told of, so that the address sanitizer
 * hears of any byte beyond. What must hold: the answers are those of a second, plainer reading of DESIGN
 * section 2; they do not depend on the chunks; every OK moves on by 8 .. max_pkglen bytes; what a prefix was
 * refused for, the whole is refused for.
 */
#include "plain.h"

#include <stdbool.h>
#include <string.h>

#define STX 0x8eb69af7u

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static FUNC_PTR funcs[65536];
static const uint32_t limits[] = {8, 9, 64, 1024, 8192, 65535};

static sint32 some_function(CONN *c)
{
    (void) c;
    return 0;
}

/* The three commands of maritcp, and every id that ends in 0x10 to 0x1f, so that some are found by chance. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    for (uint32_t id = 0; id <= 0xfffb; id++) {
        if ((id >= 0x6101 && id <= 0x6103) || (id & 0xf0) == 0x10)
            funcs[id] = some_function;
    }
    return 0;
}

/* Where reading a stream has got to, and all that may be told of it. */
struct reading {
    uint32_t packets;
    uint64_t bytes;  /* in packets */
    uint64_t digest; /* over every packet's length and id, in order */
    enum mario_frame_answer answer;
    struct mario_frame last;
};

static void reading_count(struct reading *r, uint32_t len, uint32_t id)
{
    r->packets++;
    r->bytes += len;
    r->digest = (r->digest ^ (len + (uint64_t) id * 65536)) * UINT64_C(0x100000001b3);
}

static bool same(const struct mario_frame *a, const struct mario_frame *b)
{
    return a->need == b->need && a->len == b->len && a->at == b->at && a->id == b->id && a->fault == b->fault;
}

/* Walk the packets in data[0 .. n-1]; returns how many bytes they take. */
static size_t walk(const struct mario_framing *c, const uint8_t *data, size_t n, struct reading *r)
{
    size_t at = 0;
    for (;;) {
        struct mario_frame want;
        enum mario_frame_answer plain = plain_next(c, data + at, n - at, &want);
        r->last = (struct mario_frame){.need = 0};
        r->answer = head_look(c, data + at, (uint32_t) (n - at), &r->last);
        MUST(r->answer == plain);
        if (r->answer == MARIO_FRAME_MORE && n - at < 8)
            want.id = r->last.id; /* says nothing yet */
        MUST(same(&r->last, &want));
        if (r->answer != MARIO_FRAME_OK)
            return at;
        MUST(r->last.need >= 8 && r->last.need <= c->max && r->last.need <= n - at);
        reading_count(r, r->last.need, r->last.id);
        at += r->last.need;
    }
}

/* The whole stream at once, from a block of its exact size. */
static void read_whole(const struct mario_framing *c, const uint8_t *stream, size_t n, struct reading *r)
{
    uint8_t *block = malloc(n);
    MUST(block != NULL || n == 0);
    if (n > 0)
        memcpy(block, stream, n);
    walk(c, block, n, r);
    free(block);
}

/* Bytes the next chunk takes: by `how` all of one size, or of sizes that the stream itself gives. */
static size_t chunk_size(uint8_t how, const uint8_t *stream, size_t at, size_t n)
{
    size_t size = how < 128 ? 1 + (size_t) how : 1 + (size_t) (stream[at] ^ how) % 64;
    return size < n - at ? size : n - at;
}

static void read_in_chunks(const struct mario_framing *c, uint8_t how, const uint8_t *stream, size_t n,
                           struct reading *r)
{
    uint8_t *carried = NULL;
    size_t have = 0;
    r->answer = MARIO_FRAME_MORE;
    for (size_t at = 0; at < n && r->answer == MARIO_FRAME_MORE;) {
        size_t size = chunk_size(how, stream, at, n);
        uint8_t *block = malloc(have + size);
        MUST(block != NULL);
        if (have > 0)
            memcpy(block, carried, have);
        memcpy(block + have, stream + at, size);
        size_t used = walk(c, block, have + size, r);
        MUST(r->answer != MARIO_FRAME_MORE || have + size - used < c->max); /* what is carried is bounded */
        free(carried);
        have = have + size - used;
        carried = malloc(have > 0 ? have : 1);
        MUST(carried != NULL);
        memcpy(carried, block + used, have);
        free(block);
        at += size;
    }
    free(carried);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    if (size < 2)
        return 0;
    const struct head_rules rules = {.stx = STX, .funcs = funcs};
    struct mario_framing c = {.name = "head",
                              .next = head_next,
                              .max = limits[input[0] % (sizeof limits / sizeof limits[0])],
                              .arg = &rules};
    struct reading whole = {0}, chunked = {0};
    struct mario_frame first;
    read_whole(&c, input + 2, size - 2, &whole);
    read_in_chunks(&c, input[1], input + 2, size - 2, &chunked);
    MUST(whole.packets == chunked.packets && whole.bytes == chunked.bytes && whole.digest == chunked.digest);
    if (size > 2) {
        MUST(whole.answer == chunked.answer);
        MUST(same(&whole.last, &chunked.last));
    }
    /* A refused stream is refused at once: with the head's bytes alone, and with every more of them. */
    if (whole.answer == MARIO_FRAME_BAD) {
        const uint8_t *head = input + 2 + whole.bytes;
        size_t left = size - 2 - (size_t) whole.bytes;
        for (size_t n = whole.last.fault == REASON_bad_stx      ? 4
                        : whole.last.fault == REASON_bad_length ? 6
                                                                : 8;
             n <= left && n <= 16; n++) {
            MUST(head_look(&c, head, (uint32_t) n, &first) == MARIO_FRAME_BAD);
            MUST(first.fault == whole.last.fault);
        }
    }
    return 0;
}
