/*
 * member.c: what a connection is in: its record, and leaving it all. The shard's thread.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "mario/base/mem.h"
#include "mario/push/push.h"

/* Address space only: a page of it is touched when one of its connections has a record. */
static bool have_table(struct shard *s)
{
    struct push *p = s->push;
    if (p->members != NULL)
        return true;
    void *all = mmap(NULL, (size_t) s->count * sizeof *p->members, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return false;
    p->members = all;
    return true;
}

struct member *push_make_member(struct shard *s, struct conn *c)
{
    if (c->has_member)
        return s->push->members[c->pub.ind];
    struct member *m = have_table(s) ? mem_alloc(sizeof *m) : NULL;
    if (m == NULL)
        return NULL;
    *m = (struct member){.uid = 0};
    s->push->members[c->pub.ind] = m;
    c->has_member = true;
    return m;
}

static void leave_user(struct shard *s, const struct conn *c, uint64_t uid)
{
    if (uid != 0)
        push_post(s, push_home(uid), &(struct order){.kind = ORDER_USER_END, .id = uid, .other = conn_id(c)});
}

void push_leave_all(struct shard *s, struct conn *c)
{
    struct push *p = s->push;
    struct member *m = push_member(s, c);
    uint64_t group;
    if (m == NULL)
        return;
    c->has_member = false;
    p->members[c->pub.ind] = NULL;
    while ((group = rooms_leave_any(&p->rooms, &m->groups)) != 0)
        push_absent(p, group);
    leave_user(s, c, m->uid);
    leave_user(s, c, m->wanted);
    timers_cancel_all(&p->timers, &m->timers);
    mem_free(m);
}
