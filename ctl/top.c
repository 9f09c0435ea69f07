/*
 * top.c: a server on a terminal: rates, workers, how connections end, who moves most. It asks for what `maritcp ctl`
 * asks for, once a second, and shows the tables as they come, cut to the screen: what is foreign in them was made
 * harmless by the server. Main thread.
 */
#include "top.h"

#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

enum { PERIOD_MS = 1000, VALUES_MAX = 512, NAME_SIZE = 64, TALKERS = 10, PATH_SIZE = 4096, WHY_SIZE = 4096 };

/* ---- What was asked for ---- */

struct values {
    struct value {
        char name[NAME_SIZE];
        double number;
    } all[VALUES_MAX];
    uint32_t count;
    double at; /* seconds */
};

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

/* The lines `name number` of an answer. */
static void read_values(struct values *v, const char *text)
{
    v->count = 0;
    v->at = seconds();
    for (const char *line = text; line != NULL && *line != '\0' && v->count < VALUES_MAX;) {
        struct value *next = &v->all[v->count];
        if (sscanf(line, "%63s %lf", next->name, &next->number) == 2)
            v->count++;
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
}

static double value_of(const struct values *v, const char *name)
{
    for (uint32_t i = 0; i < v->count; i++) {
        if (strcmp(v->all[i].name, name) == 0)
            return v->all[i].number;
    }
    return 0;
}

struct view {
    const char *socket;
    const char *by; /* what the top connections are compared by */
    struct values now, before;
};

static double rate(const struct view *v, const char *name)
{
    double time = v->now.at - v->before.at;
    return v->before.count == 0 || time <= 0 ? 0
                                             : (value_of(&v->now, name) - value_of(&v->before, name)) / time;
}

/* ---- The screen ---- */

/* Lines on their way to the terminal, or to a file, which has no width and no end. */
struct screen {
    FILE *out;
    bool terminal;
    uint32_t columns, lines; /* that are left */
};

/* One line; what does not fit is not shown, and no character is cut in two. */
static void put_line(struct screen *s, const char *line, size_t len)
{
    size_t n = 0, columns = 0;
    if (s->lines == 0)
        return;
    for (; n < len; n++) {
        columns += ((unsigned char) line[n] & 0xc0) != 0x80;
        if (columns > s->columns)
            break;
    }
    fprintf(s->out, "%.*s%s\n", (int) n, line, s->terminal ? "\033[K" : "");
    s->lines--;
}

static __attribute__((format(printf, 2, 3))) void put(struct screen *s, const char *fmt, ...)
{
    char line[1024];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    put_line(s, line, n < (int) sizeof line ? (size_t) n : sizeof line - 1);
}

/* At most so many lines of a text. */
static void put_text(struct screen *s, const char *text, uint32_t most)
{
    while (*text != '\0' && most-- > 0) {
        size_t len = strcspn(text, "\n");
        put_line(s, text, len);
        text += len + (text[len] == '\n');
    }
}

/* 1234567 as 1.23 M. */
static const char *short_number(double n)
{
    static char texts[8][24];
    static unsigned next;
    static const char units[] = " kMGT";
    char *text = texts[next++ % 8];
    unsigned unit = 0;
    for (; (n >= 9999.5 || n <= -9999.5) && unit < sizeof units - 2; unit++)
        n /= 1000;
    if (unit == 0)
        snprintf(text, sizeof texts[0], "%.0f", n);
    else
        snprintf(text, sizeof texts[0], "%.4g %c", n, units[unit]);
    return text;
}

static void put_head(struct screen *s, const struct view *v)
{
    char clock[16];
    time_t now = time(NULL);
    struct tm local;
    strftime(clock, sizeof clock, "%H:%M:%S", localtime_r(&now, &local));
    put(s, "maritcp %s   %s connections   +%s -%s a second", clock,
        short_number(value_of(&v->now, "opened") - value_of(&v->now, "closed")),
        short_number(rate(v, "opened")), short_number(rate(v, "closed")));
    put(s, "packets %s/s   received %sB/s   sent %sB/s   pushed %s/s   refused %s/s",
        short_number(rate(v, "packets_in")), short_number(rate(v, "bytes_in")),
        short_number(rate(v, "bytes_out")), short_number(rate(v, "push_sent")),
        short_number(rate(v, "refused_full") + rate(v, "refused_ring") + rate(v, "refused_stop")));
}

/* How connections end: what grows, and what there was. */
static void put_ends(struct screen *s, const struct view *v)
{
    char line[1024] = "ends:";
    size_t used = strlen(line);
    for (uint32_t i = 0; i < v->now.count && used < sizeof line - NAME_SIZE - 32; i++) {
        const struct value *value = &v->now.all[i];
        if (strncmp(value->name, "closed_", 7) == 0 && value->number > 0)
            used += (size_t) snprintf(line + used, sizeof line - used, "  %s %s (%s/s)", value->name + 7,
                                      short_number(value->number), short_number(rate(v, value->name)));
    }
    put(s, "%s", line);
}

/* ---- A look ---- */

/* True if it has answered; what it refuses is shown as what it says. */
static bool ask(const struct view *v, char *const *words, int count, struct talk_answer *a)
{
    if (talk(v->socket, false, words, count, a) != TALK_NO_SERVER && a->text != NULL)
        return true;
    talk_free(a);
    return false;
}

static bool put_answer(struct screen *s, const struct view *v, char *const *words, int count, uint32_t most)
{
    struct talk_answer a;
    if (!ask(v, words, count, &a))
        return false;
    put(s, "%s", "");
    put_text(s, a.text, most);
    talk_free(&a);
    return true;
}

static bool look(struct view *v)
{
    struct talk_answer a;
    if (!ask(v, (char *[]){"stats"}, 1, &a))
        return false;
    v->before = v->now;
    read_values(&v->now, a.text);
    talk_free(&a);
    return true;
}

static bool show(struct screen *s, const struct view *v)
{
    char most[16], by[16];
    char *const words[] = {"conn", "top", by, most};
    snprintf(most, sizeof most, "%d", TALKERS);
    snprintf(by, sizeof by, "%s", v->by);
    put_head(s, v);
    put_ends(s, v);
    uint32_t rest = s->lines > TALKERS + 4 ? s->lines - TALKERS - 4 : 1;
    return put_answer(s, v, (char *[]){"workers"}, 1, rest) &&
           put_answer(s, v, words, sizeof words / sizeof words[0], UINT32_MAX);
}

/* ---- The terminal ---- */

static struct termios as_it_was;

static void leave_terminal(void)
{
    static const char text[] = "\033[?25h\033[?1049l";
    tcsetattr(STDIN_FILENO, TCSANOW, &as_it_was);
    (void) !write(STDOUT_FILENO, text, sizeof text - 1);
}

static void on_end(int sig)
{
    leave_terminal();
    signal(sig, SIG_DFL);
    raise(sig);
}

/* Keys come at once and are not shown; the cursor is hidden, and what was on the screen comes back at the end. */
static bool enter_terminal(void)
{
    if (tcgetattr(STDIN_FILENO, &as_it_was) != 0)
        return false;
    struct termios t = as_it_was;
    t.c_lflag &= ~(tcflag_t) (ICANON | ECHO);
    if (tcsetattr(STDIN_FILENO, TCSANOW, &t) != 0)
        return false;
    signal(SIGINT, on_end);
    signal(SIGTERM, on_end);
    signal(SIGHUP, on_end);
    fputs("\033[?1049h\033[?25l", stdout);
    fflush(stdout);
    return true;
}

/* All of it, written at once, so that it does not flicker. */
static bool draw(const struct view *v)
{
    struct winsize size = {.ws_row = 24, .ws_col = 80};
    char *text = NULL;
    size_t len = 0;
    ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
    struct screen s = {.out = open_memstream(&text, &len),
                       .terminal = true,
                       .columns = size.ws_col > 0 ? size.ws_col : 80,
                       .lines = size.ws_row > 0 ? size.ws_row - 1u : 23};
    if (s.out == NULL)
        return false;
    fputs("\033[H", s.out);
    bool ok = show(&s, v);
    fprintf(s.out, "\033[J%.*s", (int) s.columns, "q quits; by: b bytes, p pending, a age, r rtt, t retrans");
    fclose(s.out);
    fwrite(text, 1, len, stdout);
    fflush(stdout);
    free(text);
    return ok;
}

/* Wait a period for a key. False if it ends. */
static bool await_key(struct view *v)
{
    static const struct {
        char key;
        const char *by;
    } keys[] = {{'b', "bytes"}, {'p', "pending"}, {'a', "age"}, {'r', "rtt"}, {'t', "retrans"}};
    struct pollfd p = {.fd = STDIN_FILENO, .events = POLLIN};
    char c = '\0';
    if (poll(&p, 1, PERIOD_MS) <= 0)
        return true;
    if (read(STDIN_FILENO, &c, 1) <= 0 || c == 'q' || c == 'Q')
        return false;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (keys[i].key == c)
            v->by = keys[i].by;
    }
    return true;
}

