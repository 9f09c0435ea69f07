/*
 * registry.c: id -> function, and the hooks. Registering: one thread, before start; what workers read is then constant
 * until the server has stopped, so they read it without any order to keep.
 *
 * What is registered stands in AKG_FUNC and g_stx, which applications may write as well; what runs are copies, made at
 * the start.
 */
#include "mario/exec/registry.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>

#include "mario/base/check.h"
#include "mario/base/complain.h"
#include "mario/frame/framings.h"
#include "mario/mario_compat.h"

FUNC_PTR AKG_FUNC[AKG_IDS];
uint32_t g_stx = DEFAULT_STX;

static FUNC_PTR functions[AKG_IDS];
static FUNC_PTR hooks[AKG_IDS - AKG_FIRST_RESERVED];
static FUNC_PTR away[AKG_IDS]; /* of those that are offloaded */
static bool concurrent[AKG_IDS];
static FUNC_PTR bound, leave, urgent;
static registry_receipt_func receipt;
static _Atomic bool frozen;

const FUNC_PTR *registry_functions(void)
{
    return functions;
}

FUNC_PTR registry_function(uint16_t id)
{
    if (id >= AKG_FIRST_RESERVED)
        return hooks[id - AKG_FIRST_RESERVED];
    return away[id] != NULL ? away[id] : functions[id];
}

uint32_t registry_stx(void)
{
    return g_stx;
}

FUNC_PTR registry_bound(void)
{
    return bound;
}

FUNC_PTR registry_leave(void)
{
    return leave;
}

FUNC_PTR registry_urgent(void)
{
    return urgent;
}

registry_receipt_func registry_receipt(void)
{
    return receipt;
}

/* What an application has written into the table counts as if it had been registered. A page of ours that nothing
 * stands in stays untouched. */
static void take_written(uint32_t id)
{
    FUNC_PTR f = AKG_FUNC[id];
    if (id >= AKG_FIRST_RESERVED) {
        hooks[id - AKG_FIRST_RESERVED] = f;
    } else if (functions[id] != f && (f != NULL || away[id] == NULL)) {
        functions[id] = f;
        if (away[id] != NULL)
            away[id] = NULL;
    }
}

void registry_freeze(void)
{
    for (uint32_t id = 0; id < AKG_IDS; id++)
        take_written(id);
    atomic_store(&frozen, true);
}

void registry_thaw(void)
{
    atomic_store(&frozen, false);
}

bool registry_is_frozen(void)
{
    return atomic_load(&frozen);
}

int32_t registry_run_hook(uint16_t reserved_id, CONN *c)
{
    FUNC_PTR f = hooks[reserved_id - AKG_FIRST_RESERVED];
    return f == NULL ? 0 : f(c);
}

static int32_t set(uint16_t id, FUNC_PTR *place, FUNC_PTR f)
{
    if (registry_is_frozen())
        return -1;
    *place = AKG_FUNC[id] = f;
    return 0;
}

static int32_t set_hook(uint16_t id, FUNC_PTR f)
{
    return set(id, &hooks[id - AKG_FIRST_RESERVED], f);
}

/* ---- Offloaded functions ---- */

int32_t registry_offloaded(CONN *c)
{
    CHECK(c == NULL); /* whoever calls it should have handed the packet over */
    return -1;
}

FUNC_PTR registry_offload_function(uint16_t id)
{
    return away[id];
}

bool registry_offload_is_concurrent(uint16_t id)
{
    return concurrent[id];
}

uint32_t registry_offload_count(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < AKG_IDS; i++)
        n += away[i] != NULL;
    return n;
}

uint16_t registry_offload_first(void)
{
    uint16_t id = 0;
    while (id < AKG_FIRST_RESERVED && away[id] == NULL)
        id++;
    return id;
}

static int32_t refuse(uint16_t id, const char *why)
{
    complain("function 0x%04x cannot be registered: %s", id, why);
    return -1;
}

static int32_t set_away(uint16_t id, FUNC_PTR f, bool is_concurrent)
{
    if (registry_is_frozen())
        return refuse(id, "the server runs");
    if (id >= AKG_FIRST_RESERVED)
        return refuse(id, "the id is reserved (allowed: 0x0000..0xfffb)");
    if (f == NULL)
        return refuse(id, "there is none to be offloaded (NULL)");
    if (functions[id] != NULL || AKG_FUNC[id] != NULL)
        return refuse(id, away[id] != NULL ? "it is offloaded already" : "it is registered already, inline");
    functions[id] = registry_offloaded;
    away[id] = f;
    concurrent[id] = is_concurrent;
    return 0;
}

int32_t regist_akg_func_offload(uint16_t id, FUNC_PTR f)
{
    return set_away(id, f, false);
}

int32_t regist_akg_func_offload_concurrent(uint16_t id, FUNC_PTR f)
{
    return set_away(id, f, true);
}

/* ---- Registering ---- */

int32_t regist_akg_func(uint16_t id, FUNC_PTR f)
{
    if (id >= AKG_FIRST_RESERVED || registry_is_frozen())
        return -1;
    if (f != NULL && away[id] != NULL)
        return refuse(id, "it is offloaded already");
    away[id] = NULL;
    return set(id, &functions[id], f);
}

int32_t regist_connected_func(FUNC_PTR f)
{
    return set_hook(g_akg_connected_id, f);
}

int32_t regist_timeout_func(FUNC_PTR f)
{
    return set_hook(g_akg_timeout_id, f);
}

int32_t regist_closed_func(FUNC_PTR f)
{
    return set_hook(g_akg_closed_id, f);
}

int32_t regist_error_func(FUNC_PTR f)
{
    return set_hook(g_akg_error_id, f);
}

int32_t regist_disconnected_func(FUNC_PTR f)
{
    int32_t a = regist_closed_func(f), b = regist_timeout_func(f), c = regist_error_func(f);
    return a == 0 && b == 0 && c == 0 ? 0 : -1;
}

int32_t regist_stx(uint32_t stx)
{
    if (registry_is_frozen())
        return -1;
    g_stx = stx;
    return 0;
}

int32_t regist_bound_func(FUNC_PTR f)
{
    if (registry_is_frozen())
        return -1;
    bound = f;
    return 0;
}

int32_t regist_leave_func(FUNC_PTR f)
{
    if (registry_is_frozen())
        return -1;
    leave = f;
    return 0;
}

int32_t regist_urgent_func(FUNC_PTR f)
{
    if (registry_is_frozen())
        return -1;
    urgent = f;
    return 0;
}

int32_t regist_receipt_func(void (*f)(const struct mario_receipt *))
{
    if (registry_is_frozen())
        return -1;
    receipt = f;
    return 0;
}

int32_t regist_framing(const struct mario_framing *framing)
{
    const char *wrong = registry_is_frozen() ? "the server runs"
                        : framing == NULL    ? "there is none"
                                             : framing_add(framing);
    if (wrong == NULL)
        return 0;
    complain("framing '%.31s' cannot be registered: %s",
             framing != NULL && framing->name != NULL ? framing->name : "", wrong);
    return -1;
}

int32_t regist_word_func(const char *word, uint16_t id, FUNC_PTR f)
{
    const char *wrong = registry_is_frozen()       ? "the server runs"
                        : id >= AKG_FIRST_RESERVED ? "its id is reserved (allowed: 0x0000..0xfffb)"
                        : word == NULL             ? "there is none"
                                                   : word_add(word, id);
    if (wrong == NULL)
        return f == NULL ? 0 : regist_akg_func(id, f);
    complain("word '%.64s' cannot be registered: %s", word != NULL ? word : "", wrong);
    return -1;
}
