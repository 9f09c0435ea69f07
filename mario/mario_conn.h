/*
 * mario_conn.h: what a business function sees of its connection and of the worker that owns it.
 *
 * Every field belongs to the connection's worker. A business function or hook runs on that thread and may use
 * them until it returns; nothing here may be read or written by another thread. An offloaded function has a CONN
 * of its own for each call: see regist_akg_func_offload().
 */
#ifndef MARIO_CONN_H
#define MARIO_CONN_H

#include "mario_log.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

struct bufferevent;
struct event_base;

/* One of the server's N worker threads, as applications see it. All fields are read-only. In an offloaded
 * function: the connection's worker's number, the queue of the thread that runs it, and no base. */
typedef struct mario_worker {
    uint32 ind;              /* 0 .. workernum-1 */
    LOG_QUEUE *qlog;         /* this worker's log queue: use it from functions that run on this worker */
    struct event_base *base; /* this worker's libevent base: only its own functions may touch it */
} WORKER;

/* One connection. The tag is 0.9.9's, for programs that declare `struct _CONN` themselves. */
#define mario_conn _CONN
typedef struct _CONN {
    int fd;     /* the socket; do not close it, use close_conn() */
    uint32 ind; /* slot in the owner's pool, 0 .. connnum-1; owner->ind and ind name a live one */
    struct bufferevent
        *bufev;    /* write replies with bufferevent_write() while a function or the connected hook of this
                    * connection runs. Never NULL: elsewhere what is written is dropped, counted
                    * (writes_outside) and logged. Do not keep the pointer */
    char *in_buf;  /* the whole packet, HEAD included, contiguous, and a zero byte behind it; valid until the
                    * function returns */
    char *out_buf; /* scratch to build a reply in: max_pkglen bytes, at least 2048; likewise */
    WORKER *owner; /* the worker that runs this connection; the same ind for its whole life, but another
                    * object once a worker that was stuck has been replaced */
    void *user;    /* the application's; NULL on a fresh connection; never touched by the library */
    uint32 cip;    /* the peer's IPv4 address in network order, 0 if it has none: see mario_peer() */
    uint16 cport;  /* the peer's port in network order, 0 if it has none */
    uint16 in_buf_len;  /* bytes in in_buf: the packet's pkglen; 0 in hooks */
    uint16 out_buf_len; /* max_pkglen when the function starts, then the function's to use */
    uint16 err_type;    /* in an end hook: the id given to close_conn(), else one of g_akg_*_id */
} CONN;

struct sockaddr_storage;

/* The name of c's peer: "10.1.2.3:4567", "[2001:db8::1]:4567", or "unix" for one on a unix socket; what came over
 * IPv6 from an IPv4 address has that. In c's own functions and hooks, offloaded ones too, with the CONN they were
 * given, also when the peer has gone. 0, or -1 where c's function does not run, or if it does not fit: 56 bytes are
 * enough, the NUL included. */
sint32 mario_peer(const CONN *c, char *buf, uint32 size);
/* The same as an address: sockaddr_in, sockaddr_in6, or the family AF_UNIX alone. 0 or -1. */
sint32 mario_peer_addr(const CONN *c, struct sockaddr_storage *out);

/* ---- What a balancer says: connections that began with a PROXY header (a listener's proxy=on) ----
 *
 * Their c->cip, c->cport and mario_peer() are the client's, as the header says; those of the balancer's own checks are
 * its own. Like mario_peer() these are for c's own functions and hooks, offloaded ones too; -1 where none of c runs, if
 * it came without a header, if the header does not say, or if it does not fit. */

/* Who is at the other end of the socket: the balancer, as by mario_peer(). 0 or -1. */
sint32 mario_proxy_peer(const CONN *c, char *buf, uint32 size);
/* The host name that the client wanted (AUTHORITY: TLS' server name). 0 or -1; 256 bytes are enough. */
sint32 mario_proxy_authority(const CONN *c, char *buf, uint32 size);
/* What names the connection at the balancer (UNIQUE_ID). Its bytes, 0 .. 128, no NUL behind them, or -1. */
sint32 mario_proxy_unique_id(const CONN *c, void *buf, uint32 size);

/* What was between client and balancer (SSL). Texts are the library's and stay until the function returns; NULL: it
 * does not say. */
struct mario_proxy_ssl_info {
    uint32 client; /* bits: 1 TLS; 2 a certificate of the client came by this connection, 4 by this session */
    uint32 verify; /* 0: that certificate was verified, or there was none */
    const char *version; /* "TLSv1.3" */
    const char *name;    /* the certificate's common name */
    const char *cipher;
};
/* 0 or -1. */
sint32 mario_proxy_ssl(const CONN *c, struct mario_proxy_ssl_info *out);
/* Whether c, in its own function, stands for a datagram (udp: in the listen list): a packet that came by itself, from
 * whoever says that he sent it. No connection is behind it: fd is -1, ind is connnum, user NULL each time, there are no
 * hooks, and mario_conn_id() is 0. What the function writes goes back as one datagram, unless it closes or returns
 * something else than 0. 1 or 0. */
int mario_is_datagram(const CONN *c);

#ifdef __cplusplus
}
#endif

#endif
