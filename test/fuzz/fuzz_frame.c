/*
 * fuzz_frame.c: a libFuzzer target for the framings of the listen list: its options, and streams of what they ask for,
 * driven as a worker drives them. Built and run by ./run.
 *
 * Input: byte 0 below 128: a row of oracle_options; below 250: the next six make the options of a length field; else
 * what follows is a list. Byte 1 says how the stream behind them is cut into chunks. What must hold: a list is refused
 * with a line or taken; the packets, and what they end with, are those of the second reading (frame_oracle.h) and do
 * not depend on the chunks; a packet that waits is the same again; nothing is read but what has come: each is in a
 * block of exactly its bytes; what is sent as a packet is read as one.
 */
#include "plain.h"

#include <stdbool.h>
#include <string.h>

#include "mario/exec/registry.h"
#include "mario/frame/framings.h"
#include "mario/frame/ws.h"
#include "test/unit/frame_oracle.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

enum { MAX = 300, PACKETS = 5000 };

static FUNC_PTR funcs[AKG_IDS];
static struct head_rules head = {.stx = 0x8eb69af7u};
static struct framing made;
static struct oracle oracle;

static sint32 some_function(CONN *c)
{
    (void) c;
    return 0;
}

/* An application's: a letter, a length, so many bytes; with an id of its own. */
static enum mario_frame_answer own_next(const struct mario_framing *framing, void *state, ubyte *data,
                                        uint32 n, uint32 seen, struct mario_frame *frame)
{
    (void) framing;
    (void) state;
    (void) seen;
    if (data[0] != 'P')
        return MARIO_FRAME_BAD;
    frame->need = n < 2 ? 0 : 2u + data[1];
    frame->at = 2;
    frame->len = n < 2 ? 0 : data[1];
    frame->id = 9;
    return n < 2 || n < frame->need ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct mario_framing own = {.name = "own", .next = own_next, .max = 250};
    (void) argc;
    (void) argv;
    MUST(word_add("put", 0x12) == NULL && word_add("getter", 0x11) == NULL && word_add("get", 0x10) == NULL);
    MUST(framing_add(&own) == NULL && framing_add(&own) == NULL);
    for (uint32_t id = 0; id < AKG_FIRST_RESERVED; id++)
        funcs[id] = some_function;
    head.funcs = funcs;
    return 0;
}

/* ---- The list ---- */

/* False: it is refused. */
static bool make(const char *options)
{
    static struct listen_address all[LISTEN_MAX];
    const struct framing_world world = {.head = &head, .max = MAX};
    char list[256], why[256] = "";
    snprintf(list, sizeof list, "[::1]:1 %s", options);
    if (listen_parse(list, all, why, sizeof why) != 1 ||
        !framing_make(&all[0], &world, &made, why, sizeof why)) {
        MUST(why[0] != '\0');
        return false;
    }
    oracle_set(&oracle, options, MAX);
    return true;
}

static bool make_length(const uint8_t *how)
{
    static const char *const sizes[] = {"1", "2", "3", "4", "varint"};
    char options[200];
    unsigned size = how[1] % 5;
    int n = snprintf(options, sizeof options, "proto=length off=%u size=%s counts=%s adjust=%d", how[0] % 12,
                     sizes[size], how[1] & 0x40 ? "all" : "rest", (int8_t) how[2]);
    if (size < 4)
        n += snprintf(options + n, sizeof options - (size_t) n, " endian=%s",
                      how[1] & 0x80 ? "big" : "little");
    if (how[3] & 1)
        n += snprintf(options + n, sizeof options - (size_t) n, " strip=%u", how[3] >> 3);
    if (how[3] & 2)
        n += snprintf(options + n, sizeof options - (size_t) n, " max=%u", how[4]);
    snprintf(options + n, sizeof options - (size_t) n, how[5] & 1 ? " id=field off=%u size=%u" : " id=0x12",
             how[5] >> 3, 1u + (how[5] >> 1) % 4);
    return make(options);
}

/* A packet of an application's framing, at an address of the list: it takes what is there, and has an id by its
 * rule. */
static void ask_theirs(const uint8_t *text, size_t n)
{
    struct mario_frame f = {0};
    uint8_t block[4] = {'P', 2, n > 0 ? text[0] : 0, 1};
    if (framing_ends(&made.pub) != NULL)
        return;
    enum mario_frame_answer answer = made.pub.next(&made.pub, NULL, block, sizeof block, 0, &f);
    MUST(answer == MARIO_FRAME_OK || (answer == MARIO_FRAME_BAD && made.rules.id.kind != ID_OF_FRAMING));
    MUST(answer != MARIO_FRAME_OK || (f.need == sizeof block && f.at == 2 && f.len == 2));
}

