/*
 * secure_args.c: the options of command lines for TLS. Main thread, before anything else runs.
 */
#include "secure_args.h"

#include <stdio.h>
#include <string.h>

#include "args.h"

void secure_args_read(struct secure_args *a, int opt, const char *arg)
{
    static const char *const names[] = {"--tls",  "--ca",  "--insecure", "--sni",
                                        "--cert", "--key", "--tls12",    "--resume"};
    if (opt == SECURE_TLS)
        a->wanted = true;
    else
        a->last = names[opt - SECURE_TLS];
    if (opt == SECURE_CA)
        a->ask.ca = arg;
    else if (opt == SECURE_INSECURE)
        a->ask.insecure = true;
    else if (opt == SECURE_SNI)
        a->ask.host = arg;
    else if (opt == SECURE_CERT)
        a->ask.certificate = arg;
    else if (opt == SECURE_KEY)
        a->ask.key = arg;
    else if (opt == SECURE_TLS12)
        a->ask.max = 0x0303;
    else if (opt == SECURE_RESUME)
        a->ask.resume = true;
}

/* An IPv6 address without its brackets. */
static const char *bare(const char *host, char *room, size_t size)
{
    size_t n = strlen(host);
    if (host[0] != '[' || host[n - 1] != ']')
        return host;
    snprintf(room, size, "%.*s", (int) (n - 2), host + 1);
    return room;
}

int secure_args_apply(const struct secure_args *a, const char *host)
{
    char why[256], room[64];
    struct secure_ask ask = a->ask;
    if (!a->wanted)
        return a->last == NULL ? -1 : args_complain("%s needs --tls", a->last);
    if (ask.key != NULL && ask.certificate == NULL)
        return args_complain("--key needs --cert");
    if (ask.host == NULL && host != NULL)
        ask.host = bare(host, room, sizeof room);
    if (ask.host == NULL && !ask.insecure)
        return args_complain("--tls: which name must the certificate have? Give --sni NAME, or --insecure");
    struct secure *s = secure_make(&ask, why, sizeof why);
    if (s == NULL)
        return args_complain("--tls: %s", why);
    secure_all(s);
    return -1;
}

void secure_args_tell(int fd)
{
    struct secure_facts f;
    secure_facts(fd, &f);
    if (f.up)
        printf("%s, %s, with %s%s\n", f.version, f.cipher, f.subject[0] != '\0' ? f.subject : "nobody",
               f.resumed ? ", resumed" : "");
}
