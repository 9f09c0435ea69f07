/*
 * test_clients_tls.c: TLS as the clients speak it (test/lib/secure.h), against OpenSSL's server: bytes, verification,
 * what is said when it fails, tickets, new keys, ends; and the two programs with it. Run by the unit test runner.
 */
#include "unit.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bad_server.h"
#include "test/lib/certs.h"
#include "test/lib/clock.h"
#include "test/lib/net.h"
#include "test/lib/payload.h"
#include "test/lib/secure.h"
#include "tls_door.h"

static struct certs certs;

static uint64_t soon(void)
{
    return mono_ns() + 5 * NS_PER_S * UNIT_SLOW;
}

/* Settings, or an end of the test where there are none. */
static struct secure *settings(const struct secure_ask *ask)
{
    char why[256] = "";
    struct secure *s = secure_make(ask, why, sizeof why);
    ck_assert_msg(s != NULL, "%s", why);
    return s;
}

static void setup(void)
{
    certs_usual(&certs, CERT_EC);
}

static struct door usual_door(void)
{
    return (struct door){.certificate = certs.server, .key = certs.key};
}

static int connect_to(uint16_t port, const struct secure_ask *ask)
{
    char text[8];
    struct net_target t;
    snprintf(text, sizeof text, "%u", port);
    ck_assert_ptr_null(net_resolve("127.0.0.1", text, &t));
    secure_all(settings(ask));
    int fd = net_connect_wait(&t, soon());
    int err = errno;
    secure_all(NULL);
    errno = err;
    return fd;
}

/* One that must be made. */
static int open_to(uint16_t port, struct secure_ask ask)
{
    ask.ca = certs.ca;
    if (ask.host == NULL)
        ask.host = "localhost";
    int fd = connect_to(port, &ask);
    ck_assert_msg(fd >= 0, "%s", secure_error(errno));
    return fd;
}

/* n bytes there and back, both ways at a time. */
static void echo(int fd, size_t n)
{
    unsigned char *out = malloc(n), *in = malloc(n + 1);
    size_t sent = 0, got = 0;
    payload_fill(out, n, 1, (uint32_t) n);
    for (uint64_t until = soon(); got < n && mono_ns() < until;) {
        ssize_t k = sent < n || net_owes(fd) ? net_send(fd, out + sent, n - sent) : 0;
        UNIT_ASSERT(k >= 0 || errno == EAGAIN);
        sent += k > 0 ? (size_t) k : 0;
        k = net_recv(fd, in + got, n + 1 - got);
        UNIT_ASSERT(k > 0 || (k < 0 && errno == EAGAIN));
        got += k > 0 ? (size_t) k : 0;
        if (k < 0)
            poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 1);
    }
    ck_assert_uint_eq(got, n);
    ck_assert_int_eq(memcmp(in, out, n), 0);
    free(in);
    free(out);
}

/* ---- Bytes ---- */

/* Goal: any number of bytes comes back, with either version, also what no socket takes at once. */
START_TEST(tls_carries_bytes)
{
    static const size_t sizes[] = {1, 2, 100, 16383, 16384, 16385, 65536, 100000, 5000000};
    struct secure_facts f;
    uint16_t port;
    struct door d = usual_door();
    pid_t pid = door_open(&d, &port);
    for (int max = 0x0303; max <= 0x0304; max++) {
        int fd = open_to(port, (struct secure_ask){.max = max});
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
            echo(fd, sizes[i]);
        secure_facts(fd, &f);
        ck_assert(f.up && !f.resumed);
        ck_assert_str_eq(f.version, max == 0x0303 ? "TLSv1.2" : "TLSv1.3");
        ck_assert_str_eq(f.subject, "localhost");
        net_close(fd);
    }
    door_close(pid);
}
END_TEST

/* Goal: those that wait take few bytes at a time of what has come as one record. */
START_TEST(tls_waits_for_few)
{
    char in[4];
    uint16_t port;
    struct door d = usual_door();
    pid_t pid = door_open(&d, &port);
    int fd = open_to(port, (struct secure_ask){0});
    ck_assert_int_eq(net_send_wait(fd, "abcdefgh", 8, soon()), 0);
    ck_assert_int_eq(net_recv_wait(fd, in, 3, soon()), 3);
    ck_assert_int_eq(memcmp(in, "abc", 3), 0);
    ck_assert_int_eq(net_recv_wait(fd, in, 1, soon()), 1);
    ck_assert_int_eq(net_recv_wait(fd, in, 4, soon()), 4);
    ck_assert_int_eq(memcmp(in, "efgh", 4), 0);
    ck_assert_int_eq(net_recv_wait(fd, in, 1, mono_ns() + 20 * NS_PER_MS), -1);
    ck_assert_int_eq(errno, ETIMEDOUT);
    net_close(fd);
    door_close(pid);
}
END_TEST

