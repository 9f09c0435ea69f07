/*
 * ask.c: asking workers and the master. The admin thread; its steps run where they are asked.
 *
 * All memory is the admin thread's: who is asked only writes into its part and says that it is done. What nobody waits
 * for any more stays in the list until all have answered, or their threads have ended.
 */
#include "mario/admin/ask.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/admin/admin.h"
#include "mario/admin/running.h"
#include "mario/base/clock.h"

enum { PART_ALIGN = 64 };

struct asked {
    struct asked *next;
    struct ask ask;
    void *about;
    unsigned char *parts;
    uint32_t count;
    uint32_t first; /* worker of part 0 */
    uint64_t until_ms;
    bool told; /* done() was called */
    struct question questions[];
};

static struct {
    struct asked *all; /* the youngest first */
    struct event *timer;
    bool closed;
    bool looks;
} asks;

static bool is_answered(const struct asked *q, uint32_t i)
{
    return atomic_load_explicit(&q->questions[i].answered, memory_order_acquire);
}

static bool has_all(const struct asked *q)
{
    for (uint32_t i = 0; i < q->count; i++) {
        if (!is_answered(q, i))
            return false;
    }
    return true;
}

static void destroy(struct asked *q)
{
    free(q->about);
    free(q->parts);
    free(q);
}

static void tell(struct asked *q)
{
    q->told = true;
    q->ask.done(q, q->ask.arg);
}

/* Wake up when the time of the next one is over. */
static void set_timer(void)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    for (const struct asked *q = asks.all; q != NULL; q = q->next) {
        if (!q->told && q->until_ms < next)
            next = q->until_ms;
    }
    if (next == UINT64_MAX) {
        event_del(asks.timer);
        return;
    }
    uint64_t ms = next > now ? next - now : 0;
    event_add(asks.timer,
              &(struct timeval){.tv_sec = (time_t) (ms / 1000), .tv_usec = (suseconds_t) (ms % 1000) * 1000});
}

/* done() may ask anew, which puts it in front: what is behind stays. */
void asks_look(void)
{
    uint64_t now = clock_ms();
    if (asks.looks)
        return;
    asks.looks = true;
    for (struct asked *q = asks.all; q != NULL; q = q->next) {
        if (!q->told && (has_all(q) || now >= q->until_ms))
            tell(q);
    }
    for (struct asked **p = &asks.all; *p != NULL;) {
        struct asked *q = *p;
        if (q->told && has_all(q)) {
            *p = q->next;
            destroy(q);
        } else {
            p = &q->next;
        }
    }
    set_timer();
    asks.looks = false;
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    asks_look();
}

/* One that cannot be asked, since too many questions wait there already, is as one that does not answer in time; but
 * nothing is on its way. */
static void put(struct asked *q, uint32_t i)
{
    const struct admin_view *v = admin_view();
    bool master = q->ask.whom == ASK_MASTER;
    struct worker *w = master ? NULL : &v->workers[q->first + i];
    if (!questions_put(master ? v->master : &w->questions, &q->questions[i])) {
        q->questions[i].part = NULL;
        atomic_store_explicit(&q->questions[i].answered, true, memory_order_relaxed);
    } else if (master) {
        doorbell_ring(v->master_bell, v->master_bit);
    } else {
        doorbell_ring(&w->bell, BELL_QUESTION);
    }
}

static struct asked *create(const struct ask *a, uint32_t count)
{
    struct asked *q = calloc(1, sizeof *q + count * sizeof q->questions[0]);
    if (q == NULL)
        return NULL;
    q->ask = *a;
    q->ask.part_size = (a->part_size + PART_ALIGN - 1) / PART_ALIGN * PART_ALIGN;
    q->count = count;
    q->first = a->whom == ASK_ALL || a->whom == ASK_MASTER ? 0 : a->whom;
    q->parts = calloc(count + 1u, q->ask.part_size);
    q->about = malloc(a->about_size > 0 ? a->about_size : 1);
    if (q->parts == NULL || q->about == NULL) {
        destroy(q);
        return NULL;
    }
    if (a->about_size > 0)
        memcpy(q->about, a->about, a->about_size);
    for (uint32_t i = 0; i < count; i++) {
        q->questions[i].step = a->step;
        q->questions[i].part = q->parts + i * q->ask.part_size;
        q->questions[i].about = q->about;
    }
    return q;
}

bool ask(const struct ask *a)
{
    uint32_t count = a->whom == ASK_ALL ? admin_view()->workernum : 1;
    struct asked *q = asks.closed ? NULL : create(a, count);
    if (q == NULL)
        return false;
    q->until_ms = clock_ms() + (a->limit_ms != 0 ? a->limit_ms : ASK_MS);
    q->next = asks.all;
    asks.all = q;
    for (uint32_t i = 0; i < count; i++)
        put(q, i);
    doorbell_ring(admin_bell(),
                  ADMIN_BELL_LOOK); /* all may be answered already: those that could not be asked */
    if (!asks.looks)
        set_timer();
    return true;
}

uint32_t asked_count(const struct asked *q)
{
    return q->count;
}

uint32_t asked_worker(const struct asked *q, uint32_t i)
{
    return q->first + i;
}

void *asked_part(struct asked *q, uint32_t i)
{
    return is_answered(q, i) ? q->questions[i].part : NULL;
}

void ask_why(uint32_t worker, char *text, size_t size)
{
    struct running r;
    char what[64];
    running_now(worker, &r);
    running_print(&r, what, sizeof what);
    snprintf(text, size, "no answer, %s%s", r.idle ? "" : "in ", r.idle ? "between functions" : what);
}

bool asks_setup(struct event_base *base)
{
    asks.closed = false;
    asks.timer = evtimer_new(base, on_time, NULL);
    return asks.timer != NULL;
}

void asks_teardown(void)
{
    asks.closed = true;
    for (struct asked *q = asks.all; q != NULL; q = q->next) {
        if (!q->told)
            tell(q);
    }
    while (asks.all != NULL) {
        struct asked *q = asks.all;
        asks.all = q->next;
        destroy(q);
    }
    if (asks.timer != NULL)
        event_free(asks.timer);
    asks.timer = NULL;
}