/* A list of anything. */
static void read_list(const uint8_t *text, size_t n)
{
    static struct listen_address all[LISTEN_MAX];
    const struct framing_world world = {.head = &head, .max = MAX};
    char *list = malloc(n + 1), why[256] = "";
    MUST(list != NULL);
    memcpy(list, text, n);
    list[n] = '\0';
    int count = listen_parse(list, all, why, sizeof why);
    for (int i = 0; i < count; i++) {
        why[0] = '\0';
        bool ok = framing_make(&all[i], &world, &made, why, sizeof why);
        MUST(ok == (why[0] == '\0'));
        if (ok)
            ask_theirs(text, n);
        uint32_t most = made.pub.next == ws_next ? WS_CARRY : MARIO_FRAME_MAX;
        MUST(!ok || (made.pub.next != NULL && made.pub.max >= 1 && made.pub.max <= most));
    }
    MUST(count >= 0 || why[0] != '\0');
    if (strlen(list) > 64 || strpbrk(list, " \t") != NULL)
        MUST(word_add(list, 1) != NULL); /* it is no word */
    free(list);
}

/* ---- Streams ---- */

struct reading {
    struct oracle_packet packets[PACKETS];
    size_t count, begun; /* the packet in front begins there */
    bool bad;
    uint16_t fault;
};

static enum mario_frame_answer ask(const uint8_t *data, size_t n, size_t seen, struct mario_frame *f)
{
    uint8_t *block = malloc(n);
    MUST(block != NULL);
    memcpy(block, data, n);
    *f = (struct mario_frame){0};
    enum mario_frame_answer answer = made.pub.next(&made.pub, NULL, block, (uint32_t) n, (uint32_t) seen, f);
    free(block);
    return answer;
}

/* As far as data[0 .. n-1] goes, of which the packet in front has been seen up to *seen. */
static void walk(struct reading *r, const uint8_t *data, size_t n, size_t *seen)
{
    while (r->begun < n && r->count < PACKETS) {
        struct mario_frame f, again;
        const uint8_t *at = data + r->begun;
        enum mario_frame_answer answer = ask(at, n - r->begun, *seen, &f);
        MUST(answer != MARIO_FRAME_SKIP);
        r->bad = answer == MARIO_FRAME_BAD;
        r->fault = f.fault;
        MUST(answer != MARIO_FRAME_MORE || (n - r->begun < made.pub.max && f.need <= made.pub.max));
        MUST(answer != MARIO_FRAME_MORE || f.need == 0 || f.need > n - r->begun);
        *seen = n - r->begun;
        if (answer != MARIO_FRAME_OK)
            return;
        MUST(f.need >= 1 && f.need <= n - r->begun && f.need <= made.pub.max && f.at + f.len <= f.need);
        MUST(ask(at, n - r->begun, f.need, &again) == MARIO_FRAME_OK && memcmp(&f, &again, sizeof f) == 0);
        r->packets[r->count++] = (struct oracle_packet){f.need, f.at, f.len, f.id};
        r->begun += f.need;
        *seen = 0;
    }
}

static void read_plainly(struct reading *r, const uint8_t *data, size_t n)
{
    static const uint16_t faults[] = {0, 0, REASON_bad_length, REASON_bad_frame, REASON_unknown_akg};
    struct oracle_packet p;
    while (r->begun < n && r->count < PACKETS) {
        enum oracle_answer answer = oracle_next(&oracle, data + r->begun, n - r->begun, &p);
        r->bad = answer > ORACLE_MORE;
        r->fault = faults[answer];
        if (answer != ORACLE_OK)
            return;
        r->packets[r->count++] = p;
        r->begun += p.need;
    }
}

static void check_same(const struct reading *a, const struct reading *b)
{
    MUST(a->count == b->count && a->begun == b->begun && a->bad == b->bad &&
         (!a->bad || a->fault == b->fault));
    MUST(memcmp(a->packets, b->packets, a->count * sizeof a->packets[0]) == 0);
}

