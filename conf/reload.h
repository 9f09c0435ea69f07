/*
 * reload.h: what maritcp reads anew while it runs, and what it is told by hand.
 *
 * A thread of its own does it, since a disk may hang: it is made when there is something to do for the first time.
 */
#ifndef MARITCP_RELOAD_H
#define MARITCP_RELOAD_H

#include "option.h"

/* What the configuration is, and how to read it again: conf->file; the overrides go on winning. From now on a HUP does
 * it. Main thread, after conf_load() and conf_make_absolute(), in the process that serves. The overrides' texts must
 * stay until the process ends. 0, or -1 after a line on standard error. */
sint32 reload_setup(const struct maritcp_conf *conf, char *const overrides[], uint32 override_count)
    __attribute__((warn_unused_result, nonnull(1)));

/* What is changed by it: the server, once it is made, and what `also` changes besides, which cannot fail. Main thread,
 * before the server runs; `also` is called there and on the thread `conf`. A HUP may have come to a process before this
 * one: with is_restart it is read at once. */
void reload_open(SERVER *server, void (*also)(SERVER *server, const struct maritcp_conf *conf),
                 bool is_restart);
/* No more: the server is about to be freed. Main thread. */
void reload_close(void);

#endif
