/*
 * test_tls_reload.c: certificates that are replaced while the server runs: who is there notices nothing, who comes gets
 * the new one, and what cannot be used changes nothing.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operator.h"
#include "test/apps/testapp/commands.h"
#include "test/lib/certs.h"
#include "test/lib/secure.h"

enum { WAIT_MS = 10000 };

static struct certs certs;
static struct secure *trusting;
static char conf_path[128];

/* A certificate of that name, of the authority that clients trust, in the files of [tls default]. */
static void renew(const char *name)
{
    struct cert *c = cert_make(
        &(struct cert_ask){.name = name, .names = "localhost,127.0.0.1", .signer = certs.authority});
    cert_write(c, certs.server);
    cert_write_key(c, NULL, certs.key);
    cert_free(&c);
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");
    ck_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void write_conf(const char *more)
{
    char text[1024];
    snprintf(text, sizeof text, "[tls default]\ncertificate = %s\nkey = %s\n%s", certs.server, certs.key,
             more);
    write_file(conf_path, text);
}

/* How clients that come from now on speak. */
static void trust(bool resume)
{
    char why[200];
    secure_free(&trusting);
    trusting = secure_make(&(struct secure_ask){.ca = certs.ca, .host = "localhost", .resume = resume}, why,
                           sizeof why);
    ck_assert_msg(trusting != NULL, "%s", why);
}

/* Start it, with clients that trust it. */
static void start_more(struct server *s, const char *program, const char *more)
{
    char certificate[160], key[160];
    certs_usual(&certs, CERT_EC);
    snprintf(conf_path, sizeof conf_path, "%s/t.conf", certs.dir);
    write_conf("");
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", certs.server);
    snprintf(key, sizeof key, "tls default.key=%s", certs.key);
    bool is_app = strcmp(program, "testapp") == 0;
    const char *const of_app[] = {certificate, key, operator_option(), more, NULL};
    const char *const of_maritcp[] = {"-c", conf_path, "server.workernum=2", operator_option(), more, NULL};
    server_launch(s, &(struct launch){.program = program,
                                      .args = is_app ? of_app : of_maritcp,
                                      .listen = "127.0.0.1:0,127.0.0.1:0 tls=default"});
    s->log_lines_max = 200;
    trust(false);
}

static void start(struct server *s, const char *program)
{
    start_more(s, program, NULL);
}

/* An option that lets nobody in from 127.0.0.9: its file, which is made, is of this process. */
static char deny_path[96];
static const char *deny_option(void)
{
    static char option[128];
    snprintf(deny_path, sizeof deny_path, "%s/tls_reload.%d.deny", getenv("ITEST_DIR"), (int) getpid());
    write_file(deny_path, "127.0.0.9\n");
    snprintf(option, sizeof option, "admit.deny_file=%s", deny_path);
    return option;
}

/* A connection to the second address, where TLS is, that has been answered; what it says of the server. */
static int come(const struct server *s, struct secure_facts *facts)
{
    int fd = client_open_at(&s->addresses[1]);
    ck_assert_int_eq(secure_lay(trusting, fd), 0);
    client_echo(fd, 100);
    secure_facts(fd, facts);
    return fd;
}

/* Who comes now gets this one. */
static void gets(const struct server *s, const char *name)
{
    struct secure_facts facts;
    int fd = come(s, &facts);
    ck_assert_str_eq(facts.subject, name);
    net_close(fd);
}

/* Goal: of a thousand connections that are there none is lost, and each is answered on; a new one gets the new
 * certificate. */
START_TEST(a_thousand_live)
{
    enum { CLIENTS = 1000 / ITEST_SLOW };
    struct server s;
    static int fds[CLIENTS];
    struct secure_facts facts;
    start(&s, "maritcp");
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = come(&s, &facts);
        ck_assert_str_eq(facts.subject, "localhost");
    }
    renew("renewed");
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "tls default: CN=renewed", WAIT_MS);
    gets(&s, "renewed");
    for (int i = 0; i < CLIENTS; i++)
        client_echo(fds[i], 1000);
    for (int i = 0; i < CLIENTS; i++)
        net_close(fds[i]);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "opened"), CLIENTS + 1);
    ck_assert_uint_eq(server_counter(&s, "reloads"), 1);
}
END_TEST