/* Goal: new keys, asked for by either side, many times, lose nothing. */
START_TEST(tls_takes_new_keys)
{
    uint16_t port;
    struct door d = usual_door();
    d.deed = DOOR_NEW_KEYS;
    pid_t pid = door_open(&d, &port);
    int fd = open_to(port, (struct secure_ask){0});
    for (int i = 0; i < 50; i++) {
        ck_assert_int_eq(secure_key_update(fd, i % 2 == 0), 0);
        echo(fd, 1000);
    }
    net_close(fd);
    door_close(pid);
}
END_TEST

/* ---- Who is it ---- */

/* Make a certificate with these words, and open a door with it. */
static pid_t door_with(const struct cert_ask *ask, uint16_t *port)
{
    static char pem[96], key[96];
    struct cert_ask full = *ask;
    snprintf(pem, sizeof pem, "%s/other.pem", certs.dir);
    snprintf(key, sizeof key, "%s/other.key", certs.dir);
    struct cert *c = cert_make(&full);
    cert_write(c, pem);
    cert_write_key(c, NULL, key);
    cert_free(&c);
    return door_open(&(struct door){.certificate = pem, .key = key}, port);
}

static void is_refused(const struct cert_ask *cert, struct secure_ask ask, const char *why)
{
    uint16_t port;
    pid_t pid = door_with(cert, &port);
    ask.ca = certs.ca;
    int fd = connect_to(port, &ask);
    int err = errno;
    ck_assert_msg(fd < 0, "it should be: %s", why);
    ck_assert_int_eq(err, EPROTO);
    ck_assert_msg(strstr(secure_first_why(), why) != NULL, "'%s', not '%s'", secure_first_why(), why);
    ck_assert_str_eq(secure_error(err), secure_first_why());
    door_close(pid);
}

/* Goal: a certificate that is no good ends the handshake, and why is said. What comes first in a process is what it
 * says, so that each has its own. */
START_TEST(tls_trusts_nobody)
{
    static const struct {
        struct cert_ask cert;
        const char *host, *why;
        bool strange;
    } wrong[] = {
        {{.names = "localhost"}, "elsewhere.example", "hostname mismatch", false},
        {{.names = "*.example.com"}, "a.b.example.com", "hostname mismatch", false},
        {{.names = "localhost"}, "127.0.0.1", "IP address mismatch", false},
        {{.names = "localhost", .begins_s = -7200, .ends_s = -3600}, "localhost", "has expired", false},
        {{.names = "localhost", .begins_s = 3600, .ends_s = 7200}, "localhost", "not yet valid", false},
        {{.names = "localhost", .client = true}, "localhost", "certificate purpose", false},
        {{.names = "localhost"}, "localhost", "self-signed certificate", true},
    };
    struct cert_ask cert = wrong[_i].cert;
    cert.signer = wrong[_i].strange ? NULL : certs.authority;
    is_refused(&cert, (struct secure_ask){.host = wrong[_i].host}, wrong[_i].why);
}
END_TEST

/* Goal: the same certificates are taken by who does not ask, and good ones by who does: by a name of several, a
 * wildcard, an address, with keys of each kind. */
START_TEST(tls_trusts_who_is_good)
{
    static const char *const hosts[] = {"localhost", "a.example.com", "127.0.0.1", "::1"};
    uint16_t port;
    for (int kind = CERT_EC; kind <= CERT_ED25519; kind++) {
        pid_t pid = door_with(&(struct cert_ask){.names = "localhost,*.example.com,127.0.0.1,::1",
                                                 .kind = (enum cert_kind) kind,
                                                 .signer = certs.authority},
                              &port);
        for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
            int fd = open_to(port, (struct secure_ask){.host = hosts[i]});
            echo(fd, 10);
            net_close(fd);
        }
        door_close(pid);
    }
    pid_t pid = door_with(&(struct cert_ask){.begins_s = -7200, .ends_s = -3600}, &port);
    int fd = connect_to(port, &(struct secure_ask){.insecure = true, .host = "whoever"});
    ck_assert_int_ge(fd, 0);
    echo(fd, 10);
    net_close(fd);
    door_close(pid);
}
END_TEST

/* Goal: a server that wants a certificate gets ours; without one we are told. TLS 1.3's server says so only when we
 * believe all is well. */
