/*
 * engine.h: message engines for tests: a redis-server or a nats-server of the test's own, on a free port of the
 * loopback, in a directory of its own. It dies with the thread that started it. All functions are for that thread,
 * fail the test with a message when they cannot do what they say, and wait with a deadline of their own.
 */
#ifndef TEST_ENGINE_H
#define TEST_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum engine_kind { ENGINE_REDIS, ENGINE_NATS };

/* Leave zero what is not needed. Texts live as long as the engine. */
struct engine_options {
    const char *user, *password; /* of NATS both or none; of Redis a user is one beside the default one */
    const char *address;         /* NULL: 127.0.0.1 */
    const char *netns;           /* it lives in this network namespace: a file such as /proc/PID/ns/net */
    const char *memory;          /* Redis: maxmemory, "2mb", never evicting */
    const char *pubsub_limit;    /* Redis: client-output-buffer-limit of subscribers, "64kb 64kb 1" */
    bool persists;               /* Redis: what it knows outlives it */
    const char *config;          /* NATS: what its configuration says besides */
    bool jetstream;              /* NATS; what it stores outlives it */
};

struct engine {
    enum engine_kind kind;
    struct engine_options options;
    pid_t pid;        /* 0: it does not run */
    uint16_t port;    /* the same after engine_restart() */
    int port_hold;    /* as long as it is open nobody else gets the port; 0: none */
    char address[80]; /* "127.0.0.1:PORT", for the option of a cluster */
    char dir[80];     /* its log is DIR/log; removed by engine_end() */
    int ask;          /* a connection of the test's to it, or -1 */
};

/* Why there is no such engine here, for TEST_SKIP(); NULL if there is. Static text. */
const char *engine_missing(enum engine_kind kind);

/* Start it, and wait until it answers; o may be NULL. */
void engine_start(struct engine *e, enum engine_kind kind, const struct engine_options *o);
/* Find a place for one that does not run yet: port and address. engine_restart() starts it. */
void engine_place(struct engine *e, enum engine_kind kind, const struct engine_options *o);
/* Start it again on the same port, with options that may have been changed. */
void engine_restart(struct engine *e);

/* End it at once, as by SIGKILL; it may be frozen. Nothing if it does not run. */
void engine_kill(struct engine *e);
/* Stop it as by SIGSTOP: its sockets stay; have it go on. */
void engine_freeze(struct engine *e);
void engine_thaw(struct engine *e);
/* Kill it, and remove its directory. Nothing after the first time. */
void engine_end(struct engine *e);

/* Ask Redis, words separated by spaces: engine_ask(&e, text, sizeof text, "PUBSUB NUMSUB %s", name). The answer as
 * text: an array's elements separated by spaces, an error with a '-' in front, nil as "nil". */
void engine_ask(struct engine *e, char *text, size_t size, const char *command, ...)
    __attribute__((format(printf, 4, 5)));
/* The same for an answer that is a number, or an array that ends with one. */
int64_t engine_number(struct engine *e, const char *command, ...) __attribute__((format(printf, 2, 3)));

#endif
