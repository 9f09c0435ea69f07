/*
 * users.h: which connections are bound to which user, of those users whose home is this worker. The shard's thread;
 * users_count() any. A user with one connection has an entry in the table and nothing else.
 */
#ifndef MARIO_PUSH_USERS_H
#define MARIO_PUSH_USERS_H

#include "mario/push/table.h"

struct users {
    struct table index; /* uid -> its connection's id, or where its ids are; how many */
};

/* False without memory. */
__attribute__((warn_unused_result)) bool users_init(struct users *u);
void users_fini(struct users *u);

enum user_added { USER_ADDED, USER_ADDED_ALREADY, USER_ADDED_NOT /* no memory: nothing has changed */ };
/* Behind those that are there. uid is not 0. */
enum user_added users_add(struct users *u, uint64_t uid, uint64_t id);
/* Whether it was there. */
bool users_remove(struct users *u, uint64_t uid, uint64_t id);
/* The connections, the oldest first: how many, and *ids points to them until the next change. */
uint32_t users_ids(const struct users *u, uint64_t uid, const uint64_t **ids);

/* Any thread: how many. */
uint32_t users_count(const struct users *u, uint64_t uid);

#endif
