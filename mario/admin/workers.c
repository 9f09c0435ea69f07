/*
 * workers.c: the command `workers`: what each does now, and its thread as the kernel sees it. The admin
 * thread; no worker is asked, so one that is stuck is there as any other.
 */
#include "mario/admin/conns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/admin/admin.h"
#include "mario/admin/args.h"
#include "mario/admin/running.h"
#include "mario/admin/worker_row.h"
#include "mario/exec/where.h"
#include "mario/push/port.h"
#include "mario/worker/worker.h"

struct thread_facts {
    bool known;
    double cpu; /* seconds that it has used */
    int processor;
};

/* What stands behind so many blanks; "" if there are not as many. */
static const char *field(const char *text, int blanks)
{
    while (blanks-- > 0) {
        text = strchr(text, ' ');
        if (text == NULL)
            return "";
        text++;
    }
    return text;
}

/* What /proc says of a thread of this process. Its name, in brackets, may have anything in it: fields are counted from
 * there, which is the second one. */
static struct thread_facts facts_of(int32_t thread)
{
    enum { NAME = 2, USER = 14, SYSTEM = 15, PROCESSOR = 39 };
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return (struct thread_facts){.known = false};
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    const char *name = strrchr(text, ')');
    if (name == NULL)
        return (struct thread_facts){.known = false};
    unsigned long long ticks =
        strtoull(field(name, USER - NAME), NULL, 10) + strtoull(field(name, SYSTEM - NAME), NULL, 10);
    return (struct thread_facts){.known = true,
                                 .cpu = (double) ticks / (double) sysconf(_SC_CLK_TCK),
                                 .processor = atoi(field(name, PROCESSOR - NAME))};
}

static void put_states(struct mario_answer *a, const struct worker *w)
{
    for (uint32_t s = CONN_OPEN; s < CONN_STATES; s++)
        mario_answer_number(a, conn_state_name((enum conn_state) s),
                            atomic_load_explicit(&w->shard.in_state[s], memory_order_relaxed));
}

static void put_load(struct mario_answer *a, uint32_t i)
{
    struct worker_load load = worker_load(i);
    if (load.busy < 0)
        mario_answer_null(a, "busy");
    else
        mario_answer_real(a, "busy", conns_thousandths(load.busy));
    mario_answer_real(a, "lag_ms", conns_thousandths(load.lag * 1000));
}

/* What it runs now, for how long, with whom; where that is, if the watch has asked it. */
static void put_runs(struct mario_answer *a, uint32_t i)
{
    struct running r;
    char what[64], where[WHERE_TEXT] = "";
    const struct where *w = admin_view()->where;
    running_now(i, &r);
    running_print(&r, what, sizeof what);
    bool said = w != NULL && where_read(&w[i], r.what, where);
    mario_answer_text(a, "runs", what);
    if (r.idle || r.conn == 0)
        mario_answer_null(a, "connection");
    else
        mario_answer_id(a, "connection", r.conn);
    mario_answer_text(a, "where", said && where[0] != '\0' ? where : NULL);
}

static void put_thread(struct mario_answer *a, const struct worker *w)
{
    int32_t thread = worker_thread(w);
    struct thread_facts f = facts_of(thread);
    mario_answer_number(a, "thread", (uint64_t) thread);
    if (f.known) {
        mario_answer_real(a, "cpu_s", f.cpu);
        mario_answer_number(a, "processor", (uint64_t) f.processor);
    } else {
        mario_answer_null(a, "cpu_s");
        mario_answer_null(a, "processor");
    }
}

static void put(struct mario_answer *a, uint32_t i)
{
    const struct worker *w = &admin_view()->workers[i];
    mario_answer_object(a, NULL);
    mario_answer_number(a, "worker", i);
    put_states(a, w);
    put_load(a, i);
    mario_answer_number(a, "ring", (uint64_t) worker_ring(w) + port_depth(i));
    mario_answer_number(a, "replaced", worker_replaced(w));
    put_thread(a, w);
    mario_answer_number(a, "held_us", questions_longest(&w->questions) / 1000);
    put_runs(a, i);
    mario_answer_end(a);
}

enum mario_answer_when conns_workers(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                     void *arg)
{
    struct args args = args_of(a, argc, argv);
    (void) arg;
    if (!args_good(&args))
        return MARIO_ANSWER_NOW;
    mario_answer_list(a, "workers");
    for (uint32_t i = 0; i < admin_view()->workernum; i++)
        put(a, i);
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}
