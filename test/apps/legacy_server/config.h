/*
 * config.h: what init.conf of the working directory says.
 */
#ifndef CONFIG_H
#define CONFIG_H

#include "mario/mario_type.h"

typedef struct {
    int port;
    int timeout; /* seconds, for reading and writing */
    uint16 workernum;
    uint32 connnum;
} CONF;

extern CONF conf;

/* Read it. 0, or -1 with a line on standard error. */
int init_conf(void);

#endif
