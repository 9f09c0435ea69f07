/*
 * login_options.c: mario_test's command line. Main thread.
 */
#include "login_options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "protocol/mario_protocol.h"
#include "test/lib/args.h"

static const char usage[] =
    "usage: mario_test HOST PORT [options]\n"
    "       mario_test unix:/path [options]\n"
    "Log in to a MarioTCP server, print the reply and the time it took.\n"
    "  -n, --connections N  connections (1)\n"
    "      --hold S         hold them all open for so long (0)\n"
    "  -u, --uid UID        uid of the first; the k-th connection has uid + k (0)\n"
    "  -x, --stx HEX        protocol magic (0x8eb69af7)\n"
    "      --proto NAME     head, ws, line, length or raw: how packets stand in the stream (head);\n"
    "                       line, length and raw have no LOGIN, but --hello and --echo\n"
    "  -l, --logins N       LOGINs on each connection (1)\n"
    "      --hello          also send a say_hello on each\n"
    "      --echo[=TEXT]    also send an echo on each, of TEXT or of numbered data\n"
    "One connection can do these besides, in the order given, and print what others push and say to it:\n"
    "      --join GROUP       be in a group: any number but 0\n"
    "      --leave GROUP      be no more\n"
    "      --say GROUP:TEXT   to all others in the group\n"
    "      --push-to UID:TEXT to all connections of a user\n"
    "      --who GROUP        how many are in it\n"
    "      --listen[=S]       print what comes, for S seconds or until ^C\n" SECURE_USAGE
    "  -t, --timeout S      time for a connection and for each reply (5)\n"
    "  -q, --quiet          print errors only\n"
    "  -h, --help           this text\n"
    "  -V, --version        version\n"
    "Exit code: 0 all is well, 1 refused, wrong, missing or lost, 2 bad usage or could not start.\n";

enum {
    OPT_HOLD = 256,
    OPT_HELLO,
    OPT_ECHO,
    OPT_PROTO,
    OPT_JOIN,
    OPT_LEAVE,
    OPT_SAY,
    OPT_PUSH_TO,
    OPT_WHO,
    OPT_LISTEN
};

