/*
 * stuck.c: not preloaded but loaded by a function of testapp, in whose constructor it blocks as the function would:
 * with the loader's lock. On the thread that loads it.
 */
#include <stdint.h>

void stick(uint32_t times); /* testapp's */

__attribute__((constructor)) static void block(void)
{
    stick(1);
}
