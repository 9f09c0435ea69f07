/*
 * rules.c: what belongs together of the options: of two that do not, the one that was set last is to blame. No state.
 */
#include "row.h"

#include <stdarg.h>
#include <string.h>

/* A process can never have more descriptors than this: the kernel's ceiling for fs.nr_open. */
#define DESCRIPTORS_MAX 2147483584u

/* Whether a got its value after b: defaults come first, then the file's lines, then the overrides. */
static bool row_is_later(const struct maritcp_conf *conf, const struct row *a, const struct row *b)
{
    sint64 when_a = origin_of(conf, a), when_b = origin_of(conf, b);
    return (when_a < 0 ? INT32_MAX - when_a : when_a) > (when_b < 0 ? INT32_MAX - when_b : when_b);
}

/* The place where the row got its value. */
static struct place place_of(const struct maritcp_conf *conf, const struct row *row, const char *file,
                             char *const overrides[])
{
    sint32 origin = origin_of(conf, row);
    struct place place = {.file = file != NULL ? file : "default", .line = origin > 0 ? origin : 0};
    if (origin == CONF_SET)
        place = (struct place){.file = "config set"};
    else if (origin < 0 && overrides == NULL) /* another one is set by hand, and all is checked again */
        place = (struct place){.file = "-o"};
    else if (origin < 0)
        place.override = overrides[-origin - 1];
    return place;
}

/* What a rule between options needs. */
struct check {
    const struct maritcp_conf *conf;
    const char *file;
    char *const *overrides;
    struct conf_error *err;
};

/* Of two options that do not go together the one that was set last is to blame. */
static bool is_blamed(const struct check *c, const char *section, const char *key, const char *other)
{
    return row_is_later(c->conf, row_find(section, key), row_find(section, other));
}

