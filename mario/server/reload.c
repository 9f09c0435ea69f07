/*
 * reload.c: options become settings: those with which a server begins, and others while it runs. Any thread that may
 * wait for a disk; of several at the same time the last one counts.
 */
#include "mario/server/server.h"

#include "mario/base/complain.h"
#include "mario/process/notify.h"
#include "mario/server/certificates.h"
#include "mario/server/options.h"
#include "mario/server/rules.h"
#include "mario/tls/context.h"

/* What the options need besides themselves: the files of admission and of certificates, read as the user who reads them
 * again. False after a line on standard error; then nothing is left of it. */
static bool fill(SERVER *s, const struct mario_options *o, const struct tls_policy *policy, struct live *live)
{
    char why[768];
    live->master.rules = rules_make(o, s->workernum, s->connnum, why, sizeof why);
    if (live->master.rules == NULL)
        return complain("%s", why);
    if (certificates_make(policy, &live->worker.tls, why, sizeof why))
        return true;
    rules_free(&live->master.rules);
    return complain("%s", why);
}

bool server_offer(SERVER *s, const struct mario_options *o)
{
    struct live live;
    struct tls_policy policy = {.slim = o->tls_records == MARIO_TLS_SLIM};
    live_of(&live, o);
    bool begun = certificates_begin();
    bool ok = fill(s, o, &policy, &live);
    const struct tls_contexts *contexts = live.worker.tls != NULL ? tls_contexts_hold(live.worker.tls) : NULL;
    if (ok && publish_offer(&s->settings, &live)) {
        certificates_offered(contexts, &policy);
    } else if (ok) {
        rules_free(&live.master.rules);
        tls_contexts_free(&live.worker.tls);
        ok = complain("no memory for new settings");
    }
    tls_contexts_free(&contexts);
    certificates_end(begun);
    return ok;
}

/* ---- Reloading ---- */

static bool reload(SERVER *s, const struct mario_options *o)
{
    int state = s == NULL ? SERVER_STOPPED : atomic_load(&s->state);
    if (state != SERVER_READY && state != SERVER_RUNNING)
        return complain("mario_reload_server: not a server that runs or is about to");
    if (!options_check(o))
        return false;
    if (!server_offer(s, o))
        return false;
    if (server_here == s)
        master_take_settings(&s->master);
    else
        master_wake(&s->master);
    return true;
}

int32_t mario_reload_server(SERVER *s, const struct mario_options *o)
{
    notify_reloading();
    bool done = reload(s, o);
    notify_reloaded(); /* the master, which is woken or who calls this, says both */
    if (!done) {
        mario_reload_failed(s);
        return -1;
    }
    atomic_store_explicit(&s->reload_failed, false, memory_order_relaxed);
    stats_add_shared(STAT_reloads, 1);
    return 0;
}

void mario_reload_failed(SERVER *s)
{
    if (s == NULL)
        return;
    atomic_store_explicit(&s->reload_failed, true, memory_order_relaxed);
    stats_add_shared(STAT_reload_failed, 1);
}

int mario_reload_is_good(const SERVER *s)
{
    return !atomic_load_explicit(&s->reload_failed, memory_order_relaxed);
}

int32_t mario_retime_func(SERVER *s, uint32_t seconds, MARIO_TIMER_FUNC f, void *arg)
{
    return seconds >= 1 && seconds <= MARIO_TIMEOUT_MAX && master_retime(&s->master, seconds, f, arg) ? 0
                                                                                                      : -1;
}
