/*
 * args.c: numbers on a command line. Main thread, before anything else runs.
 */
#include "args.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *program = "?";

void args_program(const char *name)
{
    program = name;
}

int args_complain(const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s: %s (-h shows the usage)\n", program, line);
    return 2;
}

int args_whole(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *value)
{
    char *end;
    int base = strncasecmp(text, "0x", 2) == 0 ? 16 : 10;
    errno = 0;
    *value = strtoull(text, &end, base);
    if (isdigit((unsigned char) text[0]) && *end == '\0' && errno == 0 && *value >= min && *value <= max)
        return 0;
    args_complain("%s: '%s' is not a number from %" PRIu64 " to %" PRIu64, option, text, min, max);
    return -1;
}

int args_hex32(const char *option, const char *text, uint32_t *value)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 16);
    *value = (uint32_t) v;
    if (isxdigit((unsigned char) text[0]) && *end == '\0' && end != text && errno == 0 && v <= UINT32_MAX)
        return 0;
    args_complain("%s: '%s' is not a hexadecimal number from 0 to 0xffffffff", option, text);
    return -1;
}

int args_seconds(const char *option, const char *text, double min, double max, double *value)
{
    char *end;
    errno = 0;
    *value = strtod(text, &end);
    int plain = strspn(text, "0123456789.") == strlen(text) && text[0] != '\0';
    if (plain && *end == '\0' && errno == 0 && isfinite(*value) && *value >= min && *value <= max)
        return 0;
    args_complain("%s: '%s' is not a number of seconds from %g to %g", option, text, min, max);
    return -1;
}

/* -1 when there are as many as may be, else 2 after a complaint. */
static int count_target(int n, char **args)
{
    if (n == 0)
        return args_complain("HOST PORT is missing");
    return n > 2 ? args_complain("'%s' is one argument too many", args[2]) : -1;
}

static int judge_target(int n, char **args, const char *wrong)
{
    if (wrong == NULL)
        return -1;
    return args_complain("%s%s%s: %s", args[0], n == 2 ? " " : "", n == 2 ? args[1] : "", wrong);
}

int args_target(int n, char **args, struct net_target *target)
{
    int code = count_target(n, args);
    return code >= 0 ? code : judge_target(n, args, net_resolve(args[0], n == 2 ? args[1] : NULL, target));
}

int args_targets(int n, char **args, struct net_targets *targets)
{
    int code = count_target(n, args);
    return code >= 0 ? code
                     : judge_target(n, args, net_resolve_ports(args[0], n == 2 ? args[1] : NULL, targets));
}

int args_descriptors(uint64_t need)
{
    uint64_t have = net_raise_nofile(need);
    if (have >= need)
        return 0;
    fprintf(stderr,
            "%s: needs %" PRIu64 " descriptors, the limit is %" PRIu64
            ": raise it (ulimit -Hn, LimitNOFILE=, fs.nr_open), or ask for fewer connections\n",
            program, need, have);
    return 2;
}
