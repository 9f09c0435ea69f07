/*
 * basics.c: help, stats, reasons, listeners, limits, log. The admin thread; all of it is read without a lock.
 */
#include "mario/admin/basics.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "mario/admin/admin.h"
#include "mario/admin/args.h"
#include "mario/admin/command.h"
#include "mario/base/clock.h"
#include "mario/conn/message.h"
#include "mario/net/listen.h"
#include "mario/process/limit.h"

/* ---- help ---- */

static void put_command(struct mario_answer *a, const struct command *c)
{
    mario_answer_object(a, NULL);
    mario_answer_text(a, "command", c->name);
    mario_answer_flag(a, "changes", c->kind == MARIO_COMMAND_CHANGES);
    mario_answer_text(a, "what", c->help);
    mario_answer_text(a, "arguments", c->usage);
    mario_answer_end(a);
}

/* Of those whose name begins with these words. */
static enum mario_answer_when help(struct mario_answer *a, uint32_t argc, const char *const argv[], void *arg)
{
    char name[64] = "";
    uint32_t found = 0;
    (void) arg;
    for (uint32_t i = 0; i < argc; i++)
        snprintf(name + strlen(name), sizeof name - strlen(name), "%s%s", i > 0 ? " " : "", argv[i]);
    mario_answer_list(a, "commands");
    for (uint32_t i = 0; i < command_count(); i++) {
        if (strncmp(command_at(i)->name, name, strlen(name)) == 0) {
            put_command(a, command_at(i));
            found++;
        }
    }
    mario_answer_end(a);
    if (found == 0)
        mario_answer_usage(a, "no command begins with '%s'; `help` names them all", name);
    return MARIO_ANSWER_NOW;
}

/* ---- stats, reasons ---- */

static uint64_t count_of(enum counter c)
{
    return mario_stat_value(admin_view()->server, (uint32_t) c);
}

/* Those whose name begins with the word, if there is one. */
static enum mario_answer_when stats(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                    void *arg)
{
    struct args s = args_of(a, argc, argv);
    const char *prefix = "";
    (void) arg;
    args_word(&s, &prefix);
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    for (int c = 0; c < STAT_COUNT; c++) {
        const char *name = stats_name((enum counter) c);
        if (strncmp(name, prefix, strlen(prefix)) == 0)
            mario_answer_number(a, name, count_of((enum counter) c));
    }
    if (strncmp("log_dropped", prefix, strlen(prefix)) == 0)
        mario_answer_number(a, "log_dropped", mario_log_dropped());
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when reasons(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                      void *arg)
{
    struct args s = args_of(a, argc, argv);
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    mario_answer_list(a, "reasons");
    for (int r = REASON_NONE + 1; r < REASON_COUNT; r++) {
        enum counter c = stats_of_reason((enum reason) r);
        mario_answer_object(a, NULL);
        mario_answer_text(a, "reason", stats_name(c) + sizeof "closed_" - 1);
        mario_answer_number(a, "connections", count_of(c));
        mario_answer_end(a);
    }
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}

/* ---- listeners, limits ---- */

static enum mario_answer_when listeners(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                        void *arg)
{
    struct args s = args_of(a, argc, argv);
    const struct admin_view *v = admin_view();
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    mario_answer_list(a, "listeners");
    for (uint32_t i = 0; i < v->listener_count; i++) {
        uint32_t waiting, most;
        bool known = listen_backlog(v->listeners[i].fd, &waiting, &most);
        mario_answer_object(a, NULL);
        mario_answer_text(a, "address", v->listeners[i].name);
        if (known) {
            mario_answer_number(a, "waiting", waiting);
            mario_answer_number(a, "backlog", most);
        } else {
            mario_answer_null(a, "waiting");
            mario_answer_null(a, "backlog");
        }
        mario_answer_end(a);
    }
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}

/* most 0: there is no limit. */
static void put_limit(struct mario_answer *a, const char *what, uint64_t used, uint64_t most)
{
    mario_answer_object(a, NULL);
    mario_answer_text(a, "limit", what);
    mario_answer_number(a, "used", used);
    if (most > 0)
        mario_answer_number(a, "most", most);
    else
        mario_answer_null(a, "most");
    mario_answer_end(a);
}

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f == NULL)
        return 0;
    if (fscanf(f, "%*u %llu", &pages) != 1)
        pages = 0;
    fclose(f);
    return (uint64_t) pages * (uint64_t) sysconf(_SC_PAGESIZE);
}

