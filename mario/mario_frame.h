/*
 * mario_frame.h: framings: how a stream of bytes becomes packets, and what is written on a listener's connections so
 * that their clients see packets too. Which one a listener has says its entry in the listen list: HEAD+Data, which is
 * the default, another built-in one, or one that the application has registered here (docs/protocols.md).
 *
 * Registering happens from one thread, before the options are checked or a server is made of them.
 */
#ifndef MARIO_FRAME_H
#define MARIO_FRAME_H

#include "mario_akg.h"
#include "mario_conn.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mario_frame_answer {
    MARIO_FRAME_OK,   /* a whole packet stands at the beginning */
    MARIO_FRAME_MORE, /* nothing wrong so far, bytes are missing */
    MARIO_FRAME_SKIP, /* what stands there is no packet, and done with: only for framings with a state */
    MARIO_FRAME_BAD   /* this stream cannot go on: the connection is closed */
};

struct mario_frame { /* zeroed before each question */
    uint32 need; /* OK, SKIP: bytes taken, 1 .. n. MORE: the whole packet's size, > n; 0 = not known yet */
    uint32 at,
        len; /* OK: what in_buf shows of them, at + len <= need; len 0: the function is called all the same */
    uint16 id; /* OK: which function it is for, 0x0000 .. 0xfffb */
    uint16
        fault; /* BAD: why, one of MARIO_FAULT_ or a number of the framing's own, which the log line says */
};

/* Why a stream is BAD: what is counted, and the reason with which the connection ends. */
enum {
    MARIO_FAULT_FRAME =
        0, /* bad_frame: this is not the framing's protocol; so are all numbers of one's own */
    MARIO_FAULT_LENGTH = 1, /* bad_length */
    MARIO_FAULT_ID = 2,     /* unknown_akg */
    MARIO_FAULT_OWN = 0x100 /* .. 0xffff: the framing's own */
};

#define MARIO_FRAME_MAX   65535u /* bytes of the largest packet of any framing, its own bytes included */
#define MARIO_FRAME_STATE 64u    /* bytes of the largest state */

struct mario_framing;

/* What stands in data[0 .. n-1], n >= 1? `data` begins at a packet. Of its bytes `seen` were there when it was asked
 * about this very packet before; so a packet that comes byte by byte is looked at once, not again and again. It is
 * asked again when more of the packet has come, but not before there are as many bytes as MORE has said. Bytes may
 * be changed, and stay so; never beyond n. Neither allocates nor blocks. What is longer than framing->max ends with
 * bad_length, whether the framing says so or not; a SKIP too: who throws away all that comes takes max at a time.
 *
 * `state` is the connection's, state_size bytes that were zero when it began; NULL if that is 0. OK and SKIP are
 * said once for a packet: one that has to wait for its function is not asked about again. It may write to the
 * connection (mario_frame_conn()): a pong, say.
 *
 * Runs on the connection's worker, where its functions run; like them it must not block, and another thread may take
 * the worker's place if it does. */
typedef enum mario_frame_answer (*MARIO_FRAME_FUNC)(const struct mario_framing *framing, void *state,
                                                    ubyte *data, uint32 n, uint32 seen,
                                                    struct mario_frame *frame);

struct mario_framing {
    const char *name; /* as the listen list has it behind proto=: 1 .. 31 of a-z, 0-9, '_', '-' */
    MARIO_FRAME_FUNC next;
    /* Write these bytes to c->bufev so that the client sees a packet: what mario_reply() and messages to others go
     * through. Runs where functions run. For a message, c is of the same listener but no client's: it has no socket
     * and no user, and what is written is kept for all who get the message. 0, or anything else if it cannot be.
     * NULL: nothing can be written but bytes as they are. */
    sint32 (*wrap)(CONN *c, uint16 id, const void *data, uint32 len);
    uint16 state_size; /* bytes that each connection has for it, .. MARIO_FRAME_STATE */
    uint32 max; /* bytes of the largest packet, 1 .. MARIO_FRAME_MAX; a listener's max= is instead of it */
    const void *arg; /* the framing's own */
};

/* Have a framing that listeners may name. It is copied, but not what name and arg point to: these stay. A framing of
 * that name is replaced, but not a built-in one. 0, or -1 with a line on standard error: a value that is out of range,
 * the name of a built-in framing, more than 32 framings, no memory, or the server runs. */
sint32 regist_framing(const struct mario_framing *framing);

/* On listeners with id=word the first word of a packet says which function it is for: have `word` stand for `id`, and
 * register f for that id (regist_akg_func()); NULL: what is registered for it stays, an offloaded one, say. A word is 1
 * .. 64 printable characters of ASCII without blanks, and what a packet begins with up to a blank, a control character
 * or its end; "*" stands for all that have no function of their own, and for none. in_buf shows the whole packet, its
 * word too. A second call replaces. 0, or -1 with a line on standard error: a word that is none, a reserved id, no
 * memory, or the server runs. */
sint32 regist_word_func(const char *word, uint16 id, FUNC_PTR f);

/* Write len bytes as one packet of the framing of c's listener: with HEAD+Data behind a HEAD with the request's id, on
 * `line` with a line end behind, and so on (docs/protocols.md). In c's functions and hooks, offloaded ones too, while
 * c->bufev may be written to; of the connection whose function it is. 0, or -1 with errno: EINVAL elsewhere, EMSGSIZE
 * if it is too long for the framing, ENOTSUP if the framing has no wrap, ENOMEM, EIO if its wrap refused. */
sint32 mario_reply(CONN *c, const void *data, uint32 len);
/* The same with another id than the request's. For functions and hooks that are for no packet: there mario_reply() has
 * none, and takes 0. */
sint32 mario_reply_id(CONN *c, uint16 id, const void *data, uint32 len);

/* In a framing's next and wrap: the connection that they are asked about. NULL elsewhere. */
CONN *mario_frame_conn(void);

#ifdef __cplusplus
}
#endif

#endif
