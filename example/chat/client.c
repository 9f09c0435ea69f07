/*
 * client.c: a person's client: the terminal on one side, the server on the other; the connection that comes again
 * when it was lost. One thread.
 *
 *     chat-client [-s HOST:PORT[,HOST:PORT...]] [-r ROOM] [NAME]
 *
 * Several addresses are servers of a cluster: when one is lost the next is tried. Without -s 127.0.0.1:8085, without
 * -r the room lobby, without NAME $USER. Exit code 0: left as was asked; 1: could not come or stay; 2: bad usage.
 */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "screen.h"
#include "words.h"

enum { EXIT_USAGE = 2, RETRY_FIRST_MS = 500, RETRY_MAX_MS = 30000, LOGIN_AGAIN_MS = 1000, QUIT_MS = 5000 };

static struct link_address servers[LINK_SERVERS];
static uint32_t server_count, server; /* which is tried */
static uint32_t failures;             /* in a row */
static const char *server_name = "127.0.0.1:8085";
/* Milliseconds of now_ms(); 0 = none. */
static uint64_t retry_at, login_at, quit_until;
static uint64_t retry_ms = RETRY_FIRST_MS;
struct client me = {.link = {.fd = -1}};

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

/* ---- What is shown ---- */

void show_prompt(void)
{
    if (!me.welcome)
        screen_prompt("(not connected) ");
    else if (me.room_count == 0)
        screen_prompt("(no room) ");
    else
        screen_prompt("#%s> ", word_text(me.rooms[me.room_count - 1].name).text);
}

void note(const char *fmt, ...)
{
    char text[SCREEN_LINE];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    screen_print("%s* %s", screen_dim(), text);
}

/* ---- Rooms ---- */

struct room *room_find(const char name[CHAT_NAME])
{
    for (uint32_t i = 0; i < me.room_count; i++) {
        if (memcmp(me.rooms[i].name, name, CHAT_NAME) == 0)
            return &me.rooms[i];
    }
    return NULL;
}

void room_remove(struct room *r)
{
    me.room_count--;
    memmove(r, r + 1, (size_t) (&me.rooms[me.room_count] - r) * sizeof *r);
}

struct room *room_choose(const char name[CHAT_NAME])
{
    struct room chosen = {.seen = 0}, *old = room_find(name);
    memcpy(chosen.name, name, CHAT_NAME);
    if (old != NULL) {
        chosen = *old;
        room_remove(old);
    }
    if (me.room_count == CHAT_SEATS)
        return NULL;
    me.rooms[me.room_count] = chosen;
    return &me.rooms[me.room_count++];
}

/* ---- The connection ---- */

void welcomed(void)
{
    me.welcome = true;
    retry_ms = RETRY_FIRST_MS;
    failures = 0;
}

void log_in_later(void)
{
    login_at = now_ms() + LOGIN_AGAIN_MS;
}

void request(enum chat_request what, const char *word, const char *text)
{
    if (!link_put(&me.link, what, word, text, text == NULL ? 0 : strlen(text)))
        note("no memory: that was not sent");
}

void request_room(const struct room *r)
{
    struct chat_join where = {.epoch = r->is_known ? r->epoch : 0, .seen = r->is_known ? r->seen : 0};
    if (!link_put(&me.link, CHAT_JOIN, r->name, (const char *) &where + CHAT_NAME, sizeof where - CHAT_NAME))
        note("no memory: that was not sent");
}

static void lost(const char *why)
{
    link_close(&me.link);
    me.welcome = false;
    login_at = 0;
    if (quit_until != 0 || me.ends) {
        me.ends = true;
        return;
    }
    server = (server + 1) % server_count;
    failures++;
    if (me.since == 0 &&
        failures >= server_count) { /* a wrong address? better said at once than tried for ever */
        note("cannot connect to %s: %s", server_name, why);
        me.exit_code = 1;
        me.ends = true;
        return;
    }
    uint64_t wait = retry_ms / 2 + (uint64_t) random() % retry_ms; /* not all clients at the same moment */
    note("connection lost: %s; trying again in %.1f s", why, (double) wait / 1000);
    retry_at = now_ms() + wait;
    retry_ms = retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : retry_ms * 2;
    show_prompt();
}

