/*
 * reload.c: reading the configuration file again at HUP. Setting up runs on the main thread; reading on the log
 * thread, which may wait for a disk: nobody else does then. It asks nobody else, neither who server.user is. In a
 * process that was started again after a death the main thread reads too, before there is anybody to hear a HUP.
 *
 * Only log.level is taken over. The rest of the file is checked too, since a file with a mistake in it is not
 * the one that was meant.
 */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct {
    char file[PATH_MAX];
    bool once; /* the file cannot be read again */
    char **overrides;
    uint32 override_count;
    char level[CONF_LEVELS_SIZE]; /* in use; log thread, once it is set up */
} reload;

static void reload_levels(LOG_QUEUE *q, void *arg)
{
    static struct maritcp_conf conf;
    static struct conf_error err;
    (void) arg;
    if (reload.once) {
        slog_warn_t(q, "%s is no regular file and not read again; log.level stays %s", reload.file,
                    reload.level);
        return;
    }
    if (conf_load_again(&conf, reload.file, reload.overrides, reload.override_count, &err) != 0) {
        slog_err_t(q, "%s; log.level stays %s", err.text, reload.level);
        return;
    }
    if (strcmp(conf.log_level, reload.level) == 0 || mario_log_levels(conf.log_level, NULL, 0) != 0)
        return;
    memcpy(reload.level, conf.log_level, sizeof reload.level);
    slog_info_t(q, "log.level is now %s", reload.level);
}

sint32 reload_setup(const struct maritcp_conf *conf, char *const overrides[], uint32 override_count)
{
    if (conf->file[0] == '\0')
        return 0;
    reload.overrides = calloc((size_t) override_count + 1, sizeof *reload.overrides);
    if (reload.overrides == NULL) {
        fprintf(stderr, "maritcp: no memory to read the configuration again\n");
        return -1;
    }
    for (uint32 i = 0; i < override_count; i++)
        reload.overrides[i] = overrides[i];
    reload.override_count = override_count;
    memcpy(reload.file, conf->file, sizeof reload.file);
    reload.once = conf->once;
    memcpy(reload.level, conf->log_level, sizeof reload.level);
    regist_log_reopen_func(reload_levels, NULL);
    return 0;
}

void reload_now(void)
{
    LOG_QUEUE *q = reload.file[0] != '\0' && !reload.once ? create_log_queue() : NULL;
    if (q != NULL)
        reload_levels(q, NULL);
}
