/*
 * covered.c: any suite over TLS. See covered.h.
 */
#include "covered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealed.h"

bool covered_is_on(const struct launch *l)
{
    return getenv("ITEST_TLS") != NULL && !l->bare &&
           (strcmp(l->program, "testapp") == 0 || strcmp(l->program, "maritcp") == 0);
}

void covered_listen(char *out, size_t size, const char *list)
{
    static const char *const cannot[] = {"udp:", "oob=", "tls="};
    size_t used = 0;
    for (const char *at = list; *at != '\0'; at += strcspn(at, ",") + (strchr(at, ',') != NULL)) {
        char entry[256];
        bool can = true;
        snprintf(entry, sizeof entry, "%.*s", (int) strcspn(at, ","), at);
        for (size_t i = 0; i < sizeof cannot / sizeof cannot[0]; i++)
            can = can && strstr(entry, cannot[i]) == NULL;
        used += (size_t) snprintf(out + used, size - used, "%s%s%s", used > 0 ? "," : "", entry,
                                  can ? " tls=default" : "");
        ck_assert(used < size);
    }
}

const char *const *covered_args(void)
{
    static char certificate[512], key[512], records[40];
    static const char *const args[] = {certificate, key, records, NULL};
    static struct secure *all;
    char why[200];
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", sealed_certs()->server);
    snprintf(key, sizeof key, "tls default.key=%s", sealed_certs()->key);
    snprintf(records, sizeof records, "tls.records=%s", getenv("ITEST_TLS"));
    if (all == NULL) {
        all =
            secure_make(&(struct secure_ask){.ca = sealed_certs()->ca, .host = "localhost"}, why, sizeof why);
        ck_assert_msg(all != NULL, "TLS: %s", why);
        secure_all(all);
    }
    return args;
}
