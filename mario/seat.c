/*
 * seat.c: a thread that runs business functions. Setup and teardown are for the thread that makes the server
 * and for the master; seat_vanish() for the seat's own thread.
 */
#include "seat.h"

#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "loop.h"
#include "output.h"

_Thread_local struct seat *seat_here;

bool seat_setup(struct seat *t, uint32 ind, struct beat *beat)
{
    t->pub.ind = ind;
    t->beat = beat;
    errno = ENOMEM;
    return (t->pub.qlog = create_log_queue()) != NULL && (t->pub.base = loop_base_create()) != NULL &&
           (t->out_buf = malloc(OUT_BUF_SIZE)) != NULL && output_setup(t);
}

void seat_destroy(struct seat **tp)
{
    struct seat *t = *tp;
    int err = errno;
    *tp = NULL;
    output_teardown(t);
    if (t->bell_event != NULL)
        event_free(t->bell_event);
    if (t->tick_event != NULL)
        event_free(t->tick_event);
    if (t->pub.base != NULL) {
        event_base_loop(t->pub.base, EVLOOP_NONBLOCK); /* bufferevents are freed in a pass of the loop */
        event_base_free(t->pub.base);
    }
    free(t->out_buf);
    free(t->rx);
    log_queue_destroy(&t->pub.qlog);
    free(t);
    errno = err;
}

void seat_vanish(void)
{
    pthread_exit(NULL);
}
