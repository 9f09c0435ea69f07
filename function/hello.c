/*
 * hello.c: SAY_HELLO, the smallest function there is. Runs on the connection's worker.
 */
#include "mario/mario.h"

#include "function.h"

sint32 hello_answer(CONN *c)
{
    static const char text[] = {'h', 'e', 'l', 'l', 'o'};
    return mario_reply(c, text, sizeof text);
}
