/*
 * test_chat_client.c: the terminal client of example/chat: on a terminal, whose screen is looked at as a person would,
 * and in a pipe; with servers that go, come again, or mean no good.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "chatter.h"
#include "program.h"
#include "test/lib/own_port.h"

enum { ROWS = 200, COLUMNS = 100, MS = 5000 };

/* A person at a terminal. */
struct person {
    pid_t pid;
    int tty;
    struct termios at_first;
    /* What is to be seen. A terminal that does as much as the client needs: no wrapping, no scrolling. */
    char screen[ROWS][COLUMNS * 4];
    unsigned row, column;
    char escape[16];
    unsigned escape_len;
    unsigned colors; /* colour changes so far */
    char raw[65536]; /* everything that came, for messages */
    size_t raw_len;
};

/* ---- The screen ---- */

static void obey(struct person *p)
{
    char *line = p->screen[p->row], last = p->escape[p->escape_len - 1];
    unsigned n = (unsigned) strtoul(p->escape + 2, NULL, 10);
    if (last == 'K')
        line[p->column] = '\0';
    else if (last == 'D')
        p->column -= n;
    else if (last == 'm')
        p->colors++;
    else
        ck_abort_msg("an escape sequence that ends with %c", last);
}

/* Columns are bytes here: tests that move the cursor type ASCII. */
static void show(struct person *p, char c)
{
    char *line = p->screen[p->row];
    if (p->escape_len > 0) {
        ck_assert_uint_lt(p->escape_len, sizeof p->escape - 1);
        p->escape[p->escape_len++] = c;
        if (p->escape_len > 2 && c >= '@') {
            obey(p);
            p->escape_len = 0;
        }
    } else if (c == '\033') {
        memset(p->escape, 0, sizeof p->escape);
        p->escape[p->escape_len++] = c;
    } else if (c == '\r') {
        p->column = 0;
    } else if (c == '\n') {
        p->row++;
        ck_assert_uint_lt(p->row, ROWS);
    } else {
        ck_assert_msg((unsigned char) c >= ' ', "byte %d on the screen", c);
        ck_assert_uint_lt(p->column, sizeof p->screen[0] - 1);
        if (line[p->column] == '\0')
            line[p->column + 1] = '\0';
        line[p->column++] = c;
    }
}

static void look(struct person *p, int ms)
{
    char bytes[4096];
    struct pollfd f = {.fd = p->tty, .events = POLLIN};
    if (poll(&f, 1, ms) != 1)
        return;
    ssize_t n = read(p->tty, bytes, sizeof bytes);
    for (ssize_t i = 0; i < n; i++) {
        show(p, bytes[i]);
        if (p->raw_len < sizeof p->raw - 1)
            p->raw[p->raw_len++] = bytes[i];
    }
}

/* Wait until the line where the cursor is reads so, and one above contains `above` (NULL: any). */
static void see(struct person *p, const char *typed, const char *above)
{
    uint64_t deadline = itest_deadline(MS);
    for (;;) {
        bool found = above == NULL;
        for (unsigned i = 0; i < p->row && !found; i++)
            found = strstr(p->screen[i], above) != NULL;
        if (found && strcmp(p->screen[p->row], typed) == 0)
            return;
        ck_assert_msg(mono_ns() < deadline,
                      "the screen ends with '%s', not '%s'; '%s' is %s; all that came: %s", p->screen[p->row],
                      typed, above, found ? "there" : "not there", p->raw);
        look(p, 10);
    }
}

static void type(struct person *p, const char *keys)
{
    ck_assert(write(p->tty, keys, strlen(keys)) == (ssize_t) strlen(keys));
}

