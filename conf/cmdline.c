/*
 * cmdline.c: maritcp's command line. Main thread, before anything else.
 */
#include "cmdline.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mario/mario_util.h"
#include "option.h"

#define USAGE "usage: maritcp [-c FILE] [-o section.key=value]... [-t] [-d] [-S] [-V] [-h]"

enum { CMDLINE_GO_ON = -1, CMDLINE_WRONG = 1 };
enum { PRINT_SAMPLE = 256, PRINT_MANUAL };

static const struct option cmdline_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"option", required_argument, NULL, 'o'},
    {"test", no_argument, NULL, 't'},
    {"daemon", no_argument, NULL, 'd'},
    {"supervise", no_argument, NULL, 'S'},
    {"version", no_argument, NULL, 'V'},
    {"help", no_argument, NULL, 'h'},
    {"print-sample", no_argument, NULL, PRINT_SAMPLE},
    {"print-manual", no_argument, NULL, PRINT_MANUAL},
    {NULL, 0, NULL, 0},
};

static char supervise_on[] = "server.supervise=on"; /* what -S is short for */

sint32 cmdline_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return 0;
    fprintf(stderr, "maritcp: cannot write to standard output: %s\n", strerror(errno));
    return 1;
}

static sint32 cmdline_help(void)
{
    printf(
        "%s\n"
        "  -c, --config FILE               configuration file; without it %s if it exists,\n"
        "                                  else the defaults\n"
        "  -o, --option section.key=value  override one key; repeatable, wins over the file\n"
        "  -t, --test                      check the configuration, print what would be used, exit 0 or 1\n"
        "  -d, --daemon                    run as a daemon\n"
        "  -S, --supervise                 have a parent start it again when it dies\n"
        "  -V, --version                   print the version\n"
        "  -h, --help                      print this\n"
        "Signals: TERM and INT stop in stages, a second one at once; HUP reopens the log.\n"
        "See maritcp(8) for the keys.\n",
        USAGE, MARITCP_CONF_FILE);
    return cmdline_flush();
}

const char *cmdline_default_file(void)
{
    /* One that is there but cannot be looked at is an error when it is read, not the defaults. */
    return access(MARITCP_CONF_FILE, F_OK) == 0 || errno != ENOENT ? MARITCP_CONF_FILE : NULL;
}

/* What getopt did not like, in one line. */
static sint32 cmdline_wrong(int answer, char **argv)
{
    const char *what = answer == ':' ? "misses its argument" : "is not known or takes no argument";
    if (optopt > 0 && optopt < 256)
        fprintf(stderr, "maritcp: option -%c %s; %s\n", optopt, what, USAGE);
    else
        fprintf(stderr, "maritcp: option %s %s; %s\n", argv[optind - 1], what, USAGE);
    return CMDLINE_WRONG;
}

/* Take one option. CMDLINE_GO_ON, or the exit code. */
static sint32 cmdline_take(struct cmdline *cmd, int option, char **argv)
{
    switch (option) {
    case 'c':
        cmd->file = optarg;
        return CMDLINE_GO_ON;
    case 'o':
        cmd->overrides[cmd->override_count++] = optarg;
        return CMDLINE_GO_ON;
    case 't':
        cmd->test = true;
        return CMDLINE_GO_ON;
    case 'd':
        cmd->daemon = true;
        return CMDLINE_GO_ON;
    case 'S':
        cmd->overrides[cmd->override_count++] = supervise_on;
        return CMDLINE_GO_ON;
    case 'V':
        printf("maritcp %s\n", mario_version());
        return cmdline_flush();
    case 'h':
        return cmdline_help();
    case PRINT_SAMPLE:
        conf_print_sample(stdout);
        return cmdline_flush();
    case PRINT_MANUAL:
        conf_print_manual(stdout);
        return cmdline_flush();
    default:
        return cmdline_wrong(option, argv);
    }
}

sint32 cmdline_init(struct cmdline *cmd, int argc, char **argv)
{
    int option;
    memset(cmd, 0, sizeof *cmd);
    cmd->overrides = calloc((size_t) argc + 1, sizeof *cmd->overrides);
    if (cmd->overrides == NULL) {
        fprintf(stderr, "maritcp: no memory for the command line\n");
        return CMDLINE_WRONG;
    }
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:o:tdSVh", cmdline_options, NULL)) != -1) {
        sint32 code = cmdline_take(cmd, option, argv);
        if (code != CMDLINE_GO_ON)
            return code;
    }
    if (optind < argc) {
        fprintf(stderr, "maritcp: stray argument '%s'; %s\n", argv[optind], USAGE);
        return CMDLINE_WRONG;
    }
    if (cmd->file == NULL)
        cmd->file = cmdline_default_file();
    return CMDLINE_GO_ON;
}

void cmdline_fini(struct cmdline *cmd)
{
    free(cmd->overrides);
    cmd->overrides = NULL;
}
