/*
 * incoming.c: what comes of the bus: looked at, and given to those who are here. The cluster's thread.
 */
#include "mario/cluster/inside.h"

#include "mario/cluster/history.h"

enum { SAID_MS = 60000 };

/* It is none of ours. If a node has sent it that is of another version of ours, somebody should know. */
static bool garbage(const void *bytes, size_t len)
{
    uint8_t version = frame_version(bytes, len);
    cluster.tally.garbage++;
    if (version == 0 || version == FRAME_VERSION || cluster_ms() < cluster.seen.stranger_ms)
        return false;
    cluster.seen.stranger_ms = cluster_ms() + SAID_MS;
    event_tell(MARIO_CLUSTER_REFUSED,
               "a node speaks version %u, this one version %u: nothing of what it says is taken", version,
               FRAME_VERSION);
    return false;
}

/* What is sent on a channel is for that channel, and only what belongs there. */
static bool belongs(const struct channel *c, const struct frame *f)
{
    switch (f->kind) {
    case FRAME_USER:
    case FRAME_KICK_USER:
        return c->kind == CHANNEL_USER && c->key == f->key && f->seq != 0;
    case FRAME_GROUP:
        return c->kind == CHANNEL_GROUP && c->key == f->key && f->seq != 0;
    case FRAME_ALL:
        return c->kind == CHANNEL_ALL && f->seq != 0;
    case FRAME_ALONE:
        return c->kind == CHANNEL_USER && c->key == f->key;
    case FRAME_ASK:
        return (c->kind == CHANNEL_USER || c->kind == CHANNEL_GROUP) && c->key == f->key;
    case FRAME_REPLACED:
    case FRAME_ANSWER:
        return c->kind == CHANNEL_NODE;
    case FRAME_HEARTBEAT: /* to a node: it is new, and hears who is here */
        return c->kind == CHANNEL_ALL || c->kind == CHANNEL_NODE;
    case FRAME_LEAVE:
        return c->kind == CHANNEL_ALL;
    case FRAME_KINDS:
        break;
    }
    return false;
}

/* False: it was here before. */
static bool count(const struct channel *c, const struct frame *f)
{
    uint64_t lost;
    const struct interest *i =
        interest_find(&cluster.interests, c->kind, c->kind == CHANNEL_ALL ? INTEREST_FIXED : c->key);
    if (i == NULL)
        return false; /* left already, nobody is here */
    if (!sequence_check(&cluster.sequences, f->epoch, c->kind, f->key, i->subscription, f->seq,
                        (f->flags & FRAME_FIRST) != 0, &lost))
        return false;
    cluster.tally.lost += lost;
    cluster.tally.received++;
    return true;
}

static void hand_out(enum deliver what, const struct frame *f)
{
    struct mario_msg *m = f->len == 0 ? NULL : mario_msg(f->body, (uint32_t) f->len);
    if (m == NULL && f->len > 0) { /* push.memory, which counts it */
        cluster.tally.lost++;
        return;
    }
    if (m != NULL && f->msg_key != 0)
        mario_msg_key(m, f->msg_key);
    if (m != NULL && (f->flags & FRAME_KEEP))
        mario_msg_keep(m);
    if (m != NULL && f->packets)
        mario_msg_packets(m);
    deliver(&(struct delivery){.what = (uint8_t) what, .reason = f->reason, .key = f->key, .m = m});
}

static void serve(const struct channel *c, const struct frame *f)
{
    static const uint8_t how[FRAME_KINDS] = {[FRAME_USER] = DELIVER_USER,
                                             [FRAME_GROUP] = DELIVER_GROUP,
                                             [FRAME_ALL] = DELIVER_ALL,
                                             [FRAME_KICK_USER] = DELIVER_KICK};
    switch (f->kind) {
    case FRAME_USER:
    case FRAME_GROUP:
    case FRAME_ALL:
    case FRAME_KICK_USER:
        if (count(c, f))
            hand_out((enum deliver) how[f->kind], f);
        break;
    case FRAME_ASK:
        ask_asked(c, f);
        break;
    case FRAME_ANSWER:
        ask_answered(f);
        break;
    case FRAME_HEARTBEAT:
        peers_heartbeat(f, c);
        break;
    case FRAME_LEAVE:
        peers_leave(f);
        break;
    case FRAME_ALONE:
        deliver(&(struct delivery){.what = DELIVER_ALONE, .key = f->key});
        break;
    case FRAME_REPLACED: /* see in_message() */
    case FRAME_KINDS:
        break;
    }
}

static bool parse(const struct channel *c, const void *bytes, size_t len, struct frame *f)
{
    return (frame_parse(bytes, len, f) && belongs(c, f)) || garbage(bytes, len);
}

/* What we sent comes back to us and is ignored; but that somebody is replaced is said by the engine, in the name of who
 * claimed the user, and may be us. */
void in_message(uint32_t part, const struct channel *c, const void *bytes, size_t len)
{
    struct frame f;
    cluster.part[part].has_spoken = true;
    if (!parse(c, bytes, len, &f))
        return;
    bool is_own = f.epoch == cluster.set.epoch;
    if (!is_own)
        peers_hear(f.epoch);
    if (f.kind == FRAME_REPLACED && f.owner_epoch == cluster.set.epoch)
        deliver(&(struct delivery){.what = DELIVER_REPLACE, .key = f.key, .id = f.owner_id});
    else if (!is_own)
        serve(c, &f);
}

/* ---- Histories ---- */

static void history_message_of(const struct frame *f, struct history_message *m)
{
    *m = (struct history_message){.bytes = f->body,
                                  .len = (uint32_t) f->len,
                                  .stamp = f->stamp,
                                  .key = f->msg_key,
                                  .keep = (f->flags & FRAME_KEEP) != 0,
                                  .packets = f->packets};
}

/* Where the group has no history here its members get it as any other message, but our own, which they have. */
void in_sequenced(uint64_t group, uint64_t epoch, uint64_t seq, const void *bytes, size_t len)
{
    struct frame f;
    struct history_message m = {.bytes = NULL};
    bool is_good =
        (frame_parse(bytes, len, &f) && f.kind == FRAME_GROUP && f.key == group) || garbage(bytes, len);
    if (is_good && f.epoch != cluster.set.epoch) {
        peers_hear(f.epoch);
        cluster.tally.received++;
    }
    if (is_good)
        history_message_of(&f, &m);
    if (history_has(group))
        history_sequenced(group, epoch, seq, &m);
    else if (is_good && f.epoch != cluster.set.epoch)
        hand_out(DELIVER_GROUP, &f);
}

void in_fetched(uint64_t cookie, uint64_t epoch, uint64_t seq, const void *bytes, size_t len, uint64_t last,
                uint64_t base)
{
    struct frame f;
    struct history_message m = {.bytes = NULL};
    if (seq != 0 && ((frame_parse(bytes, len, &f) && f.kind == FRAME_GROUP) || garbage(bytes, len)))
        history_message_of(&f, &m);
    history_fetched(cookie, epoch, seq, &m, last, base);
}
