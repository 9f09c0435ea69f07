/*
 * test_tls_conf.c: certificates as the configuration names them: what is refused at the start and how it is said, what
 * operators see of those in use.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "operator.h"
#include "scrape.h"
#include "test/lib/certs.h"
#include "test/lib/secure.h"

enum { TEXT = 65536, WAIT_MS = 10000 };

static struct certs certs;
static char certificate[160], key[160], out[TEXT], err[TEXT];

/* The usual certificate as [tls default]. */
static void prepare(void)
{
    certs_usual(&certs, CERT_EC);
    ck_assert(chmod(certs.key, 0600) == 0); /* else it is warned of */
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", certs.server);
    snprintf(key, sizeof key, "tls default.key=%s", certs.key);
}

/* Another one in the usual one's files, signed by the same authority. */
static void write_other(int64_t begins_s, int64_t ends_s)
{
    struct cert *c = cert_make(&(struct cert_ask){
        .name = "other", .begins_s = begins_s, .ends_s = ends_s, .signer = certs.authority});
    cert_write(c, certs.server);
    cert_write_key(c, NULL, certs.key);
    cert_free(&c);
}

/* Run it with these, which end with NULL. The exit code; what it says is in out and err. */
static int run(const char *program, const char *const *args)
{
    return itest_run(&(struct launch){.program = program, .args = args, .bare = true}, out, sizeof out, err,
                     sizeof err);
}

static void says(const char *text, const char *piece)
{
    ck_assert_msg(strstr(text, piece) != NULL, "'%s' is not in:\n%s", piece, text);
}

/* ---- The start ---- */

/* $1, $2 are the usual certificate and key as options. */
static const struct {
    const char *program;
    const char *args[5];
    int code;
    const char *says;
} refused[] = {
    {"maritcp", {"server.listen=127.0.0.1:0 tls=default"}, 1, "there is no section 'default'"},
    {"maritcp",
     {"$1", "$2", "server.listen=127.0.0.1:0 tls=default+defaults"},
     1,
     "there is no section 'defaults'"},
    {"maritcp", {"tls default.certificate=/no/such"}, 1, "-o tls default.certificate=/no/such: "},
    {"maritcp", {"tls default.key=/no/such"}, 1, "[tls default] has no certificate"},
    {"maritcp", {"$1", "tls default.key=/no/such"}, 1, "-o tls default.key=/no/such: "},
    {"maritcp", {"$1"}, 1, "-o tls default.certificate="}, /* there is no key in it */
    {"maritcp", {"$1", "$2", "tls default.ciphers=NONSENSE"}, 1, "-o tls default.ciphers=NONSENSE: "},
    {"maritcp", {"$1", "$2", "server.listen=udp:127.0.0.1:0 tls=default"}, 1, "tls= is for connections"},
    {"maritcp",
     {"$1", "$2", "server.listen=127.0.0.1:0 tls=default oob=mark"},
     1,
     "oob=mark is not for tls="},
    {"testapp", {"server.listen=127.0.0.1:0 tls=default"}, 2, "tls=default: there is no such section"},
    {"testapp", {"$1", "server.listen=127.0.0.1:0 tls=default"}, 2, "tls default: "},
};

/* Goal: what cannot be is one line that says what, and no server. */
START_TEST(starts_refused)
{
    const char *args[6] = {NULL};
    prepare();
    for (int i = 0; refused[_i].args[i] != NULL; i++) {
        const char *arg = refused[_i].args[i];
        args[i] = arg[0] != '$' ? arg : arg[1] == '1' ? certificate : key;
    }
    int code = run(refused[_i].program, args);
    ck_assert_msg(code == refused[_i].code, "exit code %d: %s", code, err);
    says(err, refused[_i].says);
    ck_assert_msg(strchr(err, '\n') == err + strlen(err) - 1, "not one line: %s", err);
}
END_TEST

/* Goal: -t says what a certificate is and until when; one that has expired is warned of, and used. */
START_TEST(shown_by_t)
{
    prepare();
    const char *args[] = {"-t", certificate, key, "server.listen=127.0.0.1:0 tls=default", NULL};
    ck_assert_msg(run("maritcp", args) == 0, "%s", err);
    says(out, "\n[tls default]\n# CN=localhost, EC ");
    says(out, " days from now\n");
    ck_assert(strstr(out, "# warning") == NULL);
    write_other(-864000, -3600);
    ck_assert_msg(run("maritcp", args) == 0, "%s", err);
    says(out, "# CN=other, EC ");
    says(out, "# warning: ");
    write_other(3600, 864000);
    ck_assert_msg(run("maritcp", args) == 0, "%s", err);
    says(out, "# warning: ");
}
END_TEST

