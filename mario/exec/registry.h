/*
 * registry.h: what has been registered: id -> function, and the hooks. Written before the server starts, then only
 * read.
 */
#ifndef MARIO_EXEC_REGISTRY_H
#define MARIO_EXEC_REGISTRY_H

#include <stdbool.h>

#include "mario/mario_akg.h"

#define AKG_IDS            65536
#define AKG_FIRST_RESERVED g_akg_connected_id

/* All functions by id; the reserved ids are always NULL here, so they are unknown on the wire. Those that are
 * offloaded stand here as akg_offloaded, which is never called. */
const FUNC_PTR *akg_functions(void);
sint32 akg_offloaded(CONN *c);

/* The function of an id that is offloaded. How many there are; one of them. */
FUNC_PTR akg_offload_function(uint16 id);
bool akg_offload_is_concurrent(uint16 id);
uint32 akg_offload_count(void);
uint16 akg_offload_first(void);

uint32 akg_stx(void);

/* Run the hook of a reserved id, if there is one. Returns its answer, 0 without a hook. The connection's
 * worker. */
sint32 akg_run_hook(uint16 reserved_id, CONN *c);

/* From now on registering is refused; until akg_thaw(). The master, while no worker runs. */
void akg_freeze(void);
void akg_thaw(void);
bool akg_is_frozen(void);

#endif
