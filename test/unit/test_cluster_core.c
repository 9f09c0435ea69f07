/*
 * test_cluster_core.c: the core of a node between a bus and a house that are played: what it says to the one, what it
 * does with the other, and what it counts. Time is the test's.
 */
#include "mario/cluster/inside.h"
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MOST = 8192, UID = 7001, GROUP = 8001, EPOCH = 77, OTHER = 99, QUEUE = 65536 };

/* ---- The bus: it writes down what it is told ---- */

struct told {
    struct channel c;
    struct frame f;
    unsigned char body[64];
    uint64_t cookie;
};
struct told_claim {
    uint64_t uid, id, cookie;
    bool again;
};

static struct {
    bool is_up;
    uint32_t room; /* messages that it takes */
    struct told out[MOST];
    uint32_t outs;
    struct channel said[MOST];
    uint32_t saids, lefts, renews, retired;
    struct told_claim claim[MOST];
    uint32_t claims;
    uint64_t released[MOST];
    uint32_t releases;
} bus;

static uint32_t bus_parts(const struct bus *b)
{
    (void) b;
    return 1;
}

static bool bus_is_up(const struct bus *b, uint32_t part)
{
    (void) b;
    return part == 0 && bus.is_up;
}

static void bus_subscribe(struct bus *b, const struct channel *c)
{
    (void) b;
    UNIT_ASSERT(bus.is_up && bus.saids < MOST);
    bus.said[bus.saids++] = *c;
}

static void bus_unsubscribe(struct bus *b, const struct channel *c)
{
    (void) b;
    (void) c;
    bus.lefts++;
}

static bool bus_publish(struct bus *b, const struct channel *c, const void *head, size_t hlen,
                        const void *body, size_t blen, uint64_t cookie)
{
    unsigned char bytes[1024];
    (void) b;
    UNIT_ASSERT(bus.is_up && hlen + blen <= sizeof bytes && bus.outs < MOST);
    if (bus.room == 0)
        return false;
    bus.room--;
    struct told *t = &bus.out[bus.outs++];
    memcpy(bytes, head, hlen);
    if (blen > 0)
        memcpy(bytes + hlen, body, blen);
    UNIT_ASSERT(frame_parse(bytes, hlen + blen, &t->f));
    t->c = *c;
    t->cookie = cookie;
    memcpy(t->body, t->f.body, t->f.len < sizeof t->body ? t->f.len : sizeof t->body);
    return true;
}

static void bus_claim(struct bus *b, uint64_t uid, const struct owner *me, int how, uint32_t most, bool again,
                      const void *head, size_t hlen, uint64_t cookie)
{
    (void) b;
    (void) head;
    UNIT_ASSERT(bus.claims < MOST && most > 0 && how != MARIO_BIND_MANY && hlen > 0 && me->epoch == EPOCH);
    bus.claim[bus.claims++] = (struct told_claim){.uid = uid, .id = me->id, .again = again, .cookie = cookie};
}

static void bus_release(struct bus *b, uint64_t uid, const struct owner *me)
{
    (void) b;
    (void) uid;
    UNIT_ASSERT(bus.releases < MOST);
    bus.released[bus.releases++] = me->id;
}

static void bus_renew(struct bus *b)
{
    (void) b;
    bus.renews++;
}

static const struct bus_ops played = {.name = "played",
                                      .counts_self = true,
                                      .parts = bus_parts,
                                      .is_up = bus_is_up,
                                      .subscribe = bus_subscribe,
                                      .unsubscribe = bus_unsubscribe,
                                      .publish = bus_publish,
                                      .claim = bus_claim,
                                      .release = bus_release,
                                      .renew = bus_renew};

/* ---- The house ---- */

struct done {
    uint8_t what; /* enum deliver */
    uint64_t key, id;
    uint32_t len;
};

static struct {
    uint64_t now;
    uint64_t users[16], groups[16]; /* here, by the last digits of the key */
    struct mario_route_order order[MOST];
    uint32_t orders, taken;
    struct done done[MOST];
    uint32_t dones;
    struct done alone; /* the last one; len: what was done before */
    uint32_t alones;
    unsigned stuck; /* 1 + worker whose ring is full; 0: none. Messages are for it, too */
    struct {
        const char *name;
        int64_t n;
    } stat[16];
    struct mario_cluster_event event[64];
    uint32_t events;
} house;

static uint32_t house_take(struct mario_route_order *o, uint32_t n)
{
    uint32_t i = 0;
    for (; i < n && house.taken < house.orders; i++)
        o[i] = house.order[house.taken++];
    return i;
}

static uint64_t house_user_count(uint64_t uid)
{
    return house.users[uid % 16];
}

static uint64_t house_group_count(uint64_t group)
{
    return house.groups[group % 16];
}

static int32_t note(enum deliver what, uint64_t key, uint64_t id, struct mario_msg *m)
{
    struct mario_msg_info info = {.len = 0};
    if (house.stuck != 0 && (what < DELIVER_BIND || id >> 56 == house.stuck - 1)) {
        errno = EAGAIN;
        return -1;
    }
    if (m != NULL)
        mario_msg_info(m, &info);
    UNIT_ASSERT(house.dones < MOST);
    house.done[house.dones++] = (struct done){.what = (uint8_t) what, .key = key, .id = id, .len = info.len};
    return 0;
}

static int32_t house_send_user(uint64_t uid, struct mario_msg *m)
{
    return note(DELIVER_USER, uid, 0, m);
}

static int32_t house_send_group(uint64_t group, struct mario_msg *m, uint64_t except_id)
{
    return note(DELIVER_GROUP, group, except_id, m);
}

static int32_t house_send_all(struct mario_msg *m, uint64_t except_id)
{
    return note(DELIVER_ALL, 0, except_id, m);
}

static int32_t house_kick_user(uint64_t uid, uint16_t reason_id, struct mario_msg *last)
{
    return note(DELIVER_KICK, uid, reason_id, last);
}

static int32_t house_bind(uint64_t id, uint64_t uid, enum mario_bind how, uint32_t devices)
{
    (void) how;
    (void) devices;
    return note(DELIVER_BIND, uid, id, NULL);
}

