/*
 * job.c: the thread `conf`, and the commands of the admin thread that it answers. It is made for the first job, which
 * may come from the log thread (a HUP) or from the admin thread; nobody waits for it.
 */
#include "job.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "renewed.h"

enum job_kind { JOB_RELOAD, JOB_SHOW, JOB_DIFF, JOB_CHECK, JOB_SET };

struct job {
    enum job_kind kind;
    struct mario_answer *answer; /* NULL: nobody asks */
    struct job *next;
    char text[]; /* the word behind the command, or "" */
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t come;
    struct job *first, **last; /* what is to be done */
    bool runs;
    bool hup; /* a HUP has come: any number of them is one */
} jobs = {.lock = PTHREAD_MUTEX_INITIALIZER, .come = PTHREAD_COND_INITIALIZER, .last = &jobs.first};

static struct certificates were, are; /* the thread's, for one job */

/* ---- Answers ---- */

static void put_value(struct mario_answer *a, const char *key, const struct row *row,
                      const struct maritcp_conf *conf)
{
    char value[CONF_LISTEN_SIZE > PATH_MAX ? CONF_LISTEN_SIZE : PATH_MAX];
    value_print(row, conf, value, sizeof value);
    mario_answer_text(a, key, value);
}

static void put_name(struct mario_answer *a, const struct row *row)
{
    mario_answer_format(a, "key", "%s.%s", row->section, row->key);
}

/* What `to` changes of `from`, as objects. */
static void put_changes(struct mario_answer *a, const struct maritcp_conf *from,
                        const struct maritcp_conf *to, bool live, bool restart)
{
    char origin[32];
    mario_answer_list(a, "changes");
    struct rows all = rows_of(from, to);
    for (const struct row *row; (row = rows_next(&all)) != NULL;) {
        if (!change_is(row, from, to) || !(row->when == LIVE ? live : restart))
            continue;
        mario_answer_object(a, NULL);
        put_name(a, row);
        put_value(a, "from", row, from);
        put_value(a, "to", row, to);
        origin_print(row, from, origin, sizeof origin);
        mario_answer_text(a, "was", origin);
        mario_answer_text(a, "takes", row->when == LIVE ? "reload" : "restart");
        mario_answer_end(a);
    }
    mario_answer_end(a);
}

static void put_day(struct mario_answer *a, const char *key, sint64 seconds)
{
    char day[DAY_SIZE];
    text_day(day, seconds);
    mario_answer_text(a, key, day);
}

/* Certificates of `to` whose files have other contents than those of `from`, as objects. */
static void put_renewed(struct mario_answer *a, const struct certificates *from,
                        const struct certificates *to)
{
    mario_answer_list(a, "certificates");
    for (uint32 i = 0; i < to->count; i++) {
        const struct mario_tls_certificate *old = certificate_renews(&to->all[i], from);
        if (old == NULL)
            continue;
        mario_answer_object(a, NULL);
        mario_answer_text(a, "name", to->all[i].name);
        mario_answer_text(a, "subject", to->all[i].subject);
        put_day(a, "until", to->all[i].not_after);
        put_day(a, "was_until", old->not_after);
        mario_answer_end(a);
    }
    mario_answer_end(a);
}

static uint32 count_renewed(const struct certificates *from, const struct certificates *to)
{
    uint32 n = 0;
    for (uint32 i = 0; i < to->count; i++)
        n += certificate_renews(&to->all[i], from) != NULL;
    return n;
}

/* Whether a row is of this section, "" for any; of tls are all [tls NAME] too. */
static bool is_shown(const struct row *row, const char *section)
{
    return section[0] == '\0' || strcmp(row->section, section) == 0 ||
           (row_is_named(row) && strcmp(section, "tls") == 0);
}

static void show(struct mario_answer *a, const char *section)
{
    const struct maritcp_conf *conf = reload_used();
    char origin[32];
    if (section[0] != '\0' && !section_exists(section)) {
        mario_answer_usage(a, "there is no section '%s'", section);
        return;
    }
    mario_answer_text(a, "file", conf->file[0] != '\0' ? conf->file : NULL);
    mario_answer_list(a, "options");
    struct rows all = rows_of(conf, NULL);
    for (const struct row *row; (row = rows_next(&all)) != NULL;) {
        if (row->type == ROW_PORT || !is_shown(row, section))
            continue;
        mario_answer_object(a, NULL);
        put_name(a, row);
        put_value(a, "value", row, conf);
        origin_print(row, conf, origin, sizeof origin);
        mario_answer_text(a, "from", origin);
        mario_answer_text(a, "takes", row->when == LIVE ? "reload" : "restart");
        mario_answer_end(a);
    }
    mario_answer_end(a);
}

static void compare(struct mario_answer *a, enum job_kind kind)
{
    static struct conf_error err;
    const struct maritcp_conf *next = reload_read(&err);
    if (next == NULL) {
        mario_answer_refuse(a, "%s", err.text);
        return;
    }
    mario_answer_text(a, "file", next->file);
    certificates_in_use(&were);
    certificates_in_files(&are, next);
    if (kind == JOB_DIFF) {
        put_changes(a, reload_used(), next, true, true);
        put_renewed(a, &were, &are);
        return;
    }
    mario_answer_number(a, "reload_changes", change_count(reload_used(), next, LIVE));
    mario_answer_number(a, "restart_changes", change_count(reload_used(), next, RESTART));
    mario_answer_number(a, "certificate_changes", count_renewed(&were, &are));
}

