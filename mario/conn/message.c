/*
 * message.c: messages that many receivers share, and what all of them take. Any thread; making, marking and freeing one
 * are public and for whoever sends.
 */
#include "mario/conn/message.h"

#include <errno.h>
#include <string.h>

#include "mario/base/mem.h"
#include "mario/base/stats.h"
#include "mario/exec/registry.h"
#include "mario/mario_route.h"

static _Atomic size_t memory, limit;
static void (*_Atomic receipt_due)(struct mario_msg *m);

void message_setup(size_t bytes, void (*due)(struct mario_msg *m))
{
    atomic_store_explicit(&limit, bytes, memory_order_relaxed);
    atomic_store_explicit(&receipt_due, due, memory_order_release);
}

void message_limit_to(size_t bytes)
{
    atomic_store_explicit(&limit, bytes, memory_order_relaxed);
}

size_t message_memory(void)
{
    return atomic_load_explicit(&memory, memory_order_relaxed);
}

size_t message_limit(void)
{
    return atomic_load_explicit(&limit, memory_order_relaxed);
}

void message_account(ptrdiff_t n)
{
    atomic_fetch_add_explicit(&memory, (size_t) n, memory_order_relaxed);
}

/* ---- References ---- */

void message_destroy(struct mario_msg *m)
{
    message_account(-(ptrdiff_t) mem_room(m));
    mem_free(m);
}

void message_unref_many(struct mario_msg *m, uint32_t n)
{
    if (atomic_fetch_sub_explicit(&m->refs, n, memory_order_acq_rel) != n)
        return;
    if (m->framed) {
        struct mario_msg *of = m->of;
        message_destroy(m);
        message_unref(of);
        return;
    }
    void (*due)(struct mario_msg *) = atomic_load_explicit(&receipt_due, memory_order_acquire);
    if (m->receipt && due != NULL)
        due(m);
    else
        message_destroy(m);
}

void message_unref(struct mario_msg *m)
{
    message_unref_many(m, 1);
}

void purse_change(struct purse *p, struct mario_msg *m, uint32_t n)
{
    unsigned i = purse_place(m);
    struct mario_msg *before = p->place[i].m;
    uint32_t held = p->place[i].n;
    if (n > 0)
        message_ref(m, n);
    p->place[i].m = m;
    p->place[i].n = before == m ? held + n : n;
    p->used = true;
    if (before != m && held > 0)
        message_unref_many(before, held);
}

void purse_empty(struct purse *p)
{
    for (size_t i = 0; i < sizeof p->place / sizeof p->place[0] && p->used; i++) {
        struct mario_msg *m = p->place[i].m;
        uint32_t held = p->place[i].n;
        p->place[i].m = NULL;
        p->place[i].n = 0;
        if (held > 0)
            message_unref_many(m, held);
    }
    p->used = false;
}

/* ---- Public: making one ---- */

static struct mario_msg *refuse(void)
{
    stats_add_shared(STAT_push_refused_memory, 1);
    errno = ENOMEM;
    return NULL;
}

enum { ROUNDED_MOST = 4096 }; /* bytes of a message that comes from a thread's lists, rounded up */

static struct mario_msg *allocate(uint32_t len)
{
    size_t n = sizeof(struct mario_msg) + len;
    return n <= ROUNDED_MOST ? mem_try(n) : mem_exact(n);
}

/* One of len bytes that are not set yet. What it takes is known before others are let in by it: two who ask at the same
 * time are not both given the last of it. */
static struct mario_msg *create(uint32_t len)
{
    struct mario_msg *m = allocate(len);
    if (m == NULL)
        return refuse();
    size_t room = mem_room(m), most = message_limit();
    if (atomic_fetch_add_explicit(&memory, room, memory_order_relaxed) + room > most && most != 0) {
        message_destroy(m);
        return refuse();
    }
    *m = (struct mario_msg){.refs = 1, .len = len};
    return m;
}

struct mario_msg *mario_msg(const void *bytes, uint32_t len)
{
    if (bytes == NULL || len == 0 || len > MARIO_MSG_MAX) {
        errno = EINVAL;
        return NULL;
    }
    struct mario_msg *m = create(len);
    if (m != NULL)
        memcpy(m->data, bytes, len);
    return m;
}

