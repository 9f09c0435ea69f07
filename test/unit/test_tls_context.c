/*
 * test_tls_context.c: certificates, keys and rules: which cannot be used and how that is said, who gets which, who is
 * known again.
 */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "mario/mario_tls.h"
#include "mario/tls/context.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/base/clock.h"
#include "mario/tls/tickets.h"
#include "tls_rig.h"

#define PATH 128

static struct certs certs;
static struct tls_rig rig;

static void setup(void)
{
    tls_rig_setup(&certs, CERT_EC);
}

static const char *in_dir(const char *name)
{
    static char paths[8][PATH];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH, "%s/%s", certs.dir, name);
    return path;
}

static const char *file_of(const char *name, const char *text)
{
    const char *path = in_dir(name);
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
    return path;
}

/* Files of a certificate: its own, and its key's behind a dot. */
static struct mario_tls section(const char *name, const struct cert_ask *ask)
{
    static char keys[8][PATH];
    static unsigned next;
    char *key = keys[next++ % 8];
    struct cert *c = cert_make(ask);
    const char *path = in_dir(name);
    snprintf(key, PATH, "%s.key", path);
    cert_write(c, path);
    cert_write_key(c, NULL, key);
    chmod(key, 0600);
    cert_free(&c);
    return (struct mario_tls){.name = name, .certificate = path, .key = key};
}

/* ---- What cannot be used ---- */

static void is_bad(const struct mario_tls *s, const char *field, const char *word)
{
    struct mario_tls_certificate c;
    char why[256] = "", line[256];
    ck_assert_msg(mario_tls_describe(s, &c, why, sizeof why) == -1, "%s: %s", field, word);
    snprintf(line, sizeof line, "%s: ", field);
    ck_assert_msg(strncmp(why, line, strlen(line)) == 0 && strstr(why, word) != NULL, "'%s' has no %s or %s",
                  why, line, word);
    ck_assert(tls_contexts_make(s, 1, NULL, 0, &(struct tls_policy){.slim = false}, why, sizeof why) == NULL);
    snprintf(line, sizeof line, "tls %s: %s: ", s->name, field);
    ck_assert_msg(strncmp(why, line, strlen(line)) == 0, "'%s' does not begin with '%s'", why, line);
}

/* Goal: each kind of bad section is refused with a line that begins with the key to change. */
START_TEST(bad_sections)
{
    struct mario_tls good = {.name = "one", .certificate = certs.server, .key = certs.key}, s;
    struct cert *c = cert_make(&(struct cert_ask){.name = "locked"});
#define BAD(field, value, word) (s = good, s.field = value, is_bad(&s, #field, word))
    BAD(certificate, NULL, "none");
    BAD(certificate, in_dir("nowhere"), "No such file");
    BAD(certificate, certs.dir, "no file");
    BAD(certificate, file_of("empty", ""), "empty");
    BAD(certificate, file_of("text", "just text\n"), "no certificate");
    ck_assert_int_eq(mkfifo(in_dir("fifo"), 0600), 0);
    BAD(certificate, in_dir("fifo"), "no file"); /* and nobody waits for who writes into it */
    BAD(key, in_dir("fifo"), "no file");
    ck_assert_int_eq(truncate(file_of("large", "x"), (4 << 20) + 1), 0);
    BAD(certificate, in_dir("large"), "larger than 4 MB");
    BAD(key, in_dir("large"), "larger than 4 MB");
    BAD(certificate, certs.key, "no certificate");
    BAD(certificate,
        file_of("broken", "-----BEGIN CERTIFICATE-----\nMIIBszCCAVmgAwIBAgIU\n-----END CERTIFICATE-----\n"),
        "cannot be read");
    BAD(key, in_dir("nowhere"), "No such file");
    BAD(key, certs.server, "no private key");
    BAD(key, file_of("text", "just text\n"), "no private key");
    BAD(key, certs.client_key, "not that of the first certificate in");
    BAD(key, NULL, "no private key");
    cert_write_key(c, "secret", in_dir("locked"));
    BAD(key, in_dir("locked"), "encrypted");
    BAD(chain, in_dir("nowhere"), "No such file");
    BAD(chain, certs.key, "no certificate");
    BAD(client_ca, in_dir("nowhere"), "No such file");
    BAD(client_ca, certs.key, "no certificate");
    BAD(sni, "example.com,what a host", "what a host");
    BAD(sni, "a..b", "a..b");
    BAD(sni, "example.com, 127.0.0.1", "127.0.0.1");
    BAD(sni, "*.", "*.");
    BAD(sni, "a,,b", "''");
    BAD(alpn, "h2,,x", "1 .. 255");
    BAD(ciphers, "ECDHE-ECDSA-AES128-GCM-SHA256:NO-SUCH", "'NO-SUCH'");
    BAD(ciphers, "TLS_NO_SUCH", "'TLS_NO_SUCH'");
    BAD(tickets, 9, "9");
    BAD(tickets, -2, "-2");
    BAD(min_version, (enum mario_tls_version) 3, "3");
#undef BAD
    cert_free(&c);
    s = section("late", &(struct cert_ask){.name = "weak"});
    char why[256];
    struct mario_tls_certificate made;
    s.name = "Not a name";
    ck_assert(mario_tls_describe(&s, &made, why, sizeof why) == -1);
    ck_assert_msg(strncmp(why, "name: ", 6) == 0, "%s", why);
}
END_TEST