static int32_t house_refuse(uint64_t id, uint64_t uid)
{
    return note(DELIVER_REFUSE, uid, id, NULL);
}

static int32_t house_replace(uint64_t id)
{
    return note(DELIVER_REPLACE, 0, id, NULL);
}

static int32_t house_replace_beside(uint64_t uid, uint64_t id)
{
    house.alone = (struct done){.key = uid, .id = id, .len = house.dones};
    house.alones++;
    return 0;
}

static int32_t house_stat_add(const char *name, int64_t n)
{
    size_t i = 0;
    while (house.stat[i].name != NULL && strcmp(house.stat[i].name, name) != 0)
        i++;
    UNIT_ASSERT(i < sizeof house.stat / sizeof house.stat[0]);
    house.stat[i].name = name;
    house.stat[i].n += n;
    return 0;
}

static uint64_t house_now(void)
{
    return house.now;
}

static const struct house played_house = {.take = house_take,
                                          .user_count = house_user_count,
                                          .group_count = house_group_count,
                                          .send_user = house_send_user,
                                          .send_group = house_send_group,
                                          .send_all = house_send_all,
                                          .kick_user = house_kick_user,
                                          .bind = house_bind,
                                          .refuse = house_refuse,
                                          .replace = house_replace,
                                          .replace_beside = house_replace_beside,
                                          .stat_add = house_stat_add,
                                          .now = house_now};

static void on_event(const struct mario_cluster_event *e)
{
    UNIT_ASSERT(house.events < 64 && e->text != NULL);
    house.event[house.events++] = *e;
}

/* ---- Playing ---- */

static int64_t stat(const char *name)
{
    for (size_t i = 0; house.stat[i].name != NULL; i++) {
        if (strcmp(house.stat[i].name, name) == 0)
            return house.stat[i].n;
    }
    return 0;
}

static unsigned events(enum mario_cluster_what what)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < house.events; i++)
        n += house.event[i].what == what;
    return n;
}

static unsigned dones(enum deliver what)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < house.dones; i++)
        n += house.done[i].what == what;
    return n;
}

static void turn(void)
{
    uint64_t next_ms;
    while (cluster_pass(&next_ms))
        continue;
}

static void later(uint64_t ms)
{
    house.now += ms * NS_PER_MS;
    turn();
}

static void confirm_all(void)
{
    for (uint32_t i = 0; i < bus.saids; i++)
        cluster_events.subscribed(NULL, 0, &bus.said[i]);
    bus.saids = 0;
    turn();
}

enum { GATE_MS = 2300 }; /* until a bus that came late is trusted to have the others too */

static void bus_is_back(void)
{
    bus.is_up = true;
    cluster_events.up(NULL, 0);
    cluster_events.renewed(NULL, 0, RENEWED);
    turn();
}

static void bus_comes(void)
{
    bus_is_back();
    later(GATE_MS);
}

static void bus_goes(void)
{
    bus.is_up = false;
    cluster_events.down(NULL, 0, "gone");
    turn();
}

static void start(void)
{
    house.now = UINT64_C(1000000000000);
    bus.room = UINT32_MAX;
    cluster.ops = &played;
    cluster.bus = (struct bus *) &bus;
    cluster.set.epoch = EPOCH;
    cluster.set.queue = QUEUE;
    cluster.set.linger_ms = 2000;
    cluster.set.heartbeat_ms = 10000;
    cluster.set.ttl_ms = 30000;
    strcpy(cluster.set.node, "here");
    atomic_store(&cluster.runs, true);
    atomic_store(&cluster.func, on_event);
    ck_assert(cluster_setup(&played_house));
    cluster_begin();
}

static void start_up(void)
{
    start();
    bus_comes();
    confirm_all();
    ck_assert_uint_eq(events(MARIO_CLUSTER_UP), 1);
}

/* The application orders something. */
static void order(enum mario_route_kind kind, uint64_t key, uint64_t id, struct mario_msg *m)
{
    ck_assert(house.orders < MOST);
    house.order[house.orders++] =
        (struct mario_route_order){.kind = kind, .key = key, .id = id, .m = m, .how = MARIO_BIND_KICK_OLD};
}

static struct mario_msg *text(const char *s)
{
    struct mario_msg *m = mario_msg(s, (uint32_t) strlen(s));
    ck_assert(m != NULL);
    return m;
}

static void user_comes(uint64_t uid, uint64_t count)
{
    house.users[uid % 16] = count;
    order(MARIO_ROUTE_USER, uid, 0, NULL);
    turn();
}

/* Another node sends this. */
static void comes(const struct channel *c, struct frame f, const void *body, size_t len)
{
    unsigned char bytes[1024];
    f.epoch = f.epoch != 0 ? f.epoch : OTHER;
    size_t n = frame_head(&f, bytes);
    memcpy(bytes + n, body, len);
    cluster_events.message(NULL, 0, c, bytes, n + len);
    turn();
}

static const struct channel to_user = {.kind = CHANNEL_USER, .key = UID};
static const struct channel to_node = {.kind = CHANNEL_NODE, .node = "here"};
static const struct channel to_all = {.kind = CHANNEL_ALL};

/* ---- Frames, maps, sequences ---- */

