/*
 * scrape.c: /metrics taken apart. Main thread of a test.
 */
#include "scrape.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operator.h"

enum { ROOM = 8 << 20, HEAD_MAX = 4096, ASK_MS = 10000, SAMPLES_MAX = 100000 };

char *scrape_get(const char *path)
{
    char request[256];
    struct net_target t;
    char *answer = malloc(ROOM);
    size_t used = 0;
    uint64_t deadline = itest_deadline(ASK_MS);
    ck_assert(answer != NULL && net_resolve(strchr(operator_option(), '=') + 1, NULL, &t) == NULL);
    int fd = net_connect_wait(&t, deadline);
    int n = snprintf(request, sizeof request,
                     "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", path);
    ck_assert(fd >= 0 && net_send_wait(fd, request, (size_t) n, deadline) == 0);
    do { /* the head */
        ITEST_ASSERT(used < HEAD_MAX && net_recv_wait(fd, answer + used, 1, deadline) == 1, "no head: %s",
                     answer);
        answer[++used] = '\0';
    } while (strstr(answer, "\r\n\r\n") == NULL);
    const char *length = strstr(answer, "\r\nContent-Length: ");
    size_t len = length == NULL ? ROOM : strtoul(strchr(length, ':') + 1, NULL, 10);
    ck_assert(len < ROOM - used && net_recv_wait(fd, answer + used, len, deadline) == (ptrdiff_t) len);
    answer[used + len] = '\0';
    close(fd);
    return answer;
}

static const char *number_end(const char *text)
{
    char *end;
    strtod(text, &end);
    return end;
}

/* A sample's line: its key ends where the value begins, which a NUL says then. */
static struct sample parse(char *line)
{
    struct sample s = {.key = line};
    size_t n = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789_");
    s.name_len = n;
    ITEST_ASSERT(strncmp(line, "mario_", 6) == 0, "what is this: %s", line);
    if (line[n] == '{') {
        do {
            n += 1 + strspn(line + n + 1, "abcdefghijklmnopqrstuvwxyz_");
            ITEST_ASSERT(line[n] == '=' && line[n + 1] == '"', "no label: %s", line);
            for (n += 2; line[n] != '"'; n++) {
                ITEST_ASSERT(line[n] != '\0', "no end: %s", line);
                n += line[n] == '\\';
            }
        } while (line[++n] == ',');
        ITEST_ASSERT(line[n] == '}', "no brace: %s", line);
        n++;
    }
    ITEST_ASSERT(line[n] == ' ' && line[n + 1] != '\0' && *number_end(line + n + 1) == '\0', "no number: %s",
                 line);
    s.value = strtod(line + n + 1, NULL);
    line[n] = '\0';
    return s;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct sample *) a)->key, ((const struct sample *) b)->key);
}

static bool ends_with(const char *text, size_t n, const char *end)
{
    return n >= strlen(end) && memcmp(text + n - strlen(end), end, strlen(end)) == 0;
}

/* Of a histogram's buckets each has at least what the one before it has, and the last one is the count. */
static void check_bucket(const struct scrape *s, size_t i)
{
    static double last;
    const struct sample *b = &s->all[i];
    const char *le = strstr(b->key, ",le=\"");
    bool first = i == 0 || !ends_with(s->all[i - 1].key, s->all[i - 1].name_len, "_bucket") ||
                 strncmp(s->all[i - 1].key, b->key, (size_t) (le - b->key)) != 0;
    ITEST_ASSERT(le != NULL, "%s", b->key);
    ITEST_ASSERT(first || b->value >= last, "%s is %f behind %f", b->key, b->value, last);
    last = b->value;
    if (strcmp(le, ",le=\"+Inf\"}") != 0)
        return;
    char key[256];
    snprintf(key, sizeof key, "%.*scount%.*s}", (int) (b->name_len - strlen("mario_") - strlen("bucket")),
             b->key + strlen("mario_"), (int) (le - b->key - (ptrdiff_t) b->name_len), b->key + b->name_len);
    ITEST_ASSERT(scrape_value(s, key) == b->value, "%s is not its last bucket", key);
}

