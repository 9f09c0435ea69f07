/*
 * mario_global.h: the constants of 0.9.9, under the name it had for them.
 */
#ifndef MARIO_GLOBAL_H
#define MARIO_GLOBAL_H

#include "mario_compat.h"

#endif
