/*
 * soak.h: what the files of the soak share. One server, testapp, runs from the first to the last minute;
 * neighbours (neighbours.h) ask it all the time and must lose nothing; meanwhile troubles come in an order that
 * the seed alone decides. The books say what the server must have counted at the end.
 *
 * Everything but the neighbours' thread is on the main thread. A trouble begins, may go on for a while beside
 * others, and is over; what comes of it is written into the books from what its clients saw.
 */
#ifndef SOAK_SOAK_H
#define SOAK_SOAK_H

#include "mario/base/reason.h"
#include "test/integration/offloaded.h"
#include "test/integration/preloads.h"

enum {
    WORKERS = 4,
    PLACES = 300, /* of each worker */
    THREADS = 8,  /* for offloaded functions */
    TIMEOUT_S = 10 * ITEST_SLOW,
    PACKET_S = 2 * ITEST_SLOW,
    WRITE_S = 10 * ITEST_SLOW,
    STOP_MS_MAX = 2500, /* for which the whole server may be stopped */
    OUTPUT_MAX = 12 << 20,
    FDS_MAX = 64 /* connections of a trouble that goes on */
};

/* ---- Chance ---- */

/* splitmix64: any seed is as good as any other. */
struct chance {
    uint64_t state;
};

static inline uint64_t chance_next(struct chance *c)
{
    uint64_t z = (c->state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* A number least .. most. */
static inline uint32_t chance_in(struct chance *c, uint32_t least, uint32_t most)
{
    return least + (uint32_t) (chance_next(c) % (most - least + 1));
}

/* ---- The books: what the server must have counted ---- */

struct books {
    uint64_t made;                 /* connections by other means than client_open() */
    uint64_t refused;              /* of all connections, those closed unserved */
    uint64_t closed[REASON_COUNT]; /* the rest by reason; peer_closed is what remains and stays 0 */
    uint64_t either;               /* these may be peer_closed or reset: who was faster */
    uint64_t stuck_hooks;          /* end hooks that were replaced with their worker */
    uint64_t died, away_died;      /* threads of workers, and of the pool */
    uint64_t targets, dropped;     /* messages for each receiver; those that slow readers did not get */
    uint64_t gone;                 /* messages for those who had ended, at least */
    struct {
        uint64_t in, out, bad_stx, is_short, trailing, unknown;
    } udp; /* datagrams: sent, those that are answered, and those that are no packet */
};

/* ---- The soak ---- */

struct soak {
    struct server server;
    struct inject_board *board;
    struct neighbours *neighbours;
    struct books books;
    uint32_t held;     /* bits: workers, and the pool, that a trouble has for itself */
    uint32_t sticking; /* troubles that wait until a worker is replaced: nothing is let go meanwhile */
    uint32_t stalls;   /* of the master */
    uint32_t churned;  /* connections of all churns: each has its own token */
    unsigned complaints;
};

#define POOL_BIT (1u << WORKERS) /* the threads for offloaded functions */
#define ALL_BITS ((1u << (WORKERS + 1)) - 1)

/* Say what is wrong, as often as it is; the soak goes on and fails at the end. */
void complain(struct soak *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A counter of the server, asked on a connection of its own. */
uint64_t soak_counter(const struct soak *s, const char *name);
/* Let all return that stick. */
void soak_unstick(const struct soak *s);
/* Note n connections that end so. */
static inline void book(struct soak *s, enum reason r, uint64_t n)
{
    s->books.closed[r] += n;
}

/* ---- Troubles ---- */

struct trouble {
    struct trouble_kind *kind;
    uint64_t number;
    struct chance chance; /* its own: what it draws changes nothing for those behind it */
    uint32_t worker;      /* one that it may spoil */
    uint32_t held;        /* bits it holds until it is over */
    uint64_t began, due;  /* mono_ns(); due is its own business */
    int fds[FDS_MAX];     /* its connections, -1 = ended */
    uint32_t count;
    uint32_t choice, step; /* its own business */
};

/* What a trouble needs for itself while it lasts, and whom it may make wait. */
enum needs {
    NEEDS_NOTHING,
    NEEDS_WORKER, /* its worker is nobody else's, and its neighbours may have to wait */
    NEEDS_POOL,   /* the same of the threads for offloaded functions */
    NEEDS_ORDER,  /* no worker is in trouble; neighbours must not notice */
    NEEDS_ALL,    /* all may have to wait */
    NEEDS_SILENCE /* there is no other trouble; neighbours must not notice */
};

struct trouble_kind {
    const char *name;
    enum needs needs;
    uint32_t weight;
    void (*begin)(struct soak *s, struct trouble *t);
    bool (*is_over)(struct soak *s, struct trouble *t); /* asked every few ms; NULL: it is over at once */
    uint64_t times;                                     /* done so far */
};

/* The kinds of troubles_*.c; each table ends with a name of NULL. */
extern struct trouble_kind wire_troubles[], end_troubles[], function_troubles[], process_troubles[],
    push_troubles[], admin_troubles[], framed_troubles[], browser_troubles[], datagram_troubles[];

/* server.listen: HEAD+Data first, and an address for each framing of framed_troubles; then two for browsers, where a
 * message is a packet and where it is a payload, and one for datagrams. */
extern const char soak_listen[];
enum { SOAK_FRAMINGS = 8, SOAK_WS_PACKETS = SOAK_FRAMINGS, SOAK_WS_PAYLOADS, SOAK_UDP };

/* ---- Connections of a trouble ---- */

/* Open one more. */
int trouble_open(const struct soak *s, struct trouble *t);
/* Look at each: note and close those that ended. What they still sent is dropped. True when all have. */
bool trouble_all_ended(struct trouble *t);
/* Close what is open, with a FIN. */
void trouble_close(struct trouble *t);
/* Whether something has come on fd: bytes, or its end. */
bool trouble_has_news(int fd);
/* True every `ms` milliseconds, for what is not to be asked all the time. */
bool trouble_again(struct trouble *t, uint32_t ms);
/* Whether something of an answer has come on fd, or of those before it; nothing is taken. Where a function writes a
 * long answer and the machine has other things to do, it can be replaced: the connection then ends without a byte. */
bool trouble_has_bytes(int fd);
/* Whether the server has ended it, and nothing of an answer has come before. */
bool trouble_was_replaced(int fd);
/* Wait for an answer of n bytes with this akg_id, or for the end. True if it was answered; what else comes
 * fails the soak. */
bool trouble_answered(struct soak *s, int fd, uint16_t akg_id, size_t n);

#endif