static enum mario_answer_when limits(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                     void *arg)
{
    struct args s = args_of(a, argc, argv);
    const struct admin_view *v = admin_view();
    struct rlimit files = {0};
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
    getrlimit(RLIMIT_NOFILE, &files);
    mario_answer_list(a, "limits");
    put_limit(a, "connections", count_of(STAT_opened) - count_of(STAT_closed),
              (uint64_t) v->workernum * v->connnum);
    put_limit(a, "descriptors", limit_open_descriptors(), files.rlim_cur);
    put_limit(a, "bytes of messages", message_memory(), message_limit());
    put_limit(a, "messages waiting", count_of(STAT_push_pending), 0);
    put_limit(a, "bytes resident", resident_bytes(), 0);
    mario_answer_end(a);
    return MARIO_ANSWER_NOW;
}

/* ---- log ---- */

static void put_level(struct mario_answer *a, const char *name, enum mario_log_subsystem in)
{
    static const char *const levels[] = {"err", "warn", "info", "debug"};
    int level = MARIO_LOG_DEBUG;
    while (level > MARIO_LOG_ERR && !log_wants_in(in, (enum mario_log_level) level))
        level--;
    mario_answer_text(a, name, levels[level]);
}

static enum mario_answer_when log_show(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                       void *arg)
{
    struct args s = args_of(a, argc, argv);
    (void) arg;
    if (!args_good(&s))
        return MARIO_ANSWER_NOW;
#define MARIO_LOG_ROW(name) put_level(a, #name, MARIO_LOG_IN_##name);
    MARIO_LOG_SUBSYSTEMS(MARIO_LOG_ROW)
#undef MARIO_LOG_ROW
    mario_answer_number(a, "dropped", mario_log_dropped());
    return MARIO_ANSWER_NOW;
}

static enum mario_answer_when log_level(struct mario_answer *a, uint32_t argc, const char *const argv[],
                                        void *arg)
{
    struct args s = args_of(a, argc, argv);
    const char *levels = NULL;
    char why[256];
    (void) arg;
    if (!args_word(&s, &levels))
        mario_answer_usage(a, "a level is missing: err, warn, info or debug, as in info,conn=debug");
    else if (args_good(&s) && mario_log_levels(levels, why, sizeof why) != 0)
        mario_answer_usage(a, "%s", why);
    else
        log_show(a, 0, NULL, NULL);
    return MARIO_ANSWER_NOW;
}

bool basics_regist(void)
{
    static const struct command rows[] = {
        {"help", "[WORD...]", "what commands there are, all or those that begin with these words",
         MARIO_COMMAND_READS, help, NULL},
        {"stats", "[PREFIX]", "all counters, or those whose name begins so", MARIO_COMMAND_READS, stats,
         NULL},
        {"reasons", "", "how connections ended, and how many each way", MARIO_COMMAND_READS, reasons, NULL},
        {"listeners", "",
         "where the server listens, and how many connections wait in the kernel to be accepted",
         MARIO_COMMAND_READS, listeners, NULL},
        {"limits", "", "what is limited, and how much of it is used", MARIO_COMMAND_READS, limits, NULL},
        {"log show", "", "the levels of the log, and how many lines were lost", MARIO_COMMAND_READS, log_show,
         NULL},
        {"log level", "LEVELS", "set the levels of the log until it is read anew: info,conn=debug",
         MARIO_COMMAND_CHANGES, log_level, NULL},
    };
    return commands_regist(rows, sizeof rows / sizeof rows[0]);
}
