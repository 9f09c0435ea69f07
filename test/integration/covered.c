/*
 * covered.c: any suite over TLS. See covered.h.
 */
#include "covered.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sealed.h"

/* Tests that cannot be what they are over TLS, and why; test NULL: the whole file. */
static const struct {
    const char *file, *test, *why;
} omitted[] = {
#define NO_URGENT    "a byte of urgent data has no place in records"
#define NOT_ACCEPTED "who has not been accepted cannot shake hands, so no client is there yet"
    {"test_edges.c", "urgent_bytes_stay", NO_URGENT},
    {"test_urgent.c", NULL, NO_URGENT},
    {"test_overload.c", NULL, NOT_ACCEPTED},
    {"test_watch.c", "a_stalled_master", NOT_ACCEPTED},
    {"test_fair.c", "a_bounded_number_at_a_time", NOT_ACCEPTED},
    {"test_takeover.c", "newcomers_behind_the_stuck_one", NOT_ACCEPTED},
    {"test_linger.c", "all_that_was_sent_at_a_stop", "bytes_out counts what is on the wire"},
    {"test_limits.c", "a_flood_of_small_packets",
     "what is measured is the memory of connections without TLS"},
    {"test_limits.c", "a_first_packet_that_is_limited",
     "limit.bytes counts bytes of handshakes, which come first"},
    {"test_drain.c", "mario_load_is_told", "a program of its own, to which nobody gives the option"},
};

bool covered_omits(const char *file, const char *test)
{
    const char *name = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;
    for (size_t i = 0; getenv("ITEST_TLS") != NULL && i < sizeof omitted / sizeof omitted[0]; i++) {
        if (strcmp(name, omitted[i].file) == 0 &&
            (omitted[i].test == NULL || strcmp(test, omitted[i].test) == 0)) {
            skip_note(file, test, "over TLS: %s", omitted[i].why);
            return true;
        }
    }
    return false;
}

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
