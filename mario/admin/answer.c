/*
 * answer.c: an answer as it is put together: pieces one behind the other in one block of memory, until it is known in
 * which form they are wanted. Its owner's thread; mario_answer_done() and mario_answer_is_wanted() are for any.
 */
#include "mario/admin/answer.h"

#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/id.h"

enum { KEY_MAX = 255, NO_KEY = 0, DEPTH_MAX = 16, ROOM_FIRST = 1024, FORMAT_MAX = 1024, ERROR_MAX = 512 };

struct mario_answer {
    unsigned char *bytes; /* pieces: kind, length of the key + 1 or NO_KEY, key, value */
    size_t used, room;
    uint32_t depth; /* objects and lists that are open */
    enum answer_status status;
    char error[ERROR_MAX];
    void (*done)(struct mario_answer *a, void *arg);
    void *arg;
    _Atomic bool wanted; /* who asked (w) -> who answers (r) */
    _Atomic int refs;    /* who asked, who answers */
    struct mario_answer *next;
};

/* Where those go that are done. `inside`: threads that may be about to push or ring. */
static struct {
    _Atomic(struct mario_answer *) first; /* any thread pushes, the admin thread takes all */
    _Atomic bool open;
    _Atomic uint32_t inside;
    struct doorbell *bell;
    unsigned bit;
} way;

/* ---- Its owners ---- */

void answers_open(struct doorbell *bell, unsigned bit)
{
    way.bell = bell;
    way.bit = bit;
    atomic_store(&way.open, true);
}

struct mario_answer *answer_create(void (*done)(struct mario_answer *a, void *arg), void *arg)
{
    struct mario_answer *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->done = done;
    a->arg = arg;
    atomic_init(&a->wanted, true);
    atomic_init(&a->refs, 2);
    return a;
}

static void let_go(struct mario_answer *a)
{
    if (atomic_fetch_sub_explicit(&a->refs, 1, memory_order_acq_rel) != 1)
        return;
    free(a->bytes);
    free(a);
}

void answer_drop(struct mario_answer **a)
{
    atomic_store_explicit(&(*a)->wanted, false, memory_order_relaxed);
    let_go(*a);
    *a = NULL;
}

void answer_is_now(struct mario_answer *a)
{
    let_go(a);
}

int mario_answer_is_wanted(const struct mario_answer *a)
{
    return atomic_load_explicit(&a->wanted, memory_order_relaxed);
}

/* Who closes the way waits for those who are inside, so either it is seen as closed here, or what is pushed is
 * collected, and the bell is still there. */
void mario_answer_done(struct mario_answer *a)
{
    atomic_fetch_add(&way.inside, 1);
    bool open = atomic_load(&way.open);
    if (open) {
        a->next = atomic_load_explicit(&way.first, memory_order_relaxed);
        while (!atomic_compare_exchange_weak_explicit(&way.first, &a->next, a, memory_order_release,
                                                      memory_order_relaxed)) {
        }
        doorbell_ring(way.bell, way.bit);
    }
    atomic_fetch_sub(&way.inside, 1);
    if (!open)
        let_go(a);
}

void answers_collect(void)
{
    struct mario_answer *a = atomic_exchange_explicit(&way.first, NULL, memory_order_acquire), *oldest = NULL;
    while (a != NULL) {
        struct mario_answer *next = a->next;
        a->next = oldest;
        oldest = a;
        a = next;
    }
    while (oldest != NULL) {
        struct mario_answer *next = oldest->next;
        if (mario_answer_is_wanted(oldest))
            oldest->done(oldest, oldest->arg);
        let_go(oldest);
        oldest = next;
    }
}

void answers_close(void)
{
    atomic_store(&way.open, false);
    while (atomic_load(&way.inside) > 0)
        sched_yield();
    answers_collect();
}

/* ---- Putting it together ---- */

static void fail(struct mario_answer *a, enum answer_status status, const char *why)
{
    a->status = status;
    snprintf(a->error, sizeof a->error, "%s", why);
    a->used = 0;
}

/* Room for n more bytes; NULL if it has failed, or fails now. */
static unsigned char *extend(struct mario_answer *a, size_t n)
{
    if (a->status != ANSWER_GOOD)
        return NULL;
    if (a->used + n > ANSWER_MAX) {
        fail(a, ANSWER_REFUSED, "the answer is too large: ask for less");
        return NULL;
    }
    if (a->used + n > a->room) {
        size_t room = a->room == 0 ? ROOM_FIRST : a->room;
        while (room < a->used + n)
            room *= 2;
        unsigned char *bytes = realloc(a->bytes, room);
        if (bytes == NULL) {
            fail(a, ANSWER_FAILED, "no memory for the answer");
            return NULL;
        }
        a->bytes = bytes;
        a->room = room;
    }
    a->used += n;
    return a->bytes + a->used - n;
}

