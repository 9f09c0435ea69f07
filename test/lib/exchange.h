/*
 * exchange.h: one kind of request and the reply that belongs to it: build the one, judge the other. Pure
 * functions over the caller's bytes, any thread.
 */
#ifndef TEST_EXCHANGE_H
#define TEST_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fault.h"

enum exchange_kind {
    EXCHANGE_LOGIN, /* uid -> bare HEAD */
    EXCHANGE_HELLO, /* numbered data -> "hello" */
    EXCHANGE_ECHO,  /* numbered data or a text -> the same */
    EXCHANGE_GROUP, /* a group's number -> bare HEAD */
    EXCHANGE_OTHER  /* numbered data -> any packet with this stx and akg_id */
};

/* How packets stand in the stream. */
enum exchange_framing {
    EXCHANGE_HEAD,   /* HEAD and data */
    EXCHANGE_WS,     /* the same, each in a binary message of a WebSocket, after its handshake */
    EXCHANGE_LINE,   /* a line of printable text: the word `echo` or `hello`, and data */
    EXCHANGE_LENGTH, /* 32 bits of length, big-endian, and data */
    EXCHANGE_RAW     /* data */
};

/* Constant after it is made; a copy is as good. */
struct exchange {
    enum exchange_kind kind;
    enum exchange_framing framing;
    uint8_t front, back;  /* bytes of the framing around what is in a request */
    const char *greeting; /* sent first on each connection, answered by the head of an HTTP 101; or NULL */
    uint32_t stx;
    uint16_t akg_id;
    uint16_t uid;         /* LOGIN: of connection 0; connection k has uid + k modulo 65536 */
    uint64_t group;       /* GROUP */
    uint32_t data_len;    /* bytes of data in the request */
    uint32_t request_len; /* the whole request */
    uint32_t reply_len;   /* the whole reply; 0 = any */
    const char *text;     /* ECHO: data_len bytes that the caller keeps alive; NULL = numbered data */
};

/* The largest data_len there is. */
#define EXCHANGE_DATA_MAX (65535u - 8u)
/* The longest request and the longest reply, over whatever framing. */
#define EXCHANGE_MAX (EXCHANGE_DATA_MAX + 24u)

/* Make one. data_len is 0 .. EXCHANGE_DATA_MAX. */
struct exchange exchange_login(uint32_t stx, uint16_t uid);
struct exchange exchange_hello(uint32_t stx, uint32_t data_len);
struct exchange exchange_echo(uint32_t stx, uint32_t data_len);
struct exchange exchange_text(uint32_t stx, const char *text, uint32_t data_len);
struct exchange exchange_group(uint32_t stx, uint16_t akg_id, uint64_t group);
struct exchange exchange_other(uint32_t stx, uint16_t akg_id, uint32_t data_len);

/* Have x, as it was made, go over this framing. NULL, or why it does not: over one without HEAD only ECHO and HELLO do,
 * and the server has a function there that answers data with the same data, or with "hello". */
const char *exchange_frame(struct exchange *x, enum exchange_framing framing);
/* The framing of this name. False if there is none. */
bool exchange_framing_find(const char *name, enum exchange_framing *out);

/* Whether packets have a HEAD. */
bool exchange_has_head(const struct exchange *x);
/* The packet or the data in a reply of n bytes at `in`, without what its framing has around it; its length in *len. */
const unsigned char *exchange_within(const struct exchange *x, const unsigned char *in, size_t n,
                                     size_t *len);

/* Write the request with number `seq` of connection `conn`, x->request_len bytes, to out. */
void exchange_build(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out);

/* Write the requests with numbers seq .. seq+n-1 one behind the other to out. */
void exchange_build_run(const struct exchange *x, uint32_t conn, uint32_t seq, uint32_t n,
                        unsigned char *out);

/* Write the one right reply to that request, x->reply_len bytes, to out. Not for EXCHANGE_OTHER, which has
 * many. */
void exchange_reply(const struct exchange *x, uint32_t conn, uint32_t seq, unsigned char *out);

/* Compare in[0 .. n-1], the bytes from `at` on of a reply, with the right reply whole in right; at + n is not
 * above its length. FAULT_NONE, or the kind that the first wrong byte belongs to. */
enum fault exchange_compare(const unsigned char *right, const unsigned char *in, size_t at, size_t n);

/* How many whole right replies, at most `most`, stand at the beginning of in[0 .. n-1], where all right replies are
 * the same bytes; otherwise, and where it takes a closer look to tell, 0. */
uint32_t exchange_count_right(const struct exchange *x, const unsigned char *in, size_t n, uint32_t most);

/* Judge the reply at in[0 .. n-1] as early as its bytes allow. Returns the bytes of the whole, right
 * reply; 0 when bytes are missing and nothing is wrong so far; or -1 and its kind in *fault, which is FAULT_AWAY for
 * GO_AWAY in its place. */
int exchange_judge(const struct exchange *x, uint32_t conn, uint32_t seq, const unsigned char *in, size_t n,
                   enum fault *fault);

/* Whether GO_AWAY begins in[0 .. n-1], by its head: 1; 0 if bytes are missing to tell; -1 if something else does. */
int exchange_is_away(uint32_t stx, const unsigned char *in, size_t n);

#endif
