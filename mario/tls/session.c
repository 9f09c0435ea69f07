/*
 * session.c: an established session: records out of what comes, data into records; and the end of any. Whoever has the
 * session.
 */
#include "mario/tls/inside.h"

#ifdef MARIO_WITH_TLS

#include <string.h>

#include "mario/base/check.h"
#include "mario/base/mem.h"
#include "mario/base/spans.h"
#include "mario/tls/libssl.h"

bool tls_is_up(const struct tls_session *s)
{
    return s->records != TLS_NO_RECORDS;
}

/* ---- Its end ---- */

void tls_session_forget(struct tls_session *s, struct tls_thread *t)
{
    slim_forget(s, t);
}

void tls_session_end(struct tls_session *s)
{
    spans_begin();
    if (s->records != TLS_NO_RECORDS) {
        tls_records_of(s)->free(s);
        s->is_closed = true;
    } else {
        if (s->secrets != NULL)
            slim_drop(s);
        libssl.SSL_free(s->ssl);
        s->ssl = NULL;
        if (s->is_shaking)
            tls_contexts_free(&s->contexts);
        s->is_shaking = false;
        mem_free(s->texts);
        s->texts = NULL;
    }
    spans_end();
    mem_free(s->carry);
    s->carry = NULL;
    s->held = 0;
}

void tls_session_free(struct tls_session **s)
{
    struct tls_session *me = *s;
    *s = NULL;
    if (me == NULL)
        return;
    tls_session_end(me);
    if (me->records != TLS_SLIM_RECORDS)
        mem_free(me->texts);
    if (!me->is_settled)
        mem_free(me);
}

void tls_session_settle(struct tls_session **s, unsigned char *home)
{
    struct tls_session *me = *s;
    size_t n = mem_room(me);
    if (me->records != TLS_SLIM_RECORDS || n > TLS_HOME)
        return;
    memcpy(home, me, n);
    explicit_bzero(me, n);
    mem_free(me);
    *s = (struct tls_session *) (void *) home;
    (*s)->is_settled = true;
}

/* ---- In ---- */

size_t tls_held(const struct tls_session *s)
{
    return s->is_shaking ? 0 : s->held;
}

/* Put what has come of a record that is not whole behind what is held of it. The room grows by doubling, with what has
 * come, not with what the header promises. False without memory. */
static bool hold(struct tls_session *s, const unsigned char *data, size_t n)
{
    if (mem_room(s->carry) < s->held + n) {
        unsigned char *more = tls_grow(s->carry, s->held, s->held + n);
        if (more == NULL)
            return false;
        s->carry = more;
    }
    memcpy(s->carry + s->held, data, n);
    s->held = (uint16_t) (s->held + n);
    return true;
}

/* What is held is still no whole record with n bytes more. */
static bool stays_short(const struct tls_session *s, size_t n)
{
    bool is_bad = false;
    size_t size = tls_record_size(s->carry, s->held, &is_bad);
    return size > s->held + n;
}

/* How many bytes of data[0 .. n-1] are whole records, up to a header that is none. */
static size_t whole_records(const unsigned char *data, size_t n, bool *is_bad)
{
    size_t at = 0, size;
    while (!*is_bad && (size = tls_record_size(data + at, n - at, is_bad)) != 0 && size <= n - at)
        at += size;
    return at;
}

enum tls_answer tls_open(struct tls_session *s, struct tls_thread *t, unsigned char *data, size_t n,
                         size_t *plain)
{
    size_t held = s->held;
    bool is_bad = false;
    CHECK(s->records != TLS_NO_RECORDS && !s->is_shaking);
    *plain = 0;
    if (held >= 5 && stays_short(s, n))
        return hold(s, data + held, n) ? TLS_OK : TLS_NO_MEMORY;
    if (held > 0)
        memcpy(data, s->carry, held);
    size_t whole = whole_records(data, held + n, &is_bad), rest = held + n - whole;
    enum tls_answer answer = whole > 0 ? tls_records_of(s)->open(s, t, data, whole, plain) : TLS_OK;
    if (answer == TLS_OK && is_bad)
        answer = tls_bad(t, TLS_FAULT_record, "%s", "");
    s->held = 0;
    if (answer == TLS_OK && rest > 0)
        return hold(s, data + whole, rest) ? TLS_OK : TLS_NO_MEMORY;
    if (s->carry != NULL)
        mem_free(s->carry);
    s->carry = NULL;
    return answer;
}

/* ---- Out ---- */

size_t tls_seal(struct tls_session *s, struct tls_thread *t, const struct iovec *vec, size_t count)
{
    size_t n = 0;
    CHECK(s->records != TLS_NO_RECORDS && !s->is_closed);
    for (size_t i = 0; i < count && n < TLS_RECORD_DATA; i++)
        n += vec[i].iov_len < TLS_RECORD_DATA - n ? vec[i].iov_len : TLS_RECORD_DATA - n;
    return n > 0 && tls_records_of(s)->seal(s, t, vec, count, n) ? n : 0;
}

size_t tls_seal_overhead(const struct tls_session *s)
{
    return s->records != TLS_NO_RECORDS ? tls_records_of(s)->overhead : 0;
}

void tls_close_notify(struct tls_session *s, struct tls_thread *t)
{
    if (s->records == TLS_NO_RECORDS || s->is_closed)
        return;
    s->is_closed = true;
    tls_records_of(s)->close_notify(s, t);
}

#endif
