/*
 * akg.c: id -> function, and the hooks. Registering: one thread, before start; the tables are then constant
 * until the server has stopped, so workers read them without any order to keep.
 */
#include "akg.h"

#include <stdatomic.h>
#include <stddef.h>

static FUNC_PTR functions[AKG_IDS];
static FUNC_PTR hooks[AKG_IDS - AKG_FIRST_RESERVED];
static uint32 magic = DEFAULT_STX;
static _Atomic bool frozen;

const FUNC_PTR *akg_functions(void)
{
    return functions;
}

uint32 akg_stx(void)
{
    return magic;
}

void akg_freeze(void)
{
    atomic_store(&frozen, true);
}

void akg_thaw(void)
{
    atomic_store(&frozen, false);
}

bool akg_is_frozen(void)
{
    return atomic_load(&frozen);
}

sint32 akg_run_hook(uint16 reserved_id, CONN *c)
{
    FUNC_PTR f = hooks[reserved_id - AKG_FIRST_RESERVED];
    return f == NULL ? 0 : f(c);
}

static sint32 set(FUNC_PTR *place, FUNC_PTR f)
{
    if (akg_is_frozen())
        return -1;
    *place = f;
    return 0;
}

sint32 regist_akg_func(uint16 id, FUNC_PTR f)
{
    return id >= AKG_FIRST_RESERVED ? -1 : set(&functions[id], f);
}

sint32 regist_connected_func(FUNC_PTR f)
{
    return set(&hooks[g_akg_connected_id - AKG_FIRST_RESERVED], f);
}

sint32 regist_timeout_func(FUNC_PTR f)
{
    return set(&hooks[g_akg_timeout_id - AKG_FIRST_RESERVED], f);
}

sint32 regist_closed_func(FUNC_PTR f)
{
    return set(&hooks[g_akg_closed_id - AKG_FIRST_RESERVED], f);
}

sint32 regist_error_func(FUNC_PTR f)
{
    return set(&hooks[g_akg_error_id - AKG_FIRST_RESERVED], f);
}

sint32 regist_disconnected_func(FUNC_PTR f)
{
    sint32 a = regist_closed_func(f), b = regist_timeout_func(f), c = regist_error_func(f);
    return a == 0 && b == 0 && c == 0 ? 0 : -1;
}

sint32 regist_stx(uint32 stx)
{
    if (akg_is_frozen())
        return -1;
    magic = stx;
    return 0;
}
