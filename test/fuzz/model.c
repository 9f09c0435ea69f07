/*
 * model.c: what a worker must do, as its clients can tell. A reason may be given only when the script gives cause
 * for it, and where nothing else is under way it must be given when there is cause.
 */
#include "model.h"

#include <string.h>

struct rules rules;

enum { LOOK_SLACK = 6 }; /* ticks that one pass may live through, and one */

void bytes_add(struct bytes *b, const void *data, size_t n)
{
    if (b->len + n > b->room) {
        b->room = (b->len + n) * 2;
        b->data = realloc(b->data, b->room);
        MUST(b->data != NULL);
    }
    if (n > 0)
        memcpy(b->data + b->len, data, n);
    b->len += n;
}

void peer_begin(struct remote *p)
{
    struct bytes sent = p->sent, owed = p->owed;
    sent.len = owed.len = 0;
    *p = (struct remote){.state = PEER_ARRIVING, .sent = sent, .owed = owed};
    p->unseen = true;
    p->began_tick = p->sent_tick = p->even_tick = p->uncalm_tick = p->tail_tick = *rules.now;
}

static enum mario_frame_answer next_at(const struct remote *p, size_t at, struct mario_frame *k)
{
    if (at == p->sent.len)
        return MARIO_FRAME_MORE;
    return plain_next(rules.framing, p->sent.data + at, p->sent.len - at, k);
}

void peer_sent(struct remote *p, const void *data, size_t n)
{
    struct mario_frame k;
    size_t tail = p->tail;
    bool had_tail = tail < p->sent.len;
    bytes_add(&p->sent, data, n);
    p->sent_tick = *rules.now;
    p->unseen = true;
    while (next_at(p, tail, &k) == MARIO_FRAME_OK)
        tail += k.need;
    if (tail != p->tail || !had_tail) {
        p->tail_tick = *rules.now;
        p->unseen_tail = true;
    }
    p->tail = tail;
}

/* A packet for this place stands at `at`; of who has gone it must also be this very one. */
static bool is_it(const struct remote *p, size_t at, enum place place, const void *packet, size_t n)
{
    struct mario_frame k;
    return next_at(p, at, &k) == MARIO_FRAME_OK && rules.where(k.id) == place &&
           (!p->dropped || (k.need == n && memcmp(p->sent.data + at, packet, n) == 0));
}

static bool take_late(struct remote *p, const void *packet, size_t n, size_t *at)
{
    while (p->line_first != p->line_last) {
        *at = p->line[p->line_first++ % CONCURRENT_MAX];
        if (is_it(p, *at, CONCURRENT, packet, n))
            return true;
        MUST(p->dropped);
    }
    return false;
}

/* Ordered packets are called in the order in which they stand in the stream. Concurrent ones too, but they may be
 * late: an inline one behind them need not wait. Of who has gone offloaded ones may not be called at all. */
void peer_take(struct remote *p, enum place place, const void *packet, size_t n)
{
    struct mario_frame k;
    size_t at = p->at;
    bool found = place == CONCURRENT && take_late(p, packet, n, &at);
    while (!found) {
        at = p->at;
        MUST(next_at(p, at, &k) == MARIO_FRAME_OK);
        p->at += k.need;
        found = is_it(p, at, place, packet, n);
        if (found || (p->dropped && rules.where(k.id) == OFFLOADED))
            continue;
        MUST(rules.where(k.id) == CONCURRENT && p->line_last - p->line_first < CONCURRENT_MAX);
        p->line[p->line_last++ % CONCURRENT_MAX] = at;
    }
    MUST(next_at(p, at, &k) == MARIO_FRAME_OK && k.need == n && memcmp(p->sent.data + at, packet, n) == 0);
    if (place != INLINE)
        p->sent_tick = *rules.now; /* silence begins when it has been answered */
}

void peer_owes(struct remote *p, const void *data, size_t n)
{
    if (p->got == p->owed.len)
        p->even_tick = *rules.now;
    bytes_add(&p->owed, data, n);
}