static void come(void)
{
    retry_at = 0;
    if (link_connect(&me.link, &servers[server]) != 0)
        lost(strerror(errno));
    else
        request(CHAT_LOGIN, me.name, NULL);
}

void leave_chat(void)
{
    if (!me.welcome) {
        me.ends = true;
        return;
    }
    request(CHAT_QUIT, NULL, NULL);
    quit_until = now_ms() + QUIT_MS;
}

static void show_packets(void)
{
    struct packet p;
    int more;
    while (!me.ends && (more = link_take(&me.link, &p)) != 0) {
        if (more < 0) {
            lost("the server speaks another language");
            return;
        }
        if (packet_is_whole(&p))
            show_answer(&p);
    }
    show_prompt();
}

/* ---- The loop ---- */

static void on_input(void)
{
    char text[SCREEN_LINE];
    enum screen_event event = SCREEN_TYPED;
    screen_receive();
    while (quit_until == 0 && !me.ends && event == SCREEN_TYPED) {
        event = screen_next(text);
        if (event == SCREEN_TYPED)
            do_line(text);
    }
    if (event == SCREEN_END && quit_until == 0)
        leave_chat();
}

/* Milliseconds until something is due; -1 = nothing is. */
static int next_due(void)
{
    const uint64_t all[] = {retry_at, login_at, quit_until};
    uint64_t now = now_ms(), first = UINT64_MAX;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (all[i] != 0 && all[i] < first)
            first = all[i];
    }
    return first == UINT64_MAX ? -1 : first <= now ? 0 : (int) (first - now);
}

static void do_due(void)
{
    uint64_t now = now_ms();
    if (quit_until != 0 && now >= quit_until)
        me.ends = true;
    if (retry_at != 0 && now >= retry_at)
        come();
    if (login_at != 0 && now >= login_at) {
        login_at = 0;
        request(CHAT_LOGIN, me.name, NULL);
    }
}

static void on_server(short events)
{
    int reason = 0;
    bool is_over = false;
    if (me.link.connected &&
        (events & (POLLIN | POLLHUP | POLLERR)) != 0) { /* the last words before the end */
        is_over = link_receive(&me.link) < 0;
        reason = errno;
        show_packets();
    }
    if (!is_over && me.link.fd >= 0 && link_send(&me.link) != 0) {
        is_over = true;
        reason = errno;
    }
    if (is_over && !me.ends && me.link.fd >= 0)
        lost(reason != 0 ? strerror(reason) : "the server has closed it");
}

static void turn(void)
{
    /* From a pipe nothing is read that could not be sent. */
    bool listens = quit_until == 0 && (screen_is_terminal() || me.welcome);
    struct pollfd fds[] = {
        {.fd = listens ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = me.link.fd, .events = (short) (POLLIN | (link_wants_out(&me.link) ? POLLOUT : 0))},
    };
    int n = poll(fds, 2, next_due());
    screen_refresh();
    if (n > 0 && fds[0].revents != 0)
        on_input();
    if (n > 0 && fds[1].revents != 0 && me.link.fd >= 0)
        on_server(fds[1].revents);
    do_due();
}

static int usage(const char *why)
{
    fprintf(stderr, "chat-client: %s\nusage: chat-client [-s HOST:PORT[,HOST:PORT...]] [-r ROOM] [NAME]\n",
            why);
    return EXIT_USAGE;
}

int main(int argc, char **argv)
{
    char room[CHAT_NAME];
    const char *room_name = "lobby", *name = getenv("USER");
    int option;
    opterr = 0;
    while ((option = getopt(argc, argv, "s:r:")) != -1) {
        if (option == '?')
            return usage("what is meant?");
        *(option == 's' ? &server_name : &room_name) = optarg;
    }
    if (optind < argc)
        name = argv[optind];
    if (name == NULL || !word_make(me.name, name) || !word_make(room, room_name))
        return usage("a name is 1 to 12 letters, digits, - and _");
    const char *wrong = link_resolve(server_name, servers, &server_count);
    if (wrong != NULL)
        return usage(wrong);
    srandom((unsigned) (now_ms() ^ (uint64_t) getpid()));
    screen_open();
    show_prompt();
    room_choose(room);
    come();
    while (!me.ends)
        turn();
    link_close(&me.link);
    screen_prompt("%s", "");
    if (screen_is_terminal())
        printf("\r\033[K");
    return me.exit_code;
}
