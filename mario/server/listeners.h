/*
 * listeners.h: what the listen list asks for, all of it checked: the framing of each entry, whether a PROXY header
 * comes first, and what is done about urgent data. For the thread that makes the server; checking is pure.
 */
#ifndef MARIO_SERVER_LISTENERS_H
#define MARIO_SERVER_LISTENERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/frame/framings.h"
#include "mario/net/listen.h"
#include "mario/net/proxy_rules.h"
#include "mario/server/acceptor.h"

/* What one entry asks for besides its address. */
struct listener_make {
    struct framing framing;
    struct proxy_rules proxy;
    bool marks;      /* the function for urgent data is called: oob=mark */
    bool tls;        /* connections begin with a handshake: tls=NAME */
    int32_t amplify; /* of datagrams: a reply is at most so many times as long as its request */
};

/* What the options of an address ask for, into *out, which is referred to, and refers to the address: their texts stay
 * there. False with one line in why. */
__attribute__((warn_unused_result)) bool listeners_make(const struct listen_address *a,
                                                        const struct framing_world *world,
                                                        struct listener_make *out, char *why, size_t size);

/* Parse a list into all[0 .. LISTEN_MAX-1], and what each asks for into made[0 .. LISTEN_MAX-1], as listeners_make();
 * NULL: only check it. How many there are, or -1 with one line in why. */
int listeners_parse(const char *list, const struct framing_world *world, struct listen_address *all,
                    struct listener_make *made, char *why, size_t why_size);

/* Whether there is a function for what comes in by each of n entries, as far as their options say for which. False
 * after a line on standard error. When all is registered. */
__attribute__((warn_unused_result)) bool listeners_are_served(const struct listener *listeners,
                                                              const struct listener_make *made, uint32_t n,
                                                              const FUNC_PTR *functions);

#endif
