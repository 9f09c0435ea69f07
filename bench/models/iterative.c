/*
 * iterative.c: one process, one connection at a time.
 *
 * How: accept, serve that client until it leaves, accept the next. The others wait in the kernel's backlog,
 * connected but unheard. Limits: one client that says nothing stops everybody. Right when a visit is one short
 * request and its answer, and nobody can be rude: a time or status port on a trusted machine. It is also the
 * cheapest way to serve a connection there is: no loop, no second process, one recv and one send a request.
 */
#include "model.h"

int main(int argc, char **argv)
{
    int listener = model_start(argc, argv, 0);

    for (;;)
        model_serve(model_accept(listener, 0));
}
