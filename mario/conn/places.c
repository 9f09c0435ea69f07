/*
 * places.c: the places for handshakes of TLS (tls.handshakes): who has one, who waits, who gives his up. Runs on the
 * worker that owns the shard; nothing here may be called from elsewhere.
 */
#include "mario/conn/places.h"

#include "mario/conn/secure.h"

enum { PATIENCE = 1000 / TICK_MS }; /* ticks without a step, then a place is given up if others wait */

static void push_front(struct secure *x, struct secure_list *list, uint32_t link)
{
    struct secure_apart *a = x->conns[link - 1].apart;
    a->prev = 0;
    a->next = list->first;
    if (list->first == 0)
        list->last = link;
    else
        x->conns[list->first - 1].apart->prev = link;
    list->first = link;
}

static void append(struct secure *x, struct secure_list *list, uint32_t link)
{
    struct secure_apart *a = x->conns[link - 1].apart;
    a->next = 0;
    a->prev = list->last;
    if (list->last == 0)
        list->first = link;
    else
        x->conns[list->last - 1].apart->next = link;
    list->last = link;
}

static void take_out(struct secure *x, struct secure_list *list, const struct conn_secure *e)
{
    const struct secure_apart *a = e->apart;
    if (a->prev == 0)
        list->first = a->next;
    else
        x->conns[a->prev - 1].apart->next = a->next;
    if (a->next == 0)
        list->last = a->prev;
    else
        x->conns[a->next - 1].apart->prev = a->prev;
}

void places_leave(const struct conn *c)
{
    const struct shard *s = conn_shard(c);
    struct conn_secure *e = secure_of(c);
    if (e->phase == SECURE_WAITS) {
        take_out(s->secure, &s->secure->waits, e);
    } else if (e->phase == SECURE_SHAKES) {
        take_out(s->secure, &s->secure->shakes, e);
        s->secure->places--;
        stats_add(s->stats, STAT_tls_shaking, UINT64_MAX); /* one less */
    }
}

void places_take(const struct conn *c)
{
    const struct shard *s = conn_shard(c);
    struct conn_secure *e = secure_of(c);
    e->phase = SECURE_SHAKES;
    e->apart->since = s->tick;
    append(s->secure, &s->secure->shakes, c->pub.ind + 1);
    s->secure->places++;
    stats_add(s->stats, STAT_tls_shaking, 1);
}

void places_note_step(const struct conn *c)
{
    const struct shard *s = conn_shard(c);
    struct conn_secure *e = secure_of(c);
    take_out(s->secure, &s->secure->shakes, e);
    e->apart->since = s->tick;
    append(s->secure, &s->secure->shakes, c->pub.ind + 1);
}

bool places_are_left(const struct shard *s)
{
    return s->secure->places < s->set->tls_handshakes;
}

void places_wait(struct conn *c)
{
    const struct shard *s = conn_shard(c);
    secure_of(c)->phase = SECURE_WAITS;
    push_front(s->secure, &s->secure->waits, c->pub.ind + 1);
    c->wait = WAIT_TLS;
    stats_add(s->stats, STAT_tls_waited, 1);
    conn_poll(c);
}

/* Others wait: who did nothing with his place for too long gives it up, unless it is another thread that is late. */
static void make_place(struct shard *s)
{
    struct conn *c = &s->conns[s->secure->shakes.first - 1];
    if (s->tick - secure_of(c)->apart->since <= PATIENCE)
        return;
    if (secure_session(c) == NULL)
        places_note_step(c);
    else
        conn_close(c, REASON_tls_crowded);
}

struct conn *secure_next(struct shard *s)
{
    struct secure *x = s->secure;
    if (x == NULL || x->waits.first == 0)
        return NULL;
    if (x->places > 0 && x->places >= s->set->tls_handshakes)
        make_place(s);
    if (x->places > 0 && x->places >= s->set->tls_handshakes)
        return NULL;
    struct conn *c = &s->conns[x->waits.first - 1];
    places_leave(c);
    secure_of(c)->phase = SECURE_HELLO;
    c->wait = WAIT_NONE;
    c->last_rx = s->tick; /* we did not listen: silence starts now */
    return c;
}
