/*
 * functions.h: the business functions and hooks of the chat. They run on the connection's worker, check what has come,
 * and hand it to the clerk.
 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "mario/mario.h"

struct chat_settings {
    uint32 login_s; /* seconds a client has to log in */
    uint32 ping_s;  /* seconds between two pings */
    uint32 rate;    /* requests a second that a client may make for long; in a burst ten times as many */
};

/* Register them all, with these settings, and have every client told when the server stops. Before start; 0 or -1. */
sint32 functions_register(const struct chat_settings *settings);
/* When the server has stopped. */
void functions_forget(void);

#endif