/* Goal: what is good is described; what is only doubtful has a warning. */
START_TEST(descriptions)
{
    struct mario_tls_certificate c;
    char why[256];
    int64_t now = (int64_t) time(NULL);
    struct mario_tls s =
        section("good", &(struct cert_ask){.name = "good.example.com",
                                           .names = "good.example.com,*.Wild.example.com,127.0.0.1",
                                           .signer = certs.authority,
                                           .begins_s = -100,
                                           .ends_s = 1000});
    ck_assert_msg(mario_tls_describe(&s, &c, why, sizeof why) == 0, "%s", why);
    ck_assert_str_eq(c.name, "good");
    ck_assert_msg(strstr(c.subject, "CN=good.example.com") != NULL, "%s", c.subject);
    ck_assert_str_eq(c.names, "good.example.com,*.wild.example.com");
    ck_assert_str_eq(c.key, "EC prime256v1");
    ck_assert_str_eq(c.warning, "");
    ck_assert(c.not_before >= now - 110 && c.not_before <= now - 90);
    ck_assert(c.not_after >= now + 990 && c.not_after <= now + 1010);
    ck_assert(c.chain == 0 && !c.asks_for_client);
    s.chain = certs.ca;
    s.client_ca = certs.ca;
    s.sni = "one.wild.example.com,*.wild.example.com,GOOD.example.com";
    ck_assert_msg(mario_tls_describe(&s, &c, why, sizeof why) == 0, "%s", why);
    ck_assert(c.chain == 1 && c.asks_for_client);
    ck_assert_str_eq(c.names, s.sni);
    ck_assert_str_eq(c.warning, "");
    s.sni = "good.example.com,other.example.com";
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0);
    ck_assert_str_eq(c.warning, "it is not for 'other.example.com', which sni says");
    s.sni = "*.example.com";
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0 &&
              strstr(c.warning, "'*.example.com'") != NULL);
    chmod(s.key, 0644);
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0 && strstr(c.warning, "everybody") != NULL);
    s.chain = certs.client;
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0 && strstr(c.warning, "not signed") != NULL);
    s = section("old", &(struct cert_ask){.begins_s = -2000, .ends_s = -1000});
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0 && strstr(c.warning, "expired on 2") != NULL);
    s = section("young", &(struct cert_ask){.begins_s = 1000, .ends_s = 2000});
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0 &&
              strstr(c.warning, "not valid before 2") != NULL);
    s = section("rsa", &(struct cert_ask){.kind = CERT_RSA});
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0);
    ck_assert_str_eq(c.key, "RSA 2048");
    s = section("ed", &(struct cert_ask){.kind = CERT_ED25519});
    ck_assert(mario_tls_describe(&s, &c, why, sizeof why) == 0);
    ck_assert_str_eq(c.key, "ED25519");
}
END_TEST

