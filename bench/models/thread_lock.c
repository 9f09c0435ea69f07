/*
 * thread_lock.c: a pool of threads, each waits for its turn at accept behind a mutex and serves its connection.
 *
 * How: all threads are made at start. The one that holds the mutex waits in accept, lets the mutex go and serves
 * its client with plain blocking calls; then it queues for the mutex again. The mutex sees to it that one
 * thread wakes up for a connection; today's kernels do that by themselves, those the books were written on did
 * not. Limits: the pool is the number of clients, the next one waits in the backlog until somebody leaves;
 * each request is a context switch. Right when work blocks and the number at a time must have a bound: it is
 * the pool of a server in front of a database.
 */
#include "model.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

enum { POOL = 1024 };

static pthread_mutex_t accept_lock = PTHREAD_MUTEX_INITIALIZER;
static int listener;

static void *serve(void *arg)
{
    (void) arg;
    for (;;) {
        pthread_mutex_lock(&accept_lock);
        int fd = model_accept(listener, 0);
        pthread_mutex_unlock(&accept_lock);
        model_serve(fd);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    listener = model_start(argc, argv, 0);
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, MODEL_STACK);
    for (int i = 0; i < POOL; i++) {
        errno = pthread_create(&thread, &attr, serve, NULL);
        if (errno != 0)
            model_die("pthread_create");
    }
    for (;;)
        pause();
}
