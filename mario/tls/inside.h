/*
 * inside.h: what the files of this room need of each other: a session from within, and who does its records.
 */
#ifndef MARIO_TLS_INSIDE_H
#define MARIO_TLS_INSIDE_H

#include "mario/tls/session.h"

struct ssl_st;
struct ssl_ctx_st;
struct tls_section;
struct slim_secrets;

/* Records of an established session. Which of these it has is decided when its handshake is over, once. free() is
 * called again if it has ended already. */
struct tls_records {
    /* data[0 .. n-1] are whole records, each with its header; but the last one is a header alone if tls_record_size()
     * says that it is bad. As tls_open(); nothing beyond data[n-1] may be touched. */
    enum tls_answer (*open)(struct tls_session *s, struct tls_thread *t, unsigned char *data, size_t n,
                            size_t *plain);
    /* Seal n bytes of vec[0 .. count-1], 1 .. TLS_RECORD_DATA, as one record. False without memory. */
    bool (*seal)(struct tls_session *s, struct tls_thread *t, const struct iovec *vec, size_t count,
                 size_t n);
    void (*close_notify)(struct tls_session *s, struct tls_thread *t);
    void (*free)(struct tls_session *s); /* what it has beside the session, and its keys */
    size_t overhead;                     /* bytes that sealing adds to a record */
};

/* Whose records a session has. */
enum { TLS_NO_RECORDS, TLS_OPENSSL_RECORDS, TLS_SLIM_RECORDS };

/* A session of slim's after its handshake: the two halves of its keys stand behind it, in's and out's, as schedule.h
 * has them, and then its texts. */
struct slim {
    uint64_t in_seq;
    uint32_t out_seq;      /* far below its end come new keys */
    uint8_t suite;         /* of tls_suites */
    unsigned char part[3]; /* of a KeyUpdate in pieces what stands behind its first byte */
    unsigned char keys[];
};

/* 48 bytes until the handshake is over, and for OpenSSL's. Slim's is made then, in place of this one, as one block of
 * its true size: 32 bytes, keys, texts that are not known. */
struct tls_session {
    unsigned char *carry; /* the record that is not whole: carry[0 .. held-1], a mem.h block */
    union {
        uint16_t held;
        uint16_t set; /* during the handshake: the listener's */
    };
    uint8_t section;      /* which: registry_tls_name() */
    uint8_t idle_records; /* in a row that had no data */
    /* What does not change any more when the handshake is over, for other threads may ask for facts then. */
    uint8_t records : 2; /* TLS_NO_RECORDS until it is over */
    bool is_v13 : 1, is_resumed : 1, has_client : 1, has_texts : 1;
    bool is_slim : 1;     /* its contexts' policy says so */
    bool is_named : 1;    /* the section was chosen by the name that the client asked for */
    uint8_t : 0;          /* a byte of its own for what does */
    bool is_closed : 1;   /* we have sent close_notify */
    bool is_shaking : 1;  /* contexts is held */
    bool is_settled : 1;  /* it is no block of its own */
    bool owes_update : 1; /* slim's: the peer wants a KeyUpdate of ours */
    uint8_t part_len : 3; /* slim's: bytes that have come of a KeyUpdate, the first among them */
    uint16_t known; /* has_texts: their number, see registry_tls_known(); 0: they stand here. As is_v13 */
    union {
        struct slim slim;
        struct {
            struct ssl_st *ssl;           /* NULL: it has ended */
            struct slim_secrets *secrets; /* slim.c's, during the handshake; NULL: it has none */
            union {
                const struct tls_contexts *contexts; /* held until the handshake is over */
                const char *cipher;                  /* then: OpenSSL's name, which stays for ever */
            };
            char *
                texts; /* what the client says of itself, see shake.c; NULL: nothing, or known. A mem.h block */
        };
    };
};
_Static_assert(sizeof(struct tls_session) == 48 && offsetof(struct tls_session, slim.keys) == 32,
               "idle connections have little else");