/* Goal: what a frame says it says again when it is parsed; no part of one is a frame, and nothing outside is read. */
START_TEST(frames)
{
    static const char body[FRAME_KINDS][32] = {
        [FRAME_USER] = "hello",    [FRAME_GROUP] = "hello",     [FRAME_ALL] = "hello",
        [FRAME_KICK_USER] = "bye", [FRAME_ASK] = "node-1",      [FRAME_REPLACED] = "77 12",
        [FRAME_LEAVE] = "n",       [FRAME_HEARTBEAT] = "a.b_c", [FRAME_ANSWER] = "12345678",
        [FRAME_ALONE] = ""};
    for (unsigned kind = 1; kind < FRAME_KINDS; kind++) {
        struct frame f = {.kind = (enum frame_kind) kind,
                          .flags = FRAME_KEEP | FRAME_FIRST,
                          .reason = 513,
                          .epoch = UINT64_MAX - kind,
                          .seq = UINT64_C(1) << 40,
                          .key = 9 + kind,
                          .msg_key = kind % 2 ? 5 : 0,
                          .stamp = kind % 3 ? 7 : 0},
                     g;
        void *base;
        size_t mapped, len = strlen(body[kind]), n;
        unsigned char head[FRAME_HEAD_MAX], *at;
        n = frame_head(&f, head);
        at = unit_guarded(n + len, &base, &mapped);
        memcpy(at, head, n);
        memcpy(at + n, body[kind], len);
        ck_assert(frame_parse(at, n + len, &g));
        ck_assert(g.kind == f.kind && g.reason == 513 && g.epoch == f.epoch && g.seq == f.seq &&
                  g.key == f.key);
        ck_assert(g.msg_key == f.msg_key && g.stamp == f.stamp && g.len == len);
        ck_assert((g.flags & (FRAME_KEEP | FRAME_FIRST)) == (FRAME_KEEP | FRAME_FIRST));
        if (kind == FRAME_REPLACED)
            ck_assert(g.owner_epoch == 77 && g.owner_id == 12);
        for (size_t cut = 1; cut <= n; cut++)
            UNIT_ASSERT(cut < n ? !frame_parse(at + n + len - cut, cut, &g) : true);
        for (size_t i = 0; i < 4; i++) {
            at[i] ^= 0xf0;
            UNIT_ASSERT(!frame_parse(at, n + len, &g));
            at[i] ^= 0xf0;
        }
        munmap(base, mapped);
    }
}
END_TEST

