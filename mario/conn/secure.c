/*
 * secure.c: connections over TLS. Runs on the worker that owns the shard.
 *
 * What TLS has to send by itself (its part of a handshake, an alert, an answer to new keys) is sent before anything
 * else of the connection is: its number among the records is given when it is made.
 */
#include "mario/conn/secure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "mario/base/mem.h"
#include "mario/conn/output.h"
#include "mario/conn/places.h"
#include "mario/exec/registry.h"
#include "mario/frame/looks.h"

enum {
    HELLO_ROOM = 2048, /* received at once before a ClientHello is whole: what follows it has to be kept */
    RECORD_HEAD = 5,
    BYTES_LEAST = 512 /* of a ClientHello in pieces, or of what waits */
};

_Static_assert(STAT_tls_failed_other - STAT_tls_failed_protocol == TLS_FAULT_other - TLS_FAULT_protocol &&
                   TLS_FAULT_protocol == 1 && TLS_FAULT_other == TLS_FAULT_COUNT - 1,
               "each fault has its counter, in the same order");

/* ---- Setup ---- */

static void *map(size_t size, int flags)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool secure_setup(struct shard *s, bool prefault)
{
    struct secure *x = mem_alloc(sizeof *x);
    s->secure = x;
    if (x == NULL)
        return false;
    *x = (struct secure){.thread = tls_thread_make()};
    x->conns = map((size_t) s->count * sizeof *x->conns, prefault ? MAP_POPULATE : 0);
    x->homes = map((size_t) s->count * TLS_HOME, MAP_NORESERVE);
    return x->thread != NULL && x->conns != NULL && x->homes != NULL;
}

void secure_teardown(struct shard *s)
{
    struct secure *x = s->secure;
    if (x == NULL)
        return;
    tls_thread_free(&x->thread);
    if (x->conns != NULL)
        munmap(x->conns, (size_t) s->count * sizeof *x->conns);
    if (x->homes != NULL)
        munmap(x->homes, (size_t) s->count * TLS_HOME);
    mem_free(x);
    s->secure = NULL;
}

/* ---- What stands apart ---- */

/* e has something apart, with room for so many bytes at least. False without memory. */
static bool set_apart(struct conn_secure *e, size_t room)
{
    struct secure_apart *old = e->is_apart ? e->apart : NULL;
    struct secure_apart *a = mem_realloc(old, sizeof *a + room);
    if (a == NULL)
        return false;
    if (old == NULL)
        *a = (struct secure_apart){.session = e->session};
    e->apart = a;
    e->is_apart = true;
    return true;
}

static void drop(struct conn_secure *e)
{
    if (!e->is_apart)
        return;
    struct tls_session *session = e->apart->session;
    mem_free(e->apart);
    e->session = session;
    e->is_apart = false;
}

/* False without memory. */
static bool keep(struct conn_secure *e, const unsigned char *data, size_t n)
{
    struct secure_apart *a = e->is_apart ? e->apart : NULL;
    if (a != NULL && a->sent > 0) {
        a->len -= a->sent;
        memmove(a->data, a->data + a->sent, a->len);
        a->sent = 0;
    }
    size_t len = a != NULL ? a->len : 0, need = len + n;
    if (a == NULL || sizeof *a + need > mem_room(a)) {
        size_t room = need > 2 * len ? need : 2 * len; /* a trickle stays linear */
        if (!set_apart(e, room < BYTES_LEAST ? BYTES_LEAST : room))
            return false;
        a = e->apart;
    }
    memcpy(a->data + a->len, data, n);
    a->len += (uint32_t) n;
    return true;
}

/* ---- Bytes that go out ahead ---- */

bool secure_put_ahead(struct conn *c, const unsigned char *data, size_t n)
{
    if (c->outbox == NULL)
        c->last_tx = conn_shard(c)->tick;
    return keep(secure_of(c), data, n) &&
           outbox_put_ahead(&c->outbox, (uint32_t) n, &conn_shard(c)->delivery.all);
}

struct iovec secure_ahead(const struct conn *c)
{
    struct secure_apart *a = secure_of(c)->apart;
    return (struct iovec){.iov_base = a->data + a->sent, .iov_len = a->len - a->sent};
}

void secure_ahead_sent(struct conn *c, size_t n)
{
    struct conn_secure *e = secure_of(c);
    e->apart->sent += (uint32_t) n;
    outbox_ahead_sent(c->outbox, (uint32_t) n, &conn_shard(c)->delivery.all);
    if (e->apart->sent == e->apart->len && e->phase != SECURE_SHAKES)
        drop(e);
}

