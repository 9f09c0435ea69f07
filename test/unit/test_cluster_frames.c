/*
 * test_cluster_frames.c: what the core of a node is made of: frames, maps, sequences.
 */
#include "mario/cluster/inside.h"
#include "mario/cluster/map.h"
#include "unit.h"

#include <string.h>
#include <sys/mman.h>

enum { OTHER = 99 };

/* Whether it looks like one to a node of before there were packets: no flag and no kind that it does not know. */
static bool is_known_to_former(const unsigned char *at)
{
    return at[0] == 'M' && at[1] == 1 && at[2] >= 1 && at[2] <= 10 && at[3] <= 15 && at[6] == 0 && at[7] == 0;
}

static bool can_be_packets(enum frame_kind kind)
{
    return kind <= FRAME_KICK_USER;
}

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
                          .packets = can_be_packets((enum frame_kind) kind) && kind % 2,
                          .reason = kind >= FRAME_KICK_USER ? 513 : 0,
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
        ck_assert(g.kind == f.kind && g.reason == f.reason && g.epoch == f.epoch && g.seq == f.seq &&
                  g.key == f.key && g.packets == f.packets && is_known_to_former(at));
        ck_assert(g.msg_key == f.msg_key && g.len == len);
        ck_assert(g.stamp == (kind == FRAME_KICK_USER ? 0 : f.stamp));
        ck_assert((g.flags & (FRAME_KEEP | FRAME_FIRST)) == (FRAME_KEEP | FRAME_FIRST));
        if (kind == FRAME_REPLACED)
            ck_assert(g.owner_epoch == 77 && g.owner_id == 12);
        for (size_t cut = 1; cut <= n; cut++)
            UNIT_ASSERT(cut < n ? !frame_parse(at + n + len - cut, cut, &g) : true);
        for (size_t i = 0; i < 4; i++) {
            at[i] ^= 0xf0;
            UNIT_ASSERT(frame_parse(at, n + len, &g) == (i == 3)); /* flags that nobody has yet */
            at[i] ^= 0xf0;
        }
        munmap(base, mapped);
    }
}
END_TEST

/* Goal: a message is made of packets or is not, whatever its kind, its key and its stamp; nodes of before there were
 * packets take it all the same, and what they send is made of none. */
START_TEST(packets)
{
    static const unsigned char by_hand[] = {'M', 1,  FRAME_GROUP, FRAME_KEEP | FRAME_STAMP,
                                            0,   0,  0,           0,
                                            1,   0,  0,           0,
                                            0,   0,  0,           0,
                                            2,   0,  0,           0,
                                            0,   0,  0,           0,
                                            3,   0,  0,           0,
                                            0,   0,  0,           0,
                                            9,   0,  0,           0,
                                            'h', 'i'};
    struct frame g;
    ck_assert(frame_parse(by_hand, sizeof by_hand, &g) && !g.packets);
    ck_assert(g.epoch == 1 && g.seq == 2 && g.key == 3 && g.stamp == 9 && g.flags & FRAME_KEEP && g.len == 2);
    for (unsigned i = 0; i < 4 * 8; i++) {
        struct frame f = {.kind = (enum frame_kind)(1 + i / 8),
                          .packets = i & 1,
                          .msg_key = i & 2 ? 5 : 0,
                          .stamp = i & 4 ? 65528 : 0,
                          .epoch = 1,
                          .seq = 2,
                          .key = 3};
        unsigned char bytes[FRAME_HEAD_MAX + 2];
        f.reason = f.kind == FRAME_KICK_USER ? 0xfffe : 0;
        size_t n = frame_head(&f, bytes);
        memcpy(bytes + n, "hi", 2);
        ck_assert(is_known_to_former(bytes) && frame_parse(bytes, n + 2, &g));
        ck_assert(g.packets == f.packets && g.msg_key == f.msg_key && g.reason == f.reason);
        ck_assert(g.stamp == (f.kind == FRAME_KICK_USER ? 0 : f.stamp) && memcmp(g.body, "hi", 2) == 0);
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

Suite *cluster_frames_suite(void)
{
    Suite *s = suite_create("cluster_frames");
    TCase *c = unit_case(s, "cluster_frames", 20);
    tcase_add_test(c, frames);
    tcase_add_test(c, packets);
    tcase_add_test(c, no_frames);
    tcase_add_test(c, any_bytes);
    tcase_add_test(c, maps);
    tcase_add_test(c, sequences);
    return s;
}
