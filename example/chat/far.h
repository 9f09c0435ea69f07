/*
 * far.h: the other servers of a cluster. Users, rooms and lines reach all of them by libmario-cluster; what is here is
 * what the chat itself must know of them: that lines get their numbers and their history from the cluster, and lists,
 * which the clerks ask each other for.
 *
 * A clerk hears the others by an ear: a connection of the server to itself that is in their group. What he asks goes to
 * that group, an answer to the user that the asker's ear is. Nobody keeps what belongs to another server, so nothing is
 * left of one that is gone.
 */
#ifndef FAR_H
#define FAR_H

#include "clerk.h"

/* Requests between clerks; no client may send them, and none can send to their group. */
enum far_packet {
    FAR_EAR = 0x0200,   /* from the ear to its own server: 16 bytes that only this process knows */
    FAR_ASK = 0x0201,   /* far_ask */
    FAR_ANSWER = 0x0202 /* far_answer */
};

struct far_ask {
    uint64_t from;  /* the user that the asker's ear is */
    uint64_t nonce; /* which question of his */
    uint16_t what;  /* CHAT_NAMES, CHAT_WHO or CHAT_ROOMS */
    char word[CHAT_NAME];
} __attribute__((packed));

struct far_answer {
    uint64_t nonce;
    unsigned char bytes[]; /* chat_named, chat_found, chat_listed; none: no such room or user here */
} __attribute__((packed));

/* Join the cluster: bus is "redis=HOST:PORT[,...]", node a name or NULL. Main thread, after mario_init_server() and
 * before the clerk starts; port: of a TCP address of this server on 127.0.0.1. 0, or -1 after a line on standard error.
 * Without a call the others do nothing and far_is_on() is false. */
sint32 far_start(const char *bus, const char *node, uint16 port);
/* When the server has stopped; before clerk_stop(). */
void far_stop(void);
bool far_is_on(void);
/* Whether a connection's c->user is the ear's. Any thread. */
bool far_is_ear(const struct guest *g);

/* ---- Rooms; any thread ---- */

/* The group of those who hear who comes to a room and goes: its lines have numbers, and nothing else may be among
 * them. */
uint64 far_presence(uint64 room);
/* Members on all servers, as far as is known. */
uint32 far_members(uint64 room);
/* From now on the room's lines have numbers, and the last CHAT_HISTORY are kept. */
bool far_keep_lines(uint64 room);
/* Have g's connection join and get the lines since `seen` of `epoch`; it is told JOINED. If that cannot be the client
 * is told SORRY, and the clerk COMMAND_NOT_IN. The clerk's thread. */
bool far_join(const struct guest *g, uint64 room, uint64 epoch, uint64 seen);
/* A line, before it is sent: its number will be put in. */
void far_number(struct mario_msg *m);

/* ---- Lists; the clerk's thread ---- */

/* Ask the other clerks what cmd asks for; mine[0 .. len-1] is what is to be told of here. False: there are none. */
bool far_ask(const struct command *cmd, const void *mine, size_t len);
/* Another clerk asked: tell him what there is here. */
void far_tell(const struct far_ask *ask, const void *mine, size_t len);
/* Another clerk has answered. */
void far_take(const struct far_answer *answer, size_t len);
/* Answer those who have waited for long enough; milliseconds until there is one, UINT32_MAX: nobody waits. */
uint32 far_sweep(void);

#endif
