/*
 * session.h: one connection's TLS, on buffers: bytes that have come go in, bytes that are to be sent come out. Knows
 * neither sockets nor connections.
 *
 * A session belongs to one thread at a time, and may go from one to another between two calls. A struct tls_thread is
 * one thread's, and what a thread needs for all its sessions.
 */
#ifndef MARIO_TLS_SESSION_H
#define MARIO_TLS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "mario/mario_tls.h"
#include "mario/tls/context.h"

#define TLS_RECORD_DATA 16384u /* bytes of data that one record takes at most */
#define TLS_HOME        152u   /* bytes for a session of slim's: AES-128, a name of ours */
#define TLS_HELD_MAX    16709u /* tls_held() is less: a record of OpenSSL's longest, and its header */

enum tls_answer {
    TLS_OK,
    TLS_MORE,     /* the handshake waits for more bytes */
    TLS_CLOSED,   /* close_notify has come: nothing more will */
    TLS_BAD,      /* t->fault and t->why say why; what is in out is still to be sent, then the end */
    TLS_NO_MEMORY /* the session is of no use any more */
};

/* What is wrong: name (of a counter: tls_failed_NAME), in words. */
#define TLS_FAULTS(ROW)                                             \
    ROW(none, "nothing is wrong")                                   \
    ROW(protocol, "what came is no TLS")                            \
    ROW(version, "no version in common")                            \
    ROW(cipher, "no cipher in common")                              \
    ROW(alpn, "no protocol (ALPN) in common")                       \
    ROW(client_certificate, "no good certificate of the client")    \
    ROW(alert, "the client has refused us")                         \
    ROW(record, "a record that was changed, too long or no record") \
    ROW(storm, "too many records without data")                     \
    ROW(other, "TLS has failed")

enum tls_fault {
#define ROW(name, words) TLS_FAULT_##name,
    TLS_FAULTS(ROW)
#undef ROW
        TLS_FAULT_COUNT
};

const char *tls_fault_name(enum tls_fault fault);

struct bio_st;
struct slim_thread;

struct tls_thread {
    unsigned char
        *out; /* what is to be sent after a call; calls append, the caller sets out_len to 0 when it has it */
    size_t out_len;
    enum tls_fault fault; /* of the last BAD */
    char why[160];        /* of the last BAD: one line */
    uint32_t key_updates; /* that peers have sent: counts on, for the caller to take away */
    /* What follows is for session.c and those behind it. */
    size_t out_room;
    const unsigned char *in; /* what libssl has still to read: in[0 .. in_len-1] */
    size_t in_len;
    bool is_starved;      /* it has asked for more than there is: the last thing it does then, and no fault */
    bool out_of_memory;   /* out could not grow, during this call */
    unsigned char *plain; /* [TLS_RECORD_DATA]: one record's data, put together */
    struct bio_st *rbio;  /* the thread's pair: at an SSL only while it is called */
    struct bio_st *wbio;
    struct slim_thread *slim; /* slim.c's; NULL until it is wanted */
};

/* libssl is loaded: some tls_contexts were made. NULL without memory. */
__attribute__((warn_unused_result)) struct tls_thread *tls_thread_make(void);
void tls_thread_free(struct tls_thread **t); /* *t may be NULL */

struct tls_session;

/* A session for a connection of listener `set`, which is there (tls_set_is_there()). NULL without memory. */
__attribute__((warn_unused_result)) struct tls_session *tls_session_make(const struct tls_contexts *contexts,
                                                                         uint32_t set);
void tls_session_free(struct tls_session **s); /* *s may be NULL */
/* *s is up, and nobody knows where it is: move it to home[0 .. TLS_HOME-1], aligned to 8, if it is slim's and small
 * enough. It stays there until tls_session_free(). So those that are idle lie side by side, not each in what a
 * handshake has left. */
void tls_session_settle(struct tls_session **s, unsigned char *home);
/* t, by which it was opened and sealed, keeps nothing of its keys: before it ends. */
void tls_session_forget(struct tls_session *s, struct tls_thread *t);
/* Its connection has ended: all of it goes but for what tls_facts() says. Only that and free may follow. */
void tls_session_end(struct tls_session *s);

/* The handshake is over, and well. */
bool tls_is_up(const struct tls_session *s);

/* The handshake, with in[0 .. n-1] that has come, n may be 0. MORE: all of it is taken. OK: it is up, and in[*used ..
 * n-1] came behind it: for tls_open(); *s may be another one then, and the old one is gone. Whatever the answer, out
 * may have something to send: if BAD, an alert. Not after OK or BAD. */
enum tls_answer tls_shake(struct tls_session **s, struct tls_thread *t, const unsigned char *in, size_t n,
                          size_t *used);

/* Bytes of a record that is not whole yet, < TLS_HELD_MAX. */
size_t tls_held(const struct tls_session *s);

/* Open in place. In front of the n bytes that have come there is room for those that are held: they stand at
 * data[held .. held+n-1], with held = tls_held(s). What is in the records then stands at data[0 .. *plain-1], never
 * more than held + n, and what is not whole is held. *plain counts whatever the answer: OK, CLOSED, BAD, NO_MEMORY; it
 * may be 0. What stands behind a close_notify is dropped. A trickle costs as much as its bytes do. out may have an
 * answer to send (KeyUpdate, alert). n may be 0. Not after another answer than OK. */
enum tls_answer tls_open(struct tls_session *s, struct tls_thread *t, unsigned char *data, size_t n,
                         size_t *plain);

/* Seal the first bytes of vec[0 .. count-1], TLS_RECORD_DATA at most, as one record appended to out. How many bytes it
 * took, all there are up to that; 0: no memory, nothing is appended, and the session of no use any more. Also after
 * tls_open() has said CLOSED: the other direction is open still. */
size_t tls_seal(struct tls_session *s, struct tls_thread *t, const struct iovec *vec, size_t count);
/* Bytes that sealing n of them adds, at most: for who limits what out becomes. */
size_t tls_seal_overhead(const struct tls_session *s);

/* Say that nothing more will come of us: appended to out, once; nothing may be sealed then. Nothing if the handshake is
 * not over, or there is no memory. */
void tls_close_notify(struct tls_session *s, struct tls_thread *t);

/* What the handshake came to, into *info, whose texts stay until tls_session_free(). False: it is not over. */
bool tls_facts(const struct tls_session *s, struct mario_tls_info *info);

#endif
