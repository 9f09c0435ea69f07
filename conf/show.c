/*
 * show.c: the option table as text: the values in use, the sample file, the manual. Main thread, no state.
 */
#include "row.h"

#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "mario/mario_util.h"

#define COMMENT_COLUMN 40   /* where -t says where a value comes from */
#define VALUE_SHORT    100u /* longer values stand without that, and lists in a line for each entry */
#define HELP_COLUMNS   96u  /* the sample's comments are wrapped here */
#define MDOC_COLUMNS   78u  /* and the manual's source here */

/* Whether what all sections [tls NAME] have is shown behind row i: it is the last one of [tls]. */
static bool is_before_named(uint32 i)
{
    return strcmp(conf_rows[i].section, "tls") == 0 && strcmp(conf_rows[i + 1].section, "tls") != 0;
}

/* The length of the sentence that text begins with, its full stop included. */
static size_t show_sentence(const char *text)
{
    const char *end = strstr(text, ". ");
    return end != NULL ? (size_t) (end - text) + 1 : strlen(text);
}

/* What this process has, which the zeros of workernum and connnum are counted from. */
static void show_machine(FILE *out)
{
    struct rlimit files;
    fprintf(out, "# this process may use %u cores\n", mario_cores());
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY)
        fprintf(out, "# and have %llu descriptors\n", (unsigned long long) files.rlim_max);
}

static void show_value(FILE *out, const struct row *row, const char *value, sint32 origin)
{
    int column = fprintf(out, "%s = ", row->key);
    if (strlen(value) >= VALUE_SHORT) {
        for (; *value; value++) {
            fputc(*value, out);
            if (row_is_list(row) && *value == ',')
                fputs("\n    ", out);
        }
    } else if (origin == 0) {
        fputs(value, out);
    } else {
        column += fprintf(out, "%s", value);
        fprintf(out, "%*s ; ", column < COMMENT_COLUMN ? COMMENT_COLUMN - column : 0, "");
        if (origin > 0)
            fprintf(out, "line %d", origin);
        else
            fputs("-o", out);
    }
    fputc('\n', out);
}

/* What a certificate is, and until when. */
static void show_certificate(FILE *out, const struct mario_tls *t)
{
    struct mario_tls_certificate c;
    char why[WHY_SIZE], from[DAY_SIZE], until[DAY_SIZE];
    if (mario_tls_describe(t, &c, why, sizeof why) != 0) {
        text_make_printable(why);
        fprintf(out, "# %s\n", why);
        return;
    }
    text_make_printable(c.subject);
    text_make_printable(c.names);
    fprintf(out, "# %s, %s, for %s", c.subject, c.key, c.names[0] != '\0' ? c.names : "any name");
    text_day(from, c.not_before);
    text_day(until, c.not_after);
    fprintf(out, "\n# from %s until %s, %lld days from now\n", from, until,
            (long long) ((c.not_after - (sint64) time(NULL)) / 86400));
    if (c.warning[0] != '\0')
        fprintf(out, "# warning: %s\n", c.warning);
}

static void show_section(FILE *out, const struct maritcp_conf *conf, const struct row *row)
{
    fprintf(out, "\n[%s]\n", row->section);
    for (uint32 i = 0; i < conf->certificate_count && row_is_named(row); i++) {
        if (strcmp(conf->certificates[i].name, row->section + strlen("tls ")) == 0)
            show_certificate(out, &conf->certificates[i]);
    }
}

void conf_print(FILE *out, const struct maritcp_conf *conf)
{
    char value[CONF_LISTEN_SIZE > PATH_MAX ? CONF_LISTEN_SIZE : PATH_MAX];
    fprintf(out, "# maritcp %s would use this\n", mario_version());
    show_machine(out);
    struct rows all = rows_of(conf, NULL);
    char section[sizeof conf->tls[0].section] = "";
    for (const struct row *row; (row = rows_next(&all)) != NULL;) {
        if (strcmp(row->section, section) != 0)
            show_section(out, conf, row);
        snprintf(section, sizeof section, "%s", row->section);
        if (row->type == ROW_PORT) {
            fprintf(out, "# %s: see listen\n", row->key);
            continue;
        }
        value_print(row, conf, value, sizeof value);
        show_value(out, row, value, origin_of(conf, row));
    }
}

/* Print the first len bytes of text in lines of at most `columns`, each beginning with lead. */
static void show_wrapped(FILE *out, const char *text, size_t len, const char *lead, size_t columns)
{
    size_t column = 0;
    for (const char *end = text + len; text < end; text += strspn(text, " ")) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word > columns) {
            fputc('\n', out);
            column = 0;
        }
        column += (size_t) fprintf(out, "%s%.*s", column ? " " : lead, (int) word, text);
        text += word;
    }
    fputc('\n', out);
}

/* One row; `lead` makes a comment of it. */
static void show_sample(FILE *out, const struct row *row, bool is_first, const char *lead)
{
    char range[RANGE_SIZE];
    if (is_first)
        fprintf(out, "\n%s[%s]\n", lead, row->section);
    else
        fputc('\n', out);
    show_wrapped(out, row->help, strlen(row->help), "# ", HELP_COLUMNS);
    value_range(row, range);
    fprintf(out, "# Allowed: %s. A %s changes it.\n", range, row->when == LIVE ? "reload" : "restart");
    fprintf(out, "%s%s = %s\n", lead, row->key, row->fallback);
}

void conf_print_sample(FILE *out)
{
    fputs(
        "# maritcp.conf: what maritcp can be told, each option with its default. See maritcp(8).\n"
        "# Sizes take k, m or g. A ';' after a blank starts a comment, '#' only at the beginning of a line.\n"
        "# `maritcp -t -c FILE` checks a file, `maritcp --print-sample` prints this one anew.\n",
        out);
    for (uint32 i = 0; i < conf_row_count; i++) {
        const struct row *row = &conf_rows[i];
        bool first = i == 0 || strcmp(row->section, conf_rows[i - 1].section) != 0;
        /* A port behind the list would replace it as soon as somebody edits the list. */
        show_sample(out, row, first, row->type == ROW_PORT ? ";" : "");
        if (!is_before_named(i))
            continue;
        for (uint32 k = 0; k < CONF_TLS_KEYS; k++) /* there is no certificate to begin with */
            show_sample(out, &section_rows[k], k == 0, ";");
    }
}

/* Print text as mdoc running text, each sentence on a new line. No word here begins with a dot or a quote. */
static void show_mdoc(FILE *out, const char *text)
{
    while (*text) {
        size_t len = show_sentence(text);
        show_wrapped(out, text, len, "", MDOC_COLUMNS);
        text += len + strspn(text + len, " ");
    }
}

static void show_manual(FILE *out, const struct row *row)
{
    char range[RANGE_SIZE];
    value_range(row, range);
    fprintf(out, ".It Cm %s.%s\n", row->section, row->key);
    show_mdoc(out, row->help);
    fprintf(out, "Allowed:\n.Li \"%s\" ;\ndefault:\n.Li \"%s\" .\nA %s changes it.\n", range, row->fallback,
            row->when == LIVE ? "reload" : "restart");
}

void conf_print_manual(FILE *out)
{
    fputs(".Bl -tag -width Ds\n", out);
    for (uint32 i = 0; i < conf_row_count; i++) {
        show_manual(out, &conf_rows[i]);
        for (uint32 k = 0; k < CONF_TLS_KEYS && is_before_named(i); k++)
            show_manual(out, &section_rows[k]);
    }
    fputs(".El\n", out);
}
