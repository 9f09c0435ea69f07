/*
 * legacy_table.c: a server as programs for MarioTCP 0.9.9 may be that know its variables: functions, hooks and the
 * magic are not registered but written, and timers are libevent 1's. It is C99 and C++ at once, both are built.
 * Functions run on workers; main is the master.
 *
 *     legacy_table      listens on a free port
 */
struct _CONN;
static int say(struct _CONN *c);

#include "mario/mario_global.h"
#include "mario/mario_network.h"
#include "mario/mario_type.h"
#include "mario/mario.h"

#define CMD_SAY  0x6102
#define CMD_LATE 0x6103

static struct event later;
static int came, left, rang;

static int say(struct _CONN *c)
{
    struct _HEAD *rsp = (struct _HEAD *) c->out_buf;
    char text[MAX_BUF_READ_LEN];
    int n = snprintf(text, sizeof(text), "%d came, %d left, %d rang", came, left, rang);
    rsp->stx = g_stx;
    rsp->akg_id = ((struct _HEAD *) c->in_buf)->akg_id;
    rsp->pkglen = (uint16) (SIZE_OF_HEAD + n);
    memcpy(c->out_buf + SIZE_OF_HEAD, text, (size_t) n);
    return bufferevent_write(c->bufev, c->out_buf, rsp->pkglen);
}

static void on_later(int fd, short what, void *arg)
{
    (void) fd;
    (void) what;
    (void) arg;
    ++rang;
}

static sint32 late(CONN *c)
{
    struct timeval now = {0, 0};
    if (!evtimer_initialized(&later)) {
        evtimer_set(&later, on_later, NULL);
        event_base_set(c->owner->base, &later);
    }
    evtimer_add(&later, &now);
    return AKG_FUNC[CMD_SAY](c);
}

static sint32 connected(CONN *c)
{
    u_char *ip = (u_char *) &c->cip;
    ++came;
    return ip[0] != 127;
}

static sint32 closed(CONN *c)
{
    ++left;
    return c->err_type != g_akg_closed_id;
}

int main(void)
{
    SERVER *server = init_server(0, 1, 100, CONN_READ_TIMEOUT, CONN_WRITE_TIMEOUT);
    if (server == NULL)
        return 1;
    AKG_FUNC[CMD_SAY] = say;
    AKG_FUNC[CMD_LATE] = late;
    AKG_FUNC[g_akg_connected_id] = connected;
    AKG_FUNC[g_akg_closed_id] = closed;
    g_stx = 0x8eb69af7;
    start_log_thread();
    start_server(server);
    return 0;
}
