/*
 * slow.c: the command `slow`. The admin thread; the calls were noted by the threads that made them (mario/exec/slow.h).
 */
#include "mario/admin/slow.h"

#include <stdlib.h>
#include <time.h>

#include "mario/admin/args.h"
#include "mario/admin/command.h"
#include "mario/base/clock.h"
#include "mario/exec/timing.h"

enum { ROWS = 20 };

/* What clock_ns() said, in seconds since 1970. */
static double at(uint64_t ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    double ago = (double) (clock_ns() - ns) / 1e9;
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9 - ago;
}

static void put_one(struct mario_answer *a, const struct slow_entry *e)
{
    char id[16], name[64], peer[PEER_TEXT];
    timing_name(e->index, id, sizeof id, name, sizeof name);
    peer_print(&e->peer, peer, sizeof peer);
    mario_answer_object(a, NULL);
    mario_answer_real(a, "at", at(e->when));
    mario_answer_text(a, "function", id);
    mario_answer_text(a, "name", name[0] != '\0' ? name : NULL);
    mario_answer_real(a, "seconds", (double) e->took / 1e9);
    mario_answer_number(a, "packets", e->packets);
    mario_answer_flag(a, "returned", !e->never);
    if (e->conn != 0)
        mario_answer_id(a, "connection", e->conn);
    else
        mario_answer_null(a, "connection");
    mario_answer_text(a, "peer", e->conn != 0 || e->peer.port != 0 ? peer : NULL);
    mario_answer_end(a);
}

void slow_put_list(struct mario_answer *a, const char *key, uint32_t most)
{
    struct slow_entry *all = malloc(most * sizeof *all);
    uint32_t n = all == NULL ? 0 : timing_slow(all, most);
    mario_answer_list(a, key);
    for (uint32_t i = 0; i < n; i++)
        put_one(a, &all[i]);
    mario_answer_end(a);
    free(all);
}

static enum mario_answer_when answer_slow(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                          void *arg)
{
    struct args s = args_of(a, argc, argv);
    uint64_t rows = ROWS;
    (void) arg;
    args_word_number(&s, "N", &rows, 1, MARIO_SLOW_KEEP_MAX);
    if (args_good(&s))
        slow_put_list(a, "slow", (uint32_t) rows);
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when answer_reset(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                           void *arg)
{
    struct args s = args_of(a, argc, argv);
    (void) arg;
    if (args_good(&s))
        timing_slow_reset();
    return MARIO_ANSWER_NOW;
}

static const struct command commands[] = {
    {"slow", "[N]", "the last N calls of functions that took slow.ms or longer", MARIO_COMMAND_READS,
     answer_slow, NULL},
    {"slow reset", "", "forget those that were until now", MARIO_COMMAND_CHANGES, answer_reset, NULL},
};

bool slow_regist(void)
{
    return commands_regist(commands, sizeof commands / sizeof commands[0]);
}
