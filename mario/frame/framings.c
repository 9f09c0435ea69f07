/*
 * framings.c: all framings there are, and that of a listener. Adding and making: the thread that makes the server; the
 * rest: any.
 */
#include "mario/frame/framings.h"

#include <stdio.h>
#include <string.h>

#include "mario/frame/http_head.h"

/* Who says which function a packet is for. */
enum ids { IDS_OWN, IDS_RULE, IDS_EITHER };

/* Set what a built-in framing has of its own, by the options of an address. False with a line in why. */
typedef bool (*make_fn)(const struct listen_address *a, struct framing *out, char *why, size_t size);

/* A row a built-in framing. */
struct kind {
    const char *name;
    const char *options; /* those it has besides max and id, each between two blanks */
    enum ids ids;        /* it itself, id=, or it if there is no id= */
    MARIO_FRAME_FUNC next;
    frame_ends_fn ends;
    make_fn make;
};

/* ---- Built in ---- */

static bool head_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    out->pub.arg = out->rules.head;
    return out->pub.max >= SIZE_OF_HEAD ||
           listen_refuse(a, why, size, "max=%u is less than a HEAD (allowed: 8 .. 65535)", out->pub.max);
}

static bool bare_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    (void) a;
    (void) out;
    (void) why;
    (void) size;
    return true;
}

static bool fixed_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    int32_t bytes = 0;
    if (listen_option(a, "fixed") == NULL)
        return listen_refuse(a, why, size, "proto=fixed: of how many bytes? (allowed: fixed=1 .. 65535)");
    if (listen_option(a, "max") != NULL)
        return listen_refuse(a, why, size, "max= and fixed= are the same");
    if (!listen_number(a, "fixed", 1, MARIO_FRAME_MAX, &bytes, why, size))
        return false;
    out->pub.max = (uint32_t) bytes;
    const struct id_rule *id = &out->rules.id;
    return id->kind != ID_FIELD || id->off + id->size <= out->pub.max ||
           listen_refuse(a, why, size, "id=field is not within %u bytes", out->pub.max);
}

/* The line end or delimiter and what a FIN means. */
static bool ends_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    static const char *const fins[] = {"drop", "packet", NULL};
    uint32_t fin = 0;
    if (!listen_choice(a, "eof", fins, &fin, why, size))
        return false;
    out->rules.delim.eof_is_end = fin == 1;
    return out->pub.max > out->rules.delim.len ||
           listen_refuse(a, why, size, "max=%u has no room for more than the end", out->pub.max);
}

static bool line_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    static const char *const eols[] = {"lf", "crlf", NULL};
    uint32_t eol = 0;
    if (!listen_choice(a, "eol", eols, &eol, why, size))
        return false;
    out->rules.delim = (struct delim_rules){.end = "\n", .len = 1};
    if (eol == 1)
        out->rules.delim = (struct delim_rules){.end = "\r\n", .len = 2, .strict = true};
    return ends_make(a, out, why, size);
}

#define HEX_DIGITS "0123456789abcdefABCDEF"

/* What a digit of HEX_DIGITS stands for. */
static unsigned hex(char c)
{
    return c <= '9' ? (unsigned) (c - '0') : 10 + ((unsigned) c - 'A') % ('a' - 'A');
}

static bool delim_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    const char *text = listen_option(a, "delim");
    struct delim_rules *d = &out->rules.delim;
    size_t n = text == NULL ? 0 : strlen(text);
    if (n < 4 || n > 2 + 2 * sizeof d->end || n % 2 != 0 || text[0] != '0' || text[1] != 'x' ||
        strspn(text + 2, HEX_DIGITS) != n - 2)
        return listen_refuse(a, why, size,
                             "proto=delim: by which bytes? (allowed: delim=0x00 .. of 1 .. 8 bytes, as "
                             "in 0x0d0a)");
    *d = (struct delim_rules){.len = (uint8_t) ((n - 2) / 2)};
    for (uint32_t i = 0; i < d->len; i++)
        d->end[i] = (unsigned char) (hex(text[2 + 2 * i]) << 4 | hex(text[3 + 2 * i]));
    return ends_make(a, out, why, size);
}

