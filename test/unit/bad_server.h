/*
 * bad_server.h: a small server that misbehaves as it is told, a process of its own: what clients are to find.
 */
#ifndef MARIO_UNIT_BAD_SERVER_H
#define MARIO_UNIT_BAD_SERVER_H

#include <stdint.h>
#include <sys/types.h>

#define CLIENTS 20 /* that it expects */
#define CULPRIT 3  /* the connection, counted from 0, on which it happens */
#define FULL    10

enum misdeed {
    DEED_NONE,
    DEED_TWICE,      /* an echo is answered twice */
    DEED_WRONG,      /* a byte of an echo is changed */
    DEED_STX,        /* the stx of an echo is */
    DEED_PART,       /* half an echo, then the end */
    DEED_SILENT,     /* no echo */
    DEED_CLOSE,      /* closed instead of an echo */
    DEED_RESET,      /* reset instead of an echo */
    DEED_UNASKED,    /* a second login reply, to no request */
    DEED_FULL,       /* the connections beyond 10 are closed at once */
    DEED_SAID_NOT,   /* it is not told the second broadcast */
    DEED_SAID_TWICE, /* it is told that twice */
    DEED_SAID_WRONG, /* a byte of a broadcast is changed */
    DEED_WHO_FEWER,  /* one member fewer is counted */
    DEED_NO_SAY      /* saying ends the connection */
};

/* Start it on a free port of loopback. It dies with the test; who started it ends it. */
pid_t bad_server_start(enum misdeed deed, uint16_t *port);

#endif
