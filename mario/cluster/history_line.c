/*
 * history_line.c: the messages of a history that lie here. The cluster's thread.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "mario/cluster/history_inside.h"

enum { LINE_LEAST = 16 };

/* ---- A line ---- */

static size_t kept_size(const struct kept *k)
{
    return sizeof *k + k->len;
}

struct kept *kept_make(const struct history_message *m, uint64_t seq)
{
    uint32_t len = m->bytes == NULL ? 0 : m->len;
    struct kept *k = malloc(sizeof *k + len);
    if (k == NULL)
        return NULL;
    *k = (struct kept){.seq = seq, .key = m->key, .len = len, .keep = m->keep, .packets = m->packets};
    if (len == 0)
        return k;
    memcpy(k->bytes, m->bytes, len);
    uint64_t number = htole64(seq);
    if (m->stamp > 0 && len >= sizeof number && m->stamp - 1 <= len - sizeof number)
        memcpy(k->bytes + m->stamp - 1, &number, sizeof number);
    return k;
}

static bool grow(struct line *l)
{
    uint32_t size = l->size == 0 ? LINE_LEAST : 2 * l->size;
    struct kept **at = malloc(size * sizeof(struct kept *));
    if (at == NULL)
        return false;
    for (uint32_t i = 0; i < l->count; i++)
        at[i] = line_at(l, i);
    free(l->at);
    l->at = at;
    l->first = 0;
    l->size = size;
    return true;
}

bool line_push(struct line *l, struct kept *k)
{
    if (l->count == l->size && !grow(l)) {
        free(k);
        return false;
    }
    l->at[(l->first + l->count++) & (l->size - 1)] = k;
    histories.bytes += kept_size(k);
    return true;
}

struct kept *line_take(struct line *l)
{
    if (l->count == 0)
        return NULL;
    struct kept *k = line_at(l, 0);
    l->first = (l->first + 1) & (l->size - 1);
    l->count--;
    histories.bytes -= kept_size(k);
    return k;
}

void line_clear(struct line *l)
{
    struct kept *k;
    while ((k = line_take(l)) != NULL)
        free(k);
}

void line_free(struct line *l)
{
    line_clear(l);
    free(l->at);
    *l = (struct line){0};
}

/* ---- A history's ---- */

uint64_t line_start(const struct history *h)
{
    if (h->line.count == 0)
        return h->last + 1;
    uint64_t first = line_at(&h->line, 0)->seq;
    return first > h->floor ? first : h->floor + 1;
}

uint64_t line_delivered(const struct history *h)
{
    return h->undelivered == 0 ? h->last : line_at(&h->line, h->line.count - h->undelivered)->seq - 1;
}

void line_append(struct history *h, struct kept *k)
{
    uint64_t seq = k->seq;
    if (seq > h->last + 1) {
        h->floor = seq - 1;
        history_count("cluster_lost", seq - 1 - h->last);
    }
    h->last = seq;
    if (line_push(&h->line, k)) {
        h->undelivered++;
    } else {
        h->floor = seq;
        history_count("cluster_dropped", 1);
    }
    line_trim(h, false);
}

/* One is gone that the members have not got. */
static void drop_undelivered(struct history *h)
{
    h->undelivered--;
    history_count("cluster_dropped", 1);
}

/* One that nobody wants back any more, or that there is no room for. */
static void drop_first(struct history *h, bool for_room)
{
    struct kept *k = line_take(&h->line);
    if (h->undelivered > h->line.count)
        drop_undelivered(h);
    if (for_room && k->seq > h->floor)
        h->floor = k->seq;
    free(k);
}

/* What somebody was told that it gets stays while it gets it, unless as many come meanwhile: else each message to a
 * busy group would take the oldest one away from those who come back just then, and they would be told again. */
static uint32_t most_of(const struct history *h)
{
    bool some_get_it = h->asked > 0 || h->sending.first != NULL || h->polling.first != NULL;
    return some_get_it ? 2 * h->n : h->n;
}

void line_trim(struct history *h, bool all)
{
    uint32_t most = most_of(h);
    while (h->line.count > h->undelivered && (all || h->line.count > most))
        drop_first(h, false);
    while (h->line.count > 0 && histories.bytes > histories.most)
        drop_first(h, true);
}

