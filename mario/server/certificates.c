/*
 * certificates.c: the certificates of the listeners with tls=. Making them is for any thread that may wait for a disk;
 * what is in use is asked by any; certificates_say() is the master's.
 *
 * There is one server in a process, and one set of contexts in use. Who makes new ones holds `making` while files are
 * read and the result is offered, so that of two reloads the later one counts. The other lock is over the pointer
 * alone, for a few instructions: nobody waits for a disk by it.
 */
#include "mario/server/certificates.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "mario/base/stats.h"
#include "mario/net/listen.h"
#include "mario/server/master.h"

static struct {
    pthread_mutex_t making;
    int cancel;                    /* of the thread that holds it: whether it could be cancelled before */
    const char *lists[LISTEN_MAX]; /* of the listeners: constant while the server is there */
    uint32_t count;
    _Atomic bool is_wanted;      /* one of them has tls= */
    struct tls_policy policy;    /* of those in use */
    struct publisher *publisher; /* NULL: no server */
    struct master *master;
    pthread_mutex_t lock;           /* over: */
    const struct tls_contexts *now; /* held */
} certificates = {.making = PTHREAD_MUTEX_INITIALIZER, .lock = PTHREAD_MUTEX_INITIALIZER};

/* Files are opened and read while it is held, and a thread of the application that was cancelled there would never let
 * go of it. */
static void begin_making(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_mutex_lock(&certificates.making);
    certificates.cancel = before;
}

static void end_making(void)
{
    int before = certificates.cancel;
    pthread_mutex_unlock(&certificates.making);
    pthread_setcancelstate(before, NULL);
}

/* ---- Which are in use ---- */

static void use(const struct tls_contexts *contexts)
{
    pthread_mutex_lock(&certificates.lock);
    const struct tls_contexts *before = certificates.now;
    certificates.now = contexts != NULL ? tls_contexts_hold(contexts) : NULL;
    pthread_mutex_unlock(&certificates.lock);
    tls_contexts_free(&before);
}

const struct tls_contexts *certificates_hold(void)
{
    pthread_mutex_lock(&certificates.lock);
    const struct tls_contexts *now = certificates.now;
    if (now != NULL)
        now = tls_contexts_hold(now);
    pthread_mutex_unlock(&certificates.lock);
    return now;
}

int32_t mario_tls_used(uint32_t i, struct mario_tls_certificate *certificate)
{
    const struct tls_contexts *now = certificates_hold();
    bool is_there = now != NULL && i < tls_contexts_count(now);
    if (is_there)
        *certificate = *tls_contexts_at(now, i);
    tls_contexts_free(&now);
    return is_there ? 0 : -1;
}

/* ---- Making them ---- */

void certificates_setup(const struct listener *listeners, uint32_t n, struct publisher *p, struct master *m)
{
    begin_making();
    bool wanted = false;
    certificates.count = n;
    for (uint32_t i = 0; i < n; i++) {
        certificates.lists[i] = listen_option(&listeners[i].address, "tls");
        wanted = wanted || certificates.lists[i] != NULL;
    }
    certificates.is_wanted = wanted;
    certificates.publisher = p;
    certificates.master = m;
    end_making();
}

void certificates_teardown(void)
{
    begin_making();
    certificates.is_wanted = false;
    certificates.publisher = NULL;
    certificates.master = NULL;
    end_making();
    use(NULL);
}

bool certificates_begin(void)
{
    bool wanted = certificates.is_wanted;
    if (wanted)
        begin_making();
    return wanted;
}

void certificates_end(bool begun)
{
    if (begun)
        end_making();
}

bool certificates_make(const struct tls_policy *policy, const struct tls_contexts **contexts, char *why,
                       size_t size)
{
    *contexts = NULL;
    if (!certificates.is_wanted)
        return true;
    *contexts = tls_registry_make(certificates.lists, certificates.count, policy, why, size);
    return *contexts != NULL;
}

void certificates_offered(const struct tls_contexts *contexts, const struct tls_policy *policy)
{
    certificates.policy = *policy;
    use(contexts);
}

/* The same settings as before, with the certificates that the files have now. */
static bool reload(char *why, size_t size)
{
    const struct tls_contexts *contexts;
    if (!certificates.is_wanted) {
        snprintf(why, size, "no server of this process has a listener with tls=");
        return false;
    }
    if (!certificates_make(&certificates.policy, &contexts, why, size))
        return false;
    const struct tls_contexts *offered = tls_contexts_hold(contexts);
    bool ok = publish_offer_tls(certificates.publisher, &offered);
    if (ok) {
        certificates_offered(contexts, &certificates.policy);
        master_wake(certificates.master);
    } else {
        snprintf(why, size, "no memory for new settings");
    }
    tls_contexts_free(&contexts);
    return ok;
}

int32_t mario_tls_reload(char *why, uint32_t size)
{
    char line[512];
    begin_making();
    bool ok = reload(line, sizeof line);
    end_making();
    stats_add_shared(ok ? STAT_reloads : STAT_reload_failed, 1);
    if (!ok && size > 0)
        snprintf(why, size, "%s", line);
    return ok ? 0 : -1;
}

bool certificates_are_wanted(void)
{
    return certificates.is_wanted;
}

/* ---- Saying what they are ---- */

struct certificate_day certificate_day(int64_t seconds)
{
    struct certificate_day day;
    struct tm tm;
    time_t t = (time_t) seconds;
    if (gmtime_r(&t, &tm) == NULL || strftime(day.text, sizeof day.text, "%Y-%m-%d", &tm) == 0)
        snprintf(day.text, sizeof day.text, "%" PRId64, seconds);
    return day;
}

static const struct mario_tls_certificate *find(const struct tls_contexts *contexts, const char *name)
{
    for (uint32_t i = 0; contexts != NULL && i < tls_contexts_count(contexts); i++) {
        if (strcmp(tls_contexts_at(contexts, i)->name, name) == 0)
            return tls_contexts_at(contexts, i);
    }
    return NULL;
}

void certificates_say(LOG_QUEUE *q, const struct tls_contexts *before, const struct tls_contexts *now)
{
    for (uint32_t i = 0; now != NULL && i < tls_contexts_count(now); i++) {
        const struct mario_tls_certificate *c = tls_contexts_at(now, i), *old = find(before, c->name);
        if (old != NULL && memcmp(old->digest, c->digest, sizeof c->digest) == 0)
            continue;
        slog_info_t(q, "tls %s: %s, %s, until %s%s%s", c->name, c->subject, c->key,
                    certificate_day(c->not_after).text, old != NULL ? "; before it until " : "",
                    old != NULL ? certificate_day(old->not_after).text : "");
        if (c->warning[0] != '\0')
            mario_slog(q, MARIO_LOG_WARN, 1, NULL, "tls %s: %s", c->name, c->warning);
    }
}
