/*
 * screen.h: the terminal: lines that come appear above the one that is being typed. Without a terminal on both sides
 * it reads and writes plain lines. One in a process; one thread.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stdint.h>

#include "chat_protocol.h"

#define SCREEN_LINE 1024 /* bytes of a line that is read, the NUL included */

enum screen_event {
    SCREEN_NOTHING, /* no whole line is there */
    SCREEN_TYPED,   /* a line */
    SCREEN_END      /* the end: Ctrl-D in an empty line, or the end of the file */
};

/* Begin; ending, also by a signal, gives the terminal back as it was. */
void screen_open(void);

/* What stands before what is typed. */
void screen_prompt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Show one line. */
void screen_print(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* What switches to the colour of this number, and back; empty without colours: stdout is no terminal, NO_COLOR is
 * set. */
const char *screen_color(uint64_t number);
const char *screen_dim(void);
const char *screen_plain(void);

/* When standard input can be read: take what is there. Then screen_next() until it says SCREEN_NOTHING. */
void screen_receive(void);
enum screen_event screen_next(char line[SCREEN_LINE]);

/* After a signal, when poll() was interrupted: the size may be another, somebody else may have written. */
void screen_refresh(void);

/* Whether somebody types. */
bool screen_is_terminal(void);

#endif