/* Goal: what no node sends is no frame. */
START_TEST(no_frames)
{
    static const struct {
        struct frame f;
        const char *body;
    } bad[] = {{{.kind = FRAME_USER, .key = 1}, "x"},
               {{.kind = FRAME_USER, .epoch = 1}, "x"},
               {{.kind = FRAME_GROUP, .epoch = 1}, "x"},
               {{.kind = FRAME_USER, .epoch = 1, .key = 1}, ""},
               {{.kind = FRAME_GROUP, .epoch = 1, .key = 1}, ""},
               {{.kind = FRAME_ALL, .epoch = 1}, ""},
               {{.kind = FRAME_KICK_USER, .epoch = 1}, "x"},
               {{.kind = FRAME_ASK, .epoch = 1, .key = 1}, ""},
               {{.kind = FRAME_ASK, .epoch = 1}, "n"},
               {{.kind = FRAME_HEARTBEAT, .epoch = 1}, "a b"},
               {{.kind = FRAME_LEAVE, .epoch = 1}, "a:b"},
               {{.kind = FRAME_ANSWER, .epoch = 1}, "1234567"},
               {{.kind = FRAME_ALONE, .epoch = 1, .key = 1}, "x"},
               {{.kind = FRAME_ALONE, .epoch = 1}, ""},
               {{.kind = FRAME_REPLACED, .epoch = 1}, "77"},
               {{.kind = FRAME_REPLACED, .epoch = 1}, "77 "},
               {{.kind = FRAME_REPLACED, .epoch = 1}, "77 0"},
               {{.kind = FRAME_REPLACED, .epoch = 1}, "77 12 "},
               {{.kind = FRAME_REPLACED, .epoch = 1}, "77 99999999999999999999"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        unsigned char bytes[128];
        struct frame f;
        size_t n = frame_head(&bad[i].f, bytes), len = strlen(bad[i].body);
        memcpy(bytes + n, bad[i].body, len);
        ck_assert_msg(!frame_parse(bytes, n + len, &f), "number %zu", i);
    }
}
END_TEST

/* Goal: bytes of every kind are a frame or are none; nothing else comes of them. */
START_TEST(any_bytes)
{
    uint64_t random = 1;
    for (unsigned i = 0; i < 200000 / UNIT_SLOW; i++) {
        unsigned char bytes[80];
        struct frame f;
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (unsigned char) unit_random(&random);
        bytes[0] = 'M';
        bytes[1] = 1;
        bytes[2] %= FRAME_KINDS + 1;
        bytes[3] &= FRAME_FLAGS;
        bytes[6] = bytes[7] = 0;
        size_t len = unit_random(&random) % (sizeof bytes + 1);
        if (frame_parse(bytes, len, &f))
            UNIT_ASSERT((const unsigned char *) f.body + f.len == bytes + len && f.epoch != 0);
    }
}
END_TEST

struct thing {
    uint64_t key, value;
};

/* Goal: a map holds what was put and not removed, whatever the order; it gets smaller, too. */
START_TEST(maps)
{
    enum { KEYS = 3000 };
    struct map m;
    uint64_t random = 2, value[KEYS + 1] = {0};
    uint32_t used = 0;
    map_init(&m, sizeof(struct thing), 8, 3);
    for (unsigned i = 0; i < 300000 / UNIT_SLOW; i++) {
        uint64_t key = 1 + unit_random(&random) % KEYS;
        bool is_new, puts = unit_random(&random) % 1000 < (i / 50000 % 2 ? 250 : 750);
        struct thing *t = map_find(&m, &key);
        UNIT_ASSERT(t == NULL ? value[key] == 0 : t->value == value[key]);
        if (puts) {
            t = map_put(&m, &key, &is_new);
            UNIT_ASSERT(t != NULL && is_new == (value[key] == 0) && (!is_new || t->value == 0));
            used += is_new;
            t->value = value[key] = i + 1;
        } else if (t != NULL) {
            map_remove(&m, t);
            value[key] = 0;
            used--;
        }
        UNIT_ASSERT(m.used == used);
    }
    for (uint64_t key = 1; key <= KEYS; key++) {
        struct thing *t = map_find(&m, &key);
        if (t != NULL)
            map_remove(&m, t);
    }
    ck_assert_uint_le(m.size, 64);
    map_fini(&m);
}
END_TEST

/* Goal: a hole is counted, what was there is told, and neither by one that is forgotten or subscribed anew. */
START_TEST(sequences)
{
    struct sequences s;
    uint64_t lost;
    bool first;
    ck_assert(sequences_init(&s, 5));
    ck_assert_uint_eq(sequence_next(&s, CHANNEL_USER, 1, &first), 1);
    ck_assert(first);
    sequence_use(&s, CHANNEL_USER, 1, 1);
    ck_assert_uint_eq(sequence_next(&s, CHANNEL_USER, 1, &first), 2);
    ck_assert(!first);
    for (uint64_t key = 2; key < 200000; key++) /* places are taken away from the first one */
        sequence_use(&s, CHANNEL_USER, key, sequence_next(&s, CHANNEL_USER, key, &first));
    uint64_t again = sequence_next(&s, CHANNEL_USER, 1, &first);
    ck_assert(first && again > 1);
    ck_assert(sequence_check(&s, OTHER, CHANNEL_USER, 1, 1, 5, false, &lost) && lost == 0);
    ck_assert(sequence_check(&s, OTHER, CHANNEL_USER, 1, 1, 6, false, &lost) && lost == 0);
    ck_assert(!sequence_check(&s, OTHER, CHANNEL_USER, 1, 1, 6, false, &lost) && lost == 0);
    ck_assert(sequence_check(&s, OTHER, CHANNEL_USER, 1, 1, 10, false, &lost) && lost == 3);
    ck_assert(sequence_check(&s, OTHER, CHANNEL_USER, 1, 1, 20, true, &lost) && lost == 0);
    ck_assert(sequence_check(&s, OTHER, CHANNEL_USER, 1, 2, 30, false, &lost) && lost == 0);
    ck_assert(sequence_check(&s, OTHER + 1, CHANNEL_USER, 1, 2, 30, false, &lost) && lost == 0);
    sequences_fini(&s);
}
END_TEST

/* ---- Interest ---- */

/* Goal: a channel is subscribed while somebody is here and linger longer, and who comes back within costs nothing. */
START_TEST(interest_follows)
{
    start_up();
    user_comes(UID, 1);
    ck_assert_uint_eq(bus.saids, 1);
    ck_assert(bus.said[0].kind == CHANNEL_USER && bus.said[0].key == UID);
    ck_assert_int_eq(stat("cluster_subscriptions"), 1);
    user_comes(UID, 0);
    later(1900);
    user_comes(UID, 1);
    later(5000);
    ck_assert_uint_eq(bus.saids, 1);
    ck_assert_uint_eq(bus.lefts, 0);
    user_comes(UID, 0);
    later(1500);
    user_comes(UID, 1);
    user_comes(UID, 0);
    later(1999);
    ck_assert_uint_eq(bus.lefts, 0);
    later(1);
    ck_assert_uint_eq(bus.lefts, 1);
    ck_assert_int_eq(stat("cluster_subscriptions"), 0);
    cluster_teardown();
}
END_TEST

/* Goal: an engine that comes back hears of all again, and the gap is open from when it was heard of last until it has
 * confirmed the last one; once. */
START_TEST(a_gap)
{
    enum { USERS = 5000 };
    start_up();
    house.users[1] = 1;
    for (uint64_t i = 0; i < USERS; i++)
        order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    turn();
    ck_assert_uint_eq(bus.saids, USERS);
    confirm_all();
    later(7000);
    bus_goes();
    ck_assert_uint_eq(events(MARIO_CLUSTER_DOWN), 1);
    later(500);
    bus_comes();
    ck_assert_uint_eq(bus.saids, USERS + 2);
    uint32_t last = --bus.saids;
    later(100);
    for (uint32_t i = 0; i < last; i++)
        cluster_events.subscribed(NULL, 0, &bus.said[i]);
    turn();
    ck_assert_uint_eq(events(MARIO_CLUSTER_GAP), 0);
    cluster_events.subscribed(NULL, 0, &bus.said[last]);
    turn();
    ck_assert_uint_eq(events(MARIO_CLUSTER_GAP), 1);
    ck_assert_uint_eq(events(MARIO_CLUSTER_UP), 2);
    ck_assert_int_eq(stat("cluster_gaps"), 1);
    ck_assert_int_eq(stat("cluster_reconnects"), 1);
    const struct mario_cluster_event *e = &house.event[house.events - 2];
    ck_assert(e->what == MARIO_CLUSTER_GAP && e->to_ms - e->from_ms >= 7600);
    cluster_teardown();
}
END_TEST

/* Goal: while channels are said again users come and go; none is forgotten, none is said twice. */
START_TEST(coming_and_going_in_a_gap)
{
    enum { USERS = 3000 };
    start_up();
    house.users[1] = 1;
    for (uint64_t i = 0; i < USERS; i++)
        order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    turn();
    confirm_all();
    bus_goes();
    bus.is_up = true;
    cluster_events.up(NULL, 0);
    cluster.set.linger_ms = cluster.interests.linger_ms = 0;
    house.users[2] = 1;
    house.users[1] = 0;
    for (uint64_t i = 0; i < USERS / 2; i++) {
        order(MARIO_ROUTE_USER, 2 + 16 * i, 0, NULL);
        order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    }
    house.users[1] = 1;
    house.users[3] = 1;
    order(MARIO_ROUTE_USER, 3, 0, NULL);
    turn();
    ck_assert_uint_eq(bus.saids, 2 + USERS + USERS / 2 + 1);
    confirm_all();
    ck_assert_uint_eq(events(MARIO_CLUSTER_GAP), 1);
    cluster_teardown();
}
END_TEST

/* Goal: channels are left between two slices of saying them again, so others move in the table: none is missed. */
START_TEST(leaving_between_slices)
{
    enum { USERS = 3000 };
    start_up();
    cluster.interests.linger_ms = 0;
    for (uint64_t uid = 1; uid <= USERS; uid++) {
        house.users[uid % 16] = 1;
        order(MARIO_ROUTE_USER, uid, 0, NULL);
    }
    turn();
    confirm_all();
    bus_goes();
    bus.is_up = true;
    interest_up(&cluster.interests, 0);
    memset(house.users, 0, sizeof house.users);
    for (unsigned i = 0; interest_walk(&cluster.interests, 0, 2); i++) {
        UNIT_ASSERT(i < 2 * USERS);
        uint32_t cursor = cluster.interests.part[0].cursor;
        const struct interest *at =
            map_at(&cluster.interests.map, cursor - 1); /* the one that was said last */
        if (at != NULL && at->kind == CHANNEL_USER)
            (void) interest_look(&cluster.interests, CHANNEL_USER, at->key, cluster_ms());
        interest_expire(&cluster.interests, cluster_ms());
    }
    for (uint32_t i = 0; i < bus.saids; i++)
        cluster_events.subscribed(NULL, 0, &bus.said[i]);
    ck_assert(interest_is_ready(&cluster.interests, 0));
    cluster_teardown();
}
END_TEST

/* Goal: without memory for a channel that is counted and said, once; when there is some again the next who comes is
 * heard. */
START_TEST(no_memory_for_channels)
{
    enum { USERS = 3000 };
    start_up();
    house.users[1] = 1;
    for (uint64_t i = 0; i < USERS; i++)
        order(MARIO_ROUTE_USER, 1 + 16 * i, 0, NULL);
    unit_heap_fail(0);
    turn();
    unit_heap_heal();
    int64_t unheard = stat("cluster_unheard");
    ck_assert_int_gt(unheard, 0);
    ck_assert_uint_eq(bus.saids + (uint64_t) unheard, USERS);
    ck_assert_uint_eq(events(MARIO_CLUSTER_REFUSED), 1);
    order(MARIO_ROUTE_USER, 1 + 16 * (USERS - 1), 0, NULL);
    turn();
    ck_assert_uint_eq(bus.saids + (uint64_t) unheard, USERS + 1);
    cluster_teardown();
}
END_TEST

/* ---- Sending ---- */

/* Goal: each message goes to its channel once, in order, with its marks, and is counted when the engine has
 * answered. */
START_TEST(sending)
{
    start_up();
    bus.outs = 0;
    struct mario_msg *m = text("one");
    mario_msg_key(m, 5);
    mario_msg_keep(m);
    order(MARIO_ROUTE_SEND_USER, UID, 0, m);
    order(MARIO_ROUTE_SEND_GROUP, GROUP, 3, text("two"));
    order(MARIO_ROUTE_SEND_ALL, 0, 0, text("three"));
    order(MARIO_ROUTE_KICK_USER, UID, 0, NULL);
    turn();
    ck_assert_uint_eq(bus.outs, 4);
    const struct told *t = bus.out;
    ck_assert(t[0].c.kind == CHANNEL_USER && t[0].c.key == UID && t[0].f.kind == FRAME_USER &&
              t[0].f.msg_key == 5);
    ck_assert(t[0].f.flags & FRAME_KEEP && t[0].f.epoch == EPOCH && memcmp(t[0].body, "one", 3) == 0);
    ck_assert(t[1].c.kind == CHANNEL_GROUP && t[1].f.kind == FRAME_GROUP && t[1].f.key == GROUP);
    ck_assert(t[2].c.kind == CHANNEL_ALL && t[2].f.kind == FRAME_ALL);
    ck_assert(t[3].f.kind == FRAME_KICK_USER && t[3].f.seq == t[0].f.seq + 1 && t[3].f.len == 0);
    ck_assert_int_eq(stat("cluster_published"), 0);
    for (unsigned i = 0; i < 3; i++)
        cluster_events.published(NULL, t[i].cookie, 1);
    cluster_events.published(NULL, t[3].cookie, -1);
    turn();
    ck_assert_int_eq(stat("cluster_published"), 3);
    ck_assert_int_eq(stat("cluster_dropped"), 1);
    ck_assert_int_eq(stat("cluster_nobody"), 0);
    cluster_teardown();
}
END_TEST

static uint32_t sent_to_users(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < bus.outs; i++)
        n += bus.out[i].f.kind == FRAME_USER;
    return n;
}

