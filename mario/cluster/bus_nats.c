/*
 * bus_nats.c: the cluster's bus on NATS. One part. The cluster's thread.
 *
 * NATS confirms nothing, but says "no responders" to a request that nobody is subscribed for, and handles what one
 * connection says in order, its answers too. So what has to be known is sent as a request, and behind a batch goes a
 * mark: a request to a subject where nobody listens. When its "no responders" is here, that of each message before it
 * was, or will not come; and the subscriptions before it are made. Somebody who listens to everything, as tools do,
 * takes all these answers away. A mark that nothing else is before, when the connection begins, tells whether there is
 * such a one: then marks are waited for shortly, and there is supposed to be somebody for each message.
 */
#include "mario/cluster/nats_inside.h"

#ifdef MARIO_WITH_NATS

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MARK_MS = 300,
    PATIENCE = 16, /* so many times MARK_MS: a server that is silent is down before */
    PATIENCE_OVERHEARD = 2,
    BUFFER_MOST = 1 << 20, /* bytes that the kernel has not taken: publish() has no room then */
    BUFFER_LESS = 1 << 19
};

/* ---- Names ---- */

void nats_subject(const char *name, char *subject, size_t size)
{
    size_t i = 0;
    for (; name[i] != '\0' && i + 1 < size; i++)
        subject[i] = name[i] == '.' ? '/' : name[i];
    subject[i] = '\0';
}

static void channel_subject(const struct bus *b, const struct channel *c, char subject[SUBJECT_MAX])
{
    char name[CHANNEL_NAME_MAX];
    channel_name(b->config.prefix, c, name);
    nats_subject(name, subject, SUBJECT_MAX);
}

/* ---- Sending ---- */

void nats_tell(struct bus *b, const char *subject, const void *bytes, size_t len)
{
    natsConnection *nc = nats_link_connection(b->link);
    if (nc != NULL)
        natsConnection_Publish(nc, subject, bytes, (int) len);
}

static bool request(struct bus *b, const char *subject, const void *bytes, size_t len, char kind,
                    uint64_t number)
{
    char reply[SUBJECT_MAX + 24];
    natsConnection *nc = nats_link_connection(b->link);
    snprintf(reply, sizeof reply, "%s%c%" PRIu64, b->inbox, kind, number);
    return nc != NULL && natsConnection_PublishRequest(nc, subject, reply, bytes, (int) len) == NATS_OK;
}

bool nats_ask(struct bus *b, const char *subject, const void *bytes, size_t len, uint64_t expected,
              uint64_t number)
{
    if (expected == NATS_ANY)
        return request(b, subject, bytes, len, 'o', number);
    char reply[SUBJECT_MAX + 24], revision[24];
    natsConnection *nc = nats_link_connection(b->link);
    natsMsg *m = NULL;
    snprintf(reply, sizeof reply, "%so%" PRIu64, b->inbox, number);
    snprintf(revision, sizeof revision, "%" PRIu64, expected);
    bool done = nc != NULL && natsMsg_Create(&m, subject, reply, bytes, (int) len) == NATS_OK &&
                natsMsgHeader_Set(m, "Nats-Expected-Last-Subject-Sequence", revision) == NATS_OK &&
                natsConnection_PublishMsg(nc, m) == NATS_OK;
    natsMsg_Destroy(m);
    return done;
}

/* ---- What waits for a mark ---- */

static void wait_for_mark(struct bus *b)
{
    event_add(b->mark, &(struct timeval){.tv_usec = MARK_MS * 1000});
}

static bool waiting_add(struct bus *b, uint64_t what, uint8_t kind)
{
    if (b->next - b->first == b->room) {
        size_t room = b->room == 0 ? 256 : b->room * 2;
        struct waiting *to = malloc(room * sizeof *to);
        if (to == NULL)
            return false;
        for (uint64_t i = b->first; i != b->next; i++)
            to[i & (room - 1)] = b->waiting[i & (b->room - 1)];
        free(b->waiting);
        b->waiting = to;
        b->room = room;
    }
    if (b->marked == 0 && b->first == b->next)
        event_active(b->mark, EV_TIMEOUT, 1);
    b->waiting[b->next++ & (b->room - 1)] = (struct waiting){.what = what, .receivers = 1, .kind = kind};
    return true;
}

/* Send one, behind what there is. */
static void mark(struct bus *b)
{
    char subject[SUBJECT_MAX];
    snprintf(subject, sizeof subject, "%s:-", b->prefix);
    b->marked = b->next;
    b->patience = b->overheard ? PATIENCE_OVERHEARD : PATIENCE;
    request(b, subject, "", 0, 'm', b->marked);
    wait_for_mark(b);
}

/* Answer all before number `end`, with what is known. */
static void settle(struct bus *b, uint64_t end, bool lost)
{
    while (b->first != end) {
        struct waiting w = b->waiting[b->first++ & (b->room - 1)];
        struct channel c = {.kind = w.kind, .key = w.what, .node = b->config.node};
        if (w.kind == 0)
            b->events->published(b->arg, w.what, lost ? -1 : w.receivers);
        else if (!lost)
            b->events->subscribed(b->arg, 0, &c);
    }
}

