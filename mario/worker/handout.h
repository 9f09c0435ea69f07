/*
 * handout.h: from bytes that were received to the functions they are for. Everything here is for the thread whose
 * executor it is, which does not come back from a function when another has taken the shard over.
 */
#ifndef MARIO_WORKER_HANDOUT_H
#define MARIO_WORKER_HANDOUT_H

#include "mario/frame/head.h"
#include "mario/worker/functions.h"

/* Bytes received, on their way to the functions. One more behind them may be written to. */
struct batch {
    unsigned char *data;      /* the packet in front */
    uint32_t n;               /* bytes from there on */
    uint32_t seen;            /* of that packet's, those its framing was asked about before */
    uint32_t need;            /* how many it is to have, as its framing said; 0 = not known */
    struct mario_frame frame; /* what it said last */
    bool whole;               /* and that is of the packet in front: a guest is not asked again */
    bool handed;              /* by a guest: a packet of it went to its function */
    bool greets;              /* the connection is not greeted yet: that is due behind the first SKIP */
    bool late;                /* the time of this wake-up is up: the rest has to wait */
    bool metered;             /* its packets are counted: */
    bool limited;             /* there were more than might be handed out: likewise */
    bool closes;              /* and that is the end */
    uint16_t fault;           /* what is known of bytes that are no packet, as conn.fault */
    uint32_t allowed;         /* how many may be */
};

/* Hand out whole packets of the batch until something is in the way. True if the connection is still open. */
bool handout(struct executor *t, struct conn *c, struct batch *b);

/* Whether c's framing is a guest, see shard.h. */
static inline bool handout_is_guest(const struct conn *c)
{
    return conn_shard(c)->service->is_guest[c->listener];
}

/* What stands in front of data[0 .. n-1], says a framing that is not a guest. HEAD+Data is looked at in place, as that
 * is done for each packet. */
static inline enum mario_frame_answer handout_ask(const struct mario_framing *framing, unsigned char *data,
                                                  uint32_t n, uint32_t seen, struct mario_frame *frame)
{
    if (framing->next == head_next)
        return head_look(framing, data, n, frame);
    *frame = (struct mario_frame){.need = 0};
    enum mario_frame_answer answer = framing->next(framing, NULL, data, n, seen, frame);
    if (answer != MARIO_FRAME_MORE || (n < framing->max && frame->need <= framing->max))
        return answer;
    frame->fault = REASON_bad_length;
    return MARIO_FRAME_BAD;
}

#endif
