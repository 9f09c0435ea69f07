/*
 * protocol.h: what bench/push/server understands beside maritcp's LOGIN, ECHO, JOIN and SAY.
 */
#ifndef PUSH_PROTOCOL_H
#define PUSH_PROTOCOL_H

enum bench_push_cmd {
    BENCH_SAY_ALL = 0x0001, /* as SAY, to all connections: they get SAID */
    BENCH_STAT = 0x0002     /* the name of a counter -> HEAD + uint64_t */
};

#endif