/* What a file may become; NULL: it is gone. */
static const struct {
    const char *name; /* of a key of [tls default] */
    const char *text;
} broken[] = {
    {"certificate", NULL},
    {"certificate", ""},
    {"certificate", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"},
    {"key", NULL},
    {"key", "nonsense"},
    {"key", "-----BEGIN PRIVATE KEY-----\n"},
};

/* Goal: what cannot be used changes nothing, and is one line that names the file's line; a later good one counts. */
START_TEST(a_bad_one)
{
    struct server s;
    char says[64];
    start(&s, "maritcp");
    renew("renewed");
    const char *path = strcmp(broken[_i].name, "key") == 0 ? certs.key : certs.server;
    if (broken[_i].text == NULL)
        ck_assert(unlink(path) == 0);
    else
        write_file(path, broken[_i].text);
    snprintf(says, sizeof says, "tls default.%s: ", broken[_i].name);
    server_signal(&s, SIGHUP);
    server_wait_log(&s, "; nothing is changed", WAIT_MS);
    ck_assert_uint_eq(server_log_count(&s, says), 1);
    gets(&s, "localhost");
    operator_refused(1, says, "config reload");
    gets(&s, "localhost");
    renew("renewed");
    operator_json("config reload");
    gets(&s, "renewed");
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), 2);
    ck_assert_uint_eq(server_counter(&s, "reloads"), 1);
}
END_TEST

/* Goal: a certificate of one, the key of another: nothing is changed. */
START_TEST(half_of_it)
{
    struct server s;
    start(&s, "maritcp");
    struct cert *c = cert_make(&(struct cert_ask){.name = "half", .signer = certs.authority});
    cert_write(c, certs.server);
    operator_refused(1, "tls default.key: ", "config reload");
    gets(&s, "localhost");
    cert_write_key(c, NULL, certs.key);
    cert_free(&c);
    operator_json("config reload");
    ck_assert_uint_eq(operator_count(operator_json("tls"), "CN=half"), 1);
    server_finish(&s);
}
END_TEST

/* Goal: operators see which files have other contents, before and after; and that it is only that. */
START_TEST(what_is_said)
{
    struct server s;
    start(&s, "maritcp");
    ck_assert_int_eq((int) operator_number(operator_json("config check"), "certificate_changes"), 0);
    renew("renewed");
    const char *json = operator_json("config check");
    ck_assert_int_eq((int) operator_number(json, "certificate_changes"), 1);
    ck_assert_int_eq((int) operator_number(json, "reload_changes"), 0);
    json = operator_json("config diff");
    ck_assert_str_eq(operator_text(json, "subject"), "CN=renewed");
    ck_assert_uint_eq(operator_count(json, "\"was_until\""), 1);
    ck_assert_uint_eq(operator_count(operator_json("tls"), "CN=localhost"), 1);
    json = operator_json("config reload");
    ck_assert_str_eq(operator_text(json, "name"), "default");
    ck_assert_str_eq(operator_text(json, "subject"), "CN=renewed");
    ck_assert_uint_eq(operator_count(operator_json("tls"), "CN=renewed"), 1);
    ck_assert_uint_eq(operator_count(operator_json("config reload"), "\"subject\""), 0);
    gets(&s, "renewed");
    ck_assert_int_eq((int) operator_number(operator_json("tls"), "handshakes"), 1);
    server_finish(&s);
}
END_TEST

/* Goal: keys of the section change live, by the file and by hand; a new section needs a restart. */
START_TEST(keys)
{
    struct server s;
    char command[1024], other[128], secret[160];
    start(&s, "maritcp");
    struct cert *c = cert_make(
        &(struct cert_ask){.name = "elsewhere", .names = "localhost,127.0.0.1", .signer = certs.authority});
    snprintf(other, sizeof other, "%s/other.pem", certs.dir);
    snprintf(secret, sizeof secret, "%s/other.key", certs.dir);
    cert_write(c, other);
    cert_write_key(c, NULL, secret);
    cert_free(&c);
    snprintf(command, sizeof command, "config set tls default.certificate=%s", other);
    operator_refused(1, "tls default.", command);
    gets(&s, "localhost");
    snprintf(command, sizeof command,
             "[tls default]\ncertificate = %s\nkey = %s\n[tls more]\ncertificate = %s\nkey = %s\n", other,
             secret, certs.server, certs.key);
    write_file(conf_path, command);
    const char *json = operator_json("config reload");
    ck_assert_uint_eq(operator_count(json, "\"takes\": \"reload\""), 2);
    ck_assert_uint_eq(operator_count(json, "\"takes\": \"restart\""), 2);
    gets(&s, "elsewhere");
    json = operator_json("config show tls default");
    ck_assert_str_eq(operator_text(json, "value"), other);
    operator_json("config set tls default.min_version=1.3");
    gets(&s, "elsewhere");
    operator_json("config set tls.records=slim");
    gets(&s, "elsewhere");
    server_finish(&s);
}
END_TEST

/* Goal: many reloads, each followed by who comes, with workers in between: always the one that was read last. */
START_TEST(many_times)
{
    enum { TIMES = 60 / ITEST_SLOW };
    struct server s;
    char name[32];
    start(&s, "maritcp");
    s.log_lines_max = 2000;
    struct secure_facts facts;
    int stays = come(&s, &facts);
    for (int i = 0; i < TIMES; i++) {
        snprintf(name, sizeof name, "number-%d", i);
        renew(name);
        operator_json("config reload");
        gets(&s, name);
        client_echo(stays, 10);
    }
    net_close(stays);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reloads"), TIMES);
}
END_TEST

