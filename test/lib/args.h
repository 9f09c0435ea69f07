/*
 * args.h: numbers and names on a command line, checked in one place so that both clients complain alike. Main
 * thread.
 */
#ifndef TEST_ARGS_H
#define TEST_ARGS_H

#include <stdint.h>

#include "net.h"

#define CLIENT_VERSION "1.0.0" /* of both clients; that of the library they come with */

/* The program's name in front of complaints; set it first. */
void args_program(const char *name);

/* One line on standard error, "NAME: ...", and a hint at -h. Returns 2, the exit code for bad usage. */
int args_complain(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Read text as a whole number min .. max, decimal or with 0x. 0, or -1 after a complaint that names the
 * option. */
int args_whole(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value);

/* Read text as hexadecimal, 0x may be missing, at most 32 bits. As above. */
int args_hex32(const char *option, const char *text, uint32_t *value);

/* Read text as decimal seconds min .. max; fractions are allowed. As above. */
int args_seconds(const char *option, const char *text, double min, double max, double *value);

/* What stands beside the options: HOST PORT, or unix:/path. May ask a name server. -1 to go on, or 2 after
 * a complaint. */
int args_target(int n, char **args, struct net_target *target);

/* The same for HOST and a list of ports. */
int args_targets(int n, char **args, struct net_targets *targets);

/* Raise the descriptor limit to `need`. 0, or 2 after one line that says what is missing. */
int args_descriptors(uint64_t need);

#endif
