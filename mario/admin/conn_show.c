/*
 * conn_show.c: conn show: all that is known of one connection. look() runs on its worker, between two passes; the rest
 * on the admin thread.
 */
#include "mario/admin/conns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "mario/admin/admin.h"
#include "mario/admin/args.h"
#include "mario/admin/ask.h"
#include "mario/admin/survey.h"
#include "mario/base/id.h"
#include "mario/conn/proxied.h"
#include "mario/conn/secure.h"
#include "mario/conn/secure_look.h"
#include "mario/net/stream.h"
#include "mario/net/tcp_facts.h"
#include "mario/push/push.h"
#include "mario/worker/worker.h"

enum { GROUPS_SHOWN = 64 };

struct detail {
    bool found;
    struct conn_row row;
    uint8_t wait;
    bool paused, half_closed, ends;
    uint32_t functions;      /* of it that run on other threads, or wait there */
    uint32_t unfinished;     /* bytes of a packet that is not whole */
    uint32_t unfinished_for; /* tenths of a second */
    uint32_t need;           /* bytes of the whole packet, 0 = not known */
    uint64_t output_waits;   /* bytes of replies that wait to be sent */
    uint64_t message_bytes;  /* of messages that wait */
    uint32_t messages;
    bool has_socket;
    uint32_t kernel_queue; /* bytes that the kernel has and the peer has not acknowledged */
    uint32_t kernel_input; /* bytes that have come and were not read */
    bool has_facts;
    struct tcp_facts facts;
    bool is_tls, is_up, is_resumed;
    char tls_version[16], tls_cipher[64], tls_name[32], tls_sni[128], tls_alpn[32], tls_client[128];
    uint32_t groups; /* that it is in */
    uint32_t shown;
    uint64_t group[GROUPS_SHOWN];
};

/* ---- The worker ---- */

/* The framing is asked only about what it has seen already: it may change what it has not. A guest is not asked at all,
 * but what it said last is known. */
static void look_at_input(const struct shard *s, const struct conn *c, struct detail *d)
{
    struct mario_frame frame = {.need = 0};
    const struct mario_framing *f = s->service->framing[c->listener];
    if (c->carry_len == 0)
        return;
    d->unfinished = c->carry_len;
    d->unfinished_for = s->tick - c->packet_since;
    if (s->service->is_guest[c->listener])
        d->need = conn_ext(s, c)->frame.need;
    else if (c->seen > 0 && c->seen <= c->carry_len &&
             f->next(f, NULL, c->carry, c->seen, c->seen, &frame) == MARIO_FRAME_MORE)
        d->need = frame.need;
}

static void look_at_socket(const struct conn *c, struct detail *d)
{
    d->has_socket = conn_has_socket(c);
    if (!d->has_socket)
        return;
    d->kernel_queue = stream_unacked(c->pub.fd);
    d->kernel_input = stream_arrived(c->pub.fd);
    d->has_facts = conn_is_tcp(c) && tcp_facts(c->pub.fd, &d->facts);
}

/* Its session may be away, with a thread that takes a step of its handshake. */
static void look_at_tls(const struct conn *c, struct detail *d)
{
    struct mario_tls_info info;
    d->is_tls = conn_is_tls(c);
    d->is_up = d->is_tls && secure_session(c) != NULL && tls_facts(secure_session(c), &info);
    if (!d->is_up)
        return;
    d->is_resumed = info.is_resumed != 0;
    snprintf(d->tls_version, sizeof d->tls_version, "%s", info.version);
    snprintf(d->tls_cipher, sizeof d->tls_cipher, "%s", info.cipher);
    snprintf(d->tls_name, sizeof d->tls_name, "%s", info.name);
    snprintf(d->tls_sni, sizeof d->tls_sni, "%s", info.sni);
    snprintf(d->tls_alpn, sizeof d->tls_alpn, "%s", info.alpn);
    snprintf(d->tls_client, sizeof d->tls_client, "%s", info.client_subject);
}