/* Goal: what the bus has no room for, or is not there for, waits in order up to cluster.queue bytes; what does not fit
 * is dropped and counted. When the bus comes back it goes out behind the time that the other nodes have to subscribe
 * again. */
START_TEST(waiting_for_the_bus)
{
    enum { COUNT = 1500, FIT = QUEUE / (64 + 8) };
    char name[16];
    start_up();
    bus.outs = 0;
    bus.room = 10;
    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "%08u", i);
        order(MARIO_ROUTE_SEND_USER, UID, 0, text(name));
    }
    turn();
    ck_assert_uint_eq(bus.outs, 10);
    ck_assert_int_eq(stat("cluster_dropped"), COUNT - 10 - FIT);
    bus.room = 1;
    order(MARIO_ROUTE_SEND_USER, UID, 0, text("none overtakes"));
    turn();
    ck_assert_uint_eq(bus.outs, 10);
    bus_goes();
    bus.room = UINT32_MAX;
    bus_is_back();
    later(GATE_MS - 1);
    ck_assert_uint_eq(sent_to_users(), 10); /* the others may not be back */
    later(1);
    for (unsigned i = 0, n = 0; i < bus.outs; i++) {
        if (bus.out[i].f.kind != FRAME_USER)
            continue;
        snprintf(name, sizeof name, "%08u", n++);
        ck_assert(memcmp(bus.out[i].body, name, 8) == 0);
        ck_assert_uint_eq(bus.out[i].f.seq, n);
        ck_assert_uint_eq(n, i + 1);
    }
    ck_assert_uint_eq(bus.outs, 10 + FIT);
    cluster_teardown();
}
END_TEST

