/*
 * commands.c: the server as operators see it. Setup is for the thread that makes the server; commands run on the admin
 * thread, their steps on the master.
 */
#include "mario/server/commands.h"

#include "mario/admin/admin.h"
#include "mario/admin/args.h"
#include "mario/admin/ask.h"
#include "mario/admin/command.h"
#include "mario/base/clock.h"
#include "mario/server/certificate_commands.h"
#include "mario/server/certificates.h"
#include "mario/server/drain_commands.h"
#include "mario/server/dump.h"
#include "mario/server/gate_commands.h"

/* ---- dump ---- */

static bool dump_step(void *who, void *part, const void *about)
{
    (void) part;
    (void) about;
    dump_all(who);
    return false;
}

static void dump_done(struct asked *q, void *arg)
{
    struct mario_answer *a = arg;
    if (asked_part(q, 0) != NULL)
        mario_answer_text(a, "dump", "in the log");
    else
        mario_answer_refuse(a, "the master does not answer");
    mario_answer_done(a);
}

static enum mario_answer_when dump(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    struct args s = args_of(a, argc, argv);
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    if (ask(&(struct ask){.whom = ASK_MASTER, .step = dump_step, .done = dump_done, .arg = a}))
        return MARIO_ANSWER_LATER;
    mario_answer_refuse(a, "no memory");
    return MARIO_ANSWER_NOW;
}

/* ---- Setup ---- */

static bool is_ready(const void *who)
{
    return master_is_ready(who);
}

bool commands_setup(SERVER *s, struct master *m, const struct mario_options *o)
{
    static const struct command rows[] = {
        {"dump", "", "write all that is known of the server into its log", MARIO_COMMAND_CHANGES, dump, NULL},
    };
    static struct admin_listener listeners[LISTEN_MAX];
    const struct acceptor *a = &m->acceptor;
    for (uint32_t i = 0; i < a->listener_count; i++)
        listeners[i] =
            (struct admin_listener){.name = a->listeners[i].address.name, .fd = a->listeners[i].fd};
    struct admin_view v = {.server = s,
                           .is_ready = is_ready,
                           .workers = m->workers,
                           .workernum = m->workernum,
                           .connnum = a->connnum,
                           .stats = m->stats - m->workernum,
                           .activities = m->activities,
                           .where = m->watchdog.where,
                           .offload_threads = o->offload_threads,
                           .listeners = listeners,
                           .listener_count = a->listener_count,
                           .master = &m->questions,
                           .master_who = m,
                           .master_bell = &m->bell,
                           .master_bit = MASTER_BELL_ASK,
                           .certificates = certificates_hold,
                           .started_ms = clock_ms()};
    return commands_regist(rows, sizeof rows / sizeof rows[0]) && gate_commands_regist() &&
           certificate_commands_regist() && drain_commands_regist(s) && admin_setup(&v, o);
}
