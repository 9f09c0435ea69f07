/*
 * admission.h: whether somebody is let in, before he costs anything. For the master, which neither waits nor allocates
 * here; setup and teardown for the thread that makes the server.
 */
#ifndef MARIO_SERVER_ADMISSION_H
#define MARIO_SERVER_ADMISSION_H

#include "mario/base/peer.h"
#include "mario/base/stats.h"
#include "mario/log/log.h"
#include "mario/server/gate.h"
#include "mario/server/rules.h"
#include "mario/worker/worker.h"

enum {
    BANS_MAX = CIDR_SET_SMALL,
    BAN_TEXT = 128
}; /* networks banned by operators; bytes of why, NUL included */

/* What an operator has banned. */
struct ban {
    struct cidr net;
    uint64_t until_ns;
    char text[BAN_TEXT];
};

struct admission {
    struct worker *workers;
    uint32_t workernum, connnum;
    LOG_QUEUE *qlog;
    struct stats *stats; /* the master's */

    struct rules *rules;        /* in use; they belong to the settings */
    struct rules_memory table;  /* the gate's; NULL until somebody is counted */
    struct rules_memory passes; /* likewise, the workers' */
    struct rules_memory meters; /* the workers', since something is metered */
    struct gate gate;
    uint64_t told_overflows, told_bans; /* of the gate's, those that are in the counters */
    uint64_t overflow_said_ns;          /* when the last warning was written; 0 = never */
    uint64_t raised_until_ns; /* rates are higher until then: all clients come back after a restart */
    uint64_t full_ns;         /* when the bucket of rules.rate is full again */

    struct ban *bans; /* [BANS_MAX] those that have not ended, in no order */
    uint32_t ban_count;
    uint64_t bans_end_ns;          /* when the first of them ends */
    void *banned_memory;           /* of ... */
    const struct cidr_set *banned; /* NULL: nobody is */
};

/* The first five are set; admission_take() comes before anybody. False with errno; then teardown. */
__attribute__((warn_unused_result)) bool admission_setup(struct admission *a);
void admission_teardown(struct admission *a);

/* Use these from now on, until others are taken; who is there stays. Before the workers are told of new settings. */
void admission_take(struct admission *a, struct rules *rules);

/* Before some are accepted: who has left? */
void admission_begin(struct admission *a);
/* Milliseconds until the next one may be accepted by TCP, 0: now, and it is counted as one. */
uint32_t admission_wait_ms(struct admission *a);

/* He was accepted. Whether he is let in: then pass goes with him, and comes back when he has gone. Else *why is the
 * counter of it; he is to be closed with an RST. */
bool admission_ask(struct admission *a, const struct peer *peer, uint64_t *pass, enum counter *why);
/* He found no place after all. */
void admission_undo(struct admission *a, uint64_t pass);

/* ---- What operators do ---- */

/* Nobody of the network is let in for so many seconds. False if BANS_MAX are banned already. */
bool admission_ban(struct admission *a, const struct cidr *net, uint64_t seconds, const char *text);
/* Whether that very network was banned, by operators or by itself, and is no more. */
bool admission_unban(struct admission *a, const struct cidr *net);

/* Who has left is not counted any more, bans that are over are none. */
void admission_tidy(struct admission *a);

/* What is known of an address. */
struct admission_view {
    bool allowed, denied;      /* it is in that file */
    bool banned;               /* by an operator */
    struct ban ban;            /* if so */
    struct gate_entry ip, net; /* .kind GATE_FREE: there is none */
};
void admission_look(struct admission *a, const unsigned char address[PEER_ADDRESS], struct admission_view *v);

#endif
