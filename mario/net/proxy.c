/*
 * proxy.c: the header of the PROXY protocol, versions 1 and 2. Pure; any thread.
 *
 * What the specification leaves to the reader is refused here: what two readers could take for two things is no way to
 * say who somebody is. So are datagrams, and a client's port 0, which no connection has.
 */
#include "mario/net/proxy.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>

enum { SIGNATURE = 12, FIXED = 16 };   /* bytes of version 2 in front of all, and of what each has */
enum { LOCAL = 0x20, PROXIED = 0x21 }; /* version and command */
enum { UNSPEC = 0x00, TCP4 = 0x11, TCP6 = 0x21, UNIX = 0x31 }; /* family and transport */
enum { TLV_AUTHORITY = 0x02, TLV_CRC32C = 0x03, TLV_UNIQUE_ID = 0x05, TLV_SSL = 0x20 };
enum { SSL_VERSION = 0x21, SSL_NAME = 0x22, SSL_CIPHER = 0x23 }; /* inside TLV_SSL */
enum { TLV_HEAD = 3, SSL_FIXED = 5, CRC_BYTES = 4 };

static const unsigned char signature[SIGNATURE] = "\r\n\r\n\0\r\nQUIT\n";
static const char word[] = "PROXY ";

static enum proxy_answer bad(struct proxy_header *h, const char *why)
{
    h->why = why;
    return PROXY_BAD;
}

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static uint32_t big16(const unsigned char *p)
{
    return (uint32_t) p[0] << 8 | p[1];
}

static uint32_t big32(const unsigned char *p)
{
    return big16(p) << 16 | big16(p + 2);
}

/* ---- Version 1 ---- */

/* A port as it is written to be read back the same. */
static bool read_port(const char *text, uint32_t *port)
{
    size_t n = strlen(text);
    *port = 0;
    if (n == 0 || n > 5 || strspn(text, "0123456789") != n || (text[0] == '0' && n > 1))
        return false;
    for (; *text != '\0'; text++)
        *port = *port * 10 + (uint32_t) (*text - '0');
    return *port <= 65535;
}

/* An address of this family. */
static bool read_address(int family, const char *text, unsigned char address[PEER_ADDRESS])
{
    uint32_t v4;
    if (family == AF_INET6)
        return inet_pton(AF_INET6, text, address) == 1;
    if (inet_pton(AF_INET, text, &v4) != 1)
        return false;
    memcpy(address, peer_of_v4(v4, 1).address, PEER_ADDRESS);
    return true;
}

/* "source destination port port", as it is behind the family. */
static enum proxy_answer read_ends(int family, char *text, struct proxy_header *h)
{
    char *words[4];
    unsigned char from[PEER_ADDRESS], to[PEER_ADDRESS];
    uint32_t from_port, to_port;
    for (int i = 0; i < 4; i++) {
        words[i] = strsep(&text, " ");
        if (words[i] == NULL)
            return bad(h, "an address or a port is missing");
    }
    if (text != NULL)
        return bad(h, "something stands behind the ports");
    if (!read_address(family, words[0], from) || !read_address(family, words[1], to))
        return bad(h, "not an address of that family");
    if (!read_port(words[2], &from_port) || !read_port(words[3], &to_port))
        return bad(h, "not a port");
    if (from_port == 0)
        return bad(h, "the client's port is 0");
    h->has_peer = true;
    h->peer = peer_of_v6(from, htons((uint16_t) from_port));
    return PROXY_OK;
}

/* The line without its end. */
static enum proxy_answer read_line(const unsigned char *data, uint32_t len, struct proxy_header *h)
{
    char line[PROXY_LINE_MAX + 1];
    memcpy(line, data, len);
    line[len] = '\0';
    char *rest = line + strlen(word), *family = strsep(&rest, " ");
    if (memchr(data, '\0', len) != NULL)
        return bad(h, "a byte of 0");
    if (strcmp(family, "UNKNOWN") == 0)
        return PROXY_OK; /* whatever stands behind it */
    bool v6 = strcmp(family, "TCP6") == 0;
    if (!v6 && strcmp(family, "TCP4") != 0)
        return bad(h, "neither TCP4, TCP6 nor UNKNOWN");
    if (rest == NULL)
        return bad(h, "an address or a port is missing");
    return read_ends(v6 ? AF_INET6 : AF_INET, rest, h);
}

