/*
 * doors.c: the addresses of admin.listen, and who comes in by them. The admin thread; opening and closing for the
 * thread that makes the server.
 *
 * Who comes in takes the place of the oldest when all are taken: a crowd that says nothing keeps nobody out for long.
 * But those of a unix socket go last: the way in by which a flood of the others is looked at stays open.
 */
#include "mario/admin/doors.h"

#include <errno.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "mario/admin/admin.h"
#include "mario/admin/client.h"
#include "mario/admin/http.h"
#include "mario/admin/token.h"
#include "mario/base/complain.h"
#include "mario/base/peer.h"
#include "mario/base/stats.h"
#include "mario/net/activation.h"
#include "mario/net/listen.h"

enum {
    BACKLOG = 256,
    ACCEPT_BATCH = 16, /* in a row, then others have their turn: a flood costs the machine little */
    REST_MS = 10,
    RETRY_MS = 100, /* accept() failed */
    OWNER_ONLY = 0600
};

static struct door {
    struct listen_address address;
    int fd;
    struct event *event;
} doors[LISTEN_MAX];
static uint32_t count;
static struct event *rest_event; /* the doors are not looked at until it fires */

static struct client *clients[DOORS_CLIENTS]; /* the oldest first */
static uint32_t client_count;

/* ---- Who is in ---- */

static void on_gone(struct client *c)
{
    uint32_t i = 0;
    while (i < client_count && clients[i] != c)
        i++;
    if (i == client_count)
        return;
    client_count--;
    for (; i < client_count; i++)
        clients[i] = clients[i + 1];
}

static void make_room(void)
{
    uint32_t i = 0;
    if (client_count < DOORS_CLIENTS)
        return;
    while (i < client_count && clients[i]->is_unix)
        i++;
    struct client *oldest = clients[i < client_count ? i : 0];
    client_refused(oldest, STAT_admin_dropped, "has to go: there are %d others", DOORS_CLIENTS);
    client_destroy(oldest);
}

static void name_client(int fd, bool is_unix, const struct sockaddr_storage *from, char *name, size_t size)
{
    struct ucred who;
    socklen_t len = sizeof who;
    struct peer peer = peer_of(from);
    if (!is_unix)
        peer_print(&peer, name, (uint32_t) size);
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0)
        snprintf(name, size, "unix (uid %u, pid %d)", (unsigned) who.uid, (int) who.pid);
    else
        snprintf(name, size, "unix");
}

/* ---- Accepting ---- */

static void rest(uint32_t ms)
{
    for (uint32_t i = 0; i < count; i++)
        event_del(doors[i].event);
    event_add(rest_event, &(struct timeval){.tv_usec = (suseconds_t) ms * 1000});
}

/* accept() has failed, or there is nobody more. */
static void refuse_accept(int err)
{
    if (err == EAGAIN)
        return;
    stats_add_shared(STAT_admin_accept_failed, 1);
    if (err != EINTR && err != ECONNABORTED)
        rest(RETRY_MS);
}

static void on_rested(evutil_socket_t fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    for (uint32_t i = 0; i < count; i++)
        event_add(doors[i].event, NULL);
}

static void on_door(evutil_socket_t fd, short what, void *arg)
{
    const struct door *d = arg;
    bool is_unix = d->address.addr.ss_family == AF_UNIX;
    (void) what;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        char name[80];
        struct sockaddr_storage from = {0};
        socklen_t len = sizeof from;
        int s = accept4(fd, (struct sockaddr *) &from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s < 0) {
            refuse_accept(errno);
            return;
        }
        make_room();
        name_client(s, is_unix, &from, name, sizeof name);
        struct client *c = client_create(s, is_unix, name, on_gone);
        if (c != NULL)
            clients[client_count++] = c;
    }
    rest(REST_MS);
}

/* ---- Opening, closing ---- */

static bool names_something(const char *list)
{
    return list != NULL && list[0] != '\0' && strcmp(list, "-") != 0;
}

