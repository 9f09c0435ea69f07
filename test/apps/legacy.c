/*
 * legacy.c: a program in the style of MarioTCP 0.9.9, which must compile and run unchanged: positional
 * arguments, start_server on a thread of its own, a log queue for main, every return value ignored, one hook
 * for all three ends.
 *
 *     legacy PORT WORKERNUM CONNNUM READ_TIMEOUT WRITE_TIMEOUT [daemon]
 *
 * Functions run on workers, each worker's count is its own; main reads them every second.
 */
#include "mario/mario.h"

#define CMD_FUNCTION_LOGIN     0x6101
#define CMD_FUNCTION_SAY_HELLO 0x6102
#define CMD_FUNCTION_SPEAK     0x6104 /* logs in every way there is */
#define CMD_FUNCTION_QUIT      0x6105 /* closes its connection and returns 0 */
#define CMD_FUNCTION_NONSENSE  0x6106 /* close_err_conn */

typedef struct {
    uint16 uid;
} __attribute__((packed)) LOGIN;

static sint32 online[256];
static sint64 hooks;

static sint32 connected(CONN *c)
{
    c->user = NULL;
    __sync_fetch_and_add(&hooks, 1);
    return 0;
}

static sint32 disconnected(CONN *c)
{
    if (c->user != NULL)
        __sync_fetch_and_sub(&online[c->owner->ind], 1);
    __sync_fetch_and_sub(&hooks, 1);
    return 0;
}

static sint32 login(CONN *c)
{
    HEAD *req = (HEAD *) c->in_buf, *rsp = (HEAD *) c->out_buf;
    LOGIN *body = (LOGIN *) (c->in_buf + SIZE_OF_HEAD);
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof(LOGIN))
        return -1;
    if (c->user == NULL)
        __sync_fetch_and_add(&online[c->owner->ind], 1);
    c->user = (void *) (size_t) (body->uid + 1);
    rsp->stx = req->stx;
    rsp->akg_id = req->akg_id;
    rsp->pkglen = SIZE_OF_HEAD;
    bufferevent_write(c->bufev, c->out_buf, rsp->pkglen);
    return 0;
}

static sint32 say_hello(CONN *c)
{
    HEAD *req = (HEAD *) c->in_buf;
    HEAD *rsp = (HEAD *) c->out_buf;
    rsp->stx = req->stx;
    rsp->akg_id = req->akg_id;
    rsp->pkglen = sizeof(HEAD) + 5;
    memcpy(c->out_buf + sizeof(HEAD), "hello", 5);
    bufferevent_write(c->bufev, c->out_buf, rsp->pkglen);
    return 0;
}

static sint32 speak(CONN *c)
{
    ubyte *ip = (ubyte *) &c->cip;
    LOG_QUEUE *q = c->owner->qlog;
    slog_err(q, "spoken err");
    slog_err_t(q, "spoken err_t");
    slog_err_w(q, "spoken err_w");
    slog_err_t_w(q, "spoken err_t_w from %u.%u.%u.%u", ip[0], ip[1], ip[2], ip[3]);
    slog_warn_t_w(q, "spoken warn_t_w fd %d of worker %u", c->fd, c->owner->ind);
    slog_info_t_w(q, "spoken info_t_w slot %u", c->ind);
    record_log(q, 2, "spoken raw on %d\n", 2);
    say_hello(c);
    return c->owner->base == NULL;
}

static sint32 quit(CONN *c)
{
    say_hello(c);
    close_conn(c, CMD_FUNCTION_QUIT);
    return 0;
}

static sint32 nonsense(CONN *c)
{
    close_err_conn(c);
    return -1;
}

int main(int argc, char **argv)
{
    pthread_t t;
    void *failed = NULL;
    if (argc < 6) {
        fprintf(stderr, "usage: legacy PORT WORKERNUM CONNNUM READ_TIMEOUT WRITE_TIMEOUT [daemon]\n");
        return 1;
    }
    if (argc > 6)
        run_daemon();
    SERVER *server = init_server(atoi(argv[1]), (uint16) atoi(argv[2]), (uint32) atoi(argv[3]), atoi(argv[4]),
                                 atoi(argv[5]));
    if (server == NULL)
        return 2;
    regist_connected_func(connected);
    regist_disconnected_func(disconnected);
    regist_akg_func(CMD_FUNCTION_LOGIN, login);
    regist_akg_func(CMD_FUNCTION_SAY_HELLO, say_hello);
    regist_akg_func(CMD_FUNCTION_SPEAK, speak);
    regist_akg_func(CMD_FUNCTION_QUIT, quit);
    regist_akg_func(CMD_FUNCTION_NONSENSE, nonsense);
    regist_stx(0x8eb69af7);
    start_log_thread();
    LOG_QUEUE *q = create_log_queue();
    signal_handler(SIGPIPE, SIG_IGN);
    pthread_create(&t, NULL, start_server, server);
    for (int rounds = 0; pthread_tryjoin_np(t, &failed) == EBUSY; rounds++) {
        sint32 sum = 0;
        for (int i = 0; i < 256; i++)
            sum += __sync_fetch_and_add(&online[i], 0);
        if (rounds % 100 == 0)
            slog_info_t(q, "legacy online %d", sum);
        susleep(0, 5000);
        nsleep(5000000);
    }
    slog_info_t(q, "legacy ended, %lld hooks open, %d", (long long) hooks, failed != NULL);
    mario_log_flush(1000);
    return failed == NULL && hooks == 0 ? 0 : 3;
}
