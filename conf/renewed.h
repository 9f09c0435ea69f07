/*
 * renewed.h: which certificates have other contents than those in use: a file may be replaced without a word of the
 * configuration being changed. For the thread `conf`.
 */
#ifndef MARITCP_RENEWED_H
#define MARITCP_RENEWED_H

#include "option.h"

struct certificates {
    struct mario_tls_certificate all[CONF_TLS_MAX];
    uint32 count;
};

/* Those that the server uses, or is about to. */
void certificates_in_use(struct certificates *c);
/* Those of a configuration as the files are now; one that cannot be used is left out. */
void certificates_in_files(struct certificates *c, const struct maritcp_conf *conf);

/* The one of `from` that c, which is of another set, takes the place of; NULL if it is the same or there is none. */
const struct mario_tls_certificate *certificate_renews(const struct mario_tls_certificate *c,
                                                       const struct certificates *from);

#endif
