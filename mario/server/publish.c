/*
 * publish.c: settings that change while the server runs. Runs on the master; the first version is made by the thread
 * that makes the server.
 */
#include "mario/server/publish.h"

#include <stdlib.h>

const struct settings *publish(struct publisher *p, const struct settings *set)
{
    struct published *n = malloc(sizeof *n);
    if (n == NULL)
        return NULL;
    *n = (struct published){.set = *set, .older = p->newest};
    n->set.version = p->newest == NULL ? 1 : p->newest->set.version + 1;
    p->newest = n;
    p->kept++;
    return &n->set;
}

void publish_tell(struct publisher *p)
{
    for (uint32_t i = 0; i < p->workernum; i++)
        worker_publish(&p->workers[i], &p->newest->set);
}

static void free_behind(struct publisher *p, struct published *last)
{
    while (last->older != NULL) {
        struct published *old = last->older;
        last->older = old->older;
        free(old);
        p->kept--;
    }
}

bool publish_settled(struct publisher *p)
{
    struct published *oldest = p->newest;
    uint64_t least = p->newest->set.version;
    for (uint32_t i = 0; i < p->workernum; i++) {
        uint64_t taken = worker_settings(&p->workers[i]);
        least = taken < least ? taken : least;
    }
    while (oldest->set.version > least)
        oldest = oldest->older;
    free_behind(p, oldest);
    return p->kept == 1;
}

void publish_teardown(struct publisher *p)
{
    if (p->newest == NULL)
        return;
    free_behind(p, p->newest);
    free(p->newest);
    p->newest = NULL;
    p->kept = 0;
}
