/*
 * privilege.h: becoming a user of few rights. For the thread that makes the server, before there are others.
 */
#ifndef MARIO_PROCESS_PRIVILEGE_H
#define MARIO_PROCESS_PRIVILEGE_H

#include <stdbool.h>
#include <stddef.h>

/* Become "user" or "user:group" for good: its ids alone, no other groups, no capabilities, no_new_privs. NULL,
 * "" or "-": stay who we are. False with what is wrong in why, one line; the process should end then, as some
 * of it may be done. */
__attribute__((warn_unused_result)) bool privilege_drop(const char *user, char *why, size_t size);

#endif
