/*
 * main.c: a web server: the main thread forks the processes that run scripts, makes the server, becomes its master, and
 * takes both down. The framing is in http.c, files in files.c, scripts in cgi.c.
 */
#include "body.h"
#include "pool.h"
#include "runner.h"
#include "web.h"

enum { EXIT_USAGE = 1, EXIT_NO_START = 2, WAITING = 8 /* requests for each process */ };

struct choice {
    const char *listen, *root, *programs, *certificate;
    uint32 processes, seconds;
    bool talks, slim;
};

static int usage(void)
{
    fprintf(
        stderr,
        "usage: web [-l LISTEN] [-d DIRECTORY] [-c PROGRAMS] [-n PROCESSES] [-t SECONDS] [-s|-S CERTIFICATE] [-v]\n"
        "  LISTEN as in maritcp's server.listen, each address with proto=http, for https with tls=web too\n"
        "  CERTIFICATE: a PEM file with what is above it, and its key; -S: as tls.records = slim\n"
        "  PROGRAMS: a directory, not below DIRECTORY; 1 .. 64 processes run them, for SECONDS at most\n");
    return EXIT_USAGE;
}

/* A number of an argument, 1 .. most; 0 if it is none. */
static uint32 number(const char *text, uint32 most)
{
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    return *text >= '0' && *text <= '9' && *end == '\0' && n <= most ? (uint32) n : 0;
}

static bool choose(int argc, char **argv, struct choice *o)
{
    int letter;
    *o = (struct choice){"127.0.0.1:8080 proto=http", "htdocs", NULL, NULL, 4, 10, false, false};
    while ((letter = getopt(argc, argv, "l:d:c:n:t:s:S:v")) != -1) {
        switch (letter) {
        case 'l':
            o->listen = optarg;
            break;
        case 'd':
            o->root = optarg;
            break;
        case 'c':
            o->programs = optarg;
            break;
        case 'n':
            o->processes = number(optarg, POOL_MAX);
            break;
        case 't':
            o->seconds = number(optarg, 3600);
            break;
        case 's':
        case 'S':
            o->certificate = optarg;
            o->slim = letter == 'S';
            break;
        case 'v':
            o->talks = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && o->processes > 0 && o->seconds > 0;
}

/* Before anything has threads. */
static int prepare_programs(const struct choice *o)
{
    if (o->programs == NULL)
        return 0;
    if (runner_prepare(o->programs) != 0 || cgi_prepare(o->programs, o->seconds) != 0 ||
        pool_start((int) o->processes, runner_run) != 0)
        return -1;
    return regist_akg_func_offload(WEB_CGI, cgi_answer); /* it waits */
}

static int prepare(const struct choice *o)
{
    /* Without scripts their paths are those of files, which there are none of. */
    if (o->programs == NULL && regist_akg_func(WEB_CGI, files_answer) != 0)
        return -1;
    struct mario_tls tls = {.name = "web", .certificate = o->certificate, .alpn = "http/1.1"};
    if (o->certificate != NULL && regist_tls(&tls) != 0)
        return -1;
    if (http_regist() != 0 || body_prepare() != 0 || regist_akg_func(WEB_FILE, files_answer) != 0)
        return -1;
    if (o->talks)
        mario_log_level(MARIO_LOG_DEBUG);
    return start_log_thread();
}

static int serve(const struct choice *o)
{
    struct mario_options options;
    mario_options_init(&options);
    options.listen = o->listen;
    options.tls_records = o->slim ? MARIO_TLS_SLIM : MARIO_TLS_OPENSSL;
    options.max_pkglen = MARIO_PKGLEN_MAX; /* a request, its body too; and c->out_buf is as large */
    options.timeout = 60;                  /* between two requests */
    options.offload_threads =
        2 * o->processes; /* as many as run something, and as many that wait for a process */
    options.offload_queue = WAITING * o->processes;
    SERVER *server = mario_init_server(&options); /* says itself what is wrong */
    if (server == NULL)
        return EXIT_NO_START;
    start_server(server); /* until SIGTERM or SIGINT */
    int code = mario_server_exit_code(server);
    mario_free_server(&server);
    return code;
}

int main(int argc, char **argv)
{
    struct choice o;
    if (!choose(argc, argv, &o))
        return usage();
    int code = EXIT_NO_START;
    if (files_prepare(o.root) == 0 && prepare_programs(&o) == 0) {
        if (prepare(&o) == 0)
            code = serve(&o);
        else
            fprintf(stderr, "web: a function or the log thread was refused\n");
    }
    pool_stop();
    return code;
}
