/*
 * sealed.c: what the tests of TLS share. See sealed.h.
 */
#include "sealed.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SHAKE_MS = 8000, ARGS_MOST = 24 };

static struct secure *usual; /* what most clients ask for */

static bool is_slim;

static void use_slim(void)
{
    is_slim = true;
}

TCase *sealed_case(Suite *s, const char *name, unsigned seconds, bool slim)
{
    char whole[80];
    snprintf(whole, sizeof whole, "%s%s", name, slim ? ", slim" : "");
    TCase *c = itest_case(s, whole, seconds);
    if (slim)
        tcase_add_checked_fixture(c, use_slim, NULL);
    return c;
}

const struct certs *sealed_certs(void)
{
    static struct certs certs;
    if (certs.dir[0] == '\0')
        certs_usual(&certs, CERT_EC);
    return &certs;
}

void sealed_start_at(struct server *s, const char *listen, const char *const *more)
{
    char certificate[512], key[512];
    const char *args[ARGS_MOST] = {certificate, key, is_slim ? "tls.records=slim" : "tls.records=openssl"};
    size_t n = 3;
    snprintf(certificate, sizeof certificate, "tls default.certificate=%s", sealed_certs()->server);
    snprintf(key, sizeof key, "tls default.key=%s", sealed_certs()->key);
    for (; more != NULL && *more != NULL; more++) {
        ck_assert(n + 1 < ARGS_MOST);
        args[n++] = *more;
    }
    args[n] = NULL;
    server_launch(s, &(struct launch){.program = "testapp", .args = args, .listen = listen});
}

void sealed_start(struct server *s, const char *options, const char *const *more)
{
    char listen[160];
    snprintf(listen, sizeof listen, "127.0.0.1:0, 127.0.0.1:0 tls=default %s", options);
    sealed_start_at(s, listen, more);
}

static struct secure *made_of(const struct secure_ask *ask)
{
    char why[200];
    struct secure_ask whole = ask != NULL ? *ask : (struct secure_ask){.host = "localhost"};
    if (ask == NULL && usual != NULL)
        return usual;
    whole.ca = sealed_certs()->ca;
    struct secure *s = secure_make(&whole, why, sizeof why);
    ck_assert_msg(s != NULL, "TLS: %s", why);
    if (ask == NULL)
        usual = s;
    return s;
}

void sealed_lay(int fd, const struct secure_ask *ask)
{
    ck_assert_int_eq(secure_lay(made_of(ask), fd), 0);
    int rc = secure_shake(fd, itest_deadline(SHAKE_MS));
    ck_assert_msg(rc == 0, "the handshake failed: %s, %s", strerror(errno), secure_why(fd));
}

const char *sealed_fails(int fd, const struct secure_ask *ask)
{
    static char why[200];
    ck_assert_int_eq(secure_lay(made_of(ask), fd), 0);
    ck_assert_msg(secure_shake(fd, itest_deadline(SHAKE_MS)) != 0, "the handshake did not fail");
    snprintf(why, sizeof why, "%s", secure_why(fd));
    net_close(fd);
    return why;
}

int sealed_open_as(const struct server *s, const struct secure_ask *ask)
{
    int fd = client_open_at(&s->addresses[1]);
    sealed_lay(fd, ask);
    return fd;
}

int sealed_open(const struct server *s)
{
    return sealed_open_as(s, NULL);
}

size_t sealed_hello(unsigned char *bytes, size_t room)
{
    int pair[2];
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    ck_assert_int_eq(secure_lay(made_of(NULL), pair[0]), 0);
    ck_assert_int_ne(secure_shake(pair[0], mono_ns() + NS_PER_MS), 0); /* nobody answers */
    ssize_t n = recv(pair[1], bytes, room, 0);
    ck_assert(n > 5 && (size_t) n < room);
    net_close(pair[0]);
    close(pair[1]);
    return (size_t) n;
}

void sealed_expect_end(int fd)
{
    struct secure_facts facts;
    enum ending how = client_ending(fd, NULL, SHAKE_MS);
    ck_assert_msg(how == END_FIN, "it ended with %s", how == END_RST ? "an RST" : "nothing in time");
    secure_facts(fd, &facts);
    ck_assert_msg(facts.ended, "the server's FIN came without close_notify");
    net_close(fd);
}
