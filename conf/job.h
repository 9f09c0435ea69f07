/*
 * job.h: the thread `conf`, and what it can be asked. What is in reload.c is only for it, once it runs.
 */
#ifndef MARITCP_JOB_H
#define MARITCP_JOB_H

#include "mario/mario_admin.h"
#include "mario/mario_log.h"

#include "option.h"

/* The commands `config ...`. Main thread, before the server starts. 0, or -1 after a line on standard error. */
sint32 job_regist(void) __attribute__((warn_unused_result));

/* A HUP has come: for regist_log_reopen_func(). The log thread. */
void job_hup(LOG_QUEUE *q, void *arg);

/* ---- reload.c, for that thread ---- */

/* What is in use. Constant until one of the functions below is called. */
const struct maritcp_conf *reload_used(void);
/* What the file says now, the overrides included. NULL with *err set. Stays until the next call. */
const struct maritcp_conf *reload_read(struct conf_error *err);
/* Have it count. What was in use before, or NULL with *err set: then nothing is changed. It is in the log, too. */
const struct maritcp_conf *reload_take(LOG_QUEUE *q, struct conf_error *err);
/* What it said when it was read last. */
const struct maritcp_conf *reload_wanted(void);
/* Have "section.key=value" count. 0, or -1 with *err set: then nothing is changed. */
sint32 reload_set(LOG_QUEUE *q, const char *text, struct conf_error *err);

#endif
