/*
 * history_number.c: messages on their way to their numbers, and with them to the members. The cluster's thread.
 *
 * Without an engine the next number is given here. With one a message waits until the engine takes more; it is appended
 * there, and comes back.
 */
#include <stdlib.h>

#include "mario/cluster/history_inside.h"

enum { APPENDS_BYTES = 1048576 }; /* given to the engine and not answered */

/* A message on its way to the engine. */
struct append {
    struct append *next;
    uint64_t group;
    struct mario_msg *m;
    uint32_t len;
};

static struct {
    struct append *first, *last; /* wait for the engine to take more */
    size_t waiting, queue;       /* bytes of them, and how many may be */
    size_t given;                /* bytes that the engine was given */
} out;

void number_open(size_t queue)
{
    out.queue = queue;
    out.waiting = out.given = 0;
}

void number_close(void)
{
    struct append *a;
    while ((a = out.first) != NULL) {
        out.first = a->next;
        mario_msg_free(&a->m);
        free(a);
    }
    out.last = NULL;
}

int32_t history_deliver(uint64_t group, const struct history_message *from, uint64_t seq)
{
    struct kept *k = NULL;
    const void *bytes = from->bytes;
    if (from->stamp > 0) {
        if ((k = kept_make(from, seq)) == NULL)
            return -1;
        bytes = k->bytes;
    }
    struct mario_msg *m = mario_msg(bytes, from->len);
    free(k);
    if (m == NULL)
        return -1;
    if (from->key != 0)
        mario_msg_key(m, from->key);
    if (from->keep)
        mario_msg_keep(m);
    if (from->packets)
        mario_msg_packets(m);
    int32_t rc = histories.house.deliver(group, m);
    mario_msg_free(&m);
    return rc;
}

static struct history_message message_of(const struct mario_msg *m)
{
    struct mario_msg_info i;
    mario_msg_info(m, &i);
    return (struct history_message){.bytes = i.bytes,
                                    .len = i.len,
                                    .stamp = i.stamp,
                                    .key = i.key,
                                    .keep = i.keep != 0,
                                    .packets = i.packets != 0};
}

/* It gets no number, and is not kept: for those only who are here now. */
static void deliver_at_once(uint64_t group, const struct mario_msg *m)
{
    struct history_message from = message_of(m);
    (void) history_deliver(group, &from, 0);
    history_count("cluster_dropped", 1);
}

/* The next number of h, or a later one. */
static void take_in(struct history *h, const struct history_message *m, uint64_t seq)
{
    struct kept *k = kept_make(m, seq);
    if (k == NULL) {
        h->last = h->floor = seq;
        history_count("cluster_dropped", 1);
        return;
    }
    line_append(h, k);
    if (!line_deliver(h))
        history_due(h);
    line_trim(h, history_is_engine() && !resume_any(h) && h->idle_ns == 0);
    if (h->sending.first != NULL)
        history_due(h);
}

static bool engine_is_up(uint64_t group)
{
    return histories.engine.is_up(histories.engine.arg, group);
}

static void free_append(struct append *a)
{
    mario_msg_free(&a->m);
    free(a);
}

/* As much to the engine as it may have at a time. */
void number_give(void)
{
    struct append *a;
    while ((a = out.first) != NULL && (out.given == 0 || out.given + a->len <= APPENDS_BYTES)) {
        const struct history *h = history_find(a->group);
        out.first = a->next;
        if (out.first == NULL)
            out.last = NULL;
        out.waiting -= a->len;
        if (h == NULL || !engine_is_up(a->group)) {
            deliver_at_once(a->group, a->m);
            free_append(a);
            continue;
        }
        out.given += a->len;
        histories.engine.append(histories.engine.arg, a->group, h->n, a->m, (uintptr_t) a);
    }
}

static void send_to_engine(uint64_t group, struct mario_msg *m)
{
    uint32_t len = message_of(m).len;
    struct append *a = out.waiting + len > out.queue ? NULL : malloc(sizeof *a);
    if (!engine_is_up(group)) {
        number_give(); /* those of this group before it */
        deliver_at_once(group, m);
    } else if (a != NULL) {
        *a = (struct append){.group = group, .m = mario_msg_ref(m), .len = len};
        if (out.last == NULL)
            out.first = a;
        else
            out.last->next = a;
        out.last = a;
        out.waiting += len;
        number_give();
        return;
    } else {
        history_count("cluster_dropped", 1);
    }
    free(a);
}

bool history_send(uint64_t group, struct mario_msg *m)
{
    struct history *h = history_find(group);
    if (h == NULL)
        return false;
    if (history_is_engine()) {
        send_to_engine(group, m);
    } else {
        struct history_message from = message_of(m);
        take_in(h, &from, h->last + 1);
    }
    mario_msg_free(&m);
    return true;
}

void history_appended(uint64_t cookie, bool done)
{
    struct append *a = (struct append *) (uintptr_t) cookie; /* NOLINT(performance-no-int-to-ptr) */
    out.given -= a->len;
    if (!done && !history_is_engine())
        done = true;
    /* Refused it was for certain. When the engine went away meanwhile it may be there, and then is fetched later. */
    if (!done && engine_is_up(a->group))
        deliver_at_once(a->group, a->m);
    else if (!done)
        history_count("cluster_dropped", 1);
    free_append(a);
}

/* Its place is not clear yet: what is in front of it is being fetched. */
static void wait_ahead(struct history *h, const struct history_message *m, uint64_t epoch, uint64_t seq)
{
    struct kept *k = NULL;
    if (h->ahead_epoch != epoch)
        line_clear(&h->ahead);
    h->ahead_epoch = epoch;
    h->has_hole = true;
    history_due(h);
    if (!h->overflown && h->ahead.count < AHEAD_MOST && histories.bytes < histories.most)
        k = kept_make(m, seq);
    if (k == NULL || !line_push(&h->ahead, k))
        h->overflown = true;
}

void history_sequenced(uint64_t group, uint64_t epoch, uint64_t seq, const struct history_message *m)
{
    struct history *h = history_find(group);
    if (h == NULL) {
        if (m->bytes != NULL && history_deliver(group, m, seq) != 0)
            history_count("cluster_dropped", 1);
        return;
    }
    if (!h->is_based) {
        line_restart(h, epoch, seq - 1);
        h->is_based = true;
    }
    if (h->has_hole || seq > h->last + 1 || epoch != h->epoch)
        wait_ahead(h, m, epoch, seq);
    else if (seq == h->last + 1)
        take_in(h, m, seq);
}
