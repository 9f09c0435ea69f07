/*
 * ids.h: which function a packet is for, where its framing does not say: always the same, by a field, or by its first
 * word. Made before start, then only read; any thread.
 */
#ifndef MARIO_FRAME_IDS_H
#define MARIO_FRAME_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/frame/frame.h"
#include "mario/net/listen.h"

#define ID_OFF_MAX 1024 /* where a field may begin */

enum id_kind { ID_OF_FRAMING, ID_ALWAYS, ID_FIELD, ID_WORD };

struct id_rule {
    enum id_kind kind;
    uint16_t id;   /* ID_ALWAYS */
    uint32_t off;  /* ID_FIELD: where, of the packet as it came */
    uint32_t size; /* its bytes, 1 .. 4 */
    bool little;
};

/* The rule that the options of an address ask for; ID_OF_FRAMING if none does. False with a line in why. */
__attribute__((warn_unused_result)) bool id_rule_make(const struct listen_address *a, struct id_rule *out,
                                                      char *why, size_t size);

/* The same as id_set(), for the rarer kinds. */
enum mario_frame_answer id_find(const struct id_rule *rule, const unsigned char *data,
                                struct mario_frame *frame);

/* Set the id of a packet that stands whole in data, of which its framing has said all else: OK, or BAD if it has none.
 * Inline: it runs once a packet. */
static inline enum mario_frame_answer id_set(const struct id_rule *rule, const unsigned char *data,
                                             struct mario_frame *frame)
{
    if (rule->kind != ID_ALWAYS)
        return id_find(rule, data, frame);
    frame->id = rule->id;
    return MARIO_FRAME_OK;
}

static inline enum mario_frame_answer frame_bad(struct mario_frame *frame, enum reason why)
{
    frame->fault = (uint16_t) why;
    return MARIO_FRAME_BAD;
}

/* Have a word mean an id. NULL, or what is wrong with it. Before start. */
const char *word_add(const char *word, uint16_t id);
/* What the word that text[0 .. n-1] begins with means, or "*" if it means nothing. False: neither does. */
bool word_find(const char *text, uint32_t n, uint16_t *id);
bool word_is_any(void); /* one means something */

/* A number of 1 .. 4 bytes. Two are the rule: read without a loop, as it is done once a packet. */
static inline uint32_t field_get(const unsigned char *at, uint32_t size, bool little)
{
    uint32_t value = 0;
    if (size == 2)
        return little ? (uint32_t) (at[0] | at[1] << 8) : (uint32_t) (at[0] << 8 | at[1]);
    if (size == 4 && !little)
        return (uint32_t) at[0] << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
    for (uint32_t i = 0; i < size; i++)
        value = value << 8 | at[little ? size - 1 - i : i];
    return value;
}

static inline void field_put(unsigned char *at, uint32_t size, bool little, uint32_t value)
{
    for (uint32_t i = 0; i < size; i++, value >>= 8)
        at[little ? i : size - 1 - i] = (unsigned char) value;
}

#endif