/* Goal: a user is nobody's if the engine knows of no other node; who sent with a receipt is told. */
START_TEST(nobody)
{
    start_up();
    bus.outs = 0;
    struct mario_msg *m = text("x");
    mario_msg_receipt(m, 4242);
    order(MARIO_ROUTE_SEND_USER, UID, 0, m);
    order(MARIO_ROUTE_SEND_USER, UID, 0, text("y"));
    order(MARIO_ROUTE_SEND_USER, UID, 0, text("z"));
    turn();
    cluster_events.published(NULL, bus.out[0].cookie, 0);
    cluster_events.published(NULL, bus.out[1].cookie, 0);
    cluster_events.published(NULL, bus.out[2].cookie, 1);
    turn();
    ck_assert_int_eq(stat("cluster_nobody"), 2);
    ck_assert_uint_eq(events(MARIO_CLUSTER_NOBODY), 1);
    ck_assert_uint_eq(house.event[house.events - 1].tag, 4242);
    user_comes(UID, 1);
    confirm_all();
    user_comes(UID, 0); /* lingers: the engine counts us */
    bus.outs = 0;
    order(MARIO_ROUTE_SEND_USER, UID, 0, text("x"));
    order(MARIO_ROUTE_SEND_USER, UID, 0, text("x"));
    turn();
    cluster_events.published(NULL, bus.out[0].cookie, 1);
    cluster_events.published(NULL, bus.out[1].cookie, 2);
    turn();
    ck_assert_int_eq(stat("cluster_nobody"), 3);
    cluster_teardown();
}
END_TEST

/* ---- What comes ---- */

/* Goal: each goes to those here once; what we sent, what was here before, what belongs elsewhere does not. */
START_TEST(receiving)
{
    start_up();
    user_comes(UID, 1);
    confirm_all();
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 5}, "hello", 5);
    ck_assert_uint_eq(dones(DELIVER_USER), 1);
    ck_assert_uint_eq(house.done[0].len, 5);
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 5}, "hello", 5);
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 6, .epoch = EPOCH}, "own", 3);
    ck_assert_uint_eq(house.dones, 1);
    comes(&to_user, (struct frame){.kind = FRAME_KICK_USER, .key = UID, .seq = 8, .reason = 3}, "", 0);
    ck_assert_uint_eq(dones(DELIVER_KICK), 1);
    ck_assert_int_eq(stat("cluster_lost"), 2);
    ck_assert_int_eq(stat("cluster_received"), 2);
    ck_assert_int_eq(stat("cluster_garbage"), 0);
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID + 1, .seq = 9}, "x", 1);
    comes(&to_user, (struct frame){.kind = FRAME_ANSWER, .key = UID, .seq = 9}, "12345678", 8);
    cluster_events.message(NULL, 0, &to_user, "garbage", 7);
    cluster_events.garbage(NULL);
    turn();
    ck_assert_int_eq(stat("cluster_garbage"), 4);
    ck_assert_uint_eq(house.dones, 2);
    comes(&to_node, (struct frame){.kind = FRAME_REPLACED, .key = UID, .epoch = EPOCH}, "77 12", 5);
    comes(&to_node, (struct frame){.kind = FRAME_REPLACED, .key = UID}, "78 13", 5);
    ck_assert_uint_eq(dones(DELIVER_REPLACE), 1);
    ck_assert_uint_eq(house.done[2].id, 12);
    cluster_teardown();
}
END_TEST

/* Goal: a full ring to a worker: messages wait in order, not for ever; decisions only for their own worker. */
START_TEST(rings_are_full)
{
    start_up();
    user_comes(UID, 1);
    confirm_all();
    house.stuck = 1 + 3;
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 1}, "a", 1);
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 2}, "bb", 2);
    for (uint64_t i = 0; i < 6; i++)
        order(MARIO_ROUTE_BIND, UID + i, (i % 2 ? UINT64_C(3) : 2) << 56 | (i + 1), NULL);
    turn();
    for (uint32_t i = 0; i < 6; i++)
        cluster_events.claimed(NULL, bus.claim[i].cookie, CLAIM_OK);
    later(1);
    ck_assert_uint_eq(dones(DELIVER_BIND), 3);
    ck_assert_uint_eq(dones(DELIVER_USER), 0);
    house.stuck = 0;
    house.dones = 0;
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 3}, "ccc", 3);
    ck_assert_uint_eq(dones(DELIVER_BIND), 3);
    ck_assert_uint_eq(dones(DELIVER_USER), 3);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert(house.done[i].what == DELIVER_USER && house.done[i].len == i + 1);
    house.dones = 0;
    house.stuck = 1;
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 4}, "d", 1);
    later(249);
    house.stuck = 0;
    later(1);
    ck_assert_uint_eq(dones(DELIVER_USER), 1);
    house.stuck = 1;
    comes(&to_user, (struct frame){.kind = FRAME_USER, .key = UID, .seq = 5}, "d", 1);
    later(251);
    house.stuck = 0;
    later(1);
    ck_assert_uint_eq(dones(DELIVER_USER), 1);
    ck_assert_int_eq(stat("cluster_lost"), 1);
    cluster_teardown();
}
END_TEST

/* ---- Binds ---- */

/* Goal: what the engine says of a bind is done here; a bind that ends is released. */
START_TEST(binds)
{
    start_up();
    order(MARIO_ROUTE_BIND, UID, 1, NULL);
    order(MARIO_ROUTE_BIND, UID + 1, 2, NULL);
    order(MARIO_ROUTE_BIND, UID + 2, 3, NULL);
    turn();
    ck_assert_uint_eq(bus.claims, 3);
    ck_assert_uint_eq(house.dones, 0);
    cluster_events.claimed(NULL, bus.claim[0].cookie, CLAIM_OK);
    cluster_events.claimed(NULL, bus.claim[1].cookie, CLAIM_REFUSED);
    cluster_events.claimed(NULL, bus.claim[2].cookie, CLAIM_FAILED);
    turn();
    ck_assert(house.done[0].what == DELIVER_BIND && house.done[0].id == 1);
    ck_assert(house.done[1].what == DELIVER_REFUSE && house.done[1].id == 2);
    ck_assert(house.done[2].what == DELIVER_BIND && house.done[2].id == 3);
    ck_assert_uint_eq(bus.claims, 4); /* the one that failed, again */
    ck_assert(bus.claim[3].again && bus.claim[3].id == 3);
    cluster_events.claimed(NULL, bus.claim[3].cookie, CLAIM_REFUSED); /* somebody newer is there */
    turn();
    ck_assert(house.done[3].what == DELIVER_REPLACE && house.done[3].id == 3);
    order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    order(MARIO_ROUTE_UNBIND, UID + 1, 2, NULL); /* was never ours */
    turn();
    ck_assert_uint_eq(bus.releases, 1);
    ck_assert_uint_eq(bus.released[0], 1);
    cluster_teardown();
}
END_TEST

