/*
 * test_tls_load.c: the clients against maritcp over TLS, with either kind of records: their books are exact in each
 * mode and over each framing, with as many connections as a process may have; and who has no good certificate is told
 * so.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness.h"
#include "test/lib/certs.h"
#include "test/lib/secure.h"

#define MANY 2000u /* ITEST_TLS_CROWD=9000: as many as one likes */

static const char *const kinds[] = {"openssl", "slim"};

static struct certs certs;

/* maritcp with one address, over TLS, and these records. */
static void start(struct server *s, const char *records, const char *framing, const char *more)
{
    static char listen[128], certificate[160], key[160], kind[32];
    certs_usual(&certs, CERT_EC);
    snprintf(listen, sizeof listen, "127.0.0.1:0 tls=default%s", framing);
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", certs.server);
    snprintf(key, sizeof key, "tls default.key=%s", certs.key);
    snprintf(kind, sizeof kind, "tls.records=%s", records);
    const char *args[] = {certificate, key, kind, more, NULL};
    server_launch(s, &(struct launch){.program = "maritcp", .args = args, .listen = listen});
}

/* Run one of the programs against it over TLS, with the words of this line. Returns its exit code. */
static int run(const char *program, const struct server *s, const char *line, char *out, size_t out_size,
               char *err, size_t err_size)
{
    char words[512], port[8], *rest = words;
    const char *args[40] = {"127.0.0.1"};
    size_t n = 2;
    snprintf(words, sizeof words, "%s", line);
    snprintf(port, sizeof port, "%u", s->port);
    args[1] = port;
    for (char *word; (word = strtok_r(rest, " ", &rest)) != NULL && n < 36;)
        args[n++] = word;
    args[n++] = "--tls";
    args[n++] = "--ca";
    args[n++] = certs.ca;
    struct launch l = {.program = program, .args = args, .bare = true};
    return itest_run(&l, out, out_size, err, err_size);
}

static unsigned long long number_of(const char *json, const char *key)
{
    char name[64];
    unsigned long long value = 0;
    snprintf(name, sizeof name, "\"%s\":", key);
    const char *at = strstr(json, name);
    ck_assert_msg(at != NULL && sscanf(at + strlen(name), "%llu", &value) == 1, "no %s in %s", key, json);
    return value;
}

/* What both kinds of records are to carry. */
static const struct {
    const char *framing, *line;
    bool resumes;
} loads[] = {
    {"", "-c 50 -t 0.4 -w 0.1", false},
    {"", "-c 20 -p 16 -a echo -s 3000 -T 2 -t 0.4 -w 0.1", false},
    {"", "-c 10 -a echo -s 8000 -t 0.4 -w 0.1", false},
    {"", "-c 10 -a hello -m open -r 2000 -t 0.4 -w 0.1", false},
    {"", "-c 8 -m churn -t 0.4 -w 0", false},
    {"", "-c 8 -m churn -t 0.4 -w 0 --resume", true},
    {"", "-c 50 -m hold -t 0.5 --heartbeat 0.3 --churn 40 --active 200 --broadcasts 3 --slow 2 --stopped 2",
     false},
    {"", "-c 30 -m push -r 500 --publishers 3 --groups 4 --joins 2 -t 0.5 -w 0.1 -D 20", false},
    {" proto=ws", "-c 20 -p 4 -a echo --proto ws -t 0.4 -w 0.1", false},
    {" proto=line id=word max=2048", "-c 20 -p 4 -a echo -s 100 --proto line -t 0.4 -w 0.1", false},
    {"", "-c 20 -p 4 -a echo --tls12 -t 0.4 -w 0.1", false},
};

#define LOADS (sizeof loads / sizeof loads[0])

