/*
 * bus_rig.c: a driver of a bus and what it tells. The test's thread.
 */
#include "bus_rig.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

/* ---- What it tells ---- */

static void on_up(void *arg, uint32_t part)
{
    struct rig *r = arg;
    r->part = part;
    r->ups++;
    UNIT_ASSERT(r->ops->is_up(r->bus, part));
}

static void on_down(void *arg, uint32_t part, const char *why)
{
    struct rig *r = arg;
    r->part = part;
    r->downs++;
    snprintf(r->why, sizeof r->why, "%s", why);
    UNIT_ASSERT(!r->ops->is_up(r->bus, part) && strchr(why, '\n') == NULL);
}

static void on_subscribed(void *arg, uint32_t part, const struct channel *c)
{
    struct rig *r = arg;
    r->subscribed++;
    UNIT_ASSERT(part == channel_part(c, r->ops->parts(r->bus)));
}

static void hear(struct rig *r, const struct channel *c, uint64_t epoch, uint64_t seq, const void *bytes,
                 size_t len)
{
    for (size_t i = 0; i < len; i++)
        r->heard_bytes += ((const unsigned char *) bytes)[i];
    if (r->heard_n < RIG_HEARD_MAX) {
        struct rig_heard *h = &r->heard[r->heard_n];
        *h = (struct rig_heard){.channel = *c, .epoch = epoch, .seq = seq, .len = len};
        memcpy(h->bytes, bytes, len < sizeof h->bytes ? len : sizeof h->bytes - 1);
    }
    r->heard_n++;
}

static void on_message(void *arg, uint32_t part, const struct channel *c, const void *bytes, size_t len)
{
    struct rig *r = arg;
    UNIT_ASSERT(part < r->ops->parts(r->bus));
    hear(r, c, 0, 0, bytes, len);
}

static void on_sequenced(void *arg, uint32_t part, uint64_t group, uint64_t epoch, uint64_t seq,
                         const void *bytes, size_t len)
{
    (void) part;
    hear(arg, &(struct channel){.kind = CHANNEL_GROUP, .key = group}, epoch, seq, bytes, len);
}

static void on_garbage(void *arg)
{
    ((struct rig *) arg)->garbage++;
}

static void on_room(void *arg, uint32_t part)
{
    struct rig *r = arg;
    r->part = part;
    r->rooms++;
}

static void answered(struct rig *r, uint64_t cookie, bool failed)
{
    r->out_of_turn += cookie != r->answer + 1;
    r->answer = cookie;
    r->answers++;
    r->failures += failed;
    r->up_when_failed |= failed && r->ops->is_up(r->bus, 0);
}

static void on_published(void *arg, uint64_t cookie, int64_t receivers)
{
    struct rig *r = arg;
    r->receivers = receivers;
    answered(r, cookie, receivers < 0);
}

static void on_claimed(void *arg, uint64_t cookie, enum bus_claim c)
{
    struct rig *r = arg;
    r->claim = c;
    answered(r, cookie, c == CLAIM_FAILED);
}

static void on_renewed(void *arg, uint32_t part, enum bus_renewed renewed)
{
    struct rig *r = arg;
    (void) part;
    r->renewed = renewed;
    r->renewals++;
}

static void on_appended(void *arg, uint64_t cookie, bool done)
{
    answered(arg, cookie, !done);
}

static void on_history(void *arg, uint64_t cookie, uint64_t epoch, uint64_t seq, const void *bytes,
                       size_t len, uint64_t last, uint64_t base)
{
    struct rig *r = arg;
    if (seq != 0) {
        hear(r, &(struct channel){.kind = CHANNEL_GROUP}, epoch, seq, bytes, len);
        return;
    }
    r->epoch = epoch;
    r->last = last;
    r->history_base = base;
    answered(r, cookie, epoch == 0);
}

static void on_refused(void *arg, uint32_t part, const char *line)
{
    struct rig *r = arg;
    (void) part;
    r->refusals++;
    snprintf(r->refusal, sizeof r->refusal, "%s", line);
}

static const struct bus_events events = {
    .up = on_up,
    .down = on_down,
    .subscribed = on_subscribed,
    .message = on_message,
    .sequenced = on_sequenced,
    .garbage = on_garbage,
    .room = on_room,
    .published = on_published,
    .claimed = on_claimed,
    .renewed = on_renewed,
    .appended = on_appended,
    .history = on_history,
    .refused = on_refused,
};

/* ---- Its life ---- */

void rig_config(struct rig *r, const char *servers, const char *node, uint64_t epoch)
{
    *r = (struct rig){.base = event_base_new()};
    r->config = (struct bus_config){
        .servers = servers, .prefix = "test", .node = node, .epoch = epoch, .ttl_ms = 60000, .base = r->base};
}

void rig_create(struct rig *r, const struct bus_ops *ops)
{
    char why[200] = "";
    r->ops = ops;
    r->bus = ops->create(&r->config, &events, r, why, sizeof why);
    ck_assert_msg(r->bus != NULL, "%s", why);
}

void rig_begin(struct rig *r, const struct bus_ops *ops, const char *servers, const char *node,
               uint64_t epoch)
{
    rig_config(r, servers, node, epoch);
    rig_create(r, ops);
    RIG_UNTIL(r, r->ups == ops->parts(r->bus));
}

void rig_end(struct rig *r)
{
    r->ops->destroy(&r->bus);
    ck_assert_ptr_eq(r->bus, NULL);
    event_base_free(r->base);
}

/* ---- Its loop ---- */

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void) fd, (void) what, (void) arg;
}

void rig_turn(struct rig *r)
{
    static const struct timeval pause = {.tv_usec = 10000};
    event_base_once(r->base, -1, EV_TIMEOUT, on_timer, NULL, &pause);
    event_base_loop(r->base, EVLOOP_ONCE);
}

void rig_run(struct rig *r, unsigned ms)
{
    for (uint64_t end = unit_ms() + ms; unit_ms() < end;)
        rig_turn(r);
}

void rig_subscribe(struct rig *r, enum channel_kind kind, uint64_t key)
{
    uint32_t before = r->subscribed;
    r->ops->subscribe(r->bus, &(struct channel){.kind = kind, .key = key});
    RIG_UNTIL(r, r->subscribed > before);
}

void rig_publish(struct rig *r, enum channel_kind kind, uint64_t key, const char *text, uint64_t cookie)
{
    ck_assert(r->ops->publish(r->bus, &(struct channel){.kind = kind, .key = key}, "<", 1, text, strlen(text),
                              cookie));
}
