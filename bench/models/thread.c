/*
 * thread.c: a thread for each connection.
 *
 * How: the main thread accepts and makes a detached thread, which serves its client with plain blocking calls
 * and ends. Limits: each request is a context switch; each thread holds 16 KiB of stack here and as much in the
 * kernel; making and ending one costs tens of microseconds a connection; anything shared needs a lock. Right up
 * to some thousand connections when what a request does is long, blocking or hard to cut into steps: databases
 * (MySQL), application servers.
 */
#include "model.h"

#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static void *serve(void *arg)
{
    model_serve((int) (intptr_t) arg);
    return NULL;
}

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, 0);
    pthread_attr_t attr;
    pthread_t thread;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, MODEL_STACK);
    for (;;) {
        int fd = model_accept(listener, 0);

        if (pthread_create(&thread, &attr, serve, (void *) (intptr_t) fd) != 0)
            close(fd); /* no more threads: this client is refused, the others go on */
    }
}
