/*
 * tls_bare.c: the other yardstick of bench/tls.py: the least server over real sockets that does what a handshake needs.
 * One thread, level-triggered epoll, one recv() a wake-up, everything OpenSSL has to say in one send(); one pair of
 * memory BIOs for all connections, since between two wake-ups nothing stays in them. It answers LOGIN with its HEAD and
 * knows no limits, no timeouts, no slow reader.
 *
 *     tls_bare PORT [CERTIFICATE KEY]      listens on 127.0.0.1:PORT; without a certificate it speaks no TLS
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "../mario/mario_akg.h"
#include "../protocol/mario_protocol.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tls_yardstick.h"

enum { ROOM = 16 * 1024, EVENTS = 512, ACCEPTS = 64, BACKLOG = 4096, FDS = 65536 };

static int epoll_fd, listen_fd;
static SSL_CTX *ctx;     /* NULL: no TLS */
static SSL *ssl_of[FDS]; /* by descriptor */
static BIO *in, *out;
static char got[ROOM], text[ROOM];

static void conn_close(int fd)
{
    SSL_free(ssl_of[fd]);
    ssl_of[fd] = NULL;
    close(fd);
}

/* Answer the packets of text[0 .. n-1], in place. Returns the answers' bytes; -1: it is no LOGIN, or not whole. */
static int answer(int n)
{
    int used = 0, said = 0;
    while (used < n) {
        HEAD head;
        if (n - used < (int) sizeof head)
            return -1;
        memcpy(&head, text + used, sizeof head);
        if (head.stx != MARITCP_STX || head.akg_id != CMD_FUNCTION_LOGIN || head.pkglen < sizeof head ||
            (int) head.pkglen > n - used)
            return -1;
        used += (int) head.pkglen;
        head.pkglen = sizeof head;
        memcpy(text + said, &head, sizeof head);
        said += (int) sizeof head;
    }
    return said;
}

/* What the handshake and the records that came make of it. False: it is over. */
static bool turn(SSL *ssl)
{
    ERR_clear_error();
    if (!SSL_is_init_finished(ssl)) {
        int rc = SSL_do_handshake(ssl);
        if (rc != 1)
            return SSL_get_error(ssl, rc) == SSL_ERROR_WANT_READ;
    }
    int n, said;
    while ((n = SSL_read(ssl, text, sizeof text)) > 0)
        if ((said = answer(n)) <= 0 || SSL_write(ssl, text, said) != said)
            return false;
    if (SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ)
        return true;
    SSL_shutdown(ssl);
    return false;
}

static bool send_all(int fd, const char *data, size_t n)
{
    return n == 0 || send(fd, data, n, MSG_NOSIGNAL) == (ssize_t) n;
}

static bool sealed_came(int fd, int n)
{
    char *data;
    if (BIO_write(in, got, n) != n)
        fail("memory");
    bool goes_on = turn(ssl_of[fd]);
    long len = BIO_get_mem_data(out, &data);
    goes_on = send_all(fd, data, (size_t) len) && goes_on;
    (void) BIO_reset(out);
    (void) BIO_reset(in);
    return goes_on;
}

static bool plain_came(int fd, int n)
{
    memcpy(text, got, (size_t) n);
    int said = answer(n);
    return said >= 0 && send_all(fd, text, (size_t) said);
}

static void conn_readable(int fd)
{
    ssize_t n = recv(fd, got, sizeof got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || !(ctx != NULL ? sealed_came(fd, (int) n) : plain_came(fd, (int) n)))
        conn_close(fd);
}

static void conn_open(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};
    if (fd >= FDS || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
        close(fd);
        return;
    }
    if (ctx == NULL)
        return;
    SSL *ssl = ssl_of[fd] = SSL_new(ctx);
    if (ssl == NULL || BIO_up_ref(in) != 1 || BIO_up_ref(out) != 1)
        fail("memory");
    SSL_set_bio(ssl, in, out);
    SSL_set_accept_state(ssl);
}

static void listener_readable(void)
{
    int fd;
    for (int i = 0; i < ACCEPTS && (fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0; i++)
        conn_open(fd);
}

static void listener_setup(uint16_t port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event ev = {.events = EPOLLIN};
    int on = 1;
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    epoll_fd = epoll_create1(0);
    ev.data.fd = listen_fd;
    if (listen_fd < 0 || epoll_fd < 0 ||
        setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 || /* inherited */
        setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listen_fd, (struct sockaddr *) &addr, sizeof addr) < 0 || listen(listen_fd, BACKLOG) < 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &ev) < 0)
        fail(strerror(errno));
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    if (argc != 2 && argc != 4) {
        fputs("usage: tls_bare PORT [CERTIFICATE KEY]\n", stderr);
        return 2;
    }
    if (argc == 4) {
        ctx = yardstick_server(argv[2], argv[3]);
        in = BIO_new(BIO_s_mem());
        out = BIO_new(BIO_s_mem());
        if (in == NULL || out == NULL)
            fail("memory");
        (void) BIO_set_mem_eof_return(in, -1); /* empty: more is to come */
    }
    listener_setup((uint16_t) atoi(argv[1]));
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);
        if (n < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listen_fd)
                listener_readable();
            else
                conn_readable(events[i].data.fd);
        }
    }
}
