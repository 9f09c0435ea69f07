/*
 * doctor.h: `maritcp doctor`: whether this machine can carry what the configuration asks for. Main thread.
 */
#ifndef MARITCP_DOCTOR_H
#define MARITCP_DOCTOR_H

#include "mario/mario_types.h"

/* All of `maritcp doctor`; argv[0] is the word doctor. Returns the exit code: 0; 1 a mistake in the configuration or on
 * the command line; 4 something fails; 5 there are warnings, with --strict. */
sint32 doctor_main(int argc, char **argv) __attribute__((nonnull));

#endif
