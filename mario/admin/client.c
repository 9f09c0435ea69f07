/*
 * client.c: somebody at a door. The admin thread.
 *
 * One request at a time, and the next one only when the answer to the last has gone out, so that who sends many and
 * reads nothing keeps one answer of ours. At the end our half is shut first, and what still comes is dropped: a socket
 * with unread bytes would be reset, and the answer with it.
 */
#include "mario/admin/client.h"

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/admin/admin.h"

enum {
    LIFE_S = 10,                                /* in all */
    LINGER_S = 1,                               /* of these at most, once all is said */
    PAUSE_S = 1,                                /* until a wrong token is told so */
    INPUT_MAX = HTTP_HEAD_MAX + 2 * LINE_BYTES, /* that wait to be looked at: at least a whole request */
    SHOWN_MAX = 256                             /* bytes of a command in the log */
};

static struct log_limit refusals;

/* ---- Its end ---- */

void client_destroy(struct client *c)
{
    if (c->answer != NULL)
        answer_drop(&c->answer);
    c->gone(c);
    if (c->deadline != NULL)
        event_free(c->deadline);
    if (c->pause != NULL)
        event_free(c->pause);
    if (c->bev != NULL)
        bufferevent_free(c->bev);
    free(c);
}

/* All has gone out. */
static void end(struct client *c)
{
    if (c->eof) {
        client_destroy(c);
        return;
    }
    c->ended = true;
    evbuffer_drain(client_input(c), evbuffer_get_length(client_input(c)));
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    event_add(c->deadline, &(struct timeval){.tv_sec = LINGER_S});
}

/* Look at what has come, as far as it is its turn. May free it. */
static void go_on(struct client *c)
{
    while (!c->busy && !c->closing && evbuffer_get_length(client_output(c)) == 0) {
        char first;
        if (c->way == CLIENT_NEW) {
            if (evbuffer_copyout(client_input(c), &first, 1) != 1)
                break;
            c->way = c->is_unix && (first < 'A' || first > 'Z') ? CLIENT_LINES : CLIENT_HTTP;
        }
        if (!(c->way == CLIENT_LINES ? lines_take(c) : http_take(c)))
            break;
    }
    if (c->busy || evbuffer_get_length(client_output(c)) > 0)
        return;
    if (c->eof || c->closing)
        end(c);
}

/* ---- Events ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
    struct client *c = arg;
    (void) bev;
    if (c->closing)
        evbuffer_drain(client_input(c), evbuffer_get_length(client_input(c)));
    else
        go_on(c);
}

static void on_written(struct bufferevent *bev, void *arg)
{
    struct client *c = arg;
    (void) bev;
    if (!c->ended)
        go_on(c);
}

static void on_end(struct bufferevent *bev, short what, void *arg)
{
    struct client *c = arg;
    (void) bev;
    if (c->ended || !(what & BEV_EVENT_EOF)) {
        client_destroy(c);
        return;
    }
    c->eof = true;
    go_on(c);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    (void) fd;
    (void) what;
    if (!c->ended)
        client_refused(c, STAT_admin_dropped, "is too slow: its %d s are over", LIFE_S);
    client_destroy(c);
}

/* ---- Its beginning ---- */

struct client *client_create(int fd, bool is_unix, const char *name, void (*gone)(struct client *c))
{
    struct client *c = calloc(1, sizeof *c);
    struct bufferevent *bev =
        c != NULL ? bufferevent_socket_new(admin_base(), fd, BEV_OPT_CLOSE_ON_FREE) : NULL;
    if (bev == NULL) {
        free(c);
        close(fd);
        return NULL;
    }
    c->bev = bev;
    c->is_unix = is_unix;
    c->gone = gone;
    snprintf(c->name, sizeof c->name, "%s", name);
    bufferevent_setcb(bev, on_read, on_written, on_end, c);
    bufferevent_setwatermark(bev, EV_READ, 0, INPUT_MAX);
    c->deadline = evtimer_new(admin_base(), on_deadline, c);
    if (c->deadline == NULL || event_add(c->deadline, &(struct timeval){.tv_sec = LIFE_S}) != 0 ||
        bufferevent_enable(bev, EV_READ | EV_WRITE) != 0) {
        client_destroy(c);
        return NULL;
    }
    return c;
}

/* ---- What the ways need ---- */

struct evbuffer *client_input(const struct client *c)
{
    return bufferevent_get_input(c->bev);
}

struct evbuffer *client_output(const struct client *c)
{
    return bufferevent_get_output(c->bev);
}

static void reply(struct client *c)
{
    if (c->way == CLIENT_LINES)
        lines_reply(c, c->answer);
    else
        http_reply(c, c->answer);
    answer_drop(&c->answer);
    c->busy = false;
}

static void on_answer(struct mario_answer *a, void *arg)
{
    struct client *c = arg;
    (void) a;
    reply(c);
    go_on(c);
}

/* What operators change is worth a line. */
static void log_change(const struct client *c, const struct command *command, uint32_t argc,
                       const char *const *argv)
{
    char shown[SHOWN_MAX] = "";
    size_t used = 0;
    for (uint32_t i = 0; i < argc && used < sizeof shown; i++)
        used += (size_t) snprintf(shown + used, sizeof shown - used, " %s", argv[i]);
    slog_info_t(admin_log(), "admin: %s: %s%s", c->name, command->name, shown);
}

void client_run(struct client *c, const struct command *command, uint32_t argc, const char *const *argv,
                enum answer_form form)
{
    stats_add_shared(STAT_admin_requests, 1);
    c->form = form;
    c->busy = true;
    c->answer = answer_create(on_answer, c);
    if (c->answer == NULL) {
        c->busy = false; /* without memory for an answer there is none for saying so */
        c->closing = true;
        return;
    }
    if (command->kind == MARIO_COMMAND_CHANGES)
        log_change(c, command, argc, argv);
    if (command->f(c->answer, argc, argv, command->arg) == MARIO_ANSWER_LATER)
        return;
    answer_is_now(c->answer);
    reply(c);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    (void) fd;
    (void) what;
    c->busy = false;
    c->paused(c);
    go_on(c);
}

bool client_wait(struct client *c, void (*f)(struct client *c))
{
    c->busy = true;
    c->paused = f;
    if (c->pause == NULL)
        c->pause = evtimer_new(admin_base(), on_pause_over, c);
    return c->pause != NULL && event_add(c->pause, &(struct timeval){.tv_sec = PAUSE_S}) == 0;
}

void client_refused(const struct client *c, enum counter counter, const char *fmt, ...)
{
    char why[256];
    uint32_t held_back;
    va_list ap;
    stats_add_shared(counter, 1);
    if (!log_limit_pass(&refusals, 2, &held_back))
        return;
    va_start(ap, fmt);
    vsnprintf(why, sizeof why, fmt, ap);
    va_end(ap);
    slog_warn_t(admin_log(), "admin: %s %s%s", c->name, why, log_more(held_back).text);
}
