/*
 * held.c: one connection of mode hold. Runs on the thread of the holder that owns it; nothing here may be
 * called from elsewhere. No allocation.
 */
#include "held.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>

#include "crier.h"
#include "holder.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"

/* ---- Lists ---- */

static uint32_t index_of(const struct holder *h, const struct held *c)
{
    return (uint32_t) (c - h->helds);
}

static void list_append(struct holder *h, struct held_list *list, struct held *c)
{
    c->next = HELD_NONE;
    c->prev = list->tail;
    if (list->tail != HELD_NONE)
        h->helds[list->tail].next = index_of(h, c);
    else
        list->head = index_of(h, c);
    list->tail = index_of(h, c);
}

static void list_remove(struct holder *h, struct held_list *list, struct held *c)
{
    if (c->prev != HELD_NONE)
        h->helds[c->prev].next = c->next;
    else
        list->head = c->next;
    if (c->next != HELD_NONE)
        h->helds[c->next].prev = c->prev;
    else
        list->tail = c->prev;
    c->next = c->prev = HELD_NONE;
}

/* ---- States ---- */

static bool is_opening(const struct held *c)
{
    return c->state == HELD_CONNECTING || c->state == HELD_LOGIN;
}

static bool is_waiting(const struct held *c)
{
    return is_opening(c) || c->state == HELD_ASKING;
}

static uint32_t number_of(const struct holder *h, const struct held *c)
{
    return index_of(h, c) * h->o->threads + h->index;
}

static struct node_book *book_of(struct holder *h, const struct held *c)
{
    return &h->nodes[number_of(h, c) % h->o->targets.count];
}

static const struct exchange *exchange_of(const struct holder *h, const struct held *c)
{
    return is_opening(c) ? &h->o->login : h->phase == HOLDER_JOIN ? &h->o->join : &h->o->exchange;
}

/* The one way out: the book is closed for c's request, the socket goes, the counts of states follow. */
static void held_close(struct holder *h, struct held *c, enum held_state state)
{
    if (is_waiting(c)) {
        list_remove(h, &h->waiting, c);
        *(c->put > 0 ? &h->ledger.missing : &h->ledger.unsent) += 1;
        book_of(h, c)->counts[NODE_LOST] += c->put > 0;
    }
    h->opening -= is_opening(c);
    h->asking -= c->state == HELD_ASKING;
    h->open -= c->state == HELD_ASKING || c->state == HELD_QUIET;
    if (c->fd >= 0)
        net_close(c->fd);
    c->fd = -1;
    c->put = c->got = 0;
    c->watch = (struct net_watch){0};
    c->heard = false;
    c->state = (uint8_t) state;
}

static void held_fault(struct holder *h, struct held *c, enum fault fault)
{
    if (is_opening(c))
        h->ledger.refused[fault]++;
    else
        h->ledger.lost[fault]++;
    book_of(h, c)->faults[fault]++;
    h->in_row += is_opening(c) || h->phase >= HOLDER_ROLL;
    held_close(h, c, HELD_GONE);
}

static void held_fail(struct holder *h, struct held *c, int err)
{
    if (is_opening(c) && h->first_errno == 0)
        h->first_errno = err;
    held_fault(h, c, fault_of_errno(err));
}

void held_recycle(struct holder *h, struct held *c)
{
    h->ledger.churned++;
    held_close(h, c, HELD_REOPEN);
    list_append(h, &h->reopen, c);
}

/* ---- Asking ---- */

/* c may be gone afterwards. */
static void held_watch(struct holder *h, struct held *c, bool out)
{
    if (net_watch(h->epoll, c->fd, &c->watch, (epoll_data_t){.u32 = index_of(h, c)}, EPOLLIN, out) != 0)
        held_fail(h, c, errno);
}

/* Send what the kernel takes of the request, built anew from its numbers, and wait for the rest with epoll. c may be
 * gone afterwards. */
static void held_send(struct holder *h, struct held *c)
{
    const struct exchange *x = exchange_of(h, c);
    exchange_build(x, number_of(h, c), c->seq, h->out);
    ssize_t k = net_send(c->fd, h->out + c->put, x->request_len - c->put);
    if (k < 0 && errno != EAGAIN && errno != EINTR) {
        held_fail(h, c, errno);
        return;
    }
    if (k > 0) {
        h->ledger.sent += c->put == 0;
        c->put = (uint16_t) (c->put + k);
        if (c->state == HELD_CONNECTING)
            c->state = HELD_LOGIN;
    }
    held_watch(h, c, c->put < x->request_len);
}

int held_start(struct holder *h, struct held *c, uint64_t now)
{
    c->fd = net_connect_nth(&h->o->targets, number_of(h, c));
    if (c->fd < 0 && errno == EAGAIN)
        return -1;
    if (c->state == HELD_REOPEN)
        list_remove(h, &h->reopen, c);
    c->state = HELD_CONNECTING;
    c->since = c->asked_at = now;
    h->opening++;
    list_append(h, &h->waiting, c);
    h->ledger.tried++;
    h->ledger.asked++;
    if (c->fd < 0)
        held_fail(h, c, errno);
    else
        held_send(h, c);
    return 0;
}

void held_ask(struct holder *h, struct held *c, uint64_t since, uint64_t now)
{
    c->state = HELD_ASKING;
    c->since = since;
    c->asked_at = now;
    h->asking++;
    list_append(h, &h->waiting, c);
    h->ledger.asked++;
    held_send(h, c);
}

