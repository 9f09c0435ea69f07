/*
 * exchange.c: requests and their replies. Pure functions, any thread. A request can be built again at any
 * time from its numbers, so a client need not keep what it could not send.
 */
#include "exchange.h"

#include <stdbool.h>
#include <string.h>

#include "payload.h"
#include "protocol/mario_protocol.h"
#include "wire.h"

static const char hello[] = {'h', 'e', 'l', 'l', 'o'};

/* Words of lines, and a space. */
static const char echo_word[] = {'e', 'c', 'h', 'o', ' '}, hello_word[] = {'h', 'e', 'l', 'l', 'o', ' '};

/* What a WebSocket's client masks with: any four bytes will do. */
static const unsigned char mask[4] = {0x5b, 0x1c, 0xe7, 0xa2};

static const char ws_greeting[] =
    "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

static struct exchange make(enum exchange_kind kind, uint32_t stx, uint16_t akg_id, uint32_t data_len)
{
    return (struct exchange){.kind = kind,
                             .stx = stx,
                             .akg_id = akg_id,
                             .data_len = data_len,
                             .request_len = WIRE_HEAD_LEN + data_len};
}

struct exchange exchange_login(uint32_t stx, uint16_t uid)
{
    struct exchange x = make(EXCHANGE_LOGIN, stx, CMD_FUNCTION_LOGIN, sizeof(LOGIN_REQ));
    x.reply_len = WIRE_HEAD_LEN;
    x.uid = uid;
    return x;
}

struct exchange exchange_hello(uint32_t stx, uint32_t data_len)
{
    struct exchange x = make(EXCHANGE_HELLO, stx, CMD_FUNCTION_SAY_HELLO, data_len);
    x.reply_len = WIRE_HEAD_LEN + sizeof hello;
    return x;
}

struct exchange exchange_echo(uint32_t stx, uint32_t data_len)
{
    struct exchange x = make(EXCHANGE_ECHO, stx, CMD_FUNCTION_ECHO, data_len);
    x.reply_len = x.request_len;
    return x;
}

struct exchange exchange_text(uint32_t stx, const char *text, uint32_t data_len)
{
    struct exchange x = exchange_echo(stx, data_len);
    x.text = text;
    return x;
}

struct exchange exchange_group(uint32_t stx, uint16_t akg_id, uint64_t group)
{
    struct exchange x = make(EXCHANGE_GROUP, stx, akg_id, sizeof(GROUP_REQ));
    x.reply_len = WIRE_HEAD_LEN;
    x.group = group;
    return x;
}

struct exchange exchange_other(uint32_t stx, uint16_t akg_id, uint32_t data_len)
{
    return make(EXCHANGE_OTHER, stx, akg_id, data_len);
}

/* ---- Framings ---- */

bool exchange_framing_find(const char *name, enum exchange_framing *out)
{
    static const char *const names[] = {"head", "ws", "line", "length", "raw"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *out = (enum exchange_framing) i;
            return true;
        }
    }
    return false;
}

bool exchange_has_head(const struct exchange *x)
{
    return x->framing == EXCHANGE_HEAD || x->framing == EXCHANGE_WS;
}

static const char *frame_ws(struct exchange *x)
{
    if (x->reply_len == 0)
        return "whose answer is not known";
    x->greeting = ws_greeting;
    x->front = x->request_len < 126 ? 6 : 8;
    x->reply_len += x->reply_len < 126 ? 2 : 4;
    return NULL;
}

const char *exchange_frame(struct exchange *x, enum exchange_framing framing)
{
    bool is_hello = x->kind == EXCHANGE_HELLO;
    uint32_t data_len = x->data_len, answer_len = is_hello ? (uint32_t) sizeof hello : data_len;
    x->framing = framing;
    if (framing == EXCHANGE_WS) {
        const char *wrong = frame_ws(x);
        x->request_len += x->front;
        return wrong;
    }
    if (framing == EXCHANGE_HEAD)
        return NULL;
    if (!is_hello && x->kind != EXCHANGE_ECHO)
        return "which is for packets with a HEAD";
    if (framing == EXCHANGE_LINE) {
        x->front = is_hello ? sizeof hello_word : sizeof echo_word;
        x->back = 1;
        answer_len += is_hello ? 1u : x->front + 1u;
    } else if (framing == EXCHANGE_LENGTH) {
        x->front = 4;
        answer_len += 4;
    } else if (answer_len == 0) {
        return "which needs data to be answered";
    }
    x->request_len = x->front + data_len + x->back;
    x->reply_len = answer_len;
    return NULL;
}

