/*
 * frame.h: how a stream of bytes becomes packets: what a framing is, inside. A framing is a function that looks at
 * bytes and says what stands there (mario_frame.h); the worker alone loops over them, and close.c alone closes. A
 * connection has that of the listener it came in by. Pure; any thread.
 */
#ifndef MARIO_FRAME_FRAME_H
#define MARIO_FRAME_FRAME_H

#include <stdint.h>

#include "mario/base/reason.h"
#include "mario/mario_frame.h"

/* The built-in framings set fault to an enum reason, those of applications to a MARIO_FAULT_: what that is here. */
static inline enum reason frame_fault(uint16_t fault)
{
    return fault == MARIO_FAULT_LENGTH ? REASON_bad_length
           : fault == MARIO_FAULT_ID   ? REASON_unknown_akg
                                       : REASON_bad_frame;
}

#endif
