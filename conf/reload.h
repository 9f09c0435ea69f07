/*
 * reload.h: what maritcp reads anew while it runs.
 */
#ifndef MARITCP_RELOAD_H
#define MARITCP_RELOAD_H

#include "option.h"

/* From now on a HUP signal reads log.level anew from conf->file; the overrides go on winning. Without a file
 * nothing is read. Main thread, after conf_load() and conf_make_absolute(). The overrides' texts must stay
 * until the process ends. 0, or -1 after a line on standard error: no memory. */
sint32 reload_setup(const struct maritcp_conf *conf, char *const overrides[], uint32 override_count)
    __attribute__((warn_unused_result, nonnull(1)));

/* Read it now, as a HUP would. Main thread, after reload_setup() and before the server runs. */
void reload_now(void);

#endif