/* ---- Answers ---- */

static void held_count_time(struct holder *h, const struct held *c, uint64_t now)
{
    if (c->state == HELD_LOGIN)
        hist_add(&h->logins, now - c->since, 1);
    else if (c->since >= h->start && c->since < h->end)
        hist_add(&h->hist, now - c->since, 1);
}

/* The whole, right reply has come. */
static void held_answered(struct holder *h, struct held *c)
{
    uint64_t now = mono_ns();
    held_count_time(h, c, now);
    if (c->state == HELD_LOGIN) {
        h->ledger.opened++;
        book_of(h, c)->counts[NODE_CONNECTIONS]++;
        h->opening--;
        h->open++;
        if (h->phase == HOLDER_OPEN)
            h->opened_at = now;
    } else {
        h->asking--;
    }
    h->ledger.answered++;
    book_of(h, c)->counts[NODE_ANSWERED]++;
    h->hold_answered += h->phase == HOLDER_HOLD;
    if (c->state == HELD_LOGIN || h->phase >= HOLDER_ROLL)
        h->in_row = 0;
    list_remove(h, &h->waiting, c);
    c->heard = c->heard || (h->start != 0 && c->since >= h->start);
    c->state = HELD_QUIET;
    c->seq = h->phase == HOLDER_JOIN ? 0 : c->seq + 1;
    h->ledger.joined += h->phase == HOLDER_JOIN;
    c->put = c->got = 0;
}

/* n bytes have come to a member that has asked nothing: of a broadcast, and no more than of one, since the next is not
 * said before all have heard it. */
static void held_hear(struct holder *h, struct held *c, size_t n)
{
    if (n > (size_t) (CRIER_SAID_LEN - c->got)) {
        held_fault(h, c, FAULT_BAD_CONTENT);
        return;
    }
    crier_said(h->o, c->seq, h->out);
    enum fault fault = exchange_compare(h->out, h->in, c->got, n);
    if (fault != FAULT_NONE) {
        held_fault(h, c, fault);
        return;
    }
    c->got = (uint16_t) (c->got + n);
    if (c->got < CRIER_SAID_LEN)
        return;
    hist_add(&h->told, mono_ns() - atomic_load_explicit(&h->clock->said_at, memory_order_acquire), 1);
    h->ledger.told++;
    c->seq++;
    c->got = 0;
}

/* n bytes have come. Those beyond one reply, or without a request wholly sent, answer nothing. */
static void held_take(struct holder *h, struct held *c, size_t n)
{
    const struct exchange *x = exchange_of(h, c);
    if (c->state == HELD_QUIET && h->phase == HOLDER_LISTEN) {
        held_hear(h, c, n);
        return;
    }
    if (!is_waiting(c) || n > (size_t) (x->reply_len - c->got)) {
        held_fault(h, c, FAULT_BAD_CONTENT);
        return;
    }
    exchange_reply(x, number_of(h, c), c->seq, h->out);
    enum fault fault = exchange_compare(h->out, h->in, c->got, n);
    c->got = (uint16_t) (c->got + n);
    if (fault == FAULT_NONE && c->got == x->reply_len && c->put < x->request_len)
        fault = FAULT_BAD_CONTENT;
    if (fault != FAULT_NONE)
        held_fault(h, c, fault);
    else if (c->got == x->reply_len)
        held_answered(h, c);
}

static void held_read(struct holder *h, struct held *c)
{
    ssize_t n = net_recv(c->fd, h->in, WIRE_PACKET_MAX + 1);
    if (n > 0)
        held_take(h, c, (size_t) n);
    else if (n == 0)
        held_fault(h, c, FAULT_CLOSED);
    else if (errno != EAGAIN && errno != EINTR)
        held_fail(h, c, errno);
}

void held_end(struct holder *h, struct held *c)
{
    if (h->o->broadcasts > 0)
        held_read(h, c);
    if (c->state != HELD_QUIET)
        return;
    h->ledger.ended++;
    h->ledger.heard += c->heard;
    held_close(h, c, HELD_GONE);
}

/* The reply may be there, and this loop what was late. */
static void held_look(struct holder *h, struct held *c)
{
    if (c->state == HELD_LOGIN || c->state == HELD_ASKING)
        held_read(h, c);
}

void held_expire(struct holder *h, uint64_t now)
{
    uint64_t deadline = (uint64_t) (h->o->timeout_s * (double) NS_PER_S);
    while (h->waiting.head != HELD_NONE) {
        struct held *c = &h->helds[h->waiting.head];
        if (now < c->asked_at + deadline)
            return;
        held_look(h, c);
        if (is_waiting(c))
            held_fault(h, c, FAULT_TIMEOUT);
    }
}

void held_event(struct holder *h, struct held *c, uint32_t events)
{
    if (c->state == HELD_CONNECTING) {
        int err = net_connect_result(c->fd);
        if (err == EINPROGRESS)
            held_watch(h, c, true);
        else if (err != 0)
            held_fail(h, c, err);
        if (err != 0)
            return;
        events |= EPOLLOUT;
    }
    if ((events & EPOLLOUT) != 0 && is_waiting(c))
        held_send(h, c);
    if (c->fd >= 0 && (events & ~(uint32_t) EPOLLOUT) != 0)
        held_read(h, c);
}
