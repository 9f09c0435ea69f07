/*
 * further.h: what connections of the fuzzed worker have beside HEAD+Data: other framings, TLS, urgent bytes, PROXY
 * headers, messages, calls, datagrams. For most who come by the listeners here the model has no rules: they are there
 * so that all of it happens between those for whom it has. What holds for all is what the counters, the pool and the
 * sanitizers say.
 */
#ifndef TEST_FUZZ_FURTHER_H
#define TEST_FUZZ_FURTHER_H

#include "client.h"
#include "mario/offload/pool.h"
#include "mario/worker/worker.h"

/* Listeners, behind those that the model knows. */
enum {
    LISTENER_MARK = 2, /* HEAD+Data with urgent bytes; for it the model has rules */
    LISTENER_LINE,     /* lines with an end that a FIN stands for */
    LISTENER_WS,       /* WebSocket */
    LISTENER_ODD,      /* an application's framing, which answers what may not be */
    LISTENER_PROXY,    /* HEAD+Data behind a PROXY header */
    LISTENER_TLS,      /* HEAD+Data over TLS */
    LISTENER_TLS_WS,   /* WebSocket over TLS */
    LISTENER_UDP,      /* HEAD+Data in datagrams */
    LISTENERS
};

/* HEAD+Data as a framing with a state, of the listener in front of these. Its arg is to be set. */
extern struct mario_framing further_guest;
bool further_guest_ends(const struct mario_framing *f, const struct frame_out *out, struct frame_ends *ends);

/* Before the worker is made: these listeners, and what it and the pool are told of them. Behind that; before the worker
 * is taken down. */
void further_setup(struct service *service, struct worker_options *w, struct offload_options *pool,
                   const struct head_rules *head);
void further_open(struct worker *w);
void further_close(void);
/* The worker has come to an end, and begins anew: its socket for datagrams was closed. */
void further_revive(void);

/* Settings that `how` says: limits, TLS; behind how the worker's are filled. */
void further_settings(struct settings *set, uint8_t how);

/* A client for whom there are no rules comes by its listener. It sends what it has to send before it is handed over,
 * and as what it is. */
enum accepted_as further_meet(struct client *a, struct script *s, int fd);

/* The number of a worker's socket is somebody else's: who came with it before, and was not greeted, will not be. */
void further_forget(int fd);

/* One step of the script for a client: what, and what that needs. Connecting and settings are not its business. */
enum further {
    FURTHER_CONNECT,  /* listener, mode; by TLS how, by PROXY which header */
    FURTHER_SETTINGS, /* how */
    FURTHER_URGENT,
    FURTHER_RUN,   /* what it is to do */
    FURTHER_SEND,  /* how, length / 16 */
    FURTHER_GROUP, /* how, length / 16 */
    FURTHER_KICK,  /* how */
    FURTHER_EACH,
    FURTHER_DATAGRAM, /* function, length, first byte of data */
    FURTHER_UPGRADE,  /* how */
    FURTHER_FRAME,    /* first byte, length, bytes that follow */
    FURTHER_RENEW,
    FURTHER_END,
    FURTHERS
};
void further_step(struct client *a, enum further what, struct script *s);

/* Steps of handshakes that are with the pool. */
uint32_t further_shakes_out(void);

/* ---- For business.c ---- */

/* The functions of those without rules, and of datagrams; their hooks. */
sint32 further_answer(CONN *c);
sint32 further_begin(CONN *c);
sint32 further_end(CONN *c);
/* Its client has left before it was greeted. */
bool further_is_late(const CONN *c);

#endif