void line_prepend(struct history *h, struct line *past)
{
    struct line *l = &h->line;
    struct kept *k;
    for (uint32_t i = 0; i < l->count; i++) {
        k = line_at(l, i);
        uint64_t seq = k->seq;
        histories.bytes -= kept_size(k);
        if (line_push(past, k))
            continue;
        h->floor = seq; /* without memory: nobody comes back to what is in front of it */
        if (l->count - i <= h->undelivered)
            drop_undelivered(h);
    }
    free(l->at);
    *l = *past;
    *past = (struct line){0};
    line_trim(h, false);
}

/* k for the members. False if a ring is full. */
static bool deliver(const struct history *h, const struct kept *k)
{
    struct history_message m = {
        .bytes = k->bytes, .len = k->len, .key = k->key, .keep = k->keep, .packets = k->packets};
    return k->len == 0 || history_deliver(h->group, &m, k->seq) == 0;
}

bool line_deliver(struct history *h)
{
    while (h->rest.count > 0) {
        if (!deliver(h, line_at(&h->rest, 0)))
            return false;
        free(line_take(&h->rest));
    }
    while (h->undelivered > 0) {
        if (!deliver(h, line_at(&h->line, h->line.count - h->undelivered)))
            return false;
        h->undelivered--;
    }
    return true;
}

void line_restart(struct history *h, uint64_t epoch, uint64_t last)
{
    struct kept *k;
    (void) line_deliver(h);
    while ((k = line_take(&h->line)) != NULL) {
        if (h->line.count >= h->undelivered)
            free(k);
        else if (line_push(&h->rest, k))
            h->undelivered--;
        else
            drop_undelivered(h);
    }
    line_clear(&h->past);
    mario_msg_free(&h->piece);
    h->epoch = epoch;
    h->last = last;
    h->floor = 0;
}

/* ---- Pieces ---- */

/* How many from the i-th on, up to the number `most`, go into one piece, and their bytes together. Packets are not
 * mixed with what is none: only they are framed for those who have another framing. */
static uint32_t measure(const struct line *l, uint32_t i, uint64_t most, uint32_t *bytes, bool *packets)
{
    uint32_t n = 0;
    *bytes = 0;
    *packets = false;
    for (; i + n < l->count; n++) {
        const struct kept *k = line_at(l, i + n);
        if (k->seq > most || (*bytes > 0 && *bytes + k->len > PIECE_BYTES))
            break;
        if (k->len > 0 && *bytes > 0 && *packets != k->packets)
            break;
        *packets = k->len > 0 ? k->packets : *packets;
        *bytes += k->len;
    }
    return n;
}

/* n messages, without a copy of them if there is one only. */
static struct mario_msg *make_piece(const struct line *l, uint32_t i, uint32_t n, uint32_t bytes)
{
    unsigned char together[PIECE_BYTES];
    bool keep = false;
    uint32_t at = 0;
    struct mario_msg *m;
    if (bytes > sizeof together) { /* one */
        while (line_at(l, i)->len == 0)
            i++;
        m = mario_msg(line_at(l, i)->bytes, bytes);
        keep = line_at(l, i)->keep;
    } else {
        for (uint32_t end = i + n; i < end; i++) {
            const struct kept *k = line_at(l, i);
            memcpy(together + at, k->bytes, k->len);
            at += k->len;
            keep = keep || k->keep;
        }
        m = mario_msg(together, bytes);
    }
    if (m != NULL && keep)
        mario_msg_keep(m);
    return m;
}

struct mario_msg *line_piece(struct history *h, uint64_t from, uint64_t *to)
{
    uint64_t most = line_delivered(h);
    uint32_t bytes, i = h->line.count - (uint32_t) (h->last + 1 - from);
    bool packets;
    uint32_t n = measure(&h->line, i, most, &bytes, &packets);
    *to = from + n - 1;
    if (bytes == 0)
        return NULL;
    if (h->piece == NULL || h->piece_from != from || h->piece_to != *to) {
        mario_msg_free(&h->piece);
        h->piece = make_piece(&h->line, i, n, bytes);
        if (h->piece != NULL && packets)
            mario_msg_packets(h->piece);
        h->piece_from = from;
        h->piece_to = *to;
    }
    if (h->piece == NULL)
        *to = from - 1;
    return mario_msg_ref(h->piece);
}
