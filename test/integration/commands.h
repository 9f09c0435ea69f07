/*
 * commands.h: what clients of maritcp's commands about others do, for tests. Each fails the test with a message when it
 * does not go as it says. Main thread of a test.
 */
#ifndef ITEST_COMMANDS_H
#define ITEST_COMMANDS_H

#include "harness.h"
#include "protocol/mario_protocol.h"

#define COMMANDS_SOON_MS 8000

/* Send a command with a number of `size` bytes and n bytes behind it. */
void commands_send(int fd, uint16_t akg_id, uint64_t number, size_t size, const void *text, size_t n);
/* Receive its answer: a bare HEAD, or a refusal. */
void commands_bare(int fd, uint16_t akg_id);
void commands_refused(int fd, uint16_t akg_id, int why);

/* Log in; connect and log in; join a group; with the answer. */
void commands_login(int fd, uint16_t uid);
int commands_open(const struct server *s, uint16_t uid);
void commands_join(int fd, uint64_t group);
/* Send a PUSH_TO, whose answer is still to come; a SAY, which has none. */
void commands_push(int fd, uint16_t uid, const char *text);
void commands_say(int fd, uint64_t group, const char *text);
/* How many are in a group; wait until so many are. What was asked on another worker may still be on its way. */
uint64_t commands_who(int fd, uint64_t group);
void commands_await_who(int fd, uint64_t group, uint64_t count);

/* Receive a PUSHED; a SAID. */
void commands_pushed(int fd, uint16_t from, const char *text);
void commands_said(int fd, uint64_t group, uint16_t from, const char *text);
/* Nothing has come to fd before the answer to an ECHO. */
void commands_quiet(int fd);

/* Once all is over: every message for every receiver is accounted for, and nothing else was. */
void commands_ledger(const struct server *s);

#endif
