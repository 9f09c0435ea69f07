/*
 * link.c: packets on a socket that does not block. One thread a link.
 */
#include "link.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/mario_akg.h"
#include "words.h"

enum { AT_ONCE = 4096 }; /* room to receive into */

static const char *resolve(const char *text, struct link_address *address)
{
    char host[256];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *found;
    const char *colon = strrchr(text, ':');
    size_t len = colon == NULL ? 0 : (size_t) (colon - text);
    if (len == 0 || len >= sizeof host || colon[1] == '\0')
        return "an address is HOST:PORT";
    bool brackets = text[0] == '[' && text[len - 1] == ']';
    snprintf(host, sizeof host, "%.*s", (int) (brackets ? len - 2 : len), brackets ? text + 1 : text);
    int wrong = getaddrinfo(host, colon + 1, &hints, &found);
    if (wrong != 0)
        return gai_strerror(wrong);
    memcpy(&address->addr, found->ai_addr, found->ai_addrlen);
    address->len = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

const char *link_resolve(const char *text, struct link_address addresses[LINK_SERVERS], uint32_t *count)
{
    char one[300];
    *count = 0;
    for (size_t n;; text += n + 1) {
        n = strcspn(text, ",");
        snprintf(one, sizeof one, "%.*s", (int) n, text);
        if (*count == LINK_SERVERS)
            return "too many servers";
        const char *wrong = resolve(one, &addresses[*count]);
        if (wrong != NULL)
            return wrong;
        ++*count;
        if (text[n] == '\0')
            return NULL;
    }
}

void link_init(struct link *l)
{
    *l = (struct link){.fd = -1, .bye = -1};
}

int link_connect(struct link *l, const struct link_address *address)
{
    int on = 1;
    int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (const struct sockaddr *) &address->addr, address->len) != 0 && errno != EINPROGRESS) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    l->fd = fd;
    return 0;
}

void link_close(struct link *l)
{
    if (l->fd >= 0)
        close(l->fd);
    free(l->in.data);
    free(l->out.data);
    link_init(l);
}

bool link_wants_out(const struct link *l)
{
    return !l->connected || l->out.len > 0;
}

/* Have room for n bytes more. */
static bool bytes_room(struct bytes *b, size_t n)
{
    if (b->size - b->len >= n)
        return true;
    size_t size = b->size * 2 > b->len + n ? b->size * 2 : b->len + n;
    unsigned char *data = realloc(b->data, size);
    if (data == NULL)
        return false;
    b->data = data;
    b->size = size;
    return true;
}

static void bytes_add(struct bytes *b, const void *data, size_t n)
{
    memcpy(b->data + b->len, data, n);
    b->len += n;
}

static void bytes_drop(struct bytes *b, size_t n)
{
    memmove(b->data, b->data + n, b->len - n);
    b->len -= n;
}

bool link_put(struct link *l, enum chat_request what, const char word[CHAT_NAME], const char *text,
              size_t len)
{
    size_t whole = sizeof(HEAD) + (word != NULL ? sizeof(struct chat_word) : 0) + len;
    HEAD head = {.stx = CHAT_STX, .pkglen = (uint16_t) whole, .akg_id = (uint16_t) what};
    if (!bytes_room(&l->out, whole))
        return false;
    bytes_add(&l->out, &head, sizeof head);
    if (word != NULL)
        bytes_add(&l->out, word, CHAT_NAME);
    if (len > 0)
        bytes_add(&l->out, text, len);
    return true;
}

int link_send(struct link *l)
{
    if (!l->connected) {
        int reason = 0;
        socklen_t size = sizeof reason;
        struct sockaddr_storage peer;
        socklen_t len = sizeof peer;
        getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &reason, &size);
        errno = reason;
        if (reason != 0)
            return -1;
        if (getpeername(l->fd, (struct sockaddr *) &peer, &len) != 0)
            return 0; /* not yet */
        l->connected = true;
    }
    if (l->out.len == 0)
        return 0;
    ssize_t n = send(l->fd, l->out.data, l->out.len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    bytes_drop(&l->out, (size_t) n);
    return 0;
}

int link_receive(struct link *l)
{
    if (l->taken > 0)
        bytes_drop(&l->in, l->taken);
    l->taken = 0;
    if (!bytes_room(&l->in, AT_ONCE)) {
        errno = ENOMEM;
        return -1;
    }
    ssize_t n = recv(l->fd, l->in.data + l->in.len, l->in.size - l->in.len, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    errno = 0;
    if (n == 0)
        return -1;
    l->in.len += (size_t) n;
    return 1;
}

int link_take(struct link *l, struct packet *p)
{
    HEAD head;
    size_t left = l->in.len - l->taken;
    if (left < sizeof head)
        return 0;
    memcpy(&head, l->in.data + l->taken, sizeof head);
    if (head.stx != CHAT_STX || head.pkglen < sizeof head)
        return -1;
    if (left < head.pkglen)
        return 0;
    *p = (struct packet){
        .what = head.akg_id, .len = head.pkglen - sizeof head, .data = l->in.data + l->taken + sizeof head};
    l->taken += head.pkglen;
    return 1;
}

/* What is in each packet: the bytes it begins with, the names at their beginning, and what may follow. */
static const struct shape {
    uint16_t what;
    size_t fixed, names;
    enum { NOTHING, TEXT, NAMES, ROOMS } rest;
} shapes[] = {
    {CHAT_WELCOME, sizeof(struct chat_welcome), 0, NOTHING},
    {CHAT_JOINED, sizeof(struct chat_joined), 1, NOTHING},
    {CHAT_LEFT, sizeof(struct chat_word), 1, NOTHING},
    {CHAT_SAID, sizeof(struct chat_said), 2, TEXT},
    {CHAT_TOLD, sizeof(struct chat_told), 2, TEXT},
    {CHAT_PRESENCE, sizeof(struct chat_presence), 2, NOTHING},
    {CHAT_NAMED, sizeof(struct chat_named), 1, NAMES},
    {CHAT_FOUND, sizeof(struct chat_found), 1, NAMES},
    {CHAT_LISTED, sizeof(struct chat_listed), 0, ROOMS},
    {CHAT_PING, 0, 0, NOTHING},
    {CHAT_SORRY, sizeof(struct chat_sorry), 0, NOTHING},
    {CHAT_BYE, sizeof(struct chat_bye), 0, NOTHING},
};

/* n bytes are names, each at the beginning of `every` bytes. */
static bool are_names(const unsigned char *data, size_t n, size_t every)
{
    if (n % every != 0)
        return false;
    for (size_t i = 0; i < n; i += every) {
        if (word_number((const char *) data + i) == 0)
            return false;
    }
    return true;
}

bool packet_is_whole(const struct packet *p)
{
    const struct shape *s = shapes;
    while (s < shapes + sizeof shapes / sizeof shapes[0] && s->what != p->what)
        s++;
    if (s == shapes + sizeof shapes / sizeof shapes[0] || p->len < s->fixed)
        return false;
    const unsigned char *rest = p->data + s->fixed;
    size_t n = p->len - s->fixed;
    if (!are_names(p->data, s->names * CHAT_NAME, CHAT_NAME))
        return false;
    switch (s->rest) {
    case TEXT:
        return n > 0 && n <= CHAT_TEXT && text_is_clean((const char *) rest, n);
    case NAMES:
        return are_names(rest, n, CHAT_NAME);
    case ROOMS:
        return are_names(rest, n, sizeof(struct chat_listed_room));
    default:
        return n == 0;
    }
}
