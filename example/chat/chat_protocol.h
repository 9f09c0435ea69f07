/*
 * chat_protocol.h: what goes over the wire for the chat: ids and packed structs, nothing else. All numbers are
 * little-endian, no padding. A packet is a HEAD (mario_akg.h) followed by the struct named here; where it ends in an
 * empty array, that takes up what is left of the packet. Nothing counts on the HEAD but the id and the length: the same
 * data may come in any other framing that has both.
 *
 * A name, of a user or of a room, is CHAT_NAME bytes: a-z, 0-9, - and _, then NULs to the end. See words.h.
 * A text is 1 .. CHAT_TEXT bytes of UTF-8 without control characters.
 */
#ifndef CHAT_PROTOCOL_H
#define CHAT_PROTOCOL_H

#include <stdint.h>

#define CHAT_STX     0x31544843u /* the bytes "CHT1" */
#define CHAT_NAME    12
#define CHAT_TEXT    512
#define CHAT_HISTORY 50  /* lines of a room that who joins gets */
#define CHAT_SEATS   16  /* rooms a user can be in */
#define CHAT_SHOWN   500 /* names or rooms that one answer holds at most */

enum chat_request {
    CHAT_LOGIN =
        0x0001, /* chat_word: my name -> WELCOME, or SORRY: try again. Whoever had it until now gets BYE */
    CHAT_JOIN =
        0x0002, /* chat_word or chat_join: a room -> JOINED, the lines from .first on, then what is said there */
    CHAT_LEAVE = 0x0003, /* chat_word: a room -> LEFT */
    CHAT_SAY = 0x0004,   /* chat_words: a room -> SAID to all who are in it, me too */
    CHAT_TELL = 0x0005,  /* chat_words: a user -> TOLD to him and to me */
    CHAT_NAMES = 0x0006, /* chat_word: a room -> NAMED */
    CHAT_WHO = 0x0007,   /* chat_word: a user -> FOUND */
    CHAT_ROOMS = 0x0008, /* nothing -> LISTED */
    CHAT_QUIT = 0x0009,  /* nothing -> what is still to come, then BYE, then the end */
    CHAT_PONG = 0x000a   /* nothing: the answer to PING */
};

enum chat_answer {
    CHAT_WELCOME = 0x0101,  /* chat_welcome */
    CHAT_JOINED = 0x0102,   /* chat_joined */
    CHAT_LEFT = 0x0103,     /* chat_word: the room */
    CHAT_SAID = 0x0104,     /* chat_said */
    CHAT_TOLD = 0x0105,     /* chat_told */
    CHAT_PRESENCE = 0x0106, /* chat_presence */
    CHAT_NAMED = 0x0107,    /* chat_named */
    CHAT_FOUND = 0x0108,    /* chat_found */
    CHAT_LISTED = 0x0109,   /* chat_listed */
    CHAT_PING = 0x010a,     /* nothing: send PONG */
    CHAT_SORRY = 0x010b,    /* chat_sorry */
    CHAT_BYE = 0x010c       /* chat_bye; the connection ends */
};

enum chat_why {
    CHAT_WHY_ASKED = 0, /* BYE: you said QUIT */
    CHAT_WHY_REPLACED =
        1, /* BYE: you have logged in elsewhere. Do not come back, or the two would go on for ever */
    CHAT_WHY_STOPS = 2,    /* BYE: the server stops. Come back in a while */
    CHAT_WHY_FLOOD = 3,    /* BYE: you went on though you were told TOO_FAST */
    CHAT_WHY_LATE = 4,     /* BYE: you did not log in */
    CHAT_WHY_BUSY = 5,     /* SORRY: not now, try again */
    CHAT_WHY_TOO_FAST = 6, /* SORRY: that was one too many, it was dropped */
    CHAT_WHY_NOT_IN = 7,   /* SORRY: you are not in this room */
    CHAT_WHY_NOBODY = 8,   /* SORRY: there is no such user, or no such room */
    CHAT_WHY_TOO_MANY = 9  /* SORRY: you are in CHAT_SEATS rooms */
};

struct chat_word {
    char word[CHAT_NAME];
} __attribute__((packed));

struct chat_words {
    char word[CHAT_NAME];
    char text[];
} __attribute__((packed));

/* Where I was in a room: what was said since then is to come, as far as it is still there. All 0: I was not there. */
struct chat_join {
    char room[CHAT_NAME];
    uint64_t epoch; /* of its JOINED */
    uint64_t seen;  /* the last line that I have */
} __attribute__((packed));

struct chat_welcome {
    uint64_t since; /* when this server began, in microseconds of 1970 */
} __attribute__((packed));

struct chat_joined {
    char room[CHAT_NAME];
    uint64_t
        epoch; /* of the numbers: another one, and all lines count anew. 0: you were in, nothing follows */
    uint64_t first;   /* the number of the line that comes next: one of those that were said before, */
    uint64_t next;    /* up to this one, which is still to be said */
    uint32_t members; /* you too */
} __attribute__((packed));

/* The lines of a room have numbers, without a gap, and everybody gets them in this order. A gap is what you were too
 * slow to read. Number 0: said while a cluster's bus was away, for those at the same server alone. */
struct chat_said {
    char room[CHAT_NAME];
    char from[CHAT_NAME];
    uint64_t number; /* from 1 on */
    uint32_t time;   /* seconds since 1970 */
    char text[];
} __attribute__((packed));

struct chat_told {
    char from[CHAT_NAME];
    char to[CHAT_NAME];
    uint32_t time;
    char text[];
} __attribute__((packed));

struct chat_presence {
    char room[CHAT_NAME];
    char user[CHAT_NAME];
    uint8_t here; /* 1 has come, 0 has gone */
} __attribute__((packed));

struct chat_named {
    char room[CHAT_NAME];
    uint32_t members; /* may be more than are named */
    char names[][CHAT_NAME];
} __attribute__((packed));

struct chat_found {
    char user[CHAT_NAME];
    uint32_t since; /* seconds since 1970 */
    char rooms[][CHAT_NAME];
} __attribute__((packed));

struct chat_listed {
    uint32_t rooms; /* may be more than are listed */
    struct chat_listed_room {
        char room[CHAT_NAME];
        uint32_t members;
    } __attribute__((packed)) each[];
} __attribute__((packed));

struct chat_sorry {
    uint16_t request;     /* enum chat_request */
    uint16_t why;         /* enum chat_why */
    char word[CHAT_NAME]; /* of the request, or NULs */
} __attribute__((packed));

struct chat_bye {
    uint16_t why; /* enum chat_why */
} __attribute__((packed));

#endif
