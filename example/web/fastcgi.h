/*
 * fastcgi.h: the records of FastCGI, on the side of the one who asks. Pure: bytes into memory and out of it; any
 * thread.
 */
#ifndef WEB_FASTCGI_H
#define WEB_FASTCGI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- A request, for a responder that closes the connection afterwards ---- */

struct fastcgi_out {
    unsigned char *bytes; /* the caller's memory */
    size_t room, n;
    size_t record; /* where the open one begins */
    bool full;     /* something did not fit: the request is not to be sent */
};

void fastcgi_begin(struct fastcgi_out *o, unsigned char *bytes, size_t room);
/* One variable. */
void fastcgi_param(struct fastcgi_out *o, const char *name, size_t name_len, const char *value,
                   size_t value_len);
/* No more variables come; the body, n bytes up to 65535. The request is whole then. */
void fastcgi_body(struct fastcgi_out *o, const void *bytes, size_t n);

/* ---- An answer, as it comes ---- */

enum fastcgi_stream { FASTCGI_STDOUT = 6, FASTCGI_STDERR = 7 };

/* Gets the bytes of a stream. False: no more is wanted. */
typedef bool (*fastcgi_sink)(void *arg, enum fastcgi_stream stream, const void *bytes, size_t n);

struct fastcgi_in {          /* zeroed to begin with */
    unsigned char head[8];   /* of the record that comes */
    unsigned char end[8];    /* the body of the last one */
    uint32_t have;           /* bytes of head */
    uint32_t at, left, over; /* of its content: taken, still to come; padding to come */
};

enum fastcgi_answer {
    FASTCGI_MORE,
    FASTCGI_DONE,   /* the request was answered */
    FASTCGI_REFUSED /* it was not: what came is no FastCGI, the process is busy, or the sink wants no more */
};

/* n bytes more have come. */
enum fastcgi_answer fastcgi_read(struct fastcgi_in *in, const unsigned char *bytes, size_t n,
                                 fastcgi_sink sink, void *arg);

#endif