/* ---- Out ---- */

/* What TLS has for c's peer goes out. */
static enum output put_out(struct conn *c)
{
    struct tls_thread *t = conn_shard(c)->secure->thread;
    enum output o = output_send_sealed(c, t->out, t->out_len);
    t->out_len = 0;
    return o;
}

/* The same, and the end if that cannot be. */
static bool say(struct conn *c)
{
    enum reason r = output_reason(put_out(c));
    if (r == REASON_NONE && output_pending(c) > conn_shard(c)->set->output_max)
        r = REASON_output_limit;
    if (r != REASON_NONE)
        conn_close(c, r);
    else if (c->outbox != NULL)
        conn_poll(c);
    return c->state == CONN_OPEN;
}

size_t secure_seal(const struct conn *c, const struct iovec *vec, size_t n)
{
    struct conn_secure *e = secure_of(c);
    if (e->phase != SECURE_UP) {
        errno = EPIPE;
        return 0;
    }
    size_t taken = tls_seal(secure_session(c), conn_shard(c)->secure->thread, vec, n);
    if (taken > 0)
        return taken;
    e->phase = SECURE_OVER;
    errno = ENOMEM;
    return 0;
}

void secure_say_end(struct conn *c)
{
    if (!conn_is_tls(c) || secure_of(c)->phase != SECURE_UP)
        return;
    struct tls_thread *t = conn_shard(c)->secure->thread;
    secure_of(c)->phase = SECURE_OVER;
    tls_close_notify(secure_session(c), t);
    secure_of(c)->notified = t->out_len < UINT8_MAX ? (uint8_t) t->out_len : 0;
    put_out(c); /* if that fails, it ends without */
}

/* ---- What is wrong ---- */

/* c's client is told, if what was said to it before lets that be, and c ends. `why`: in words, "" if there are no more
 * than the fault's. */
static bool fail(struct conn *c, enum reason reason, enum tls_fault fault, const char *why)
{
    struct secure *x = conn_shard(c)->secure;
    fault = fault == TLS_FAULT_none ? TLS_FAULT_other : fault;
    stats_add(conn_shard(c)->stats, (enum counter)(STAT_tls_failed_protocol + fault - TLS_FAULT_protocol), 1);
    places_leave(c);
    secure_of(c)->phase = SECURE_OVER;
    c->fault = (uint16_t) (MARIO_FAULT_OWN + fault);
    x->why_of = conn_id(c);
    snprintf(x->why, sizeof x->why, "%s", why);
    put_out(c);
    conn_close(c, reason);
    return false;
}

/* What came is no ClientHello. */
static bool refuse(struct conn *c, const unsigned char *data, size_t n)
{
    uint32_t stx = registry_stx();
    enum frame_looks looks = frame_looks(data, (uint32_t) n);
    if (n >= sizeof stx && memcmp(data, &stx, sizeof stx) == 0)
        looks = LOOKS_HEAD;
    fail(c, REASON_tls_failed, TLS_FAULT_protocol, "");
    if (looks != LOOKS_UNKNOWN && looks != LOOKS_TLS)
        c->fault = (uint16_t) looks;
    return false;
}

static bool no_memory(struct conn *c)
{
    conn_shard(c)->secure->thread->out_len = 0;
    conn_close(c, REASON_no_memory);
    return false;
}

/* ---- Records ---- */

/* n bytes stand where tls_open() wants them. */
static bool open_records(struct conn *c, unsigned char *data, size_t n, size_t *plain)
{
    struct conn_secure *e = secure_of(c);
    struct tls_thread *t = conn_shard(c)->secure->thread;
    enum tls_answer answer = tls_open(secure_session(c), t, data, n, plain);
    if (t->key_updates > 0)
        stats_add(conn_shard(c)->stats, STAT_tls_key_updates, t->key_updates);
    t->key_updates = 0;
    if (answer == TLS_BAD)
        return fail(c, REASON_tls_bad_record, t->fault, t->why);
    if (answer == TLS_NO_MEMORY)
        return no_memory(c);
    e->ended = answer == TLS_CLOSED;
    return t->out_len == 0 || say(c);
}

/* ---- The handshake ---- */

/* It is over, and well. Tickets that nobody takes are nobody's failure: what came before its client left is to be
 * answered still. If more has come behind the handshake, tickets wait for the answer to that: one packet less. */
