/*
 * tls_door.c: TLS as OpenSSL's server speaks it. Processes of their own; they wait where they like.
 */
#include "tls_door.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *len, const unsigned char *in,
                       unsigned n, void *arg)
{
    const struct door *d = arg;
    (void) ssl;
    for (unsigned at = 0; at < n; at += 1u + in[at]) {
        if (in[at] != strlen(d->alpn) || memcmp(in + at + 1, d->alpn, in[at]) != 0)
            continue;
        *out = in + at + 1;
        *len = in[at];
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static SSL_CTX *make(const struct door *d)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    bool good = ctx != NULL && SSL_CTX_use_certificate_chain_file(ctx, d->certificate) == 1 &&
                SSL_CTX_use_PrivateKey_file(ctx, d->key, SSL_FILETYPE_PEM) == 1 &&
                SSL_CTX_set_max_proto_version(ctx, d->max) == 1 &&
                SSL_CTX_set_session_id_context(ctx, (const unsigned char *) "door", 4) == 1;
    if (d->client_ca != NULL) {
        good = good && SSL_CTX_load_verify_file(ctx, d->client_ca) == 1;
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    }
    if (d->alpn != NULL)
        SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, (void *) (uintptr_t) d);
    ck_assert_msg(good, "a door cannot be opened");
    return ctx;
}

static int go_on(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *) &a, sizeof a) == 0 ? fd : -1;
}

/* An answer, all of it. False when the client takes no more, or for what is to happen behind it. */
static bool answer(const struct door *d, SSL *ssl, int fd, const void *data, int n)
{
    static const char garbage[] = "these bytes are no record at all";
    if (d->deed == DOOR_NEW_KEYS && SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED) != 1)
        return false;
    if (SSL_write(ssl, data, n) != n)
        return false;
    if (d->deed == DOOR_GARBAGE)
        return send(fd, garbage, sizeof garbage, MSG_NOSIGNAL) > 0;
    if (d->deed == DOOR_BARE_FIN)
        shutdown(fd, SHUT_WR);
    return true;
}

/* Bytes both ways until one side has ended. */
static void carry(const struct door *d, SSL *ssl, int fd, int plain)
{
    char data[65536];
    int n = 1;
    while (n > 0) {
        struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = plain, .events = POLLIN}};
        if (SSL_pending(ssl) == 0 && poll(p, 2, -1) < 0)
            return;
        if (SSL_pending(ssl) > 0 || (p[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            n = SSL_read(ssl, data, sizeof data);
            if (n > 0 &&
                (plain < 0 ? !answer(d, ssl, fd, data, n) : send(plain, data, (size_t) n, MSG_NOSIGNAL) < n))
                return;
        } else if (p[1].revents != 0) {
            n = (int) recv(plain, data, sizeof data, 0);
            if (n < 0) { /* it was reset there, and is here */
                struct linger at_once = {.l_onoff = 1};
                setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
                _exit(0);
            }
            if (n > 0 && !answer(d, ssl, fd, data, n))
                return;
        }
    }
    SSL_shutdown(ssl);
}

/* A FIN, and what is still on its way: an RST would overtake the last words. */
static void leave(int fd)
{
    char data[4096];
    shutdown(fd, SHUT_WR);
    while (recv(fd, data, sizeof data, 0) > 0)
        continue;
}

static _Noreturn void serve(const struct door *d, SSL_CTX *ctx, int fd)
{
    static const char words[] = "220 speak after the tone\r\n";
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (d->deed == DOOR_PLAIN) {
        ssize_t sent = send(fd, words, sizeof words - 1, MSG_NOSIGNAL);
        _exit(sent < 0 || recv(fd, (char[512]){0}, 512, 0) < 0);
    }
    SSL *ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    if (SSL_accept(ssl) == 1)
        carry(d, ssl, fd, d->port != 0 ? go_on(d->port) : -1);
    leave(fd);
    _exit(0);
}

static _Noreturn void stand(const struct door *d, int listener)
{
    SSL_CTX *ctx = make(d);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0 && fork() == 0)
            serve(d, ctx, fd);
        close(fd);
    }
}

pid_t door_open(const struct door *d, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *) &a, n), 0);
    ck_assert_int_eq(listen(fd, 128), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *) &a, &n), 0);
    *port = ntohs(a.sin_port);
    pid_t pid = fork();
    if (pid == 0)
        stand(d, fd);
    ck_assert_int_gt(pid, 0);
    close(fd);
    return pid;
}

void door_close(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}