/* Goal: what is claimed to be the only one is said on the user's channel, so that those go, here and elsewhere, that
 * claimed nothing; not what may be one of several, nor what was claimed before. */
START_TEST(the_only_one)
{
    start_up();
    bus.outs = 0;
    order(MARIO_ROUTE_BIND, UID, 1, NULL);
    order(MARIO_ROUTE_BIND, UID + 1, 2, NULL);
    house.order[house.orders - 1].devices = 2;
    order(MARIO_ROUTE_BIND, UID + 2, 3, NULL);
    house.order[house.orders - 1].how = MARIO_BIND_REFUSE_NEW;
    turn();
    for (uint32_t i = 0; i < 3; i++)
        cluster_events.claimed(NULL, bus.claim[i].cookie, CLAIM_OK);
    ck_assert_uint_eq(bus.outs, 1);
    ck_assert(bus.out[0].f.kind == FRAME_ALONE && bus.out[0].f.key == UID);
    ck_assert(bus.out[0].c.kind == CHANNEL_USER && bus.out[0].c.key == UID);
    ck_assert_uint_eq(house.alones, 1);
    ck_assert(house.alone.key == UID && house.alone.id == 1 && house.alone.len == 0);
    ck_assert_uint_eq(dones(DELIVER_BIND), 3);
    cluster_events.renewed(NULL, 0, RENEWED_ANEW);
    turn();
    for (uint32_t i = 3; i < bus.claims; i++)
        cluster_events.claimed(NULL, bus.claim[i].cookie, CLAIM_OK);
    ck_assert_uint_eq(bus.outs, 1);
    user_comes(UID, 1);
    confirm_all();
    comes(&to_user, (struct frame){.kind = FRAME_ALONE, .key = UID}, "", 0);
    comes(&to_user, (struct frame){.kind = FRAME_ALONE, .key = UID, .epoch = EPOCH}, "", 0);
    ck_assert_uint_eq(house.alones, 2);
    ck_assert(house.alone.key == UID && house.alone.id == 0);
    cluster_teardown();
}
END_TEST

/* Goal: the answer to a claim that was released meanwhile is not the next one's. */
START_TEST(claims_have_numbers)
{
    start_up();
    order(MARIO_ROUTE_BIND, UID, 1, NULL);
    turn();
    cluster_events.claimed(NULL, bus.claim[0].cookie, CLAIM_OK);
    cluster_events.renewed(NULL, 0, RENEWED_ANEW);
    turn();
    ck_assert(bus.claims == 2 && bus.claim[1].again);
    order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    order(MARIO_ROUTE_BIND, UID, 1, NULL);
    turn();
    ck_assert_uint_eq(bus.claims, 3);
    cluster_events.claimed(NULL, bus.claim[1].cookie, CLAIM_REFUSED);
    cluster_events.claimed(NULL, bus.claim[2].cookie, CLAIM_OK);
    ck_assert_uint_eq(dones(DELIVER_REPLACE), 0);
    order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    turn();
    ck_assert_uint_eq(bus.releases, 2);
    cluster_teardown();
}
END_TEST

/* Goal: while the engine is away binds are decided here, and claimed when it is back: those that it knew as such, new
 * ones as new ones; what was released meanwhile is released. */
START_TEST(binds_without_the_engine)
{
    start_up();
    order(MARIO_ROUTE_BIND, UID, 1, NULL);
    order(MARIO_ROUTE_BIND, UID + 1, 2, NULL);
    turn();
    cluster_events.claimed(NULL, bus.claim[0].cookie, CLAIM_OK);
    cluster_events.claimed(NULL, bus.claim[1].cookie, CLAIM_OK);
    bus_goes();
    order(MARIO_ROUTE_BIND, UID + 2, 3, NULL);
    order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    turn();
    ck_assert_uint_eq(dones(DELIVER_BIND), 3);
    ck_assert_uint_eq(bus.claims, 2);
    ck_assert_uint_eq(bus.releases, 0);
    bus_comes();
    ck_assert_uint_eq(bus.releases, 1);
    ck_assert_uint_eq(bus.claims, 4);
    for (unsigned i = 2; i < 4; i++) {
        ck_assert_int_eq(bus.claim[i].again, bus.claim[i].id == 2);
        cluster_events.claimed(NULL, bus.claim[i].cookie, CLAIM_OK);
    }
    turn();
    ck_assert_uint_eq(house.dones, 3);
    cluster_events.renewed(NULL, 0, RENEWED_ANEW); /* it had forgotten us */
    turn();
    ck_assert_uint_eq(bus.claims, 6);
    ck_assert(bus.claim[4].again && bus.claim[5].again);
    cluster_teardown();
}
END_TEST

/* Goal: a release is said to an engine that comes back until it is certain that it has it. */
START_TEST(releases)
{
    start_up();
    order(MARIO_ROUTE_BIND, UID, 1, NULL);
    turn();
    cluster_events.claimed(NULL, bus.claim[0].cookie, CLAIM_OK);
    order(MARIO_ROUTE_UNBIND, UID, 1, NULL);
    turn();
    ck_assert_uint_eq(bus.releases, 1);
    bus_goes();
    bus_comes();
    ck_assert_uint_eq(bus.releases, 2);
    later(10000); /* a heartbeat, whose answer comes behind it */
    cluster_events.renewed(NULL, 0, RENEWED);
    bus_goes();
    bus_comes();
    ck_assert_uint_eq(bus.releases, 2);
    cluster_teardown();
}
END_TEST