/* A FIN behind data[0 .. n-1], which are no whole packet: what is said to end it makes one of it. */
static void end_stream(const uint8_t *data, size_t n)
{
    unsigned char end[ENDS_BACK];
    struct mario_frame f;
    uint32_t more = framing_eof(&made.pub, data, (uint32_t) n, end);
    MUST(more <= ENDS_BACK);
    if (more == 0 || n + more > made.pub.max)
        return;
    uint8_t *block = malloc(n + more);
    MUST(block != NULL);
    memcpy(block, data, n);
    memcpy(block + n, end, more);
    enum mario_frame_answer answer = ask(block, n + more, 0, &f);
    free(block);
    MUST((answer == MARIO_FRAME_OK && f.need == n + more) ||
         (answer == MARIO_FRAME_BAD && made.rules.id.kind != ID_ALWAYS));
}

static void read_stream(uint8_t how, const uint8_t *stream, size_t n)
{
    static struct reading whole, plain, chunked;
    size_t seen = 0;
    whole.count = whole.begun = plain.count = plain.begun = chunked.count = chunked.begun = 0;
    whole.bad = plain.bad = chunked.bad = false;
    walk(&whole, stream, n, &seen);
    read_plainly(&plain, stream, n);
    check_same(&whole, &plain);
    if (!whole.bad && whole.count < PACKETS && whole.begun < n)
        end_stream(stream + whole.begun, n - whole.begun);
    if (made.pub.next == raw_next) /* its packets are what came */
        return;
    seen = 0;
    for (size_t came = 0; came < n && !chunked.bad && chunked.count < PACKETS;) {
        size_t size = how < 128 ? 1 + (size_t) how : 1 + (size_t) (stream[came] ^ how) % 64;
        came = size < n - came ? came + size : n;
        walk(&chunked, stream, came, &seen);
    }
    check_same(&chunked, &plain);
}

/* ---- What goes out ---- */

static void send_out(const uint8_t *data, size_t n)
{
    struct frame_ends e;
    struct mario_frame f;
    const struct frame_out o = {.data = data, .len = (uint32_t) n, .id = n > 0 ? data[0] : 0};
    if (!framing_ends(&made.pub)(&made.pub, &o, &e))
        return;
    size_t whole = e.front_len + n + e.back_len;
    MUST(e.front_len <= sizeof e.front && e.back_len <= sizeof e.back);
    if (framing_ends(&made.pub) == bare_ends || whole == 0 || whole > made.pub.max)
        return;
    uint8_t *block = malloc(whole);
    MUST(block != NULL);
    memcpy(block, e.front, e.front_len);
    if (n > 0)
        memcpy(block + e.front_len, data, n);
    memcpy(block + e.front_len + n, e.back, e.back_len);
    enum mario_frame_answer answer = ask(block, whole, 0, &f);
    free(block);
    if (answer == MARIO_FRAME_BAD) { /* it has no id, or strip= asks for more than there is */
        MUST(made.rules.id.kind != ID_ALWAYS || oracle.strip > (long) whole);
        return;
    }
    MUST(answer == MARIO_FRAME_OK && f.need == whole);
}

/* The same behind a HEAD. */
static void send_head(const uint8_t *data, size_t n)
{
    const struct mario_framing framing = {.next = head_next, .max = MARIO_FRAME_MAX, .arg = &head};
    const struct frame_out o = {
        .data = data, .len = (uint32_t) n, .stx = head.stx, .id = (uint16_t) (n * 977 % 0xfffc)};
    struct frame_ends e;
    struct mario_frame f;
    uint8_t block[SIZE_OF_HEAD + 512];
    MUST(n <= 512 && framing_ends(&framing)(&framing, &o, &e) && e.front_len == SIZE_OF_HEAD &&
         e.back_len == 0);
    memcpy(block, e.front, SIZE_OF_HEAD);
    memcpy(block + SIZE_OF_HEAD, data, n);
    MUST(head_look(&framing, block, (uint32_t) (SIZE_OF_HEAD + n), &f) == MARIO_FRAME_OK);
    MUST(f.id == o.id && f.need == SIZE_OF_HEAD + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    size_t used = 2;
    if (size < 8)
        return 0;
    if (input[0] >= 250) {
        read_list(input + 1, size - 1);
        return 0;
    }
    if (input[0] < 128) {
        MUST(make(oracle_options[input[0] % ORACLE_OPTIONS]));
    } else {
        used += 6;
        if (!make_length(input + 2))
            return 0;
    }
    read_stream(input[1], input + used, size - used);
    send_out(input + used, size - used);
    if (size - used <= 512)
        send_head(input + used, size - used);
    return 0;
}
