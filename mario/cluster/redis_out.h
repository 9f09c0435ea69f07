/*
 * redis_out.h: commands on their way to Redis, as the bytes that it reads. Any thread, each its own.
 */
#ifndef MARIO_CLUSTER_REDIS_OUT_H
#define MARIO_CLUSTER_REDIS_OUT_H

#include <stdbool.h>
#include <stddef.h>

/* Bytes begin .. end-1 wait. All 0 is an empty one. */
struct redis_out {
    unsigned char *bytes;
    size_t begin, end, size;
};

/* A word of a command: bytes, then more. */
struct redis_word {
    const void *bytes;
    size_t len;
    const void *more;
    size_t more_len;
};

static inline size_t redis_out_len(const struct redis_out *o)
{
    return o->end - o->begin;
}

/* Add a command of n words, or, without its head, words of one that begins elsewhere. False without memory: nothing is
 * added. */
bool redis_out_command(struct redis_out *o, const struct redis_word *w, size_t n);
bool redis_out_words(struct redis_out *o, const struct redis_word *w, size_t n);
/* The head of a command of n words. */
bool redis_out_head(struct redis_out *o, size_t n);
/* All of from, which is empty then. False without memory. */
bool redis_out_move(struct redis_out *o, struct redis_out *from);

/* So many have been sent. Much memory that is not needed any more is given back. */
void redis_out_sent(struct redis_out *o, size_t n);
/* Empty, its memory freed. */
void redis_out_clear(struct redis_out *o);

#endif