/* Goal: the chain is sent, from either file: who trusts the root alone is content. */
START_TEST(chains)
{
    struct cert *middle =
        cert_make(&(struct cert_ask){.name = "middle", .ca = true, .signer = certs.authority});
    struct cert *leaf = cert_make(&(struct cert_ask){.name = "leaf", .names = "localhost", .signer = middle});
    const char *both = in_dir("both"), *alone = in_dir("alone"), *above = in_dir("above"),
               *key = in_dir("leaf.key");
    cert_write_chain(leaf, (const struct cert *const[]){middle, NULL}, both);
    cert_write(leaf, alone);
    cert_write(middle, above);
    cert_write_key(leaf, NULL, key);
    cert_free(&middle);
    cert_free(&leaf);
    const struct mario_tls sections[] = {{.name = "one", .certificate = both, .key = key},
                                         {.name = "two", .certificate = alone, .key = key, .chain = above},
                                         {.name = "three", .certificate = both, .key = key, .chain = above},
                                         {.name = "four", .certificate = alone, .key = key}};
    const char *const lists[] = {"one", "two", "three", "four", NULL};
    tls_rig_contexts(&rig, sections, 4, lists, false);
    for (uint32_t i = 0; i < 4; i++) {
        struct tls_rig_client ask = {.host = "localhost", .ca = certs.ca, .set = i};
        ck_assert_msg(tls_rig_connect(&rig, &ask) == (i < 3), "%s", lists[i]);
    }
    ck_assert_uint_eq(tls_contexts_at(rig.contexts, 2)->chain, 1);
    tls_rig_over(&rig);
}
END_TEST

/* ---- Who gets which ---- */

/* Goal: a listener's list is made into a set; one that names what is not there is refused, and says what is. */
START_TEST(lists)
{
    const struct mario_tls sections[] = {{.name = "one", .certificate = certs.server, .key = certs.key},
                                         section("two", &(struct cert_ask){.kind = CERT_RSA})};
    const char *bad[] = {"one+three", "", "one+", "one+one", "+one"};
    char why[256];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        ck_assert(tls_contexts_make(sections, 2, &bad[i], 1, &(struct tls_policy){.slim = false}, why,
                                    sizeof why) == NULL);
        ck_assert_msg(strstr(why, i == 3 ? "twice" : "there are: one, two") != NULL, "%s", why);
    }
    const char *const good[] = {NULL, "one", "one+two", NULL, "two"};
    const struct tls_contexts *c = tls_contexts_make(sections, 2, good, 5,
                                                     &(struct tls_policy){.slim = false}, why, sizeof why),
                              *other;
    ck_assert_msg(c != NULL, "%s", why);
    for (uint32_t i = 0; i < 6; i++)
        ck_assert(tls_set_is_there(c, i) == (i < 5 && good[i] != NULL));
    ck_assert(!tls_set_is_slow(c, 1) && tls_set_is_slow(c, 2) && tls_set_is_slow(c, 4));
    ck_assert_uint_eq(tls_contexts_count(c), 2);
    ck_assert_str_eq(tls_contexts_at(c, 1)->name, "two");
    other = tls_contexts_hold(c);
    tls_contexts_free(&c);
    ck_assert(c == NULL && tls_contexts_count(other) == 2);
    tls_contexts_free(&other);
}
END_TEST

