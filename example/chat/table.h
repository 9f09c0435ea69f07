/*
 * table.h: things that are found by a number. They have a struct node as their first field, and belong to whoever put
 * them in. One thread; no allocation.
 */
#ifndef TABLE_H
#define TABLE_H

#include <stdint.h>
#include <stdlib.h>

#define TABLE_BITS 14u

struct node {
    struct node *next;
    uint64_t number;
};

struct table {
    struct node *chains[1u << TABLE_BITS];
};

/* Where the pointer to the node of this number is, or would be. */
static inline struct node **table_place(struct table *t, uint64_t number)
{
    struct node **place = &t->chains[number * 0x9e3779b97f4a7c15u >> (64 - TABLE_BITS)];
    while (*place != NULL && (*place)->number != number)
        place = &(*place)->next;
    return place;
}

static inline void *table_find(struct table *t, uint64_t number)
{
    return *table_place(t, number);
}

/* n->number is not in the table. */
static inline void table_add(struct table *t, struct node *n)
{
    n->next = NULL;
    *table_place(t, n->number) = n;
}

static inline void table_remove(struct table *t, struct node *n)
{
    *table_place(t, n->number) = n->next;
}

#endif
