/*
 * login.h: what goes over the wire, and the functions that answer. All numbers are little-endian, no padding. A packet
 * is a HEAD (mario_akg.h) followed by the struct named here.
 */
#ifndef LOGIN_H
#define LOGIN_H

#include "mario/mario.h"

#define LOGIN_STX 0x3142444cu /* the bytes "LDB1" */
#define NAME_SIZE 16          /* bytes of a name on the wire, padded with NULs */

enum {
    CMD_LOGIN = 0x0001,   /* LOGIN_REQ -> LOGIN_RSP */
    CMD_WHO_AM_I = 0x0002 /* nothing -> WHO_RSP; only after a LOGIN that was granted */
};

enum {
    LOGIN_GRANTED = 0,
    LOGIN_DENIED = 1,
    LOGIN_UNAVAILABLE = 2 /* the database has not answered; try again */
};

typedef struct login_req {
    char name[NAME_SIZE];
    uint64 token;
} __attribute__((packed)) LOGIN_REQ;

typedef struct login_rsp {
    HEAD head;
    uint32 answer; /* LOGIN_GRANTED ... */
    uint32 logins; /* of this user so far, this one included; 0 unless granted */
} __attribute__((packed)) LOGIN_RSP;

typedef struct who_rsp {
    HEAD head;
    char name[NAME_SIZE];
} __attribute__((packed)) WHO_RSP;

/* Offloaded: asks the database, and keeps who it is in c->user. A packet of another length ends the connection. */
sint32 login_answer(CONN *c);
/* Inline: c->user says it. Without a LOGIN the connection ends. */
sint32 who_answer(CONN *c);
/* The disconnected hook: takes back what login_answer() kept. Always 0. */
sint32 login_end(CONN *c);

#endif