static void look_at_groups(const struct shard *s, const struct conn *c, struct detail *d)
{
    const struct member *m = push_member(s, c);
    if (m == NULL)
        return;
    d->groups = m->groups.count;
    d->shown = rooms_of(&s->push->rooms, &m->groups, d->group, GROUPS_SHOWN);
}

static bool look(void *who, void *part, const void *about)
{
    const struct shard *s = &((struct worker *) who)->shard;
    uint64_t id = *(const uint64_t *) about;
    struct detail *d = part;
    const struct conn *c = id_slot(id) < s->fresh ? &s->conns[id_slot(id)] : NULL;
    if (c == NULL || c->state == CONN_FREE || c->generation != id_generation(id))
        return false;
    d->found = true;
    conn_row_of(s, c, &d->row);
    d->wait = c->wait;
    d->paused = c->paused;
    d->half_closed = c->fin;
    d->ends = c->reason != REASON_NONE;
    d->functions = c->refs;
    if (c->state == CONN_CLOSING) /* a function may be stuck with it: the rest is that one's */
        return false;
    look_at_input(s, c, d);
    d->output_waits = outbox_bytes(c->outbox);
    size_t all = outbox_all_bytes(c->outbox), waiting;
    d->message_bytes = all - d->output_waits;
    d->messages = outbox_waiting(c->outbox, &waiting);
    look_at_socket(c, d);
    look_at_tls(c, d);
    look_at_groups(s, c, d);
    return false;
}

/* ---- The admin thread ---- */

static const char *wait_name(const struct detail *d)
{
    switch ((enum conn_wait) d->wait) {
    case WAIT_NONE:
        return d->paused ? "its client to read" : NULL;
    case WAIT_FUNCTION:
        return "its offloaded function";
    case WAIT_JOB:
        return "room in the offload queue";
    case WAIT_OWN:
        return "one of its offloaded functions";
    case WAIT_LINE:
        return "its turn";
    case WAIT_LIMIT:
        return "its limits";
    case WAIT_TLS:
        return "a place for its handshake";
    }
    return NULL;
}

static void put_number_or_null(struct mario_answer *a, const char *key, bool known, uint64_t value)
{
    if (known)
        mario_answer_number(a, key, value);
    else
        mario_answer_null(a, key);
}

static void put_real_or_null(struct mario_answer *a, const char *key, bool known, double value)
{
    if (known)
        mario_answer_real(a, key, value);
    else
        mario_answer_null(a, key);
}

static void put_input(struct mario_answer *a, const struct detail *d)
{
    mario_answer_object(a, "unfinished");
    mario_answer_number(a, "bytes", d->unfinished);
    put_number_or_null(a, "of", d->need != 0, d->need);
    put_real_or_null(a, "for", d->unfinished != 0, d->unfinished_for / 10.0);
    mario_answer_end(a);
}

static void put_output(struct mario_answer *a, const struct detail *d)
{
    mario_answer_object(a, "output");
    mario_answer_number(a, "reply_bytes", d->output_waits);
    mario_answer_number(a, "messages", d->messages);
    mario_answer_number(a, "message_bytes", d->message_bytes);
    put_number_or_null(a, "kernel_bytes", d->has_socket, d->kernel_queue);
    mario_answer_end(a);
}

static void put_tcp(struct mario_answer *a, const struct detail *d)
{
    const struct tcp_facts *f = &d->facts;
    mario_answer_object(a, "tcp");
    put_number_or_null(a, "bytes_received", d->has_facts, f->received);
    put_number_or_null(a, "bytes_acknowledged", d->has_facts, f->acknowledged);
    put_real_or_null(a, "rtt_ms", d->has_facts, f->rtt / 1000.0);
    put_real_or_null(a, "rttvar_ms", d->has_facts, f->rttvar / 1000.0);
    put_number_or_null(a, "retrans", d->has_facts, f->retrans);
    put_number_or_null(a, "unacked", d->has_facts, f->unacked);
    put_number_or_null(a, "cwnd", d->has_facts, f->cwnd);
    put_number_or_null(a, "unread", d->has_socket, d->kernel_input);
    mario_answer_end(a);
}

