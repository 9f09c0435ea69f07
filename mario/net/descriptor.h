/*
 * descriptor.h: which connection has which descriptor, for the whole process. An application may close the socket of a
 * connection, though it must not: the kernel then gives the number to whoever asks next, and what is done to it is done
 * to somebody else. So a worker notes its connections here, and the master asks when it accepts: a number that is noted
 * was closed by the application.
 *
 * An owner is a number that is not 0. Beyond the table, which is as large as the descriptor limit was, nothing is
 * known: all are owners of all. 4 bytes a descriptor, touched when used.
 */
#ifndef MARIO_NET_DESCRIPTOR_H
#define MARIO_NET_DESCRIPTOR_H

#include <stdbool.h>
#include <stdint.h>

/* Make the table for descriptors below `limit`; no thread uses one. False without memory. A larger one stays. */
__attribute__((warn_unused_result)) bool descriptor_setup(uint32_t limit);

/* A worker: it is this owner's from here on; whether it still is; it is nobody's from here on, if it still was. */
void descriptor_note(int fd, uint32_t owner);
bool descriptor_is_of(int fd, uint32_t owner);
bool descriptor_forget(int fd, uint32_t owner);

/* Whether the table has this one. Any thread. */
bool descriptor_is_known(int fd);

/* The master, which just got it from the kernel: whose it was, 0 = nobody's. It is nobody's then. */
uint32_t descriptor_take(int fd);

#endif
