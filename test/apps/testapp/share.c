/*
 * share.c: functions that show what a connection has of its worker, and what it sees of others. On the connection's
 * worker, or offloaded.
 */
#include "app.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <time.h>

static uint64 now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64) t.tv_sec * 1000000 + (uint64) t.tv_nsec / 1000;
}

sint32 do_spin(CONN *c)
{
    for (uint64 until = now_us() + 50; now_us() < until;) {
    }
    own_functions++;
    return answer(c, NULL, 0);
}

sint32 do_sight(CONN *c)
{
    uint32 n = (uint32) strlen(c->in_buf + SIZE_OF_HEAD);
    return answer(c, &n, sizeof n);
}

/* Whether the address is the one that the text says. */
static bool is_the_same(const struct sockaddr_storage *a, const char *text)
{
    char ip[64] = "", all[96];
    const struct sockaddr_in *v4 = (const void *) a;
    const struct sockaddr_in6 *v6 = (const void *) a;
    if (a->ss_family == AF_UNIX)
        return strcmp(text, "unix") == 0;
    if (a->ss_family == AF_INET)
        snprintf(all, sizeof all, "%s:%u", inet_ntop(AF_INET, &v4->sin_addr, ip, sizeof ip),
                 ntohs(v4->sin_port));
    else
        snprintf(all, sizeof all, "[%s]:%u", inet_ntop(AF_INET6, &v6->sin6_addr, ip, sizeof ip),
                 ntohs(v6->sin6_port));
    return strcmp(text, all) == 0;
}

sint32 do_peer(CONN *c)
{
    char text[100] = "?", cut[100];
    struct sockaddr_storage address;
    CONN other = *c;
    sint32 rc = mario_peer(c, text, sizeof text);
    uint32 n = (uint32) strlen(text);
    if (rc != 0 || mario_peer(c, cut, n) != -1 || mario_peer(c, cut, n + 1) != 0 || strcmp(cut, text) != 0)
        own_wrong_state++;
    if (mario_peer_addr(c, &address) != 0 || !is_the_same(&address, text))
        own_wrong_state++;
    if (mario_peer(&other, cut, sizeof cut) != -1 || mario_peer_addr(&other, &address) != -1)
        own_wrong_state++;
    return answer(c, text, n);
}

/* Whether errno is what a call that is for connections alone says. */
static bool is_refused(sint32 rc)
{
    return rc == -1 && errno == EINVAL;
}

sint32 do_datagram(CONN *c)
{
    CONN other = *c;
    struct test_datagram d = {
        .ind = c->ind, .is_away = c->owner->base == NULL, .worker = (ubyte) c->owner->ind};
    if (!mario_is_datagram(c) || mario_is_datagram(&other))
        return -1;
    d.is_nobody = c->fd == -1 && c->user == NULL && c->err_type == 0 && mario_conn_id(c) == 0 &&
                  c->bufev != NULL && c->ind == mario_server_connnum(app.server) &&
                  c->out_buf_len == app.options.max_pkglen;
    d.is_refused = is_refused(mario_join(c, 7)) && is_refused(mario_leave(c, 7));
    d.is_refused = d.is_refused && is_refused(mario_bind(c, 7, MARIO_BIND_MANY, 0));
    memset(c->out_buf, 0x5a, c->out_buf_len);
    if (mario_peer(c, d.peer, sizeof d.peer) != 0)
        return -1;
    c->user = c->out_buf; /* the next one must not find it */
    return answer(c, &d, sizeof d);
}

/* ---- New settings ---- */

static struct test_reload wanted;
static _Atomic bool is_wanted; /* a function (w) -> master (r, takes it) */

sint32 do_reload(CONN *c)
{
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof wanted || is_wanted)
        return -1;
    memcpy(&wanted, c->in_buf + SIZE_OF_HEAD, sizeof wanted);
    is_wanted = true;
    return do_echo(c);
}

void reload_if_asked(void)
{
    struct mario_options o = app.options, wrong = app.options;
    if (!is_wanted)
        return;
    if (wanted.also[0] != '\0') {
        set_option(&app.options, wanted.also);
        own_wrong_state += mario_reload_server(app.server, &app.options) != 0;
        is_wanted = false;
        return;
    }
    o.timeout = wanted.timeout;
    o.packet_timeout = wanted.packet_timeout;
    o.output_high = wanted.output_high;
    wrong.output_high = wrong.output_max + 1;
    if (mario_reload_server(app.server, &wrong) != -1)
        own_wrong_state++;
    for (uint32 i = 1; i <= wanted.times; i++)
        own_wrong_state +=
            mario_reload_server(app.server, i % 2 == wanted.times % 2 ? &o : &app.options) != 0;
    is_wanted = false;
}