/* The head of a message of n bytes. Returns its length. */
static uint32_t put_ws_head(unsigned char *out, uint32_t n, bool masked)
{
    uint32_t at = 2;
    out[0] = 0x82;
    out[1] = (unsigned char) (n < 126 ? n : 126);
    if (n >= 126) {
        out[at++] = (unsigned char) (n >> 8);
        out[at++] = (unsigned char) n;
    }
    if (!masked)
        return at;
    out[1] |= 0x80;
    memcpy(out + at, mask, sizeof mask);
    return at + (uint32_t) sizeof mask;
}

static void put_length(unsigned char *out, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        out[i] = (unsigned char) (n >> (24 - 8 * i));
}

/* What stands around n bytes from out + front on, which stand there already. */
static void put_frame(const struct exchange *x, unsigned char *out, uint32_t n)
{
    unsigned char *in = out + x->front;
    switch (x->framing) {
    case EXCHANGE_WS:
        put_ws_head(out, n, true);
        for (uint32_t i = 0; i < n; i++)
            in[i] ^= mask[i % sizeof mask];
        break;
    case EXCHANGE_LINE:
        memcpy(out, x->kind == EXCHANGE_HELLO ? hello_word : echo_word, x->front);
        for (uint32_t i = 0; i < n && x->text == NULL;
             i++) /* sixteen letters: no control character, no blank */
            in[i] = (unsigned char) ('A' + (in[i] & 15));
        in[n] = '\n';
        break;
    case EXCHANGE_LENGTH:
        put_length(out, n);
        break;
    case EXCHANGE_HEAD:
    case EXCHANGE_RAW:
        break;
    }
}

const unsigned char *exchange_within(const struct exchange *x, const unsigned char *in, size_t n, size_t *len)
{
    size_t front = 0, back = 0;
    if (x->framing == EXCHANGE_WS)
        front = n >= 2 && in[1] < 126 ? 2 : 4;
    else if (x->framing == EXCHANGE_LENGTH)
        front = 4;
    else if (x->framing == EXCHANGE_LINE)
        back = 1;
    if (n < front + back)
        front = back = 0;
    *len = n - front - back;
    return in + front;
}

/* ---- Requests and replies ---- */

static void put_data(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out)
{
    if (x->kind == EXCHANGE_LOGIN)
        wire_put16(out, (uint16_t) (x->uid + conn));
    else if (x->kind == EXCHANGE_GROUP)
        wire_put64(out, x->group);
    else if (x->text != NULL)
        memcpy(out, x->text, x->data_len);
    else if (x->data_len > 0)
        payload_fill(out, x->data_len, conn, seq);
}

void exchange_build(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out)
{
    unsigned char *at = out + x->front;
    if (exchange_has_head(x)) {
        wire_put_head(at, (struct wire_head){x->stx, (uint16_t) (WIRE_HEAD_LEN + x->data_len), x->akg_id});
        at += WIRE_HEAD_LEN;
    }
    put_data(x, conn, seq, at);
    if (x->framing != EXCHANGE_HEAD)
        put_frame(x, out, (uint32_t) (at - out) - x->front + x->data_len);
}

void exchange_build_run(const struct exchange *x, uint32_t conn, uint32_t seq, uint32_t n, unsigned char *out)
{
    size_t len = x->request_len, all = n * len, done;
    bool same = x->kind == EXCHANGE_LOGIN || x->kind == EXCHANGE_GROUP || x->text != NULL || x->data_len == 0;
    for (uint32_t i = 0; i < (same ? 1 : n) && i < n; i++)
        exchange_build(x, conn, seq + i, out + i * len);
    for (done = len; same && done < all; done += done)
        memcpy(out + done, out, done < all - done ? done : all - done);
}

/* The one right reply over a framing that is not HEAD+Data. */
static void reply_framed(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out)
{
    if (x->framing == EXCHANGE_WS) {
        struct exchange plain = *x;
        uint32_t front = x->reply_len < 128 ? 2 : 4;
        plain.framing = EXCHANGE_HEAD;
        plain.front = 0;
        plain.reply_len = x->reply_len - front;
        put_ws_head(out, plain.reply_len, false);
        exchange_reply(&plain, conn, seq, out + front);
    } else if (x->kind == EXCHANGE_ECHO) {
        exchange_build(x, conn, seq, out);
    } else {
        uint32_t front = x->framing == EXCHANGE_LENGTH ? 4 : 0;
        if (front > 0)
            put_length(out, sizeof hello);
        memcpy(out + front, hello, sizeof hello);
        if (x->framing == EXCHANGE_LINE)
            out[sizeof hello] = '\n';
    }
}

