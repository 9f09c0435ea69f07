/*
 * main.c: a server as programs for MarioTCP 0.9.9 are: a daemon that then reads init.conf of the working directory,
 * logs to standard output, sets up some functions by calls and some by the table, and never stops by itself. Its
 * folder is compiled as they are: C99, LINUX64. Main thread, which becomes the server's master.
 *
 *     cd DIRECTORY; legacy_server [foreground]
 */
#include "collect.h"

#include "mario/mario.h"

#include "config.h"
#include "function.h"
#include "ptcl.h"

int main(int argc, char **argv)
{
    sighandler_t ignore = SIG_IGN;
    (void) argv;
    if (argc < 2)
        run_daemon();
    if (init_conf() < 0)
        return -1;
    if (init_collect() < 0)
        return -1;
    SERVER *server = init_server(conf.port, conf.workernum, conf.connnum, conf.timeout, CONN_WRITE_TIMEOUT);
    if (server == NULL)
        return -1;
    regist_akg_func(CMD_LOGIN, login);
    regist_akg_func(CMD_COPY, copy);
    regist_akg_func(CMD_FILL, fill);
    regist_akg_func(CMD_AGAIN, again);
    AKG_FUNC[CMD_SPEAK] = speak;
    AKG_FUNC[CMD_ONLINE] = online;
    regist_disconnected_func(logout);
    AKG_FUNC[g_akg_timeout_id] = timed_out;
    if (start_log_thread() != 0) {
        fprintf(stderr, "[error] start_log_thread, errno: %d %m\n", errno);
        return -1;
    }
    if (start_collect_thread() != 0) {
        fprintf(stderr, "[error] start_collect_thread, errno: %d %m\n", errno);
        return -1;
    }
    signal_handler(SIGPIPE, ignore);
    g_stx = MY_STX;
    start_server((void *) server);
    return EXIT_SUCCESS;
}
