/*
 * test_variants.c: shared messages for receivers of other framings, without a worker: what each gets, how often one is
 * made, for whom its receivers are settled, what cannot be carried, memory that runs out.
 */
#include "mario/conn/delivery.h"
#include "pool_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "mario/base/mem.h"
#include "mario/conn/variants.h"
#include "mario/mario_route.h"

enum { BRACKET = 1, QUOTE, PLAIN, OWN }; /* listeners; 0 is HEAD+Data */

static const struct slow_policy any = {.how = MARIO_SLOW_CLOSE, .messages = 100000};
static unsigned asked; /* how often a framing was asked for ends */

/* ---- Framings ---- */

static enum mario_frame_answer never(const struct mario_framing *f, void *state, unsigned char *data,
                                     uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    (void) f, (void) state, (void) data, (void) n, (void) seen, (void) frame;
    return MARIO_FRAME_BAD;
}

/* <id:payload> of packets, [bytes] of what is none; nothing that has an '!' in it. */
static bool bracket(const struct mario_framing *f, const struct frame_out *out, struct frame_ends *e)
{
    (void) f;
    asked++;
    if (out->len > 0 && memchr(out->data, '!', out->len) != NULL)
        return false;
    *e = (struct frame_ends){.front_len = 1, .front = "[", .back_len = 1, .back = "]"};
    if (out->raw)
        return true;
    e->front_len = (uint8_t) snprintf((char *) e->front, sizeof e->front, "<%u:", (unsigned) out->id);
    e->back[0] = '>';
    return true;
}

/* Packets end with a quote, of as many as the framing says; bytes go as they are. */
static bool quote(const struct mario_framing *f, const struct frame_out *out, struct frame_ends *e)
{
    asked++;
    *e = (struct frame_ends){.back_len = out->raw ? 0 : *(const uint8_t *) f->arg, .back = "''''''''"};
    return true;
}

static int32_t never_wrap(CONN *c, uint16_t id, const void *data, uint32_t len)
{
    (void) c, (void) id, (void) data, (void) len;
    return -1;
}

static void use_framings(void)
{
    static const uint8_t two = 2, none = 0;
    static const struct mario_framing framings[] = {
        [BRACKET] = {.name = "bracket", .next = never},
        [QUOTE] = {.name = "quote", .next = never, .arg = &two},
        [PLAIN] = {.name = "plain", .next = never, .arg = &none},
        [OWN] = {.name = "own", .next = never, .wrap = never_wrap},
    };
    for (int i = BRACKET; i <= OWN; i++)
        pool.service.framing[i] = &framings[i];
    pool.service.ends[BRACKET] = bracket;
    pool.service.ends[QUOTE] = pool.service.ends[PLAIN] = quote;
    delivery_teardown(&pool.shard);
    UNIT_ASSERT(delivery_setup(&pool.shard));
    asked = 0;
}

static struct conn *open_by(uint8_t listener)
{
    struct conn *c = pool_open();
    c->listener = listener & 0x3f;
    return c;
}

static struct mario_msg *packet(uint16_t id, const char *data)
{
    struct mario_msg *m = mario_msg_packet(id, data, (uint32_t) strlen(data));
    UNIT_ASSERT(m != NULL);
    return m;
}

/* What c's peer has got by now. */
static const char *heard(const struct conn *c)
{
    static char got[4096];
    ssize_t n = recv(pool.peers[c->pub.ind], got, sizeof got - 1, MSG_DONTWAIT);
    got[n > 0 ? n : 0] = 0;
    return got;
}

static void check_ledger(void)
{
    delivery_settle(&pool.shard);
    UNIT_ASSERT(pool_stat(STAT_push_targets) ==
                pool_stat(STAT_push_sent) + pool_stat(STAT_push_dropped_oldest) +
                    pool_stat(STAT_push_dropped_newest) + pool_stat(STAT_push_coalesced) +
                    pool_stat(STAT_push_dropped_closed) + pool_stat(STAT_push_unframed) +
                    pool_stat(STAT_push_pending));
}

/* ---- Tests ---- */

/* Goal: each receiver gets a packet as its listener frames it, and bytes that are none as they are where that goes; who
 * has HEAD+Data gets the very message. */
