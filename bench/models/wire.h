/*
 * wire.h: the work that every model does: whole packets in, their replies out. Pure; any thread; C and C++.
 */
#ifndef MODELS_WIRE_H
#define MODELS_WIRE_H

#include <stddef.h>
#include <string.h>

#include "mario/mario_akg.h"
#include "protocol/mario_protocol.h"

#define WIRE_PACKET_MAX ((size_t) 8192)               /* maritcp's default server.max_pkglen */
#define WIRE_RECV       ((size_t) (64 * 1024))        /* asked from one recv() */
#define WIRE_IN         (WIRE_PACKET_MAX + WIRE_RECV) /* an unfinished packet and what one recv() adds */

#define WIRE_HELLO     "hello"
#define WIRE_HELLO_LEN (sizeof WIRE_HELLO - 1)

/* The most bytes that n bytes of packets can have as replies: bare SAY_HELLOs grow most. */
#define WIRE_REPLIES(n) ((n) + (n) / sizeof(HEAD) * WIRE_HELLO_LEN)

/* One thread's room for a wake-up's input and replies. */
struct wire_scratch {
    ubyte in[WIRE_IN];
    ubyte out[WIRE_REPLIES(WIRE_IN)];
};

/* Write the reply to one whole packet. Returns its length, 0 if the packet is to end the connection. */
static inline size_t wire_reply(const ubyte *packet, HEAD head, ubyte *out)
{
    size_t pkglen = head.pkglen;

    switch (head.akg_id) {
    case CMD_FUNCTION_LOGIN:
        if (pkglen != sizeof head + sizeof(LOGIN_REQ))
            return 0;
        head.pkglen = sizeof head;
        memcpy(out, &head, sizeof head);
        return sizeof head;
    case CMD_FUNCTION_SAY_HELLO:
        head.pkglen = sizeof head + WIRE_HELLO_LEN;
        memcpy(out, &head, sizeof head);
        memcpy(out + sizeof head, WIRE_HELLO, WIRE_HELLO_LEN);
        return sizeof head + WIRE_HELLO_LEN;
    case CMD_FUNCTION_ECHO:
        memcpy(out, packet, pkglen);
        return pkglen;
    default:
        return 0;
    }
}

/* Answer every whole packet of in[0 .. len-1] into out, which has room for WIRE_REPLIES(len); *used and
 * *out_len tell how much of both. What is left, less than WIRE_PACKET_MAX, is the begin of a packet. Returns
 * 0, or -1 at a packet that ends the connection; the replies to those before it are in out. */
static inline int wire_answer(const ubyte *in, size_t len, size_t *used, ubyte *out, size_t *out_len)
{
    size_t at = 0, made = 0;
    int bad = 0;

    while (len - at >= sizeof(HEAD)) {
        HEAD head;
        size_t reply;

        memcpy(&head, in + at, sizeof head);
        if (head.stx != MARITCP_STX || head.pkglen < sizeof head || head.pkglen > WIRE_PACKET_MAX) {
            bad = -1;
            break;
        }
        if (len - at < head.pkglen)
            break;
        reply = wire_reply(in + at, head, out + made);
        if (reply == 0) {
            bad = -1;
            break;
        }
        made += reply;
        at += head.pkglen;
    }
    *used = at;
    *out_len = made;
    return bad;
}

#endif
