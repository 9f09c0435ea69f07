/*
 * token.c: the token. Reading is for the thread that makes the server, asking for the admin thread.
 */
#include "mario/admin/token.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned char token[TOKEN_MAX];
static size_t token_len;

/* What is wrong with the first line of a token file, NULL if nothing; its length. */
static const char *judge(const char *text, size_t n, size_t *len)
{
    const char *end = memchr(text, '\n', n);
    *len = end != NULL ? (size_t) (end - text) : n;
    if (*len < TOKEN_MIN || *len > TOKEN_MAX)
        return "its first line has less than 16 bytes or more than 256";
    for (size_t i = 0; i < *len; i++) {
        if (text[i] < '!' || text[i] > '~')
            return "its first line has a blank or what is no printable ASCII";
    }
    return NULL;
}

static const char *read_open(int fd, char *text, size_t size, size_t *len)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return "it is no regular file";
    if (st.st_mode & (S_IROTH | S_IWOTH | S_IWGRP))
        return "others may read or write it (chmod 600 mends that)";
    ssize_t n = read(fd, text, size);
    return n < 0 ? strerror(errno) : judge(text, (size_t) n, len);
}

bool token_read(const char *file, char *why, size_t why_size, bool keep)
{
    char text[TOKEN_MAX + 2] = "";
    size_t len = 0;
    if (keep)
        token_forget();
    if (file == NULL || file[0] == '\0' || strcmp(file, "-") == 0)
        return true;
    int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    const char *wrong = fd < 0 ? strerror(errno) : read_open(fd, text, sizeof text, &len);
    if (fd >= 0)
        close(fd);
    if (wrong != NULL)
        snprintf(why, why_size, "'%.128s': %s", file, wrong);
    if (wrong == NULL && keep) {
        memcpy(token, text, len);
        token_len = len;
    }
    explicit_bzero(text, sizeof text);
    return wrong == NULL;
}

bool token_is_set(void)
{
    return token_len > 0;
}

void token_forget(void)
{
    explicit_bzero(token, sizeof token);
    token_len = 0;
}

bool token_is(const struct http_text *authorization)
{
    static const char scheme[] = "bearer ";
    enum { SCHEME = sizeof scheme - 1 };
    unsigned char given[TOKEN_MAX] = {0};
    unsigned wrong = token_len == 0;
    if (authorization == NULL || authorization->len < SCHEME || authorization->len > SCHEME + TOKEN_MAX)
        return false;
    struct http_text first = {authorization->at, SCHEME};
    size_t len = authorization->len - SCHEME;
    memcpy(given, authorization->at + SCHEME, len);
    for (size_t i = 0; i < TOKEN_MAX; i++)
        wrong |= (unsigned) (given[i] ^ token[i]);
    wrong |= (unsigned) (len ^ token_len);
    return http_is(&first, scheme) && wrong == 0;
}
