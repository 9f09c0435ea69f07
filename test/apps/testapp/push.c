/*
 * push.c: what TEST_PUSH asks for: sending and all that belongs to it, a list of orders. They are done by whoever is
 * told to: the function itself, inline or offloaded, a thread of its own, the master, hooks, and functions that the
 * library calls, see called.c.
 */
#include "app.h"

#include <time.h>

#include "mario/mario_route.h"

uint64 now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64) t.tv_sec * 1000000000u + (uint64) t.tv_nsec;
}

/* ---- Messages ---- */

/* A packet of o->len bytes of data, o's message number i, at p. Its length. A place for a number holds 0. */
static uint32 build(char *p, uint16 akg_id, const struct test_order *o, uint32 i)
{
    HEAD h = {.stx = STX, .pkglen = (uint16) (SIZE_OF_HEAD + o->len), .akg_id = akg_id};
    struct test_pushed head = {.sender = o->sender, .number = o->number + i, .sent_ns = now_ns()};
    memcpy(p, &h, sizeof h);
    memset(p + sizeof h, 'p', o->len);
    memcpy(p + sizeof h, &head, sizeof head);
    if (akg_id == TEST_NUMBERED)
        memset(p + sizeof h + offsetof(struct test_numbered, seq), 0, sizeof(uint64));
    return h.pkglen;
}

static struct mario_msg *marked(struct mario_msg *m, const struct test_order *o)
{
    if ((o->flags & ORDER_KEEP) != 0)
        mario_msg_keep(m);
    if ((o->flags & ORDER_RECEIPT) != 0)
        mario_msg_receipt(m, o->key);
    else if (o->key != 0)
        mario_msg_key(m, o->key);
    return m;
}

static struct mario_msg *make_text(const struct test_order *o, uint32 i)
{
    char text[65536];
    memset(text, 'p', o->len);
    int n = sprintf(text, "%c%u.%u", o->how, o->sender, o->number + i);
    text[n] = ' ';
    return marked(mario_msg_packet(TEST_TEXT, text, o->len), o);
}

/* Each other one is made as a packet, the others as bytes: what arrives is the same. */
static struct mario_msg *make_message(const struct test_order *o, uint32 i)
{
    char packet[65536];
    if ((o->flags & ORDER_TEXT) != 0)
        return make_text(o, i);
    bool stamped = (o->flags & ORDER_STAMP) != 0 && o->len >= sizeof(struct test_numbered);
    uint16 akg_id = stamped ? TEST_NUMBERED : TEST_PUSHED;
    uint32 n = build(packet, akg_id, o, i);
    struct mario_msg *m =
        i % 2 == 0 ? mario_msg(packet, n) : mario_msg_packet(akg_id, packet + SIZE_OF_HEAD, n - SIZE_OF_HEAD);
    if (stamped)
        mario_msg_stamp(m, SIZE_OF_HEAD + offsetof(struct test_numbered, seq));
    return marked(m, o);
}

static sint32 write_message(CONN *c, const struct test_order *o, uint32 i)
{
    char packet[65536];
    uint32 n = build(packet, TEST_WROTE, o, i);
    return bufferevent_write(c->bufev, packet, n);
}

/* ---- One order, once ---- */

static sint32 send_message(CONN *c, const struct test_order *o, struct mario_msg *m)
{
    uint64 to = (o->flags & ORDER_OWN) != 0 ? mario_conn_id(c) : o->to;
    uint64 except = (o->flags & ORDER_BUT_ME) != 0 ? mario_conn_id(c) : o->other;
    bool local = (o->flags & ORDER_LOCAL) != 0;
    switch (o->kind) {
    case ORDER_SEND:
        return mario_send(to, m);
    case ORDER_SEND_USER:
        return local ? mario_local_send_user(to, m) : mario_send_user(to, m);
    case ORDER_SEND_GROUP:
        return local ? mario_local_send_group(to, m, except) : mario_send_group(to, m, except);
    case ORDER_SEND_ALL:
        return local ? mario_local_send_all(m, except) : mario_send_all(m, except);
    case ORDER_KICK:
        return mario_kick(to, (uint16) o->number, m);
    case ORDER_KICK_USER:
        return local ? mario_local_kick_user(to, (uint16) o->number, m)
                     : mario_kick_user(to, (uint16) o->number, m);
    default:
        return mario_stop_message(m);
    }
}

/* i: the group is the i-th behind `to`. */
static sint32 belong(CONN *c, const struct test_order *o, uint32 i)
{
    uint64 other = (o->flags & ORDER_OWN) != 0 ? mario_conn_id(c) : o->other;
    switch (o->kind) {
    case ORDER_JOIN_ID:
        return mario_join_id(other, o->to + i);
    case ORDER_LEAVE_ID:
        return mario_leave_id(other, o->to + i);
    case ORDER_JOIN:
        return mario_join(c, o->to + i);
    case ORDER_LEAVE:
        return mario_leave(c, o->to + i);
    case ORDER_BIND:
        return mario_bind(c, o->to + i, (enum mario_bind) o->how, o->number);
    default:
        return mario_slow_policy(c, (enum mario_slow) o->how, o->number, o->limit);
    }
}

