/*
 * offload.c: a server with one function registered in the three ways, and one that sleeps, for the offload scenarios of
 * bench.py. Main becomes the master; the functions say where they run.
 *
 *     offload PORT       on 127.0.0.1, one worker, 16 threads in the pool, until SIGTERM
 */
#include "mario/mario.h"

enum { INLINE = 0x0001, OFFLOADED = 0x0002, CONCURRENT = 0x0003, SLEEPER = 0x0004 };

/* On the worker, or on a thread of the pool: the head comes back. */
static sint32 answer(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

/* On a thread of the pool: what a fast query would take. */
static sint32 sleep_then_answer(CONN *c)
{
    susleep(0, 1000);
    return answer(c);
}

int main(int argc, char **argv)
{
    struct mario_options options;
    char listen[32];
    if (argc != 2) {
        fprintf(stderr, "usage: offload PORT\n");
        return 1;
    }
    snprintf(listen, sizeof listen, "127.0.0.1:%s", argv[1]);
    mario_options_init(&options);
    options.listen = listen;
    options.workernum = 1;
    options.connnum = 1000;
    options.offload_threads = 16;
    mario_log_level(MARIO_LOG_WARN);
    SERVER *server = mario_init_server(&options);
    if (server == NULL)
        return 2;
    int code = 2;
    if (regist_stx(0x8eb69af7) == 0 && regist_akg_func(INLINE, answer) == 0 &&
        regist_akg_func_offload(OFFLOADED, answer) == 0 &&
        regist_akg_func_offload_concurrent(CONCURRENT, answer) == 0 &&
        regist_akg_func_offload(SLEEPER, sleep_then_answer) == 0 && start_log_thread() == 0) {
        start_server(server);
        code = mario_server_exit_code(server);
    }
    mario_free_server(&server);
    return code;
}
