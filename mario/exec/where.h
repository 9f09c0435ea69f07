/*
 * where.h: what the watch has said of a worker whose function does not return, or that does not come round: its
 * backtrace, for those who show it. One writer, the master; any thread reads, and gets a text that is whole or none.
 */
#ifndef MARIO_EXEC_WHERE_H
#define MARIO_EXEC_WHERE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WHERE_TEXT 640 /* bytes, with its NUL */

struct where {
    _Atomic uint64_t version; /* odd: it is being written */
    _Atomic uint64_t what;    /* the activity that is meant */
    _Atomic uint64_t text[WHERE_TEXT / sizeof(uint64_t)];
    _Atomic bool is_set;
};

/* Each store keeps those before it: who sees one sees the odd version. */
static inline void where_set(struct where *w, uint64_t what, const char *text)
{
    uint64_t words[WHERE_TEXT / sizeof(uint64_t)] = {0};
    uint64_t version = atomic_load_explicit(&w->version, memory_order_relaxed);
    size_t len = strnlen(text, WHERE_TEXT - 1);
    memcpy(words, text, len);
    atomic_store_explicit(&w->version, version + 1, memory_order_relaxed);
    atomic_store_explicit(&w->what, what, memory_order_release);
    for (size_t i = 0; i <= len / sizeof words[0]; i++)
        atomic_store_explicit(&w->text[i], words[i], memory_order_release);
    atomic_store_explicit(&w->is_set, true, memory_order_release);
    atomic_store_explicit(&w->version, version + 2, memory_order_release);
}

/* It is over. */
static inline void where_clear(struct where *w)
{
    if (atomic_load_explicit(&w->is_set, memory_order_relaxed))
        atomic_store_explicit(&w->is_set, false, memory_order_release);
}

/* Whether it was said of this activity; then text[0 .. WHERE_TEXT-1] is where, "" if that is not known. */
static inline bool where_read(const struct where *w, uint64_t what, char *text)
{
    uint64_t words[WHERE_TEXT / sizeof(uint64_t)];
    uint64_t version = atomic_load_explicit(&w->version, memory_order_acquire);
    bool meant = atomic_load_explicit(&w->is_set, memory_order_acquire) &&
                 atomic_load_explicit(&w->what, memory_order_acquire) == what;
    if (!meant)
        return false;
    for (size_t i = 0; i < WHERE_TEXT / sizeof words[0]; i++)
        words[i] = atomic_load_explicit(&w->text[i], memory_order_acquire);
    bool whole = version % 2 == 0 && atomic_load_explicit(&w->version, memory_order_relaxed) == version;
    memcpy(text, words, WHERE_TEXT);
    text[whole ? WHERE_TEXT - 1 : 0] = '\0';
    return true;
}

#endif
