/*
 * fuzz_proxy.c: a libFuzzer target for the header of the PROXY protocol (mario/net/proxy.h). Built and run by ./run.
 *
 * Input: two bytes say where it is cut, then what came. Each call sees a heap block of exactly the bytes it was told
 * of. What must hold: it is what a second reading says, which is not in pieces and uses regular expressions; a part of
 * a header is none; what a part was refused for, the whole is refused for.
 */
#include "mario/net/proxy.h"

#include <arpa/inet.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static regex_t tcp, unknown;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc;
    (void) argv;
    if (regcomp(&tcp,
                "^PROXY TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) ([1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4})$",
                REG_EXTENDED) != 0 ||
        regcomp(&unknown, "^PROXY UNKNOWN( .*)?$", REG_EXTENDED | REG_NOSUB) != 0)
        abort();
    return 0;
}

static void must(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_proxy: %s\n", what);
        abort();
    }
}

/* ---- The second reading: bytes of the header, 0: it is none ---- */

struct reading {
    uint32_t size;
    bool has_peer;
    char peer[PEER_TEXT];
    int authority, unique_id, ssl; /* bytes, -1: none */
};

static void say_peer(struct reading *r, int family, const void *address, unsigned port)
{
    char ip[INET6_ADDRSTRLEN];
    unsigned char v6[16];
    r->has_peer = true;
    inet_ntop(family, address, ip, sizeof ip);
    if (family == AF_INET6 && strncmp(ip, "::ffff:", 7) == 0 && strchr(ip, '.') != NULL &&
        strcmp(ip, "::ffff:0.0.0.0") != 0) {
        memmove(ip, ip + 7, strlen(ip + 7) + 1);
        family = AF_INET;
    }
    if (family == AF_INET && strcmp(ip, "0.0.0.0") == 0) {
        inet_pton(AF_INET6, "::ffff:0.0.0.0", v6);
        inet_ntop(family = AF_INET6, v6, ip, sizeof ip);
    }
    snprintf(r->peer, sizeof r->peer, family == AF_INET ? "%s:%u" : "[%s]:%u", ip, port);
}

static void read_text(const char *line, struct reading *r)
{
    regmatch_t m[6];
    char ip[2][128];
    unsigned char address[2][16];
    if (regexec(&unknown, line, 0, NULL, 0) == 0)
        return;
    if (regexec(&tcp, line, 6, m, 0) != 0) {
        r->size = 0;
        return;
    }
    int family = line[m[1].rm_so] == '4' ? AF_INET : AF_INET6;
    for (int i = 0; i < 2; i++)
        snprintf(ip[i], sizeof ip[i], "%.*s", (int) (m[2 + i].rm_eo - m[2 + i].rm_so), line + m[2 + i].rm_so);
    unsigned port = (unsigned) strtoul(line + m[4].rm_so, NULL, 10);
    if (inet_pton(family, ip[0], address[0]) != 1 || inet_pton(family, ip[1], address[1]) != 1 ||
        port > 65535 || strtoul(line + m[5].rm_so, NULL, 10) > 65535)
        r->size = 0;
    else
        say_peer(r, family, address[0], port);
}