/* The mark is passed. What came behind it meanwhile gets the next one. */
static void pass_mark(struct bus *b)
{
    uint64_t end = b->marked;
    event_del(b->mark);
    settle(b, end, false);
    b->marked = 0;
    if (b->first != b->next && nats_link_connection(b->link) != NULL)
        mark(b);
}

/* There is something to be marked, or the mark has not come back yet. Late timers are common: the loop was busy. So it
 * takes several. */
static void on_mark(evutil_socket_t fd, short what, void *arg)
{
    struct bus *b = arg;
    (void) fd;
    (void) what;
    if (nats_link_connection(b->link) == NULL)
        return;
    if (b->marked == 0) {
        if (b->first != b->next)
            mark(b);
    } else if (--b->patience > 0) {
        wait_for_mark(b);
    } else {
        b->overheard = true;
        pass_mark(b);
    }
}

/* ---- What comes ---- */

static void on_answer(struct bus *b, const char *name, natsMsg *m)
{
    char *end;
    if (name[0] == '\0')
        return;
    uint64_t number = strtoull(name + 1, &end, 10);
    if (*end != '\0')
        return;
    if (name[0] == 'o') {
        nats_owners_answer(b->owners, number, m);
    } else if (name[0] == 'p' && natsMsg_IsNoResponders(m)) {
        if (number - b->first < b->next - b->first)
            b->waiting[number & (b->room - 1)].receivers = 0;
    } else if (name[0] == 'm' && number == b->marked && b->marked != 0) {
        b->overheard = false;
        pass_mark(b);
    }
}

static void on_message(void *arg, natsMsg *m)
{
    struct bus *b = arg;
    const char *subject = natsMsg_GetSubject(m);
    size_t len = strlen(subject), inbox = strlen(b->inbox);
    struct channel c;
    char node[64];
    if (channel_parse(b->prefix, subject, len, &c, node)) {
        for (char *s = node; c.kind == CHANNEL_NODE && *s != '\0'; s++)
            *s = *s == '/' ? '.' : *s;
        b->events->message(b->arg, 0, &c, natsMsg_GetData(m), (size_t) natsMsg_GetDataLength(m));
    } else if (strncmp(subject, b->inbox, inbox) == 0) {
        on_answer(b, subject + inbox, m);
    } else {
        nats_owners_alive(b->owners, m);
    }
}

static void on_up(void *arg)
{
    struct bus *b = arg;
    char subject[SUBJECT_MAX + 8];
    snprintf(subject, sizeof subject, "%s*", b->inbox);
    b->own[0] = nats_link_subscribe(b->link, subject);
    snprintf(subject, sizeof subject, "%s:l:%s", b->prefix, b->node);
    b->own[1] = nats_link_subscribe(b->link, subject);
    b->told_down = b->told_password = false;
    b->overheard = true;
    mark(b);
    nats_owners_up(b->owners);
    b->events->up(b->arg, 0);
}

static void bury(struct bus *b)
{
    size_t n;
    natsSubscription **subs = nats_subs_take_all(&b->subs, 2, &n);
    for (size_t i = 0; subs != NULL && i < 2; i++)
        if (b->own[i] != NULL)
            subs[n++] = b->own[i];
    b->own[0] = b->own[1] = NULL;
    nats_link_bury(b->link, subs, n);
}

/* All that is open is lost. */
static void lose(struct bus *b)
{
    event_del(b->mark);
    b->marked = 0;
    b->wants_room = false;
    settle(b, b->next, true);
    nats_owners_down(b->owners);
}

static void on_down(void *arg, const char *why, bool password)
{
    struct bus *b = arg;
    char line[256];
    bury(b);
    lose(b);
    if (b->told_down && (b->told_password || !password))
        return;
    b->told_down = true;
    b->told_password = password;
    snprintf(line, sizeof line, "%s%s", password ? BUS_PASSWORD ": " : "", why);
    b->events->down(b->arg, 0, line);
}

static void on_written(void *arg)
{
    struct bus *b = arg;
    if (!b->wants_room || nats_link_waiting(b->link) > BUFFER_LESS)
        return;
    b->wants_room = false;
    b->events->room(b->arg, 0);
}

/* ---- The bus's own ---- */

static bool nats_is_up(const struct bus *b, uint32_t part)
{
    (void) part;
    return nats_link_connection(b->link) != NULL;
}

static uint32_t nats_parts(const struct bus *b)
{
    (void) b;
    return 1;
}

/* NATS need not be asked twice; a channel that is subscribed already is confirmed again. */
static void nats_subscribe(struct bus *b, const struct channel *c)
{
    char subject[SUBJECT_MAX];
    if (!nats_is_up(b, 0))
        return;
    natsSubscription **place = nats_subs_place(&b->subs, c);
    if (place == NULL)
        return;
    if (*place == NULL) {
        channel_subject(b, c, subject);
        *place = nats_link_subscribe(b->link, subject);
    }
    if (*place == NULL)
        nats_subs_take(&b->subs, c);
    else
        waiting_add(b, c->key, (uint8_t) c->kind);
}

