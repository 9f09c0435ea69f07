/*
 * mario_admin.h: commands of an application for the person who runs it: `maritcp ctl WORDS` and HTTP at
 * /api/WORDS, where mario_options.admin_listen says so. docs/operations.md shows both.
 *
 * A command describes what it answers once, as objects, lists and values; the admin thread shows that as text or as
 * JSON. The outermost object is there already: what is put without beginning another one is a member of it.
 */
#ifndef MARIO_ADMIN_H
#define MARIO_ADMIN_H

#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* An answer that is being made. The admin thread's while the command runs; whose it is afterwards the command says. */
struct mario_answer;

enum mario_answer_when {
    MARIO_ANSWER_NOW, /* it is complete */
    MARIO_ANSWER_LATER /* whoever has it calls mario_answer_done() once, on any thread; until then it is his alone */
};

/* A command: argv[0 .. argc-1] are the words behind its name. Runs on the admin thread and must not block: while it
 * does nobody else is answered. Connections are not its to touch: mario_each_conn() and the like are for that. */
typedef enum mario_answer_when (*MARIO_COMMAND_FUNC)(struct mario_answer *a, uint32 argc,
                                                     const char *const argv[], void *arg);

enum mario_command_kind {
    MARIO_COMMAND_READS,
    MARIO_COMMAND_CHANGES /* over TCP it takes the token; over HTTP a POST */
};

#define MARIO_COMMANDS_MAX 128u

/* Have `name`, one or two words of a-z, 0-9 and _ with a blank between ("room close"), run f. usage: what stands behind
 * it ("ROOM [seconds=N]", or ""); help: one line. The texts are not copied. Before start, from the thread that
 * registers; it stays for all servers of the process. 0, or -1: a name that is wrong or taken, no f, no help, too many,
 * or the server runs. */
sint32 regist_command(enum mario_command_kind kind, const char *name, const char *usage, const char *help,
                      MARIO_COMMAND_FUNC f, void *arg);

/* ---- Putting an answer together ---- */

/* Who has the answer. key: its name in the object that is open, NULL in a list; UTF-8, at most 255 bytes; texts are
 * copied. What comes after an error, or without memory, is dropped: nothing here has to be checked. */
void mario_answer_object(struct mario_answer *a, const char *key); /* begins one */
void mario_answer_list(struct mario_answer *a, const char *key);   /* begins one */
void mario_answer_end(struct mario_answer *a);                     /* ends what was begun last */
void mario_answer_text(struct mario_answer *a, const char *key, const char *text); /* NULL: null */
void mario_answer_format(struct mario_answer *a, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 3, 4))); /* up to 1023 bytes of text */
void mario_answer_number(struct mario_answer *a, const char *key, uint64 value);
void mario_answer_signed(struct mario_answer *a, const char *key, sint64 value);
void mario_answer_real(struct mario_answer *a, const char *key, double value);
void mario_answer_flag(struct mario_answer *a, const char *key, int value); /* 0: no */
void mario_answer_null(struct mario_answer *a, const char *key);
/* A connection's id: a text, "WORKER.SLOT.GENERATION", since 64 bits are no number of JavaScript. */
void mario_answer_id(struct mario_answer *a, const char *key, uint64 id);

/* Instead of an answer: it cannot be done, or not now, and why (exit code 1, HTTP 409); the words behind the command
 * are wrong (2, 400). One line, at most 511 bytes. The first one counts; what was put before is dropped. */
void mario_answer_refuse(struct mario_answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void mario_answer_usage(struct mario_answer *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Whether anybody still waits for it: work that only answers may end early. Still mario_answer_done(). Any thread. */
int mario_answer_is_wanted(const struct mario_answer *a);

/* After MARIO_ANSWER_LATER: it is complete, or refused. Any thread, once; a is not the caller's any more. A client that
 * has left, and a server that has stopped, are no error. */
void mario_answer_done(struct mario_answer *a);

#ifdef __cplusplus
}
#endif

#endif
