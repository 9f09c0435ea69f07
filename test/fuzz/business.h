/*
 * business.h: the clients of fuzz_worker.c and the functions they call: functions that answer, say nothing, say
 * too much, close, close others, fail, and end their thread, inline and offloaded. Each call is held against what
 * the client sent (model.h), and what it writes is owed to the client from then on.
 */
#ifndef TEST_FUZZ_BUSINESS_H
#define TEST_FUZZ_BUSINESS_H

#include <semaphore.h>
#include <setjmp.h>

#include "mario/conn/conn.h"
#include "model.h"

enum { CLIENTS = 4, FIRST_ID = 0x10 };

/* What the connected hook does for a client; and bits beside it. */
enum {
    MODE_SILENT,
    MODE_GREET,
    MODE_CLOSE,
    MODE_FAIL,
    MODE_FLOOD,
    MODE_DIE,
    MODES,
    MODE_DIE_AT_END = 8,
    MODE_IPV6 = 16,         /* its address is one */
    MODE_UNIX = 32,         /* it has none */
    MODE_OTHER_FRAMING = 64 /* it comes by a listener whose framing is a guest */
};

struct client {
    struct remote peer;
    int fd;        /* its socket, -1 when it has none */
    int server_fd; /* the worker's end */
    bool eof;      /* it has read all there was */
    uint8_t mode;
    uint8_t listener;    /* by which it has come */
    struct sealed *tls;  /* NULL: it does not speak TLS */
    char address[64];    /* what mario_peer() is to say */
    uint32_t turn_calls; /* inline functions in this pass of the loop */
    CONN *conn;          /* from the connected hook to the end hook */
    struct bytes outbox; /* what it wants to send; outbox.data[0 .. pushed-1] has gone */
    size_t pushed;
};

struct business {
    struct shard *shard;
    struct client clients[CLIENTS];
    sem_t gate;               /* an offloaded function waits here until the script lets it go on */
    _Atomic unsigned at_gate; /* functions that wait there */
    jmp_buf death;            /* the worker's thread ends in a function: on with a successor */
    struct bufferevent *kept; /* what an inline function wrote with, and nobody may any more */
    uint64_t calls, deaths, ends[REASON_COUNT];
    uint64_t references, cleanups; /* pieces of replies that were the application's, and those it got back */
    uint64_t closed_fds,
        lost_fds; /* descriptors that functions closed; those the worker had to find out about */
    void (*on_closed_fd)(int fd);
    uint64_t bytes_sent, bytes_got; /* by clients */
    bool any_dropped;               /* one of them has closed its socket with answers unread */
};
extern struct business business;

/* Register them all, as ids FIRST_ID .. FIRST_ID + business_count() - 1, and the hooks. */
void business_setup(struct shard *s);
unsigned business_count(void);
enum place business_where(uint16 akg_id);

#endif