/* Goal: whoever has a ticket comes back with it after a reload that changed nothing of the certificate. */
START_TEST(tickets_stay_good)
{
    struct server s;
    struct secure_facts facts;
    start(&s, "maritcp");
    trust(true);
    net_close(come(&s, &facts));
    ck_assert(!facts.resumed);
    net_close(come(&s, &facts));
    ck_assert(facts.resumed);
    operator_json("config reload");
    net_close(come(&s, &facts));
    ck_assert(facts.resumed);
    server_finish(&s);
}
END_TEST

/* Goal: an application renews by itself; all or nothing there too. */
START_TEST(by_the_application)
{
    struct server s;
    start(&s, "testapp");
    gets(&s, "localhost");
    renew("renewed");
    write_file(certs.key, "nonsense");
    operator_refused(1, "tls default: key: ", "test renew");
    gets(&s, "localhost");
    renew("renewed");
    operator_json("test renew");
    gets(&s, "renewed");
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "reloads"), 1);
    ck_assert_uint_eq(server_counter(&s, "reload_failed"), 1);
}
END_TEST

/* Goal: certificates that the application renews are used with the records that the server has. An answer to new keys
 * comes at once of slim, of openssl only with the next data. */
START_TEST(records_stay_slim)
{
    struct server s;
    struct secure_facts facts;
    start_more(&s, "testapp", "tls.records=slim");
    renew("renewed");
    operator_json("test renew");
    int fd = come(&s, &facts);
    ck_assert_str_eq(facts.subject, "renewed");
    ck_assert_int_eq(secure_key_update(fd, true), 0);
    ck_assert_int_eq(net_send_wait(fd, "", 0, itest_deadline(WAIT_MS)), 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, WAIT_MS), 1);
    client_echo(fd, 100);
    net_close(fd);
    server_finish(&s);
}
END_TEST

/* Goal: a thread that is cancelled while it reads certificates keeps no other one from it. */
START_TEST(who_is_cancelled)
{
#ifdef __SANITIZE_ADDRESS__
    TEST_SKIP("the sanitizer stumbles over the stack of a thread that was cancelled");
#endif
    uint32_t where = TEST_IN_RELOAD;
    struct server s;
    start(&s, "testapp");
    s.log_lines_max = 1000;
    int fd = client_open(&s);
    client_send_packet(fd, TEST_CANCEL, &where, sizeof where);
    ck_assert_int_ne(client_ending(fd, NULL, WAIT_MS), END_TIMEOUT);
    close(fd);
    renew("renewed");
    operator_json("test renew");
    gets(&s, "renewed");
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "closed_function_died"), 1);
}
END_TEST

enum { RENEWED = 100 };

static void *renew_again_and_again(void *good)
{
    for (int i = 0, code; i < RENEWED; i++) {
        operator_ask("test renew", &code);
        *(int *) good += code == 0;
    }
    return NULL;
}

/* Goal: contexts alone and whole settings, offered at the same time by two threads: none undoes the other, and what
 * else the settings have goes on being used: a network that is refused, limits. */
START_TEST(both_kinds_at_once)
{
    struct server s;
    struct test_reload r = {.timeout = 50, .output_high = 262144, .times = 200}, back;
    int good = 0;
    pthread_t t;
    start_more(&s, "testapp", deny_option());
    struct secure_facts facts;
    int fd = come(&s, &facts);
    renew("renewed");
    ck_assert(pthread_create(&t, NULL, renew_again_and_again, &good) == 0);
    ck_assert_uint_eq(client_ask(fd, TEST_RELOAD, &r, sizeof r, &back, sizeof back), sizeof back);
    pthread_join(t, NULL);
    ck_assert_int_eq(good, RENEWED);
    server_wait_counter(&s, "reloads", RENEWED + r.times, WAIT_MS);
    gets(&s, "renewed");
    int denied = client_open_from(&s, "127.0.0.9");
    ck_assert_int_ne(client_ending(denied, NULL, WAIT_MS), END_TIMEOUT);
    net_close(denied);
    client_echo(fd, 10);
    net_close(fd);
    server_finish(&s);
    ck_assert_uint_eq(server_counter(&s, "refused_gate_deny"), 1);
    unlink(deny_path);
}
END_TEST

Suite *tls_reload_suite(void)
{
    Suite *s = suite_create("tls_reload");
    TCase *c = itest_case(s, "tls_reload", 30);
    tcase_add_test(c, a_thousand_live);
    tcase_add_loop_test(c, a_bad_one, 0, sizeof broken / sizeof broken[0]);
    tcase_add_test(c, half_of_it);
    tcase_add_test(c, what_is_said);
    tcase_add_test(c, keys);
    tcase_add_test(c, many_times);
    tcase_add_test(c, tickets_stay_good);
    tcase_add_test(c, by_the_application);
    tcase_add_test(c, records_stay_slim);
    tcase_add_test(c, who_is_cancelled);
    tcase_add_test(c, both_kinds_at_once);
    return s;
}
