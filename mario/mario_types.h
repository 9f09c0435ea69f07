/*
 * mario_types.h: MarioTCP's integer names. Exact widths on every platform; safe to include anywhere.
 */
#ifndef MARIO_TYPES_H
#define MARIO_TYPES_H

#include <stdint.h>

typedef uint8_t ubyte;
typedef int16_t sint16;
typedef int32_t sint32;
typedef int64_t sint64;
typedef uint16_t uint16;
typedef uint32_t uint32;
typedef uint64_t uint64;

#endif