START_TEST(tls_shows_its_own)
{
    char in[1];
    uint16_t port;
    struct door d = usual_door();
    d.client_ca = certs.ca;
    d.max = _i == 0 ? 0x0303 : 0x0304;
    pid_t pid = door_open(&d, &port);
    int fd = open_to(port, (struct secure_ask){.certificate = certs.client, .key = certs.client_key});
    echo(fd, 100);
    net_close(fd);
    fd = connect_to(port, &(struct secure_ask){.ca = certs.ca, .host = "localhost"});
    if (fd >= 0) {
        ck_assert_int_eq(net_recv_wait(fd, in, 1, soon()), -1);
        ck_assert_int_eq(errno, EPROTO);
        ck_assert_str_eq(secure_why(fd), secure_first_why());
        net_close(fd);
    }
    ck_assert_str_eq(secure_first_why(),
                     _i == 0 ? "alert: handshake failure" : "alert: certificate required");
    door_close(pid);
}
END_TEST

/* Goal: protocols above are agreed on, or not. */
START_TEST(tls_agrees_on_protocols)
{
    struct secure_facts f;
    uint16_t port;
    struct door d = usual_door();
    d.alpn = "http/1.1";
    pid_t pid = door_open(&d, &port);
    int fd = open_to(port, (struct secure_ask){.alpn = "h2,http/1.1"});
    secure_facts(fd, &f);
    ck_assert_str_eq(f.alpn, "http/1.1");
    net_close(fd);
    ck_assert_int_lt(
        connect_to(port, &(struct secure_ask){.ca = certs.ca, .host = "localhost", .alpn = "mqtt"}), 0);
    ck_assert_str_eq(secure_first_why(), "alert: no application protocol");
    door_close(pid);
}
END_TEST

/* Goal: settings that cannot be say why. */
START_TEST(tls_refuses_settings)
{
    static const struct {
        struct secure_ask ask;
        const char *why;
    } wrong[] = {
        {{.ca = "/nowhere/ca.pem"}, "/nowhere/ca.pem: "},
        {{.insecure = true, .certificate = "/nowhere/c.pem"}, "/nowhere/c.pem: "},
        {{.insecure = true, .ciphers = "NONSENSE"}, "NONSENSE: no cipher match"},
        {{.insecure = true, .alpn = "h2,,x"}, "h2,,x: not a list of protocols"},
        {{.insecure = true, .groups = "P-7"}, "P-7: "},
    };
    char why[256];
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        ck_assert_ptr_null(secure_make(&wrong[i].ask, why, sizeof why));
        ck_assert_msg(strncmp(why, wrong[i].why, strlen(wrong[i].why)) == 0, "'%s'", why);
    }
}
END_TEST

/* ---- Sessions and ends ---- */

/* Goal: later connections resume if they are asked to, with either version, and not otherwise. */
START_TEST(tls_resumes)
{
    char text[8];
    struct secure_totals t;
    struct secure_facts f;
    struct net_target to;
    uint16_t port;
    struct door d = usual_door();
    d.max = _i < 2 ? 0x0303 : 0x0304;
    pid_t pid = door_open(&d, &port);
    snprintf(text, sizeof text, "%u", port);
    ck_assert_ptr_null(net_resolve("127.0.0.1", text, &to));
    secure_all(settings(&(struct secure_ask){.ca = certs.ca, .host = "localhost", .resume = _i % 2 == 1}));
    for (int i = 0; i < 3; i++) {
        int fd = net_connect_wait(&to, soon());
        ck_assert_int_ge(fd, 0);
        echo(fd, 10);
        secure_facts(fd, &f);
        ck_assert(f.ticket || (f.resumed && _i < 2)); /* TLS 1.2 gives no other */
        ck_assert_int_eq(f.resumed, i > 0 && _i % 2 == 1);
        net_close(fd);
    }
    secure_totals(&t);
    ck_assert_uint_eq(t.handshakes, 3);
    ck_assert_uint_eq(t.resumed, _i % 2 == 1 ? 2 : 0);
    door_close(pid);
}
END_TEST

