/*
 * datagrams.h: what the tests of datagrams share: a server with both doors, and sockets that send datagrams and wait
 * for the answers. Everything fails the test when it cannot do what it says. Main thread of a test.
 */
#ifndef ITEST_DATAGRAMS_H
#define ITEST_DATAGRAMS_H

#include "offloaded.h"

/* Where in server.addresses the first door for datagrams is; the longest packet; how long an answer may take. */
enum { UDP = 1, MOST = 8192, ANSWER_MS = 10000 };

/* A testapp with one door for connections and one for datagrams; or that listens as told. */
void udp_start(struct server *s, const char *const *args);
void udp_start_at(struct server *s, const char *listen, const char *const *args);

/* A socket for datagrams to and from the server's first door for them, or t, alone; one that the kernel gives to this
 * worker, which our port decides. */
int udp_open(const struct server *s);
int udp_open_at(const struct net_target *t);
int udp_open_to(const struct server *s, uint32_t worker);

/* Send a datagram, or a packet as one. */
void udp_put(int fd, const void *data, size_t n);
void udp_put_packet(int fd, uint16_t akg_id, const void *data, size_t n);

/* The next datagram; -1 if there is none in time. */
ssize_t udp_take(int fd, void *data, size_t size, unsigned ms);
/* The next one is a packet of this id; the length of its data. */
size_t udp_take_packet(int fd, uint16_t akg_id, void *data, size_t size);
/* Both. */
size_t udp_ask(int fd, uint16_t akg_id, const void *data, size_t n, void *answer, size_t size);

/* An ECHO of n bytes comes back; and nothing has come before: datagrams of one sender stay in order. */
void udp_echo(int fd, size_t n);
void udp_quiet(int fd);

#endif
