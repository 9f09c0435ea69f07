/*
 * renewed.c: which certificates have other contents than those in use. The thread `conf`; files are read.
 */
#include "renewed.h"

#include <string.h>

void certificates_in_use(struct certificates *c)
{
    c->count = 0;
    while (c->count < CONF_TLS_MAX && mario_tls_used(c->count, &c->all[c->count]) == 0)
        c->count++;
}

void certificates_in_files(struct certificates *c, const struct maritcp_conf *conf)
{
    char why[256];
    c->count = 0;
    for (uint32 i = 0; i < conf->certificate_count; i++)
        c->count += mario_tls_describe(&conf->certificates[i], &c->all[c->count], why, sizeof why) == 0;
}

const struct mario_tls_certificate *certificate_renews(const struct mario_tls_certificate *c,
                                                       const struct certificates *from)
{
    for (uint32 i = 0; i < from->count; i++) {
        const struct mario_tls_certificate *old = &from->all[i];
        if (strcmp(old->name, c->name) == 0)
            return memcmp(old->digest, c->digest, sizeof c->digest) != 0 ? old : NULL;
    }
    return NULL;
}
