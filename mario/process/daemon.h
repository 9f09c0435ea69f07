/*
 * daemon.h: what the library needs of mario_daemon() beyond mario_util.h.
 */
#ifndef MARIO_PROCESS_DAEMON_H
#define MARIO_PROCESS_DAEMON_H

/* In a process that a daemon has forked: mario_daemon_ready() says nothing, the daemon does. */
void daemon_leave_word_to_parent(void);

#endif