static bool rise(struct conn *c, bool more)
{
    const struct shard *s = conn_shard(c);
    struct tls_thread *t = s->secure->thread;
    struct conn_secure *e = secure_of(c);
    struct mario_tls_info facts;
    places_leave(c);
    e->phase = SECURE_UP;
    e->begins = true;
    tls_session_settle(&e->apart->session, s->secure->homes + (size_t) c->pub.ind * TLS_HOME);
    if (e->apart->sent == e->apart->len)
        drop(e);
    if (tls_facts(secure_session(c), &facts)) {
        bool is_13 = strcmp(facts.version, "TLSv1.3") == 0;
        stats_add(s->stats, is_13 ? STAT_tls_handshakes_13 : STAT_tls_handshakes_12, 1);
        stats_add(s->stats, STAT_tls_resumed, facts.is_resumed != 0);
    }
    enum output o = (more ? output_send_sealed_more : output_send_sealed)(c, t->out, t->out_len);
    t->out_len = 0;
    if (o == OUTPUT_NO_MEMORY)
        return no_memory(c);
    e->broken = e->broken || output_reason(o) == REASON_reset;
    conn_poll(c);
    return c->state == CONN_OPEN;
}

/* A step of it was taken, and what it has to say is in the thread's `out`. `fault` and `why` are of a BAD one. `more`
 * has come than it took. */
static bool stepped(struct conn *c, enum tls_answer answer, enum tls_fault fault, const char *why, bool more)
{
    switch (answer) {
    case TLS_OK:
        return rise(c, more);
    case TLS_MORE:
        if (conn_shard(c)->secure->thread->out_len > 0)
            places_note_step(c);
        return say(c);
    case TLS_BAD:
        return fail(c, REASON_tls_failed, fault, why);
    case TLS_CLOSED:
        put_out(c);
        conn_close(c, REASON_peer_closed);
        return false;
    case TLS_NO_MEMORY:
        break;
    }
    return no_memory(c);
}

/* Whether another thread is to take it: then it does. */
static bool goes_away(struct conn *c, const unsigned char *data, size_t n)
{
    const struct shard *s = conn_shard(c);
    struct conn_secure *e = secure_of(c);
    bool wanted = s->shake != NULL && (s->service->tls_offload == MARIO_TLS_OFFLOAD_ALL ||
                                       tls_set_is_slow(s->set->tls, c->listener));
    if (!wanted || !s->shake(c, e->apart->session, data, n))
        return false;
    e->apart->session = NULL;
    stats_add(s->stats, STAT_tls_offloaded, 1);
    return true;
}

static bool shake(struct conn *c, unsigned char *data, size_t n, size_t *plain)
{
    struct conn_secure *e = secure_of(c);
    struct tls_thread *t = conn_shard(c)->secure->thread;
    size_t used = n;
    if (goes_away(c, data, n)) {
        conn_poll(c);
        return c->state == CONN_OPEN;
    }
    executor_note_shake(conn_executor(c), &c->pub, conn_id(c), conn_address6(c));
    enum tls_answer answer = tls_shake(&e->apart->session, t, data, n, &used);
    executor_note_rest(conn_executor(c));
    if (!stepped(c, answer, t->fault, t->why, used < n))
        return false;
    if (answer != TLS_OK || used == n)
        return true;
    memmove(data + secure_held(c), data + used, n - used);
    return open_records(c, data, n - used, plain);
}

/* c has a place: data[0 .. n-1] is what has come. */
static bool start(struct conn *c, unsigned char *data, size_t n, size_t *plain)
{
    struct conn_secure *e = secure_of(c);
    if (!e->is_apart && !set_apart(e, 0))
        return no_memory(c);
    places_take(c);
    e->apart->session = tls_session_make(conn_shard(c)->set->tls, c->listener);
    return e->apart->session != NULL ? shake(c, data, n, plain) : no_memory(c);
}

/* ---- Its beginning ---- */

enum hello { HELLO_MORE, HELLO_WHOLE, HELLO_NONE };

/* A record with a handshake's message in it, which is a ClientHello. That may go on in further ones. */
static enum hello look(const unsigned char *data, size_t n)
{
    if (data[0] != 22 || (n > 1 && data[1] != 3) || (n > RECORD_HEAD && data[RECORD_HEAD] != 1))
        return HELLO_NONE;
    if (n < RECORD_HEAD)
        return HELLO_MORE;
    size_t len = (size_t) data[3] << 8 | data[4];
    return len == 0 || len > TLS_RECORD_DATA ? HELLO_NONE : n < RECORD_HEAD + len ? HELLO_MORE : HELLO_WHOLE;
}