static void nats_unsubscribe(struct bus *b, const struct channel *c)
{
    natsSubscription *sub = nats_subs_take(&b->subs, c);
    if (sub != NULL)
        natsSubscription_Unsubscribe(sub);
    natsSubscription_Destroy(sub);
}

/* head and body in one piece. NULL without memory. */
static const void *join(struct bus *b, const void *head, size_t hlen, const void *body, size_t blen)
{
    if (hlen + blen > b->scratch_size) {
        char *to = realloc(b->scratch, hlen + blen + 4096);
        if (to == NULL)
            return NULL;
        b->scratch = to;
        b->scratch_size = hlen + blen + 4096;
    }
    if (hlen > 0)
        memcpy(b->scratch, head, hlen);
    if (blen > 0)
        memcpy(b->scratch + hlen, body, blen);
    return b->scratch;
}

static bool nats_publish(struct bus *b, const struct channel *c, const void *head, size_t hlen,
                         const void *body, size_t blen, uint64_t cookie)
{
    char subject[SUBJECT_MAX];
    if (!nats_is_up(b, 0))
        return false;
    if (nats_link_waiting(b->link) > BUFFER_MOST) {
        b->wants_room = true;
        return false;
    }
    const void *bytes = join(b, head, hlen, body, blen);
    if (bytes == NULL || (cookie != 0 && !waiting_add(b, cookie, 0)))
        return false;
    channel_subject(b, c, subject);
    if (cookie == 0)
        nats_tell(b, subject, bytes, hlen + blen);
    else if (!request(b, subject, bytes, hlen + blen, 'p', b->next - 1))
        b->waiting[(b->next - 1) & (b->room - 1)].receivers = -1;
    return true;
}

/* What was sent, and has no answer yet, has arrived when it has. */
static bool nats_flush(struct bus *b)
{
    if (!nats_is_up(b, 0))
        return true;
    return nats_link_waiting(b->link) == 0 && b->first == b->next && nats_owners_idle(b->owners);
}

static void nats_claim(struct bus *b, uint64_t uid, const struct owner *me, int how, uint32_t most,
                       bool again, const void *head, size_t hlen, uint64_t cookie)
{
    nats_owners_claim(b->owners, uid, me, how, most, again, head, hlen, cookie);
}

static void nats_release(struct bus *b, uint64_t uid, const struct owner *me)
{
    nats_owners_release(b->owners, uid, me);
}

static void nats_renew(struct bus *b)
{
    nats_owners_renew(b->owners);
}

static void nats_retire(struct bus *b)
{
    nats_owners_retire(b->owners);
}

static void bus_free(struct bus *b)
{
    nats_owners_destroy(&b->owners);
    if (b->mark != NULL)
        event_free(b->mark);
    free(b->waiting);
    free(b->scratch);
    free(b);
}

static void nats_destroy(struct bus **bus)
{
    struct bus *b = *bus;
    if (b == NULL)
        return;
    *bus = NULL;
    lose(b);
    bury(b);
    nats_link_destroy(&b->link);
    bus_free(b);
}

static struct bus *nats_create(const struct bus_config *c, const struct bus_events *e, void *arg, char *why,
                               size_t size)
{
    static const struct nats_link_events link_events = {
        .up = on_up, .down = on_down, .message = on_message, .written = on_written};
    static uint64_t made; /* of one node there may be several, one after the other */
    struct bus *b = calloc(1, sizeof *b);
    snprintf(why, size, "out of memory");
    if (b == NULL)
        return NULL;
    b->config = *c;
    b->events = e;
    b->arg = arg;
    b->first = b->next = 1;
    nats_subject(c->prefix, b->prefix, sizeof b->prefix);
    nats_subject(c->node, b->node, sizeof b->node);
    snprintf(b->inbox, sizeof b->inbox, "%s:r:%s:%" PRIu64 ":%" PRIu64 ".", b->prefix, b->node, c->epoch,
             ++made);
    b->mark = event_new(c->base, -1, 0, on_mark, b);
    b->owners = nats_owners_create(b);
    if (b->mark != NULL && b->owners != NULL)
        b->link = nats_link_create(&b->config, &link_events, b, why, size);
    if (b->link != NULL)
        return b;
    bus_free(b);
    return NULL;
}

const struct bus_ops bus_nats = {
    .name = "nats",
    .create = nats_create,
    .destroy = nats_destroy,
    .flush = nats_flush,
    .parts = nats_parts,
    .is_up = nats_is_up,
    .subscribe = nats_subscribe,
    .unsubscribe = nats_unsubscribe,
    .publish = nats_publish,
    .claim = nats_claim,
    .release = nats_release,
    .renew = nats_renew,
    .retire = nats_retire,
};

#endif
