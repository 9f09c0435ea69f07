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

void exchange_build(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out)
{
    wire_put_head(out, (struct wire_head){x->stx, (uint16_t) x->request_len, x->akg_id});
    out += WIRE_HEAD_LEN;
    if (x->kind == EXCHANGE_LOGIN)
        wire_put16(out, (uint16_t) (x->uid + conn));
    else if (x->kind == EXCHANGE_GROUP)
        wire_put64(out, x->group);
    else if (x->text != NULL)
        memcpy(out, x->text, x->data_len);
    else if (x->data_len > 0)
        payload_fill(out, x->data_len, conn, seq);
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

void exchange_reply(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out)
{
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
    if (x->kind != EXCHANGE_LOGIN)
        return 0;
    exchange_reply(x, 0, 0, right);
    while (count < most && n - count * sizeof right >= sizeof right &&
           memcmp(in + count * sizeof right, right, sizeof right) == 0)
        count++;
    return count;
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
