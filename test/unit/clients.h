/*
 * clients.h: the parts of the clients suite; test_clients.c puts them together.
 */
#ifndef MARIO_UNIT_CLIENTS_H
#define MARIO_UNIT_CLIENTS_H

#include <check.h>

/* Sockets, in test_clients_net.c. */
void clients_net_cases(Suite *s);

/* Mode hold of mario_load and what it is built of, in test_clients_hold.c. */
void clients_hold_cases(Suite *s);

/* Mode push of mario_load, in test_clients_push.c. */
void clients_push_cases(Suite *s);

#endif