/* Start the client on a terminal. variable: "NAME=value" for its environment, or NULL. */
static void sit_down(struct person *p, const char *address, const char *name, const char *variable)
{
    struct winsize size = {.ws_row = ROWS, .ws_col = COLUMNS};
    char program[700];
    int slave;
    memset(p, 0, sizeof *p);
    snprintf(program, sizeof program, "%s", itest_program("chat-client"));
    ck_assert(openpty(&p->tty, &slave, NULL, NULL, &size) == 0);
    ck_assert(fcntl(p->tty, F_SETFD, FD_CLOEXEC) == 0 && tcgetattr(p->tty, &p->at_first) == 0);
    p->pid = fork();
    ck_assert(p->pid >= 0);
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        setenv("TERM", "xterm", 1);
        unsetenv("NO_COLOR");
        if (variable != NULL)
            putenv((char *) (uintptr_t) variable);
        login_tty(slave);
        execl(program, "chat-client", "-s", address, name, NULL);
        _exit(127);
    }
    close(slave);
}

/* It must end with this code and leave the terminal as it was. */
static void stand_up(struct person *p, int code)
{
    uint64_t deadline = itest_deadline(MS);
    struct termios now;
    int got;
    while ((got = program_wait(p->pid, mono_ns())) < 0) {
        ck_assert_msg(mono_ns() < deadline, "the client does not end: %s", p->raw);
        look(p, 10);
    }
    look(p, 0);
    ck_assert_msg(got == code, "the client ended with %d, not %d: %s", got, code, p->raw);
    ck_assert(tcgetattr(p->tty, &now) == 0);
    ck_assert_uint_eq(now.c_lflag, p->at_first.c_lflag);
    ck_assert_uint_eq(now.c_iflag, p->at_first.c_iflag);
    close(p->tty);
}

static const char *address_of(const struct server *s)
{
    static char text[32];
    snprintf(text, sizeof text, "127.0.0.1:%u", s->port);
    return text;
}

/* ---- On a terminal ---- */

/* Goal: a line that comes while one is typed stands above it, and what was typed is still there, and goes on. */
START_TEST(typing_is_not_disturbed)
{
    struct server s;
    struct person p;
    chatter_start(&s, NULL);
    int bob = chatter_enter(&s, "bob");
    chatter_join(bob, "lobby", NULL);
    sit_down(&p, address_of(&s), "Ada", NULL);
    see(&p, "#lobby> ", "* you are in #lobby, with 2 in all");
    type(&p, "half a l");
    see(&p, "#lobby> half a l", NULL);
    chatter_ask(bob, CHAT_SAY, "lobby", "hello ada");
    chatter_hear(bob, "lobby", "bob", "hello ada", 1);
    see(&p, "#lobby> half a l", "#lobby <bob> hello ada");
    type(&p, "ine\r");
    chatter_hear(bob, "lobby", "ada", "half a line", 2);
    see(&p, "#lobby> ", "#lobby <ada> half a line");
    ck_assert_uint_gt(p.colors, 0);
    type(&p, "\004");
    stand_up(&p, 0);
    close(bob);
    server_finish(&s);
}
END_TEST

static const struct {
    const char *keys, *line;
} edits[] = {
    {"helo\177lo\r", "hello"},
    {"x\b\303\251\177\344\275\240\r", "\344\275\240"}, /* whole characters go */
    {"hello\033[D\033[D\033[3~X\r", "helXo"},          /* left, left, delete */
    {"ello\033[Hh\033[F!\r", "hello!"},                /* home, end */
    {"ello\001h\005!\r", "hello!"},                    /* the same */
    {"one two  three\027four\r", "one two  four"},     /* a word goes */
    {"nonsense\025sense\r", "sense"},                  /* all before the cursor goes */
    {"ab\033[D\004c\r", "ac"},                         /* Ctrl-D in a line is delete */
    {"\033[A\033OPa\033[1;5Cb\033xc\r", "abc"},        /* other keys do nothing */
    {"//slash\r", "/slash"},
};

