/*
 * nats_subs.c: the subscriptions of the NATS driver, by channel: 16 bytes a place, at most three of four taken. The
 * cluster's thread.
 */
#include "mario/cluster/nats_inside.h"

#ifdef MARIO_WITH_NATS

#include <stdlib.h>
#include <string.h>

static size_t home_of(const struct sub_table *t, uint64_t key)
{
    return (size_t) (key * UINT64_C(0x9e3779b97f4a7c15) >> 20) & (t->room - 1);
}

static struct sub_slot *slot_of(const struct sub_table *t, uint64_t key)
{
    size_t i = home_of(t, key);
    while (t->slots[i].key != 0 && t->slots[i].key != key)
        i = (i + 1) & (t->room - 1);
    return &t->slots[i];
}

static bool resize(struct sub_table *t, size_t room)
{
    struct sub_table to = {.slots = calloc(room, sizeof *to.slots), .room = room, .n = t->n};
    if (to.slots == NULL)
        return false;
    for (size_t i = 0; i < t->room; i++)
        if (t->slots[i].key != 0)
            *slot_of(&to, t->slots[i].key) = t->slots[i];
    free(t->slots);
    *t = to;
    return true;
}

static natsSubscription **table_place(struct sub_table *t, uint64_t key)
{
    if ((t->n + 1) * 4 > t->room * 3 && !resize(t, t->room == 0 ? 16 : t->room * 2))
        return NULL;
    struct sub_slot *s = slot_of(t, key);
    t->n += s->key == 0;
    s->key = key;
    return &s->sub;
}

/* Those behind it move up, so that there are no gaps to search across. */
static natsSubscription *table_take(struct sub_table *t, uint64_t key)
{
    if (t->n == 0)
        return NULL;
    struct sub_slot *s = slot_of(t, key);
    if (s->key == 0)
        return NULL;
    natsSubscription *sub = s->sub;
    size_t mask = t->room - 1, hole = (size_t) (s - t->slots);
    for (size_t i = (hole + 1) & mask; t->slots[i].key != 0; i = (i + 1) & mask)
        if (((i - home_of(t, t->slots[i].key)) & mask) >= ((i - hole) & mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    t->slots[hole] = (struct sub_slot){0};
    t->n--;
    if (t->room > 64 && t->n * 8 < t->room)
        resize(t, t->room / 2);
    return sub;
}

static struct sub_table *table_of(struct nats_subs *s, const struct channel *c)
{
    return c->kind == CHANNEL_USER ? &s->users : &s->groups;
}

natsSubscription **nats_subs_place(struct nats_subs *s, const struct channel *c)
{
    if (c->kind == CHANNEL_ALL)
        return &s->all;
    if (c->kind != CHANNEL_NODE)
        return table_place(table_of(s, c), c->key);
    struct sub_node *n = s->nodes;
    while (n != NULL && strcmp(n->name, c->node) != 0)
        n = n->next;
    if (n == NULL && (n = calloc(1, sizeof *n)) != NULL) {
        strncpy(n->name, c->node, sizeof n->name - 1);
        n->next = s->nodes;
        s->nodes = n;
    }
    return n == NULL ? NULL : &n->sub;
}

natsSubscription *nats_subs_take(struct nats_subs *s, const struct channel *c)
{
    natsSubscription *sub = NULL;
    if (c->kind == CHANNEL_ALL) {
        sub = s->all;
        s->all = NULL;
    } else if (c->kind != CHANNEL_NODE) {
        sub = table_take(table_of(s, c), c->key);
    } else {
        struct sub_node **n = &s->nodes;
        while (*n != NULL && strcmp((*n)->name, c->node) != 0)
            n = &(*n)->next;
        struct sub_node *gone = *n;
        if (gone != NULL) {
            sub = gone->sub;
            *n = gone->next;
            free(gone);
        }
    }
    return sub;
}

static size_t table_empty(struct sub_table *t, natsSubscription **to)
{
    size_t n = 0;
    for (size_t i = 0; i < t->room; i++)
        if (to != NULL && t->slots[i].sub != NULL)
            to[n++] = t->slots[i].sub;
    free(t->slots);
    *t = (struct sub_table){0};
    return n;
}

natsSubscription **nats_subs_take_all(struct nats_subs *s, size_t more, size_t *n)
{
    size_t room = s->users.n + s->groups.n + 1 + more;
    for (const struct sub_node *node = s->nodes; node != NULL; node = node->next)
        room++;
    natsSubscription **to = malloc(room * sizeof(void *));
    *n = 0;
    *n += table_empty(&s->users, to);
    *n += table_empty(&s->groups, to == NULL ? NULL : to + *n);
    if (to != NULL && s->all != NULL)
        to[(*n)++] = s->all;
    s->all = NULL;
    for (struct sub_node *node = s->nodes, *next; node != NULL; node = next) {
        next = node->next;
        if (to != NULL && node->sub != NULL)
            to[(*n)++] = node->sub;
        free(node);
    }
    s->nodes = NULL;
    return to;
}

#endif
