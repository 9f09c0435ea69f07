/*
 * reload.c: reading the configuration file again, at HUP and when somebody asks; and values that are set by hand.
 * Setting up runs on the main thread; the rest on the thread `conf`, which may wait for a disk: nobody else does then.
 * It asks nobody else, neither who server.user is. In a process that was started again after a death the main thread
 * reads too, before there is anybody to hear a HUP.
 *
 * All or nothing: the file is read and checked whole, then what may fail is tried, then all of it counts at once. A
 * file with a mistake in it is not the one that was meant.
 */
#include "reload.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "job.h"

#define LINE_TEXT 800u /* bytes of changes in one line of the log */

static struct {
    char **overrides;
    uint32 override_count;
    bool once;                        /* the file cannot be read again */
    struct maritcp_conf used;         /* in use; the thread's, once it runs */
    struct maritcp_conf next, before; /* the thread's */
    pthread_mutex_t lock;             /* over the server: it stays while something is being applied */
    SERVER *server;                   /* NULL: none that may be changed */
    void (*also)(SERVER *server, const struct maritcp_conf *conf);
} reload = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* ---- Saying it ---- */

/* Lines with all changes of one kind: "HEAD: CHANGE, CHANGE, ...". */
static void say_changes(LOG_QUEUE *q, enum mario_log_level level, const char *head, enum row_when when,
                        const struct maritcp_conf *from, const struct maritcp_conf *to)
{
    char line[LINE_TEXT + CHANGE_SIZE] = "", one[CHANGE_SIZE];
    size_t used = 0;
    struct rows all = rows_of(from, to);
    for (const struct row *row; (row = rows_next(&all)) != NULL;) {
        if (row->when != when || !change_is(row, from, to))
            continue;
        change_print(row, from, to, one);
        used += (size_t) snprintf(line + used, sizeof line - used, "%s%s", used > 0 ? ", " : "", one);
        if (used < LINE_TEXT - CHANGE_SIZE)
            continue;
        mario_slog(q, level, 1, NULL, "%s: %s", head, line);
        used = 0;
    }
    if (used > 0)
        mario_slog(q, level, 1, NULL, "%s: %s", head, line);
}

/* ---- Applying ---- */

static bool is_log_changed(const struct maritcp_conf *a, const struct maritcp_conf *b)
{
    for (uint32 i = 0; i < conf_row_count; i++) {
        bool is_log = strcmp(conf_rows[i].section, "log") == 0 && conf_rows[i].type != ROW_LEVELS;
        if (is_log && change_is(&conf_rows[i], a, b))
            return true;
    }
    return false;
}

/* Sections that were there before get these files and rules with the reload that follows. */
static bool regist_certificates(const struct maritcp_conf *conf)
{
    for (uint32 i = 0; i < conf->certificate_count; i++) {
        if (regist_tls(&conf->certificates[i]) != 0)
            return false;
    }
    return true;
}

/* Have all count that `next` says. What may fail comes first, and is undone. Returns 0, or -1 with *err set. */
static sint32 apply(const struct maritcp_conf *used, const struct maritcp_conf *next, struct conf_error *err)
{
    struct place place = {.file = next->file[0] != '\0' ? next->file : "config set"};
    if (conf_check_networks(next, next->file, reload.overrides, err) != 0 ||
        conf_check_tls(next, next->file, reload.overrides, err) != 0) {
        mario_reload_failed(reload.server);
        return -1;
    }
    bool log = is_log_changed(used, next);
    if (log && mario_log_setup(&next->log) != 0) {
        mario_reload_failed(reload.server);
        return conf_fail(err, &place, "log", "file", NULL, "%s cannot be opened: %s", next->log_file,
                         strerror(errno));
    }
    if (!regist_certificates(next) || mario_reload_server(reload.server, &next->server) != 0) {
        struct mario_log_options back = used->log;
        regist_certificates(used);
        back.may_be_gone = 1;
        if (log && mario_log_setup(&back) != 0)
            return conf_fail(err, &place, NULL, NULL, NULL,
                             "the server refuses it; the log cannot be put back");
        return conf_fail(err, &place, NULL, NULL, NULL, "the server refuses it, see standard error");
    }
    reload.also(reload.server, next);
    return 0;
}

