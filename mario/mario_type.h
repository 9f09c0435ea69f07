/*
 * mario_type.h: the integer names, under the name that 0.9.9 had for mario_types.h.
 */
#ifndef MARIO_TYPE_H
#define MARIO_TYPE_H

#include "mario_compat.h"

#endif