static enum proxy_answer look_line(const unsigned char *data, uint32_t n, struct proxy_header *h)
{
    if (memcmp(data, word, smaller(n, (uint32_t) strlen(word))) != 0)
        return bad(h, "it does not begin with one");
    n = smaller(n, PROXY_LINE_MAX);
    for (uint32_t i = 0; i < n; i++) {
        if (data[i] == '\n' || (data[i] == '\r' && i + 1 < n && data[i + 1] != '\n'))
            return bad(h, "its line does not end with CR and LF");
        if (data[i] == '\r' && i + 1 < n) {
            h->size = i + 2;
            return read_line(data, i, h);
        }
    }
    return n < PROXY_LINE_MAX ? PROXY_MORE : bad(h, "its line is longer than 107 bytes");
}

/* ---- Version 2 ---- */

/* Bytes of the addresses; -1: no such family and transport. */
static int addresses_of(uint32_t family)
{
    switch (family) {
    case UNSPEC:
        return 0;
    case TCP4:
        return 12;
    case TCP6:
        return 36;
    case UNIX:
        return 216;
    default:
        return -1;
    }
}

/* Castagnoli's, bit by bit: a header is short, and most have none. */
static uint32_t crc32c(uint32_t crc, const unsigned char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return crc;
}

/* Whether the sum that stands at `at` is that of the header with zeros in its place. */
static bool is_intact(const unsigned char *data, uint32_t size, const unsigned char *at)
{
    static const unsigned char zeros[CRC_BYTES];
    uint32_t crc = crc32c(UINT32_MAX, data, (size_t) (at - data));
    crc = crc32c(crc, zeros, sizeof zeros);
    crc = crc32c(crc, at + CRC_BYTES, (size_t) (data + size - at) - CRC_BYTES);
    return ~crc == big32(at);
}

/* One more value, type and length in front. False if it does not end before `end`, where *at goes on. */
static bool next_value(const unsigned char **at, const unsigned char *end, uint8_t *type,
                       struct proxy_value *v)
{
    if (end - *at < TLV_HEAD || end - *at - TLV_HEAD < (ptrdiff_t) big16(*at + 1))
        return false;
    *type = (*at)[0];
    *v = (struct proxy_value){.at = *at + TLV_HEAD, .len = (uint16_t) big16(*at + 1)};
    *at += TLV_HEAD + v->len;
    return true;
}

/* Keep it. NULL, or what is wrong: it stands there twice, or is too long. */
static const char *keep(struct proxy_value *place, const struct proxy_value *v, uint32_t max)
{
    if (place->at != NULL)
        return "a value stands there twice";
    if (v->len > max)
        return "a value is too long";
    *place = *v;
    return NULL;
}

static const char *read_ssl(struct proxy_ssl *ssl, const struct proxy_value *v)
{
    const unsigned char *at = v->at, *end = at + v->len;
    struct proxy_value part;
    uint8_t type;
    if (ssl->said)
        return "a value stands there twice";
    if (v->len < SSL_FIXED)
        return "a value is too short";
    *ssl = (struct proxy_ssl){.said = true, .client = at[0], .verify = big32(at + 1)};
    for (at += SSL_FIXED; at < end;) {
        const char *why = NULL;
        if (!next_value(&at, end, &type, &part))
            return "a value ends behind the header";
        if (type == SSL_VERSION || type == SSL_NAME || type == SSL_CIPHER)
            why = keep(type == SSL_VERSION ? &ssl->version
                       : type == SSL_NAME  ? &ssl->name
                                           : &ssl->cipher,
                       &part, UINT16_MAX);
        if (why != NULL)
            return why;
    }
    return NULL;
}

