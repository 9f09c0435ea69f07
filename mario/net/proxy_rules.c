/*
 * proxy_rules.c: who may say by a PROXY header whose connection it passes on. By the address alone, never by what was
 * sent: else everybody could choose who he is. Any thread; pure.
 */
#include "mario/net/proxy_rules.h"

#include <stdio.h>
#include <string.h>

/* The networks of trust=, between plus signs. */
static bool read_trusted(struct proxy_rules *r, const struct listen_address *a, const char *list, char *why,
                         size_t size)
{
    char one[CIDR_TEXT + 8];
    for (;; list++) {
        size_t n = strcspn(list, "+");
        snprintf(one, sizeof one, "%.*s", (int) n, list);
        if (r->count == PROXY_NETS)
            return listen_refuse(a, why, size, "trust=: too many networks (allowed: %d)", PROXY_NETS);
        const char *wrong = n < sizeof one ? cidr_parse(one, &r->trusted[r->count++]) : "is no address";
        if (wrong != NULL)
            return listen_refuse(a, why, size, "trust=: '%s' %s", one, wrong);
        list += n;
        if (*list == '\0')
            return true;
    }
}

bool proxy_rules_make(struct proxy_rules *r, const struct listen_address *a, char *why, size_t size)
{
    static const char *const states[] = {"off", "on", NULL}, *const ways[] = {"refuse", "direct", NULL};
    const char *trust = listen_option(a, "trust");
    uint32_t on = 0, direct = 0;
    bool named = trust != NULL || listen_option(a, "untrusted") != NULL;
    *r = (struct proxy_rules){.on = false};
    if (!listen_choice(a, "proxy", states, &on, why, size) ||
        !listen_choice(a, "untrusted", ways, &direct, why, size))
        return false;
    if (on == 0)
        return !named || listen_refuse(a, why, size, "trust= and untrusted= are for proxy=on");
    r->on = true;
    r->refuses = direct == 0;
    r->trusts_all = a->addr.ss_family == AF_UNIX;
    if (r->trusts_all)
        return !named || listen_refuse(a, why, size,
                                       "a unix socket trusts all whom its file's permissions let in: "
                                       "without trust= and untrusted=");
    if (trust == NULL)
        return listen_refuse(a, why, size,
                             "proxy=on needs trust=, the networks whose word is taken: "
                             "trust=10.0.0.0/8+::1");
    return read_trusted(r, a, trust, why, size);
}

bool proxy_rules_trust(const struct proxy_rules *r, const struct peer *from)
{
    bool trusted = r->trusts_all;
    for (uint32_t i = 0; !trusted && i < r->count; i++)
        trusted = cidr_has(&r->trusted[i], from->address);
    return r->on && trusted;
}
