/*
 * users.c: which connections are bound to which user. The shard's thread; users_count() any.
 */
#include "mario/push/users.h"

#include <stdlib.h>
#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"

/* The connections of a user that has several. */
struct devices {
    uint32_t size;
    uint64_t id[];
};

static struct devices *devices_of(uint64_t value)
{
    return (struct devices *) (uintptr_t) value;
}

/* With room for n and a quarter more; NULL without memory, then d is as it was. */
static struct devices *resized(struct devices *d, uint32_t n)
{
    uint32_t size = (n + n / 4) | 3;
    struct devices *other = realloc(d, sizeof *d + size * sizeof d->id[0]);
    if (other != NULL)
        other->size = size;
    return other;
}

/* What stands for a user that is there. */
static void replace(struct users *u, uint64_t uid, uint64_t value, uint32_t count)
{
    CHECK(table_put(&u->index, uid, value, count));
}

/* Where the id is; n if nowhere. Newest first: most that ask are. */
static uint32_t find(const uint64_t *ids, uint32_t n, uint64_t id)
{
    for (uint32_t i = n; i-- > 0;) {
        if (ids[i] == id)
            return i;
    }
    return n;
}

bool users_init(struct users *u)
{
    return table_init(&u->index);
}

static void free_devices(void *arg, uint64_t uid, uint64_t value, uint32_t count)
{
    (void) arg;
    (void) uid;
    if (count > 1)
        mem_free(devices_of(value));
}

void users_fini(struct users *u)
{
    table_each(&u->index, free_devices, NULL);
    table_fini(&u->index);
}

enum user_added users_add(struct users *u, uint64_t uid, uint64_t id)
{
    const uint64_t *ids;
    uint32_t n = users_ids(u, uid, &ids);
    if (n == 0)
        return table_put(&u->index, uid, id, 1) ? USER_ADDED : USER_ADDED_NOT;
    if (find(ids, n, id) < n)
        return USER_ADDED_ALREADY;
    struct devices *d = n == 1 ? NULL : devices_of(*table_value(&u->index, uid));
    if (d == NULL || n == d->size) {
        uint64_t only = ids[0];
        d = resized(d, n + 1);
        if (d == NULL)
            return USER_ADDED_NOT;
        if (n == 1)
            d->id[0] = only;
    }
    d->id[n] = id;
    replace(u, uid, (uintptr_t) d, n + 1);
    return USER_ADDED;
}

bool users_remove(struct users *u, uint64_t uid, uint64_t id)
{
    const uint64_t *ids;
    uint32_t n = users_ids(u, uid, &ids), at = find(ids, n, id);
    if (at == n)
        return false;
    if (n == 1) {
        table_remove(&u->index, uid);
        return true;
    }
    struct devices *d = devices_of(*table_value(&u->index, uid)), *smaller;
    memmove(&d->id[at], &d->id[at + 1], (n - at - 1) * sizeof d->id[0]);
    if (n == 2) {
        replace(u, uid, d->id[0], 1);
        mem_free(d);
        return true;
    }
    if (n < d->size / 2 && (smaller = resized(d, n)) != NULL)
        d = smaller;
    replace(u, uid, (uintptr_t) d, n - 1);
    return true;
}

uint32_t users_ids(const struct users *u, uint64_t uid, const uint64_t **ids)
{
    const uint64_t *value = table_value(&u->index, uid);
    uint32_t n = value == NULL ? 0 : table_count(&u->index, uid);
    *ids = n > 1 ? devices_of(*value)->id : value;
    return n;
}

uint32_t users_count(const struct users *u, uint64_t uid)
{
    return table_count(&u->index, uid);
}
