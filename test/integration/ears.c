/*
 * ears.c: clients that listen to what is pushed. Main thread of a test.
 */
#include "ears.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

/* ---- Packets ---- */

static void hear_pushed(struct ear *r, uint16_t akg, const unsigned char *data, size_t n)
{
    struct test_pushed p;
    ITEST_ASSERT(n >= sizeof p, "pushed to ear %u: %zu bytes of data", r->at, n);
    memcpy(&p, data, sizeof p);
    for (size_t i = sizeof p; i < n; i++)
        ITEST_ASSERT(data[i] == 'p', "pushed to ear %u: byte %zu of %zu is %02x", r->at, i, n, data[i]);
    if (akg == TEST_WROTE) {
        r->written++;
        return;
    }
    ITEST_ASSERT(p.sender < EAR_SENDERS && (p.sender == 0 || p.number >= r->next[p.sender]),
                 "ear %u: number %u of sender %u, where %u would be next", r->at, p.number, p.sender,
                 p.sender < EAR_SENDERS ? r->next[p.sender] : 0);
    if (p.sender != 0) {
        r->gaps += p.number - r->next[p.sender];
        r->next[p.sender] = p.number + 1;
    }
    r->from[p.sender]++;
    r->heard++;
    r->before = r->written + r->called + r->replies;
    r->order = (r->order ^ ((uint64_t) p.sender << 32 | p.number)) * UINT64_C(0x9e3779b97f4a7c15) + 1;
    r->newest_ns = mono_ns() - p.sent_ns;
    r->last_len = (uint32_t) n;
}

/* Numbers of a history only go up; whoever resumes somewhere else sets the last one back. */
static void hear_numbered(struct ear *r, unsigned char *data, size_t n)
{
    struct test_numbered m;
    ITEST_ASSERT(n >= sizeof m, "pushed to ear %u: %zu bytes of data", r->at, n);
    memcpy(&m, data, sizeof m);
    ITEST_ASSERT(m.seq == 0 || m.seq > r->seq, "ear %u: number %" PRIu64 " of a history behind %" PRIu64,
                 r->at, m.seq, r->seq);
    if (m.seq == 0)
        r->unnumbered++;
    else if (r->seq != 0)
        r->seq_gaps += m.seq - r->seq - 1;
    r->seq = m.seq != 0 ? m.seq : r->seq;
    memset(data + offsetof(struct test_numbered, seq), 'p', sizeof m.seq);
    hear_pushed(r, TEST_PUSHED, data, n);
}

/* Something of the cluster's, of one size, which goes to *last and is counted. */
static void hear_last(uint64_t *counter, void *last, size_t size, const unsigned char *data, size_t n)
{
    ITEST_ASSERT(n == size, "%zu bytes instead of %zu", n, size);
    memcpy(last, data, n);
    ++*counter;
}

static void hear_packet(struct ear *r, struct wire_head h, unsigned char *data)
{
    size_t n = h.pkglen - WIRE_HEAD_LEN;
    if (h.akg_id == TEST_PUSHED || h.akg_id == TEST_WROTE) {
        hear_pushed(r, h.akg_id, data, n);
        return;
    }
    if (h.akg_id == TEST_CALLED) {
        ITEST_ASSERT(n == sizeof r->last_called, "called with %zu bytes", n);
        memcpy(&r->last_called, data, n);
        r->called++;
        return;
    }
    if (h.akg_id == TEST_NUMBERED) {
        hear_numbered(r, data, n);
        return;
    }
    if (h.akg_id == TEST_ASKED) {
        hear_last(&r->asked, &r->last_asked, sizeof r->last_asked, data, n);
        return;
    }
    if (h.akg_id == TEST_RESUMED) {
        hear_last(&r->resumed, &r->last_resumed, sizeof r->last_resumed, data, n);
        return;
    }
    if (h.akg_id == TEST_PUSH && r->told > 0) {
        r->told--;
        return;
    }
    r->replies++;
    r->reply_akg = h.akg_id;
    r->reply_len = (uint32_t) (n < sizeof r->reply ? n : sizeof r->reply);
    memcpy(r->reply, data, r->reply_len);
}

/* Whole packets at p[0 .. n-1]; returns their bytes. */
static size_t hear_packets(struct ear *r, unsigned char *p, size_t n)
{
    size_t used = 0;
    while (n - used >= WIRE_HEAD_LEN) {
        struct wire_head h = wire_get_head(p + used);
        ITEST_ASSERT(h.stx == ITEST_STX && h.pkglen >= WIRE_HEAD_LEN,
                     "ear %u: a packet with stx %08x, pkglen %u", r->at, h.stx, h.pkglen);
        if (h.pkglen > n - used)
            break;
        hear_packet(r, h, p + used + WIRE_HEAD_LEN);
        used += h.pkglen;
    }
    return used;
}

