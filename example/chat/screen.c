/*
 * screen.c: the terminal. Main thread; the signal handlers only set the terminal's mode and a flag.
 *
 * On a terminal the kernel's line editing is off, since it does not tell what has been typed so far, and that has to be
 * drawn again below each line that comes. What is typed is therefore kept and edited here.
 */
#include "screen.h"

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <wchar.h>

enum {
    CTRL_A = 1,
    CTRL_D = 4,
    CTRL_E = 5,
    CTRL_H = 8,
    CTRL_L = 12,
    CTRL_U = 21,
    CTRL_W = 23,
    ESC = 27,
    DEL = 127
};

static bool edits, colors; /* both ends are a terminal; may colour */
static struct termios as_it_was, ours;
static volatile sig_atomic_t is_stale;

static char prompt[64];
/* What is typed; while there is no terminal, a line that is not whole yet. */
static struct {
    char text[SCREEN_LINE];
    size_t len, cursor;
    char escape[8]; /* a key that sends several bytes, so far */
    size_t escape_len;
} line;
/* What was read and not looked at. */
static struct {
    char bytes[4096];
    size_t len, at;
    bool ended;
} input;

/* ---- The terminal's mode ---- */

static void give_back(void)
{
    if (edits)
        tcsetattr(STDIN_FILENO, TCSADRAIN, &as_it_was);
}

static void on_end(int sig)
{
    tcsetattr(STDIN_FILENO, TCSANOW, &as_it_was);
    signal(sig, SIG_DFL);
    raise(sig);
}

static void on_stop(int sig)
{
    (void) sig;
    tcsetattr(STDIN_FILENO, TCSANOW, &as_it_was);
    raise(SIGSTOP); /* goes on here after SIGCONT */
    tcsetattr(STDIN_FILENO, TCSANOW, &ours);
    is_stale = 1;
}

static void on_resize(int sig)
{
    (void) sig;
    is_stale = 1;
}

static void handle(int sig, void (*handler)(int))
{
    struct sigaction a = {.sa_handler = handler};
    sigaction(sig, &a, NULL);
}

void screen_open(void)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    bool is_dumb = term == NULL || strcmp(term, "dumb") == 0;
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1)
        setlocale(LC_CTYPE, "C.UTF-8"); /* for the widths of characters */
    colors = isatty(STDOUT_FILENO) && !is_dumb && (no_color == NULL || no_color[0] == '\0');
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || is_dumb ||
        tcgetattr(STDIN_FILENO, &as_it_was) != 0)
        return;
    ours = as_it_was;
    ours.c_lflag &= ~(tcflag_t) (ICANON | ECHO | IEXTEN);
    ours.c_iflag &= ~(tcflag_t) IXON;
    ours.c_cc[VMIN] = 1;
    ours.c_cc[VTIME] = 0;
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        handle(ends[i], on_end);
    handle(SIGTSTP, on_stop);
    handle(SIGWINCH, on_resize);
    edits = tcsetattr(STDIN_FILENO, TCSADRAIN, &ours) == 0;
    atexit(give_back);
}

bool screen_is_terminal(void)
{
    return edits;
}

const char *screen_color(uint64_t number)
{
    static const char *const all[] = {"\033[31m", "\033[32m", "\033[33m", "\033[34m", "\033[35m", "\033[36m"};
    return colors ? all[number % (sizeof all / sizeof all[0])] : "";
}

const char *screen_dim(void)
{
    return colors ? "\033[2m" : "";
}

const char *screen_plain(void)
{
    return colors ? "\033[0m" : "";
}

/* ---- Drawing ---- */

/* The character at text[0 .. n-1], n > 0: its bytes, and columns in *width. */
static size_t character(const char *text, size_t n, size_t *width)
{
    wchar_t c;
    mbstate_t state = {0};
    size_t len = mbrtowc(&c, text, n, &state);
    *width = 1;
    if (len == 0 || len > n)
        return 1;
    int columns = wcwidth(c);
    *width = columns < 0 ? 1 : (size_t) columns;
    return len;
}

static size_t columns_of(const char *text, size_t n)
{
    size_t sum = 0, width;
    for (size_t i = 0; i < n;) {
        i += character(text + i, n - i, &width);
        sum += width;
    }
    return sum;
}

/* Draw the line that is typed, or the part of it around the cursor for which there is room. */
static void draw(void)
{
    struct winsize w = {0};
    size_t width, from = 0, to, shown = 0;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        w.ws_col = 80;
    size_t used = columns_of(prompt, strlen(prompt)) + 1;
    size_t room = w.ws_col > used + 8 ? w.ws_col - used : 8;
    while (columns_of(line.text + from, line.cursor - from) > room)
        from += character(line.text + from, line.len - from, &width);
    for (to = from; to < line.len;) {
        size_t len = character(line.text + to, line.len - to, &width);
        if (shown + width > room)
            break;
        shown += width;
        to += len;
    }
    size_t back = columns_of(line.text + line.cursor, to - line.cursor);
    printf("\r%s%s%s%.*s\033[K", screen_dim(), prompt, screen_plain(), (int) (to - from), line.text + from);
    if (back > 0)
        printf("\033[%zuD", back);
    fflush(stdout);
}

