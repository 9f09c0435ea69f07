/*
 * server.c: the chat server: the main thread makes it, becomes its master, and takes it down. What a packet does
 * begins in functions.c and ends in hall.c.
 *
 *     chat-server [-l SECONDS] [-p SECONDS] [-r RATE] [LISTEN]
 *
 * -l: to log in within (10); -p: between two pings (30); -r: requests a second of one client (5). LISTEN as in
 * maritcp's server.listen, without it 127.0.0.1:8085.
 */
#include "clerk.h"
#include "functions.h"
#include "hall.h"

enum { EXIT_NO_START = 2, REPORT_S = 10 };

static uint32 seconds(const char *text)
{
    long n = strtol(text, NULL, 10);
    return n < 1 ? 1 : n > 3600 ? 3600 : (uint32) n;
}

static sint32 prepare(const struct chat_settings *settings)
{
    if (functions_register(settings) != 0 || regist_timer_func(REPORT_S, hall_report, NULL) != 0)
        return -1;
    return start_log_thread();
}

int main(int argc, char **argv)
{
    struct chat_settings settings = {.login_s = 10, .ping_s = 30, .rate = 5};
    struct mario_options options;
    int option;
    while ((option = getopt(argc, argv, "l:p:r:")) != -1) {
        if (option == '?')
            return EXIT_NO_START;
        *(option == 'l'   ? &settings.login_s
          : option == 'p' ? &settings.ping_s
                          : &settings.rate) = seconds(optarg);
    }
    mario_options_init(&options);
    options.listen = optind < argc ? argv[optind] : "127.0.0.1:8085";
    options.max_pkglen = SIZE_OF_HEAD + sizeof(struct chat_words) + CHAT_TEXT;
    options.timeout = 2 * settings.ping_s + 15; /* who has missed two pings is not there */
    options.packet_timeout = 10;
    SERVER *server = mario_init_server(&options); /* says itself what is wrong */
    if (server == NULL)
        return EXIT_NO_START;
    int code = EXIT_NO_START;
    if (prepare(&settings) == 0 && clerk_start() == 0) {
        start_server(server); /* until SIGTERM or SIGINT */
        clerk_stop();
        code = mario_server_exit_code(server);
    } else {
        fprintf(stderr, "chat-server: a function or a thread was refused\n");
    }
    functions_forget();
    mario_free_server(&server);
    return code;
}
