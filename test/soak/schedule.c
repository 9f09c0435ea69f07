/*
 * schedule.c: drawing troubles, keeping apart those that would spoil each other, beginning and ending them. Main
 * thread.
 */
#include "schedule.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "neighbours.h"

enum { TOGETHER = 6, GAP_MS_MAX = 120, LASTS_MS_MAX = 30000 };

static struct trouble_kind *const tables[] = {wire_troubles,    end_troubles,     function_troubles,
                                              process_troubles, push_troubles,    admin_troubles,
                                              framed_troubles,  browser_troubles, datagram_troubles};
enum { TABLES = sizeof tables / sizeof tables[0] };

static struct {
    struct chance chance;
    const char *only;
    FILE *notes;
    uint64_t began, next_at; /* mono_ns() */
    uint64_t count;
    struct trouble next; /* drawn, not begun; no kind = none */
    struct trouble running[TOGETHER];
    uint32_t together;
    uint32_t recovering; /* bits whose trouble is over, while neighbours still wait */
} sched;

/* ---- Drawing ---- */

static uint32_t weight_of(const struct trouble_kind *k)
{
    return sched.only == NULL || strcmp(k->name, sched.only) == 0 ? k->weight : 0;
}

static struct trouble_kind *draw_kind(void)
{
    uint32_t sum = 0;
    for (int i = 0; i < TABLES; i++) {
        for (struct trouble_kind *k = tables[i]; k->name != NULL; k++)
            sum += weight_of(k);
    }
    uint32_t at = chance_in(&sched.chance, 1, sum);
    for (int i = 0; i < TABLES; i++) {
        for (struct trouble_kind *k = tables[i]; k->name != NULL; k++) {
            if (weight_of(k) >= at)
                return k;
            at -= weight_of(k);
        }
    }
    abort();
}

static void draw(void)
{
    sched.next = (struct trouble){.number = ++sched.count};
    sched.next.kind = draw_kind();
    sched.next.worker = chance_in(&sched.chance, 0, WORKERS - 1);
    sched.next.chance.state = chance_next(&sched.chance);
    sched.next_at = mono_ns() + chance_in(&sched.chance, 0, GAP_MS_MAX) * NS_PER_MS;
}

static uint32_t bits_of(const struct trouble *t)
{
    static const uint32_t bits[] = {
        [NEEDS_NOTHING] = 0,      [NEEDS_WORKER] = 0,     [NEEDS_POOL] = POOL_BIT,
        [NEEDS_ORDER] = ALL_BITS, [NEEDS_ALL] = ALL_BITS, [NEEDS_SILENCE] = ALL_BITS};
    return t->kind->needs == NEEDS_WORKER ? 1u << t->worker : bits[t->kind->needs];
}

static bool may_begin(const struct soak *s, const struct trouble *t)
{
    if (sched.together == TOGETHER || (s->held & bits_of(t)) != 0)
        return false;
    return t->kind->needs != NEEDS_SILENCE || sched.together == 0;
}

/* ---- Beginning and ending ---- */

static bool spoils(const struct trouble *t)
{
    return t->kind->needs == NEEDS_WORKER || t->kind->needs == NEEDS_POOL || t->kind->needs == NEEDS_ALL;
}

static void over(struct soak *s, const struct trouble *t)
{
    if (spoils(t))
        neighbours_clear(s->neighbours, t->held);
    sched.recovering |= t->held;
}

static void begin(struct soak *s)
{
    struct trouble *t = &sched.running[sched.together];
    *t = sched.next;
    sched.next.kind = NULL;
    t->began = mono_ns();
    t->held = bits_of(t);
    s->held |= t->held;
    if (sched.notes != NULL) {
        fprintf(sched.notes, "%10.3f %6" PRIu64 " %-14s worker %u, its seed %" PRIx64 "\n",
                (double) (t->began - sched.began) / NS_PER_S, t->number, t->kind->name, t->worker,
                t->chance.state);
        fflush(sched.notes);
    }
    if (spoils(t))
        neighbours_warn(s->neighbours, t->held, t->kind->needs == NEEDS_ALL ? STOP_MS_MAX : REPLACE_MS);
    t->kind->begin(s, t);
    t->kind->times++;
    if (t->kind->is_over == NULL)
        over(s, t);
    else
        sched.together++;
}

static void go_on(struct soak *s)
{
    for (uint32_t i = 0; i < sched.together;) {
        struct trouble *t = &sched.running[i];
        if (!t->kind->is_over(s, t)) {
            ck_assert_msg(mono_ns() - t->began < (uint64_t) LASTS_MS_MAX * ITEST_SLOW * NS_PER_MS,
                          "trouble %" PRIu64 ", %s, does not come to its end; see %s", t->number,
                          t->kind->name, s->server.dir);
            i++;
            continue;
        }
        over(s, t);
        *t = sched.running[--sched.together];
    }
    if (sched.recovering != 0 && neighbours_are_calm(s->neighbours, sched.recovering)) {
        s->held &= ~sched.recovering;
        sched.recovering = 0;
    }
}

bool schedule_turn(struct soak *s, bool more)
{
    go_on(s);
    if (sched.next.kind == NULL && more)
        draw();
    if (more && mono_ns() >= sched.next_at && may_begin(s, &sched.next))
        begin(s);
    return sched.together == 0 && sched.recovering == 0;
}

/* ---- The rest ---- */

bool schedule_knows(const char *kind)
{
    for (int i = 0; i < TABLES; i++) {
        for (const struct trouble_kind *k = tables[i]; k->name != NULL; k++) {
            if (strcmp(k->name, kind) == 0)
                return true;
        }
    }
    return false;
}

void schedule_begin(uint64_t seed, const char *kind, const char *notes)
{
    sched.chance.state = seed;
    sched.only = kind;
    sched.began = mono_ns();
    if (notes != NULL)
        ck_assert_msg((sched.notes = fopen(notes, "we")) != NULL, "%s: %s", notes, strerror(errno));
}

void schedule_where(char *text, size_t size)
{
    snprintf(text, size, "%.1f s, trouble %" PRIu64, (double) (mono_ns() - sched.began) / NS_PER_S,
             sched.count - (sched.next.kind != NULL));
}

void schedule_report(void)
{
    printf("%" PRIu64 " troubles:\n", sched.count - (sched.next.kind != NULL));
    for (int i = 0; i < TABLES; i++) {
        for (const struct trouble_kind *k = tables[i]; k->name != NULL; k++)
            printf("  %-14s %8" PRIu64 "\n", k->name, k->times);
    }
    if (sched.notes != NULL)
        fclose(sched.notes);
}