/* Goal: a key that server.user may not read is said at the start, by who cannot. */
START_TEST(a_key_of_root)
{
    struct server s;
    prepare();
    if (geteuid() != 0)
        TEST_SKIP("only root becomes another");
    ck_assert(chmod(getenv("ITEST_DIR"), 0711) == 0 && chmod(certs.dir, 0755) == 0 &&
              chmod(certs.server, 0644) == 0 && chmod(certs.key, 0600) == 0);
    const char *args[] = {certificate, key, "server.listen=127.0.0.1:0 tls=default",
                          "server.user=65534:65534", NULL};
    ck_assert_int_eq(run("maritcp", args), 2);
    says(err, "tls default: key: ");
    says(err, "Permission denied");
    ck_assert(chown(certs.key, 65534, 65534) == 0);
    server_launch(
        &s, &(struct launch){.program = "maritcp",
                             .args = (const char *const[]){certificate, key, "server.user=65534:65534", NULL},
                             .listen = "127.0.0.1:0 tls=default",
                             .owner = 65534});
    server_finish(&s);
}
END_TEST

/* ---- Operators ---- */

/* Goal: `ctl tls`, the metrics and the log say the same of a certificate in use. */
START_TEST(in_use)
{
    struct server s;
    struct scrape m;
    char why[200];
    prepare();
    int64_t now = (int64_t) time(NULL);
    write_other(-3600, 10 * 86400 + 3600);
    server_launch(&s,
                  &(struct launch){.program = "maritcp",
                                   .args = (const char *const[]){certificate, key, operator_option(), NULL},
                                   .listen = "127.0.0.1:0 tls=default"});
    const char *json = operator_json("tls");
    ck_assert_str_eq(operator_text(json, "name"), "default");
    ck_assert_str_eq(operator_text(json, "subject"), "CN=other");
    ck_assert_int_eq((int) operator_number(json, "days_left"), 10);
    ck_assert_int_eq((int) operator_number(json, "handshakes"), 0);
    ck_assert_uint_eq(strlen(operator_text(json, "sha256")), 64);
    ck_assert_uint_eq(operator_count(json, "\"name\""), 1);
    operator_json("tls default");
    operator_refused(1, "there is no such section", "tls other");
    scrape_take(&m);
    double expiry = scrape_value(&m, "tls_certificate_expiry_seconds{name=\"default\"}");
    ck_assert_msg(expiry >= (double) now + 10 * 86400 + 3500 && expiry <= (double) now + 10 * 86400 + 3700,
                  "%f", expiry);
    ck_assert(scrape_value(&m, "tls_certificate_handshakes_total{name=\"default\"}") < 0.5);
    scrape_free(&m);
    struct secure *anyone = secure_make(&(struct secure_ask){.insecure = true}, why, sizeof why);
    ck_assert_msg(anyone != NULL, "%s", why);
    int fd = client_open(&s);
    ck_assert_int_eq(secure_lay(anyone, fd), 0);
    client_echo(fd, 10);
    net_close(fd);
    secure_free(&anyone);
    ck_assert_int_eq((int) operator_number(operator_json("tls"), "handshakes"), 1);
    ck_assert_uint_eq(server_log_count(&s, "tls=default"), 1);
    ck_assert_uint_eq(server_log_count(&s, "tls default: CN=other, EC "), 1);
    server_finish(&s);
}
END_TEST

/* Goal: the doctor tells of certificates that expire within 14 days, and of those that have. */
START_TEST(the_doctor)
{
    prepare();
    const char *args[] = {"doctor", certificate, key, NULL};
    run("maritcp", args);
    says(out, "OK    certificates: 1; [tls default] expires first, in ");
    write_other(-3600, 5 * 86400 + 3600);
    run("maritcp", args);
    says(out, "WARN  certificates: 1; [tls default] expires first, in 5 days");
    write_other(-864000, -3 * 86400 + 3600);
    ck_assert_int_eq(run("maritcp", args), 4);
    says(out, "FAIL  certificates: 1; [tls default] expired 3 days ago");
    run("maritcp", (const char *const[]){"doctor", NULL});
    says(out, "OK    certificates: none");
}
END_TEST

Suite *tls_conf_suite(void)
{
    Suite *s = suite_create("tls_conf");
    TCase *c = itest_case(s, "tls_conf", 20);
    tcase_add_loop_test(c, starts_refused, 0, sizeof refused / sizeof refused[0]);
    tcase_add_test(c, shown_by_t);
    tcase_add_test(c, a_key_of_root);
    tcase_add_test(c, in_use);
    tcase_add_test(c, the_doctor);
    return s;
}