/* Goal: an end that was said and one that was not are told from each other; a record that is none is a fault. */
START_TEST(tls_knows_ends)
{
    char in[16];
    struct secure_facts f;
    uint16_t port;
    struct door d = usual_door();
    d.deed = (enum door_deed) _i;
    pid_t pid = door_open(&d, &port);
    int fd = open_to(port, (struct secure_ask){0});
    ck_assert_int_eq(net_send_wait(fd, "hello", 5, soon()), 0);
    if (d.deed == DOOR_NONE)
        ck_assert_int_eq(net_shut(fd), 0);
    ck_assert_int_eq(net_recv_wait(fd, in, 5, soon()), 5);
    ck_assert_int_eq(net_recv_wait(fd, in, 1, soon()), d.deed == DOOR_GARBAGE ? -1 : 0);
    secure_facts(fd, &f);
    ck_assert_int_eq(f.ended, d.deed == DOOR_NONE);
    ck_assert_msg(d.deed != DOOR_GARBAGE || strcmp(secure_why(fd), "wrong version number") == 0, "%s",
                  secure_why(fd));
    net_close(fd);
    ck_assert_str_eq(secure_why(fd), "");
    door_close(pid);
}
END_TEST

/* Goal: a server that does not speak TLS is told from one that does. */
START_TEST(tls_meets_plain_words)
{
    uint16_t port;
    struct door d = usual_door();
    d.deed = DOOR_PLAIN;
    pid_t pid = door_open(&d, &port);
    ck_assert_int_lt(connect_to(port, &(struct secure_ask){.insecure = true}), 0);
    ck_assert_str_eq(secure_first_why(), "wrong version number");
    door_close(pid);
}
END_TEST

/* Goal: a descriptor's number that is used again has nothing of what lay over it. */
START_TEST(tls_forgets_who_closed)
{
    uint16_t port;
    struct door d = usual_door();
    pid_t pid = door_open(&d, &port), plain;
    int fd = open_to(port, (struct secure_ask){0});
    echo(fd, 10);
    ck_assert(net_is_covered(fd));
    close(fd); /* as a test does that does not know */
    plain = bad_server_start(DEED_NONE, &port);
    char text[8];
    struct net_target t;
    snprintf(text, sizeof text, "%u", port);
    ck_assert_ptr_null(net_resolve("127.0.0.1", text, &t));
    ck_assert_int_eq(net_connect_wait(&t, soon()), fd);
    ck_assert(!net_is_covered(fd));
    net_close(fd);
    door_close(plain);
    door_close(pid);
}
END_TEST

/* ---- The programs ---- */

