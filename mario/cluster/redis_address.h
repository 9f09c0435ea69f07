/*
 * redis_address.h: where the servers are. Names are looked up on a thread of their own, for that may take long.
 */
#ifndef MARIO_CLUSTER_REDIS_ADDRESS_H
#define MARIO_CLUSTER_REDIS_ADDRESS_H

#include <netdb.h>
#include <stdbool.h>
#include <stddef.h>

struct redis_address {
    char host[256], port[6];
};

/* Of "host:port,[::1]:port,host" (without a port: 6379). How many there are, at most max; 0 with a line in why. */
unsigned redis_address_list(const char *list, struct redis_address *a, unsigned max, char *why, size_t size);

/* One look-up. The cluster's thread; but for the address itself all is done elsewhere. */
struct redis_lookup;
/* NULL with errno. */
struct redis_lookup *redis_lookup_begin(const struct redis_address *a);
/* Whether it is over; then *found is a list that lives as long as the look-up, or NULL with one line in *why. */
bool redis_lookup_over(struct redis_lookup *l, const struct addrinfo **found, const char **why);
/* Give it up, over or not. *l may be NULL. */
void redis_lookup_end(struct redis_lookup **l);

#endif
