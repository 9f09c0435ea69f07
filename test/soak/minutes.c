/*
 * minutes.c: a line a minute, and what the lines say together. Main thread.
 *
 * Memory is that at a minute's end, when troubles are over: what clients make the server hold for a while does not
 * count, what is lost does. The first two minutes do not count either: pools and stacks are touched for the
 * first time.
 */
#include "minutes.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MINUTES_MAX = 24 * 60 * 7, FIRST = 2, ENOUGH = 5, LOOK_MS = 250 };

static struct {
    uint64_t first, began, looked; /* mono_ns(): the first minute, this one, the last look */
    uint64_t rss_most;             /* KiB, of this minute */
    unsigned fds_most;
    uint32_t count;          /* minutes that are over */
    double at[MINUTES_MAX];  /* the end of each, in minutes from the first one's beginning */
    double rss[MINUTES_MAX]; /* KiB */
    double p99[MINUTES_MAX]; /* ms, of neighbours without trouble; 0 = there were none */
    uint64_t answered, opened, replaced, died;
} m;

static double ms_of(uint64_t ns)
{
    return (double) ns / (double) NS_PER_MS;
}

static uint64_t since(uint64_t *before, uint64_t now)
{
    uint64_t d = now - *before;
    *before = now;
    return d;
}

static void print_minute(struct soak *s, uint64_t rss)
{
    static struct neighbours_times t;
    neighbours_look(s->neighbours, &t);
    struct neighbours_report r = neighbours_now(s->neighbours);
    uint64_t all = t.calm.count + t.troubled.count;
    double p99 = ms_of(hist_percentile(&t.calm, 99)), minute = ms_of(mono_ns() - m.first) / 60000;
    if (m.count == 0)
        printf(
            "minute  RSS KiB  (most)  fds  (most)  answered  calm %%  p50 ms  p99 ms  max ms  troubled max  "
            "opened  replaced  died\n");
    printf("%6.1f %8" PRIu64 " %7" PRIu64 " %4u %7u %9" PRIu64 " %7.1f %7.2f %7.2f %7.1f %13.1f %7" PRIu64
           " %9" PRIu64 " %5" PRIu64 "\n",
           minute, rss, m.rss_most, server_fds(&s->server), m.fds_most, since(&m.answered, r.answered),
           all == 0 ? 0 : 100.0 * (double) t.calm.count / (double) all, ms_of(hist_percentile(&t.calm, 50)),
           p99, ms_of(t.calm.max), ms_of(t.troubled.max), since(&m.opened, soak_counter(s, "opened")),
           since(&m.replaced, soak_counter(s, "watch_replaced")),
           since(&m.died, soak_counter(s, "watch_died") + soak_counter(s, "offload_died")));
    fflush(stdout);
    if (m.count == MINUTES_MAX)
        return;
    m.at[m.count] = minute;
    m.rss[m.count] = (double) rss;
    m.p99[m.count++] = p99;
}

void minutes_begin(void)
{
    m.began = mono_ns();
    m.first = m.first == 0 ? m.began : m.first;
    m.rss_most = m.fds_most = 0;
}

void minutes_look(struct soak *s)
{
    uint64_t now = mono_ns();
    if (now - m.looked < LOOK_MS * NS_PER_MS)
        return;
    m.looked = now;
    uint64_t rss = server_rss_kb(&s->server);
    unsigned fds = server_fds(&s->server);
    m.rss_most = rss > m.rss_most ? rss : m.rss_most;
    m.fds_most = fds > m.fds_most ? fds : m.fds_most;
}

void minutes_end(struct soak *s)
{
    print_minute(s, server_rss_kb(&s->server));
}

/* ---- All minutes ---- */

/* The line through y[0 .. n-1] at x[0 .. n-1] that fits best: its slope, and how far off that may be by chance. */
static double slope_of(const double *x, const double *y, uint32_t n, double *error)
{
    double mean_x = 0, mean_y = 0, xx = 0, xy = 0, rest = 0;
    for (uint32_t i = 0; i < n; i++) {
        mean_x += x[i] / n;
        mean_y += y[i] / n;
    }
    for (uint32_t i = 0; i < n; i++) {
        xx += (x[i] - mean_x) * (x[i] - mean_x);
        xy += (x[i] - mean_x) * (y[i] - mean_y);
    }
    double slope = xy / xx;
    for (uint32_t i = 0; i < n; i++) {
        double off = y[i] - mean_y - slope * (x[i] - mean_x);
        rest += off * off;
    }
    *error = sqrt(rest / (n - 2) / xx);
    return slope;
}

/* A slope is one if chance does not explain it, and it comes to more than 1 % in all. */
static void judge_memory(struct soak *s)
{
    uint32_t n = m.count - FIRST;
    double error, slope = slope_of(m.at + FIRST, m.rss + FIRST, n, &error);
    double grown = slope * (m.at[m.count - 1] - m.at[FIRST]);
    printf("RSS: %+.1f KiB a minute, +- %.1f, since minute %.1f: %+.0f KiB of %.0f\n", slope, error,
           m.at[FIRST], grown, m.rss[m.count - 1]);
    if (ITEST_SLOW > 1)
        printf("RSS is not judged: sanitizers keep what is freed\n");
    else if (slope > 3 * error && grown > m.rss[FIRST] / 100)
        complain(s, "the server grows by %.1f KiB a minute", slope);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *) a, y = *(const double *) b;
    return x < y ? -1 : x > y;
}

static double median_of(const double *v, uint32_t n)
{
    static double sorted[MINUTES_MAX];
    for (uint32_t i = 0; i < n; i++)
        sorted[i] = v[i];
    qsort(sorted, n, sizeof sorted[0], compare);
    return sorted[n / 2];
}

/* The machine has its moods: medians of thirds, twice as much, and two milliseconds. */
static void judge_times(struct soak *s)
{
    uint32_t n = m.count - FIRST, third = n / 3 > 0 ? n / 3 : 1;
    double first = median_of(m.p99 + FIRST, third), last = median_of(m.p99 + m.count - third, third);
    printf("p99 of neighbours without trouble: %.2f ms in the first third, %.2f ms in the last\n", first,
           last);
    if (last > 2 * first + 2 * ITEST_SLOW)
        complain(s, "p99 went from %.2f to %.2f ms", first, last);
}

void minutes_judge(struct soak *s)
{
    if (m.count < FIRST + ENOUGH) {
        printf("%u minutes are too few to judge RSS and p99\n", m.count);
        return;
    }
    judge_memory(s);
    judge_times(s);
}
