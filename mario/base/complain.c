/*
 * complain.c: a line on standard error. Any thread.
 */
#include "mario/base/complain.h"

#include <stdarg.h>
#include <stdio.h>

bool complain(const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "mario: %s\n", line);
    return false;
}
