/*
 * mortal.h: servers that are made to die, for the suites crash, supervise and others. Main thread of a test.
 */
#ifndef ITEST_MORTAL_H
#define ITEST_MORTAL_H

#include "harness.h"

enum { MORTAL_LINE = 4096 };

/* For launch.env: faults are the crash handler's, also under a sanitizer. */
extern const char *const mortal_env[];

/* Start testapp with these arguments and mortal_env; under supervision with two workers. */
void mortal_start(struct server *s, const char *const *args);
void mortal_start_supervised(struct server *s);

/* The child of a supervising parent; 0 if it has none now. */
pid_t mortal_child(pid_t parent);

/* For itest_wait(): the process (pid_t) is no more; the parent has a child, which goes to now, other than the
 * former. */
struct mortal_next {
    pid_t parent, former, now;
};
bool mortal_is_gone(void *pid);
bool mortal_has_next(void *next);

/* Have it die as told (enum test_death), and wait for the connection's end. Returns the connection's port. */
uint16_t mortal_die(const struct server *s, uint32_t how);

/* Connect at once and be served by the next child. Nobody's connect may be refused. How long it took, ms. */
unsigned mortal_served_again(const struct server *s);

/* The last line of the log that contains text; it must be there. */
void mortal_last_line(const struct server *s, const char *text, char line[MORTAL_LINE]);

#endif
