/*
 * crier.c: the connection of mode hold that says broadcasts. Main thread; crier_said() is a pure function.
 */
#include "crier.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "protocol/mario_protocol.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/secure.h"

_Static_assert(CRIER_SAID_LEN == WIRE_HEAD_LEN + sizeof(SAID_MSG) + CRIER_DATA_LEN, "what a member hears");

static uint64_t deadline(const struct load_options *o)
{
    return mono_ns() + (uint64_t) (o->timeout_s * (double) NS_PER_S);
}

/* What is said: numbered and checksummed, so that no two are the same. */
static void data_of(const struct load_options *o, uint32_t k, unsigned char *out)
{
    unsigned char packet[WIRE_HEAD_LEN + CRIER_DATA_LEN];
    struct exchange x = exchange_echo(o->join.stx, CRIER_DATA_LEN);
    exchange_build(&x, o->connections, k, packet);
    memcpy(out, packet + WIRE_HEAD_LEN, CRIER_DATA_LEN);
}

void crier_said(const struct load_options *o, uint32_t k, unsigned char *out)
{
    wire_put_head(out, (struct wire_head){o->join.stx, CRIER_SAID_LEN, CMD_FUNCTION_SAID});
    wire_put64(out + WIRE_HEAD_LEN, o->join.group);
    wire_put16(out + WIRE_HEAD_LEN + 8, (uint16_t) (o->login.uid + o->connections));
    data_of(o, k, out + WIRE_HEAD_LEN + sizeof(SAID_MSG));
}

/* Ask for an answer of n bytes, whose HEAD is right. */
static const char *ask(struct crier *c, const struct load_options *o, const struct exchange *x,
                       unsigned char *answer, size_t n)
{
    unsigned char out[WIRE_HEAD_LEN + sizeof(GROUP_REQ)];
    exchange_build(x, o->connections, 0, out);
    if (net_send_wait(c->fd, out, x->request_len, deadline(o)) != 0)
        return secure_error(errno);
    ptrdiff_t got = net_recv_wait(c->fd, answer, n, deadline(o));
    if (got != (ptrdiff_t) n)
        return got < 0 ? secure_error(errno) : "it was closed";
    struct wire_head h = wire_get_head(answer);
    return h.stx == x->stx && h.akg_id == x->akg_id && h.pkglen == n ? NULL : "a wrong answer";
}

const char *crier_open(struct crier *c, const struct load_options *o)
{
    unsigned char answer[WIRE_HEAD_LEN];
    c->fd = net_connect_wait(&o->targets.each[0], deadline(o));
    const char *wrong = c->fd < 0 ? secure_error(errno) : ask(c, o, &o->login, answer, sizeof answer);
    if (wrong != NULL && c->fd >= 0)
        crier_close(c);
    return wrong;
}

const char *crier_count(struct crier *c, const struct load_options *o, uint64_t *count)
{
    unsigned char answer[WIRE_HEAD_LEN + sizeof(WHO_RSP)];
    struct exchange who = exchange_group(o->join.stx, CMD_FUNCTION_WHO, o->join.group);
    const char *wrong = ask(c, o, &who, answer, sizeof answer);
    *count = wrong == NULL ? wire_get64(answer + WIRE_HEAD_LEN) : 0;
    return wrong;
}

const char *crier_say(struct crier *c, const struct load_options *o, uint32_t k)
{
    unsigned char out[WIRE_HEAD_LEN + sizeof(GROUP_REQ) + CRIER_DATA_LEN];
    wire_put_head(out, (struct wire_head){o->join.stx, sizeof out, CMD_FUNCTION_SAY});
    wire_put64(out + WIRE_HEAD_LEN, o->join.group);
    data_of(o, k, out + WIRE_HEAD_LEN + sizeof(GROUP_REQ));
    return net_send_wait(c->fd, out, sizeof out, deadline(o)) == 0 ? NULL : secure_error(errno);
}

void crier_close(struct crier *c)
{
    net_close(c->fd);
    c->fd = -1;
}
