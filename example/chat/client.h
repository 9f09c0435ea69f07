/*
 * client.h: what the files of the person's client share. client.c has the connection and the loop, answers.c what the
 * server says, commands.c what the person says. One thread.
 */
#ifndef CLIENT_H
#define CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

struct room {
    char name[CHAT_NAME];
    uint64_t epoch; /* of the numbers, as JOINED said */
    uint64_t seen;  /* the number of the last line shown */
    bool is_known;  /* seen means something */
};

extern struct client {
    char name[CHAT_NAME];
    struct link link;
    bool welcome;   /* logged in */
    uint64_t since; /* the server's number; 0 = never seen */
    /* Rooms we are in, or are to be in again; the last one is where we speak. */
    struct room rooms[CHAT_SEATS];
    uint32_t room_count;
    bool ends; /* what was asked for is done, or cannot be */
    int exit_code;
} me;

/* client.c: */

/* One line from the client itself. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void show_prompt(void);

struct room *room_find(const char name[CHAT_NAME]);
void room_remove(struct room *r);
/* The room where we speak from now on. NULL: there is no place for one more. */
struct room *room_choose(const char name[CHAT_NAME]);

/* Put a request behind what waits: a name or NULL, a text or NULL. */
void request(enum chat_request what, const char *word, const char *text);
/* Ask for the room, and what was said since we were there. */
void request_room(const struct room *r);
/* Connected and logged in; not this time; that was the last word. */
void welcomed(void);
void log_in_later(void);
void leave_chat(void);

/* answers.c: */

/* Show a packet that is whole. */
void show_answer(const struct packet *p);

/* commands.c: */

/* Do what a line says. */
void do_line(const char *text);

#endif
