/*
 * history_lab.c: as history_lab.h says.
 */
#include "history_lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct lab lab;

/* On the wire: its length, the place for its number, what it is. */
struct packet {
    uint32_t len;
    uint64_t seq;
    uint64_t tag;
} __attribute__((packed));

uint32_t lab_draw(uint32_t below)
{
    return (uint32_t) (unit_random(&lab.random) % below);
}

static bool is_full(void)
{
    if (lab_draw(100) >= lab.full)
        return false;
    errno = EAGAIN;
    return true;
}

/* ---- The house ---- */

static uint64_t called; /* whose function runs */

static void hear_one(struct ear *e, const struct packet *p)
{
    UNIT_ASSERT(p->tag > 0 && p->tag <= lab.tags);
    UNIT_ASSERT(++e->heard[p->tag] == 1 || e->last.gap != 0);
    if (lab.hears != NULL)
        lab.hears(e, p->seq, p->tag);
    if (p->seq == 0) {
        e->unnumbered++;
        return;
    }
    if (e->told > 0 && e->last.epoch != 0 && e->next != 0)
        UNIT_ASSERT(p->seq == e->next || lab.may_skip);
    e->got++;
    e->next = p->seq + 1;
    e->seq = p->seq;
}

static void hear(struct ear *e, const struct mario_msg *m)
{
    struct mario_msg_info info;
    mario_msg_info(m, &info);
    const unsigned char *at = info.bytes;
    while (info.len > 0) {
        struct packet p;
        memcpy(&p, at, sizeof p);
        UNIT_ASSERT(p.len >= sizeof p && p.len <= info.len);
        hear_one(e, &p);
        at += p.len;
        info.len -= p.len;
    }
}

static int32_t deliver(uint64_t group, struct mario_msg *m)
{
    UNIT_ASSERT(group == GROUP);
    if (is_full())
        return -1;
    struct mario_msg_info info;
    mario_msg_info(m, &info);
    lab.packets += info.packets != 0;
    for (uint32_t i = 1; i <= CONNS; i++) {
        if (lab.ear[i].is_member)
            hear(&lab.ear[i], m);
    }
    return 0;
}

static int32_t send_to(uint64_t id, struct mario_msg *m)
{
    struct mario_msg_info info;
    if (is_full())
        return -1;
    mario_msg_info(m, &info);
    UNIT_ASSERT(!lab.ear[id].is_member);
    UNIT_ASSERT(lab.ear[id].waiting == 0 || info.len <= 32768);
    if (lab.ear[id].is_coming)
        hear(&lab.ear[id], m);
    return 0;
}

static int32_t run(uint64_t id, int32_t (*f)(CONN *c, void *arg), void *arg)
{
    if (is_full() || lab.calls == RUNS) {
        errno = EAGAIN;
        return -1;
    }
    lab.call[lab.calls++] = (struct call){.id = id, .f = f, .arg = arg};
    return 0;
}

static int32_t join_later(CONN *c, uint64_t group, uint32_t number)
{
    (void) c;
    UNIT_ASSERT(group == GROUP && number != 0);
    return 0;
}

static int join_is_off(const CONN *c, uint64_t group, uint32_t number)
{
    (void) c;
    UNIT_ASSERT(group == GROUP && number == called);
    return lab.ear[called].is_off;
}

static int32_t join(uint64_t id, uint64_t group, uint32_t number)
{
    UNIT_ASSERT(group == GROUP && number == id && !lab.ear[id].is_member);
    if (is_full())
        return -1;
    if (lab.ear[id].is_coming && !lab.ear[id].is_off)
        lab.ear[id].is_member = true;
    lab.ear[id].is_coming = false;
    return 0;
}

static int32_t sequence(uint64_t group, int on)
{
    if (group == GROUP)
        lab.is_sequenced = on != 0;
    return 0;
}

static int32_t post(const struct mario_route_order *o)
{
    lab.order = *o;
    if (!lab.holds_orders && o->kind != HISTORY_KIND_LOOK)
        history_order(o);
    return 0;
}

static uint64_t now(void)
{
    return lab.clock;
}

