/*
 * death.c: functions whose thread ends in them, and one that kills the whole process. On the connection's worker, or
 * offloaded, on a thread of the pool.
 */
#include "app.h"

#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- A thread ---- */

sint32 do_end_thread(CONN *c)
{
    if (number_in(c) == TEST_IN_END_HOOK)
        return close_to(c, END_DIES);
    pthread_exit(NULL);
}

/* Calls of the library which wait, lock or allocate; none of them may be where a cancelled thread ends. */
static void call_the_library(void)
{
    LOG_QUEUE *q = create_log_queue();
    slog_info_t(q, "called");
    record_log(q, STDERR_FILENO, "%s", "");
    mario_log_name(q, "called");
    for (int i = 0; i < 20; i++) /* some of them wait */
        mario_log_flush(50);
    mario_log_dropped();
    mario_log_level(MARIO_LOG_INFO);
    mario_stat(app.server, "opened");
    own_called++;
}

/* What it must not do; but whoever does it is not to take others with it. */
static void renew_here(void)
{
    char why[256];
    mario_tls_reload(why, sizeof why);
    own_called++;
}

sint32 do_cancel(CONN *c)
{
    pthread_cancel(pthread_self());
    if (number_in(c) == TEST_IN_RELOAD)
        renew_here();
    if (number_in(c) == TEST_IN_CALLS)
        call_the_library();
    if (number_in(c) == TEST_AND_CLOSE)
        close_conn(c, 1);
    else if (number_in(c) != TEST_LATER)
        pthread_testcancel();
    return do_echo(c);
}

sint32 do_sched(CONN *c)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct test_sched is = {.policy = sched_getscheduler(0)};
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    for (int i = 0; i < 3; i++)
        is.unblocked = (uint8_t) (is.unblocked + !sigismember(&mask, signals[i]));
    return answer(c, &is, sizeof is);
}

sint32 do_vanish(CONN *c)
{
    do_echo(c);
    if (number_in(c) == 0)
        pthread_exit(NULL);
    pthread_cancel(pthread_self());
    pthread_testcancel();
    return 0;
}

/* ---- The process ---- */

__attribute__((noinline)) static uint32 overflow(uint32 depth)
{
    volatile char room[4096];
    room[depth % sizeof room] = 1;
    return depth == UINT32_MAX ? 0 : overflow(depth + 1) + (uint32) room[depth % sizeof room];
}

/* Touch a page that may not be touched, or that lies behind the end of its file. */
static void touch(bool behind_the_end)
{
    int fd = behind_the_end ? memfd_create("empty", MFD_CLOEXEC) : -1;
    volatile char *page = mmap(NULL, 4096, behind_the_end ? PROT_READ : PROT_NONE,
                               behind_the_end ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
    if (page != MAP_FAILED)
        own_functions += (uint64) page[0];
}

static void *touch_too(void *barrier)
{
    pthread_barrier_wait(barrier);
    touch(false);
    return NULL;
}

static void two_at_once(void)
{
    pthread_barrier_t barrier;
    pthread_t t;
    pthread_barrier_init(&barrier, NULL, 2);
    if (pthread_create(&t, NULL, touch_too, &barrier) == 0)
        touch_too(&barrier);
}

static void illegal(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#else
    raise(SIGILL);
#endif
}

/* The unwinder follows it and faults. */
__attribute__((noinline)) static void smash(void)
{
    void *volatile *frame = __builtin_frame_address(0);
    frame[0] = (void *) (uintptr_t) 0x4141414141414140;
    abort();
}

static sint32 touch_as_sink(const MARIO_LOG_RECORD *r, void *arg)
{
    (void) r;
    (void) arg;
    touch(false);
    return 0;
}

static void touch_on_log(CONN *c)
{
    regist_log_func(touch_as_sink, NULL);
    slog_err(c->owner->qlog, "the last line");
}

static _Atomic bool master_dies; /* a function (w) -> master (r) */

void die_on_second(LOG_QUEUE *q, void *arg)
{
    (void) q;
    (void) arg;
    if (master_dies)
        touch(false);
}

/* Whether a forked child died of it. */
static bool touch_in_child(void)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        touch(false);
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* So that the compiler does not know that they do not return: the call stays inside its function. */
static void (*volatile give_up)(void) = abort, (*volatile go_wrong)(void) = illegal;

/* A backtrace must have its name. */
sint32 die_as_told(CONN *c)
{
    switch ((enum test_death) number_in(c)) {
    case DIE_ABORT:
        give_up();
        break;
    case DIE_SEGV:
    case DIE_BUS:
        touch(number_in(c) == DIE_BUS);
        break;
    case DIE_ILL:
        go_wrong();
        break;
    case DIE_FPE:
        raise(SIGFPE);
        break;
    case DIE_STACK:
        return (sint32) overflow(0);
    case DIE_KILL:
        kill(getpid(), SIGKILL);
        break;
    case DIE_EXIT_0:
        _exit(0);
    case DIE_EXIT_2:
        _exit(2);
    case DIE_TWO:
        two_at_once();
        break;
    case DIE_SMASHED:
        smash();
        break;
    case DIE_ON_LOG:
        touch_on_log(c);
        break;
    case DIE_IN_CHILD:
        if (!touch_in_child())
            return -1;
        break;
    case DIE_ON_MASTER:
        master_dies = true;
        break;
    }
    return do_echo(c); /* it should not have come so far */
}
