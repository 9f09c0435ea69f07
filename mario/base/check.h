/*
 * check.h: asserts that stay on in release builds: each costs one compare, and stopping activities going on with
 * another client's bytes.
 */
#ifndef MARIO_BASE_CHECK_H
#define MARIO_BASE_CHECK_H

/* Print what broke and abort. Any thread. */
_Noreturn void check_failed(const char *what, const char *file, int line);

#define CHECK(x) (__builtin_expect(!!(x), 1) ? (void) 0 : check_failed(#x, __FILE__, __LINE__))

#endif