/* Goal: the keys that people use to edit a line do what they do elsewhere. */
START_TEST(a_line_is_edited)
{
    struct server s;
    struct person p;
    chatter_start(&s, NULL);
    int bob = chatter_enter(&s, "bob");
    chatter_join(bob, "lobby", NULL);
    sit_down(&p, address_of(&s), "ada", NULL);
    see(&p, "#lobby> ", "you are in #lobby");
    for (uint32_t i = 0; i < sizeof edits / sizeof edits[0]; i++) {
        type(&p, edits[i].keys);
        chatter_hear(bob, "lobby", "ada", edits[i].line, i + 1);
    }
    static char longer[302], seen[COLUMNS];
    memset(longer, 'a', 300); /* more than there are columns: the end of it is seen */
    longer[300] = 'b';
    type(&p, longer);
    memcpy(seen, "#lobby> ", 8);
    memcpy(seen + 8, longer + 301 - (COLUMNS - 9), COLUMNS - 9);
    see(&p, seen, NULL);
    type(&p, "\003"); /* Ctrl-C */
    stand_up(&p, 128 + SIGINT);
    close(bob);
    server_finish(&s);
}
END_TEST

/* Goal: the commands, as a person uses them; and no colours for who does not want any. */
START_TEST(commands_of_a_person)
{
    struct server s;
    struct person p;
    chatter_start(&s, NULL);
    int bob = chatter_enter(&s, "bob");
    chatter_join(bob, "tea", NULL);
    sit_down(&p, address_of(&s), "ada", "NO_COLOR=1");
    see(&p, "#lobby> ", "welcome, ada");
    type(&p, "/join #Tea\r");
    see(&p, "#tea> ", "you are in #tea, with 2 in all");
    type(&p, "/names\r");
    see(&p, "#tea> ", "* in #tea, 2 in all: ada bob");
    type(&p, "/who bob\r");
    see(&p, "#tea> ", "* bob is here since ");
    type(&p, "/rooms\r");
    see(&p, "#tea> ", "* rooms, 2 in all:");
    type(&p, "/msg bob psst\r");
    see(&p, "#tea> ", "*to bob* psst");
    chatter_await(bob, CHAT_TOLD, (char[600]){0}, 600);
    chatter_ask(bob, CHAT_TELL, "ada", "what?");
    see(&p, "#tea> ", "*from bob* what?");
    type(&p, "/msg nobody psst\r");
    see(&p, "#tea> ", "* there is no nobody");
    type(&p, "/join lobby\r");
    see(&p, "#lobby> ", NULL);
    type(&p, "/leave\r");
    see(&p, "#tea> ", "* you have left #lobby");
    type(&p, "/leave tea\r");
    see(&p, "(no room) ", "* you have left #tea");
    type(&p, "hello\r");
    see(&p, "(no room) ", "you are in no room; /join ROOM");
    type(&p, "/join a b\r/join no!\r");
    see(&p, "#a> ", "* a name is 1 to 12 letters");
    type(&p, "/dance\r");
    see(&p, "#a> ", "* there is no /dance");
    type(&p, "/help\r");
    see(&p, "#a> ", "/msg");
    ck_assert_uint_eq(p.colors, 0);
    type(&p, "/quit\r");
    stand_up(&p, 0);
    close(bob);
    server_finish(&s);
}
END_TEST

/* Goal: a server that stops and comes again: both are said, the room is joined again, nothing is shown twice; a second
 * login is said, and this one does not come back. */
START_TEST(it_comes_again)
{
    struct server s;
    struct person p;
    int hold;
    uint16_t port = own_port(&hold);
    chatter_start_at(&s, NULL, port);
    sit_down(&p, address_of(&s), "ada", NULL);
    see(&p, "#lobby> ", "you are in #lobby");
    type(&p, "before\r");
    see(&p, "#lobby> ", "<ada> before");
    type(&p, "ha");
    server_stop(&s);
    see(&p, "(not connected) ha", "* connection lost: the server has closed it; trying again in");
    type(&p, "llo\r");
    see(&p, "(not connected) ", "* not connected: that was not sent");
    chatter_start_at(&s, NULL, port);
    see(&p, "#lobby> ", "* connected again");
    type(&p, "after\r");
    see(&p, "#lobby> ", "<ada> after");
    unsigned lines = 0;
    for (unsigned i = 0; i < p.row; i++)
        lines += strstr(p.screen[i], "<ada> ") != NULL;
    ck_assert_uint_eq(lines, 2);
    int again = chatter_enter(&s, "ada");
    see(&p, "", "* you have logged in elsewhere");
    stand_up(&p, 1);
    close(again);
    server_finish(&s);
    close(hold);
}
END_TEST

