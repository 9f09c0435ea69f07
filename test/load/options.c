/*
 * options.c: the command line of mario_load. Main thread, before anything else runs.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mode.h"
#include "protocol/mario_protocol.h"
#include "push_book.h"
#include "test/lib/args.h"
#include "test/lib/clock.h"

#define DAY_S           86400.0
#define CONNECTIONS_MAX 100000000u

/* Options without a letter; in the order of mode_names. */
enum {
    OPT_RAMP = 256,
    OPT_HEARTBEAT,
    OPT_CHURN,
    OPT_ACTIVE,
    OPT_SLOW,
    OPT_STOPPED,
    OPT_BROADCASTS,
    OPT_PUBLISHERS,
    OPT_GROUPS,
    OPT_JOINS,
    OPT_RECONNECT,
    OPT_HISTOGRAM,
    OPT_PROTO
};

/* Those of one mode. */
static const char *const mode_names[] = {"--ramp",   "--heartbeat", "--churn",      "--active",
                                         "--slow",   "--stopped",   "--broadcasts", "--publishers",
                                         "--groups", "--joins",     "--reconnect"};

static const char usage[] =
    "usage: mario_load HOST PORTS [options]     PORTS: 8082, or 8082,8090-8097\n"
    "       mario_load unix:/path [options]\n"
    "       mario_load -H HOST:PORT,HOST:PORT... [options]     the nodes of a cluster\n"
    "Load a MarioTCP server, check every reply, and report speed, latency and errors.\n"
    "  -c, --connections N   working connections, spread over the threads (50)\n"
    "  -p, --inflight N      requests in flight on each connection (1; open: 64)\n"
    "  -s, --size BYTES      data after the HEAD of a request (login 2, hello 0, echo and push 64, a number 0)\n"
    "  -a, --akg ID          login, hello, echo or a number (login)\n"
    "      --proto NAME      head, ws, line, length or raw: how packets stand in the stream (head)\n"
    "  -t, --time S          seconds that are measured (10)\n"
    "  -w, --warmup S        seconds before that, not counted (1)\n"
    "  -m, --mode MODE       closed, churn, open, hold or push (closed):\n";

static const char usage_rest[] =
    "  -r, --rate N          requests or messages a second in all, for -m open and push\n"
    "  -H, --hosts LIST      several servers, over which connections are spread; instead of HOST PORTS\n"
    "  -i, --idle N          more connections, which log in once and stay (0)\n"
    "  -T, --threads N       epoll threads (1)\n"
    "  -x, --stx HEX         protocol magic (0x8eb69af7)\n"
    "  -u, --uid UID         uid of the first connection; the k-th has uid + k (0)\n"
    "  -D, --deadline S      a reply or a connection that takes longer is lost (5)\n"
    "  -P, --pid PID         process id of the server: report its CPU and memory\n"
    "  -j, --json FILE       write the result as JSON; - is standard output\n"
    "      --histogram FILE  write the latencies to plot: microseconds, percentile, count\n" SECURE_USAGE
    "  -v, --verbose         status lines also when standard error is no terminal\n"
    "For -m hold, where -t counts from when all are open:\n"
    "      --ramp N          connections opened a second (0: as fast as they are answered)\n"
    "      --heartbeat S     each connection is asked once in S seconds (60)\n"
    "      --churn N         connections closed and opened again a second, at random (0)\n"
    "      --active N        requests a second on random connections, besides (0)\n"
    "      --slow N          more clients that read 16 bytes a second of what they are sent (0)\n"
    "      --stopped N       more clients that never read (0)\n"
    "      --broadcasts N    at the end all join a group, and hear N things said to it (0)\n"
    "For -m push, where -c subscribers each hear the groups that they have joined:\n"
    "      --publishers N    more connections, which speak to all groups in turn (1)\n"
    "      --groups N        groups (1)\n"
    "      --joins N         groups that each subscriber joins (1)\n"
    "      --reconnect       a connection that ends is made again, at the next server of -H\n"
    "  -h, --help            this text\n"
    "  -V, --version         version\n"
    "Exit code: 0 no error; 1 a reply, a message or a connection was wrong or lost, or a rate of -m hold "
    "was not kept;\n"
    "2 bad usage or could not start.\n";

