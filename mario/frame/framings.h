/*
 * framings.h: all framings there are, by name, and that of a listener, made of its options. Made before start, then
 * only read; asked by any thread.
 */
#ifndef MARIO_FRAME_FRAMINGS_H
#define MARIO_FRAME_FRAMINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/frame/ends.h"
#include "mario/frame/frame.h"
#include "mario/frame/plain.h"
#include "mario/net/listen.h"

/* A listener's. */
struct framing {
    struct mario_framing
        pub; /* what is asked; its arg is rules, but of HEAD+Data and of an application's own */
    struct framing_rules rules;
    struct mario_framing theirs; /* an application's, whose packets get other ids: as it is asked here */
};

/* What all listeners of a server share. */
struct framing_world {
    const struct head_rules *head;
    uint32_t max; /* of the largest packet, where a listener says nothing */
};

/* The framing that the options of an address ask for, into *out, which is referred to. False with a line in why: there
 * is none of that name, an option that it does not have, or a value that cannot be. */
__attribute__((warn_unused_result)) bool framing_make(const struct listen_address *a,
                                                      const struct framing_world *world, struct framing *out,
                                                      char *why, size_t size);

/* What a built-in framing puts around a payload; NULL for one of an application, which has its wrap. */
frame_ends_fn framing_ends(const struct mario_framing *framing);

/* The bytes that end a last packet, data[0 .. n-1], which a FIN ends: how many; 0 if a FIN ends none. They are what is
 * missing of its delimiter: a part of that may stand there. */
uint32_t framing_eof(const struct mario_framing *framing, const unsigned char *data, uint32_t n,
                     unsigned char end[ENDS_BACK]);

/* Have an application's framing, which is copied. NULL, or what is wrong with it. Before start. */
const char *framing_add(const struct mario_framing *framing);

#endif
