/*
 * variables.h: a request as the variables of RFC 3875. Any thread that runs a function of c.
 */
#ifndef WEB_VARIABLES_H
#define WEB_VARIABLES_H

#include "fastcgi.h"
#include "head.h"
#include "mario/mario.h"

/* What of a path is which script's. */
struct script_path {
    char *path;       /* decoded, relative to the root */
    uint32 name;      /* where its name begins in it */
    uint32 info;      /* where the name ends, and what is the script's own begins, with a '/' or nothing */
    const char *file; /* the program, with its directory */
};

/* Add them all to a request that has begun. */
void variables_add(struct fastcgi_out *o, CONN *c, const struct head *h, const struct script_path *s);

#endif
