/*
 * clerk.h: the thread that owns the chat's state: who is here, the rooms, what was said in them.
 *
 * Workers check what comes and hand it to the clerk; he alone decides and sends. So the state needs no lock, and since
 * all orders come from one thread, the library's order for one thread is the order for all: every member of a room gets
 * the same lines in the same order, and who joins gets the history and what follows without a seam.
 */
#ifndef CLERK_H
#define CLERK_H

#include "mario/mario.h"

#include <stdbool.h>

#include "chat_protocol.h"

/* What the clerk is told besides the requests of chat_protocol.h and far.h. IN, NOT_IN: it got into the room, by
 * way of the cluster, or did not. */
enum { COMMAND_ARRIVED = 0xff01, COMMAND_GONE = 0xff02, COMMAND_IN = 0xff03, COMMAND_NOT_IN = 0xff04 };

struct guest;
struct seat;

/* Something to be done for a guest. It was checked: word is a name and text is clean, where the request has them. */
struct command {
    struct command *next; /* while it waits */
    struct guest *guest;
    uint16 what; /* enum chat_request or one of the above */
    uint16 len;  /* of text */
    char word[CHAT_NAME];
    char text[];
};

/* A connection that has logged in. It hangs on c->user until it ends; then it is the clerk's to free. */
struct guest {
    /* Set by LOGIN, constant from then on. */
    uint64 id;   /* the connection */
    uint64 user; /* the name as a number */
    char name[CHAT_NAME];
    uint32 since; /* seconds of 1970 */

    /* Its worker's: how much it may still say. */
    uint64 refilled; /* milliseconds */
    uint32 may_say;
    uint32 refused;   /* in a row */
    bool is_replaced; /* told so, and ended; before GONE */

    /* The clerk's. */
    struct guest *next_of_user;
    struct seat *seats;
    uint32 seat_count;

    /* Commands that may not fail for lack of memory. */
    struct command *arrived, *gone;
};

/* A guest without an id. NULL without memory. Any thread; clerk_free_guest() or COMMAND_GONE ends it. */
struct guest *clerk_make_guest(const char name[CHAT_NAME]) __attribute__((warn_unused_result));
void clerk_free_guest(struct guest *g);

/* Start the clerk: before the server, in a thread with its signals blocked, so after mario_init_server(). Stop it when
 * the server has stopped and all end hooks have run: it does what is left and forgets everything. 0 or -1. */
sint32 clerk_start(void);
void clerk_stop(void);

/* Hand a request over: word and text are copied. Any thread; never waits for longer than another one hands over. False:
 * too many wait, or no memory; nothing is done then. */
bool clerk_ask(struct guest *g, uint16 what, const char word[CHAT_NAME], const char *text, uint16 len)
    __attribute__((warn_unused_result));
/* The same for g->arrived and g->gone; always taken. */
void clerk_tell(struct command *cmd);

#endif