static const struct option longs[] = {
    {"connections", required_argument, NULL, 'n'},
    {"hold", required_argument, NULL, OPT_HOLD},
    {"uid", required_argument, NULL, 'u'},
    {"stx", required_argument, NULL, 'x'},
    {"logins", required_argument, NULL, 'l'},
    {"hello", no_argument, NULL, OPT_HELLO},
    {"echo", optional_argument, NULL, OPT_ECHO},
    {"proto", required_argument, NULL, OPT_PROTO},
    {"join", required_argument, NULL, OPT_JOIN},
    {"leave", required_argument, NULL, OPT_LEAVE},
    {"say", required_argument, NULL, OPT_SAY},
    {"push-to", required_argument, NULL, OPT_PUSH_TO},
    {"who", required_argument, NULL, OPT_WHO},
    {"listen", optional_argument, NULL, OPT_LISTEN},
    SECURE_LONGS,
    {"timeout", required_argument, NULL, 't'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static int read_echo(const char *text, struct login_options *o)
{
    o->echo = true;
    o->echo_text = text;
    if (text == NULL || strlen(text) <= EXCHANGE_DATA_MAX)
        return 0;
    args_complain("--echo: the text is longer than %u bytes", EXCHANGE_DATA_MAX);
    return -1;
}

static int read_proto(const char *text, struct login_options *o)
{
    if (exchange_framing_find(text, &o->framing))
        return 0;
    args_complain("--proto: '%s' is not head, ws, line, length or raw", text);
    return -1;
}

/* What goes with a framing whose packets have no HEAD: nobody logs in. -1, or the exit code after a complaint. */
static int judge_proto(struct login_options *o)
{
    if (o->framing == EXCHANGE_HEAD)
        return -1;
    if (talk_wanted(&o->talk))
        return args_complain(
            "--proto: --join, --leave, --say, --push-to, --who and --listen are for HEAD+Data");
    if (o->framing == EXCHANGE_WS)
        return -1;
    if (o->logins > 0)
        return args_complain("--proto: there is no LOGIN but with head and ws: -l does not go with it");
    if (!o->hello && !o->echo)
        return args_complain("--proto: there is no LOGIN but with head and ws: --hello or --echo is needed");
    return -1;
}

/* An option of one who talks; likewise. */
static int read_talk(int opt, const char *arg, struct login_options *o)
{
    switch (opt) {
    case OPT_JOIN:
        return talk_add(&o->talk, TALK_JOIN, "--join", arg);
    case OPT_LEAVE:
        return talk_add(&o->talk, TALK_LEAVE, "--leave", arg);
    case OPT_SAY:
        return talk_add(&o->talk, TALK_SAY, "--say", arg);
    case OPT_PUSH_TO:
        return talk_add(&o->talk, TALK_PUSH_TO, "--push-to", arg);
    case OPT_WHO:
        return talk_add(&o->talk, TALK_WHO, "--who", arg);
    case OPT_LISTEN:
        o->talk.listens = true;
        return arg == NULL ? 0 : args_seconds("--listen", arg, 0.001, 365 * 86400.0, &o->talk.listen_s);
    default:
        return -1; /* getopt has said what is wrong */
    }
}

/* One option; 0, or -1 after a complaint. Numbers go through *n. */
static int read_option(int opt, const char *arg, struct login_options *o)
{
    uint64_t n = 0;
    int rc = 0;
    switch (opt) {
    case 'n':
        rc = args_whole("-n", arg, 1, 1000000, &n);
        o->connections = (uint32_t) n;
        return rc;
    case 'l':
        rc = args_whole("-l", arg, 1, 1000000000, &n);
        o->logins = (uint32_t) n;
        return rc;
    case 'u':
        rc = args_whole("-u", arg, 0, 65535, &n);
        o->uid = (uint16_t) n;
        return rc;
    case 'x':
        return args_hex32("-x", arg, &o->stx);
    case 't':
        return args_seconds("-t", arg, 0.001, 86400, &o->timeout_s);
    case OPT_HOLD:
        return args_seconds("--hold", arg, 0, 365 * 86400.0, &o->hold_s);
    case OPT_ECHO:
        return read_echo(arg, o);
    case OPT_PROTO:
        return read_proto(arg, o);
    case OPT_HELLO:
        return o->hello = true, 0;
    case 'q':
        return o->quiet = true, 0;
    case 'h':
        return o->help = true, 0;
    case 'V':
        return o->version = true, 0;
    default:
        if (!secure_args_is(opt))
            return read_talk(opt, arg, o);
        return secure_args_read(&o->tls, opt, arg), 0;
    }
}

int login_options_read(int argc, char **argv, struct login_options *o)
{
    *o = (struct login_options){.connections = 1, .stx = MARITCP_STX, .timeout_s = 5};
    for (int opt; (opt = getopt_long(argc, argv, "n:u:x:l:t:qhV", longs, NULL)) != -1;)
        if (read_option(opt, optarg, o) != 0)
            return 2;
    if (o->help) {
        fputs(usage, stdout);
        return 0;
    }
    if (o->version) {
        puts("mario_test " CLIENT_VERSION);
        return 0;
    }
    int code = judge_proto(o);
    if (code >= 0)
        return code;
    if (o->logins == 0 && (o->framing == EXCHANGE_HEAD || o->framing == EXCHANGE_WS))
        o->logins = 1;
    bool many = o->connections != 1 || o->logins != 1 || o->hello || o->echo || o->hold_s > 0;
    if (talk_wanted(&o->talk) && many)
        return args_complain(
            "--join, --leave, --say, --push-to, --who and --listen go with -u, -x, -t and -q alone");
    code = args_target(argc - optind, argv + optind, &o->target);
    return code >= 0 ? code : secure_args_apply(&o->tls, argc - optind == 2 ? argv[optind] : NULL);
}