/* ---- In a pipe ---- */

/* Run the client with this as its input. Its output goes to out. Returns its exit code. */
static int pipe_through(const char *address, const char *name, const char *input, char *out, size_t size)
{
    char dir[64], path[80], command[1200];
    program_make_dir(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/in", dir);
    FILE *f = fopen(path, "w");
    ck_assert(f != NULL && fputs(input, f) >= 0 && fclose(f) == 0);
    snprintf(command, sizeof command, "exec %s -s %s %s <%s", itest_program("chat-client"), address, name,
             path);
    const char *const args[] = {"-c", command, NULL};
    int code =
        itest_run(&(struct launch){.program = "/bin/sh", .args = args, .bare = true}, out, size, NULL, 0);
    program_remove_dir(dir);
    return code;
}

/* Goal: with several addresses it takes the first where somebody is, and goes to another one when that is lost. */
START_TEST(it_goes_to_another_server)
{
    struct server s[2];
    struct person p;
    char addresses[80];
    for (int i = 0; i < 2; i++)
        chatter_start(&s[i], NULL);
    snprintf(addresses, sizeof addresses, "127.0.0.1:1,127.0.0.1:%u,127.0.0.1:%u", s[0].port, s[1].port);
    sit_down(&p, addresses, "ada", NULL); /* nobody is at port 1 */
    see(&p, "#lobby> ", "* you are in #lobby");
    server_stop(&s[0]);
    see(&p, "#lobby> ", "* connected again");
    int bob = chatter_enter(&s[1], "bob");
    chatter_join(bob, "lobby", NULL);
    chatter_say(&bob, 1, "lobby", "there you are", 1);
    see(&p, "#lobby> ", "there you are");
    type(&p, "/quit\r");
    stand_up(&p, 0);
    close(bob);
    server_stop(&s[1]);
}
END_TEST

/* Goal: without a terminal it reads lines, says them, prints what comes without a single escape, and ends behind the
 * last answer when its input does. A line that cannot be said is said to be so. */
START_TEST(a_pipe_is_enough)
{
    static char input[4096], out[16384];
    struct server s;
    chatter_start(&s, NULL);
    int bob = chatter_enter(&s, "bob");
    chatter_join(bob, "lobby", NULL);
    strcpy(input, "hello\n/msg bob psst\n\n\xe4\xbd\n");
    memset(input + strlen(input), 'x', CHAT_TEXT + 1);
    strcat(input, "\nbye\n/names");
    ck_assert_int_eq(pipe_through(address_of(&s), "ada", input, out, sizeof out), 0);
    static const uint16_t skip[] = {CHAT_PRESENCE, CHAT_TOLD, 0};
    chatter_recv(bob, CHAT_SAID, skip, (char[600]){0}, 600);
    chatter_recv(bob, CHAT_SAID, skip, (char[600]){0}, 600);
    static const char *const there[] = {"<ada> hello\n",
                                        "*to bob* psst\n",
                                        "<ada> bye\n",
                                        "* in #lobby, 2 in all: ada bob\n",
                                        "* that is no text in UTF-8\n",
                                        "* that is too long\n",
                                        "* bye\n"};
    for (size_t i = 0; i < sizeof there / sizeof there[0]; i++)
        ck_assert_msg(strstr(out, there[i]) != NULL, "'%s' is not in '%s'", there[i], out);
    ck_assert(strchr(out, '\033') == NULL && strchr(out, '\r') == NULL);
    close(bob);
    server_finish(&s);
}
END_TEST

/* Goal: an address where nobody is, a name that is none. */
START_TEST(it_says_why_it_cannot)
{
    char out[1024], err[1024];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* a port that is taken, and nobody listens */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    ck_assert(bind(fd, (struct sockaddr *) &a, sizeof a) == 0 &&
              getsockname(fd, (struct sockaddr *) &a, &len) == 0);
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(a.sin_port));
    ck_assert_int_eq(pipe_through(address, "ada", "hello\n", out, sizeof out), 1);
    ck_assert_msg(strstr(out, "* cannot connect to 127.0.0.1:") != NULL, "%s", out);
    close(fd);
    const char *const wrong[][4] = {
        {"-s", "nowhere", "ada"}, {"a b"}, {"thirteen-char"}, {"-r", "#", "ada"}, {"-x"}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct launch l = {.program = "chat-client", .args = wrong[i], .bare = true};
        ck_assert_int_eq(itest_run(&l, NULL, 0, err, sizeof err), 2);
        ck_assert_msg(strncmp(err, "chat-client: ", 13) == 0, "row %zu: '%s'", i, err);
    }
}
END_TEST

