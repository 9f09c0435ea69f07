/*
 * tls_slim_lab.h: a connection with our records of TLS 1.3, and its client, which is a second implementation. Main
 * thread of a test.
 */
#ifndef MARIO_UNIT_TLS_SLIM_LAB_H
#define MARIO_UNIT_TLS_SLIM_LAB_H

#include "mario/tls/slim.h"
#include "tls_oracle.h"
#include "unit.h"

extern struct slim_pair {
    struct tls_thread *t;
    struct tls_session *session; /* NULL before the first one */
    struct oracle from_client, to_client;
    /* What the client has sent and nobody has opened yet; what was opened last. */
    unsigned char wire[400 * 1024], opened[400 * 1024];
    size_t wired;
} pair;

/* A test case in s before each of whose tests libssl is loaded and there is a thread. */
TCase *slim_lab_case(Suite *s, const char *name, unsigned seconds);

/* A new connection, on which we have sent so many records already. */
void connect_client(int suite, uint32_t sent);

/* The client's next record; one with a KeyUpdate. */
void tell(int type, const void *data, size_t n);
void tell_update(int request);

/* Let what was said come in a piece; what is opened goes to opened. */
enum tls_answer come(size_t *plain);
enum tls_answer come_all(void);

/* The next record that we sent, for the client: its type, -1: there is none. */
int hear(unsigned char *data, size_t *n);
void must_hear(int type, const void *data, size_t n);
void must_hear_alert(int alert);
void must_hear_nothing(void);
/* Our KeyUpdate, which the client follows. */
void must_hear_update(void);

/* Our next record. */
void seal(const void *data, size_t n);

/* What was said is refused with that alert. */
void must_refuse(int alert);

#endif
