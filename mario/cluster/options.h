/*
 * options.h: mario_cluster_options, checked, and what is made of them for the core and the drivers. Any thread; a
 * struct settings belongs to who took it.
 */
#ifndef MARIO_CLUSTER_OPTIONS_H
#define MARIO_CLUSTER_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "mario/cluster/bus.h"
#include "mario/mario_cluster.h"

#define SETTINGS_SERVERS_SIZE  1024u /* of a list, with its NUL */
#define SETTINGS_PASSWORD_SIZE 512u  /* of the password file's first line, with its NUL */

struct settings {
    const struct bus_ops *ops; /* NULL: no bus */
    char servers
        [SETTINGS_SERVERS_SIZE]; /* host:port,host:port: of that bus, without blanks; an IPv6 host is in [] */
    char prefix[MARIO_CLUSTER_PREFIX_MAX + 1];
    char node[MARIO_CLUSTER_NODE_MAX + 1];
    char secret
        [SETTINGS_PASSWORD_SIZE]; /* what these two point into, so a struct settings is not to be copied */
    const char *user, *password;  /* NULL: none */
    uint64_t epoch;               /* random, not 0 */
    uint32_t queue;               /* bytes */
    uint32_t linger_ms, heartbeat_ms, ttl_ms;
};

/* Check o and make *s of it: the password is read, a name made if none is given, the epoch drawn. 0, or an errno as
 * mario_cluster_start() has it, with one line in why[0 .. size-1]: "KEY = VALUE: what is wrong". */
int settings_take(struct settings *s, const struct mario_cluster_options *o, char *why, size_t size);
/* The password is needed no longer. */
void settings_forget(struct settings *s);

#endif