void peer_got(struct remote *p, const void *data, size_t n)
{
    MUST(p->got + n <= p->owed.len && memcmp(p->owed.data + p->got, data, n) == 0);
    p->got += n;
    p->read_tick = *rules.now;
    if (p->got == p->owed.len)
        p->even_tick = *rules.now;
}

void peer_stop(struct remote *p, bool at_once)
{
    if (at_once)
        p->at_once = true;
    if (!p->stopped)
        p->stop_mark = p->sent.len;
    p->stopped = true;
}

/* ---- Ends ---- */

bool peer_is_lost(struct remote *p)
{
    if (p->state != PEER_ARRIVING || !rules.starved)
        return false;
    p->state = PEER_ENDED;
    p->ended = REASON_poll_failed;
    return true;
}

/* All whole packets in the first `limit` bytes sent have been called. */
static bool is_answered(const struct remote *p, size_t limit)
{
    struct mario_frame k;
    return p->line_first == p->line_last &&
           (next_at(p, p->at, &k) != MARIO_FRAME_OK || p->at + k.need > limit);
}

static bool is_bad(const struct remote *p, enum reason fault)
{
    struct mario_frame k;
    size_t at = p->at;
    enum mario_frame_answer answer;
    while ((answer = next_at(p, at, &k)) == MARIO_FRAME_OK &&
           (rules.where(k.id) == CONCURRENT || (p->dropped && rules.where(k.id) == OFFLOADED)))
        at += k.need; /* these are out, and not called yet, or never */
    return answer == MARIO_FRAME_BAD && k.fault == fault;
}

static bool has_waited(uint32_t since, uint32_t ticks)
{
    return ticks != 0 && *rules.now - since > ticks;
}

static uint32_t later(uint32_t a, uint32_t b)
{
    return (int32_t) (a - b) > 0 ? a : b;
}

static bool is_slow_reader(const struct remote *p)
{
    const struct settings *set = rules.set;
    uint32_t draining = set->drain_timeout > 0 ? set->drain_timeout : 1;
    return p->got < p->owed.len &&
           has_waited(p->even_tick, set->write_timeout != 0 ? set->write_timeout : draining);
}

static bool is_finished(const struct remote *p)
{
    struct mario_frame k;
    return p->fate != REASON_NONE || p->kicked || next_at(p, p->at, &k) == MARIO_FRAME_BAD;
}

/* Whether the script gives cause for this end. */
static bool is_due_to(const struct remote *p, enum reason r)
{
    switch (r) {
    case REASON_peer_closed:
        return p->fate == REASON_NONE && !p->kicked &&
               (p->dropped || (p->fin && is_answered(p, p->sent.len) && !is_finished(p)));
    case REASON_reset:
        return p->dropped;
    case REASON_idle_timeout:
        return has_waited(p->sent_tick, rules.set->timeout);
    case REASON_first_packet:
        return p->at == 0 && has_waited(p->began_tick, rules.set->first_packet);
    case REASON_limit:
        return rules.set->limit_closes && (rules.set->limit_packets != 0 || rules.set->limit_bytes != 0);
    case REASON_packet_timeout:
        return p->tail < p->sent.len && has_waited(p->tail_tick, rules.set->packet_timeout);
    case REASON_write_timeout:
        return is_slow_reader(p);
    case REASON_bad_stx:
        return is_bad(p, REASON_bad_stx);
    case REASON_bad_length:
        return is_bad(p, REASON_bad_length);
    case REASON_unknown_akg:
        return is_bad(p, REASON_unknown_akg);
    case REASON_output_limit:
        return p->owed.len - p->got > rules.set->output_max;
    case REASON_function_closed:
    case REASON_function_error:
        return p->fate == r || (p->kicked && r == REASON_function_closed);
    case REASON_function_died:
        return p->died;
    case REASON_no_memory:
        return rules.starved;
    case REASON_poll_failed:
        return rules.starved || p->lost;
    case REASON_fd_closed:
        return p->lost;
    case REASON_stop:
        return p->stopped && (p->at_once || p->lost ||
                              ((p->dropped || is_answered(p, p->stop_mark)) && p->fate == REASON_NONE));
    default:
        return false;
    }
}

