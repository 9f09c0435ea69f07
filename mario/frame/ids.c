/*
 * ids.c: which function a packet is for: rules, and the table of words. Adding: one thread, before start; the rest:
 * any.
 */
#include "mario/frame/ids.h"

#include <stdlib.h>
#include <string.h>

#include "mario/mario_akg.h"

#define FIRST_RESERVED g_akg_connected_id

/* ---- Words ---- */

enum { WORD_MAX = 64, WORDS_MAX = 4096 };

struct word {
    char text[WORD_MAX]; /* zeros behind it */
    uint16_t id;
};

static struct {
    struct word *list; /* sorted; never freed */
    uint32_t count, room;
    bool has_any; /* "*" means something: */
    uint16_t any;
} words;

/* A character of a word. */
static bool is_inside(char c)
{
    return c > ' ' && c < 0x7f;
}

/* Where it stands, or where it would. */
static uint32_t place_of(const char *text, uint32_t n, bool *found)
{
    uint32_t low = 0, high = words.count;
    *found = false;
    while (low < high && !*found) {
        uint32_t middle = (low + high) / 2;
        const struct word *w = &words.list[middle];
        int order = memcmp(text, w->text, n);
        if (order == 0 && n < WORD_MAX && w->text[n] != '\0')
            order = -1;
        *found = order == 0;
        if (order <= 0)
            high = middle;
        else
            low = middle + 1;
    }
    return high;
}

static bool make_room(void)
{
    if (words.count < words.room)
        return true;
    uint32_t room = words.room == 0 ? 16 : words.room * 2;
    struct word *list = realloc(words.list, room * sizeof *list);
    if (list == NULL)
        return false;
    words.list = list;
    words.room = room;
    return true;
}

const char *word_add(const char *word, uint16_t id)
{
    size_t n = 0;
    bool found;
    while (n <= WORD_MAX && is_inside(word[n]))
        n++;
    if (n == 0 || n > WORD_MAX || word[n] != '\0')
        return "it is no word (allowed: 1..64 printable ASCII characters without blanks)";
    if (strcmp(word, "*") == 0) {
        words.has_any = true;
        words.any = id;
        return NULL;
    }
    uint32_t at = place_of(word, (uint32_t) n, &found);
    if (!found) {
        if (words.count == WORDS_MAX || !make_room())
            return words.count == WORDS_MAX ? "there are too many (allowed: 4096)" : "no memory";
        memmove(&words.list[at + 1], &words.list[at], (words.count - at) * sizeof *words.list);
        words.list[at] = (struct word){0};
        memcpy(words.list[at].text, word, n);
        words.count++;
    }
    words.list[at].id = id;
    return NULL;
}

bool word_is_any(void)
{
    return words.count > 0 || words.has_any;
}

bool word_find(const char *text, uint32_t n, uint16_t *id)
{
    uint32_t len = 0;
    bool found = false;
    while (len < n && len <= WORD_MAX && is_inside(text[len]))
        len++;
    if (len > 0 && len <= WORD_MAX) {
        uint32_t at = place_of(text, len, &found);
        if (found)
            *id = words.list[at].id;
    }
    if (!found && words.has_any)
        *id = words.any;
    return found || words.has_any;
}

/* ---- Rules ---- */

static bool make_field(const struct listen_address *a, struct id_rule *out, char *why, size_t size)
{
    static const char *const endians[] = {"big", "little", NULL};
    int32_t off = 0, bytes = 2;
    uint32_t endian = 0;
    if (!listen_number(a, "id off", 0, ID_OFF_MAX, &off, why, size) ||
        !listen_number(a, "id size", 1, 4, &bytes, why, size) ||
        !listen_choice(a, "id endian", endians, &endian, why, size))
        return false;
    *out = (struct id_rule){
        .kind = ID_FIELD, .off = (uint32_t) off, .size = (uint32_t) bytes, .little = endian == 1};
    return true;
}

bool id_rule_make(const struct listen_address *a, struct id_rule *out, char *why, size_t size)
{
    const char *text = listen_option(a, "id");
    bool is_field = text != NULL && strcmp(text, "field") == 0;
    int32_t id = 0;
    *out = (struct id_rule){.kind = ID_OF_FRAMING};
    if (is_field)
        return make_field(a, out, why, size);
    if (listen_option(a, "id off") != NULL || listen_option(a, "id size") != NULL ||
        listen_option(a, "id endian") != NULL)
        return listen_refuse(a, why, size, "id=%.24s has no off=, size=, endian=: id=field has", text);
    if (text == NULL)
        return true;
    if (strcmp(text, "word") == 0) {
        out->kind = ID_WORD;
        return true;
    }
    if (text[0] < '0' || text[0] > '9')
        return listen_refuse(a, why, size, "id=%.24s: no such rule (allowed: 0x0000 .. 0xfffb, field, word)",
                             text);
    if (!listen_number(a, "id", 0, FIRST_RESERVED - 1, &id, why, size))
        return false;
    *out = (struct id_rule){.kind = ID_ALWAYS, .id = (uint16_t) id};
    return true;
}

enum mario_frame_answer id_find(const struct id_rule *rule, const unsigned char *data,
                                struct mario_frame *frame)
{
    uint32_t value;
    switch (rule->kind) {
    case ID_OF_FRAMING:
    case ID_ALWAYS:
        return MARIO_FRAME_OK;
    case ID_FIELD:
        if (rule->off + rule->size > frame->need)
            return frame_bad(frame, REASON_bad_length);
        value = field_get(data + rule->off, rule->size, rule->little);
        frame->id = (uint16_t) (value < FIRST_RESERVED ? value : 0);
        return value < FIRST_RESERVED ? MARIO_FRAME_OK : frame_bad(frame, REASON_unknown_akg);
    default:
        return word_find((const char *) data + frame->at, frame->len, &frame->id)
                   ? MARIO_FRAME_OK
                   : frame_bad(frame, REASON_unknown_akg);
    }
}