/* Make `next`, of which only what is live differs, the one in use. Returns 0, or -1 with *err set. */
static sint32 use(LOG_QUEUE *q, const char *head, const struct maritcp_conf *next, struct conf_error *err)
{
    sint32 rc = -1;
    struct place place = {.file = head};
    conf_copy(&reload.before, &reload.used);
    pthread_mutex_lock(&reload.lock);
    if (reload.server == NULL)
        conf_fail(err, &place, NULL, NULL, NULL, "the server does not run");
    else
        rc = apply(&reload.used, next, err);
    pthread_mutex_unlock(&reload.lock);
    if (rc != 0)
        return -1;
    conf_copy(&reload.used, next);
    say_changes(q, MARIO_LOG_INFO, head, LIVE, &reload.before, &reload.used);
    if (strcmp(reload.before.log_level, reload.used.log_level) != 0) { /* the old ones had their say */
        mario_log_levels(reload.used.log_level, NULL, 0);
        slog_info_t(q, "log.level is now %s", reload.used.log_level);
    }
    return 0;
}

/* ---- Reading ---- */

const struct maritcp_conf *reload_used(void)
{
    return &reload.used;
}

const struct maritcp_conf *reload_read(struct conf_error *err)
{
    struct place place = {.file = reload.used.file};
    if (place.file[0] == '\0') {
        place.file = "config";
        conf_fail(err, &place, NULL, NULL, NULL, "there is no file: maritcp was started without");
        return NULL;
    }
    if (reload.once) {
        conf_fail(err, &place, NULL, NULL, NULL, "is no regular file and not read again");
        return NULL;
    }
    if (conf_load_again(&reload.next, reload.used.file, reload.overrides, reload.override_count, err) != 0)
        return NULL;
    conf_align(&reload.next, &reload.used);
    memcpy(reload.next.base, reload.used.base, sizeof reload.next.base);
    if (reload.next.base[0] != '\0' && conf_make_absolute(&reload.next, err) != 0)
        return NULL;
    bool good = conf_check_networks(&reload.next, reload.used.file, reload.overrides, err) == 0 &&
                conf_check_tls(&reload.next, reload.used.file, reload.overrides, err) == 0;
    return good ? &reload.next : NULL;
}

static void say_failure(LOG_QUEUE *q, bool counted, const struct conf_error *err)
{
    slog_err_t(q, "%s; nothing is changed", err->text);
    pthread_mutex_lock(&reload.lock);
    if (reload.server != NULL && !counted)
        mario_reload_failed(reload.server);
    pthread_mutex_unlock(&reload.lock);
}

const struct maritcp_conf *reload_wanted(void)
{
    return &reload.next;
}

const struct maritcp_conf *reload_take(LOG_QUEUE *q, struct conf_error *err)
{
    static struct maritcp_conf mixed; /* the thread's */
    const struct maritcp_conf *next = reload_read(err);
    if (next != NULL) {
        conf_copy(&mixed, &reload.used);
        conf_take_live(&mixed, next);
    }
    if (next == NULL || use(q, "reload", &mixed, err) != 0) {
        say_failure(q, next != NULL, err);
        return NULL;
    }
    say_changes(q, MARIO_LOG_WARN, "reload: only a restart changes", RESTART, &reload.used, next);
    slog_info_t(q, "%s was read again: %u changed, %u need a restart", reload.used.file,
                change_count(&reload.before, &reload.used, LIVE), change_count(&reload.used, next, RESTART));
    return &reload.before;
}

sint32 reload_set(LOG_QUEUE *q, const char *text, struct conf_error *err)
{
    static struct maritcp_conf mixed; /* the thread's */
    conf_copy(&mixed, &reload.used);
    return conf_set(&mixed, text, err) == 0 ? use(q, "config set", &mixed, err) : -1;
}

/* ---- Before and after ---- */

sint32 reload_setup(const struct maritcp_conf *conf, char *const overrides[], uint32 override_count)
{
    reload.overrides = calloc((size_t) override_count + 1, sizeof *reload.overrides);
    if (reload.overrides == NULL) {
        fprintf(stderr, "maritcp: no memory to read the configuration again\n");
        return -1;
    }
    for (uint32 i = 0; i < override_count; i++)
        reload.overrides[i] = overrides[i];
    reload.override_count = override_count;
    reload.once = conf->once;
    conf_copy(&reload.used, conf);
    if (conf->file[0] != '\0')
        regist_log_reopen_func(job_hup, NULL);
    return 0;
}

void reload_open(SERVER *server, void (*also)(SERVER *server, const struct maritcp_conf *conf),
                 bool is_restart)
{
    struct conf_error err;
    LOG_QUEUE *q = is_restart && reload.used.file[0] != '\0' && !reload.once ? create_log_queue() : NULL;
    reload.also = also;
    reload.server = server;
    if (q != NULL)
        reload_take(q, &err);
}

void reload_close(void)
{
    pthread_mutex_lock(&reload.lock);
    reload.server = NULL;
    pthread_mutex_unlock(&reload.lock);
}
