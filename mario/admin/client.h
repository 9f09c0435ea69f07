/*
 * client.h: somebody at a door of the admin thread: bytes in, one request at a time, bytes out; ten seconds in all. The
 * admin thread's.
 */
#ifndef MARIO_ADMIN_CLIENT_H
#define MARIO_ADMIN_CLIENT_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stdint.h>

#include "mario/admin/answer.h"
#include "mario/admin/command.h"
#include "mario/admin/words.h"
#include "mario/base/stats.h"

struct client;

enum client_way { CLIENT_NEW, CLIENT_LINES, CLIENT_HTTP };

struct client {
    struct bufferevent *bev;
    struct event *deadline;
    struct event *pause; /* a refusal that waits: */
    void (*paused)(struct client *c);
    enum client_way way;
    bool is_unix;
    bool busy;                   /* a request is being answered: no other is looked at */
    bool eof;                    /* nothing more comes */
    bool closing;                /* nothing more is looked at: what was written goes out, then it ends */
    bool ended;                  /* its own half is shut */
    struct mario_answer *answer; /* that is waited for; NULL */
    enum answer_form form;
    bool keep_alive; /* HTTP */
    bool head_only;  /* HTTP: a HEAD */
    char name[80];   /* for the log */
    void (*gone)(struct client *c);
};

/* Take over a socket, which is closed if that fails: NULL. gone(c) is called when the client is no more, before it is
 * freed. */
struct client *client_create(int fd, bool is_unix, const char *name, void (*gone)(struct client *c));
/* At once, whatever it waits for. */
void client_destroy(struct client *c);

/* ---- For lines.c and http.c ---- */

/* Run a command that was found, with the words behind its name. The way's reply comes now or later. */
void client_run(struct client *c, const struct command *command, uint32_t argc, const char *const *argv,
                enum answer_form form);
/* Its bytes: what came, where answers go. */
struct evbuffer *client_input(const struct client *c);
struct evbuffer *client_output(const struct client *c);
/* Call f(c) in a second; until then it is busy. False without memory. */
bool client_wait(struct client *c, void (*f)(struct client *c));
/* Count it, and say it in the log, some times a second at most. */
void client_refused(const struct client *c, enum counter counter, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- The two ways ---- */

/* Take a request out of the input, if it is there, and answer it or begin to. False if there is none. */
bool lines_take(struct client *c);
bool http_take(struct client *c);
/* The answer to the one that was taken last. */
void lines_reply(struct client *c, const struct mario_answer *a);
void http_reply(struct client *c, const struct mario_answer *a);

#endif
