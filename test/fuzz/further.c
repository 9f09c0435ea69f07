/*
 * further.c: further listeners of the fuzzed worker, what comes by them, and what their functions do. The fuzzer's
 * thread, but for what offloaded functions call while that thread waits for them.
 */
#include "further.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/bufferevent.h>

#include "mario/conn/meter.h"
#include "mario/exec/registry.h"
#include "mario/frame/framings.h"
#include "mario/mario_akg.h"
#include "mario/mario_frame.h"
#include "mario/mario_push.h"
#include "mario/worker/datagrams.h"
#include "outside.h"
#include "sealed.h"
#include "test/lib/websocket.h"

enum { SHAKES = 2, RING = 64, GROUP = 7, TEXT = 1024, PUSH_MEMORY = 1 << 20 };

static struct listen_address addresses[LISTEN_MAX];
static struct framing made[LISTENERS];
static struct udp_listener udp = {.listener = LISTENER_UDP, .amplify = 4};
static int udp_fd = -1, udp_sender = -1;
static struct worker *worker;

/* ---- Guests ---- */

/* HEAD+Data as a framing with a state, which is a guest: it is asked where functions run. What the state says was seen
 * of a packet and what the worker says are the same, and about one that was whole it is not asked again. */
static enum mario_frame_answer guest_next(const struct mario_framing *f, void *state, unsigned char *data,
                                          uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    uint32_t *looked = state;
    enum mario_frame_answer answer = head_next(f, NULL, data, n, seen, frame);
    MUST(seen == *looked && n > seen && mario_frame_conn() == executor_here->conn);
    MUST(fence_state(fence_look(&executor_here->fence)) == FENCE_FUNCTION);
    *looked = answer == MARIO_FRAME_MORE ? n : 0;
    return answer;
}

/* As it has these it is a built-in one: one that lets bytes go as they are. */
bool further_guest_ends(const struct mario_framing *f, const struct frame_out *out, struct frame_ends *ends)
{
    (void) f;
    (void) out;
    *ends = (struct frame_ends){0};
    return true;
}

struct mario_framing further_guest = {
    .name = "other", .next = guest_next, .state_size = sizeof(uint32_t), .max = 8192};

/* Two bytes are a packet, unless the first one says that something else is to be answered: most of that may not be. It
 * counts what it is asked, and says no in between. */
static enum mario_frame_answer odd_next(const struct mario_framing *f, void *state, unsigned char *data,
                                        uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    static const struct {
        enum mario_frame_answer answer;
        struct mario_frame frame;
    } rows[] = {
        {MARIO_FRAME_SKIP, {.need = 1}},
        {MARIO_FRAME_BAD, {.fault = MARIO_FAULT_OWN + 1}},
        {MARIO_FRAME_BAD, {.fault = MARIO_FAULT_LENGTH}},
        {MARIO_FRAME_OK, {.need = 1, .at = 1, .len = 1}},
        {MARIO_FRAME_OK, {.need = 1, .id = UINT16_MAX}},
        {MARIO_FRAME_SKIP, {.need = 0}},
        {MARIO_FRAME_MORE, {.need = 1}},
        {MARIO_FRAME_MORE, {.need = MARIO_FRAME_MAX}},
        {(enum mario_frame_answer) 9, {.need = 1}},
    };
    CONN *c = mario_frame_conn();
    uint8_t *asked = state, what = data[0] % 16;
    (void) f;
    (void) seen;
    MUST(c != NULL);
    ++*asked;
    if (what < sizeof rows / sizeof rows[0]) {
        *frame = rows[what].frame;
        return rows[what].answer;
    }
    if (what == 15)
        close_conn(c, 1);
    if (what == 14)
        bufferevent_write(c->bufev, "asked", 5);
    if (n < 2)
        return MARIO_FRAME_MORE;
    *frame = (struct mario_frame){
        .need = 2, .at = 1, .len = 1, .id = (uint16_t) (FIRST_ID + data[1] % business_count())};
    return MARIO_FRAME_OK;
}

static sint32 odd_wrap(CONN *c, uint16 id, const void *data, uint32 len)
{
    (void) id;
    bufferevent_write(c->bufev, "<", 1);
    bufferevent_write(c->bufev, data, len);
    return len % 7 == 6 ? -1 : 0;
}

/* ---- Listeners ---- */

static void open_datagrams(void)
{
    struct listen_address a = addresses[LISTENER_UDP];
    MUST(udp_open(&a, &udp_fd, 1));
    outside_forget(udp_fd);
    udp.port = ((const struct sockaddr_in *) (const void *) &a.addr)->sin_port;
    MUST(udp_sender < 0 || connect(udp_sender, (const struct sockaddr *) &a.addr, a.len) == 0);
}