static uint32_t sum_of(const uint8_t *text, uint32_t n, uint32_t hole)
{
    uint32_t crc = 0xffffffff;
    for (uint32_t bit = 0; bit < n * 8; bit++) {
        uint32_t at = bit / 8, byte = at >= hole && at < hole + 4 ? 0 : text[at];
        bool odd = ((crc ^ byte >> bit % 8) & 1) != 0;
        crc = odd ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

static bool keep(int *place, uint32_t len)
{
    bool first = *place == -1;
    *place = (int) len;
    return first;
}

/* Values in n bytes, which stand at `at`; `inside` those of TLS. */
static bool read_values(const uint8_t *text, uint32_t at, uint32_t n, bool inside, struct reading *r)
{
    int sum = -1, parts[3] = {-1, -1, -1};
    bool good = true;
    for (uint32_t end = at + n; good && at < end;) {
        if (end - at < 3)
            return false;
        uint32_t type = text[at], len = (uint32_t) text[at + 1] * 256 + text[at + 2], value = at + 3;
        if (len > end - value)
            return false;
        if (inside && type >= 0x21 && type <= 0x23)
            good = keep(&parts[type - 0x21], len);
        if (!inside && type == 2)
            good = keep(&r->authority, len) && len < 256 && memchr(text + value, 0, len) == NULL;
        if (!inside && type == 5)
            good = keep(&r->unique_id, len) && len <= 128;
        if (!inside && type == 0x20)
            good = keep(&r->ssl, len) && len >= 5 && read_values(text, value + 5, len - 5, true, r);
        if (!inside && type == 3)
            good = keep(&sum, value) && len == 4;
        at = value + len;
    }
    if (!good || sum < 0)
        return good;
    uint32_t said = (uint32_t) text[sum] << 24 | (uint32_t) text[sum + 1] << 16 |
                    (uint32_t) text[sum + 2] << 8 | text[sum + 3];
    return said == sum_of(text, r->size, (uint32_t) sum);
}

static void read_bytes(const uint8_t *text, size_t n, struct reading *r)
{
    uint32_t skip = 0;
    r->size = n < 16 ? 0 : 16 + (uint32_t) text[14] * 256 + text[15];
    if (r->size == 0 || r->size > n || r->size > 4096 || (text[12] != 0x20 && text[12] != 0x21)) {
        r->size = 0;
        return;
    }
    if (text[12] == 0x20)
        return;
    bool good = true;
    switch (text[13]) {
    case 0x00:
        break;
    case 0x11:
        skip = 12;
        break;
    case 0x21:
        skip = 36;
        break;
    case 0x31:
        skip = 216;
        break;
    default:
        good = false;
    }
    good = good && r->size >= 16 + skip;
    if (good && (skip == 12 || skip == 36)) {
        const uint8_t *port = text + 16 + (skip == 12 ? 8 : 32);
        good = port[0] != 0 || port[1] != 0;
        say_peer(r, skip == 12 ? AF_INET : AF_INET6, text + 16, (unsigned) port[0] * 256 + port[1]);
    } else if (good && skip == 216) {
        r->has_peer = true;
        snprintf(r->peer, sizeof r->peer, "unix");
    }
    if (!good || !read_values(text, 16 + skip, r->size - 16 - skip, false, r))
        r->size = 0;
}

static void read_again(const uint8_t *text, size_t n, struct reading *r)
{
    char line[108];
    *r = (struct reading){.authority = -1, .unique_id = -1, .ssl = -1};
    if (n > 0 && text[0] == '\r') {
        if (n >= 12 && memcmp(text, "\r\n\r\n\0\r\nQUIT\n", 12) == 0)
            read_bytes(text, n, r);
        return;
    }
    const uint8_t *end = memmem(text, n < 107 ? n : 107, "\r\n", 2);
    if (end == NULL)
        return;
    size_t len = (size_t) (end - text);
    if (memchr(text, 0, len) != NULL || memchr(text, '\r', len) != NULL || memchr(text, '\n', len) != NULL)
        return;
    memcpy(line, text, len);
    line[len] = '\0';
    r->size = (uint32_t) len + 2;
    read_text(line, r);
}

/* ---- The target ---- */

/* The lengths of its values go to len: those that it points to are gone. */
static enum proxy_answer look(const uint8_t *bytes, size_t n, struct proxy_header *h)
{
    uint8_t *block = malloc(n > 0 ? n : 1);
    if (block == NULL)
        abort();
    memcpy(block, bytes, n);
    enum proxy_answer answer = proxy_look(block, (uint32_t) n, h);
    const struct proxy_value *values[] = {&h->authority, &h->unique_id, &h->ssl.version, &h->ssl.name,
                                          &h->ssl.cipher};
    for (size_t i = 0; answer == PROXY_OK && i < sizeof values / sizeof values[0]; i++) {
        const struct proxy_value *v = values[i];
        must(v->at == NULL || (v->at >= block + 16 && v->at + v->len <= block + h->size), "a value outside");
    }
    free(block);
    return answer;
}

static int length(const struct proxy_value *v)
{
    return v->at == NULL ? -1 : v->len;
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    struct proxy_header h, part;
    struct reading r;
    char peer[PEER_TEXT] = "";
    if (size < 2)
        return 0;
    const uint8_t *text = input + 2;
    size_t n = size - 2, cut = n == 0 ? 0 : (size_t) (input[0] << 8 | input[1]) % n;
    enum proxy_answer whole = look(text, n, &h), some = look(text, cut, &part);
    read_again(text, n, &r);
    must((whole == PROXY_OK) == (r.size != 0), "the second reading says otherwise");
    must(whole != PROXY_BAD || h.why != NULL, "it does not say why");
    must(n < PROXY_MAX || whole != PROXY_MORE, "it waits for more than there may be");
    if (whole == PROXY_OK)
        must(some == (cut < h.size ? PROXY_MORE : PROXY_OK), "a part is read otherwise than the whole");
    else
        must(some == PROXY_MORE || (some == whole && strcmp(part.why, h.why) == 0), "a part of none");
    if (whole != PROXY_OK)
        return 0;
    if (h.has_peer)
        peer_print(&h.peer, peer, sizeof peer);
    must(h.size == r.size && h.has_peer == r.has_peer && strcmp(peer, r.peer) == 0, "size and peer");
    must(length(&h.authority) == r.authority && length(&h.unique_id) == r.unique_id, "values");
    must(h.ssl.said == (r.ssl != -1), "what is said of TLS");
    return 0;
}
