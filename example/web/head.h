/*
 * head.h: the head of an HTTP/1 request: where it ends, and what it says. Pure; any thread.
 *
 * Strict, since what two programs read differently is how one is led past the other: lines end with CR LF and with
 * nothing else, nothing is folded, there is one Host, and a body has one Content-Length or is none.
 */
#ifndef WEB_HEAD_H
#define WEB_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HEAD_MAX = 8192,        /* bytes of a head, its empty line included */
    HEAD_TARGET_MAX = 4096, /* of the target in it */
    HEAD_METHOD_MAX = 16,   /* of the method */
    HEAD_FIELDS_MAX = 64,   /* fields */
    HEAD_LINE_MAX = HEAD_METHOD_MAX + 1 + HEAD_TARGET_MAX + sizeof " HTTP/1.1" - 1
};

/* A part of the bytes that were parsed; nothing is copied. */
struct head_text {
    const char *at;
    uint32_t len;
};

struct head_field {
    struct head_text name, value; /* the value without blanks around it */
};

struct head {
    struct head_text method;
    struct head_text path;  /* begins with '/', as it came; a target in absolute form without its beginning */
    struct head_text query; /* what is behind the '?' */
    struct head_text host;  /* by the target, else by Host; may be empty */
    uint32_t minor;         /* of HTTP/1: 0 or 1 */
    uint32_t size;          /* bytes of the head */
    uint64_t length;        /* of the body */
    bool keep;              /* the connection may stay */
    bool expects;           /* 100-continue */
    uint32_t count;
    struct head_field fields[HEAD_FIELDS_MAX];
};

enum { HEAD_MORE = 0, HEAD_GOOD = 200 };

/* Look for the end of the head that begins at bytes[0]; of bytes[0 .. n-1] `seen` were looked at before, and *line, the
 * length of the request line, 0 then, is kept between. HEAD_GOOD with *size; HEAD_MORE; or the status to refuse it
 * with, as soon as that can be said: 400 for a bare CR or LF or a control byte, 414, 431. */
int head_find(const char *bytes, uint32_t n, uint32_t seen, uint32_t *line, uint32_t *size);

/* Take apart the head at bytes[0], which head_find() has found. HEAD_GOOD with *h, or the status to refuse it with:
 * 400, 413, 414, 417, 431, 501, 505. */
int head_parse(const char *bytes, uint32_t n, struct head *h);

/* A line, without its end, as a name and its value. False if it is no field. */
bool head_split_field(struct head_text line, struct head_field *f);

/* The value of the first field of this name, in lower case; NULL if there is none. */
const struct head_text *head_field(const struct head *h, const char *name);

/* Whether t is this text, in lower case, whatever the case of t. */
bool head_is(const struct head_text *t, const char *text);
/* Whether t is this text; case counts. */
bool head_equals(const struct head_text *t, const char *text);
/* The next element of the comma list *rest, without blanks around it; *rest goes behind it. False at its end. */
bool head_next_in_list(struct head_text *rest, struct head_text *one);

#endif
