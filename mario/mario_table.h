/*
 * mario_table.h: 0.9.9's queues for one producing and one consuming thread, for programs that have queues of
 * their own. The library itself uses none of them.
 *
 * A row is a struct of the application's with uint32 size, producer and consumer, all 0 but size, and an array
 * items of size elements, of which size - 1 can be filled. The producing thread fills what GET_PRODUCER() gave
 * it and says PUT_PRODUCER(); the consuming thread likewise. GET_*() is NULL when there is no room, or nothing.
 * What was written before PUT_PRODUCER() is seen after GET_CONSUMER(). A table has an array rows of such rows;
 * in a row of strings an item is an array of char.
 */
#ifndef MARIO_TABLE_H
#define MARIO_TABLE_H

#include <stddef.h>

#define MARIO_TABLE_READ(index)      __atomic_load_n(&(index), __ATOMIC_ACQUIRE)
#define MARIO_TABLE_NEXT(row, index) (((row)->index + 1) % (row)->size)
#define MARIO_TABLE_MOVE(row, index) \
    __atomic_store_n(&(row)->index, MARIO_TABLE_NEXT(row, index), __ATOMIC_RELEASE)
#define MARIO_TABLE_HAS_ROOM(row) (MARIO_TABLE_NEXT(row, producer) != MARIO_TABLE_READ((row)->consumer))
#define MARIO_TABLE_HAS_ITEM(row) (MARIO_TABLE_READ((row)->producer) != (row)->consumer)

#define GET_PRODUCER(row) (MARIO_TABLE_HAS_ROOM(row) ? &(row)->items[(row)->producer] : NULL)
#define PUT_PRODUCER(row) MARIO_TABLE_MOVE(row, producer)
#define GET_CONSUMER(row) (MARIO_TABLE_HAS_ITEM(row) ? &(row)->items[(row)->consumer] : NULL)
#define PUT_CONSUMER(row) MARIO_TABLE_MOVE(row, consumer)

#define GET_PRODUCER_T(table, rindex) GET_PRODUCER(&(table)->rows[(rindex)])
#define PUT_PRODUCER_T(table, rindex) PUT_PRODUCER(&(table)->rows[(rindex)])
#define GET_CONSUMER_T(table, rindex) GET_CONSUMER(&(table)->rows[(rindex)])
#define PUT_CONSUMER_T(table, rindex) PUT_CONSUMER(&(table)->rows[(rindex)])

#define GET_PRODUCER_STRITEM(row) (MARIO_TABLE_HAS_ROOM(row) ? (row)->items[(row)->producer] : NULL)
#define PUT_PRODUCER_STRITEM(row) MARIO_TABLE_MOVE(row, producer)
#define GET_CONSUMER_STRITEM(row) (MARIO_TABLE_HAS_ITEM(row) ? (row)->items[(row)->consumer] : NULL)
#define PUT_CONSUMER_STRITEM(row) MARIO_TABLE_MOVE(row, consumer)

#endif
