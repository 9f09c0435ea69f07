/*
 * main.c: the counter, a server of one's own on libmario: the main thread makes it, becomes its master, and takes it
 * down. What it answers is in count.c.
 *
 *     counter [LISTEN]        LISTEN as in maritcp's server.listen; without it 127.0.0.1:8083
 */
#include "count.h"

enum { EXIT_NO_START = 2 };

static sint32 prepare(void)
{
    if (regist_stx(COUNT_STX) != 0 || regist_akg_func(CMD_COUNT_ADD, count_add) != 0 ||
        regist_connected_func(count_begin) != 0 || regist_disconnected_func(count_end) != 0 ||
        regist_timer_func(10, count_report, NULL) != 0)
        return -1;
    return start_log_thread();
}

int main(int argc, char **argv)
{
    struct mario_options options;
    mario_options_init(&options);
    options.listen = argc > 1 ? argv[1] : "127.0.0.1:8083";
    options.max_pkglen = sizeof(COUNT_ADD_RSP); /* nobody has to send more; out_buf has room for the answer */
    SERVER *server = mario_init_server(&options); /* says itself what is wrong */
    if (server == NULL)
        return EXIT_NO_START;
    int code = EXIT_NO_START;
    if (prepare() == 0) {
        start_server(server); /* until SIGTERM or SIGINT */
        code = mario_server_exit_code(server);
    } else {
        fprintf(stderr, "counter: a function or the log thread was refused\n");
    }
    mario_free_server(&server);
    return code;
}