void further_setup(struct service *service, struct worker_options *w, struct offload_options *o,
                   const struct head_rules *head)
{
    static const struct mario_framing odd = {
        .name = "odd", .next = odd_next, .wrap = odd_wrap, .state_size = 8, .max = 64};
    static const char list[] =
        "127.0.0.1:1, 127.0.0.1:2, 127.0.0.1:6 oob=mark, 127.0.0.1:3 proto=line id=0x10 eof=packet,"
        "127.0.0.1:4 proto=ws id=0x10, 127.0.0.1:5 proto=odd,"
        "127.0.0.1:7 proxy=on, 127.0.0.1:8 tls=one, 127.0.0.1:9 tls=one proto=ws id=0x17,"
        "udp:127.0.0.1:0";
    const struct framing_world world = {.head = head, .max = 8192};
    char why[256] = "";
    MUST(regist_framing(&odd) == 0);
    MUST(listen_parse(list, addresses, why, sizeof why) == LISTENERS);
    for (unsigned i = LISTENER_MARK; i < LISTENERS; i++) {
        MUST(framing_make(&addresses[i], &world, &made[i], why, sizeof why));
        const struct mario_framing *f = &made[i].pub;
        service->framing[i] = f;
        service->ends[i] = framing_ends(f);
        service->is_guest[i] = f->next != head_next && (service->ends[i] == NULL || f->state_size > 0);
        w->state_size = f->state_size > w->state_size ? f->state_size : w->state_size;
    }
    service->framing[LISTENER_MARK] =
        service->framing[0]; /* as the model knows it: its longest packet changes */
    service->marks = UINT64_C(1) << LISTENER_MARK;
    service->tls = UINT64_C(1) << LISTENER_TLS | UINT64_C(1) << LISTENER_TLS_WS;
    service->push_ring = RING;
    service->tls_offload = MARIO_TLS_OFFLOAD_OFF;
    sealed_setup(LISTENER_TLS, LISTENER_TLS_WS);
    open_datagrams();
    udp.fds = &udp_fd;
    w->udp = &udp;
    w->udp_count = 1;
    w->has_admin = w->has_proxy = w->has_tls = true;
    o->shakes = SHAKES;
    o->datagrams = true;
}

void further_open(struct worker *w)
{
    static struct push *push;
    static struct doorbell *bell;
    static struct meter meters[16];
    worker = w;
    push = w->shard.push;
    bell = &w->bell;
    MUST(w->shard.count <= sizeof meters / sizeof meters[0]);
    atomic_store(&w->shard.meters, meters);
    push_prepare(&push, PUSH_MEMORY);
    push_open(&bell, 1, RING);
    udp_sender = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = udp.port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    MUST(udp_sender >= 0 && connect(udp_sender, (const struct sockaddr *) &to, sizeof to) == 0);
}

void further_close(void)
{
    push_close(1);
    close(udp_sender);
}

void further_revive(void)
{
    struct udp_socket *u = &worker->shard.udp[0];
    outside_starve(0); /* it is not the worker who needs memory here */
    if (u->fd >= 0)
        close(u->fd);
    open_datagrams();
    *u = (struct udp_socket){
        .fd = udp_fd, .port = udp.port, .listener = LISTENER_UDP, .amplify = udp.amplify, .last_ones = 4};
    MUST(datagrams_watch(worker->executor));
}

void further_settings(struct settings *set, uint8_t how)
{
    set->limit_packets = how & 1 ? 20 : 0;
    set->limit_bytes = how & 2 ? 500 : 0;
    set->limit_closes = how & 4;
    set->first_packet = how & 8 ? 7 : 0;
    set->tls = sealed_contexts(how & 16);
    set->tls_handshakes = how & 32 ? 1 : 3;
    set->tls_handshake_timeout = 20;
    set->push_slow = (enum mario_slow)(how >> 6);
    set->push_queue = how & 32 ? 3 : 0;
    rules.limited = rules.limited || set->limit_packets != 0 || set->limit_bytes != 0;
}

uint32_t further_shakes_out(void)
{
    uint32_t n = SHAKES;
    for (const struct job *j = worker->shard.offload->idle_shakes; j != NULL; j = j->next)
        n--;
    return n;
}

/* ---- What comes ---- */

