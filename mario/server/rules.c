/*
 * rules.c: whom the server lets in, as its options say it. Any thread that may wait for a disk; giving back: any.
 */
#include "mario/server/rules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mario/base/text.h"
#include "mario/conn/meter.h"
#include "mario/conn/passes.h"
#include "mario/worker/inbox.h"

enum {
    LINE_BYTES = 256,      /* bytes of a line, its comment included */
    SHOWN = 60,            /* of a line that is wrong */
    NETWORKS_MAX = 4000000 /* in a file */
};

/* ---- Files ---- */

/* Networks of a file, while it is read. */
struct list {
    struct cidr *all;
    uint32_t n, room;
};

static bool append(struct list *l, const struct cidr *c)
{
    if (l->n == l->room) {
        uint32_t room = l->room == 0 ? 64 : l->room * 2;
        struct cidr *all = realloc(l->all, room * sizeof *all);
        if (all == NULL)
            return false;
        l->all = all;
        l->room = room;
    }
    l->all[l->n++] = *c;
    return true;
}

/* What is wrong with a line, into why; NULL if nothing is. */
static const char *read_line(struct list *l, char *line, char *quoted, size_t size)
{
    struct cidr c;
    line[strcspn(line, "#\r\n")] = '\0';
    char *text = text_trim(line);
    if (text[0] == '\0')
        return NULL;
    const char *wrong = cidr_parse(text, &c);
    size_t n = 0;
    for (const char *s = text; wrong != NULL && *s != '\0' && n + TEXT_CHAR < size;) {
        size_t used;
        n += text_shown_char(s, strlen(s), &used, quoted + n);
        s += used;
    }
    quoted[n] = '\0';
    if (wrong != NULL)
        return wrong;
    if (l->n == NETWORKS_MAX)
        return "is one network too many (allowed: 4000000)";
    return append(l, &c) ? NULL : "is too much: no memory";
}

static bool read_lines(FILE *f, const char *path, struct list *l, char *why, size_t size)
{
    char line[LINE_BYTES], quoted[SHOWN + TEXT_CHAR];
    for (uint32_t n = 1; fgets(line, sizeof line, f) != NULL; n++) {
        bool whole = strchr(line, '\n') != NULL || feof(f);
        const char *wrong = whole ? read_line(l, line, quoted, sizeof quoted) : NULL;
        if (!whole)
            snprintf(why, size, "%s:%u: a line of more than %u bytes", path, n, (unsigned) LINE_BYTES - 2);
        else if (wrong != NULL)
            snprintf(why, size, "%s:%u: '%s' %s", path, n, quoted, wrong);
        if (!whole || wrong != NULL)
            return false;
    }
    if (ferror(f))
        snprintf(why, size, "%s: %s", path, strerror(errno));
    return !ferror(f);
}

/* Nobody waits for a pipe that nobody writes. */
static FILE *open_file(const char *path, char *why, size_t size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    FILE *f = NULL;
    bool is_open = fd >= 0 && fstat(fd, &st) == 0;
    if (is_open && !S_ISREG(st.st_mode))
        snprintf(why, size, "%s: no regular file", path);
    else if (!is_open || (f = fdopen(fd, "r")) == NULL)
        snprintf(why, size, "%s: %s", path, strerror(errno));
    if (f == NULL && fd >= 0)
        close(fd);
    return f;
}

static bool is_file(const char *path)
{
    return path != NULL && path[0] != '\0' && strcmp(path, "-") != 0;
}

/* The networks of a file, none if there is no path. False with a line in why, which begins with `key`. */
static bool read_file(const char *key, const char *path, struct list *l, char *why, size_t size)
{
    char wrong[512];
    if (!is_file(path))
        return true;
    FILE *f = open_file(path, wrong, sizeof wrong);
    bool ok = f != NULL && read_lines(f, path, l, wrong, sizeof wrong);
    if (f != NULL)
        fclose(f);
    if (!ok)
        snprintf(why, size, "%s: %s", key, wrong);
    return ok;
}

/* ---- Memory ---- */

static bool get(struct rules_memory *m, size_t size)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return false;
    *m = (struct rules_memory){.at = at, .size = size};
    return true;
}

void rules_give_back(struct rules_memory *m)
{
    if (m->at != NULL)
        munmap(m->at, m->size);
    *m = (struct rules_memory){.at = NULL};
}

void rules_free(struct rules **rp)
{
    struct rules *r = *rp;
    *rp = NULL;
    if (r == NULL)
        return;
    rules_give_back(&r->table);
    rules_give_back(&r->passes);
    rules_give_back(&r->meters);
    free(r->allow);
    free(r->deny);
    free(r);
}

/* ---- Making them ---- */

static struct gate_limits limits_of(const struct mario_options *o)
{
    return (struct gate_limits){.ip_conns = o->admit_ip_conns,
                                .net_conns = o->admit_net_conns,
                                .ip_rate = o->admit_ip_rate,
                                .net_rate = o->admit_net_rate,
                                .ban_after = o->admit_ban_after,
                                .ban_seconds = o->admit_ban_seconds,
                                .v4_net = (uint8_t) o->admit_v4_net,
                                .v6_host = (uint8_t) o->admit_v6_host,
                                .v6_net = (uint8_t) o->admit_v6_net};
}

/* The rest. False without memory. */
static bool fill(struct rules *r, const struct mario_options *o, uint32_t workernum, uint32_t connnum)
{
    r->limits = limits_of(o);
    r->rate = o->admit_rate;
    r->counts = (o->admit_ip_conns | o->admit_ip_rate | o->admit_net_conns | o->admit_net_rate) != 0;
    bool meters = o->admit_first_packet != 0 || o->limit_packets != 0 || o->limit_bytes != 0;
    if (r->counts && get(&r->table, o->admit_table * sizeof(struct gate_entry)))
        madvise(r->table.at, r->table.size,
                MADV_HUGEPAGE); /* it is all touched, here and there: fewer page walks */
    return (!r->counts ||
            (r->table.at != NULL && get(&r->passes, workernum * passes_size(connnum, INBOX_RING)))) &&
           (!meters || get(&r->meters, (size_t) workernum * connnum * sizeof(struct meter)));
}

/* The set of a file's networks, NULL if there is no file. False without memory. */
static bool make_set(struct cidr_set **set, const char *path, const struct list *l)
{
    void *room = is_file(path) ? malloc(cidr_set_size(l->n)) : NULL;
    *set = room != NULL ? cidr_set_make(room, l->all, l->n) : NULL;
    return room != NULL || !is_file(path);
}

struct rules *rules_make(const struct mario_options *o, uint32_t workernum, uint32_t connnum, char *why,
                         size_t size)
{
    struct list allow = {.n = 0}, deny = {.n = 0};
    struct rules *r = NULL;
    if (read_file("admit_allow_file", o->admit_allow_file, &allow, why, size) &&
        read_file("admit_deny_file", o->admit_deny_file, &deny, why, size)) {
        r = calloc(1, sizeof *r);
        if (r != NULL && !(make_set(&r->allow, o->admit_allow_file, &allow) &&
                           make_set(&r->deny, o->admit_deny_file, &deny) && fill(r, o, workernum, connnum)))
            rules_free(&r);
        if (r == NULL)
            snprintf(why, size, "no memory for admission");
    }
    free(allow.all);
    free(deny.all);
    return r;
}

int32_t mario_admit_check(const struct mario_options *o, char *why, uint32_t size)
{
    struct rules *r = rules_make(o, 1, 1, why, size);
    bool ok = r != NULL;
    rules_free(&r);
    return ok ? 0 : -1;
}