static sint32 blame(const struct check *c, const char *section, const char *key, const char *allowed,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
static sint32 blame(const struct check *c, const char *section, const char *key, const char *allowed,
                    const char *fmt, ...)
{
    char why[WHY_SIZE];
    struct place place = place_of(c->conf, row_find(section, key), c->file, c->overrides);
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    return conf_fail(c->err, &place, section, key, allowed, "%s", why);
}

static sint32 check_output(const struct check *c)
{
    char high[16], max[16], limit[16], range[RANGE_SIZE];
    const struct mario_options *o = &c->conf->server;
    if (o->output_high <= o->output_max)
        return 0;
    size_print(o->output_high, high, sizeof high);
    size_print(o->output_max, max, sizeof max);
    if (is_blamed(c, "output", "max", "high")) {
        size_print(MARIO_OUTPUT_MAX, limit, sizeof limit);
        snprintf(range, sizeof range, "%s .. %s", high, limit);
        return blame(c, "output", "max", range, "%s is below output.high %s", max, high);
    }
    size_print(MARIO_OUTPUT_MIN, limit, sizeof limit);
    snprintf(range, sizeof range, "%s .. %s", limit, max);
    return blame(c, "output", "high", range, "%s is above output.max %s", high, max);
}

static sint32 check_watch(const struct check *c)
{
    char range[RANGE_SIZE];
    const struct mario_options *o = &c->conf->server;
    if (o->watch_replace_ms == 0 || o->watch_replace_ms >= o->watch_warn_ms)
        return 0;
    if (is_blamed(c, "watch", "warn_ms", "replace_ms")) {
        snprintf(range, sizeof range, "0 .. %u", o->watch_replace_ms);
        return blame(c, "watch", "warn_ms", range, "%u is above watch.replace_ms", o->watch_warn_ms);
    }
    snprintf(range, sizeof range, "0, %u .. %u", o->watch_warn_ms, MARIO_WATCH_MAX);
    return blame(c, "watch", "replace_ms", range, "%u is below watch.warn_ms", o->watch_replace_ms);
}

static sint32 check_push(const struct check *c)
{
    char range[RANGE_SIZE], limit[16];
    const struct mario_options *o = &c->conf->server;
    if ((o->push_ring & (o->push_ring - 1)) != 0) {
        snprintf(range, sizeof range, "a power of two, %u .. %u", MARIO_PUSH_RING_MIN, MARIO_PUSH_RING_MAX);
        return blame(c, "push", "ring", range, "%u is no power of two", o->push_ring);
    }
    if (o->push_queue != 0 || o->push_bytes != 0)
        return 0;
    if (is_blamed(c, "push", "queue", "bytes")) {
        snprintf(range, sizeof range, "1 .. %u", MARIO_PUSH_QUEUE_MAX);
        return blame(c, "push", "queue", range, "0 is no limit, and push.bytes has none either");
    }
    size_print(MARIO_PUSH_BYTES_MAX, limit, sizeof limit);
    snprintf(range, sizeof range, "1 .. %s", limit);
    return blame(c, "push", "bytes", range, "0 is no limit, and push.queue has none either");
}

static sint32 check_cluster(const struct check *c)
{
    char range[RANGE_SIZE];
    const struct mario_cluster_options *o = &c->conf->cluster;
    if (o->ttl > o->heartbeat)
        return 0;
    if (is_blamed(c, "cluster", "heartbeat", "ttl")) {
        snprintf(range, sizeof range, "1 .. %u", o->ttl - 1);
        return blame(c, "cluster", "heartbeat", range, "%u is not below cluster.ttl", o->heartbeat);
    }
    snprintf(range, sizeof range, "%u .. %u", o->heartbeat + 1, MARIO_CLUSTER_TTL_MAX);
    return blame(c, "cluster", "ttl", range, "%u is not above cluster.heartbeat", o->ttl);
}

static sint32 check_places(const struct check *c)
{
    char range[RANGE_SIZE];
    const struct mario_options *o = &c->conf->server;
    uint64 total = (uint64) (o->workernum != 0 ? o->workernum : 1) * o->connnum;
    if (total <= DESCRIPTORS_MAX)
        return 0;
    snprintf(range, sizeof range, "workernum * connnum up to %u", DESCRIPTORS_MAX);
    return blame(c, "server", is_blamed(c, "server", "workernum", "connnum") ? "workernum" : "connnum", range,
                 "%u workers of %u connections are more than any process can have", o->workernum, o->connnum);
}

static sint32 check_admit(const struct check *c)
{
    char range[RANGE_SIZE];
    const struct mario_options *o = &c->conf->server;
    if ((o->admit_table & (o->admit_table - 1)) != 0) {
        snprintf(range, sizeof range, "a power of two, %u .. %u", MARIO_ADMIT_TABLE_MIN,
                 MARIO_ADMIT_TABLE_MAX);
        return blame(c, "admit", "table", range, "%u is no power of two", o->admit_table);
    }
    if (o->admit_v6_net <= o->admit_v6_host)
        return 0;
    if (is_blamed(c, "admit", "v6_host", "v6_net")) {
        snprintf(range, sizeof range, "%u .. 64", o->admit_v6_net);
        return blame(c, "admit", "v6_host", range, "%u is below admit.v6_net", o->admit_v6_host);
    }
    snprintf(range, sizeof range, "1 .. %u", o->admit_v6_host);
    return blame(c, "admit", "v6_net", range, "%u is above admit.v6_host", o->admit_v6_net);
}

static sint32 check_networks(const struct check *c)
{
    static const char *const keys[] = {"allow_file", "deny_file"};
    char why[PATH_MAX + WHY_SIZE];
    if (mario_admit_check(&c->conf->server, why, sizeof why) == 0)
        return 0;
    for (int i = 0; i < 2; i++) {
        size_t n = strlen("admit_") + strlen(keys[i]);
        if (strncmp(why + strlen("admit_"), keys[i], strlen(keys[i])) == 0)
            return blame(c, "admit", keys[i], "a network a line, # begins a comment", "%s",
                         why + n + strlen(": "));
    }
    return blame(c, "admit", keys[1], NULL, "%s", why);
}

sint32 conf_check_networks(const struct maritcp_conf *conf, const char *file, char *const overrides[],
                           struct conf_error *err)
{
    return check_networks(&(struct check){.conf = conf, .file = file, .overrides = overrides, .err = err});
}

/* A certificate that is needed, and names in the listen list. */
static sint32 check_sections(const struct check *c)
{
    char why[WHY_SIZE];
    for (uint32 i = 0; i < c->conf->tls_count; i++) {
        const struct conf_tls *t = &c->conf->tls[i];
        struct place place = {.file = c->file != NULL ? c->file : "default", .line = t->line};
        if (t->is_there && strcmp(t->certificate, "-") == 0)
            return conf_fail(c->err, &place, NULL, NULL, "[tls NAME] with a certificate",
                             "[%s] has no certificate", t->section);
    }
    if (mario_tls_listen_check(c->conf->listen, c->conf->certificates, c->conf->certificate_count, why,
                               sizeof why) == 0)
        return 0;
    return blame(c, "server", "listen", "a section [tls NAME]", "%s", why);
}

/* Say what is wrong with a section: of the key that stands in front of it, or else of its certificate, which is also
 * where a key is missing that nobody has set. */
static sint32 blame_section(const struct check *c, const char *section, const char *why)
{
    struct row of_key, of_certificate;
    char key[32] = "";
    size_t n = strcspn(why, ":");
    if (n < sizeof key && why[n] != '\0')
        snprintf(key, sizeof key, "%.*s", (int) n, why);
    const struct row *certificate = row_find_in(c->conf, section, "certificate", &of_certificate);
    const struct row *row = row_find_in(c->conf, section, key, &of_key);
    if (row != NULL)
        why += n + strspn(why + n, ": ");
    else
        row = certificate;
    bool is_set = origin_of(c->conf, row) != 0;
    struct place place = place_of(c->conf, is_set ? row : certificate, c->file, c->overrides);
    return conf_fail(c->err, &place, section, row->key, NULL, "%s", why);
}

sint32 conf_check_tls(const struct maritcp_conf *conf, const char *file, char *const overrides[],
                      struct conf_error *err)
{
    struct mario_tls_certificate certificate;
    char why[PATH_MAX + WHY_SIZE];
    for (uint32 i = 0; i < conf->certificate_count; i++) {
        const struct mario_tls *t = &conf->certificates[i];
        char section[sizeof conf->tls[0].section];
        snprintf(section, sizeof section, "tls %s", t->name);
        if (mario_tls_describe(t, &certificate, why, sizeof why) != 0)
            return blame_section(
                &(struct check){.conf = conf, .file = file, .overrides = overrides, .err = err}, section,
                why);
    }
    return 0;
}

/* What belongs together. The line names the option that was set last. */
static sint32 check_all(const struct check *c)
{
    return check_output(c) != 0 || check_watch(c) != 0 || check_push(c) != 0 || check_cluster(c) != 0 ||
                   check_places(c) != 0 || check_admit(c) != 0 || check_sections(c) != 0 ||
                   (!c->conf->again &&
                    (check_networks(c) != 0 || conf_check_tls(c->conf, c->file, c->overrides, c->err) != 0))
               ? -1
               : 0;
}

sint32 conf_check(const struct maritcp_conf *conf, const char *file, char *const overrides[],
                  struct conf_error *err)
{
    return check_all(&(struct check){.conf = conf, .file = file, .overrides = overrides, .err = err});
}