/* Run one of them; what it says, both ways. Returns its exit code. */
static int run(const char *variable, const char *path, uint16_t port, const char *options, char *said,
               size_t size)
{
    char command[700];
    const char *program = getenv(variable);
    snprintf(command, sizeof command, "%s 127.0.0.1 %u %s 2>&1", program != NULL ? program : path, port,
             options);
    FILE *f = popen(command, "re"); // NOLINT: a command of our own
    ck_assert_ptr_nonnull(f);
    size_t n = fread(said, 1, size - 1, f);
    said[n] = '\0';
    int status = pclose(f);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static const char *with_ca(const char *format)
{
    static char options[400];
    snprintf(options, sizeof options, format, certs.ca);
    return options;
}

/* Goal: mario_load counts nothing wrong over TLS in each of its modes, and says what was agreed on. */
START_TEST(load_speaks_tls)
{
    static const char *const modes[] = {
        "--tls --ca %s -a echo -c 20 -w 0 -t 0.3 -j -",
        "--tls --ca %s -a echo -c 4 -T 2 -p 32 -s 100 -w 0 -t 0.3 -j -",
        "--tls --ca %s -a login -c 3 -m churn -w 0 -t 0.3 -j -",
        "--tls --ca %s -a login -c 3 -m churn --resume -w 0 -t 0.3 -j -",
        "--tls --ca %s -a echo -c 5 -m open -r 1000 --tls12 -w 0 -t 0.3 -j -",
        "--tls --ca %s -a echo -c 20 -m hold -t 0.5 --heartbeat 0.2 --broadcasts 2 -j -",
    };
    char said[8192];
    uint16_t plain, port;
    pid_t server = bad_server_start(DEED_NONE, &plain);
    struct door d = usual_door();
    d.port = plain;
    pid_t pid = door_open(&d, &port);
    int code = run("MARIO_LOAD", "test/mario_load", port, with_ca(modes[_i]), said, sizeof said);
    ck_assert_msg(code == 0, "exit code %d: %s", code, said);
    const char *version =
        strstr(modes[_i], "--tls12") != NULL ? "\"version\":\"TLSv1.2\"" : "\"version\":\"TLSv1.3\"";
    ck_assert_msg(strstr(said, version) != NULL, "%s", said);
    bool resumed = strstr(said, "\"resumed\":0,") == NULL;
    ck_assert_msg(resumed == (strstr(modes[_i], "--resume") != NULL), "%s", said);
    door_close(pid);
    door_close(server);
}
END_TEST

/* Goal: a misdeed behind TLS is found as one without. */
START_TEST(load_finds_misdeeds_over_tls)
{
    static const struct {
        enum misdeed deed;
        const char *fault;
    } deeds[] = {
        {DEED_WRONG, "\"bad_content\":1"}, {DEED_CLOSE, "\"closed\":1"}, {DEED_SILENT, "\"timeout\":1"}};
    char said[8192];
    uint16_t plain, port;
    pid_t server = bad_server_start(deeds[_i].deed, &plain);
    struct door d = usual_door();
    d.port = plain;
    pid_t pid = door_open(&d, &port);
    int code = run("MARIO_LOAD", "test/mario_load", port,
                   with_ca("--tls --ca %s -a echo -c 20 -D 0.8 -m hold -t 1 --heartbeat 0.4 -j -"), said,
                   sizeof said);
    ck_assert_msg(code == 1 && strstr(said, deeds[_i].fault) != NULL, "exit code %d: %s", code, said);
    door_close(pid);
    door_close(server);
}
END_TEST

/* Goal: mario_test logs in over TLS and says with whom; both say why they cannot. */
START_TEST(programs_explain_tls)
{
    char said[8192];
    uint16_t plain, port;
    pid_t server = bad_server_start(DEED_NONE, &plain);
    struct door d = usual_door();
    d.port = plain;
    pid_t pid = door_open(&d, &port);
    ck_assert_int_eq(
        run("MARIO_TEST", "test/mario_test", port, with_ca("--tls --ca %s -l 3"), said, sizeof said), 0);
    ck_assert_msg(strstr(said, "TLSv1.3, TLS_AES_256_GCM_SHA384, with localhost\n") != NULL, "%s", said);
    ck_assert_msg(strstr(said, "logins ok 3") != NULL, "%s", said);
    ck_assert_int_eq(
        run("MARIO_TEST", "test/mario_test", port, with_ca("--tls --ca %s -n 50"), said, sizeof said), 0);
    ck_assert_int_eq(run("MARIO_TEST", "test/mario_test", port, "--tls", said, sizeof said), 1);
    ck_assert_msg(strstr(said, "certificate verify failed: ") != NULL, "%s", said);
    ck_assert_int_eq(run("MARIO_LOAD", "test/mario_load", port, "--tls -t 0.1", said, sizeof said), 2);
    ck_assert_msg(strstr(said, "certificate verify failed: ") != NULL && strstr(said, "check --ca") != NULL,
                  "%s", said);
    ck_assert_int_eq(run("MARIO_TEST", "test/mario_test", port, "--ca x", said, sizeof said), 2);
    ck_assert_msg(strstr(said, "--ca needs --tls") != NULL, "%s", said);
    ck_assert_int_eq(
        run("MARIO_TEST", "test/mario_test", plain, "--tls --insecure -t 0.5", said, sizeof said), 1);
    ck_assert_msg(strstr(said, "cannot connect: ") != NULL, "%s", said);
    door_close(pid);
    door_close(server);
}
END_TEST

Suite *clients_tls_suite(void)
{
    Suite *s = suite_create("clients_tls");
    TCase *lib = unit_case(s, "tls", 20), *programs = unit_case(s, "tls programs", 20);
    tcase_add_checked_fixture(lib, setup, NULL);
    tcase_add_checked_fixture(programs, setup, NULL);
    tcase_add_test(lib, tls_carries_bytes);
    tcase_add_test(lib, tls_waits_for_few);
    tcase_add_test(lib, tls_takes_new_keys);
    tcase_add_loop_test(lib, tls_trusts_nobody, 0, 7);
    tcase_add_test(lib, tls_trusts_who_is_good);
    tcase_add_loop_test(lib, tls_shows_its_own, 0, 2);
    tcase_add_test(lib, tls_agrees_on_protocols);
    tcase_add_test(lib, tls_refuses_settings);
    tcase_add_loop_test(lib, tls_resumes, 0, 4);
    tcase_add_loop_test(lib, tls_knows_ends, DOOR_NONE, DOOR_BARE_FIN + 1);
    tcase_add_loop_test(lib, tls_knows_ends, DOOR_GARBAGE, DOOR_GARBAGE + 1);
    tcase_add_test(lib, tls_meets_plain_words);
    tcase_add_test(lib, tls_forgets_who_closed);
    tcase_add_loop_test(programs, load_speaks_tls, 0, 6);
    tcase_add_loop_test(programs, load_finds_misdeeds_over_tls, 0, 3);
    tcase_add_test(programs, programs_explain_tls);
    return s;
}