/* A header of a balancer's; what it says of the client is not looked at here. */
static enum accepted_as send_header(int fd, uint8_t which)
{
    static const char binary[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\0\5\0\6";
    static const struct {
        const char *bytes;
        size_t n;
        enum accepted_as as;
    } rows[] = {
        {"PROXY TCP4 192.0.2.1 192.0.2.2 5 6\r\n", 36, ACCEPTED_HEADER},
        {binary, sizeof binary - 1, ACCEPTED_HEADER},
        {"PROXY UNKNOWN\r\n", 15, ACCEPTED_HEADER},
        {"PROXY TCP9 1 2 3 4\r\n", 20, ACCEPTED_NO_HEADER},
        {"GET / HTTP/1.1\r\n", 16, ACCEPTED_NO_HEADER},
        {"", 0, ACCEPTED_PLAIN},
    };
    which %= sizeof rows / sizeof rows[0];
    MUST(send(fd, rows[which].bytes, rows[which].n, MSG_NOSIGNAL) == (ssize_t) rows[which].n);
    business.bytes_sent += rows[which].n;
    return rows[which].as;
}

enum accepted_as further_meet(struct client *a, struct script *s, int fd)
{
    a->peer.is_loose = rules.loose = true;
    if (a->listener == LISTENER_TLS || a->listener == LISTENER_TLS_WS)
        a->tls = sealed_make(script_byte(s));
    return a->listener == LISTENER_PROXY ? send_header(fd, script_byte(s)) : ACCEPTED_PLAIN;
}

void further_forget(int fd)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *a = &business.clients[i];
        if (a->peer.is_loose && a->peer.state == PEER_ARRIVING && a->server_fd == fd)
            a->server_fd = -1;
    }
}

static void send_datagram(struct script *s)
{
    unsigned char packet[SIZE_OF_HEAD + 256] = {STX & 255, STX >> 8 & 255, STX >> 16 & 255, STX >> 24};
    uint8_t id = script_byte(s), n = script_byte(s);
    packet[4] = (unsigned char) (SIZE_OF_HEAD + n);
    packet[5] = (unsigned char) ((SIZE_OF_HEAD + n) >> 8);
    packet[6] = (unsigned char) (FIRST_ID + id % (business_count() + 1));
    memset(packet + SIZE_OF_HEAD, script_byte(s), n);
    rules.loose = true;
    if (send(udp_sender, packet, SIZE_OF_HEAD + (size_t) n, MSG_NOSIGNAL) > 0)
        business.bytes_sent += SIZE_OF_HEAD + (size_t) n;
}

static void want_upgrade(struct client *a, uint8_t how)
{
    client_want(a, websocket_request, strlen(websocket_request));
    if (how & 1)
        client_want(a, "Sec-WebSocket-Protocol: a\r\n", 27);
    if (!(how & 2))
        client_want(a, "\r\n", 2);
}

static void want_frame(struct client *a, struct script *s)
{
    static const unsigned char mask[4] = {1, 2, 3, 4};
    unsigned char payload[256], frame[256 + WEBSOCKET_FRONT];
    uint8_t first = script_byte(s), n = script_byte(s);
    memset(payload, script_byte(s) & 0x7f, n);
    client_want(a, frame, websocket_frame(frame, first, payload, n, mask));
}

/* ---- Orders ---- */

static uint64 id_of_client(const struct client *a)
{
    return a->conn != NULL ? conn_id((const struct conn *) (const void *) a->conn) : 0;
}

static struct mario_msg *make_message(uint8_t how, uint8_t length)
{
    unsigned char data[TEXT * 4];
    size_t n = 1 + (size_t) length * 16;
    memset(data, how & 0x7f, sizeof data);
    struct mario_msg *m =
        how & 1 ? mario_msg(data, (uint32) (n < sizeof data ? n : sizeof data))
                : mario_msg_packet(FIRST_ID, data, (uint32) (n < sizeof data ? n : sizeof data));
    MUST(m != NULL || rules.starved);
    if (how & 2)
        mario_msg_key(m, 5 + (how >> 6));
    if (how & 4)
        mario_msg_keep(m);
    return m;
}

/* Only those may get one for whom there are no rules. */
static void send_message(const struct client *a, enum further what, struct script *s)
{
    uint8_t how = script_byte(s);
    struct mario_msg *m = make_message(how, what == FURTHER_KICK ? 1 : script_byte(s));
    if (what == FURTHER_GROUP && m != NULL)
        mario_send_group(GROUP, m, how & 8 ? id_of_client(a) : 0);
    else if (a->peer.is_loose && id_of_client(a) != 0 && what == FURTHER_KICK)
        mario_kick(id_of_client(a), 1, how & 8 ? NULL : m);
    else if (a->peer.is_loose && id_of_client(a) != 0 && m != NULL)
        for (unsigned i = 0; i <= how >> 4; i++)
            mario_send(id_of_client(a), m);
    mario_msg_free(&m);
}

