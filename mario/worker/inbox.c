/*
 * inbox.c: how messages get to a worker: its rings, from both ends. The master puts them in, as worker.h says; the
 * worker takes them out, on its own thread; making and ending the rings is for the thread that makes the server.
 */
#include "mario/worker/inbox.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/conn/passes.h"
#include "mario/worker/worker.h"

enum { PAGE = 4096 }; /* bytes, at least, of the machine's pages */

/* ---- The thread that makes the server ---- */

bool inbox_setup(struct worker *w, bool has_ipv6)
{
    bool ok = !has_ipv6 || (w->addresses = calloc(INBOX_RING, sizeof *w->addresses)) != NULL;
    for (unsigned i = 0; i < SENDERS && ok; i++) {
        ok = spsc_init(&w->inbox[i], INBOX_RING, sizeof(struct message));
        for (size_t at = 0; ok && at < INBOX_RING * sizeof(struct message); at += PAGE)
            ((volatile unsigned char *) w->inbox[i].slots)[at] =
                0; /* there now, not while somebody is accepted */
    }
    return ok;
}

void inbox_refuse_rest(struct worker *w)
{
    struct spsc *ring = &w->inbox[SENDER_MASTER];
    const struct message *m;
    while (ring->slots != NULL && (m = spsc_front(ring)) != NULL) {
        if (m->kind == MESSAGE_ACCEPTED) {
            close(m->fd);
            stats_add(w->shard.stats, STAT_refused_stop, 1);
        }
        spsc_release(ring);
    }
}

void inbox_teardown(struct worker *w)
{
    for (unsigned i = 0; i < SENDERS; i++)
        spsc_fini(&w->inbox[i]);
    free(w->addresses);
}

/* ---- Beside a message ---- */

/* The address that belongs to this place of the master's ring, which is the side's that the place is. */
static struct address *address_of(const struct worker *w, const struct message *place)
{
    return &w->addresses[place - (const struct message *) (const void *) w->inbox[SENDER_MASTER].slots];
}

/* The place for the pass of who comes by this place of the ring; NULL if nobody is counted. */
static uint64_t *pass_of(const struct worker *w, const struct message *place)
{
    struct passes *p = atomic_load_explicit(&w->shard.passes, memory_order_acquire);
    return p == NULL
               ? NULL
               : &p->coming[place - (const struct message *) (const void *) w->inbox[SENDER_MASTER].slots];
}

/* ---- The master ---- */

bool worker_tell(struct worker *w, const struct message *m)
{
    struct message *slot = spsc_reserve(&w->inbox[SENDER_MASTER]);
    if (slot == NULL)
        return false;
    *slot = *m;
    spsc_commit(&w->inbox[SENDER_MASTER]);
    return true;
}

bool worker_hand(struct worker *w, const struct accepted_socket *a)
{
    struct message *slot = spsc_reserve(&w->inbox[SENDER_MASTER]);
    if (slot == NULL)
        return false;
    *slot = (struct message){.kind = MESSAGE_ACCEPTED,
                             .listener = a->listener & (LISTEN_MAX - 1u),
                             .as = a->as & 3u,
                             .port = a->peer.port,
                             .fd = a->fd,
                             .ip = peer_v4(&a->peer)};
    if (slot->ip == 0 && slot->port != 0)
        memcpy(address_of(w, slot)->bytes, a->peer.address, PEER_ADDRESS);
    uint64_t *pass = pass_of(w, slot);
    if (pass != NULL)
        *pass = a->pass;
    spsc_commit(&w->inbox[SENDER_MASTER]);
    return true;
}

bool worker_has_room(struct worker *w)
{
    return spsc_reserve(&w->inbox[SENDER_MASTER]) != NULL;
}

void worker_wake(struct worker *w)
{
    doorbell_ring(&w->bell, BELL_INBOX + SENDER_MASTER);
}

/* ---- The worker ---- */

static struct accepted_socket socket_of(const struct worker *w, const struct message *m)
{
    bool is_ipv6 = m->ip == 0 && m->port != 0;
    const uint64_t *pass = pass_of(w, m);
    return (struct accepted_socket){.fd = m->fd,
                                    .listener = m->listener,
                                    .as = m->as,
                                    .pass = pass != NULL ? *pass : 0,
                                    .peer = is_ipv6 ? peer_of_v6(address_of(w, m)->bytes, m->port)
                                                    : peer_of_v4(m->ip, m->port)};
}

bool inbox_take(struct worker *w, enum inbox_sender from, struct message *m, struct accepted_socket *a)
{
    struct spsc *ring = &w->inbox[from];
    const struct message *slot = spsc_front(ring);
    if (slot == NULL)
        return false;
    *m = *slot;
    if (m->kind == MESSAGE_ACCEPTED)
        *a = socket_of(w, slot);
    spsc_release(ring);
    return true;
}