/* A label that has an address, or a connection's id, would be a line for each of them, for ever. */
static void check_labels(const struct sample *p)
{
    const char *at = p->key + p->name_len;
    if (strstr(at, "{version=\"") == at || strstr(at, "le=\"") != NULL)
        return;
    for (; *at != '\0'; at++)
        ITEST_ASSERT(!(isdigit((unsigned char) at[0]) && at[1] == '.' && isdigit((unsigned char) at[2])),
                     "%s", p->key);
}

/* A comment: "# HELP name text", then "# TYPE name kind". *name becomes the metric whose lines follow. */
static void take_comment(const char *line, char *name, size_t size, char *seen, size_t seen_size)
{
    char word[16], of[128], rest[256];
    ITEST_ASSERT(sscanf(line, "# %15s %127s %255[^\n]", word, of, rest) == 3, "%s", line);
    if (strcmp(word, "HELP") == 0) {
        char key[140];
        snprintf(key, sizeof key, " %s ", of);
        ITEST_ASSERT(strstr(seen, key) == NULL, "%s begins a second time", of);
        snprintf(seen + strlen(seen), seen_size - strlen(seen), "%s", key);
        snprintf(name, size, "%s", of);
        return;
    }
    ITEST_ASSERT(strcmp(word, "TYPE") == 0 && strcmp(name, of) == 0, "%s", line);
    bool counter = strcmp(rest, "counter") == 0;
    ITEST_ASSERT(counter || strcmp(rest, "gauge") == 0 || strcmp(rest, "histogram") == 0, "%s", line);
    ITEST_ASSERT(counter == ends_with(of, strlen(of), "_total"), "%s", line);
}

static void take_line(struct scrape *s, char *line, const char *name)
{
    struct sample p = parse(line);
    size_t n = strlen(name);
    ITEST_ASSERT(strncmp(p.key, name, n) == 0 && p.name_len - n <= strlen("_bucket"), "%s stands below %s",
                 p.key, name);
    check_labels(&p);
    ITEST_ASSERT(s->count < SAMPLES_MAX, "too many lines");
    s->all[s->count++] = p;
}

void scrape_take(struct scrape *s)
{
    static char seen[32768];
    char name[128] = "";
    s->text = scrape_get("/metrics");
    s->all = calloc(SAMPLES_MAX, sizeof *s->all);
    s->count = 0;
    seen[0] = '\0';
    char *body = strstr(s->text, "\r\n\r\n"), *next;
    ITEST_ASSERT(strncmp(s->text, "HTTP/1.1 200 OK\r\n", 17) == 0 && body != NULL, "%s", s->text);
    ck_assert(strstr(s->text, "\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n") != NULL);
    for (char *line = body + 4; *line != '\0'; line = next) {
        next = strchr(line, '\n');
        ITEST_ASSERT(next != NULL, "cut off: %s", line);
        *next++ = '\0';
        if (*line == '#')
            take_comment(line, name, sizeof name, seen, sizeof seen);
        else
            take_line(s, line, name);
    }
    for (size_t i = 0; i < s->count; i++) {
        if (ends_with(s->all[i].key, s->all[i].name_len, "_bucket"))
            check_bucket(s, i);
    }
    struct sample *sorted = malloc(s->count * sizeof *sorted);
    memcpy(sorted, s->all, s->count * sizeof *sorted);
    qsort(sorted, s->count, sizeof *sorted, by_key);
    for (size_t i = 1; i < s->count; i++)
        ITEST_ASSERT(strcmp(sorted[i - 1].key, sorted[i].key) != 0, "%s is there twice", sorted[i].key);
    free(sorted);
}

void scrape_free(struct scrape *s)
{
    free(s->text);
    free(s->all);
}

double scrape_value(const struct scrape *s, const char *key)
{
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->all[i].key + strlen("mario_"), key) == 0)
            return s->all[i].value;
    }
    ck_abort_msg("there is no %s", key);
}

double scrape_sum(const struct scrape *s, const char *name, const char *piece)
{
    double sum = 0;
    for (size_t i = 0; i < s->count; i++) {
        const struct sample *p = &s->all[i];
        if (p->name_len == strlen("mario_") + strlen(name) &&
            strncmp(p->key + strlen("mario_"), name, strlen(name)) == 0 &&
            strstr(p->key + p->name_len, piece) != NULL)
            sum += p->value;
    }
    return sum;
}
