/*
 * route.c: a way to other servers that leads nowhere (test.route = on): it counts what it is told, decides binds (odd
 * users are refused), and delivers what is sent to groups that are sequenced. On a thread of its own, from the start of
 * the server to its stop.
 */
#include "app.h"

#include <sys/epoll.h>

#include "mario/mario_route.h"

enum { OWN_SEQUENCE = MARIO_ROUTE_OWN, OWN_HOLD };

static pthread_t thread;
static int epoll;
static atomic_bool ends;
static uint64 sequenced; /* the thread's: the group, 0: none */

static void decide(const struct mario_route_order *o)
{
    own_route_binds++;
    if (o->key % 2 == 1)
        mario_local_refuse(o->id, o->key);
    else
        mario_local_bind(o->id, o->key, (enum mario_bind) o->how, o->devices);
}

static void hold(uint32 ms)
{
    own_route_holds++;
    susleep(ms / 1000, ms % 1000 * 1000);
    own_route_holds--;
}

static void serve(struct mario_route_order *o)
{
    struct mario_msg_info info = {.len = 0};
    if (o->m != NULL)
        mario_msg_info(o->m, &info);
    own_route_bytes += info.len;
    switch (o->kind) {
    case MARIO_ROUTE_SEND_USER:
        own_route_to_users++;
        break;
    case MARIO_ROUTE_SEND_GROUP:
        own_route_to_groups++;
        if (o->key == sequenced)
            mario_local_send_group(o->key, o->m, 0);
        break;
    case MARIO_ROUTE_SEND_ALL:
        own_route_to_all++;
        break;
    case MARIO_ROUTE_KICK_USER:
        own_route_kicks++;
        break;
    case MARIO_ROUTE_BIND:
        decide(o);
        break;
    case MARIO_ROUTE_UNBIND:
        own_route_unbinds++;
        break;
    case MARIO_ROUTE_USER:
        own_route_users++;
        break;
    case MARIO_ROUTE_GROUP:
        own_route_groups++;
        break;
    case OWN_SEQUENCE:
        sequenced = o->how ? o->key : 0;
        mario_route_sequence(o->key, o->how);
        own_route_own++;
        break;
    case OWN_HOLD:
        hold(o->devices);
        break;
    default:
        own_wrong_state++;
    }
    mario_msg_free(&o->m);
}

static void take_all(void)
{
    struct mario_route_order o[64];
    for (uint32 n; (n = mario_route_take(o, 64)) > 0;) {
        for (uint32 i = 0; i < n; i++)
            serve(&o[i]);
    }
}

static void *run(void *unused)
{
    (void) unused;
    struct epoll_event e;
    do {
        take_all();
        epoll_wait(epoll, &e, 1, 100);
    } while (!ends);
    return NULL;
}

static sint32 start_route(void *unused)
{
    (void) unused;
    struct epoll_event e = {.events = EPOLLIN | EPOLLET};
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, mario_route_fd(), &e) != 0)
        return -1;
    return pthread_create(&thread, NULL, run, NULL) == 0 ? 0 : -1;
}

static void stop_route(void *unused)
{
    (void) unused;
    ends = true;
    pthread_join(thread, NULL);
    take_all();
    close(epoll);
    own_route_stops++;
}

bool register_route(void)
{
    const struct mario_route r = {.start = start_route, .stop = stop_route};
    return regist_route(&r) == 0 && regist_route(&r) != 0; /* there is one already */
}

sint32 order_of_route(const struct test_order *o)
{
    struct mario_route_order r = {.kind = o->kind == ORDER_ROUTE_HOLD ? OWN_HOLD : OWN_SEQUENCE,
                                  .key = o->to,
                                  .how = o->how,
                                  .devices = o->number};
    return mario_route_post(&r);
}
