/*
 * ctl.c: `maritcp ctl [-s SOCKET] [-c FILE] [--json] COMMAND ...`. The main thread; it is its own program, so to say.
 */
#include "ctl.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "talk.h"

#define USAGE "usage: maritcp ctl [-s SOCKET] [-c FILE] [--json] COMMAND [ARGUMENT]...\n"

enum { PATH_SIZE = 4096, WHY_SIZE = 4096 };

struct ctl {
    const char *socket;
    const char *file;
    bool json;
};

/* -1 to go on, else the exit code. */
static int read_options(struct ctl *c, int argc, char **argv)
{
    static const struct option options[] = {{"socket", required_argument, NULL, 's'},
                                            {"config", required_argument, NULL, 'c'},
                                            {"json", no_argument, NULL, 'j'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, "+s:c:jh", options, NULL)) != -1) {
        if (option == 's') {
            c->socket = optarg;
        } else if (option == 'c') {
            c->file = optarg;
        } else if (option == 'j') {
            c->json = true;
        } else if (option == 'h') {
            printf(USAGE "`maritcp ctl help` asks the server what commands it has. See maritcp(8).\n");
            return 0;
        } else {
            fprintf(stderr, USAGE);
            return TALK_USAGE;
        }
    }
    if (optind < argc)
        return -1;
    fprintf(stderr, USAGE);
    return TALK_USAGE;
}

int ctl_main(int argc, char **argv)
{
    struct ctl c = {0};
    char path[PATH_SIZE], why[WHY_SIZE];
    struct talk_answer a;
    int code = read_options(&c, argc, argv);
    if (code >= 0)
        return code;
    if (c.socket == NULL && !talk_socket(c.file, path, sizeof path, why, sizeof why)) {
        fprintf(stderr, "maritcp: %s\n", why);
        return TALK_USAGE;
    }
    enum talk_result r = talk(c.socket != NULL ? c.socket : path, c.json, argv + optind, argc - optind, &a);
    if (r == TALK_GOOD || (c.json && a.len > 0 && a.text[0] == '{'))
        fwrite(a.text, 1, a.len, stdout);
    else
        fprintf(stderr, "maritcp: %s", a.text != NULL ? a.text : "no memory\n");
    talk_free(&a);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return (int) r;
    fprintf(stderr, "maritcp: cannot write to standard output: %s\n", strerror(errno));
    return TALK_REFUSED;
}