static sint32 on_call(CONN *c, void *arg)
{
    uintptr_t how = (uintptr_t) arg;
    const struct client *a = c != NULL ? c->user : NULL;
    if (a == NULL || !a->peer.is_loose)
        return 0;
    mario_reply_id(c, FIRST_ID, "called", 6);
    if (how & 1)
        bufferevent_write(c->bufev, "flood", 5);
    if (how & 2)
        mario_join(c, GROUP);
    if (how & 4)
        close_conn(c, 1);
    return how & 8 ? -1 : 0;
}

void further_step(struct client *a, enum further what, struct script *s)
{
    switch (what) {
    case FURTHER_URGENT:
        if (a->peer.state == PEER_SERVED && a->listener == LISTENER_MARK)
            outside_mark(a->server_fd);
        break;
    case FURTHER_RUN:
        mario_run(id_of_client(a), on_call,
                  (void *) (uintptr_t) script_byte(s)); /* NOLINT(performance-no-int-to-ptr) */
        break;
    case FURTHER_SEND:
    case FURTHER_GROUP:
    case FURTHER_KICK:
        send_message(a, what, s);
        break;
    case FURTHER_EACH:
        mario_each_conn(on_call, NULL, NULL);
        break;
    case FURTHER_DATAGRAM:
        send_datagram(s);
        break;
    case FURTHER_UPGRADE:
        want_upgrade(a, script_byte(s));
        break;
    case FURTHER_FRAME:
        want_frame(a, s);
        break;
    case FURTHER_RENEW:
        sealed_renew(a->tls);
        break;
    case FURTHER_END:
        sealed_end(a->tls);
        break;
    default:
        break;
    }
}

/* ---- Functions ---- */

enum { DO_ANSWER, DO_NOTHING, DO_FLOOD, DO_CLOSE, DO_FAIL, DO_JOIN, DO_SEND, DO_POLICY, DEEDS };

static sint32 flood(CONN *c, uint8_t how)
{
    static char data[TEXT];
    for (unsigned i = 0; i <= how; i++) {
        if (i % 4 == 0)
            mario_reply(c, data, sizeof data);
        bufferevent_write(c->bufev, data, sizeof data);
    }
    return 0;
}

static sint32 send_to_group(void)
{
    struct mario_msg *m = make_message(0, 1);
    if (m != NULL)
        mario_send_group(GROUP, m, 0);
    mario_msg_free(&m);
    return 0;
}

/* The last byte of a packet says what, and how much. */
sint32 further_answer(CONN *c)
{
    uint8_t what = c->in_buf_len > 0 ? (uint8_t) c->in_buf[c->in_buf_len - 1] : 0;
    business.calls++;
    switch (what % DEEDS) {
    case DO_FLOOD:
        return flood(c, what / DEEDS);
    case DO_CLOSE:
        mario_reply(c, "bye", 3);
        close_conn(c, g_akg_closed_id);
        return 0;
    case DO_FAIL:
        return -1;
    case DO_JOIN:
        mario_join(c, GROUP);
        return 0;
    case DO_SEND:
        return send_to_group();
    case DO_POLICY:
        mario_slow_policy(c, (enum mario_slow)(what / DEEDS % 4), 1 + what / DEEDS / 4, 0);
        return 0;
    case DO_NOTHING:
        return 0;
    default:
        mario_reply(c, c->in_buf, c->in_buf_len);
        return 0;
    }
}

sint32 further_begin(CONN *c)
{
    const struct client *a = c->user;
    if (a->mode % MODES == MODE_GREET)
        bufferevent_write(c->bufev, "hello", 5);
    if (a->mode % MODES == MODE_FLOOD)
        flood(c, 20);
    if (a->mode % MODES == MODE_CLOSE)
        close_conn(c, 1);
    if (a->mode & MODE_DIE)
        mario_join(c, GROUP);
    return a->mode % MODES == MODE_FAIL ? -1 : 0;
}

sint32 further_end(CONN *c)
{
    struct client *a = c->user;
    if (a == NULL)
        return 0;
    MUST(a->conn == c);
    a->conn = NULL;
    a->peer.state = PEER_ENDED;
    return 0;
}

bool further_is_late(const CONN *c)
{
    const struct conn *it = (const struct conn *) (const void *) c;
    return it->listener >= LISTENER_LINE;
}