static uint16 hook_of(enum reason r, uint16 err_type)
{
    switch (r) {
    case REASON_idle_timeout:
    case REASON_packet_timeout:
    case REASON_first_packet:
    case REASON_write_timeout:
        return g_akg_timeout_id;
    case REASON_peer_closed:
    case REASON_stop:
        return g_akg_closed_id;
    case REASON_function_closed:
        return err_type == g_akg_timeout_id ? g_akg_timeout_id : g_akg_closed_id;
    default:
        return g_akg_error_id;
    }
}

void peer_end(struct remote *p, enum reason r, uint16 hook, uint16 err_type)
{
    static uint32_t ends;
    MUST(p->state == PEER_SERVED);
    MUST(is_due_to(p, r) || (p->was_due & 1u << r) != 0);
    MUST(hook == hook_of(r, err_type));
    if (p->fate == r && r == REASON_function_closed && !p->kicked)
        MUST(err_type == p->err_type);
    p->state = PEER_ENDED;
    p->ended = r;
    p->end_order = ++ends;
    p->ended_tick = p->read_tick = *rules.now;
}

/* What was written before such an end was all sent. */
static bool is_sent_out(enum reason r)
{
    switch (r) {
    case REASON_peer_closed:
    case REASON_bad_stx:
    case REASON_bad_length:
    case REASON_unknown_akg:
    case REASON_function_closed:
    case REASON_function_error:
    case REASON_stop:
        return true;
    default:
        return false;
    }
}

void peer_settle(const struct remote *p)
{
    if (is_sent_out(p->ended))
        MUST(p->dropped || p->lost || p->at_once || p->got == p->owed.len);
}

void peer_look(struct remote *p, bool held)
{
    struct mario_frame k;
    MUST(p->state != PEER_ARRIVING);
    if (p->state != PEER_SERVED)
        return;
    if (p->unseen)
        p->seen_tick = *rules.now;
    if (p->unseen_tail)
        p->seen_tail = *rules.now;
    p->unseen = p->unseen_tail = false;
    MUST(held || !p->found);
    for (unsigned r = REASON_NONE + 1; held && r < REASON_COUNT; r++)
        if (r == REASON_packet_timeout || r == REASON_first_packet || r == REASON_write_timeout ||
            r == REASON_output_limit || r == REASON_limit)
            p->was_due |= is_due_to(p, (enum reason) r) ? 1u << r : 0;
    if (held || p->lost || rules.limited || (!p->dropped && p->got < p->owed.len)) {
        p->uncalm_tick = *rules.now;
        return;
    }
    /* Nothing is in its way: what is due has happened. */
    MUST(!p->dropped && !p->fin && !p->stopped && !is_finished(p));
    MUST(is_answered(p, p->sent.len) && next_at(p, p->at, &k) == MARIO_FRAME_MORE);
    if (*rules.now == rules.changed)
        return;
    MUST(!has_waited(later(p->seen_tick, p->uncalm_tick), rules.set->timeout));
    MUST(p->tail == p->sent.len ||
         !has_waited(later(p->seen_tail, p->uncalm_tick), rules.set->packet_timeout));
}

void peer_look_behind(const struct remote *p, bool closed)
{
    uint32_t since_end = *rules.now - p->ended_tick, since_read = *rules.now - p->read_tick;
    if (p->state != PEER_ENDED || p->fin || p->dropped || p->lost)
        return;
    bool at_stake =
        p->got < p->owed.len && is_sent_out(p->ended) && !p->is_unix && !p->at_once && !rules.starved;
    if (closed)
        MUST(!at_stake || p->evicted || since_end > rules.linger_least || rules.linger_least == 0);
    else
        MUST(rules.linger_most != 0 && since_read <= 2 * rules.linger_most + LOOK_SLACK);
}