/* Goal: the same book, exact to the last request, as without TLS; and both ends count the same handshakes. */
START_TEST(books_are_exact)
{
    char out[16384], err[4096], line[256];
    struct server s;
    size_t at = (size_t) _i % LOADS;
    start(&s, kinds[(size_t) _i / LOADS], loads[at].framing, NULL);
    snprintf(line, sizeof line, "%s -j -", loads[at].line);
    int code = run("mario_load", &s, line, out, sizeof out, err, sizeof err);
    bool is_busy = strstr(err, "rates were not kept") != NULL || strstr(err, "was not kept") != NULL;
    ck_assert_msg(code == 0 || (code == 1 && is_busy), "%s: exit code %d: %s%s", line, code, err, out);
    unsigned long long resumed = number_of(out, "resumed");
    ck_assert_msg((resumed > 0) == loads[at].resumes, "%s", out);
    bool old = strstr(line, "--tls12") != NULL;
    ck_assert_msg(strstr(out, old ? "\"version\":\"TLSv1.2\"" : "\"version\":\"TLSv1.3\"") != NULL, "%s",
                  out);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_handshakes_12") + server_counter(&s, "tls_handshakes_13"),
                      number_of(out, "handshakes"));
    ck_assert_uint_eq(server_counter(&s, "tls_resumed"), resumed);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), 0);
}
END_TEST

/* Goal: a crowd is held over TLS, asked, partly opened again, and nobody is lost. */
START_TEST(crowds_are_held)
{
    char out[8192], err[4096], line[256], places[64];
    struct server s;
    unsigned many = (unsigned) itest_number("ITEST_TLS_CROWD", ITEST_SLOW > 1 ? MANY / 4 : MANY);
    snprintf(places, sizeof places, "server.connnum=%u", many + 1000);
    start(&s, kinds[_i], "", places);
    snprintf(line, sizeof line, "-m hold -c %u -t 1 --heartbeat 1 --churn %u -D 30 -j -", many, many / 50);
    int code = run("mario_load", &s, line, out, sizeof out, err, sizeof err);
    bool is_busy = strstr(err, "rates were not kept") != NULL;
    ck_assert_msg(code == 0 || (code == 1 && is_busy), "exit code %d: %s%s", code, err, out);
    ck_assert_uint_ge(number_of(out, "heard"), many);
    server_finish(&s);
    ck_assert_uint_ge(server_counter(&s, "tls_handshakes_13"), many);
    ck_assert_uint_eq(server_counter(&s, "tls_truncated"), 0);
}
END_TEST

/* Goal: the LOGIN client says with whom it speaks, and what is wrong where it does not trust him; and a server that is
 * met without TLS, or with it where there is none, costs a line and not a wait. */
START_TEST(clients_tell_why)
{
    char out[8192], err[4096];
    struct server s, plain;
    start(&s, "openssl", "", NULL);
    ck_assert_int_eq(run("mario_test", &s, "--hello --echo=words", out, sizeof out, err, sizeof err), 0);
    ck_assert_msg(strstr(out, "TLSv1.3, ") != NULL && strstr(out, ", with localhost\n") != NULL, "%s", out);
    ck_assert_int_eq(run("mario_test", &s, "--sni elsewhere.example", out, sizeof out, err, sizeof err), 1);
    ck_assert_msg(strstr(err, "certificate verify failed: hostname mismatch") != NULL, "%s", err);
    struct launch l = {.program = "mario_test", .bare = true};
    char port[8];
    snprintf(port, sizeof port, "%u", s.port);
    l.args = (const char *[]){"127.0.0.1", port, "-t", "5", NULL};
    ck_assert_int_eq(itest_run(&l, out, sizeof out, err, sizeof err), 1);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "tls_failed_alert"), 1);
    ck_assert_uint_eq(server_counter(&s, "tls_failed_protocol"), 1);
    server_start(&plain, "maritcp", NULL);
    ck_assert_int_eq(run("mario_test", &plain, "-t 5", out, sizeof out, err, sizeof err), 1);
    ck_assert_msg(strstr(err, "cannot connect: ") != NULL, "%s", err);
    server_finish(&plain);
}
END_TEST

Suite *tls_load_suite(void)
{
    Suite *s = suite_create("tls_load");
    TCase *books = itest_case(s, "books", 20), *crowds = itest_case(s, "crowds", 60),
          *words = itest_case(s, "words", 20);
    tcase_add_loop_test(books, books_are_exact, 0, (int) (2 * LOADS));
    tcase_add_loop_test(crowds, crowds_are_held, 0, 2);
    tcase_add_test(words, clients_tell_why);
    return s;
}
