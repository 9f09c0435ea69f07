/*
 * answer.h: heads of answers, and answers that are only a status. Where functions run, and in the framing's next.
 */
#ifndef WEB_ANSWER_H
#define WEB_ANSWER_H

#include "head.h"
#include "mario/mario.h"

struct answer {
    int status;
    const char *reason; /* behind the status; NULL: as the protocol names it */
    const char *type;   /* of the body; NULL: not said */
    const char *fields; /* more of the head, whole lines; NULL: none */
    uint64 length;      /* of the body, which is not said of 204 and 304 */
    bool closes;        /* the connection does, afterwards */
};

/* Write it to c. 0, or -1 if it was too long or there is no memory. */
sint32 answer_head(CONN *c, const struct answer *a);

/* Answer the request h (NULL: one that could not be read) with a status and its name as text, and end the connection if
 * the request was its last one. fields as above. Returns what a business function returns. */
sint32 answer_status(CONN *c, const struct head *h, int status, const char *fields);

/* The answer to h is written: end the connection if it was its last one. Returns what a business function returns. */
sint32 answer_end(CONN *c, const struct head *h);

#endif
