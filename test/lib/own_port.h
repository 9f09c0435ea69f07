/*
 * own_port.h: ports for servers of a test that have to be known before they start, or kept while they do not run. Any
 * thread; no state of its own.
 */
#ifndef TEST_OWN_PORT_H
#define TEST_OWN_PORT_H

#include <stdint.h>

/* A port on which nobody listens, which the kernel gives to no outgoing connection, and which no other test gets until
 * *hold is closed (close-on-exec) or this process has ended. 0 with errno if there is none. */
uint16_t own_port(int *hold);

#endif
