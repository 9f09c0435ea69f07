/*
 * packet.c: reading what a function was sent, writing what it answers. On the thread that runs the function or hook.
 */
#include "app.h"

uint32 number_in(const CONN *c)
{
    uint32 n = 0;
    if (c->in_buf_len >= SIZE_OF_HEAD + sizeof n)
        memcpy(&n, c->in_buf + SIZE_OF_HEAD, sizeof n);
    return n;
}

struct test_end end_in(const CONN *c)
{
    struct test_end e = {0};
    if (c->in_buf_len >= SIZE_OF_HEAD + sizeof e)
        memcpy(&e, c->in_buf + SIZE_OF_HEAD, sizeof e);
    return e;
}

sint32 answer(CONN *c, const void *data, size_t n)
{
    HEAD h = *(const HEAD *) c->in_buf;
    h.pkglen = (uint16) (SIZE_OF_HEAD + n);
    return bufferevent_write(c->bufev, &h, sizeof h) | bufferevent_write(c->bufev, data, n);
}

/* A packet with n bytes of data, all `fill`, which need not fit into c->out_buf. */
void write_packet(CONN *c, uint16 akg_id, uint32 n, char fill)
{
    char packet[65536];
    HEAD h = {.stx = STX, .pkglen = (uint16) (SIZE_OF_HEAD + n), .akg_id = akg_id};
    memcpy(packet, &h, sizeof h);
    memset(packet + SIZE_OF_HEAD, fill, n);
    bufferevent_write(c->bufev, packet, SIZE_OF_HEAD + n);
}

/* n bytes in all, n >= 8; the last two packets share what is left so that none is below 8 bytes. */
void write_bytes(CONN *c, uint16 akg_id, uint32 n)
{
    while (n > 0) {
        uint32 len = n <= 8192 ? n : n < 8192 + SIZE_OF_HEAD ? n - SIZE_OF_HEAD : 8192;
        write_packet(c, akg_id, len - SIZE_OF_HEAD, 'r');
        n -= len;
    }
}
