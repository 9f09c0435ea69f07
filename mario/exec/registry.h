/*
 * registry.h: what has been registered: id -> function, and the hooks. Written before the server starts, then only
 * read.
 */
#ifndef MARIO_EXEC_REGISTRY_H
#define MARIO_EXEC_REGISTRY_H

#include <stdbool.h>

#include "mario/mario_akg.h"
#include "mario/mario_push.h"

#define AKG_IDS            65536
#define AKG_FIRST_RESERVED g_akg_connected_id

typedef void (*registry_receipt_func)(const struct mario_receipt *r);

/* All functions by id; the reserved ids are always NULL here, so they are unknown on the wire. Those that are
 * offloaded stand here as registry_offloaded, which is never called. */
const FUNC_PTR *registry_functions(void);
int32_t registry_offloaded(CONN *c);

/* What was registered for an id, a hook's included, wherever it runs; NULL if nothing was. */
FUNC_PTR registry_function(uint16_t id);

/* The function of an id that is offloaded. How many there are; one of them. */
FUNC_PTR registry_offload_function(uint16_t id);
bool registry_offload_is_concurrent(uint16_t id);
uint32_t registry_offload_count(void);
uint16_t registry_offload_first(void);

uint32_t registry_stx(void);

/* Run the hook of a reserved id, if there is one. Returns its answer, 0 without a hook. The connection's
 * worker. */
int32_t registry_run_hook(uint16_t reserved_id, CONN *c);

/* The functions for binds, for those who leave, for urgent data, and for receipts; NULL if there is none. */
FUNC_PTR registry_bound(void);
FUNC_PTR registry_leave(void);
FUNC_PTR registry_urgent(void);
registry_receipt_func registry_receipt(void);

/* Take what the application has written into AKG_FUNC; from now on registering is refused, until registry_thaw(). The
 * master, while no worker runs. */
void registry_freeze(void);
void registry_thaw(void);
bool registry_is_frozen(void);

#endif
