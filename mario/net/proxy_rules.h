/*
 * proxy_rules.h: who may say by a PROXY header whose connection it passes on: a listener's options proxy=, trust=,
 * untrusted=. Any thread; pure.
 */
#ifndef MARIO_NET_PROXY_RULES_H
#define MARIO_NET_PROXY_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mario/base/cidr.h"
#include "mario/net/listen.h"

enum { PROXY_NETS = 32 }; /* networks in trust= */

struct proxy_rules {
    bool on;         /* who is trusted begins with a header */
    bool refuses;    /* who is not is reset; else it comes as who it is, and what it sends is data */
    bool trusts_all; /* a unix socket: the file's permissions say who gets there */
    uint32_t count;
    struct cidr trusted[PROXY_NETS];
};

/* As the options of an entry that was parsed say. False with what is wrong with them in why[0 .. size-1]. */
__attribute__((warn_unused_result)) bool
proxy_rules_make(struct proxy_rules *r, const struct listen_address *a, char *why, size_t size);

/* Whether who comes from there has to begin with a header. */
bool proxy_rules_trust(const struct proxy_rules *r, const struct peer *from);

#endif