static void put16(unsigned char *at, uint32_t value)
{
    at[0] = (unsigned char) value;
    at[1] = (unsigned char) (value >> 8);
}

struct mario_msg *mario_msg_packet(uint16_t akg_id, const void *data, uint32_t len)
{
    if (akg_id >= AKG_FIRST_RESERVED || (data == NULL && len > 0) || len > MARIO_MSG_MAX - SIZE_OF_HEAD) {
        errno = EINVAL;
        return NULL;
    }
    struct mario_msg *m = create(SIZE_OF_HEAD + len);
    if (m == NULL)
        return NULL;
    uint32_t stx = registry_stx();
    put16(m->data, stx);
    put16(m->data + 2, stx >> 16);
    put16(m->data + 4, SIZE_OF_HEAD + len);
    put16(m->data + 6, akg_id);
    if (len > 0)
        memcpy(m->data + SIZE_OF_HEAD, data, len);
    m->packets = true;
    return m;
}

/* ---- In other framings ---- */

struct mario_msg *message_frame(struct mario_msg *of, uint32_t len)
{
    struct mario_msg *m = allocate(len);
    if (m == NULL)
        return NULL;
    message_account((ptrdiff_t) mem_room(m));
    message_ref(of, 1);
    *m = (struct mario_msg){.refs = 1,
                            .len = len,
                            .key = of->key,
                            .keep = of->keep,
                            .receipt = of->receipt,
                            .framed = true,
                            .begun = true,
                            .of = of};
    return m;
}

static uint32_t get16(const unsigned char *at)
{
    return at[0] | (uint32_t) at[1] << 8;
}

bool message_next(const unsigned char *bytes, uint32_t len, uint32_t *at, struct message_packet *p)
{
    const unsigned char *head = bytes + *at;
    if (len - *at < SIZE_OF_HEAD)
        return false;
    uint32_t whole = get16(head + 4);
    if (whole < SIZE_OF_HEAD || whole > len - *at)
        return false;
    *p = (struct message_packet){
        .data = head + SIZE_OF_HEAD, .len = whole - SIZE_OF_HEAD, .id = (uint16_t) get16(head + 6)};
    *at += whole;
    return true;
}

/* ---- Public: what is to become of it ---- */

static bool is_made(const struct mario_msg *m)
{
    return m != NULL && !atomic_load_explicit(&m->begun, memory_order_relaxed);
}

void mario_msg_key(struct mario_msg *m, uint64_t key)
{
    if (is_made(m))
        m->key = key;
}

void mario_msg_keep(struct mario_msg *m)
{
    if (is_made(m))
        m->keep = true;
}

void mario_msg_receipt(struct mario_msg *m, uint64_t tag)
{
    if (is_made(m)) {
        m->receipt = true;
        m->tag = tag;
    }
}

void mario_msg_stamp(struct mario_msg *m, uint32_t offset)
{
    if (is_made(m) && m->len >= 8 && offset <= m->len - 8)
        m->stamp = offset + 1;
}

void mario_msg_packets(struct mario_msg *m)
{
    uint32_t at = 0;
    struct message_packet p;
    if (!is_made(m))
        return;
    while (message_next(m->data, m->len, &at, &p)) {
    }
    m->packets = at == m->len;
}

struct mario_msg *mario_msg_ref(struct mario_msg *m)
{
    if (m != NULL)
        message_ref(m, 1);
    return m;
}

void mario_msg_info(const struct mario_msg *m, struct mario_msg_info *info)
{
    *info = (struct mario_msg_info){.bytes = m->data,
                                    .len = m->len,
                                    .key = m->key,
                                    .keep = m->keep,
                                    .receipt = m->receipt,
                                    .packets = m->packets,
                                    .tag = m->tag,
                                    .stamp = m->stamp};
}

void mario_msg_free(struct mario_msg **m)
{
    if (m == NULL || *m == NULL)
        return;
    message_unref(*m);
    *m = NULL;
}
