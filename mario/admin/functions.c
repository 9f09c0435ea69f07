/*
 * functions.c: the command `functions`: how often each is called, how often it fails, how long it takes. The admin
 * thread; executors count (exec/timing.h), nobody is asked.
 */
#include "mario/admin/conns.h"

#include "mario/admin/args.h"
#include "mario/exec/registry.h"
#include "mario/exec/timing.h"

static const char *thread_of(uint32_t index)
{
    bool offloaded = index < AKG_FIRST_RESERVED && registry_offload_function((uint16_t) index) != NULL;
    if (!offloaded)
        return "worker";
    return registry_offload_is_concurrent((uint16_t) index) ? "offload, concurrent" : "offload";
}

/* In microseconds; null if none was timed. */
static void put_time(struct mario_answer *a, const char *key, const struct timing_sum *sum, double ns)
{
    if (sum->timed > 0)
        mario_answer_real(a, key, conns_thousandths(ns / 1000));
    else
        mario_answer_null(a, key);
}

static void put(struct mario_answer *a, uint32_t index)
{
    struct timing_sum sum;
    char id[16], name[160];
    timing_read(index, &sum);
    timing_name(index, id, sizeof id, name, sizeof name);
    mario_answer_object(a, NULL);
    mario_answer_text(a, "id", id);
    mario_answer_text(a, "name", name);
    mario_answer_text(a, "runs_on", thread_of(index));
    mario_answer_number(a, "calls", sum.calls);
    mario_answer_number(a, "errors", sum.errors);
    mario_answer_number(a, "timed", sum.timed);
    put_time(a, "mean_us", &sum, (double) sum.sum / (double) (sum.timed > 0 ? sum.timed : 1));
    put_time(a, "p50_us", &sum, (double) timing_quantile(&sum, 0.5));
    put_time(a, "p99_us", &sum, (double) timing_quantile(&sum, 0.99));
    mario_answer_end(a);
}

enum mario_answer_when conns_functions(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                       void *arg)
{
    struct args args = args_of(a, argc, argv);
    (void) arg;
    if (!args_good(&args))
        return MARIO_ANSWER_NOW;
    mario_answer_list(a, "functions");
    for (uint32_t i = 0; i < timing_function_count(); i++)
        put(a, timing_function(i));
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}
