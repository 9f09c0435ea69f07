/*
 * server.c: the chat server: the main thread makes it, becomes its master, and takes it down. What a packet does
 * begins in functions.c and ends in hall.c.
 *
 *     chat-server [-l SECONDS] [-p SECONDS] [-r RATE] [--cluster redis=HOST:PORT] [--node NAME] [LISTEN]
 *
 * -l: to log in within (10); -p: between two pings (30); -r: requests a second of one client (5). LISTEN as in
 * maritcp's server.listen, without it 127.0.0.1:8085. --cluster: one of several servers, whose people talk to each
 * other.
 */
#include "clerk.h"
#include "far.h"
#include "functions.h"
#include "hall.h"

#include <getopt.h>

enum { EXIT_NO_START = 2, REPORT_S = 10, LISTEN_MAX = 4096 };

/* What was asked for. */
static struct {
    struct chat_settings settings;
    const char *listen, *cluster, *node;
} asked = {.settings = {.login_s = 10, .ping_s = 30, .rate = 5}, .listen = "127.0.0.1:8085"};

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

/* False after getopt's complaint. */
static bool read_options(int argc, char **argv)
{
    static const struct option longs[] = {{"cluster", required_argument, NULL, 'C'},
                                          {"node", required_argument, NULL, 'N'},
                                          {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "l:p:r:", longs, NULL)) != -1) {
        switch (option) {
        case 'l':
            asked.settings.login_s = seconds(optarg);
            break;
        case 'p':
            asked.settings.ping_s = seconds(optarg);
            break;
        case 'r':
            asked.settings.rate = seconds(optarg);
            break;
        case 'C':
            asked.cluster = optarg;
            break;
        case 'N':
            asked.node = optarg;
            break;
        default:
            return false;
        }
    }
    if (optind < argc)
        asked.listen = argv[optind];
    return true;
}

static SERVER *make_server(const char *listen)
{
    struct mario_options options;
    mario_options_init(&options);
    options.listen = listen;
    options.max_pkglen = SIZE_OF_HEAD + sizeof(struct chat_words) + CHAT_TEXT;
    options.timeout = 2 * asked.settings.ping_s + 15; /* who has missed two pings is not there */
    options.packet_timeout = 10;
    return mario_init_server(&options); /* says itself what is wrong */
}

/* The server's own connection to itself comes to a port of its own, which is the last of the list. */
static sint32 join_cluster(const SERVER *server)
{
    uint32 last = 0;
    if (asked.cluster == NULL)
        return 0;
    for (const char *at = strchr(asked.listen, ','); at != NULL; at = strchr(at + 1, ','))
        last++;
    return far_start(asked.cluster, asked.node, (uint16) mario_server_port(server, last + 1));
}

int main(int argc, char **argv)
{
    char listen[LISTEN_MAX];
    if (!read_options(argc, argv))
        return EXIT_NO_START;
    snprintf(listen, sizeof listen, "%s%s", asked.listen, asked.cluster != NULL ? ",127.0.0.1:0" : "");
    SERVER *server = make_server(listen);
    if (server == NULL)
        return EXIT_NO_START;
    int code = EXIT_NO_START;
    if (prepare(&asked.settings) != 0) {
        fprintf(stderr, "chat-server: a function or a thread was refused\n");
    } else if (join_cluster(server) == 0 && clerk_start() == 0) {
        start_server(server); /* until SIGTERM or SIGINT */
        far_stop();
        clerk_stop();
        code = mario_server_exit_code(server);
    }
    functions_forget();
    mario_free_server(&server);
    return code;
}