static bool hello_came(struct conn *c, unsigned char *data, size_t n, bool late, size_t *plain)
{
    struct conn_secure *e = secure_of(c);
    bool kept = e->is_apart;
    if (kept && !keep(e, data, n))
        return no_memory(c);
    const unsigned char *all = kept ? e->apart->data : data;
    size_t len = kept ? e->apart->len : n;
    enum hello what = look(all, len);
    if (what == HELLO_NONE)
        return refuse(c, all, len);
    bool starts = what == HELLO_WHOLE && !late && places_are_left(conn_shard(c));
    if (starts && kept)
        return secure_go_on(c, data, plain);
    if (starts)
        return start(c, data, n, plain);
    if (!kept && !keep(e, data, n))
        return no_memory(c);
    if (what == HELLO_WHOLE)
        places_wait(c);
    return c->state == CONN_OPEN;
}

bool secure_go_on(struct conn *c, unsigned char *data, size_t *plain)
{
    struct conn_secure *e = secure_of(c);
    size_t n = e->apart->len;
    *plain = 0;
    memcpy(data, e->apart->data, n);
    e->apart->len = 0;
    if (start(c, data, n, plain))
        conn_poll(c);
    return c->state == CONN_OPEN;
}

size_t secure_room(const struct conn *c, size_t most)
{
    return secure_of(c)->phase == SECURE_HELLO && most > HELLO_ROOM ? HELLO_ROOM : most;
}

bool secure_received(struct conn *c, unsigned char *data, size_t n, bool late, size_t *plain)
{
    *plain = 0;
    switch ((enum secure_phase) secure_of(c)->phase) {
    case SECURE_HELLO:
        return hello_came(c, data, n, late, plain);
    case SECURE_SHAKES:
        return shake(c, data, n, plain);
    case SECURE_UP:
        return open_records(c, data, n, plain);
    case SECURE_WAITS:
    case SECURE_OVER:
        break;
    }
    return false;
}

bool secure_begins(struct conn *c)
{
    if (!conn_is_tls(c) || !secure_of(c)->begins)
        return false;
    secure_of(c)->begins = false;
    return true;
}

/* What another thread has said is sent as what this one says is. */
static enum tls_answer take_step(struct conn *c, const struct secure_step *step)
{
    enum output o = output_send_sealed(c, step->out, step->out_len);
    if (step->out_len > 0 && step->answer == TLS_MORE)
        places_note_step(c);
    if (o == OUTPUT_NO_MEMORY)
        return TLS_NO_MEMORY;
    if (step->answer == TLS_MORE && output_reason(o) != REASON_NONE)
        conn_close(c, output_reason(o));
    secure_of(c)->broken = output_reason(o) == REASON_reset;
    return step->answer;
}

void secure_shaken(struct executor *t, struct conn *c, const struct secure_step *step)
{
    size_t plain = 0;
    secure_of(c)->apart->session = step->session;
    enum tls_answer answer = take_step(c, step);
    if (c->state != CONN_OPEN || !stepped(c, answer, step->fault, step->why, false) || answer != TLS_OK)
        return;
    if (step->used < step->n && !open_records(c, step->data + step->used, step->n - step->used, &plain))
        return;
    if (c->carry_len == 0)
        c->packet_since = t->shard->tick;
    if (plain > 0 && !conn_carry(c, step->data + step->used, plain))
        conn_close(c, REASON_no_memory);
}

/* ---- Beginning and end ---- */

void secure_begin(struct conn *c)
{
    if (!conn_is_tls(c))
        return;
    *secure_of(c) = (struct conn_secure){.phase = SECURE_HELLO};
    c->packet_since = conn_shard(c)->tick;
}

/* What its peer will not get of what it was pushed, as it was sealed already. */
static void count_cut(const struct conn *c)
{
    if (c->lowat)
        stats_add(conn_shard(c)->stats, STAT_unacked, outbox_ahead(c->outbox));
}

void secure_end(struct conn *c)
{
    if (!conn_is_tls(c))
        return;
    struct conn_secure *e = secure_of(c);
    places_leave(c);
    e->phase = SECURE_OVER;
    e->begins = false;
    count_cut(c);
    drop(e);
    if (e->session != NULL) {
        tls_session_forget(e->session, conn_shard(c)->secure->thread);
        tls_session_end(e->session);
    }
}

void secure_forget(struct conn *c)
{
    if (!conn_is_tls(c))
        return;
    drop(secure_of(c));
    tls_session_free(&secure_of(c)->session);
}