static void hear(struct ears *e, struct ear *r)
{
    static unsigned char in[EAR_ROOM * 2];
    if (r->have > 0)
        memcpy(in, r->part, r->have);
    ssize_t n = net_recv(r->fd, in + r->have, sizeof in - r->have);
    if (n > 0) {
        size_t all = r->have + (size_t) n, used = hear_packets(r, in, all);
        r->have = (uint32_t) (all - used);
        if (r->have > 0 && r->part == NULL)
            r->part = malloc(EAR_ROOM);
        ITEST_ASSERT(r->have <= EAR_ROOM, "ear %u: %u bytes kept", r->at, r->have);
        if (r->have > 0)
            memcpy(r->part, in + used, r->have);
        return;
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    enum ending how = n == 0 ? END_FIN : END_RST;
    ITEST_ASSERT(how != END_FIN || r->have == 0, "ear %u: a FIN behind a part of a packet", r->at);
    ear_close(e, r->at);
    r->how = how;
}

/* ---- Connections ---- */

static void watch(struct ears *e, struct ear *r, bool read)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u32 = r->at};
    if (read != r->watched)
        ck_assert(epoll_ctl(e->epoll, read ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, r->fd, &ev) == 0);
    r->watched = read;
}

static void begin(struct ears *e, uint32_t i, bool narrow)
{
    struct ear *r = &e->each[i];
    unsigned char *part = r->part;
    *r = (struct ear){.at = i, .part = part};
    r->fd = narrow ? client_open_narrow(e->server) : client_open(e->server);
    watch(e, r, true);
}

static void open_all(struct ears *e, const struct server *s, uint32_t n, bool narrow)
{
    *e = (struct ears){.server = s, .count = n, .each = calloc(n, sizeof *e->each)};
    ck_assert(e->each != NULL && net_raise_nofile(n + 100) >= n + 100);
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (uint32_t i = 0; i < n; i++)
        begin(e, i, narrow);
    for (uint32_t i = 0; i < n; i++)
        e->each[i].id = ear_order(e, i, (struct test_order){.kind = ORDER_ID});
}

void ears_open(struct ears *e, const struct server *s, uint32_t n)
{
    open_all(e, s, n, false);
}

void ears_open_narrow(struct ears *e, const struct server *s, uint32_t n)
{
    open_all(e, s, n, true);
}

void ear_close(struct ears *e, uint32_t i)
{
    struct ear *r = &e->each[i];
    if (r->fd < 0)
        return;
    watch(e, r, false);
    close(r->fd);
    r->fd = -1;
    r->have = 0;
    r->how = END_OURS;
}

void ear_reopen(struct ears *e, uint32_t i)
{
    ear_close(e, i);
    begin(e, i, false);
    e->each[i].id = ear_order(e, i, (struct test_order){.kind = ORDER_ID});
}

void ears_close(struct ears *e)
{
    for (uint32_t i = 0; i < e->count; i++) {
        ear_close(e, i);
        free(e->each[i].part);
    }
    free(e->each);
    close(e->epoll);
    *e = (struct ears){0};
}

void ear_deafen(struct ears *e, uint32_t i, bool deaf)
{
    const int room = 1 << 20;
    e->each[i].deaf = deaf;
    if (e->each[i].fd >= 0 && !deaf) /* else it takes ages to hear what waits */
        setsockopt(e->each[i].fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (e->each[i].fd >= 0)
        watch(e, &e->each[i], !deaf);
}

/* ---- Waiting ---- */

void ears_turn(struct ears *e, int wait_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(e->epoll, events, 256, wait_ms);
    for (int k = 0; k < n; k++) {
        struct ear *r = &e->each[events[k].data.u32];
        if (r->fd >= 0 && !r->deaf)
            hear(e, r);
    }
}

uint64_t ears_heard(const struct ears *e)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < e->count; i++)
        sum += e->each[i].heard;
    return sum;
}

uint64_t ears_gaps(const struct ears *e)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < e->count; i++)
        sum += e->each[i].gaps;
    return sum;
}

bool ears_have_heard(const struct ears *e, uint64_t n)
{
    return ears_heard(e) >= n;
}

bool ears_have_ended(const struct ears *e, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        if (e->each[i].fd >= 0)
            return false;
    }
    return true;
}

bool ear_has_ended(const struct ears *e, uint64_t i)
{
    return e->each[i].fd < 0;
}

void ears_wait(struct ears *e, bool (*holds)(const struct ears *e, uint64_t n), uint64_t n, const char *what)
{
    uint64_t end = itest_deadline(EAR_MS);
    while (!holds(e, n)) {
        ITEST_ASSERT(mono_ns() < end, "in vain: %s (%" PRIu64 "); heard: %" PRIu64 "; see %s", what, n,
                     ears_heard(e), e->server->dir);
        ears_turn(e, 10);
    }
}

/* ---- Asking ---- */

void ear_ask(struct ears *e, uint32_t i, uint16_t akg, const void *data, size_t n)
{
    struct ear *r = &e->each[i];
    uint64_t before = r->replies, end = itest_deadline(EAR_MS);
    client_send_packet(r->fd, akg, data, n);
    while (r->replies == before) {
        ITEST_ASSERT(mono_ns() < end && r->fd >= 0, "ear %u: %s on %04x; see %s", i,
                     r->fd < 0 ? "it ended" : "no answer", akg, e->server->dir);
        ears_turn(e, 10);
    }
    ITEST_ASSERT(r->replies == before + 1 && r->reply_akg == akg, "ear %u: an answer %04x on %04x", i,
                 r->reply_akg, akg);
}

