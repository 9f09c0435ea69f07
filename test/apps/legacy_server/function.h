/*
 * function.h: the business functions.
 */
#ifndef FUNCTION_H
#define FUNCTION_H

#include "mario/mario.h"

sint32 login(CONN *c);
sint32 logout(CONN *c);
sint32 timed_out(CONN *c);
sint32 copy(CONN *c);
sint32 fill(CONN *c);
sint32 again(CONN *c);
sint32 speak(CONN *c);
sint32 online(CONN *c);

#endif
