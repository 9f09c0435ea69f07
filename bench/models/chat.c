/*
 * chat.c: what the chat rooms share (chat.h): cutting packets, and bytes that wait for a slow reader. It has no thread
 * and no loop of its own.
 */
#include "chat.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

static struct wire_scratch scratch; /* out is not used */
static ubyte said[CHAT_SAID_MAX];

/* Answer one whole packet. Returns 0, or -1 if it ends the connection. */
static int take(struct stream *s, const ubyte *packet, HEAD head, chat_say *say)
{
    const size_t group = sizeof(uint64_t), from = sizeof(uint16_t);
    size_t pkglen = head.pkglen;

    switch (head.akg_id) {
    case CMD_FUNCTION_LOGIN:
    case CMD_FUNCTION_JOIN:
        head.pkglen = sizeof head;
        return chat_send(s, (const ubyte *) &head, sizeof head);
    case CMD_FUNCTION_SAY:
        if (pkglen < sizeof head + group)
            return -1;
        head.akg_id = CMD_FUNCTION_SAID;
        head.pkglen = (uint16_t) (pkglen + from);
        memcpy(said, &head, sizeof head);
        memcpy(said + sizeof head, packet + sizeof head, group);
        memset(said + sizeof head + group, 0, from); /* these rooms do not know who is who */
        memcpy(said + sizeof head + group + from, packet + sizeof head + group, pkglen - sizeof head - group);
        say(s, said, head.pkglen);
        return 0;
    default:
        return -1;
    }
}

/* Take each whole packet of in[0 .. len-1]; *used tells how much. Returns 0, or -1 at one that ends the connection. */
static int take_all(struct stream *s, const ubyte *in, size_t len, size_t *used, chat_say *say)
{
    for (*used = 0; len - *used >= sizeof(HEAD);) {
        HEAD head;

        memcpy(&head, in + *used, sizeof head);
        if (head.stx != MARITCP_STX || head.pkglen < sizeof head || head.pkglen > WIRE_PACKET_MAX)
            return -1;
        if (len - *used < head.pkglen)
            break;
        if (take(s, in + *used, head, say) != 0)
            return -1;
        *used += head.pkglen;
    }
    return 0;
}

int chat_readable(struct stream *s, chat_say *say)
{
    size_t len = s->tail_len, used;

    if (len > 0)
        memcpy(scratch.in, s->tail, len);
    ssize_t got = recv(s->fd, scratch.in + len, WIRE_RECV, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got <= 0 || take_all(s, scratch.in, len + (size_t) got, &used, say) != 0)
        return -1;
    len = len + (size_t) got - used;
    if (len > 0 && s->tail == NULL && (s->tail = malloc(WIRE_PACKET_MAX)) == NULL)
        return -1;
    if (len > 0)
        memcpy(s->tail, scratch.in + used, len);
    s->tail_len = (uint32_t) len;
    return 0;
}

/* Behind what waits. */
static int wait_behind(struct stream *s, const ubyte *bytes, size_t len)
{
    ubyte *more = s->out_len - s->out_off + len > CHAT_WAITING ? NULL : realloc(s->out, s->out_len + len);

    if (more == NULL)
        return -1;
    memcpy(more + s->out_len, bytes, len);
    s->out = more;
    s->out_len += (uint32_t) len;
    return 0;
}

int chat_send(struct stream *s, const ubyte *bytes, size_t len)
{
    ssize_t sent = s->out_len > 0 ? 0 : send(s->fd, bytes, len, MSG_NOSIGNAL);

    if (sent == (ssize_t) len)
        return 0;
    if (sent < 0 && errno != EAGAIN && errno != EINTR)
        return -1;
    size_t gone = sent < 0 ? 0 : (size_t) sent;
    return wait_behind(s, bytes + gone, len - gone);
}