/* One of those that are looked at; others may be anything. */
static const char *read_value(uint8_t type, const struct proxy_value *v, struct proxy_value *sum,
                              struct proxy_header *h)
{
    switch (type) {
    case TLV_AUTHORITY:
        if (memchr(v->at, '\0', v->len) != NULL)
            return "a byte of 0 in the authority";
        return keep(&h->authority, v, PROXY_AUTHORITY_MAX);
    case TLV_UNIQUE_ID:
        return keep(&h->unique_id, v, PROXY_UNIQUE_ID_MAX);
    case TLV_SSL:
        return read_ssl(&h->ssl, v);
    case TLV_CRC32C:
        return v->len != CRC_BYTES ? "its sum does not have 4 bytes" : keep(sum, v, CRC_BYTES);
    default:
        return NULL;
    }
}

/* What stands behind the addresses, up to its end. */
static enum proxy_answer read_values(const unsigned char *data, const unsigned char *at,
                                     struct proxy_header *h)
{
    const unsigned char *end = data + h->size;
    struct proxy_value v, sum = {.at = NULL};
    uint8_t type;
    while (at < end) {
        if (!next_value(&at, end, &type, &v))
            return bad(h, "a value ends behind the header");
        const char *why = read_value(type, &v, &sum, h);
        if (why != NULL)
            return bad(h, why);
    }
    return sum.at == NULL || is_intact(data, h->size, sum.at) ? PROXY_OK : bad(h, "its sum is wrong");
}

static enum proxy_answer read_peer(uint32_t family, const unsigned char *at, struct proxy_header *h)
{
    uint32_t v4;
    uint16_t port = 1;
    if (family == TCP4) {
        memcpy(&v4, at, sizeof v4);
        memcpy(&port, at + 8, sizeof port);
        h->peer = peer_of_v4(v4, port);
    } else if (family == TCP6) {
        memcpy(&port, at + 32, sizeof port);
        h->peer = peer_of_v6(at, port);
    }
    h->has_peer = family != UNSPEC;
    return port != 0 ? PROXY_OK : bad(h, "the client's port is 0");
}

static enum proxy_answer look_binary(const unsigned char *data, uint32_t n, struct proxy_header *h)
{
    if (memcmp(data, signature, smaller(n, SIGNATURE)) != 0)
        return bad(h, "it does not begin with one");
    if (n > SIGNATURE && data[SIGNATURE] != LOCAL && data[SIGNATURE] != PROXIED)
        return bad(h, data[SIGNATURE] >> 4 == 2 ? "neither LOCAL nor PROXY" : "its version is not 2");
    bool local = n > SIGNATURE && data[SIGNATURE] == LOCAL;
    int least = n > SIGNATURE + 1 && !local ? addresses_of(data[SIGNATURE + 1]) : 0;
    if (least < 0)
        return bad(h, "its family and transport are none of streams");
    if (n < FIXED)
        return PROXY_MORE;
    h->size = FIXED + big16(data + FIXED - 2);
    if (h->size > PROXY_MAX)
        return bad(h, "it is longer than 4096 bytes");
    if (h->size < FIXED + (uint32_t) least)
        return bad(h, "it is too short for its addresses");
    if (n < h->size)
        return PROXY_MORE;
    if (local)
        return PROXY_OK; /* whatever stands there */
    enum proxy_answer answer = read_peer(data[SIGNATURE + 1], data + FIXED, h);
    return answer == PROXY_OK ? read_values(data, data + FIXED + least, h) : answer;
}

enum proxy_answer proxy_look(const unsigned char *data, uint32_t n, struct proxy_header *h)
{
    *h = (struct proxy_header){.size = 0};
    if (n == 0)
        return PROXY_MORE;
    return data[0] == signature[0] ? look_binary(data, n, h) : look_line(data, n, h);
}