static int run_on_terminal(struct view *v)
{
    bool alive = true;
    do {
        alive = look(v) && draw(v);
    } while (alive && await_key(v));
    leave_terminal();
    return alive ? 0 : TALK_NO_SERVER;
}

/* Once, with the rates of a second. */
static int run_once(struct view *v)
{
    struct screen s = {.out = stdout, .columns = UINT32_MAX, .lines = UINT32_MAX};
    if (!look(v))
        return TALK_NO_SERVER;
    nanosleep(&(struct timespec){.tv_sec = PERIOD_MS / 1000}, NULL);
    return look(v) && show(&s, v) && fflush(stdout) == 0 ? 0 : TALK_NO_SERVER;
}

static int run(struct view *v)
{
    bool terminal = isatty(STDOUT_FILENO) && isatty(STDIN_FILENO) && enter_terminal();
    int code = terminal ? run_on_terminal(v) : run_once(v);
    if (code != 0)
        fprintf(stderr, "maritcp: no server answers at %s%s\n", v->socket,
                v->now.count > 0 ? " any more" : "");
    return code;
}

int top_main(int argc, char **argv)
{
    static struct view v = {.by = "bytes"};
    static char path[PATH_SIZE];
    char why[WHY_SIZE];
    const char *file = NULL;
    int option;
    while ((option = getopt(argc, argv, "s:c:")) == 's' || option == 'c') {
        if (option == 's')
            v.socket = optarg;
        else
            file = optarg;
    }
    if (option != -1 || optind < argc) {
        fprintf(stderr, "usage: maritcp top [-s SOCKET] [-c FILE]\n");
        return TALK_USAGE;
    }
    if (v.socket == NULL && !talk_socket(file, path, sizeof path, why, sizeof why)) {
        fprintf(stderr, "maritcp: %s\n", why);
        return TALK_USAGE;
    }
    if (v.socket == NULL)
        v.socket = path;
    return run(&v);
}