static void put_text_or_null(struct mario_answer *a, const char *key, bool known, const char *text)
{
    if (known && text[0] != '\0')
        mario_answer_text(a, key, text);
    else
        mario_answer_null(a, key);
}

static void put_tls(struct mario_answer *a, const struct detail *d)
{
    mario_answer_object(a, "tls");
    mario_answer_flag(a, "on", d->is_tls);
    mario_answer_text(a, "state", d->is_tls ? secure_look_name((enum secure_look) d->row.tls) : NULL);
    mario_answer_flag(a, "up", d->is_up);
    put_text_or_null(a, "version", d->is_up, d->tls_version);
    put_text_or_null(a, "cipher", d->is_up, d->tls_cipher);
    put_text_or_null(a, "name", d->is_up, d->tls_name);
    put_text_or_null(a, "sni", d->is_up, d->tls_sni);
    put_text_or_null(a, "alpn", d->is_up, d->tls_alpn);
    put_text_or_null(a, "client", d->is_up, d->tls_client);
    mario_answer_flag(a, "resumed", d->is_resumed);
    mario_answer_end(a);
}

static void put_groups(struct mario_answer *a, const struct detail *d)
{
    mario_answer_number(a, "group_count", d->groups);
    mario_answer_list(a, "groups"); /* texts: 64 bits are no number of JavaScript */
    for (uint32_t i = 0; i < d->shown; i++)
        mario_answer_format(a, NULL, "%" PRIu64, d->group[i]);
    mario_answer_end(a);
}

static void put(struct mario_answer *a, const struct detail *d)
{
    const struct admin_view *v = admin_view();
    conn_row_put(a, &d->row);
    if (d->row.listener < v->listener_count)
        mario_answer_text(a, "listen", v->listeners[d->row.listener].name);
    mario_answer_text(a, "waits_for", wait_name(d));
    mario_answer_flag(a, "client_has_closed", d->half_closed);
    mario_answer_flag(a, "ends", d->ends);
    mario_answer_number(a, "offloaded", d->functions);
    put_input(a, d);
    put_output(a, d);
    put_tcp(a, d);
    put_tls(a, d);
    put_groups(a, d);
}

static void on_answer(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    const struct detail *d = asked_part(q, 0);
    char why[96];
    if (d == NULL) {
        ask_why(asked_worker(q, 0), why, sizeof why);
        mario_answer_refuse(a, "worker %u: %s", asked_worker(q, 0), why);
    } else if (!d->found) {
        mario_answer_refuse(a, "there is no such connection any more");
    } else {
        put(a, d);
    }
    mario_answer_done(a);
}

enum mario_answer_when conns_show(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args args = args_of(a, argc, argv);
    uint64_t id = 0;
    (void) arg;
    bool has_id = args_id(&args, "", &id);
    if (!args_good(&args))
        return MARIO_ANSWER_NOW;
    if (!has_id)
        mario_answer_usage(a, "which connection? its id: WORKER.SLOT.GENERATION");
    else if (id_worker(id) >= admin_view()->workernum)
        mario_answer_refuse(a, "there is no such connection: there are %u workers", admin_view()->workernum);
    else if (!ask(&(struct ask){.whom = id_worker(id),
                                .limit_ms = survey_patience(id_worker(id)),
                                .part_size = sizeof(struct detail),
                                .about = &id,
                                .about_size = sizeof id,
                                .step = look,
                                .done = on_answer,
                                .arg = a}))
        mario_answer_refuse(a, "no memory, or the server stops");
    else
        return MARIO_ANSWER_LATER;
    return MARIO_ANSWER_NOW;
}
