/*
 * http_head.h: the head of an HTTP/1 request: the request line and its header fields, taken apart strictly. Pure; any
 * thread.
 *
 * Strict, since what two programs read differently is how one is led past the other: lines end with CR LF and with
 * nothing else, nothing is folded, no field that says what the rest means comes twice, a target is a path, a body has a
 * Content-Length or is none.
 */
#ifndef MARIO_FRAME_HTTP_HEAD_H
#define MARIO_FRAME_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_MAX   8192u /* bytes of a head, its last empty line included */
#define HTTP_FIELDS_MAX 64u

/* A part of the bytes that were parsed; nothing is copied. */
struct http_text {
    const char *at;
    uint32_t len;
};

struct http_field {
    struct http_text name, value; /* the value without blanks around it */
};

struct http_head {
    struct http_text method, target; /* the target begins with '/', and is printable ASCII */
    uint32_t minor;                  /* of HTTP/1: 0 or 1 */
    uint32_t size;                   /* bytes of the head */
    uint64_t length;                 /* of the body that follows; 0 */
    bool keep_alive;                 /* by its version and by Connection */
    uint32_t count;
    struct http_field fields[HTTP_FIELDS_MAX];
};

enum { HTTP_MORE = 0, HTTP_GOOD = 200 };

/* Look at bytes[0 .. n-1]. HTTP_GOOD with *h filled; HTTP_MORE if the head is not complete; else the status to refuse
 * it with: 400, 431 (HTTP_HEAD_MAX bytes and no end, or too many fields), 505. What is
 * wrong is said as soon as it can be seen. */
int http_head_parse(const char *bytes, size_t n, struct http_head *h);

/* The value of the field of this name, in lower case; NULL if there is none. Of those that may come more than once, the
 * first. */
const struct http_text *http_field(const struct http_head *h, const char *name);

/* Whether it is this, in lower case, whatever the case of t. */
bool http_is(const struct http_text *t, const char *text);
/* Whether a name may have it: of a field, a method, a subprotocol. */
bool http_is_token(unsigned char c);
/* The next of the comma list *rest, without blanks around it; *rest goes behind it. */
struct http_text http_next(struct http_text *rest);
/* Whether the comma list has this word. */
bool http_lists(const struct http_text *t, const char *word);
/* Whether one of the fields of this name, which may come more than once, has this word in its comma list. All in lower
 * case. */
bool http_names(const struct http_head *h, const char *name, const char *word);

#endif
