/*
 * unwind.c: preloaded into a server: an unwinder that finds nothing, and that never returns to who asks it on a
 * signal's alternate stack, as it may when what it follows makes a circle. On whatever thread calls it.
 */
#include <execinfo.h>
#include <signal.h>
#include <unistd.h>

int backtrace(void **frame, int size)
{
    stack_t stack;
    (void) frame;
    (void) size;
    while (sigaltstack(NULL, &stack) == 0 && (stack.ss_flags & SS_ONSTACK) != 0) {
    }
    return 0;
}
