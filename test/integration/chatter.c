/*
 * chatter.c: users of example/chat as plain connections. Main thread of a test.
 */
#include "chatter.h"

#include <string.h>
#include <unistd.h>

enum { MS = 5000, ARGS_MAX = 16 };

static void start(struct server *s, const char *const *args, const char *listen)
{
    const char *all[ARGS_MAX];
    size_t n = 0;
    while (args != NULL && args[n] != NULL && n < ARGS_MAX - 2) {
        all[n] = args[n];
        n++;
    }
    all[n++] = listen;
    all[n] = NULL;
    server_launch(s, &(struct launch){.program = "chat-server", .args = all, .bare = true});
    s->log_lines_max = 100000; /* who is closed is said, and here many are */
}

void chatter_start(struct server *s, const char *const *args)
{
    start(s, args, "127.0.0.1:0");
}

void chatter_start_at(struct server *s, const char *const *args, uint16_t port)
{
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%u", port);
    start(s, args, listen);
}

const char *chatter_word(const char *name)
{
    static char words[2][CHAT_NAME];
    static unsigned turn;
    char *word = words[turn++ % 2];
    memset(word, 0, CHAT_NAME);
    memcpy(word, name, strlen(name) < CHAT_NAME ? strlen(name) : CHAT_NAME);
    return word;
}

void chatter_send(int fd, uint16_t what, const void *data, size_t n)
{
    unsigned char packet[WIRE_PACKET_MAX];
    wire_put_head(packet, (struct wire_head){
                              .stx = CHAT_STX, .pkglen = (uint16_t) (WIRE_HEAD_LEN + n), .akg_id = what});
    if (n > 0)
        memcpy(packet + WIRE_HEAD_LEN, data, n);
    client_send(fd, packet, WIRE_HEAD_LEN + n);
}

void chatter_ask(int fd, uint16_t what, const char *name, const char *text)
{
    unsigned char data[CHAT_NAME + 4096];
    size_t n = text == NULL ? 0 : strlen(text);
    memcpy(data, chatter_word(name), CHAT_NAME);
    if (n > 0)
        memcpy(data + CHAT_NAME, text, n);
    chatter_send(fd, what, data, CHAT_NAME + n);
}

size_t chatter_recv(int fd, uint16_t what, const uint16_t *skip, void *data, size_t size)
{
    static unsigned char room[WIRE_PACKET_MAX];
    for (;;) {
        unsigned char bytes[WIRE_HEAD_LEN];
        client_recv(fd, bytes, sizeof bytes);
        struct wire_head h = wire_get_head(bytes);
        ITEST_ASSERT(h.stx == CHAT_STX && h.pkglen >= WIRE_HEAD_LEN, "stx %08x, pkglen %u", h.stx, h.pkglen);
        size_t n = h.pkglen - WIRE_HEAD_LEN;
        client_recv(fd, room, n);
        if (h.akg_id == what) {
            ITEST_ASSERT(n <= size, "packet %04x with %zu bytes", what, n);
            if (n > 0)
                memcpy(data, room, n);
            return n;
        }
        const uint16_t *s = skip;
        while (*s != 0 && *s != h.akg_id)
            s++;
        ITEST_ASSERT(*s != 0, "packet %04x came, %04x was awaited", h.akg_id, what);
    }
}

size_t chatter_await(int fd, uint16_t what, void *data, size_t size)
{
    static const uint16_t skip[] = {CHAT_PRESENCE, CHAT_PING, 0};
    return chatter_recv(fd, what, skip, data, size);
}

void chatter_await_bye(int fd, enum chat_why why)
{
    static const uint16_t skip[] = {CHAT_PRESENCE, CHAT_PING, CHAT_SAID, CHAT_TOLD, CHAT_SORRY, 0};
    struct chat_bye bye;
    ck_assert_uint_eq(chatter_recv(fd, CHAT_BYE, skip, &bye, sizeof bye), sizeof bye);
    ck_assert_uint_eq(bye.why, why);
    client_expect_fin(fd);
}

void chatter_await_sorry(int fd, uint16_t request, enum chat_why why)
{
    struct chat_sorry sorry;
    ck_assert_uint_eq(chatter_await(fd, CHAT_SORRY, &sorry, sizeof sorry), sizeof sorry);
    ck_assert_uint_eq(sorry.request, request);
    ck_assert_uint_eq(sorry.why, why);
}

int chatter_enter(const struct server *s, const char *name)
{
    struct chat_welcome welcome;
    int fd = client_open(s);
    chatter_ask(fd, CHAT_LOGIN, name, NULL);
    ck_assert_uint_eq(chatter_await(fd, CHAT_WELCOME, &welcome, sizeof welcome), sizeof welcome);
    return fd;
}

void chatter_join(int fd, const char *room, struct chat_joined *joined)
{
    struct chat_joined j;
    chatter_ask(fd, CHAT_JOIN, room, NULL);
    ck_assert_uint_eq(chatter_await(fd, CHAT_JOINED, &j, sizeof j), sizeof j);
    ck_assert_mem_eq(j.room, chatter_word(room), CHAT_NAME);
    if (joined != NULL)
        *joined = j;
}

void chatter_hear(int fd, const char *room, const char *from, const char *text, uint32_t number)
{
    unsigned char bytes[sizeof(struct chat_said) + CHAT_TEXT];
    struct chat_said *said = (struct chat_said *) bytes;
    size_t n = chatter_await(fd, CHAT_SAID, bytes, sizeof bytes);
    ck_assert_uint_eq(said->number, number);
    ck_assert_uint_eq(n, sizeof *said + strlen(text));
    ck_assert_mem_eq(said->text, text, strlen(text));
    ck_assert_mem_eq(said->room, chatter_word(room), CHAT_NAME);
    if (from != NULL)
        ck_assert_mem_eq(said->from, chatter_word(from), CHAT_NAME);
}

void chatter_say(const int *fds, size_t n, const char *room, const char *text, uint32_t number)
{
    chatter_ask(fds[0], CHAT_SAY, room, text);
    for (size_t i = 0; i < n; i++)
        chatter_hear(fds[i], room, NULL, text, number);
}