/* Goal: a crowd is claimed some at a time, all are decided, in the order of each user. */
START_TEST(a_crowd_of_binds)
{
    enum { CROWD = 7900 };
    start_up();
    for (uint64_t i = 0; i < CROWD; i++)
        order(MARIO_ROUTE_BIND, 1 + i % 100, 1 + i, NULL);
    turn();
    ck_assert_uint_eq(bus.claims, 4096);
    for (uint32_t i = 0; i < CROWD; i++) {
        ck_assert_uint_eq(bus.claim[i].id, i + 1);
        cluster_events.claimed(NULL, bus.claim[i].cookie, CLAIM_OK);
        if (i == 0)
            order(MARIO_ROUTE_BIND, 1, 1 + CROWD,
                  NULL); /* there is room for one, and the others were before it */
        if (i % 100 == 0)
            turn();
    }
    turn();
    ck_assert_uint_eq(bus.claim[CROWD].id, 1 + CROWD);
    ck_assert_uint_eq(house.dones, CROWD);
    for (uint32_t i = 0; i < CROWD; i++)
        UNIT_ASSERT(house.done[i].id == i + 1);
    cluster_teardown();
}
END_TEST

/* ---- Questions, nodes ---- */

static void on_count(void *arg, uint64_t n)
{
    *(uint64_t *) arg = n;
}

static void ask(uint64_t *n)
{
    struct ask_wish *wish = calloc(1, sizeof *wish);
    *wish = (struct ask_wish){.f = on_count, .arg = n};
    house.order[house.orders++] =
        (struct mario_route_order){.kind = CORE_ASK, .how = CHANNEL_USER, .key = UID, .id = (uintptr_t) wish};
    turn();
}

static void answer(const struct told *t, uint64_t n)
{
    unsigned char count[8];
    frame_put64(count, n);
    comes(&to_node, (struct frame){.kind = FRAME_ANSWER, .seq = t->f.seq, .key = t->f.key}, count, 8);
}

/* Goal: a question is answered when all who heard it have, or after half a second by what is known; and so are those of
 * others. */
START_TEST(questions)
{
    uint64_t n[3] = {99, 99, 99};
    start_up();
    house.users[UID % 16] = 2;
    bus.outs = 0;
    ask(&n[0]);
    ask(&n[1]);
    ck_assert_uint_eq(bus.outs, 1);
    ck_assert(bus.out[0].f.kind == FRAME_ASK && bus.out[0].c.key == UID);
    answer(&bus.out[0], 3);
    cluster_events.published(NULL, bus.out[0].cookie, 2);
    ck_assert_uint_eq(n[0], 99);
    answer(&bus.out[0], 4);
    ck_assert_uint_eq(n[0], 9);
    ck_assert_uint_eq(n[1], 9);
    answer(&bus.out[0], 4); /* too late */
    ask(&n[2]);
    cluster_events.published(NULL, bus.out[1].cookie, 2);
    answer(&bus.out[1], 5);
    later(499);
    ck_assert_uint_eq(n[2], 99);
    later(2);
    ck_assert_uint_eq(n[2], 7);
    comes(&to_user, (struct frame){.kind = FRAME_ASK, .seq = 31, .key = UID}, "there", 5);
    ck_assert(bus.out[2].f.kind == FRAME_ANSWER && bus.out[2].f.count == 2 && bus.out[2].f.seq == 31);
    cluster_teardown();
}
END_TEST

/* Goal: nodes join by a sign of life, and leave by a word or by none for the ttl; not while the engine is away. */
START_TEST(nodes)
{
    start_up();
    bus.outs = 0;
    comes(&to_all, (struct frame){.kind = FRAME_HEARTBEAT}, "a", 1);
    comes(&to_all, (struct frame){.kind = FRAME_HEARTBEAT}, "a", 1);
    ck_assert_uint_eq(events(MARIO_CLUSTER_NODE_JOINED), 1);
    ck_assert(bus.outs == 1 && bus.out[0].f.kind == FRAME_HEARTBEAT && bus.out[0].c.kind == CHANNEL_NODE);
    comes(&to_all, (struct frame){.kind = FRAME_HEARTBEAT, .epoch = OTHER + 1}, "a", 1); /* started again */
    ck_assert_uint_eq(events(MARIO_CLUSTER_NODE_JOINED), 2);
    ck_assert_uint_eq(events(MARIO_CLUSTER_NODE_LEFT), 1);
    comes(&to_all, (struct frame){.kind = FRAME_LEAVE, .epoch = OTHER + 1}, "a", 1);
    ck_assert_uint_eq(events(MARIO_CLUSTER_NODE_LEFT), 2);
    comes(&to_all, (struct frame){.kind = FRAME_HEARTBEAT, .epoch = OTHER + 2}, "b", 1);
    later(29000);
    bus_goes();
    later(60000);
    bus_comes();
    later(29000 - GATE_MS);
    ck_assert_uint_eq(events(MARIO_CLUSTER_NODE_LEFT), 2);
    later(5000);
    ck_assert_uint_eq(events(MARIO_CLUSTER_NODE_LEFT), 3);
    uint32_t renews = bus.renews;
    bus.outs = 0;
    later(10000);
    ck_assert_uint_eq(bus.renews, renews + 1);
    ck_assert(bus.outs == 1 && bus.out[0].f.kind == FRAME_HEARTBEAT && bus.out[0].c.kind == CHANNEL_ALL);
    cluster_teardown();
}
END_TEST

Suite *cluster_core_suite(void)
{
    Suite *s = suite_create("cluster_core");
    TCase *c = unit_case(s, "what it is made of", 20);
    tcase_add_test(c, frames);
    tcase_add_test(c, no_frames);
    tcase_add_test(c, any_bytes);
    tcase_add_test(c, maps);
    tcase_add_test(c, sequences);
    c = unit_case(s, "a node", 20);
    tcase_add_test(c, interest_follows);
    tcase_add_test(c, a_gap);
    tcase_add_test(c, coming_and_going_in_a_gap);
    tcase_add_test(c, leaving_between_slices);
    tcase_add_test(c, no_memory_for_channels);
    tcase_add_test(c, sending);
    tcase_add_test(c, waiting_for_the_bus);
    tcase_add_test(c, nobody);
    tcase_add_test(c, receiving);
    tcase_add_test(c, rings_are_full);
    tcase_add_test(c, binds);
    tcase_add_test(c, the_only_one);
    tcase_add_test(c, claims_have_numbers);
    tcase_add_test(c, binds_without_the_engine);
    tcase_add_test(c, releases);
    tcase_add_test(c, a_crowd_of_binds);
    tcase_add_test(c, questions);
    tcase_add_test(c, nodes);
    return s;
}