void exchange_reply(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out)
{
    if (x->framing != EXCHANGE_HEAD) {
        reply_framed(x, conn, seq, out);
        return;
    }
    if (x->kind == EXCHANGE_ECHO) {
        exchange_build(x, conn, seq, out);
        return;
    }
    wire_put_head(out, (struct wire_head){x->stx, (uint16_t) x->reply_len, x->akg_id});
    if (x->kind == EXCHANGE_HELLO)
        memcpy(out + WIRE_HEAD_LEN, hello, sizeof hello);
}

enum fault exchange_compare(const unsigned char *right, const unsigned char *in, size_t at, size_t n)
{
    if (memcmp(right + at, in, n) == 0)
        return FAULT_NONE;
    size_t i = 0;
    while (right[at + i] == in[i])
        i++;
    size_t where = at + i;
    return where < 4   ? FAULT_BAD_STX
           : where < 6 ? FAULT_BAD_LENGTH
           : where < 8 ? FAULT_BAD_AKG
                       : FAULT_BAD_CONTENT;
}

static int content_right(const struct exchange *x, uint32_t conn, uint32_t seq, const unsigned char *data)
{
    switch (x->kind) {
    case EXCHANGE_HELLO:
        return memcmp(data, hello, sizeof hello) == 0;
    case EXCHANGE_ECHO:
        if (x->text != NULL)
            return memcmp(data, x->text, x->data_len) == 0;
        return payload_check(data, x->data_len, conn, seq);
    case EXCHANGE_LOGIN:
    case EXCHANGE_GROUP:
    case EXCHANGE_OTHER:
        break;
    }
    return 1;
}

uint32_t exchange_count_right(const struct exchange *x, const unsigned char *in, size_t n, uint32_t most)
{
    unsigned char right[WIRE_HEAD_LEN];
    uint32_t count = 0;
    if (x->kind != EXCHANGE_LOGIN || x->framing != EXCHANGE_HEAD)
        return 0;
    exchange_reply(x, 0, 0, right);
    while (count < most && n - count * sizeof right >= sizeof right &&
           memcmp(in + count * sizeof right, right, sizeof right) == 0)
        count++;
    return count;
}

/* Over a framing that is not HEAD+Data: it is the one right reply, or it is not. */
static int judge_framed(const struct exchange *x, uint32_t conn, uint32_t seq, const unsigned char *in,
                        size_t n, enum fault *fault)
{
    unsigned char right[EXCHANGE_MAX];
    exchange_reply(x, conn, seq, right);
    size_t known = n < x->reply_len ? n : x->reply_len;
    if (memcmp(right, in, known) != 0)
        return *fault = FAULT_BAD_CONTENT, -1;
    return n < x->reply_len ? 0 : (int) x->reply_len;
}

int exchange_is_away(uint32_t stx, const unsigned char *in, size_t n)
{
    unsigned char head[WIRE_HEAD_LEN];
    wire_put_head(head, (struct wire_head){stx, WIRE_HEAD_LEN + sizeof(GO_AWAY_MSG), CMD_FUNCTION_GO_AWAY});
    if (memcmp(head, in, n < sizeof head ? n : sizeof head) != 0)
        return -1;
    return n >= sizeof head;
}

int exchange_judge(const struct exchange *x, uint32_t conn, uint32_t seq, const unsigned char *in, size_t n,
                   enum fault *fault)
{
    *fault = FAULT_NONE;
    if (x->framing != EXCHANGE_HEAD)
        return judge_framed(x, conn, seq, in, n, fault);
    if (n < 4)
        return 0;
    if (wire_get32(in) != x->stx)
        return *fault = FAULT_BAD_STX, -1;
    if (n < WIRE_HEAD_LEN)
        return 0;
    struct wire_head h = wire_get_head(in);
    if (h.akg_id != x->akg_id)
        return *fault = exchange_is_away(x->stx, in, n) > 0 ? FAULT_AWAY : FAULT_BAD_AKG, -1;
    if (h.pkglen < WIRE_HEAD_LEN || (x->reply_len != 0 && h.pkglen != x->reply_len))
        return *fault = FAULT_BAD_LENGTH, -1;
    if (n < h.pkglen)
        return 0;
    if (!content_right(x, conn, seq, in + WIRE_HEAD_LEN))
        return *fault = FAULT_BAD_CONTENT, -1;
    return h.pkglen;
}
