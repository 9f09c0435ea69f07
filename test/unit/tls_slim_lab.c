/*
 * tls_slim_lab.c: a connection with our records, and its client. Main thread of a test.
 */
#include "tls_slim_lab.h"

#include <string.h>

#include "mario/base/mem.h"
#include "mario/tls/libssl.h"

struct slim_pair pair;

static void begin(void)
{
    char why[200];
    ck_assert_msg(libssl_load(why, sizeof why), "%s", why);
    ck_assert(mem_thread_init());
    pair.t = tls_thread_make();
    ck_assert(pair.t != NULL && slim_of_thread(pair.t) != NULL);
}

static void end(void)
{
    tls_session_free(&pair.session);
    tls_thread_free(&pair.t);
    mem_thread_fini();
}

/* A new connection, on which we have sent so many records already. */
void connect_client(int suite, uint32_t sent)
{
    struct slim_secrets secrets = {.sent = sent, .in_len = tls_suites[suite].secret};
    secrets.out_len = secrets.in_len;
    for (size_t i = 0; i < secrets.in_len; i++) {
        secrets.in[i] = (unsigned char) (i * 7 + 1);
        secrets.out[i] = (unsigned char) (i * 5 + 3);
    }
    tls_session_free(&pair.session);
    pair.session = slim_make(slim_of_thread(pair.t), suite, &secrets, 0);
    UNIT_ASSERT(pair.session != NULL);
    pair.session->is_v13 = true;
    oracle_begin(&pair.from_client, tls_suites[suite].id, secrets.in);
    oracle_begin(&pair.to_client, tls_suites[suite].id, secrets.out);
    pair.to_client.seq = sent;
    pair.wired = 0;
    pair.t->out_len = 0;
}

void tell(int type, const void *data, size_t n)
{
    UNIT_ASSERT(sizeof pair.wire - pair.wired >= ORACLE_RECORD_MAX);
    pair.wired += oracle_seal(&pair.from_client, type, data, n, 0, pair.wire + pair.wired);
}

void tell_update(int request)
{
    unsigned char message[5] = {24, 0, 0, 1, (unsigned char) request};
    tell(TLS_HANDSHAKE, message, sizeof message);
    oracle_update(&pair.from_client);
}

/* Let what was said come in a piece; what is opened goes to opened. */
enum tls_answer come(size_t *plain)
{
    size_t held = tls_held(pair.session), n = pair.wired;
    UNIT_ASSERT(held + n <= sizeof pair.opened);
    memcpy(pair.opened + held, pair.wire, n);
    pair.wired = 0;
    return tls_open(pair.session, pair.t, pair.opened, n, plain);
}

enum tls_answer come_all(void)
{
    size_t plain;
    return come(&plain);
}

/* The next record that we sent, for the client: its type, -1: there is none. */
int hear(unsigned char *data, size_t *n)
{
    size_t size = oracle_whole(pair.t->out, pair.t->out_len);
    if (size == 0) {
        UNIT_ASSERT(pair.t->out_len == 0);
        return -1;
    }
    int type = oracle_open(&pair.to_client, pair.t->out, size, data, n);
    UNIT_ASSERT(type >= 0);
    memmove(pair.t->out, pair.t->out + size, pair.t->out_len - size);
    pair.t->out_len -= size;
    return type;
}

void must_hear(int type, const void *data, size_t n)
{
    static unsigned char heard[ORACLE_RECORD_MAX];
    size_t len;
    UNIT_ASSERT(hear(heard, &len) == type);
    UNIT_ASSERT(len == n && memcmp(heard, data, n) == 0);
}

void must_hear_alert(int alert)
{
    unsigned char message[2] = {(unsigned char) (alert == TLS_CLOSE_NOTIFY ? 1 : 2), (unsigned char) alert};
    must_hear(TLS_ALERT, message, sizeof message);
}

void must_hear_nothing(void)
{
    UNIT_ASSERT(pair.t->out_len == 0);
}

/* Our KeyUpdate, which the client follows. */
void must_hear_update(void)
{
    must_hear(TLS_HANDSHAKE, "\30\0\0\1\0", 5);
    oracle_update(&pair.to_client);
}

void seal(const void *data, size_t n)
{
    struct iovec v = {(void *) (uintptr_t) data, n};
    UNIT_ASSERT(tls_seal(pair.session, pair.t, &v, 1) == n);
}

/* It is refused with that alert, and what stood in front of it is there. */
void must_refuse(int alert)
{
    UNIT_ASSERT(come_all() == TLS_BAD);
    UNIT_ASSERT(pair.t->fault == TLS_FAULT_record && pair.t->why[0] != '\0');
    must_hear_alert(alert);
    must_hear_nothing();
}

TCase *slim_lab_case(Suite *s, const char *name, unsigned seconds)
{
    TCase *c = unit_case(s, name, seconds);
    tcase_add_checked_fixture(c, begin, end);
    return c;
}
