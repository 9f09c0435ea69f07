/*
 * surfer.h: somebody at a server's admin address over HTTP, and a server that has one. Main thread of a test; what does
 * not go as it says fails the test with a message.
 */
#ifndef ITEST_SURFER_H
#define ITEST_SURFER_H

#include "harness.h"

#define SURFER_TOKEN     "a-token-of-thirty-characters.."
#define SURFER_GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

/* What it answered. */
struct page {
    int status;
    char head[2048]; /* the lines of its head, with a NUL */
    char *body;      /* with a NUL; static, until the next one is read */
    size_t len;
};

/* Start a program with an admin address on TCP, one as a unix socket, and a token file in the server's directory's
 * place. More arguments end with NULL. */
void surfer_start(struct server *s, const char *program, ...) __attribute__((sentinel));
/* The same in two steps: the two options for it, static; then its addresses, once it runs. */
void surfer_make_options(const char *options[2]);
void surfer_find(const struct server *s);
/* One that was not started here has its unix socket there: surfer_open_unix(), surfer_end(). The directory is made. */
void surfer_make_socket(char *listen, size_t size);
/* The unix socket's path. Static. */
const char *surfer_socket(void);
/* Remove what it left, once the server is over. */
void surfer_end(void);

/* Connect to its TCP address; to its unix socket. Non-blocking; the caller closes it. */
int surfer_open(void);
int surfer_open_unix(void);

/* Read one answer: `with_body` unless it is that to a HEAD. False if the connection ended before. */
bool surfer_read(int fd, struct page *p, bool with_body);
/* Send these bytes on a connection of their own, and read the answer. */
void surfer_send(const char *request, size_t n, struct page *p);
/* GET this path, POST with this body and token (NULL: none), on a connection of their own. Returns the status. */
int surfer_get(const char *path, struct page *p);
int surfer_post(const char *path, const char *body, const char *token, struct page *p);

/* One line, of n bytes, on the unix socket; the answer as it comes: "CODE LENGTH\n" and text. Static. */
const char *surfer_say(const char *line, size_t n);

/* A counter by the stats command. */
uint64_t surfer_counter(const char *name);

#endif
