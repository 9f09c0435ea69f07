/*
 * variants.h: a shared message as receivers of other framings get it. A message is made of HEAD+Data; whoever came in
 * by a listener with another framing gets its packets in that. It is made once for all of them that a round of
 * deliveries reaches, at the first one: a built-in framing says what goes around each payload (frame/ends.h); an
 * application's writes it, which is user code (worker/wraps.h). For the thread that owns the shard, outside user code.
 */
#ifndef MARIO_CONN_VARIANTS_H
#define MARIO_CONN_VARIANTS_H

#include "mario/conn/conn.h"

enum { VARIANT_SETS = 64, VARIANT_WAYS = 8 };

enum variant_state {
    VARIANT_NONE,
    VARIANT_ASKED, /* an application's framing is asked, or did not come back: it may be asked again */
    VARIANT_KNOWN
};

/* One message in the framing of one listener. */
struct variant {
    struct mario_msg *m;      /* with `refs` references */
    struct mario_msg *framed; /* KNOWN: what its receivers get, with a reference; NULL: they cannot get it */
    uint32_t refs;
    uint8_t listener;
    uint8_t state; /* enum variant_state */
};

/* All that are at hand. Emptied at the end of each round. */
struct variants {
    struct variant way[VARIANT_SETS][VARIANT_WAYS];
    uint32_t turn; /* which way of a full set goes next */
    uint64_t used; /* sets in which something is */
    bool by_user;  /* a framing of the application's writes what goes out */
};

/* For this service: NULL if all its listeners have HEAD+Data; *failed without memory. */
struct variants *variants_create(const struct service *service, bool *failed);
void variants_destroy(struct variants **v);

/* The round is over: all references go. */
void variants_empty(struct variants *v);

/* What m is for the connections of this listener: m itself, or another message, to which outboxes take references of
 * their own before the round ends. NULL: they cannot get it; or *no_memory. */
struct mario_msg *variants_find(struct shard *s, uint8_t listener, struct mario_msg *m, bool *no_memory);

/* Whether the application has to be asked before that. */
bool variants_ask(const struct shard *s, uint8_t listener, const struct mario_msg *m);
/* It is being asked; the round takes the caller's reference to m. */
void variants_asked(struct shard *s, uint8_t listener, struct mario_msg *m);
/* It has answered with this message, or with none: NULL. The round takes the caller's reference to it. */
void variants_answered(struct shard *s, uint8_t listener, struct mario_msg *m, struct mario_msg *framed);

#endif