static void reload(LOG_QUEUE *q, struct mario_answer *a)
{
    static struct conf_error err;
    certificates_in_use(&were);
    const struct maritcp_conf *before = reload_take(q, &err);
    if (a == NULL)
        return;
    if (before == NULL) {
        mario_answer_refuse(a, "%s; nothing is changed", err.text);
        return;
    }
    mario_answer_text(a, "file", reload_used()->file);
    put_changes(a, before, reload_wanted(), true, true);
    certificates_in_use(&are);
    put_renewed(a, &were, &are);
}

static void set(LOG_QUEUE *q, struct mario_answer *a, const char *text)
{
    static struct conf_error err;
    if (reload_set(q, text, &err) != 0)
        mario_answer_refuse(a, "%s; nothing is changed", err.text);
    else
        mario_answer_text(a, "set", text);
}

/* ---- The thread ---- */

static void work(LOG_QUEUE *q, struct job *j)
{
    switch (j->kind) {
    case JOB_RELOAD:
        reload(q, j->answer);
        break;
    case JOB_SHOW:
        show(j->answer, j->text);
        break;
    case JOB_DIFF:
    case JOB_CHECK:
        compare(j->answer, j->kind);
        break;
    case JOB_SET:
        set(q, j->answer, j->text);
        break;
    }
    if (j->answer != NULL)
        mario_answer_done(j->answer);
    free(j);
}

static void *job_main(void *arg)
{
    LOG_QUEUE *q = create_log_queue(); /* without memory nothing is said */
    (void) arg;
    mario_log_name(q, "conf");
    for (;;) {
        pthread_mutex_lock(&jobs.lock);
        while (jobs.first == NULL && !jobs.hup)
            pthread_cond_wait(&jobs.come, &jobs.lock);
        bool hup = jobs.hup;
        struct job *j = hup ? NULL : jobs.first;
        jobs.hup = false;
        if (j != NULL) {
            jobs.first = j->next;
            jobs.last = jobs.first == NULL ? &jobs.first : jobs.last;
        }
        pthread_mutex_unlock(&jobs.lock);
        if (hup)
            reload(q, NULL);
        else
            work(q, j);
    }
    return NULL;
}

/* Under lock: there is something to do. 0, or an errno value if there is nobody to do it. All signals are others'. */
static int wake(void)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    if (jobs.runs) {
        pthread_cond_signal(&jobs.come);
        return 0;
    }
    sigfillset(&all);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&thread, &attr, job_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    jobs.runs = err == 0;
    return err;
}

void job_hup(LOG_QUEUE *q, void *arg)
{
    (void) arg;
    pthread_mutex_lock(&jobs.lock);
    jobs.hup = true;
    int err = wake();
    pthread_mutex_unlock(&jobs.lock);
    if (err != 0)
        slog_err_t(q, "the configuration is not read again, no thread for it: %s", strerror(err));
}

/* ---- Commands ---- */

/* Under the lock: the thread's from now on. */
static void append(struct job *j)
{
    *jobs.last = j;
    jobs.last = &j->next;
}

/* Have the thread answer it. */
static enum mario_answer_when post(struct mario_answer *a, enum job_kind kind, const char *text)
{
    struct job *j = malloc(sizeof *j + strlen(text) + 1);
    if (j == NULL) {
        mario_answer_refuse(a, "no memory");
        return MARIO_ANSWER_NOW;
    }
    *j = (struct job){.kind = kind, .answer = a};
    memcpy(j->text, text, strlen(text) + 1);
    pthread_mutex_lock(&jobs.lock);
    int err = wake();
    if (err == 0)
        append(j);
    pthread_mutex_unlock(&jobs.lock);
    if (err == 0)
        return MARIO_ANSWER_LATER;
    free(j);
    mario_answer_refuse(a, "no thread for it: %s", strerror(err));
    return MARIO_ANSWER_NOW;
}

static const struct command {
    enum mario_command_kind changes;
    const char *name, *usage, *help;
    enum job_kind kind;
    uint32 least, most; /* words: two of one section, [tls NAME] */
} commands[] = {
    {MARIO_COMMAND_READS, "config show", "[SECTION]", "the options in use, and where each is from", JOB_SHOW,
     0, 2},
    {MARIO_COMMAND_READS, "config diff", "", "what the file says otherwise than what is in use", JOB_DIFF, 0,
     0},
    {MARIO_COMMAND_READS, "config check", "", "read the file and check it, change nothing", JOB_CHECK, 0, 0},
    {MARIO_COMMAND_CHANGES, "config reload", "", "read the file again and use it", JOB_RELOAD, 0, 0},
    {MARIO_COMMAND_CHANGES, "config set", "SECTION.KEY=VALUE", "use this value until the next reload",
     JOB_SET, 1, 2},
};

static enum mario_answer_when run(struct mario_answer *a, uint32 argc, const char *const argv[], void *arg)
{
    const struct command *c = arg;
    if (argc < c->least || argc > c->most) {
        mario_answer_usage(a, "usage: %s %s", c->name, c->usage);
        return MARIO_ANSWER_NOW;
    }
    char text[CONF_LISTEN_SIZE] = "";
    int n = argc > 0
                ? snprintf(text, sizeof text, "%s%s%s", argv[0], argc > 1 ? " " : "", argc > 1 ? argv[1] : "")
                : 0;
    if (n >= (int) sizeof text) {
        mario_answer_usage(a, "up to %zu bytes", sizeof text - 1);
        return MARIO_ANSWER_NOW;
    }
    return post(a, c->kind, text);
}

sint32 job_regist(void)
{
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        const struct command *c = &commands[i];
        if (regist_command(c->changes, c->name, c->usage, c->help, run, (void *) (uintptr_t) c) != 0) {
            fprintf(stderr, "maritcp: the command %s cannot be registered\n", c->name);
            return -1;
        }
    }
    return 0;
}