static void put(struct mario_answer *a, enum answer_kind kind, const char *key, const void *value,
                size_t size)
{
    size_t key_len = key == NULL ? 0 : strnlen(key, KEY_MAX - 1);
    unsigned char *p = extend(a, 2 + key_len + size);
    if (p == NULL)
        return;
    p[0] = (unsigned char) kind;
    p[1] = (unsigned char) (key == NULL ? NO_KEY : key_len + 1);
    if (key_len > 0)
        memcpy(p + 2, key, key_len);
    if (size > 0)
        memcpy(p + 2 + key_len, value, size);
}

static void begin(struct mario_answer *a, enum answer_kind kind, const char *key)
{
    if (a->depth == DEPTH_MAX)
        fail(a, ANSWER_FAILED, "the answer has too many levels");
    else
        a->depth++;
    put(a, kind, key, NULL, 0);
}

void mario_answer_object(struct mario_answer *a, const char *key)
{
    begin(a, ANSWER_OBJECT, key);
}

void mario_answer_list(struct mario_answer *a, const char *key)
{
    begin(a, ANSWER_LIST, key);
}

void mario_answer_end(struct mario_answer *a)
{
    if (a->depth == 0)
        return;
    a->depth--;
    put(a, ANSWER_END, NULL, NULL, 0);
}

void mario_answer_text(struct mario_answer *a, const char *key, const char *text)
{
    uint32_t len = text == NULL ? 0 : (uint32_t) strnlen(text, ANSWER_MAX);
    if (text == NULL) {
        mario_answer_null(a, key);
        return;
    }
    put(a, ANSWER_STRING, key, &len, sizeof len);
    unsigned char *p = extend(a, len);
    if (p != NULL && len > 0)
        memcpy(p, text, len);
}

void mario_answer_format(struct mario_answer *a, const char *key, const char *fmt, ...)
{
    char text[FORMAT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    mario_answer_text(a, key, text);
}

void mario_answer_number(struct mario_answer *a, const char *key, uint64_t value)
{
    put(a, ANSWER_NUMBER, key, &value, sizeof value);
}

void mario_answer_signed(struct mario_answer *a, const char *key, int64_t value)
{
    put(a, ANSWER_SIGNED, key, &value, sizeof value);
}

void mario_answer_real(struct mario_answer *a, const char *key, double value)
{
    put(a, ANSWER_REAL, key, &value, sizeof value);
}

void mario_answer_flag(struct mario_answer *a, const char *key, int value)
{
    bool flag = value != 0;
    put(a, ANSWER_FLAG, key, &flag, sizeof flag);
}

void mario_answer_null(struct mario_answer *a, const char *key)
{
    put(a, ANSWER_NULL, key, NULL, 0);
}

void mario_answer_id(struct mario_answer *a, const char *key, uint64_t id)
{
    mario_answer_format(a, key, "%u.%u.%u", id_worker(id), id_slot(id), id_generation(id));
}

static void refuse(struct mario_answer *a, enum answer_status status, const char *fmt, va_list ap)
{
    char why[ERROR_MAX];
    if (a->status != ANSWER_GOOD)
        return;
    vsnprintf(why, sizeof why, fmt, ap);
    fail(a, status, why);
}

void mario_answer_refuse(struct mario_answer *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    refuse(a, ANSWER_REFUSED, fmt, ap);
    va_end(ap);
}

void mario_answer_usage(struct mario_answer *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    refuse(a, ANSWER_USAGE, fmt, ap);
    va_end(ap);
}

/* ---- Reading it ---- */

enum answer_status answer_status(const struct mario_answer *a)
{
    return a->status;
}

const char *answer_error(const struct mario_answer *a)
{
    return a->error;
}

/* Bytes of a value behind the key; a text's own come behind them. */
static size_t value_size(enum answer_kind kind)
{
    switch (kind) {
    case ANSWER_STRING:
        return sizeof(uint32_t);
    case ANSWER_NUMBER:
    case ANSWER_SIGNED:
    case ANSWER_REAL:
        return sizeof(uint64_t);
    case ANSWER_FLAG:
        return sizeof(bool);
    default:
        return 0;
    }
}

bool answer_next(const struct mario_answer *a, size_t *at, struct answer_item *item)
{
    if (*at >= a->used)
        return false;
    const unsigned char *p = a->bytes + *at;
    *item = (struct answer_item){.kind = (enum answer_kind) p[0]};
    item->key_len = p[1] == NO_KEY ? 0 : p[1] - 1u;
    item->key = p[1] == NO_KEY ? NULL : (const char *) p + 2;
    p += 2 + item->key_len;
    size_t size = value_size(item->kind);
    if (item->kind == ANSWER_STRING)
        memcpy(&item->text_len, p, size);
    else if (item->kind == ANSWER_FLAG)
        memcpy(&item->flag, p, size);
    else
        memcpy(&item->number, p, size);
    item->text = (const char *) p + size;
    *at += 2 + item->key_len + size + item->text_len;
    return true;
}