/* ---- A server that means no good ---- */

/* Goal: what a server sends does nothing to the terminal: packets with texts, names or lengths that are wrong are not
 * shown, and what is behind them is. Another language is said to be one. */
START_TEST(nothing_reaches_the_terminal)
{
    struct person p;
    char address[32];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    ck_assert(bind(listener, (struct sockaddr *) &a, sizeof a) == 0 && listen(listener, 8) == 0);
    ck_assert(getsockname(listener, (struct sockaddr *) &a, &len) == 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", ntohs(a.sin_port));
    sit_down(&p, address, "ada", NULL);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    ck_assert(fd >= 0);
    struct chat_welcome welcome = {.since = 1};
    chatter_send(fd, CHAT_WELCOME, &welcome, sizeof welcome);
    see(&p, "#lobby> ", "welcome, ada");
    static const char *const texts[] = {"\033[2J",
                                        "a\r\nb",
                                        "\xc2\x9b"
                                        "2J",
                                        "\xff",
                                        "\xe2\x80\xae"
                                        "abc",
                                        "\a"};
    for (uint32_t i = 0; i < sizeof texts / sizeof texts[0] + 2; i++) {
        unsigned char bytes[sizeof(struct chat_said) + CHAT_TEXT] = {0};
        struct chat_said *said = (struct chat_said *) bytes;
        const char *text = i < sizeof texts / sizeof texts[0] ? texts[i] : i % 2 == 0 ? "bad name" : "good";
        memcpy(said->room, chatter_word("lobby"), CHAT_NAME);
        memcpy(said->from, strcmp(text, "bad name") == 0 ? "\033[2J........" : chatter_word("bob"),
               CHAT_NAME);
        said->number = 1;
        memcpy(said->text, text, strlen(text));
        chatter_send(fd, CHAT_SAID, bytes, sizeof *said + strlen(text));
        chatter_send(fd, CHAT_SAID, bytes, i % sizeof *said);
        chatter_send(fd, CHAT_LISTED, bytes, 40);
    }
    see(&p, "#lobby> ", "<bob> good");
    for (unsigned i = 0; i < p.row; i++)
        ck_assert(strstr(p.screen[i], "<bob>") == NULL || strstr(p.screen[i], "good") != NULL);
    client_send(fd, "HTTP/1.1 400 Bad Request\r\n", 26);
    see(&p, "(not connected) ", "* connection lost: the server speaks another language");
    close(listener);
    close(fd);
    type(&p, "\004");
    stand_up(&p, 0);
}
END_TEST

Suite *chat_client_suite(void)
{
    Suite *s = suite_create("chat_client");
    TCase *c = itest_case(s, "terminal", 20);
    tcase_add_test(c, typing_is_not_disturbed);
    tcase_add_test(c, a_line_is_edited);
    tcase_add_test(c, commands_of_a_person);
    tcase_add_test(c, it_comes_again);
    tcase_add_test(c, it_goes_to_another_server);
    c = itest_case(s, "pipe", 20);
    tcase_add_test(c, a_pipe_is_enough);
    tcase_add_test(c, it_says_why_it_cannot);
    tcase_add_test(c, nothing_reaches_the_terminal);
    return s;
}