/* Goal: the name that a client asks for chooses, whatever its case; a name before a wildcard; else the first. */
START_TEST(names)
{
    static const struct {
        const char *host, *name;
    } wanted[] = {{NULL, "first"},
                  {"first.example.com", "first"},
                  {"nobody.org", "first"},
                  {"second.example.com", "second"},
                  {"SECOND.Example.Com", "second"},
                  {"anything.example.com", "wild"},
                  {"more.than.one.example.com", "first"},
                  {"example.com", "first"},
                  {"own.names", "own"},
                  {"own.name", "first"}};
    struct mario_tls sections[] = {section("first", &(struct cert_ask){.name = "first"}),
                                   section("wild", &(struct cert_ask){.name = "wild"}),
                                   section("second", &(struct cert_ask){.name = "second"}),
                                   section("own", &(struct cert_ask){.name = "own", .names = "own.names"})};
    struct mario_tls_info info;
    sections[0].sni = "first.example.com";
    sections[1].sni = "*.example.com";
    sections[2].sni = "else.where , Second.example.com";
    tls_rig_contexts(&rig, sections, 4, (const char *const[]){"first+wild+second+own", NULL}, false);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct tls_rig_client ask = {.host = wanted[i].host, .max = _i ? TLS1_2_VERSION : TLS1_3_VERSION};
        ck_assert(tls_rig_connect(&rig, &ask) && tls_facts(rig.s, &info));
        ck_assert_str_eq(info.name, wanted[i].name);
        ck_assert_str_eq(tls_rig_server_name(&rig), wanted[i].name);
        ck_assert_str_eq(info.sni, wanted[i].host != NULL ? wanted[i].host : "");
    }
    tls_rig_over(&rig);
}
END_TEST

/* Goal: what one name demands holds for it, though the listener's first does not; and the other way round. */
START_TEST(rules_by_name)
{
    struct mario_tls sections[] = {
        {.name = "one", .certificate = certs.server, .key = certs.key, .sni = "one"},
        {.name = "two",
         .certificate = certs.server,
         .key = certs.key,
         .sni = "two",
         .client_ca = certs.ca,
         .alpn = "second",
         .min_version = MARIO_TLS_1_3,
         .tickets = -1}};
    static const char *const orders[] = {"one+two", "two+one", NULL};
    struct mario_tls_info info;
    tls_rig_contexts(&rig, sections, 2, orders, false);
    for (uint32_t set = 0; set < 2; set++) {
        struct tls_rig_client ask = {.set = set, .host = "one", .max = TLS1_2_VERSION, .alpn = "\x06second"};
        ck_assert(tls_rig_connect(&rig, &ask) && tls_facts(rig.s, &info));
        ck_assert(!info.has_client && info.alpn[0] == '\0');
        ask.host = "two";
        ck_assert(!tls_rig_connect(&rig, &ask) && rig.t->fault == TLS_FAULT_version);
        ask.max = TLS1_3_VERSION;
        ck_assert(!tls_rig_connect(&rig, &ask) && rig.t->fault == TLS_FAULT_client_certificate);
        ask.certificate = certs.client;
        ask.key = certs.client_key;
        ck_assert(tls_rig_connect(&rig, &ask) && tls_facts(rig.s, &info));
        ck_assert(info.has_client);
        ck_assert_str_eq(info.alpn, "second");
    }
    tls_rig_over(&rig);
}
END_TEST

/* ---- Who is known again ---- */

static bool resumes(struct tls_rig_client *ask, SSL_SESSION *session)
{
    struct mario_tls_info info;
    ask->session = session;
    bool up = tls_rig_connect(&rig, ask);
    ask->session = NULL;
    if (!up)
        return false;
    ck_assert(tls_facts(rig.s, &info) && info.is_resumed == SSL_session_reused(rig.client));
    return info.is_resumed;
}

