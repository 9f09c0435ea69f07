/*
 * dialect.h: what the driver of the push benchmarks says to each kind of server: log in, be a member of a group,
 * publish to one, and what is answered, byte by byte. What goes over a connection here blocks; what goes wrong ends the
 * program with a line. One thread.
 */
#ifndef PUSH_DIALECT_H
#define PUSH_DIALECT_H

#include <stddef.h>
#include <stdint.h>

/* What the longest thing to say has beside its payload. */
#define DIALECT_MORE 128

/* So many groups are joined at once at most. */
#define DIALECT_GROUPS 100
#define DIALECT_ASK    64 /* bytes of one thing that is asked, or answered */

/* Something to ask, and its answer. */
struct talk {
    size_t ask_len, answer_len;
    char ask[DIALECT_GROUPS * DIALECT_ASK], answer[DIALECT_GROUPS * DIALECT_ASK];
};

void talk_ask(int fd, const struct talk *t);
/* Receive the answer, which must be the right one and come within 20 seconds. */
void talk_answer(int fd, const struct talk *t);
/* Receive a line and forget it. */
void talk_skip_line(int fd);

struct dialect {
    const char *name;
    int speaks_first; /* the server says a line before it is asked anything */
    /* Log in as the number-th connection, counted from 0. */
    void (*greet)(struct talk *t, unsigned number);
    /* For each connection when all have greeted: what a server says by itself in its first seconds. May be NULL. */
    void (*settle)(int fd);
    /* Be a member of `count` groups, group[0] .. group[count - 1], being one of `before` already. */
    void (*join)(struct talk *t, const unsigned *group, unsigned count, unsigned before);
    /* Write what a publisher says, or what each other member then gets; returns the length, at most
     * len + DIALECT_MORE. */
    size_t (*publish)(char *out, unsigned group, const char *payload, size_t len);
    size_t (*delivery)(char *out, unsigned group, const char *payload, size_t len);
    /* Returns when the server has taken all that fd published before. */
    void (*barrier)(int fd);
    /* A counter of the server, by its name; NULL if it does not tell any. */
    uint64_t (*stat)(int fd, const char *name);
};

/* The dialect of this name, NULL if there is none. */
const struct dialect *dialect_find(const char *name);

/* Say what is wrong, with errno if it is not 0, and exit 1. */
void fail(const char *what, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
