/*
 * epoll_pool.c: half-sync/half-reactive: one thread waits, a pool of threads works, a locked queue between.
 *
 * How: the main thread accepts and waits in epoll, edge-triggered and EPOLLONESHOT: a connection is told of once
 * and then silent, so it belongs to one thread at a time without a lock of its own. The main thread puts what is
 * ready into a queue under a mutex; a worker takes it out, uses the event up, and arms the connection again.
 * Limits: each wake-up pays for a lock, a condition variable, a context switch and an epoll_ctl; the queue is
 * the one place all threads meet. Right when the work behind a request is much longer than that, or blocks, and
 * any thread must be able to take any client. A request of microseconds is better served where it arrived.
 */
#include "model.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { POOL = 4, EVENTS = 512 };

static int epoll_fd; /* any thread */

/* A connection. A worker that arms it gives it to the main thread by way of the kernel. The kernel's locks put
 * that in order, but C does not know; `turns` says so in C. */
struct job {
    struct job *next;
    struct stream *stream;
    atomic_uint turns;
};

/* Those that are ready; main thread (w) -> workers (r), linked through `next`. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct job *first, **last;
} queue = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, &queue.first};

static int watch(int op, int fd, uint32_t events, struct job *job)
{
    struct epoll_event ev = {.events = events, .data.ptr = job};

    return epoll_ctl(epoll_fd, op, fd, &ev);
}

static void queue_put(struct job *job)
{
    (void) atomic_load_explicit(&job->turns, memory_order_acquire);
    job->next = NULL;
    pthread_mutex_lock(&queue.lock);
    *queue.last = job;
    queue.last = &job->next;
    pthread_mutex_unlock(&queue.lock);
    pthread_cond_signal(&queue.filled);
}

static struct job *queue_take(void)
{
    pthread_mutex_lock(&queue.lock);
    while (queue.first == NULL)
        pthread_cond_wait(&queue.filled, &queue.lock);
    struct job *job = queue.first;
    queue.first = job->next;
    if (queue.first == NULL)
        queue.last = &queue.first;
    pthread_mutex_unlock(&queue.lock);
    return job;
}

/* Until it is armed again, or closed, the connection is this thread's alone. */
static void on_job(struct job *job, struct wire_scratch *scratch)
{
    struct stream *s = job->stream;
    enum stream_state state = stream_drain(s, scratch);
    uint32_t events = state == STREAM_FULL ? EPOLLOUT : EPOLLIN;

    atomic_fetch_add_explicit(&job->turns, 1, memory_order_release);
    if (state != STREAM_END && watch(EPOLL_CTL_MOD, s->fd, events | EPOLLET | EPOLLONESHOT, job) == 0)
        return; /* another thread may have it by now */
    stream_close(s);
    free(job);
}

static void *worker_main(void *arg)
{
    for (;;)
        on_job(queue_take(), arg);
    return NULL;
}

static void accept_all(int listener)
{
    int fd;

    while ((fd = model_accept(listener, SOCK_NONBLOCK)) >= 0) {
        struct stream *s = stream_open(fd);
        struct job *job = s == NULL ? NULL : calloc(1, sizeof *job);

        if (job != NULL) {
            job->stream = s;
            if (watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLET | EPOLLONESHOT, job) == 0)
                continue;
        }
        if (s != NULL)
            stream_close(s);
        free(job);
    }
}

static void pool_setup(void)
{
    pthread_t thread;

    for (int i = 0; i < POOL; i++) {
        struct wire_scratch *scratch = malloc(sizeof *scratch);

        if (scratch == NULL)
            model_die("memory");
        errno = pthread_create(&thread, NULL, worker_main, scratch);
        if (errno != 0)
            model_die("pthread_create");
    }
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    int listener = model_start(argc, argv, SOCK_NONBLOCK);

    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || watch(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLET, NULL) < 0)
        model_die("epoll");
    pool_setup();
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr == NULL)
                accept_all(listener);
            else
                queue_put(events[i].data.ptr);
        }
    }
}