void ear_do(struct ears *e, uint32_t i, uint16_t akg, const struct test_order *orders, uint32_t n,
            struct test_done *done)
{
    ear_ask(e, i, akg, orders, n * sizeof *orders);
    if (done != NULL)
        memcpy(done, e->each[i].reply, e->each[i].reply_len);
}

void ear_tell(struct ears *e, uint32_t i, const struct test_order *orders, uint32_t n)
{
    e->each[i].told++;
    client_send_packet(e->each[i].fd, TEST_PUSH, orders, n * sizeof *orders);
}

uint64_t ear_order(struct ears *e, uint32_t i, struct test_order o)
{
    struct test_done done = {0};
    ear_do(e, i, TEST_PUSH, &o, 1, &done);
    ITEST_ASSERT(done.rc == 0, "order %u: %u of %u accepted, then %s", o.kind, done.accepted, o.times + 1,
                 strerror(done.error));
    return done.value;
}

static bool has_been_answered(const struct ears *e, uint64_t i)
{
    return e->each[i].asked > 0;
}

uint64_t ear_ask_nodes(struct ears *e, uint32_t i, enum test_order_kind kind, uint64_t key)
{
    e->each[i].asked = 0;
    ear_order(e, i, (struct test_order){.kind = (uint8_t) kind, .to = key});
    ears_wait(e, has_been_answered, i, "the nodes answer");
    struct test_asked a = e->each[i].last_asked;
    ITEST_ASSERT(a.kind == kind && a.key == key, "an answer on %u, %" PRIx64, a.kind, a.key);
    return a.n;
}

/* A counter in the answer to TEST_STATS that connection i has got. */
static uint64_t counter_in(const struct ears *e, uint32_t i, const char *name)
{
    char key[80], text[sizeof e->each[i].reply + 1];
    snprintf(text, sizeof text, "%.*s", (int) e->each[i].reply_len, (const char *) e->each[i].reply);
    snprintf(key, sizeof key, " %s=", name);
    const char *at = strstr(text, key);
    return at == NULL ? 0 : strtoull(at + strlen(key), NULL, 10);
}

uint64_t ear_counter(struct ears *e, uint32_t i, const char *name)
{
    ear_ask(e, i, TEST_STATS, NULL, 0);
    return counter_in(e, i, name);
}

void ear_wait_counter(struct ears *e, uint32_t i, const char *name, uint64_t least)
{
    uint64_t have, end = itest_deadline(EAR_MS);
    while ((have = ear_counter(e, i, name)) < least) {
        ITEST_ASSERT(mono_ns() < end, "%s is %" PRIu64 ", not yet %" PRIu64 "; see %s", name, have, least,
                     e->server->dir);
        ears_turn(e, 1);
    }
}

void ears_wait_quiet(struct ears *e, uint32_t i, uint64_t targets)
{
    uint64_t end = itest_deadline(EAR_MS), have, settled, sent;
    do {
        ear_ask(e, i, TEST_STATS, NULL, 0); /* each worker's numbers are of another moment, though */
        have = counter_in(e, i, "push_targets");
        sent = counter_in(e, i, "push_sent");
        settled = sent + counter_in(e, i, "push_dropped_oldest") + counter_in(e, i, "push_dropped_newest") +
                  counter_in(e, i, "push_coalesced") + counter_in(e, i, "push_dropped_closed") +
                  counter_in(e, i, "push_unframed");
        ITEST_ASSERT(have <= targets, "%" PRIu64 " targets instead of %" PRIu64 "; see %s", have, targets,
                     e->server->dir);
        ITEST_ASSERT(mono_ns() < end,
                     "not quiet: %" PRIu64 " targets of %" PRIu64 ", %" PRIu64 " settled; see %s", have,
                     targets, settled, e->server->dir);
    } while (have < targets || settled < targets || counter_in(e, i, "push_pending") > 0);
    ears_wait(e, ears_have_heard, sent, "all that was sent is heard");
    ITEST_ASSERT(ears_heard(e) == sent, "%" PRIu64 " heard, %" PRIu64 " sent", ears_heard(e), sent);
}

/* Until the question has this answer. */
static void expect(struct ears *e, uint32_t i, struct test_order question, uint64_t n)
{
    uint64_t have, end = itest_deadline(EAR_MS);
    while ((have = ear_order(e, i, question)) != n) {
        ITEST_ASSERT(mono_ns() < end, "%" PRIu64 " instead of %" PRIu64 "; see %s", have, n, e->server->dir);
        ears_turn(e, 1);
    }
}

void ears_expect_members(struct ears *e, uint32_t i, uint64_t group, uint64_t n)
{
    expect(e, i, (struct test_order){.kind = ORDER_GROUP_COUNT, .to = group}, n);
}

void ears_expect_bound(struct ears *e, uint32_t i, uint64_t uid, uint64_t n)
{
    expect(e, i, (struct test_order){.kind = ORDER_USER_COUNT, .to = uid}, n);
}