/* slim.c. Before any session of ctx is made: the callback by which it counts the records that are sent. */
void slim_prepare(struct ssl_ctx_st *ctx);
/* Around each call that goes on with the handshake of s, whose contexts are slim's: so the secrets get to s->secrets.
 * False without memory. */
bool slim_begin(struct tls_session *s, struct tls_thread *t);
void slim_end(void);
/* The handshake of *s is over and all of it is in t->out, facts are made, and its texts are `texts` bytes. True: the
 * session is slim's, *s another block, and what it had of OpenSSL's is freed. False: it stays OpenSSL's (another
 * version, a cipher that slim has not, no memory), and secrets is freed and NULL. */
bool slim_take(struct tls_session **s, struct tls_thread *t, size_t texts);
/* Its texts, if they are not known, and its cipher, of one that is slim's. */
const char *slim_texts(const struct tls_session *s);
const char *slim_cipher(const struct tls_session *s);
/* Free s->secrets of a handshake that failed; it may be NULL. */
void slim_drop(struct tls_session *s);
void slim_thread_free(struct tls_thread *t);
/* See tls_session_forget(); nothing if it is not slim's. */
void slim_forget(struct tls_session *s, struct tls_thread *t);

/* shake.c: callbacks of a section's context, which are for its sessions' hellos. */
void shake_prepare(struct tls_section *section);
/* Whose this is. */
struct tls_session *tls_session_of(const struct ssl_st *ssl);

extern const struct tls_records openssl_records; /* openssl.c */
extern const struct tls_records slim_records;    /* slim.c */

/* NULL: its handshake is not over. */
static inline const struct tls_records *tls_records_of(const struct tls_session *s)
{
    return s->records == TLS_SLIM_RECORDS      ? &slim_records
           : s->records == TLS_OPENSSL_RECORDS ? &openssl_records
                                               : NULL;
}

/* thread.c: what a thread has, and its words. */

/* Have ssl read in[0 .. n-1] and write to the end of t->out, until it is detached: then nothing of t is at it. */
void tls_attach(struct tls_thread *t, struct ssl_st *ssl, const unsigned char *in, size_t n);
void tls_detach(struct ssl_st *ssl);
/* Room for n bytes more at the end of t->out: where they go, or NULL without memory. The caller adds to out_len. */
unsigned char *tls_out_room(struct tls_thread *t, size_t n);
/* Say what is wrong: TLS_BAD. */
enum tls_answer tls_bad(struct tls_thread *t, enum tls_fault fault, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* What a call of libssl has failed with: TLS_BAD, TLS_NO_MEMORY. */
enum tls_answer tls_libssl_bad(struct tls_thread *t, const struct ssl_st *ssl);
/* A record without data has been opened. False if there are too many in a row: tls_bad() was called. Who opens one with
 * data sets s->idle_records to 0. */
bool tls_idle_record(struct tls_session *s, struct tls_thread *t);
/* n bytes of vec[0 .. count-1], n <= TLS_RECORD_DATA, together: copied to t->plain, or where they are. */
const unsigned char *tls_gather(struct tls_thread *t, const struct iovec *vec, size_t count, size_t n);
/* A block with room for `want` bytes at least, and p[0 .. used-1] in it; p is given back. NULL without memory: then p
 * stays. p may be NULL. */
unsigned char *tls_grow(unsigned char *p, size_t used, size_t want);

/* The record that p[0 .. n-1] begins with: its bytes, the header's 5 among them; 0: not known yet. *is_bad: it is none,
 * or too long: then 5. */
static inline size_t tls_record_size(const unsigned char *p, size_t n, bool *is_bad)
{
    if (n < 5)
        return 0;
    size_t len = (size_t) p[3] << 8 | p[4];
    *is_bad = p[0] < 20 || p[0] > 23 || p[1] != 3 || len + 5 >= TLS_HELD_MAX;
    return *is_bad ? 5 : 5 + len;
}

#endif
