/*
 * looks.c: what a client speaks that came to the wrong address. Pure functions, any thread.
 */
#include "mario/frame/looks.h"

#include <stddef.h>
#include <string.h>

/* Bytes that a client of each begins with; of those that are longer four are enough. */
static const struct {
    const char *bytes;
    uint32_t len;
    enum frame_looks looks;
} beginnings[] = {
    {"GET ", 4, LOOKS_HTTP},     {"HEAD ", 5, LOOKS_HTTP},
    {"POST ", 5, LOOKS_HTTP},    {"PUT ", 4, LOOKS_HTTP},
    {"PATCH ", 6, LOOKS_HTTP},   {"DELETE ", 7, LOOKS_HTTP},
    {"OPTIONS ", 8, LOOKS_HTTP}, {"CONNECT ", 8, LOOKS_HTTP},
    {"TRACE ", 6, LOOKS_HTTP},   {"PRI * HTTP/2", 12, LOOKS_HTTP},
    {"HTTP/", 5, LOOKS_HTTP},                                               /* one that answers */
    {"PROXY ", 6, LOOKS_PROXY},  {"\r\n\r\n\0\r\nQUIT\n", 12, LOOKS_PROXY}, /* version 2 */
    {"SSH-", 4, LOOKS_SSH},
};

enum { ENOUGH = 4 };

/* A record of TLS with a handshake in it. */
static int is_tls(const unsigned char *data)
{
    return data[0] == 22 && data[1] == 3 && data[2] <= 4;
}

/* The hello that clients of SSL 2 began with, of which a version follows. */
static int is_ssl2(const unsigned char *data)
{
    return (data[0] & 0x80) != 0 && data[2] == 1 && (data[3] == 3 || data[3] == 0);
}

enum frame_looks frame_looks(const unsigned char *data, uint32_t n)
{
    if (n < ENOUGH)
        return LOOKS_UNKNOWN;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        uint32_t len = beginnings[i].len < n ? beginnings[i].len : n;
        if (memcmp(data, beginnings[i].bytes, len) == 0)
            return beginnings[i].looks;
    }
    return is_tls(data) ? LOOKS_TLS : is_ssl2(data) ? LOOKS_SSL2 : LOOKS_UNKNOWN;
}

const char *frame_looks_name(uint32_t looks)
{
    static const char *const names[] = {NULL,  "HTTP",  "TLS",      "the PROXY protocol",
                                        "SSH", "SSL 2", "HEAD+Data"};
    return looks < sizeof names / sizeof *names ? names[looks] : NULL;
}