/* Goal: a client is known again, by another thread, after a reload and while keys change; not after three hours. */
START_TEST(tickets)
{
    struct tls_rig_client ask = {
        .host = "localhost", .ca = certs.ca, .max = _i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION};
    tls_rig_usual(&rig, &certs, _i >= 2);
    ck_assert(tls_rig_connect(&rig, &ask));
    SSL_SESSION *ticket = tls_rig_ticket(&rig);
    ck_assert_uint_eq(SSL_SESSION_get_max_early_data(ticket), 0);
    ck_assert(resumes(&ask, ticket) && tls_rig_talks(&rig));
    SSL_SESSION *next = tls_rig_ticket(&rig);
    if (ask.max == TLS1_3_VERSION) { /* one for the next time, as each is used but once */
        const unsigned char *a, *b;
        size_t a_len, b_len;
        SSL_SESSION_get0_ticket(ticket, &a, &a_len);
        SSL_SESSION_get0_ticket(next, &b, &b_len);
        ck_assert(a_len != b_len || memcmp(a, b, a_len) != 0);
    }
    ck_assert(resumes(&ask, next));
    SSL_SESSION_free(next);
    tls_thread_free(&rig.t);
    ck_assert(resumes(&ask, ticket));
    tls_rig_usual(&rig, &certs, _i >= 2);
    ck_assert(resumes(&ask, ticket));
    tickets_rotate();
    tickets_rotate();
    ck_assert(resumes(&ask, ticket));
    SSL_SESSION *fresh = tls_rig_ticket(&rig);
    tickets_rotate();
    ck_assert(!resumes(&ask, ticket) && tls_is_up(rig.s));
    ck_assert(resumes(&ask, fresh));
    SSL_SESSION_free(ticket);
    SSL_SESSION_free(fresh);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: keys change each hour by the clock alone, one step an hour; what was made three hours ago is good no more,
 * though nobody came meanwhile. */
START_TEST(keys_age)
{
    enum { HOUR_MS = 60 * 60 * 1000 };
    struct tls_rig_client ask = {.host = "localhost", .ca = certs.ca};
    uint64_t now = clock_ms();
    tls_rig_usual(&rig, &certs, false);
    ck_assert(tls_rig_connect(&rig, &ask));
    SSL_SESSION *ticket = tls_rig_ticket(&rig);
    for (int hours = 1; hours <= 3; hours++) {
        tls_tickets_look(now + (uint64_t) hours * HOUR_MS - 60 * 1000); /* not yet */
        ck_assert_msg(resumes(&ask, ticket), "after %d hours", hours);
        for (int i = 0; i < 4; i++)
            tls_tickets_look(now + (uint64_t) hours * HOUR_MS + 60 * 1000);
    }
    ck_assert(!resumes(&ask, ticket) && tls_is_up(rig.s));
    SSL_SESSION_free(ticket);
    tls_rig_over(&rig);
}
END_TEST

/* Whether the name of a ticket's key stands in what this program has of its own; `turned`, lest it be found there. */
static bool is_kept(const unsigned char *turned)
{
    extern const char __data_start[], _end[];
    unsigned char name[16];
    for (size_t i = 0; i < sizeof name; i++)
        name[i] = (unsigned char) ~turned[i];
    return memmem(__data_start, (size_t) (_end - __data_start), name, sizeof name) != NULL;
}

/* Goal: a key that opens nothing any more is nowhere. */
START_TEST(keys_are_wiped)
{
    struct tls_rig_client ask = {.host = "localhost", .ca = certs.ca};
    const unsigned char *ticket;
    unsigned char turned[16];
    size_t n;
    if (UNIT_SLOW > 1) /* is_kept() would look at what a sanitizer has put between variables */
        return;
    tls_rig_usual(&rig, &certs, false);
    ck_assert(tls_rig_connect(&rig, &ask));
    SSL_SESSION *session = tls_rig_ticket(&rig);
    SSL_SESSION_get0_ticket(session, &ticket, &n);
    ck_assert_uint_gt(n, sizeof turned);
    for (size_t i = 0; i < sizeof turned; i++)
        turned[i] = (unsigned char) ~ticket[i];
    SSL_SESSION_free(session);
    for (int hours = 0; hours < 3; hours++) {
        ck_assert_msg(is_kept(turned), "after %d hours", hours);
        tickets_rotate();
    }
    ck_assert(!is_kept(turned));
    tls_rig_over(&rig);
}
END_TEST

struct caller {
    struct tls_rig rig;
    pthread_t thread;
    unsigned failures, strange; /* not connected; connected, but not known again */
};

/* A client that comes again and again, each time with what it has got the last time. */
static void *call_often(void *arg)
{
    struct caller *me = arg;
    SSL_SESSION *ticket = NULL;
    for (int i = 0; i < 40; i++) {
        struct tls_rig_client ask = {.host = "localhost", .session = ticket};
        me->failures += !tls_rig_connect(&me->rig, &ask);
        me->strange += ticket != NULL && SSL_session_reused(me->rig.client) != 1;
        SSL_SESSION_free(ticket);
        ticket = tls_rig_ticket(&me->rig);
        if (i % 10 == 9)
            tickets_rotate();
    }
    SSL_SESSION_free(ticket);
    tls_rig_over(&me->rig);
    return NULL;
}

/* Goal: many threads with the same contexts, whose keys change meanwhile: all are served, and what is old is gone. */
START_TEST(many_threads)
{
    static struct caller callers[4];
    tls_rig_usual(&rig, &certs, _i);
    for (size_t i = 0; i < 4; i++) {
        callers[i].rig.contexts = tls_contexts_hold(rig.contexts);
        ck_assert_int_eq(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    }
    tls_contexts_free(&rig.contexts);
    unsigned failures = 0, strange = 0;
    for (size_t i = 0; i < 4; i++) {
        pthread_join(callers[i].thread, NULL);
        failures += callers[i].failures;
        strange += callers[i].strange;
    }
    ck_assert_uint_eq(failures, 0);
    ck_assert_uint_lt(strange, 20); /* three others may change them between two calls of one */
}
END_TEST

/* Goal: nothing is resumed where tickets are off. */
START_TEST(no_tickets)
{
    struct mario_tls one = {.name = "one", .certificate = certs.server, .key = certs.key, .tickets = -1};
    struct tls_rig_client ask = {.max = _i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION};
    tls_rig_contexts(&rig, &one, 1, (const char *const[]){"one", NULL}, _i >= 2);
    ck_assert(tls_rig_connect(&rig, &ask));
    SSL_SESSION *session = tls_rig_ticket(&rig);
    ck_assert(!SSL_SESSION_has_ticket(session) && !resumes(&ask, session) && tls_is_up(rig.s));
    SSL_SESSION_free(session);
    one.tickets = 0;
    tls_rig_contexts(&rig, &one, 1, (const char *const[]){"one", NULL}, _i >= 2);
    ck_assert(tls_rig_connect(&rig, &ask));
    session = tls_rig_ticket(&rig);
    one.tickets = -1;
    tls_rig_contexts(&rig, &one, 1, (const char *const[]){"one", NULL}, _i >= 2);
    ck_assert(!resumes(&ask, session) && tls_is_up(rig.s));
    SSL_SESSION_free(session);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: what one name has found out about a client counts nothing for another name, nor after a reload that asks other
 * authorities: no certificate is got round by resuming. Who had to show one is still known by it. */
START_TEST(resuming_skips_no_certificate)
{
    struct mario_tls sections[] = {
        {.name = "one", .certificate = certs.server, .key = certs.key, .sni = "one"},
        {.name = "two", .certificate = certs.server, .key = certs.key, .sni = "two", .client_ca = certs.ca}};
    struct tls_rig_client ask = {.host = "one", .max = _i ? TLS1_2_VERSION : TLS1_3_VERSION};
    struct mario_tls_info info;
    const char *const all[] = {"one+two", NULL};
    tls_rig_contexts(&rig, sections, 2, all, false);
    ck_assert(tls_rig_connect(&rig, &ask));
    SSL_SESSION *of_one = tls_rig_ticket(&rig);
    ck_assert(resumes(&ask, of_one));
    ask.host = "two";
    ck_assert(!resumes(&ask, of_one) && !tls_is_up(rig.s));
    ck_assert_int_eq(rig.t->fault, TLS_FAULT_client_certificate);
    ask.certificate = certs.client;
    ask.key = certs.client_key;
    ck_assert(!resumes(&ask, of_one) && tls_is_up(rig.s));
    SSL_SESSION *of_two = tls_rig_ticket(&rig);
    ask.certificate = ask.key = NULL;
    ck_assert(resumes(&ask, of_two) && tls_facts(rig.s, &info) && info.has_client);
    ck_assert_msg(strstr(info.client_subject, "CN=alice") != NULL, "%s", info.client_subject);
    ask.host = "one";
    ck_assert(!resumes(&ask, of_two) && tls_is_up(rig.s));
    struct cert *other = cert_make(&(struct cert_ask){.name = "other", .ca = true});
    const char *path = in_dir("other.pem");
    cert_write(other, path);
    cert_free(&other);
    sections[1].client_ca = path;
    sections[0].client_ca = path;
    tls_rig_contexts(&rig, sections, 2, all, false);
    ck_assert(!resumes(&ask, of_one) && !tls_is_up(rig.s));
    ask.host = "two";
    ck_assert(!resumes(&ask, of_two) && !tls_is_up(rig.s));
    SSL_SESSION_free(of_one);
    SSL_SESSION_free(of_two);
    tls_rig_over(&rig);
}
END_TEST

/* Goal: where libcrypto is told to use only what we are not, slim says so before anybody comes. Others say what libssl
 * says. */
START_TEST(only_certain_modules)
{
    struct mario_tls good = {.name = "one", .certificate = certs.server, .key = certs.key};
    char why[256] = "";
    const struct tls_contexts *c =
        tls_contexts_make(&good, 1, NULL, 0, &(struct tls_policy){.slim = true}, why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    ck_assert_int_eq(EVP_set_default_properties(NULL, "fips=yes"), 1);
    ck_assert(tls_contexts_make(&good, 1, NULL, 0, &(struct tls_policy){.slim = true}, why, sizeof why) ==
              NULL);
    ck_assert_msg(strstr(why, "take tls.records = openssl") != NULL, "%s", why);
    ck_assert(tls_contexts_make(&good, 1, NULL, 0, &(struct tls_policy){.slim = false}, why, sizeof why) ==
              NULL);
    ck_assert_msg(strstr(why, "libssl: ") != NULL, "%s", why);
    tls_contexts_free(&c);
}
END_TEST

Suite *tls_context_suite(void)
{
    Suite *s = suite_create("tls_context");
    TCase *c = unit_case(s, "contexts", 20);
    tcase_add_checked_fixture(c, setup, NULL);
    tcase_add_test(c, bad_sections);
    tcase_add_test(c, descriptions);
    tcase_add_test(c, chains);
    tcase_add_test(c, lists);
    tcase_add_test(c, only_certain_modules);
    tcase_add_loop_test(c, names, 0, 2);
    tcase_add_test(c, rules_by_name);
    tcase_add_loop_test(c, tickets, 0, 4);
    tcase_add_test(c, keys_age);
    tcase_add_test(c, keys_are_wiped);
    tcase_add_loop_test(c, many_threads, 0, 2);
    tcase_add_loop_test(c, no_tickets, 0, 4);
    tcase_add_loop_test(c, resuming_skips_no_certificate, 0, 2);
    return s;
}