/* Into a list of LISTEN_MAX, the caller's to free. How many, or -1 with a line in why. */
static int parse(const struct mario_options *o, struct listen_address **list, char *why, size_t size)
{
    *list = NULL;
    if (!names_something(o->admin_listen))
        return 0;
    *list = calloc(LISTEN_MAX, sizeof **list);
    if (*list == NULL) {
        snprintf(why, size, "no memory to start");
        return -1;
    }
    int n = listen_parse(o->admin_listen, *list, why, size);
    for (int i = 0; i < n; i++) {
        if ((*list)[i].option_count == 0 && !(*list)[i].datagram)
            continue;
        listen_refuse(&(*list)[i], why, size, "operators ask by HTTP: neither options nor udp:");
        return -1;
    }
    return n;
}

uint32_t doors_wanted(const struct mario_options *o)
{
    uint32_t n = names_something(o->admin_listen);
    for (const char *p = n > 0 ? o->admin_listen : ""; *p != '\0'; p++)
        n += *p == ',';
    return n;
}

uint32_t doors_count(void)
{
    return count;
}

static bool open_door(struct door *d, const struct listen_address *a)
{
    struct listen_options set = {.backlog = BACKLOG, .unix_mode = OWNER_ONLY, .unix_group = (gid_t) -1};
    d->address = *a;
    d->fd = activation_open(&d->address, &set);
    return d->fd >= 0 || complain("cannot listen on %s for admin_listen: %s%s", a->name, strerror(errno),
                                  listen_hint(a, errno));
}

int32_t mario_admin_check(const struct mario_options *o, char *why, uint32_t size)
{
    struct listen_address *list;
    int n = parse(o, &list, why, size);
    free(list);
    if (n < 0)
        return -1;
    return hosts_check(o->admin_hosts, why, size) && token_read(o->admin_token_file, why, size, false) ? 0
                                                                                                       : -1;
}

bool doors_open(const struct mario_options *o)
{
    char why[256];
    struct listen_address *list;
    int n = parse(o, &list, why, sizeof why);
    bool ok = n >= 0 || complain("admin_listen: %s", why);
    if (ok && !hosts_set(o->admin_hosts, why, sizeof why))
        ok = complain("admin_hosts: %s", why);
    for (int i = 0; ok && i < n; i++) {
        ok = open_door(&doors[count], &list[i]);
        count += ok;
    }
    free(list);
    return ok;
}

/* 127.0.0.0/8 and ::1. */
static bool is_loopback(const struct listen_address *a)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *) &a->addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *) &a->addr;
    if (a->addr.ss_family == AF_INET)
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    return a->addr.ss_family != AF_INET6 || IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

bool doors_check_token(void)
{
    for (uint32_t i = 0; i < count && !token_is_set(); i++) {
        if (!is_loopback(&doors[i].address))
            return complain("admin_listen: others can reach %s: that needs a token (admin_token_file)",
                            doors[i].address.name);
    }
    return true;
}

bool doors_setup(struct event_base *base)
{
    rest_event = evtimer_new(base, on_rested, NULL);
    if (rest_event == NULL)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        doors[i].event = event_new(base, doors[i].fd, EV_READ | EV_PERSIST, on_door, &doors[i]);
        if (doors[i].event == NULL || event_add(doors[i].event, NULL) != 0)
            return false;
    }
    return true;
}

void doors_say(LOG_QUEUE *q)
{
    for (uint32_t i = 0; i < count; i++)
        slog_info_t(q, "operators may ask at %s", doors[i].address.name);
}

void doors_end_clients(void)
{
    while (client_count > 0)
        client_destroy(clients[0]);
}

void doors_close(void)
{
    for (uint32_t i = 0; i < count; i++) {
        if (doors[i].event != NULL)
            event_free(doors[i].event);
        listen_close(&doors[i].address, doors[i].fd);
        doors[i].event = NULL;
    }
    count = 0;
    if (rest_event != NULL)
        event_free(rest_event);
    rest_event = NULL;
}
