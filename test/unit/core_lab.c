/*
 * core_lab.c: the bus and the house that are played. As core_lab.h says.
 */
#include "core_lab.h"

#include <errno.h>
#include <string.h>

struct clab_bus clab_bus;
struct clab_house clab_house;

/* ---- The bus ---- */

static uint32_t bus_parts(const struct bus *b)
{
    (void) b;
    return 1;
}

static bool bus_is_up(const struct bus *b, uint32_t part)
{
    (void) b;
    return part == 0 && clab_bus.is_up;
}

static void bus_subscribe(struct bus *b, const struct channel *c)
{
    (void) b;
    UNIT_ASSERT(clab_bus.is_up && clab_bus.saids < CLAB_MOST);
    clab_bus.said[clab_bus.saids++] = *c;
}

static void bus_unsubscribe(struct bus *b, const struct channel *c)
{
    (void) b;
    (void) c;
    clab_bus.lefts++;
}

static bool bus_publish(struct bus *b, const struct channel *c, const void *head, size_t hlen,
                        const void *body, size_t blen, uint64_t cookie)
{
    unsigned char bytes[1024];
    (void) b;
    UNIT_ASSERT(clab_bus.is_up && hlen + blen <= sizeof bytes && clab_bus.outs < CLAB_MOST);
    if (clab_bus.room == 0)
        return false;
    clab_bus.room--;
    struct clab_told *t = &clab_bus.out[clab_bus.outs++];
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
    UNIT_ASSERT(clab_bus.claims < CLAB_MOST && most > 0 && how != MARIO_BIND_MANY && hlen > 0 &&
                me->epoch == EPOCH);
    clab_bus.claim[clab_bus.claims++] =
        (struct clab_claim){.uid = uid, .id = me->id, .again = again, .cookie = cookie};
}

static void bus_release(struct bus *b, uint64_t uid, const struct owner *me)
{
    (void) b;
    (void) uid;
    UNIT_ASSERT(clab_bus.releases < CLAB_MOST);
    clab_bus.released[clab_bus.releases++] = me->id;
}

static void bus_renew(struct bus *b)
{
    (void) b;
    clab_bus.renews++;
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

static uint32_t house_take(struct mario_route_order *o, uint32_t n)
{
    uint32_t i = 0;
    for (; i < n && clab_house.taken < clab_house.orders; i++)
        o[i] = clab_house.order[clab_house.taken++];
    return i;
}

static uint64_t house_user_count(uint64_t uid)
{
    return clab_house.users[uid % 16];
}

static uint64_t house_group_count(uint64_t group)
{
    return clab_house.groups[group % 16];
}

static int32_t note(enum deliver what, uint64_t key, uint64_t id, struct mario_msg *m)
{
    struct mario_msg_info info = {.len = 0};
    if (clab_house.stuck != 0 && (what < DELIVER_BIND || id >> 56 == clab_house.stuck - 1)) {
        errno = EAGAIN;
        return -1;
    }
    if (m != NULL)
        mario_msg_info(m, &info);
    UNIT_ASSERT(clab_house.dones < CLAB_MOST);
    clab_house.done[clab_house.dones++] = (struct clab_done){
        .what = (uint8_t) what, .key = key, .id = id, .len = info.len, .packets = info.packets != 0};
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
    clab_house.alone = (struct clab_done){.key = uid, .id = id, .len = clab_house.dones};
    clab_house.alones++;
    return 0;
}

static int32_t house_stat_add(const char *name, int64_t n)
{
    size_t i = 0;
    while (clab_house.stat[i].name != NULL && strcmp(clab_house.stat[i].name, name) != 0)
        i++;
    UNIT_ASSERT(i < sizeof clab_house.stat / sizeof clab_house.stat[0]);
    clab_house.stat[i].name = name;
    clab_house.stat[i].n += n;
    return 0;
}

static uint64_t house_now(void)
{
    return clab_house.now;
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
    UNIT_ASSERT(clab_house.events < 64 && e->text != NULL);
    clab_house.event[clab_house.events++] = *e;
}

/* ---- Playing ---- */

int64_t clab_stat(const char *name)
{
    for (size_t i = 0; clab_house.stat[i].name != NULL; i++) {
        if (strcmp(clab_house.stat[i].name, name) == 0)
            return clab_house.stat[i].n;
    }
    return 0;
}

unsigned clab_events(enum mario_cluster_what what)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < clab_house.events; i++)
        n += clab_house.event[i].what == what;
    return n;
}

unsigned clab_dones(enum deliver what)
{
    unsigned n = 0;
    for (uint32_t i = 0; i < clab_house.dones; i++)
        n += clab_house.done[i].what == what;
    return n;
}

void clab_turn(void)
{
    uint64_t next_ms;
    while (cluster_pass(&next_ms))
        continue;
}

void clab_later(uint64_t ms)
{
    clab_house.now += ms * NS_PER_MS;
    clab_turn();
}

void clab_confirm_all(void)
{
    for (uint32_t i = 0; i < clab_bus.saids; i++)
        cluster_events.subscribed(NULL, 0, &clab_bus.said[i]);
    clab_bus.saids = 0;
    clab_turn();
}

void clab_bus_is_back(void)
{
    clab_bus.is_up = true;
    cluster_events.up(NULL, 0);
    cluster_events.renewed(NULL, 0, RENEWED);
    clab_turn();
}

void clab_bus_comes(void)
{
    clab_bus_is_back();
    clab_later(CLAB_GATE_MS);
}

void clab_bus_goes(void)
{
    clab_bus.is_up = false;
    cluster_events.down(NULL, 0, "gone");
    clab_turn();
}

static void start(void)
{
    clab_house.now = UINT64_C(1000000000000);
    clab_bus.room = UINT32_MAX;
    cluster.ops = &played;
    cluster.bus = (struct bus *) &clab_bus;
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

void clab_start_up(void)
{
    start();
    clab_bus_comes();
    clab_confirm_all();
    ck_assert_uint_eq(clab_events(MARIO_CLUSTER_UP), 1);
}

void clab_order(enum mario_route_kind kind, uint64_t key, uint64_t id, struct mario_msg *m)
{
    ck_assert(clab_house.orders < CLAB_MOST);
    clab_house.order[clab_house.orders++] =
        (struct mario_route_order){.kind = kind, .key = key, .id = id, .m = m, .how = MARIO_BIND_KICK_OLD};
}

struct mario_msg *clab_text(const char *s)
{
    struct mario_msg *m = mario_msg(s, (uint32_t) strlen(s));
    ck_assert(m != NULL);
    return m;
}

void clab_user_comes(uint64_t uid, uint64_t count)
{
    clab_house.users[uid % 16] = count;
    clab_order(MARIO_ROUTE_USER, uid, 0, NULL);
    clab_turn();
}

void clab_comes(const struct channel *c, struct frame f, const void *body, size_t len)
{
    unsigned char bytes[1024];
    f.epoch = f.epoch != 0 ? f.epoch : OTHER;
    size_t n = frame_head(&f, bytes);
    memcpy(bytes + n, body, len);
    cluster_events.message(NULL, 0, c, bytes, n + len);
    clab_turn();
}

const struct channel clab_to_user = {.kind = CHANNEL_USER, .key = UID};
const struct channel clab_to_node = {.kind = CHANNEL_NODE, .node = "here"};
const struct channel clab_to_all = {.kind = CHANNEL_ALL};
