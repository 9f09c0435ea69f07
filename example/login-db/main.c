/*
 * main.c: a login that asks a database: the main thread makes the server, becomes its master, and takes it down.
 * What it answers is in login.c, the database in users.c.
 *
 *     login-db [LISTEN [FILE]]    LISTEN as in maritcp's server.listen, without it 127.0.0.1:8084; FILE is users.db
 */
#include "login.h"
#include "users.h"

enum { EXIT_NO_START = 2 };

static sint32 prepare(void)
{
    if (regist_stx(LOGIN_STX) != 0 || regist_akg_func_offload(CMD_LOGIN, login_answer) != 0 || /* it blocks */
        regist_akg_func(CMD_WHO_AM_I, who_answer) != 0 || regist_disconnected_func(login_end) != 0)
        return -1;
    return start_log_thread();
}

int main(int argc, char **argv)
{
    struct mario_options options;
    mario_options_init(&options);
    options.listen = argc > 1 ? argv[1] : "127.0.0.1:8084";
    options.offload_threads = 4; /* SQLite has one writer at a time: more would only wait */
    options.max_pkglen = 64;
    if (users_prepare(argc > 2 ? argv[2] : "users.db") != 0)
        return EXIT_NO_START;
    SERVER *server = mario_init_server(&options); /* says itself what is wrong */
    if (server == NULL)
        return EXIT_NO_START;
    int code = EXIT_NO_START;
    if (prepare() == 0) {
        start_server(server); /* until SIGTERM or SIGINT */
        code = mario_server_exit_code(server);
    } else {
        fprintf(stderr, "login-db: a function or the log thread was refused\n");
    }
    mario_free_server(&server);
    return code;
}
