/*
 * absent.c: what there is of TLS in a build without OpenSSL's headers: a line that says so. As nothing can be made
 * then, what needs something made is not called.
 */
#ifndef MARIO_WITH_TLS

#include <stdio.h>

#include "mario/base/check.h"
#include "mario/tls/session.h"

#define NOT_CALLED check_failed("TLS is not built in", __FILE__, __LINE__)

static void say(char *why, size_t size)
{
    snprintf(why, size, "this was built without TLS: libssl-dev was not there");
}

struct tls_contexts *tls_contexts_make(const struct mario_tls *sections, uint32_t n, const char *const *lists,
                                       uint32_t list_count, const struct tls_policy *policy, char *why,
                                       size_t size)
{
    (void) sections, (void) n, (void) lists, (void) list_count, (void) policy;
    say(why, size);
    return NULL;
}

sint32 mario_tls_describe(const struct mario_tls *section, struct mario_tls_certificate *certificate,
                          char *why, uint32 size)
{
    (void) section, (void) certificate;
    say(why, size);
    return -1;
}

void tls_contexts_free(const struct tls_contexts **contexts)
{
    *contexts = NULL;
}

struct tls_thread *tls_thread_make(void)
{
    return NULL;
}

void tls_thread_free(struct tls_thread **t)
{
    *t = NULL;
}

void tls_session_free(struct tls_session **s)
{
    *s = NULL;
}

/* ---- Of what was made ---- */

const struct tls_contexts *tls_contexts_hold(const struct tls_contexts *contexts)
{
    (void) contexts;
    NOT_CALLED;
}

void tls_tickets_look(uint64_t now_ms)
{
    (void) now_ms;
    NOT_CALLED;
}

bool tls_set_is_there(const struct tls_contexts *contexts, uint32_t set)
{
    (void) contexts, (void) set;
    NOT_CALLED;
}

bool tls_set_is_slow(const struct tls_contexts *contexts, uint32_t set)
{
    (void) contexts, (void) set;
    NOT_CALLED;
}

uint32_t tls_contexts_count(const struct tls_contexts *contexts)
{
    (void) contexts;
    NOT_CALLED;
}

const struct mario_tls_certificate *tls_contexts_at(const struct tls_contexts *contexts, uint32_t i)
{
    (void) contexts, (void) i;
    NOT_CALLED;
}

const char *tls_fault_name(enum tls_fault fault)
{
    (void) fault;
    NOT_CALLED;
}

struct tls_session *tls_session_make(const struct tls_contexts *contexts, uint32_t set)
{
    (void) contexts, (void) set;
    NOT_CALLED;
}

void tls_session_forget(struct tls_session *s, struct tls_thread *t)
{
    (void) s, (void) t;
    NOT_CALLED;
}

void tls_session_end(struct tls_session *s)
{
    (void) s;
    NOT_CALLED;
}

void tls_session_settle(struct tls_session **s, unsigned char *home)
{
    (void) s, (void) home;
    NOT_CALLED;
}

bool tls_is_up(const struct tls_session *s)
{
    (void) s;
    NOT_CALLED;
}

enum tls_answer tls_shake(struct tls_session **s, struct tls_thread *t, const unsigned char *in, size_t n,
                          size_t *used)
{
    (void) s, (void) t, (void) in, (void) n, (void) used;
    NOT_CALLED;
}

size_t tls_held(const struct tls_session *s)
{
    (void) s;
    NOT_CALLED;
}

enum tls_answer tls_open(struct tls_session *s, struct tls_thread *t, unsigned char *data, size_t n,
                         size_t *plain)
{
    (void) s, (void) t, (void) data, (void) n, (void) plain;
    NOT_CALLED;
}

size_t tls_seal(struct tls_session *s, struct tls_thread *t, const struct iovec *vec, size_t count)
{
    (void) s, (void) t, (void) vec, (void) count;
    NOT_CALLED;
}

size_t tls_seal_overhead(const struct tls_session *s)
{
    (void) s;
    NOT_CALLED;
}

void tls_close_notify(struct tls_session *s, struct tls_thread *t)
{
    (void) s, (void) t;
    NOT_CALLED;
}

bool tls_facts(const struct tls_session *s, struct mario_tls_info *info)
{
    (void) s, (void) info;
    NOT_CALLED;
}

#endif
