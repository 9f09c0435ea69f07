/*
 * server.c: a server that pushes, on the public interface alone, for the push benchmarks: LOGIN, ECHO, JOIN and SAY of
 * maritcp, and what stands in protocol.h. Main becomes the master; the functions run on the worker.
 *
 *     server PORT CONNECTIONS [KEY=VALUE...]     on 127.0.0.1, one worker, until SIGTERM
 *
 * Keys are those of the section push, and "slow=drop_newest" is the only policy beside "close".
 */
#include "mario/mario.h"
#include "mario/mario_push.h"

#include "protocol.h"
#include "protocol/mario_protocol.h"

enum { SAID_MAX = 8192 };

static SERVER *server;

/* A bare HEAD. */
static sint32 answer(CONN *c)
{
    HEAD head;

    memcpy(&head, c->in_buf, sizeof head);
    head.pkglen = sizeof head;
    return bufferevent_write(c->bufev, &head, sizeof head);
}

static sint32 echo(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

static sint32 join(CONN *c)
{
    uint64 group;

    if (c->in_buf_len != sizeof(HEAD) + sizeof group)
        return -1;
    memcpy(&group, (const ubyte *) c->in_buf + sizeof(HEAD), sizeof group);
    return mario_join(c, group) == 0 ? answer(c) : -1;
}

/* The SAID of a SAY: the group, two bytes that say who, the text. NULL if there is no memory, or it is no SAY. */
static struct mario_msg *said(const CONN *c, uint64 *group)
{
    ubyte data[SAID_MAX + sizeof(uint16)] = {0};
    size_t len = c->in_buf_len - sizeof(HEAD), text = sizeof *group + sizeof(uint16);
    const ubyte *say = (const ubyte *) c->in_buf + sizeof(HEAD);

    if (len < sizeof *group || len > SAID_MAX)
        return NULL;
    memcpy(group, say, sizeof *group);
    memcpy(data, group, sizeof *group);
    memset(data + sizeof *group, 0, sizeof(uint16));
    memcpy(data + text, say + sizeof *group, len - sizeof *group);
    return mario_msg_packet(CMD_FUNCTION_SAID, data, (uint32) (len + sizeof(uint16)));
}

static sint32 say(CONN *c)
{
    uint64 group;
    struct mario_msg *m = said(c, &group);
    sint32 r = m == NULL ? -1 : mario_send_group(group, m, mario_conn_id(c));

    mario_msg_free(&m);
    return r;
}

static sint32 say_all(CONN *c)
{
    uint64 group;
    struct mario_msg *m = said(c, &group);
    sint32 r = m == NULL ? -1 : mario_send_all(m, mario_conn_id(c));

    mario_msg_free(&m);
    return r;
}

static sint32 stat_value(CONN *c)
{
    char name[64] = "";
    size_t len = c->in_buf_len - sizeof(HEAD);
    HEAD head;

    if (len >= sizeof name)
        return -1;
    memcpy(&head, c->in_buf, sizeof head);
    memcpy(name, (const ubyte *) c->in_buf + sizeof head, len);
    uint64 value = mario_stat(server, name);
    head.pkglen = sizeof head + sizeof value;
    if (bufferevent_write(c->bufev, &head, sizeof head) != 0)
        return -1;
    return bufferevent_write(c->bufev, &value, sizeof value);
}

/* Returns 0, or -1 if there is no such key. */
static int set(struct mario_options *o, const char *key)
{
    unsigned value;

    if (strcmp(key, "slow=drop_newest") == 0)
        o->push_slow = MARIO_SLOW_DROP_NEWEST;
    else if (strcmp(key, "slow=close") == 0)
        o->push_slow = MARIO_SLOW_CLOSE;
    else if (strcmp(key, "uring=auto") == 0)
        o->push_uring = MARIO_URING_AUTO;
    else if (sscanf(key, "queue=%u", &value) == 1)
        o->push_queue = value;
    else if (sscanf(key, "bytes=%u", &value) == 1)
        o->push_bytes = value;
    else if (sscanf(key, "memory=%u", &value) == 1)
        o->push_memory = value;
    else if (sscanf(key, "lowat=%u", &value) == 1)
        o->push_lowat = value;
    else if (sscanf(key, "ring=%u", &value) == 1)
        o->push_ring = value;
    else
        return -1;
    return 0;
}

int main(int argc, char **argv)
{
    struct mario_options options;
    char listen[32];
    int code = 2, bad = argc < 3;

    mario_options_init(&options);
    for (int i = 3; i < argc; i++)
        bad |= set(&options, argv[i]) != 0;
    if (bad) {
        fprintf(
            stderr,
            "usage: server PORT CONNECTIONS [KEY=VALUE...]    (slow, uring, queue, bytes, memory, lowat, ring)\n");
        return 1;
    }
    snprintf(listen, sizeof listen, "127.0.0.1:%s", argv[1]);
    options.listen = listen;
    options.workernum = 1;
    options.connnum = (uint32) atoi(argv[2]);
    options.timeout = 0;
    mario_log_level(MARIO_LOG_WARN);
    server = mario_init_server(&options);
    if (server == NULL)
        return 2;
    if (regist_stx(MARITCP_STX) == 0 && regist_akg_func(CMD_FUNCTION_LOGIN, answer) == 0 &&
        regist_akg_func(CMD_FUNCTION_ECHO, echo) == 0 && regist_akg_func(CMD_FUNCTION_JOIN, join) == 0 &&
        regist_akg_func(CMD_FUNCTION_SAY, say) == 0 && regist_akg_func(BENCH_SAY_ALL, say_all) == 0 &&
        regist_akg_func(BENCH_STAT, stat_value) == 0 && start_log_thread() == 0) {
        start_server(server);
        code = mario_server_exit_code(server);
    }
    mario_free_server(&server);
    return code;
}
