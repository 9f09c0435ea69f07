/*
 * secure_args.h: the options of command lines for TLS, the same for both clients. Main thread.
 */
#ifndef TEST_SECURE_ARGS_H
#define TEST_SECURE_ARGS_H

#include <getopt.h>
#include <stdbool.h>

#include "secure.h"

/* What getopt_long() gives for them. */
enum {
    SECURE_TLS = 0x1000,
    SECURE_CA,
    SECURE_INSECURE,
    SECURE_SNI,
    SECURE_CERT,
    SECURE_KEY,
    SECURE_TLS12,
    SECURE_RESUME,
    SECURE_END
};

/* Rows for getopt_long(). */
#define SECURE_LONGS                                                                                    \
    {"tls", no_argument, NULL, SECURE_TLS}, {"ca", required_argument, NULL, SECURE_CA},                 \
        {"insecure", no_argument, NULL, SECURE_INSECURE}, {"sni", required_argument, NULL, SECURE_SNI}, \
        {"cert", required_argument, NULL, SECURE_CERT}, {"key", required_argument, NULL, SECURE_KEY},   \
        {"tls12", no_argument, NULL, SECURE_TLS12},                                                     \
    {                                                                                                   \
        "resume", no_argument, NULL, SECURE_RESUME                                                      \
    }

/* Lines of the usage. */
#define SECURE_USAGE                                                                      \
    "      --tls             over TLS; the server must show a certificate that is good\n" \
    "      --ca FILE         who may have signed it (those that this system trusts)\n"    \
    "      --sni NAME        the name in it, that the server is asked for (HOST)\n"       \
    "      --insecure        do not look at it\n"                                         \
    "      --cert FILE       our own, for servers that want one; --key FILE its key\n"    \
    "      --tls12           TLS 1.2, not 1.3\n"                                          \
    "      --resume          connections after the first resume an earlier session\n"

/* What was given. */
struct secure_args {
    bool wanted;
    struct secure_ask ask;
    const char *last; /* option besides --tls; NULL: none */
};

static inline bool secure_args_is(int opt)
{
    return opt >= SECURE_TLS && opt < SECURE_END;
}

/* One option. */
void secure_args_read(struct secure_args *a, int opt, const char *arg);

/* Do what they say, for all sockets of this process; `host` is whom it connects to, NULL if that has no one name. -1
 * to go on, or 2 after a complaint. */
int secure_args_apply(const struct secure_args *a, const char *host);

/* A line on standard output about the TLS over fd: with whom, and how. Nothing if there is none. */
void secure_args_tell(int fd);

#endif
