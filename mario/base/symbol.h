/*
 * symbol.h: names for addresses of code, for those who must not wait: signal handlers, the log thread, a process
 * that is about to die. What dladdr() would say is read once, at start; a look-up takes no lock, no heap and asks
 * nobody. So it knows only what was loaded then: of a library that came later there is the address alone.
 */
#ifndef MARIO_BASE_SYMBOL_H
#define MARIO_BASE_SYMBOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbol {
    const char *file;     /* its name without directories; stays valid */
    const char *function; /* NULL if the file does not tell; stays valid */
    uintptr_t offset;     /* from the function's beginning, else from the file's, for addr2line(1) */
};

/* Learn what is loaded now, and load what symbol_frames() needs. May be called again: what came since is added. Main
 * thread, or before threads start. */
void symbol_setup(void);

/* What lies at pc. False if that is in no file that is known. Any thread, signal handlers. */
bool symbol_find(uintptr_t pc, struct symbol *s);

/* That as text: "function+0x12", "file+0x1234" or "0x12345678", cut to size, with a NUL. Its length. Any thread, signal
 * handlers. */
size_t symbol_name(uintptr_t pc, char *out, size_t size);

/* The return addresses of who calls, innermost first, the caller's own first; at most max. How many: 0 where they
 * cannot be found. Any thread, signal handlers; after symbol_setup(). */
int symbol_frames(void **frames, int max);

#endif
