/*
 * client.h: what the clients of the fuzzed worker do (business.h has what the server does to them).
 */
#ifndef TEST_FUZZ_CLIENT_H
#define TEST_FUZZ_CLIENT_H

#include "business.h"
#include "mario/base/peer.h"

enum { STX = 0x20304050 };

struct script {
    const uint8_t *data;
    size_t n;
};

/* The next byte of the script, 0 behind its end. */
uint8_t script_byte(struct script *s);

/* Who it is to be, by its mode; and what functions are to be told. */
struct peer client_identify(struct client *a);

/* It wants to send these, some bytes of the script, or a packet; up to `limit` of what it wants to send is sent. */
void client_want(struct client *a, const void *data, size_t n);
void client_want_raw(struct client *a, struct script *s);
void client_want_packet(struct client *a, struct script *s);
void client_push(struct client *a, size_t limit);
void client_read(struct client *a, size_t limit);
void client_finish(struct client *a);
void client_drop(struct client *a);

/* If it is over for both sides: judge it. */
void client_part(struct client *a);
/* The server has closed its side, or the client has closed its own. */
bool client_is_hung_up(const struct client *a);

#endif
