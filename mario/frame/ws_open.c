/*
 * ws_open.c: WebSocket's beginning: a request of HTTP that asks for it, and the answer. Pure but for that, which is
 * written to the connection; any thread.
 */
#include "mario/frame/ws.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "mario/frame/http_head.h"
#include "mario/frame/looks.h"
#include "mario/frame/plain.h"
#include "mario/frame/sha1.h"

enum { KEY = 16, KEY_TEXT = 24, ACCEPTED = 101 };

static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* ---- The key ---- */

/* The number that a character of base64 stands for; -1 if it is none. */
static int digit(char c)
{
    const char *at = c != '\0' ? strchr(base64, c) : NULL;
    return at != NULL ? (int) (at - base64) : -1;
}

/* Whether it is KEY bytes in base64. The last digit has bits that stand for nothing: they are 0. */
static bool is_key(const char *key, size_t n)
{
    if (n != KEY_TEXT || key[KEY_TEXT - 1] != '=' || key[KEY_TEXT - 2] != '=')
        return false;
    for (size_t i = 0; i < KEY_TEXT - 2; i++) {
        if (digit(key[i]) < 0)
            return false;
    }
    return (digit(key[KEY_TEXT - 3]) & 0x0f) == 0;
}

bool ws_proof(const char *key, size_t n, char out[WS_PROOF])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char text[KEY_TEXT + sizeof guid - 1];
    unsigned char hash[SHA1_BYTES + 1] = {0};
    if (!is_key(key, n))
        return false;
    memcpy(text, key, KEY_TEXT);
    memcpy(text + KEY_TEXT, guid, sizeof guid - 1);
    sha1(text, sizeof text, hash);
    for (size_t i = 0; i < WS_PROOF - 1; i++) {
        uint32_t three =
            (uint32_t) hash[i / 4 * 3] << 16 | (uint32_t) hash[i / 4 * 3 + 1] << 8 | hash[i / 4 * 3 + 2];
        out[i] = base64[three >> (18 - 6 * (i % 4)) & 0x3f];
    }
    out[WS_PROOF - 2] = '='; /* a byte is missing to seven times three */
    out[WS_PROOF - 1] = '\0';
    return true;
}

/* ---- The request ---- */

/* Whether the plus list has this text; `compare` is strncmp() or the one that looks at no case. */
static bool is_listed(const char *list, const struct http_text *text,
                      int (*compare)(const char *, const char *, size_t))
{
    while (*list != '\0') {
        size_t len = strcspn(list, "+");
        if (len == text->len && compare(list, text->at, len) == 0)
            return true;
        list += len + (list[len] == '+');
    }
    return false;
}

static bool is_path(const char *path, const struct http_text *target)
{
    const char *query = memchr(target->at, '?', target->len);
    size_t len = query != NULL ? (size_t) (query - target->at) : target->len;
    return strlen(path) == len && memcmp(path, target->at, len) == 0;
}

static bool has(const struct http_head *h, const char *name, const char *value)
{
    const struct http_text *text = http_field(h, name);
    return text != NULL && http_is(text, value);
}

/* The status of the answer to a request; `proof` is set if that is ACCEPTED. */
static int judge(const struct ws_rules *rules, const struct http_head *h, char proof[WS_PROOF])
{
    const struct http_text *origin = http_field(h, "origin"), *key = http_field(h, "sec-websocket-key");
    if (h->method.len != 3 || memcmp(h->method.at, "GET", 3) != 0)
        return 405;
    if (rules->path != NULL && !is_path(rules->path, &h->target))
        return 404;
    if (h->minor != 1 || !http_names(h, "upgrade", "websocket") || !http_names(h, "connection", "upgrade") ||
        !has(h, "sec-websocket-version", "13"))
        return 426;
    if (h->length != 0 || key == NULL || !ws_proof(key->at, key->len, proof))
        return 400;
    if (rules->origins != NULL && origin != NULL && !is_listed(rules->origins, origin, strncasecmp))
        return 403;
    return ACCEPTED;
}

/* ---- The answer ---- */

/* The subprotocol of those it asks for that it gets, with len 0 if there is none. A client closes when it gets one that
 * it has not asked for, some browsers also when they asked and get none. */
static struct http_text choose(const char *ours, const struct http_head *h)
{
    for (uint32_t i = 0; ours != NULL && i < h->count; i++) {
        struct http_text rest = h->fields[i].value;
        while (http_is(&h->fields[i].name, "sec-websocket-protocol") && rest.len > 0) {
            struct http_text one = http_next(&rest);
            if (is_listed(ours, &one, strncmp))
                return one;
        }
    }
    return (struct http_text){.at = "", .len = 0};
}

static void accept_it(const char *proof, const struct http_text *subprotocol)
{
    char text[192 + WS_SUBPROTOCOL_MAX];
    int n = snprintf(text, sizeof text,
                     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: %s\r\n%s%.*s%s\r\n",
                     proof, subprotocol->len > 0 ? "Sec-WebSocket-Protocol: " : "", (int) subprotocol->len,
                     subprotocol->at, subprotocol->len > 0 ? "\r\n" : "");
    ws_say(text, (size_t) n);
}

static const char *words_of(int status)
{
    switch (status) {
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed\r\nAllow: GET";
    case 426:
        return "Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13";
    case 431:
        return "Request Header Fields Too Large";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

static enum mario_frame_answer refuse(int status, const ubyte *data, uint32 n, struct mario_frame *frame)
{
    char text[192];
    bool is_http = frame_looks(data, n) == LOOKS_HTTP;
    int len =
        snprintf(text, sizeof text, "HTTP/1.1 %d %s\r\nConnection: %sclose\r\nContent-Length: 0\r\n\r\n",
                 status, words_of(status), status == 426 ? "Upgrade, " : "");
    ws_say(text, (size_t) len);
    frame->fault = is_http ? REASON_bad_upgrade : REASON_bad_frame;
    return MARIO_FRAME_BAD;
}

/* Whether the head is to be looked at again: it is new or too long, it has a line more, or what no line has. */
static bool is_news(const ubyte *data, uint32 n, uint32 seen)
{
    if (seen == 0 || n >= HTTP_HEAD_MAX)
        return true;
    while (seen < n && (data[seen] >= ' ' || data[seen] == '\t'))
        seen++;
    return seen < n;
}

enum mario_frame_answer ws_upgrade(const struct mario_framing *framing, struct ws_state *s, const ubyte *data,
                                   uint32 n, uint32 seen, struct mario_frame *frame)
{
    const struct framing_rules *all = framing->arg;
    const struct ws_rules *rules = &all->ws;
    struct http_head h;
    char proof[WS_PROOF];
    if (!is_news(data, n, seen))
        return MARIO_FRAME_MORE;
    int status = http_head_parse((const char *) data, n, &h);
    if (status == HTTP_MORE)
        return MARIO_FRAME_MORE;
    if (status == HTTP_GOOD)
        status = judge(rules, &h, proof);
    if (status != ACCEPTED)
        return refuse(status, data, n, frame);
    struct http_text subprotocol = choose(rules->subprotocols, &h);
    accept_it(proof, &subprotocol);
    s->phase = WS_OPEN;
    frame->need = h.size;
    return MARIO_FRAME_SKIP;
}
