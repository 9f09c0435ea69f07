/*
 * fault.h: what can go wrong with a connection or a reply, as a client sees it: one row a kind, whose name
 * serves counters, JSON and messages. Pure functions, any thread.
 */
#ifndef TEST_FAULT_H
#define TEST_FAULT_H

enum fault {
    FAULT_NONE,
    FAULT_REFUSED,     /* the connection could not be made */
    FAULT_RESET,       /* it was reset */
    FAULT_CLOSED,      /* the server closed it */
    FAULT_BAD_STX,     /* a reply with another stx */
    FAULT_BAD_AKG,     /* a reply with another akg_id */
    FAULT_BAD_LENGTH,  /* a reply with a pkglen that this request cannot get */
    FAULT_BAD_CONTENT, /* a reply with wrong data, out of order, or to no request */
    FAULT_AWAY,        /* the server drains, and told it to come back later: GO_AWAY */
    FAULT_TIMEOUT,     /* no connection or no reply in time */
    FAULT_TLS,         /* a handshake, a certificate or a record of TLS was wrong */
    FAULT_LOCAL,       /* this machine had no descriptor, port or memory left */
    FAULT_COUNT
};

/* "refused", "bad_stx", ... ; "none" for FAULT_NONE. */
const char *fault_name(enum fault f);

/* The same for people: "the connection was reset". */
const char *fault_text(enum fault f);

/* The kind an errno of connect, send or recv belongs to. */
enum fault fault_of_errno(int err);

#endif
