/*
 * hearers.h: plain connections to a testapp by listeners of all framings, which compare what they hear byte by byte
 * with what each framing makes of a text. Main thread of a test.
 */
#ifndef ITEST_HEARERS_H
#define ITEST_HEARERS_H

#include "ears.h"

enum hearing {
    HEAR_HEAD,
    HEAR_LINE,
    HEAR_LENGTH,
    HEAR_DELIM,
    HEAR_RAW,
    HEAR_FIXED,
    HEAR_WS,
    HEAR_WRAPPED,
    HEARINGS
};

#define HEARER_ROOM 65536u

struct hearer {
    int fd; /* -1 once it was closed */
    enum hearing by;
    size_t have, expects;
    enum ending how;
    unsigned char got[HEARER_ROOM], expected[HEARER_ROOM];
};

struct hearers {
    uint32_t count;
    struct hearer *each;
};

/* A testapp with a listener of each, that of HEAD the first; two workers; more ends with NULL. */
void hearers_start(struct server *s, const char *const *more);

/* n connections by each framing from `first` on but `last`, in turn on both workers; each joins the group and is
 * bound to the user, by the connected hook, which ear 0 orders. */
void hearers_open(struct hearers *h, struct ears *e, enum hearing first, enum hearing last, uint32_t n,
                  uint64_t group, uint64_t uid);
void hearers_close(struct hearers *h);

/* What a text is that an order with ORDER_TEXT sends. */
void hearer_text(char *text, char how, uint32_t sender, uint32_t number, uint32_t len);
/* From here on all (of this framing) expect that packet, too. */
void hearers_expect(struct hearers *h, const char *text, size_t len);
void hearers_expect_by(struct hearers *h, enum hearing by, const char *text, size_t len);
/* And the words with which this code ends them, where a framing has any: that is the last thing. */
void hearers_expect_goodbye(struct hearers *h, uint16_t code);
/* Until each has exactly what it expects; who ends fails the test unless `ended` may. How many have ended: these
 * need not have it. */
uint32_t hearers_wait(struct hearers *h, uint32_t ended);
/* Each has a FIN behind that. */
void hearers_wait_ends(struct hearers *h);

#endif