START_TEST(each_in_its_framing)
{
    use_framings();
    struct conn *head = open_by(0), *b = open_by(BRACKET), *q = open_by(QUOTE), *p = open_by(PLAIN);
    struct mario_msg *m = packet(7, "hello"), *bytes = mario_msg("raw", 3);
    struct conn *all[] = {head, b, q, p};
    for (int i = 0; i < 4; i++) {
        delivery_put(all[i], m, &any);
        delivery_put(all[i], bytes, &any);
    }
    delivery_flush(&pool.shard);
    char got[64];
    ssize_t n = recv(pool.peers[head->pub.ind], got, sizeof got, MSG_DONTWAIT);
    UNIT_ASSERT(n == 16 && memcmp(got, m->data, 13) == 0 && memcmp(got + 13, "raw", 3) == 0);
    ck_assert_str_eq(heard(b), "<7:hello>[raw]");
    ck_assert_str_eq(heard(q), "hello''raw");
    ck_assert_str_eq(heard(p), "helloraw");
    check_ledger();
    ck_assert_uint_eq(pool_stat(STAT_push_sent), 8);
    mario_msg_free(&m);
    mario_msg_free(&bytes);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

/* Goal: a server whose listeners all have HEAD+Data keeps nothing for this. */
START_TEST(nothing_for_head_alone)
{
    ck_assert(pool.shard.delivery.variants == NULL);
}
END_TEST

/* Goal: in a round a message is framed once a listener, however many get it, and again in the next round; several that
 * come in turn do not push each other out. */
START_TEST(once_a_round)
{
    enum { RECEIVERS = 30, MESSAGES = 64 };
    use_framings();
    struct conn *c[RECEIVERS];
    struct mario_msg *m[MESSAGES];
    for (int i = 0; i < RECEIVERS; i++)
        c[i] = open_by(i % 2 == 0 ? BRACKET : QUOTE);
    for (int i = 0; i < MESSAGES; i++)
        m[i] = packet(1, "x");
    for (int i = 0; i < RECEIVERS; i++)
        delivery_put(c[i], m[0], &any);
    ck_assert_uint_eq(asked, 2 * 2); /* how long, and then the bytes */
    delivery_flush(&pool.shard);
    delivery_put(c[0], m[0], &any);
    delivery_flush(&pool.shard);
    ck_assert_uint_eq(asked, 3 * 2);
    asked = 0;
    for (int i = 0; i < RECEIVERS; i++) {
        for (int k = 0; k < MESSAGES; k++)
            delivery_put(c[i], m[k], &any);
    }
    ck_assert_uint_le(asked, 2 * 2 * MESSAGES * 4); /* a few may meet in one place */
    delivery_flush(&pool.shard);
    check_ledger();
    for (int i = 0; i < MESSAGES; i++)
        mario_msg_free(&m[i]);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

static unsigned due;

static void on_due(struct mario_msg *m)
{
    UNIT_ASSERT(m->targets == m->sent + m->dropped && m->tag == 5);
    UNIT_ASSERT(m->targets == 4 && m->sent == 3);
    due++;
    message_destroy(m);
}

/* Goal: the receipt is the message's own, whatever framings its receivers have; it is due when the last of them is
 * settled, also one who cannot get it. */
START_TEST(one_receipt_for_all_framings)
{
    message_setup(0, on_due);
    use_framings();
    struct conn *c[] = {open_by(0), open_by(BRACKET), open_by(QUOTE), open_by(PLAIN)};
    struct mario_msg *m = packet(1, "y!");
    mario_msg_receipt(m, 5);
    for (int i = 0; i < 4; i++)
        delivery_put(c[i], m, &any);
    mario_msg_free(&m);
    ck_assert_uint_eq(due, 0);
    delivery_flush(&pool.shard);
    ck_assert_uint_eq(due, 1);
    ck_assert_uint_eq(pool_stat(STAT_push_unframed), 1);
    check_ledger();
    ck_assert_uint_eq(message_memory(), 0);
    message_setup(0, NULL);
}
END_TEST

/* Goal: key and keep are those of the message: one that waits in another framing gives way to a later one with its key,
 * and one that is to be kept does not. */
START_TEST(key_and_keep_are_its_own)
{
    static const struct slow_policy coalesce = {.how = MARIO_SLOW_COALESCE, .messages = 2};
    use_framings();
    struct conn *c = open_by(BRACKET);
    struct mario_msg *m[4] = {packet(1, "old"), packet(1, "kept"), packet(1, "new"), packet(1, "last")};
    mario_msg_key(m[0], 9);
    mario_msg_keep(m[1]);
    mario_msg_key(m[2], 9);
    for (int i = 0; i < 3; i++)
        delivery_put(c, m[i], &coalesce);
    ck_assert_uint_eq(pool_stat(STAT_push_coalesced), 1);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(c), "<1:kept><1:new>");
    for (int i = 0; i < 4; i++)
        mario_msg_free(&m[i]);
    check_ledger();
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

/* Goal: what a framing cannot carry, what would be nothing at all, and packets for a framing that cannot write any, are
 * settled as not framed; the connection stays, and gets what comes behind. */
START_TEST(what_cannot_be_carried)
{
    use_framings();
    struct conn *b = open_by(BRACKET), *p = open_by(PLAIN), *o = open_by(OWN);
    struct mario_msg *bad = packet(1, "no!"), *empty = packet(2, ""), *good = mario_msg("good", 4);
    delivery_put(b, bad, &any);
    delivery_put(b, empty, &any);
    delivery_put(p, empty, &any);
    delivery_put(o, bad, &any);
    delivery_put(o, good, &any);
    delivery_put_last(p, bad);
    delivery_flush(&pool.shard);
    ck_assert_uint_eq(pool_stat(STAT_push_unframed), 3);
    ck_assert_str_eq(heard(b), "<2:>");
    ck_assert_str_eq(heard(o), "good");
    ck_assert_str_eq(heard(p), "no!");
    check_ledger();
    mario_msg_free(&bad);
    mario_msg_free(&empty);
    mario_msg_free(&good);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

/* Goal: several packets in one message are framed one by one; what is not whole packets is none. */
START_TEST(packets_in_one)
{
    use_framings();
    struct conn *b = open_by(BRACKET);
    struct mario_msg *x = packet(1, "x"), *y = packet(2, "");
    unsigned char both[32];
    memcpy(both, x->data, x->len);
    memcpy(both + x->len, y->data, y->len);
    struct mario_msg *m = mario_msg(both, x->len + y->len), *cut = mario_msg(both, x->len + y->len - 1);
    mario_msg_packets(m);
    mario_msg_packets(cut);
    ck_assert(m->packets && !cut->packets);
    delivery_put(b, m, &any);
    delivery_flush(&pool.shard);
    ck_assert_str_eq(heard(b), "<1:x><2:>");
    mario_msg_free(&x);
    mario_msg_free(&y);
    mario_msg_free(&m);
    mario_msg_free(&cut);
}
END_TEST

/* Goal: a message in another framing counts towards push.memory as long as somebody waits for it, and the one that it
 * is stays as long. */
START_TEST(it_counts)
{
    use_framings();
    struct conn *b = open_by(BRACKET);
    struct mario_msg *m = packet(1, "waits");
    size_t before = message_memory();
    delivery_put(b, m, &any);
    mario_msg_free(&m);
    delivery_settle(&pool.shard); /* a round that is over: it still stands in a queue */
    ck_assert_uint_gt(message_memory(), before);
    delivery_flush(&pool.shard);
    ck_assert_uint_eq(message_memory(), 0);
    ck_assert_str_eq(heard(b), "<1:waits>");
    check_ledger();
}
END_TEST

/* Goal: without memory for it, the connection closes, as it does without memory for its queue. */
START_TEST(without_memory)
{
    use_framings();
    struct conn *b = open_by(BRACKET);
    static char much[50000];
    memset(much, 'm', sizeof much - 1);
    struct mario_msg *m = packet(1, much);
    mem_thread_fini();
    unit_heap_fail(0);
    delivery_put(b, m, &any);
    unit_heap_heal();
    ck_assert(mem_thread_init());
    ck_assert(b->state != CONN_OPEN && b->reason == REASON_no_memory);
    ck_assert_uint_eq(pool_stat(STAT_push_dropped_closed), 1);
    check_ledger();
    mario_msg_free(&m);
    ck_assert_uint_eq(message_memory(), 0);
}
END_TEST

Suite *variants_suite(void)
{
    Suite *s = suite_create("variants");
    TCase *t = pool_case(s, "variants", 20);
    tcase_add_test(t, each_in_its_framing);
    tcase_add_test(t, nothing_for_head_alone);
    tcase_add_test(t, once_a_round);
    tcase_add_test(t, one_receipt_for_all_framings);
    tcase_add_test(t, key_and_keep_are_its_own);
    tcase_add_test(t, what_cannot_be_carried);
    tcase_add_test(t, packets_in_one);
    tcase_add_test(t, it_counts);
    tcase_add_test(t, without_memory);
    return s;
}