static const struct option longs[] = {
    {"connections", required_argument, NULL, 'c'},
    {"inflight", required_argument, NULL, 'p'},
    {"size", required_argument, NULL, 's'},
    {"akg", required_argument, NULL, 'a'},
    {"time", required_argument, NULL, 't'},
    {"warmup", required_argument, NULL, 'w'},
    {"mode", required_argument, NULL, 'm'},
    {"rate", required_argument, NULL, 'r'},
    {"idle", required_argument, NULL, 'i'},
    {"threads", required_argument, NULL, 'T'},
    {"stx", required_argument, NULL, 'x'},
    {"uid", required_argument, NULL, 'u'},
    {"deadline", required_argument, NULL, 'D'},
    {"pid", required_argument, NULL, 'P'},
    {"json", required_argument, NULL, 'j'},
    {"histogram", required_argument, NULL, OPT_HISTOGRAM},
    {"proto", required_argument, NULL, OPT_PROTO},
    {"ramp", required_argument, NULL, OPT_RAMP},
    {"heartbeat", required_argument, NULL, OPT_HEARTBEAT},
    {"churn", required_argument, NULL, OPT_CHURN},
    {"active", required_argument, NULL, OPT_ACTIVE},
    {"slow", required_argument, NULL, OPT_SLOW},
    {"stopped", required_argument, NULL, OPT_STOPPED},
    {"broadcasts", required_argument, NULL, OPT_BROADCASTS},
    {"publishers", required_argument, NULL, OPT_PUBLISHERS},
    {"groups", required_argument, NULL, OPT_GROUPS},
    {"joins", required_argument, NULL, OPT_JOINS},
    {"reconnect", no_argument, NULL, OPT_RECONNECT},
    {"hosts", required_argument, NULL, 'H'},
    SECURE_LONGS,
    {"verbose", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

/* What is given on the command line and must wait for the rest before it can be judged. */
struct raw {
    uint32_t stx;
    uint64_t connections, idle, inflight, threads, rate, size, uid, pid;
    bool sized, warmed, asks, help, version;
    const char *hold_option, *push_option; /* the last that was given */
    const char *hosts;
};

static void print_usage(void)
{
    fputs(usage, stdout);
    for (size_t i = 0; i < mode_count; i++)
        printf("                          %-7s %s\n", modes[i].name, modes[i].help);
    fputs(usage_rest, stdout);
}

static int read_mode(const char *text, struct load_options *o)
{
    o->mode = mode_find(text);
    if (o->mode != NULL)
        return 0;
    args_complain("-m: '%s' is not closed, churn, open, hold or push", text);
    return -1;
}

static int read_size(const char *text, struct raw *r)
{
    r->sized = true;
    return args_whole("-s", text, 0, EXCHANGE_DATA_MAX, &r->size);
}

static int read_proto(const char *text, struct load_options *o)
{
    if (exchange_framing_find(text, &o->framing))
        return 0;
    args_complain("--proto: '%s' is not head, ws, line, length or raw", text);
    return -1;
}

/* An option of mode hold; 0, or -1 after a complaint. */
static int read_hold_option(int opt, const char *arg, struct load_options *o, struct raw *r)
{
    const char *name = mode_names[opt - OPT_RAMP];
    uint64_t n;
    r->hold_option = name;
    if (opt == OPT_HEARTBEAT)
        return args_seconds(name, arg, 0.001, DAY_S, &o->heartbeat_s);
    if (args_whole(name, arg, 0, opt >= OPT_SLOW ? 100000 : 100000000, &n) != 0)
        return -1;
    if (opt == OPT_RAMP)
        o->ramp = (double) n;
    else if (opt == OPT_CHURN)
        o->churn = (double) n;
    else if (opt == OPT_ACTIVE)
        o->active = (double) n;
    else
        *(opt == OPT_SLOW ? &o->slow : opt == OPT_STOPPED ? &o->stopped : &o->broadcasts) = (uint32_t) n;
    return 0;
}

/* One of mode push; likewise. */
static int read_push_option(int opt, const char *arg, struct load_options *o, struct raw *r)
{
    const char *name = mode_names[opt - OPT_RAMP];
    uint64_t n;
    r->push_option = name;
    if (opt == OPT_RECONNECT)
        return o->reconnect = true, 0;
    if (args_whole(name, arg, 1, opt == OPT_PUBLISHERS ? 10000 : 1000000, &n) != 0)
        return -1;
    *(opt == OPT_PUBLISHERS ? &o->publishers : opt == OPT_GROUPS ? &o->groups : &o->joins) = (uint32_t) n;
    return 0;
}

/* One option; 0, or -1 after a complaint. */
static int read_option(int opt, const char *arg, struct load_options *o, struct raw *r)
{
    switch (opt) {
    case 'c':
        return args_whole("-c", arg, 0, CONNECTIONS_MAX, &r->connections);
    case 'p':
        return args_whole("-p", arg, 1, 65536, &r->inflight);
    case 's':
        return read_size(arg, r);
    case 'a':
        r->asks = true;
        return o->akg_name = arg, 0;
    case 't':
        return args_seconds("-t", arg, 0.001, DAY_S * 365, &o->measure_s);
    case 'w':
        r->warmed = true;
        return args_seconds("-w", arg, 0, DAY_S, &o->warmup_s);
    case 'm':
        return read_mode(arg, o);
    case 'r':
        return args_whole("-r", arg, 1, 100000000, &r->rate);
    case 'i':
        return args_whole("-i", arg, 0, CONNECTIONS_MAX, &r->idle);
    case 'T':
        return args_whole("-T", arg, 1, 256, &r->threads);
    case 'x':
        return args_hex32("-x", arg, &r->stx);
    case 'u':
        return args_whole("-u", arg, 0, 65535, &r->uid);
    case 'D':
        return args_seconds("-D", arg, 0.001, DAY_S, &o->timeout_s);
    case 'P':
        return args_whole("-P", arg, 1, INT32_MAX, &r->pid);
    case 'j':
        return o->json = arg, 0;
    case OPT_HISTOGRAM:
        return o->histogram = arg, 0;
    case OPT_PROTO:
        return read_proto(arg, o);
    case 'v':
        return o->verbose = true, 0;
    case 'H':
        return r->hosts = arg, 0;
    case 'h':
        return r->help = true, 0;
    case 'V':
        return r->version = true, 0;
    case '?':
        return -1; /* getopt has said what is wrong */
    case OPT_PUBLISHERS:
    case OPT_GROUPS:
    case OPT_JOINS:
    case OPT_RECONNECT:
        return read_push_option(opt, arg, o, r);
    default:
        if (!secure_args_is(opt))
            return read_hold_option(opt, arg, o, r);
        return secure_args_read(&o->tls, opt, arg), 0;
    }
}

/* What -a and -s ask for. 0, or -1 after a complaint. */
static int make_exchange(struct load_options *o, const struct raw *r)
{
    uint64_t id = 0;
    uint32_t size = (uint32_t) r->size;
    if (strcmp(o->akg_name, "login") == 0)
        id = CMD_FUNCTION_LOGIN;
    else if (strcmp(o->akg_name, "hello") == 0)
        id = CMD_FUNCTION_SAY_HELLO;
    else if (strcmp(o->akg_name, "echo") == 0)
        id = CMD_FUNCTION_ECHO;
    else if (args_whole("-a", o->akg_name, 0, 0xffff, &id) != 0)
        return -1;
    o->login = exchange_login(r->stx, (uint16_t) r->uid);
    o->join = exchange_group(r->stx, CMD_FUNCTION_JOIN, real_ns()); /* no other run's */
    if (id == CMD_FUNCTION_LOGIN)
        o->exchange = o->login;
    else if (id == CMD_FUNCTION_SAY_HELLO)
        o->exchange = exchange_hello(r->stx, size);
    else if (id == CMD_FUNCTION_ECHO)
        o->exchange = exchange_echo(r->stx, r->sized ? size : 64);
    else
        o->exchange = exchange_other(r->stx, (uint16_t) id, size);
    if (r->sized && !o->mode->pushes && size != o->exchange.data_len) {
        args_complain("-s: a login carries %u bytes", o->exchange.data_len);
        return -1;
    }
    return 0;
}

/* What goes with the framing, in which all is asked. 0, or -1 after a complaint. */
static int make_framing(struct load_options *o)
{
    if (o->framing == EXCHANGE_HEAD)
        return 0;
    if (o->mode->holds || o->mode->pushes)
        return args_complain("--proto does not go with -m %s", o->mode->name), -1;
    const char *wrong = exchange_frame(&o->exchange, o->framing);
    if (wrong == NULL && o->idle > 0)
        wrong = exchange_frame(&o->login, o->framing);
    if (wrong != NULL)
        return args_complain("--proto: it does not go with a request %s", wrong), -1;
    return 0;
}

/* What goes with mode hold, and what with the others. 0, or -1 after a complaint. */
static int judge_hold(struct load_options *o, const struct raw *r)
{
    if (!o->mode->holds) {
        if (r->hold_option != NULL)
            return args_complain("%s needs -m hold", r->hold_option), -1;
        return 0;
    }
    if (r->idle != 0)
        return args_complain("-i does not go with -m hold: there all connections are held"), -1;
    if (r->warmed)
        return args_complain("-w does not go with -m hold: -t counts from when all are open"), -1;
    if (o->exchange.reply_len == 0)
        return args_complain("-m hold needs -a login, hello or echo, whose answers are known"), -1;
    o->warmup_s = 0;
    return 0;
}

/* What goes with mode push, and what with the others. 0, or -1 after a complaint. */
static int judge_push(struct load_options *o, const struct raw *r)
{
    if (!o->mode->pushes)
        return r->push_option != NULL ? (args_complain("%s needs -m push", r->push_option), -1) : 0;
    if (r->idle != 0 || r->asks)
        return args_complain("%s does not go with -m push", r->asks ? "-a" : "-i"), -1;
    if (o->joins > o->groups)
        return args_complain("--joins %u: there are only %u groups", o->joins, o->groups), -1;
    o->size = r->sized ? (uint32_t) r->size : 64;
    if (o->size < PUSH_TEXT_MIN || o->size > SAY_MAX)
        return args_complain("-s: a message has %u .. %u bytes", PUSH_TEXT_MIN, SAY_MAX), -1;
    /* Two runs at a time must not hear each other. */
    o->first_group = ((uint64_t) getpid() << 32) + (mono_ns() & 0x3fffffff) + 1;
    return 0;
}

/* What only makes sense together. 0, or -1 after a complaint. */
static int combine(struct load_options *o, const struct raw *r)
{
    o->connections = (uint32_t) r->connections;
    o->idle = (uint32_t) r->idle;
    o->inflight = r->inflight != 0 ? (uint32_t) r->inflight : o->mode->inflight;
    o->rate = (double) r->rate;
    o->server = (pid_t) r->pid;
    uint32_t all = o->connections + o->idle;
    o->threads = r->threads < all ? (uint32_t) r->threads : all;
    if ((o->mode->holds || o->mode->pushes) && o->connections == 0)
        return args_complain("-c 0: there is no connection to make"), -1;
    if (all == 0)
        return args_complain("-c 0 needs -i: there is no connection to make"), -1;
    if (o->mode->needs_rate != (r->rate != 0))
        return args_complain(o->mode->needs_rate ? "-m %s needs -r" : "-r does not go with -m %s",
                             o->mode->name),
               -1;
    if ((o->mode->counts_conns || o->mode->holds || o->mode->pushes) && o->inflight != 1)
        return args_complain("-p does not go with -m %s: a connection asks one at a time", o->mode->name), -1;
    if (make_exchange(o, r) != 0 || make_framing(o) != 0 || judge_hold(o, r) != 0)
        return -1;
    return judge_push(o, r);
}

/* HOST PORTS, or the servers of -H. -1, or 2 after a complaint. */
static int read_targets(int n, char **args, const char *hosts, struct load_options *o)
{
    if (hosts == NULL) {
        o->host = n == 2 ? args[0] : NULL;
        return args_targets(n, args, &o->targets);
    }
    if (n > 0)
        return args_complain("'%s': -H names the servers already", args[0]);
    const char *wrong = net_resolve_nodes(hosts, &o->targets);
    return wrong == NULL ? -1 : args_complain("-H %s: %s", hosts, wrong);
}

int options_read(int argc, char **argv, struct load_options *o)
{
    struct raw r = {.stx = MARITCP_STX, .connections = 50, .threads = 1};
    *o = (struct load_options){.mode = &modes[0],
                               .warmup_s = 1,
                               .measure_s = 10,
                               .timeout_s = 5,
                               .heartbeat_s = 60,
                               .publishers = 1,
                               .groups = 1,
                               .joins = 1,
                               .akg_name = "login"};
    for (int opt; (opt = getopt_long(argc, argv, "c:p:s:a:t:w:m:r:i:T:x:u:D:P:j:H:vhV", longs, NULL)) != -1;)
        if (read_option(opt, optarg, o, &r) != 0)
            return 2;
    if (r.help) {
        print_usage();
        return 0;
    }
    if (r.version) {
        puts("mario_load " CLIENT_VERSION);
        return 0;
    }
    if (combine(o, &r) != 0)
        return 2;
    int code = read_targets(argc - optind, argv + optind, r.hosts, o);
    return code >= 0 ? code : secure_args_apply(&o->tls, o->host);
}
