/*
 * crash.h: the last words of a process that dies of a signal: which, where, for whom, and how it came there.
 *
 * The thread that dies fills a crash_record inside the signal's handler, in stages, as it may get no further. Under
 * supervision the record lies in memory shared with the parent, which writes the line (supervise.c); otherwise the
 * handler writes it itself, and then the backtrace as a second line. Then the signal does what it always does, a core
 * dump included.
 */
#ifndef MARIO_PROCESS_CRASH_H
#define MARIO_PROCESS_CRASH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mario/exec/activity.h"
#include "mario/mario_log.h"

enum { CRASH_FRAMES = 48, CRASH_LINE = 4000, CRASH_LINE_MIN = 4, CRASH_LOG = 4096 };

/* How far the handler came: it may fault itself. */
enum crash_stage { CRASH_NONE, CRASH_BEGUN, CRASH_WHERE, CRASH_WHOLE };

/* What a thread runs, as far as it can be told. */
struct crash_where {
    bool is_worker;
    bool in_function; /* a function or hook of a connection runs: the fields below hold */
    bool in_hook;     /* it is a hook: there is no akg_id */
    bool
        in_call; /* nor is there one: it is a timer, a receipt or the like; conn is 0 if it is no connection's */
    bool in_framing; /* likewise, and the call is of a framing */
    bool in_shake;   /* likewise, and it is a step of a handshake of TLS */
    uint32_t worker;
    uint64_t conn; /* the connection's id */
    uint16_t akg_id;
    uint16_t family; /* of the peer: AF_INET, AF_INET6 or AF_UNIX */
    uint16_t port;   /* host order */
    unsigned char address[16];
};

struct crash_record {
    _Atomic int stage; /* enum crash_stage; dying thread (w) -> who writes the line (r) */
    int sig;
    bool is_fault; /* the kernel says that `address` was touched or executed */
    uintptr_t address;
    pid_t thread; /* its id in the kernel */
    struct crash_where where;
    uintptr_t pc; /* where it was when the signal came; 0 = not known */
    int frames;
    void *frame[CRASH_FRAMES]; /* return addresses, innermost first; the handler's own come before pc */
};

/* Where the record goes when this process dies; shared with the parent. Before crash_setup(), which otherwise
 * uses one of its own and has the handler write the line. */
void crash_share(struct crash_record *record);

/* Handle the signals of faults, unless the application does; and crash_thread(). The lines go where crash_append()
 * brings them; what: "process", as which it dies there, a constant. May be called again. Main thread, before there are
 * others. */
void crash_setup(const char *what, const char *log, enum mario_log_format format);

/* The lines go there from now on; a handler that runs meanwhile has the old place or the new one. One thread at a time,
 * once crash_setup() was called. No lock, no heap. */
void crash_log_to(const char *log, enum mario_log_format format);

/* What each thread that runs functions does first: faults_thread(); and this process is the one whose death is
 * recorded, not one that it forks. */
void crash_thread(void);

/* Whether a thread of this process is writing the record, or has. Safe in a handler. */
bool crash_is_dying(void);

/* What the calling thread runs. Safe in a handler. */
void crash_where(struct crash_where *w);

/* What worker number `worker` runs, by its activity. Any thread or process, safe in a handler. */
void crash_where_of(struct crash_where *w, uint32_t worker, const struct activity *b);

/* One line with its newline: the time, "ERROR died: ", head, and what the record says; if it says nothing of what
 * ran, or not of a worker, then what each worker of activities[0 .. count-1] runs. As JSON the object that the log
 * would write of it, without a thread. Returns its length; size is at least CRASH_LINE_MIN. Allocates nothing and
 * is safe in a handler. */
size_t crash_line(char *out, size_t size, enum mario_log_format format, const char *head,
                  const struct crash_record *r, const struct activity *activities, uint32_t count);

/* The record's frames as a second line, as above, of this process: "backtrace of process PID, thread TID: ...". */
size_t crash_trace_line(char *out, size_t size, enum mario_log_format format, const struct crash_record *r);

/* What a process says of itself as crash_line()'s head: "process PID, signal 11 (SIGSEGV), up 3.250 s". */
void crash_head(char *out, size_t size, const char *what, int sig, uint64_t up_ms);

/* Append a line to the file `log`, or send it to syslogd if that says "syslog" or "syslog:FACILITY"; NULL, "-",
 * or if that fails: to standard error. Without waiting for a reader. Safe in a handler. */
void crash_append(const char *log, const char *line, size_t n);

/* Look up the offset of local time anew, for lines to come. Not in a handler; crash_setup() does it. */
void crash_localtime(void);

/* "SIGSEGV", or "" for a signal that has no name here. */
const char *crash_signal_name(int sig);

#endif
