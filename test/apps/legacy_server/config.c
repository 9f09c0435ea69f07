/*
 * config.c: reads init.conf of the working directory: lines of a name and a number. Main thread, before the server.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

CONF conf;

static void set(const char *name, int value)
{
    if (strcmp(name, "PORT") == 0)
        conf.port = value;
    if (strcmp(name, "TIMEOUT") == 0)
        conf.timeout = value;
    if (strcmp(name, "WORKERNUM") == 0)
        conf.workernum = (uint16) value;
    if (strcmp(name, "CONNNUM") == 0)
        conf.connnum = (uint32) value;
}

int init_conf(void)
{
    char name[64];
    int value;
    FILE *f = fopen("init.conf", "r");
    if (f == NULL) {
        fprintf(stderr, "[error] init.conf: %s\n", strerror(errno));
        return -1;
    }
    while (fscanf(f, "%63s %d", name, &value) == 2)
        set(name, value);
    fclose(f);
    fprintf(stdout, ">>> init_conf port %d timeout %d workernum %d connnum %u\n", conf.port, conf.timeout,
            conf.workernum, conf.connnum);
    fflush(stdout);
    return 0;
}