static void waiting(const CONN *c, uint32_t *messages, uint32_t *bytes)
{
    (void) c;
    *bytes = lab.ear[called].waiting;
    *messages = *bytes > 0;
}

const struct history_house lab_house = {.deliver = deliver,
                                        .send = send_to,
                                        .run = run,
                                        .join_later = join_later,
                                        .join_is_off = join_is_off,
                                        .join = join,
                                        .sequence = sequence,
                                        .post = post,
                                        .waiting = waiting,
                                        .now = now};

/* ---- Who comes back ---- */

static int32_t told(CONN *c)
{
    struct ear *e = &lab.ear[called];
    struct mario_resumed r;
    UNIT_ASSERT(c->in_buf_len == sizeof r && c->err_type == 0);
    memcpy(&r, c->in_buf, sizeof r);
    UNIT_ASSERT(r.group == GROUP && e->is_coming);
    UNIT_ASSERT(e->told == 0 || r.gap != 0); /* again: only because something is not there any more */
    if (r.epoch != 0)
        UNIT_ASSERT(r.first + r.messages == r.seq + 1);
    else
        UNIT_ASSERT(r.gap == 1 && r.messages == 0 && r.seq == 0);
    if (r.gap != 0 && r.epoch != e->epoch) {
        memset(e->heard, 0, sizeof e->heard);
        e->place = 0;
    }
    e->told++;
    e->last = r;
    e->next = r.epoch == 0 ? 0 : r.first;
    e->epoch = r.epoch;
    e->got = 0;
    return 0;
}

/* Run the i-th of those ordered. */
void lab_run(uint32_t i)
{
    struct call k = lab.call[i];
    CONN c = {0};
    lab.call[i] = lab.call[--lab.calls];
    called = k.id;
    k.f(lab.ear[k.id].is_gone ? NULL : &c, k.arg);
}

void lab_come(uint32_t id, uint64_t epoch, uint64_t seq)
{
    const uint64_t had[2] = {epoch, seq};
    struct ear *e = &lab.ear[id];
    UNIT_ASSERT(!e->is_member && !e->is_coming);
    e->is_coming = true;
    e->is_gone = e->is_off = false;
    e->told = e->got = 0;
    e->next = 0;
    e->last = (struct mario_resumed){0};
    struct mario_route_order o = {
        .kind = HISTORY_KIND_RESUME, .key = GROUP, .id = id, .devices = id, .m = mario_msg(had, sizeof had)};
    UNIT_ASSERT(o.m != NULL);
    history_order(&o);
}

void lab_keep(uint32_t n)
{
    ck_assert_int_eq(mario_history(GROUP, n), 0);
}

struct mario_msg *lab_make(void)
{
    unsigned char bytes[MARIO_MSG_MAX];
    struct packet p = {.len = LEN_LEAST, .seq = 99, .tag = ++lab.tags};
    p.len += lab.filler > 0 ? lab_draw(lab.filler + 1) : 0;
    memset(bytes, 0x5a, p.len);
    memcpy(bytes, &p, sizeof p);
    struct mario_msg *m = mario_msg(bytes, p.len);
    UNIT_ASSERT(m != NULL && lab.tags <= MOST);
    mario_msg_stamp(m, offsetof(struct packet, seq));
    return m;
}

void lab_say(void)
{
    UNIT_ASSERT(history_send(GROUP, lab_make()));
}

void lab_setup(uint64_t seed)
{
    memset(&lab, 0, sizeof lab);
    lab.random = seed;
    lab.clock = 1;
    ck_assert_int_eq(regist_resumed_func(told), 0);
}

void lab_come_or_leave(uint32_t id)
{
    struct ear *e = &lab.ear[id];
    if (e->is_member) {
        e->is_member = false;
        memset(e->heard, 0, sizeof e->heard);
    } else if (!e->is_coming) {
        lab_come(id, e->epoch, e->epoch == 0 ? 0 : e->seq);
    }
}

bool lab_read(const void *bytes, uint32_t len, uint64_t *seq, uint64_t *tag)
{
    struct packet p;
    if (len < sizeof p)
        return false;
    memcpy(&p, bytes, sizeof p);
    *seq = p.seq;
    *tag = p.tag;
    return p.len == len;
}
