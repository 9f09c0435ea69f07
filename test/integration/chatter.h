/*
 * chatter.h: what the tests of example/chat share: its server, and users of it as plain connections. Main thread of a
 * test; everything fails the test if it does not go as it says.
 */
#ifndef ITEST_CHATTER_H
#define ITEST_CHATTER_H

#include "example/chat/chat_protocol.h"
#include "harness.h"

/* Start chat-server with these arguments before its address, ending with NULL; NULL = none. */
void chatter_start(struct server *s, const char *const *args);
/* The same on this port, which own_port() has given. */
void chatter_start_at(struct server *s, const char *const *args, uint16_t port);

/* A name as it stands on the wire. Static, valid until the next call but one. */
const char *chatter_word(const char *name);

/* Send a packet with n bytes of data. */
void chatter_send(int fd, uint16_t what, const void *data, size_t n);
/* A request with a name, and a text or NULL. */
void chatter_ask(int fd, uint16_t what, const char *name, const char *text);

/* Receive packets until one with this id comes; of those before only the ids in `skip` may come, which ends with 0. Its
 * data goes to data (size bytes of room). Returns the length of it. */
size_t chatter_recv(int fd, uint16_t what, const uint16_t *skip, void *data, size_t size);
/* The same, PRESENCE and PING may come. */
size_t chatter_await(int fd, uint16_t what, void *data, size_t size);
/* BYE for this reason must come, SAID and others before it or not; then the end. Closes fd. */
void chatter_await_bye(int fd, enum chat_why why);
/* SORRY for this reason must come. */
void chatter_await_sorry(int fd, uint16_t request, enum chat_why why);

/* Connect and log in. */
int chatter_enter(const struct server *s, const char *name);
/* Join a room. Its answer, if not NULL, goes to *joined. */
void chatter_join(int fd, const char *room, struct chat_joined *joined);
/* One line, which all of fds[0 .. n-1] must hear as this number. fds[0] says it. */
void chatter_say(const int *fds, size_t n, const char *room, const char *text, uint32_t number);
/* The next line must be this one. */
void chatter_hear(int fd, const char *room, const char *from, const char *text, uint32_t number);

#endif
