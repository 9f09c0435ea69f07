/*
 * drain_commands.c: the commands `drain ...`. They run on the admin thread, and only ask and look.
 */
#include "mario/server/drain_commands.h"

#include <errno.h>
#include <string.h>

#include "mario/admin/args.h"
#include "mario/admin/command.h"

static SERVER *server; /* whom they are about; set before the admin thread runs */

static const char *const states[] = {"none", "delay", "closing", "paused", "done"};
_Static_assert(MARIO_DRAIN_NONE == 0 && MARIO_DRAIN_DELAY == 1 && MARIO_DRAIN_CLOSING == 2 &&
                   MARIO_DRAIN_PAUSED == 3 && MARIO_DRAIN_DONE == 4,
               "states is in the order of the enum");

/* What became of it. */
static void answer(struct mario_answer *a, int32_t rc, const char *missing)
{
    if (rc == 0)
        mario_answer_flag(a, "asked", 1);
    else if (errno == ESHUTDOWN)
        mario_answer_refuse(a, "the server stops: nothing is drained any more");
    else
        mario_answer_refuse(a, "%s", missing);
}

static enum mario_answer_when start(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                    void *arg)
{
    struct args s = args_of(a, argc, argv);
    uint64_t rate = 0;
    (void) arg;
    args_number(&s, "rate=", &rate, 0, MARIO_DRAIN_RATE_MAX);
    if (args_good(&s))
        answer(a, mario_drain(server, (uint32_t) rate), "");
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when pause_it(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                       void *arg)
{
    struct args s = args_of(a, argc, argv);
    (void) arg;
    if (args_good(&s))
        answer(a, mario_drain_pause(server), "no connections are being told to leave now");
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when stop(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args s = args_of(a, argc, argv);
    (void) arg;
    if (args_good(&s))
        answer(a, mario_drain_stop(server), "there is no drain");
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when status(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                     void *arg)
{
    struct args s = args_of(a, argc, argv);
    struct mario_drain d;
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    mario_drain_status(server, &d);
    mario_answer_text(a, "state", states[d.state]);
    mario_answer_flag(a, "ready", mario_is_ready(server));
    mario_answer_number(a, "connections", d.connections);
    mario_answer_number(a, "total", d.total);
    mario_answer_number(a, "left", d.left);
    mario_answer_real(a, "rate", d.rate);
    mario_answer_number(a, "seconds", d.seconds);
    return MARIO_ANSWER_NOW;
}

bool drain_commands_regist(SERVER *s)
{
    static const struct command rows[] = {
        {"drain start", "[rate=CONNECTIONS A SECOND]",
         "tell all connections to go elsewhere, and take no new ones", MARIO_COMMAND_CHANGES, start, NULL},
        {"drain pause", "", "tell nobody more, until the next drain start", MARIO_COMMAND_CHANGES, pause_it,
         NULL},
        {"drain stop", "", "call it off, and take new connections", MARIO_COMMAND_CHANGES, stop, NULL},
        {"drain status", "", "how far it is", MARIO_COMMAND_READS, status, NULL},
    };
    server = s;
    return commands_regist(rows, sizeof rows / sizeof rows[0]);
}