/* The length field alone. */
static bool length_field(const struct listen_address *a, struct length_rules *r, char *why, size_t size)
{
    static const char *const endians[] = {"big", "little", NULL}, *const counts[] = {"rest", "all", NULL};
    const char *bytes = listen_option(a, "size");
    int32_t off = 0, width = 2;
    uint32_t endian = 0, count = 0;
    bool varint = bytes != NULL && strcmp(bytes, "varint") == 0;
    *r = (struct length_rules){0};
    if (varint && listen_option(a, "endian") != NULL)
        return listen_refuse(a, why, size, "size=varint has no endian=");
    if (!listen_number(a, "off", 0, ENDS_FRONT - 8, &off, why, size) ||
        (!varint && !listen_number(a, "size", 1, 4, &width, why, size)) ||
        !listen_choice(a, "endian", endians, &endian, why, size) ||
        !listen_choice(a, "counts", counts, &count, why, size) ||
        !listen_number(a, "adjust", -(int32_t) MARIO_FRAME_MAX, MARIO_FRAME_MAX, &r->adjust, why, size))
        return false;
    r->off = (uint32_t) off;
    r->size = varint ? 0 : (uint32_t) width;
    r->little = endian == 1;
    r->counts_all = count == 1;
    return true;
}

/* What stands in front of the data: by default the length field, and the id if it is one. */
static bool length_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    struct length_rules *r = &out->rules.length;
    const struct id_rule *id = &out->rules.id;
    if (!length_field(a, r, why, size))
        return false;
    uint32_t field = r->off + r->size, id_end = id->kind == ID_FIELD ? id->off + id->size : 0;
    int32_t strip = (int32_t) (id_end > field && r->size > 0 ? id_end : field);
    if (r->size == 0 && id_end > r->off)
        return listen_refuse(a, why, size, "id=field must end where the varint begins, at %u", r->off);
    if (id->kind == ID_FIELD && id->off < field && id_end > r->off)
        return listen_refuse(a, why, size, "id=field and the length are at the same place");
    if (r->size == 0) {
        strip = 1; /* up to its end, wherever that is */
        if (!listen_number(a, "strip", 0, 0, &strip, why, size))
            return false;
    } else if (!listen_number(a, "strip", 0, ENDS_FRONT, &strip, why, size))
        return false;
    r->strip = (uint32_t) strip;
    r->front = r->size > 0 && r->strip > field ? r->strip : field;
    if (r->front > ENDS_FRONT)
        return listen_refuse(a, why, size,
                             "id=field ends behind what can be stripped: strip= is needed "
                             "(allowed: 0 .. %u)",
                             ENDS_FRONT);
    return out->pub.max > r->front ||
           listen_refuse(a, why, size, "max=%u has no room for more than the length", out->pub.max);
}

/* Names with '+' between them, which can stand in a head. */
static bool are_subprotocols(const char *names)
{
    for (;;) {
        size_t len = strcspn(names, "+");
        if (len == 0 || len > WS_SUBPROTOCOL_MAX)
            return false;
        for (size_t i = 0; i < len; i++) {
            if (!http_is_token((unsigned char) names[i]))
                return false;
        }
        if (names[len] == '\0')
            return true;
        names += len + 1;
    }
}

static bool ws_make(const struct listen_address *a, struct framing *out, char *why, size_t size)
{
    const char *path = listen_option(a, "path"), *subprotocols = listen_option(a, "subprotocol");
    if (path != NULL && (path[0] != '/' || strpbrk(path, "?#") != NULL))
        return listen_refuse(a, why, size, "path=%.64s: not the path of a request (allowed: /...)", path);
    if (subprotocols != NULL && !are_subprotocols(subprotocols))
        return listen_refuse(a, why, size,
                             "subprotocol=%.64s: no names of subprotocols (allowed: of 1 .. %u characters, "
                             "with + between them)",
                             subprotocols, WS_SUBPROTOCOL_MAX);
    if (out->rules.id.kind == ID_OF_FRAMING && out->pub.max < SIZE_OF_HEAD)
        return listen_refuse(a, why, size, "max=%u is less than a HEAD (allowed: 8 .. 65535)", out->pub.max);
    out->rules.ws = (struct ws_rules){.max = out->pub.max,
                                      .path = path,
                                      .origins = listen_option(a, "origin"),
                                      .subprotocols = subprotocols};
    out->pub.max = WS_CARRY; /* the upgrade may be longer than a message */
    out->pub.state_size = sizeof(struct ws_state);
    return true;
}

