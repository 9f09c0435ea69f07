/*
 * route.h: the way to a bus between servers (mario_route.h): what is sent here is told to it, and who is here. Its
 * thread takes orders out of lanes as a worker does.
 */
#ifndef MARIO_PUSH_ROUTE_H
#define MARIO_PUSH_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "mario/mario_route.h"
#include "mario/push/port.h"

struct shard;

/* ---- Any thread, inside the gate ---- */

/* Whether messages to the group are for the route alone. */
bool route_is_sequenced(uint64_t group);
/* An order for the route: kind is enum mario_route_kind, id the key, other the id. Its message, if it has one, gets a
 * reference. -1 with errno: EAGAIN, ENOMEM. */
int32_t route_order(struct port *p, const struct order *o);
/* The same for what was sent here already: one that the route does not hear of is counted. */
void route_tell(struct port *p, const struct order *o);

/* ---- A shard's thread, library state ---- */

/* Somebody has come or gone. Nothing without a route. False without memory: the route does not know. */
__attribute__((warn_unused_result)) bool route_notice(struct shard *s, enum mario_route_kind kind,
                                                      uint64_t key, uint64_t id);

/* ---- Who runs the server ---- */

/* The gate is open: the route may begin. False after a line if it does not want to. */
bool route_start(void);
/* No worker runs any more, the gate is still open: the route comes to its end, and is forgotten. Also for one that was
 * never started. */
void route_end(void);
/* Nobody gives orders any more. */
void route_close(void);
/* An order that nobody took. */
void route_discard(const struct order *o);

#endif
