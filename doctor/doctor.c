/*
 * doctor.c: the command line of `maritcp doctor`, and what was found as text, as JSON, or as a file for sysctl. Main
 * thread; nothing else runs.
 */
#include "doctor.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "conf/cmdline.h"

#define USAGE                                                                                   \
    "usage: maritcp doctor [-c FILE] [-o section.key=value]... [--json | --sysctl] [--strict] " \
    "[--unit NAME | --pid PID] [--root DIR]"

enum { DOCTOR_WRONG = 1, DOCTOR_FAIL = 4, DOCTOR_WARN = 5, GO_ON = -1 };
enum { OPT_JSON = 256, OPT_SYSCTL, OPT_STRICT, OPT_UNIT, OPT_PID, OPT_ROOT };

enum form { FORM_TEXT, FORM_JSON, FORM_SYSCTL };

struct request {
    const char *file, *unit, *root;
    char **overrides;
    uint32 override_count;
    int pid;
    enum form form;
    bool strict;
};

static const struct option options[] = {
    {"config", required_argument, NULL, 'c'},
    {"option", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    {"json", no_argument, NULL, OPT_JSON},
    {"sysctl", no_argument, NULL, OPT_SYSCTL},
    {"strict", no_argument, NULL, OPT_STRICT},
    {"unit", required_argument, NULL, OPT_UNIT},
    {"pid", required_argument, NULL, OPT_PID},
    {"root", required_argument, NULL, OPT_ROOT},
    {NULL, 0, NULL, 0},
};

static const char *const words[] = {[VERDICT_OK] = "OK", [VERDICT_WARN] = "WARN", [VERDICT_FAIL] = "FAIL"};

/* ---- The command line ---- */

static sint32 help(void)
{
    printf(
        "%s\n"
        "  -c, --config FILE, -o, --option section.key=value   as for maritcp itself\n"
        "  --unit NAME   with the limits of this unit of systemd, running or not\n"
        "  --pid PID     with those of this process; with neither those of the unit maritcp, if there is one\n"
        "  --json        an object instead of lines\n"
        "  --sysctl      only what is to be set in the kernel, as a file for /etc/sysctl.d\n"
        "  --strict      exit 5 if there are warnings\n"
        "  --root DIR    read /proc and /sys below DIR: files of another machine\n"
        "Exit: 0; 1 a mistake in the configuration; 4 something fails.\n",
        USAGE);
    return cmdline_flush();
}

static sint32 wrong(const char *what, const char *text)
{
    fprintf(stderr, "maritcp doctor: %s '%s'; %s\n", what, text, USAGE);
    return DOCTOR_WRONG;
}

static sint32 take_pid(struct request *r, const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    if (end == text || *end != '\0' || pid < 1 || pid > INT_MAX)
        return wrong("--pid: not a process", text);
    r->pid = (int) pid;
    return GO_ON;
}

static sint32 take(struct request *r, int option, char **argv)
{
    switch (option) {
    case 'c':
        r->file = optarg;
        return GO_ON;
    case 'o':
        r->overrides[r->override_count++] = optarg;
        return GO_ON;
    case OPT_JSON:
        r->form = FORM_JSON;
        return GO_ON;
    case OPT_SYSCTL:
        r->form = FORM_SYSCTL;
        return GO_ON;
    case OPT_STRICT:
        r->strict = true;
        return GO_ON;
    case OPT_UNIT:
        r->unit = optarg;
        return GO_ON;
    case OPT_PID:
        return take_pid(r, optarg);
    case OPT_ROOT:
        r->root = optarg;
        return GO_ON;
    case 'h':
        return help();
    default:
        return wrong(option == ':' ? "an argument is missing behind"
                                   : "not an option, or without an argument:",
                     argv[optind - 1]);
    }
}

static sint32 read_command(struct request *r, int argc, char **argv)
{
    int option;
    opterr = 0;
    optind = 1;
    while ((option = getopt_long(argc, argv, ":c:o:h", options, NULL)) != -1) {
        sint32 code = take(r, option, argv);
        if (code != GO_ON)
            return code;
    }
    if (optind < argc)
        return wrong("stray argument", argv[optind]);
    if (r->unit != NULL && r->pid != 0)
        return wrong("either --unit or --pid, not", "both");
    if (r->file == NULL)
        r->file = cmdline_default_file();
    return GO_ON;
}

/* ---- What was found ---- */

static void show_text(const struct check *c, const struct finding *f)
{
    printf("%-4s  %s: %s; wanted: %s\n", words[f->verdict], c->name, f->found, f->wanted);
    if (f->verdict == VERDICT_OK)
        return;
    printf("      why:  %s\n", f->why);
    if (f->todo[0] != '\0')
        printf("      type: %s\n", f->todo);
}

static void json_text(const char *name, const char *text, const char *behind)
{
    printf("\"%s\": \"", name);
    for (const unsigned char *at = (const unsigned char *) text; *at != '\0'; at++) {
        if (*at == '"' || *at == '\\')
            printf("\\%c", *at);
        else if (*at < 0x20 || *at >= 0x7f)
            printf("\\u%04x", *at);
        else
            putchar(*at);
    }
    printf("\"%s", behind);
}

static void show_json(const struct check *c, const struct finding *f, bool first)
{
    printf("%s\n    {", first ? "" : ",");
    json_text("name", c->name, ", ");
    json_text("verdict", words[f->verdict], ", ");
    json_text("found", f->found, ", ");
    json_text("wanted", f->wanted, ", ");
    json_text("why", f->why, ", ");
    json_text("type", f->todo, ", ");
    json_text("sysctl", f->sysctl, "}");
}

static void show_sysctl(const struct finding *f)
{
    if (f->sysctl[0] != '\0')
        printf("\n# %s: found %s.\n# %s.\n%s\n", words[f->verdict], f->found, f->why, f->sysctl);
}

static void show_head(enum form form, const struct plan *plan, const struct machine *m)
{
    char text[256];
    snprintf(text, sizeof text, "%llu connections, %llu workers; limits of %s",
             (unsigned long long) plan->connections, (unsigned long long) plan->workers, m->of);
    if (form == FORM_TEXT) {
        printf("%s\n", text);
    } else if (form == FORM_SYSCTL) {
        printf("# %s: what is to be set in the kernel; see maritcp(8), doctor.\n", text);
    } else {
        printf("{\"connections\": %llu, \"workers\": %llu, ", (unsigned long long) plan->connections,
               (unsigned long long) plan->workers);
        json_text("limits_of", m->of, ", ");
        printf("\"checks\": [");
    }
}

static sint32 examine(const struct request *r, const struct plan *plan, const struct machine *m)
{
    unsigned count[VERDICT_FAIL + 1] = {0};
    show_head(r->form, plan, m);
    for (size_t i = 0; i < check_count; i++) {
        struct finding f;
        check_run(&checks[i], plan, m, &f);
        count[f.verdict]++;
        if (r->form == FORM_TEXT)
            show_text(&checks[i], &f);
        else if (r->form == FORM_JSON)
            show_json(&checks[i], &f, i == 0);
        else
            show_sysctl(&f);
    }
    if (r->form == FORM_TEXT)
        printf("%u fail, %u warnings, %u good\n", count[VERDICT_FAIL], count[VERDICT_WARN],
               count[VERDICT_OK]);
    else if (r->form == FORM_JSON)
        printf("\n], \"fail\": %u, \"warn\": %u, \"ok\": %u}\n", count[VERDICT_FAIL], count[VERDICT_WARN],
               count[VERDICT_OK]);
    if (cmdline_flush() != 0)
        return DOCTOR_WRONG;
    if (count[VERDICT_FAIL] > 0)
        return DOCTOR_FAIL;
    return r->strict && count[VERDICT_WARN] > 0 ? DOCTOR_WARN : 0;
}

static sint32 run(const struct request *r)
{
    static struct maritcp_conf conf;
    static struct conf_error err;
    static struct machine machine;
    struct plan plan;
    char why[256];
    if (conf_load(&conf, r->file, r->overrides, r->override_count, &err) != 0) {
        fprintf(stderr, "%s\n", err.text);
        return DOCTOR_WRONG;
    }
    if (!machine_look(&machine, r->root, r->unit, r->pid, why, sizeof why)) {
        fprintf(stderr, "maritcp doctor: %s\n", why);
        return DOCTOR_WRONG;
    }
    plan_make(&plan, &conf, &machine);
    return examine(r, &plan, &machine);
}

sint32 doctor_main(int argc, char **argv)
{
    struct request r = {.root = "", .form = FORM_TEXT};
    r.overrides = calloc((size_t) argc + 1, sizeof *r.overrides);
    if (r.overrides == NULL) {
        fprintf(stderr, "maritcp doctor: no memory for the command line\n");
        return DOCTOR_WRONG;
    }
    sint32 code = read_command(&r, argc, argv);
    if (code == GO_ON)
        code = run(&r);
    free(r.overrides);
    return code;
}
