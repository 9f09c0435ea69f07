/*
 * listen.h: the listen list: parse it, open the sockets. For the thread that makes the server.
 */
#ifndef MARIO_NET_LISTEN_H
#define MARIO_NET_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "mario/mario_server.h"
#include "mario/net/unix_socket.h"

#define LISTEN_MAX     64 /* addresses in one list */
#define LISTEN_NAME    128
#define LISTEN_OPTIONS 16   /* behind one address */
#define LISTEN_TEXT    1024 /* bytes of their values */

struct listen_pair {
    const char *name; /* a constant */
    uint16_t at;      /* where in text its value stands, as text */
};

struct listen_address {
    struct sockaddr_storage addr;
    socklen_t len;
    char name[LISTEN_NAME]; /* as it was written; after listen_open with the port it got */
    bool datagram;          /* it began with udp:, and takes datagrams instead of connections */
    struct listen_pair options[LISTEN_OPTIONS]; /* what stood behind it; see listen_option() */
    char text[LISTEN_TEXT];
    uint16_t option_count, text_used;
    bool lacks_v4;         /* [::], which takes IPv6 alone, and nothing in the list takes IPv4 on its port */
    struct unix_file file; /* of a unix socket, after listen_open */
    bool activated;        /* after activation_take: somebody else opened it, and listens too */
};

struct listen_options {
    int backlog;
    uint32_t keepalive; /* as of listen_keepalive() */
    mode_t unix_mode;   /* permissions of a unix socket's file */
    gid_t unix_group;   /* its group; (gid_t) -1 = as it comes */
};

/* Parse a comma list of addresses, with options behind each, into out[0 .. LISTEN_MAX-1]. How many there are, or -1
 * with one line in why. */
int listen_parse(const char *list, struct listen_address *out, char *why, size_t why_size);

/* The value of an option as text, NULL if it is not there; one that belongs to id= is called "id off" and so on. What
 * it may be, its user checks. */
const char *listen_option(const struct listen_address *a, const char *name);

/* The value of an option as a number, decimal or behind 0x, least .. most; as one of a list of words that ends with
 * NULL: which. *out stays if the option is not there. False with a line in why. */
__attribute__((warn_unused_result)) bool listen_number(const struct listen_address *a, const char *name,
                                                       int32_t least, int32_t most, int32_t *out, char *why,
                                                       size_t size);
__attribute__((warn_unused_result)) bool listen_choice(const struct listen_address *a, const char *name,
                                                       const char *const choices[], uint32_t *out, char *why,
                                                       size_t size);

/* A line that names the entry, into why. False. */
bool listen_refuse(const struct listen_address *a, char *why, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Take the options of one entry, which are written to. False with a line in why. */
bool listen_options_parse(struct listen_address *a, char *words, char *why, size_t size);

/* What the options say about listeners. False after a line on standard error: there is no such group. */
__attribute__((warn_unused_result)) bool listen_settings(struct listen_options *set,
                                                         const struct mario_options *o);

/* Bind and listen, non-blocking. Port 0 becomes the port the kernel gave. A unix socket's file that nobody listens
 * on is replaced (unix_socket.h). The descriptor, or -1 with errno. */
int listen_open(struct listen_address *a, const struct listen_options *o);

/* What accepted sockets are to inherit, on Linux without a system call for each: no delay, and urgent data stays where
 * it is in the stream, so that none is lost. Nothing to do for a unix socket. False with errno. */
bool listen_inherited(int fd, int family);

/* Have connections that arrive from now on probed after `seconds` of silence, .. MARIO_KEEPALIVE_MAX, and given
 * up after at most as long again; 0: never. Nothing to do for a unix socket. False with errno. */
bool listen_keepalive(int fd, int family, uint32_t seconds);

/* How many connections wait to be accepted, and how many may. False if the kernel does not say: of a unix socket. Any
 * thread. */
bool listen_backlog(int fd, uint32_t *waiting, uint32_t *most);

/* How to mend an error of listen_open(), to be put behind it; "" for the rarer ones. Leaves
 * errno alone. */
const char *listen_hint(const struct listen_address *a, int err);

/* Its socket is bound: port 0 becomes the port the kernel gave. */
void listen_learn_port(struct listen_address *a, int fd);

/* Remove a unix socket's file, if it is still the one that was opened. Before it is closed or shut down. */
void listen_remove(const struct listen_address *a);

/* The same, and close it. */
void listen_close(const struct listen_address *a, int fd);

/* The port in host order, 0 for a unix socket. */
uint16_t listen_port(const struct listen_address *a);

#endif