static uint64 ask(const CONN *c, const struct test_order *o)
{
    return o->kind == ORDER_GROUP_COUNT  ? mario_group_count(o->to)
           : o->kind == ORDER_USER_COUNT ? mario_user_count(o->to)
           : o->kind == ORDER_ID         ? mario_conn_id(c)
                                         : cluster_question(o);
}

/* What concerns the function itself, not the library's sending. */
static sint32 behave(CONN *c, const struct test_order *o, uint32 i, sint32 *returns)
{
    switch (o->kind) {
    case ORDER_WRITE:
        return write_message(c, o, i);
    case ORDER_CLOSE:
        close_conn(c, (uint16) o->number);
        return 0;
    case ORDER_RETURN:
        *returns = (sint32) o->number;
        return 0;
    case ORDER_STICK:
        if (c != NULL)
            track_is_wrong(c);
        stick(1);
        return 0;
    case ORDER_END_THREAD:
        pthread_exit(NULL);
    case ORDER_ROUTE_SEQUENCE:
    case ORDER_ROUTE_HOLD:
        return order_of_route(o);
    default:
        mario_stop_server(app.server);
        return 0;
    }
}

/* m is NULL unless the order has a message. */
static sint32 do_once(CONN *c, const struct test_order *o, uint32 i, struct mario_msg *m,
                      const struct script *body, sint32 *returns)
{
    errno = 0;
    if (o->kind <= ORDER_KICK_USER || o->kind == ORDER_STOP_MESSAGE)
        return m == NULL && o->len > 0 ? -1 : send_message(c, o, m);
    if (o->kind <= ORDER_POLICY)
        return belong(c, o, i);
    if (o->kind >= ORDER_HISTORY && o->kind <= ORDER_ASK_GROUP)
        return cluster_order(c, o);
    return o->kind < ORDER_RUN ? behave(c, o, i, returns) : hand_over(c, o, body);
}

/* ---- Lists of them ---- */

static bool is_question(const struct test_order *o)
{
    return o->kind == ORDER_GROUP_COUNT || o->kind == ORDER_USER_COUNT || o->kind == ORDER_ID ||
           o->kind == ORDER_ONLINE || o->kind == ORDER_COUNT_ALL;
}

static bool has_message(const struct test_order *o)
{
    return o->len >= sizeof(struct test_pushed) && o->kind != ORDER_WRITE;
}

static struct test_done do_order(CONN *c, const struct test_order *o, const struct script *body,
                                 sint32 *returns)
{
    struct test_done done = {0};
    if (is_question(o)) {
        done.value = ask(c, o);
        return done;
    }
    struct mario_msg *m = NULL;
    for (uint32 i = 0; i <= o->times; i++) {
        if (m == NULL && has_message(o))
            m = make_message(o, i);
        sint32 rc = do_once(c, o, i, m, body, returns);
        int error = errno;
        if (rc != 0 && error == EAGAIN && (o->flags & ORDER_PERSISTS) != 0) {
            susleep(0, 50);
            i--;
            continue;
        }
        if ((o->flags & ORDER_SAME) == 0)
            mario_msg_free(&m);
        done.accepted += rc == 0;
        if (rc != 0)
            done.rc = rc, done.error = error;
        if (o->pause > 0)
            susleep(o->pause / 1000000, o->pause % 1000000);
    }
    mario_msg_free(&m);
    own_orders_accepted += done.accepted;
    own_orders_refused += o->times + 1 - done.accepted;
    return done;
}

uint32 do_orders(CONN *c, const struct test_order *orders, uint32 n, struct test_done *done, sint32 *returns)
{
    uint32 count = 0;
    for (uint32 i = 0; i < n; i++, count++) {
        struct test_order o = orders[i];
        const struct script *body = NULL;
        o.body = (uint16) (o.body > n - i - 1 ? n - i - 1 : o.body);
        if (o.kind >= ORDER_RUN)
            body = script_make(&o, orders + i + 1);
        struct test_done is = do_order(c, &o, body, returns);
        if (done != NULL)
            done[count] = is;
        i += o.kind >= ORDER_RUN ? o.body : 0;
    }
    return count;
}

sint32 do_push(CONN *c)
{
    struct test_done done[200];
    uint32 n = (uint32) (c->in_buf_len - SIZE_OF_HEAD) / (uint32) sizeof(struct test_order);
    sint32 returns = 0;
    own_functions++;
    track_is_wrong(c);
    if (n > sizeof done / sizeof done[0])
        return -1;
    n = do_orders(c, (const struct test_order *) (const void *) (c->in_buf + SIZE_OF_HEAD), n, done,
                  &returns);
    return answer(c, done, n * sizeof done[0]) != 0 ? -1 : returns;
}