static const struct kind kinds[] = {
    {"head", "", IDS_OWN, head_next, head_ends, head_make},
    {"raw", "", IDS_RULE, raw_next, bare_ends, bare_make},
    {"line", " eol eof ", IDS_RULE, line_next, delim_ends, line_make},
    {"delim", " delim eof ", IDS_RULE, delim_next, delim_ends, delim_make},
    {"fixed", " fixed ", IDS_RULE, fixed_next, bare_ends, fixed_make},
    {"length", " off size endian counts adjust strip ", IDS_RULE, length_next, length_ends, length_make},
    {"ws", " origin path subprotocol ", IDS_EITHER, ws_next, ws_ends, ws_make},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

frame_ends_fn framing_ends(const struct mario_framing *framing)
{
    for (size_t i = 0; i < KINDS; i++) {
        if (kinds[i].next == framing->next)
            return kinds[i].ends;
    }
    return NULL;
}

uint32_t framing_eof(const struct mario_framing *framing, const unsigned char *data, uint32_t n,
                     unsigned char end[ENDS_BACK])
{
    const struct framing_rules *rules = framing->arg;
    if ((framing->next != line_next && framing->next != delim_next) || !rules->delim.eof_is_end)
        return 0;
    uint32_t here = delim_begun(&rules->delim, data, n), missing = rules->delim.len - here;
    memcpy(end, rules->delim.end + here, missing);
    return missing;
}

/* ---- Applications' ---- */

enum { ADDED_MAX = 32, FRAMING_NAME_MAX = 31 };

static struct {
    struct mario_framing list[ADDED_MAX];
    uint32_t count;
} added;

static struct mario_framing *find_added(const char *name)
{
    for (uint32_t i = 0; i < added.count; i++) {
        if (strcmp(added.list[i].name, name) == 0)
            return &added.list[i];
    }
    return NULL;
}

static bool is_name(const char *name)
{
    size_t n = name == NULL ? 0 : strlen(name);
    return n >= 1 && n <= FRAMING_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == n;
}

const char *framing_add(const struct mario_framing *framing)
{
    if (!is_name(framing->name))
        return "its name cannot be (allowed: 1..31 of a-z, 0-9, _, -)";
    if (kind_of(framing->name) != NULL)
        return "there is one of that name, built in";
    if (framing->next == NULL)
        return "it has no next";
    if (framing->max < 1 || framing->max > MARIO_FRAME_MAX)
        return "max is out of range (allowed: 1..65535)";
    if (framing->state_size > MARIO_FRAME_STATE)
        return "state_size is out of range (allowed: 0..64)";
    struct mario_framing *place = find_added(framing->name);
    if (place == NULL && added.count == ADDED_MAX)
        return "there are too many (allowed: 32)";
    if (place == NULL)
        place = &added.list[added.count++];
    *place = *framing;
    return NULL;
}

/* An application's framing, whose packets get their id by a rule of the listener. */
static enum mario_frame_answer other_id_next(const struct mario_framing *framing, void *state,
                                             unsigned char *data, uint32_t n, uint32_t seen,
                                             struct mario_frame *frame)
{
    const struct framing *f = framing->arg;
    enum mario_frame_answer answer = f->theirs.next(&f->theirs, state, data, n, seen, frame);
    if (answer != MARIO_FRAME_OK || frame->need > n || frame->at > frame->need ||
        frame->len > frame->need - frame->at)
        return answer;
    answer = id_set(&f->rules.id, data, frame);
    if (answer == MARIO_FRAME_BAD)
        frame->fault = frame->fault == REASON_unknown_akg ? MARIO_FAULT_ID : MARIO_FAULT_LENGTH;
    return answer;
}

/* ---- A listener's ---- */

static bool refuse_name(const struct listen_address *a, const char *name, char *why, size_t size)
{
    char all[160] = "";
    size_t used = 0;
    for (size_t i = 0; i < KINDS + added.count && used < sizeof all; i++)
        used += (size_t) snprintf(all + used, sizeof all - used, "%s%s", i > 0 ? ", " : "",
                                  i < KINDS ? kinds[i].name : added.list[i - KINDS].name);
    return listen_refuse(a, why, size, "proto=%.31s: no such framing (allowed: %s)", name, all);
}

/* Whether it stands in a list of names between blanks. */
static bool is_in(const char *list, const char *name)
{
    size_t n = strlen(name);
    for (const char *at = strstr(list, name); at != NULL; at = strstr(at + 1, name)) {
        if (at > list && at[-1] == ' ' && at[n] == ' ')
            return true;
    }
    return false;
}

/* What an entry may have whatever its framing: its own, or of what listens. */
static const char common[] = " proto id max id off id size id endian proxy trust untrusted oob amplify tls ";

/* No option stands there that this framing does not have. */
static bool has_no_other(const struct listen_address *a, const char *proto, const char *options, char *why,
                         size_t size)
{
    for (uint32_t i = 0; i < a->option_count; i++) {
        const char *name = a->options[i].name;
        if (!is_in(common, name) && !is_in(options, name))
            return listen_refuse(a, why, size, "%s= is no option of proto=%s%s%s", name, proto,
                                 options[0] == '\0' ? "" : ", which has", options);
    }
    return true;
}

static bool make_theirs(const struct listen_address *a, const struct mario_framing *theirs,
                        struct framing *out, char *why, size_t size)
{
    out->pub = *theirs;
    if (!has_no_other(a, theirs->name, "", why, size))
        return false;
    int32_t max = (int32_t) theirs->max;
    if (!listen_number(a, "max", 1, MARIO_FRAME_MAX, &max, why, size))
        return false;
    out->pub.max = (uint32_t) max;
    return true;
}

static bool make_built_in(const struct listen_address *a, const struct kind *k, uint32_t max,
                          struct framing *out, char *why, size_t size)
{
    int32_t most = (int32_t) max;
    if (!has_no_other(a, k->name, k->options, why, size) ||
        !listen_number(a, "max", 1, MARIO_FRAME_MAX, &most, why, size))
        return false;
    if (k->ids == IDS_OWN && out->rules.id.kind != ID_OF_FRAMING)
        return listen_refuse(a, why, size,
                             "proto=%s says itself which function a packet is for: no id=", k->name);
    if (k->ids == IDS_RULE && out->rules.id.kind == ID_OF_FRAMING)
        return listen_refuse(a, why, size,
                             "proto=%s: for which function? (allowed: id=0x0000 .. 0xfffb, id=field, "
                             "id=word)",
                             k->name);
    out->pub =
        (struct mario_framing){.name = k->name, .next = k->next, .max = (uint32_t) most, .arg = &out->rules};
    return k->make(a, out, why, size);
}

bool framing_make(const struct listen_address *a, const struct framing_world *world, struct framing *out,
                  char *why, size_t size)
{
    const char *name = listen_option(a, "proto");
    const struct kind *k = kind_of(name == NULL ? "head" : name);
    *out = (struct framing){.rules.head = world->head};
    if (!id_rule_make(a, &out->rules.id, why, size))
        return false;
    if (k != NULL)
        return make_built_in(a, k, world->max, out, why, size);
    const struct mario_framing *theirs = find_added(name);
    if (theirs == NULL)
        return refuse_name(a, name, why, size);
    if (!make_theirs(a, theirs, out, why, size))
        return false;
    if (out->rules.id.kind != ID_OF_FRAMING) {
        out->theirs = out->pub;
        out->pub.next = other_id_next;
        out->pub.arg = out;
    }
    return true;
}
