/*
 * admin.c: the admin thread. It runs commands, shows answers, looks what workers run; the doors are doors.c. Opening,
 * setup, start and stop are for the thread that makes and runs the server.
 */
#include "mario/admin/admin.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <time.h>

#include "mario/admin/answer.h"
#include "mario/admin/ask.h"
#include "mario/admin/basics.h"
#include "mario/admin/conns.h"
#include "mario/admin/doors.h"
#include "mario/admin/live.h"
#include "mario/admin/running.h"
#include "mario/admin/slow.h"
#include "mario/admin/token.h"
#include "mario/base/complain.h"
#include "mario/base/loop.h"
#include "mario/base/thread.h"
#include "mario/process/crash.h"

enum { END_WAITS_MS = 2000 }; /* how long a stop waits for a command that runs */

static struct {
    struct admin_view view;
    struct doorbell bell;
    struct event_base *base;
    struct event *bell_event, *look_event;
    LOG_QUEUE *qlog;
    pthread_t thread;
    bool runs;
    _Atomic bool stop;  /* who stops the server (w) -> admin (r) */
    _Atomic bool ended; /* admin (w) -> who stops the server (r) */
} the = {.bell.fd = -1};

const struct admin_view *admin_view(void)
{
    return &the.view;
}

struct doorbell *admin_bell(void)
{
    return &the.bell;
}

struct event_base *admin_base(void)
{
    return the.base;
}

LOG_QUEUE *admin_log(void)
{
    return the.qlog;
}

bool admin_is_on(void)
{
    return doors_count() > 0;
}

uint32_t admin_descriptors(const struct mario_options *o)
{
    enum {
        OWN = 6
    }; /* epoll, doorbell, libevent's pair for signals, a client that is turned away, one to spare */
    return doors_wanted(o) == 0 ? 0 : doors_wanted(o) + DOORS_CLIENTS + OWN;
}

/* ---- The thread ---- */

static void on_bell(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    doorbell_answer(&the.bell);
    asks_look();
    answers_collect();
    if (atomic_load_explicit(&the.stop, memory_order_acquire))
        event_base_loopbreak(the.base);
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    running_look();
}

static void *admin_main(void *arg)
{
    (void) arg;
    crash_thread();
    mario_log_name(the.qlog, "admin");
    doors_say(the.qlog);
    if (event_base_loop(the.base, 0) < 0)
        slog_err_t(the.qlog, "admin: the event loop failed: %s", strerror(errno));
    asks_teardown();
    doors_end_clients();
    answers_close();
    atomic_store_explicit(&the.ended, true, memory_order_release);
    return NULL;
}

/* ---- Before and after it ---- */

bool admin_open(const struct mario_options *o)
{
    return doors_open(o);
}

static bool let_ask(const struct admin_view *v)
{
    if (!questions_init(v->master, &the.bell, ADMIN_BELL_LOOK))
        return false;
    for (uint32_t i = 0; i < v->workernum; i++) {
        if (!worker_let_ask(&v->workers[i], &the.bell, ADMIN_BELL_LOOK))
            return false;
    }
    return true;
}

static bool make(void)
{
    struct timeval every = {.tv_usec = RUNNING_LOOK_MS * 1000};
    errno = ENOMEM;
    the.base = loop_base_create();
    the.qlog = create_log_queue();
    if (the.base == NULL || the.qlog == NULL)
        return false;
    the.bell_event = event_new(the.base, the.bell.fd, EV_READ | EV_PERSIST | EV_ET, on_bell, NULL);
    the.look_event = event_new(the.base, -1, EV_PERSIST, on_look, NULL);
    return the.bell_event != NULL && the.look_event != NULL && event_add(the.bell_event, NULL) == 0 &&
           event_add(the.look_event, &every) == 0 && asks_setup(the.base) && live_setup(the.base) &&
           doors_setup(the.base);
}

bool admin_setup(const struct admin_view *v, const struct mario_options *o)
{
    char why[256];
    the.view = *v;
    atomic_store(&the.stop, false);
    atomic_store(&the.ended, false);
    if (!token_read(o->admin_token_file, why, sizeof why, true))
        return complain("admin_token_file: %s", why);
    if (!doors_check_token())
        return false;
    if (!doorbell_init(&the.bell) || !let_ask(v) || !make())
        return complain("cannot start the admin thread: %s", strerror(errno));
    return basics_regist() && conns_regist() && slow_regist();
}

bool admin_start(void)
{
    answers_open(&the.bell, ADMIN_BELL_DONE);
    int err = thread_start(&the.thread, 0, admin_main, NULL);
    the.runs = err == 0;
    return err == 0 || complain("cannot start the admin thread: %s", strerror(err));
}

bool admin_stop(void)
{
    if (!the.runs)
        return true;
    atomic_store_explicit(&the.stop, true, memory_order_release);
    doorbell_ring(&the.bell, ADMIN_BELL_STOP);
    for (int i = 0; i < END_WAITS_MS && !atomic_load_explicit(&the.ended, memory_order_acquire); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (!atomic_load_explicit(&the.ended, memory_order_acquire))
        return complain("the admin thread did not end in time: a command does not return");
    pthread_join(the.thread, NULL);
    the.runs = false;
    return true;
}

void admin_teardown(void)
{
    doors_close();
    asks_teardown();
    live_teardown();
    if (the.bell_event != NULL)
        event_free(the.bell_event);
    if (the.look_event != NULL)
        event_free(the.look_event);
    if (the.base != NULL)
        event_base_free(the.base);
    log_queue_destroy(&the.qlog);
    doorbell_fini(&the.bell);
    if (the.view.master != NULL)
        questions_fini(the.view.master);
    token_forget();
    the.bell_event = the.look_event = NULL;
    the.base = NULL;
    the.view = (struct admin_view){0};
}
