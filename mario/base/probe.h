/*
 * probe.h: places where a tracer may look on: static probes (USDT) of the provider `mario`, for bpftrace, perf and
 * SystemTap; docs/tracing.md lists them. Any thread.
 *
 * Each is one instruction that does nothing, and a note in the file that says where it is and in which registers its
 * arguments are; so an argument is to be something that is at hand there. Where <sys/sdt.h> was missing when this was
 * built there is nothing at all.
 */
#ifndef MARIO_BASE_PROBE_H
#define MARIO_BASE_PROBE_H

#ifdef MARIO_WITH_PROBES
#include <sys/sdt.h>
#define PROBE1(name, a)       DTRACE_PROBE1(mario, name, a)
#define PROBE3(name, a, b, c) DTRACE_PROBE3(mario, name, a, b, c)
#else
#define PROBE1(name, a)       ((void) (a))
#define PROBE3(name, a, b, c) ((void) (a), (void) (b), (void) (c))
#endif

#endif
