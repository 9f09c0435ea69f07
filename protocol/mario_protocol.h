/*
 * mario_protocol.h: what goes over the wire for maritcp's commands: ids and packed structs, nothing else.
 * All numbers are little-endian, no padding. A packet is a HEAD followed by the struct named here, and by bytes
 * without a meaning of their own where "+ bytes" stands: as many as the packet has, none too.
 */
#ifndef MARIO_PROTOCOL_H
#define MARIO_PROTOCOL_H

#include <stdint.h>

enum mario_cmd {
    CMD_FUNCTION_BASE = 0x6100,
    CMD_FUNCTION_LOGIN = 0x6101,     /* LOGIN_REQ -> bare HEAD with the request's stx and akg_id */
    CMD_FUNCTION_SAY_HELLO = 0x6102, /* anything -> HEAD + "hello" (5 bytes, no NUL) */
    CMD_FUNCTION_ECHO = 0x6103,      /* anything -> the packet itself */

    /* These are for who has logged in; before LOGIN is answered they end the connection. */
    CMD_FUNCTION_PUSH_TO = 0x6104, /* PUSH_TO_REQ + bytes -> bare HEAD: accepted */
    CMD_FUNCTION_PUSHED = 0x6105,  /* from the server: PUSHED_MSG + bytes, to all connections of the user */
    CMD_FUNCTION_JOIN = 0x6106,    /* GROUP_REQ -> bare HEAD */
    CMD_FUNCTION_LEAVE = 0x6107,   /* GROUP_REQ -> bare HEAD */
    CMD_FUNCTION_SAY = 0x6108,     /* GROUP_REQ + bytes, SAY_MAX at most -> no answer */
    CMD_FUNCTION_SAID = 0x6109,    /* from the server: SAID_MSG + bytes, to all members but who said it */
    CMD_FUNCTION_WHO = 0x610a,     /* GROUP_REQ -> WHO_RSP */

    /* From the server, to whoever is there, before it closes: it is about to be taken down. */
    CMD_FUNCTION_GO_AWAY = 0x610b, /* GO_AWAY_MSG */

    /* Words of addresses with proto=line id=word: their lines get these ids, and `hello` that of SAY_HELLO. */
    CMD_FUNCTION_WORD_ECHO = 0x6140, /* echo TEXT -> the line itself */
    CMD_FUNCTION_WORD_HELP = 0x6141, /* help -> the words there are */
    CMD_FUNCTION_WORD_QUIT = 0x6142, /* quit -> bye, and the server closes */
    CMD_FUNCTION_WORD_OTHER = 0x6143 /* anything else -> a line that says so */
};

/* Instead of a bare HEAD LOGIN, PUSH_TO, JOIN and LEAVE may be answered with HEAD + REFUSED: nothing of it is done. */
typedef struct refused {
    uint8_t why; /* one of these */
} __attribute__((packed)) REFUSED;

enum {
    REFUSED_TAKEN =
        1, /* LOGIN: the uid is logged in elsewhere and login.policy is refuse_new; the server closes */
    REFUSED_BUSY = 2 /* no room or no memory for it: try again later */
};

#define SAY_MAX 65517u /* with more bytes SAID would be no packet */

typedef struct login_req {
    uint16_t uid; /* who logs in, 0 .. 65535 */
} __attribute__((packed)) LOGIN_REQ;

typedef struct push_to_req {
    uint16_t uid; /* whose connections are to get it */
} __attribute__((packed)) PUSH_TO_REQ;

typedef struct pushed_msg {
    uint16_t from; /* the uid of who sent it */
} __attribute__((packed)) PUSHED_MSG;

typedef struct group_request {
    uint64_t group; /* any number but 0 */
} __attribute__((packed)) GROUP_REQ;

typedef struct said_msg {
    uint64_t group;
    uint16_t from; /* the uid of who said it */
} __attribute__((packed)) SAID_MSG;

typedef struct who_rsp {
    uint64_t count; /* connections in the group now */
} __attribute__((packed)) WHO_RSP;

typedef struct go_away_msg {
    uint16_t seconds; /* after which to connect again, to whatever the balancer gives then */
} __attribute__((packed)) GO_AWAY_MSG;

#define MARITCP_STX 0x8eb69af7u /* maritcp's default magic, server.stx */

#endif
