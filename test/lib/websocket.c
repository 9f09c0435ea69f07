/*
 * websocket.c: WebSocket as bytes, for clients. Any thread, pure.
 */
#include "websocket.h"

const char websocket_request[] =
    "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
const char websocket_accepted[] =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

size_t websocket_frame(unsigned char *out, uint8_t first, const void *payload, size_t n,
                       const unsigned char *mask)
{
    const unsigned char *from = payload;
    size_t at = 2, more = n < 126 ? 0 : n < 65536 ? 2 : 8;
    out[0] = first;
    out[1] = (unsigned char) (more == 0 ? n : more == 2 ? 126 : 127);
    for (size_t i = 0; i < more; i++)
        out[at++] = (unsigned char) ((uint64_t) n >> (8 * (more - 1 - i)));
    if (mask != NULL)
        out[1] |= 0x80;
    for (size_t i = 0; mask != NULL && i < 4; i++)
        out[at++] = mask[i];
    for (size_t i = 0; i < n; i++)
        out[at + i] = (unsigned char) (from[i] ^ (mask != NULL ? mask[i % 4] : 0));
    return at + n;
}

uint64_t websocket_length(const unsigned char *head, size_t *front)
{
    uint64_t n = head[1];
    size_t more = n == 126 ? 2 : n == 127 ? 8 : 0;
    *front = 2 + more;
    for (size_t i = 0; i < more; i++)
        n = (i == 0 ? 0 : n << 8) | head[2 + i];
    return n;
}