void screen_prompt(const char *fmt, ...)
{
    char text[sizeof prompt];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (strcmp(text, prompt) == 0)
        return;
    memcpy(prompt, text, sizeof prompt);
    if (edits)
        draw();
}

void screen_print(const char *fmt, ...)
{
    va_list args;
    if (edits)
        printf("\r\033[K");
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("%s\n", screen_plain());
    if (edits)
        draw();
    else
        fflush(stdout);
}

void screen_refresh(void)
{
    if (edits && is_stale) {
        is_stale = 0;
        draw();
    }
}

/* ---- Typing ---- */

static bool continues(char c)
{
    return ((unsigned char) c & 0xc0) == 0x80;
}

static size_t before(size_t at)
{
    while (at > 0 && continues(line.text[--at]))
        ;
    return at;
}

static size_t behind(size_t at)
{
    while (at < line.len && continues(line.text[++at]))
        ;
    return at;
}

/* Take the bytes from .. to out; the cursor stands at one of both ends. */
static void cut(size_t from, size_t to)
{
    memmove(line.text + from, line.text + to, line.len - to);
    line.len -= to - from;
    line.cursor = from;
}

static void cut_word(void)
{
    size_t from = line.cursor;
    while (from > 0 && line.text[from - 1] == ' ')
        from--;
    while (from > 0 && line.text[from - 1] != ' ')
        from--;
    cut(from, line.cursor);
}

static void insert(char c)
{
    if (line.len == sizeof line.text - 1)
        return;
    memmove(line.text + line.cursor + 1, line.text + line.cursor, line.len - line.cursor);
    line.text[line.cursor++] = c;
    line.len++;
}

/* One more byte of a key that sends ESC and more: the arrows, Home, End, Delete; others do nothing. */
static void escaped(char c)
{
    line.escape[line.escape_len++] = c;
    bool is_long = line.escape[1] == '[' || line.escape[1] == 'O';
    bool more = line.escape_len == 2 ? is_long : c < '@';
    if (more && line.escape_len < sizeof line.escape)
        return;
    bool is_plain = line.escape_len == 3;
    line.escape_len = 0;
    if (is_plain && c == 'D')
        line.cursor = before(line.cursor);
    else if (is_plain && c == 'C')
        line.cursor = behind(line.cursor);
    else if (is_plain && c == 'H')
        line.cursor = 0;
    else if (is_plain && c == 'F')
        line.cursor = line.len;
    else if (c == '~' && line.escape[2] == '3')
        cut(line.cursor, behind(line.cursor));
}

/* One byte of a line that is edited. */
static void typed(char c)
{
    if (line.escape_len > 0 || c == ESC) {
        escaped(c);
        return;
    }
    switch (c) {
    case DEL:
    case CTRL_H:
        cut(before(line.cursor), line.cursor);
        break;
    case CTRL_A:
        line.cursor = 0;
        break;
    case CTRL_D:
        cut(line.cursor, behind(line.cursor));
        break;
    case CTRL_E:
        line.cursor = line.len;
        break;
    case CTRL_L:
        printf("\033[H\033[2J");
        break;
    case CTRL_U:
        cut(0, line.cursor);
        break;
    case CTRL_W:
        cut_word();
        break;
    default:
        if ((unsigned char) c >= ' ')
            insert(c);
    }
}

static enum screen_event whole(char out[SCREEN_LINE])
{
    memcpy(out, line.text, line.len);
    out[line.len] = '\0';
    line.len = 0;
    line.cursor = 0;
    return SCREEN_TYPED;
}

void screen_receive(void)
{
    ssize_t n = read(STDIN_FILENO, input.bytes, sizeof input.bytes);
    input.at = 0;
    input.len = n > 0 ? (size_t) n : 0;
    if (n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN))
        input.ended = true;
}

enum screen_event screen_next(char out[SCREEN_LINE])
{
    while (input.at < input.len) {
        char c = input.bytes[input.at++];
        if (c == '\n' || (edits && c == '\r'))
            return whole(out);
        if (edits && c == CTRL_D && line.len == 0)
            return SCREEN_END;
        if (edits)
            typed(c);
        else if (c != '\r')
            insert(c);
    }
    if (edits)
        draw();
    if (!input.ended)
        return SCREEN_NOTHING;
    return line.len > 0 ? whole(out) : SCREEN_END;
}
