/*
 * test_prom.c: Prometheus' text format, byte by byte; and what the counter table says of it.
 */
#include <event2/buffer.h>
#include <string.h>

#include "mario/admin/prom.h"
#include "mario/base/stats.h"
#include "unit.h"

static void expect(struct evbuffer *out, const char *text)
{
    size_t n = evbuffer_get_length(out);
    const char *is = (const char *) evbuffer_pullup(out, -1);
    ck_assert_msg(n == strlen(text) && memcmp(is, text, n) == 0, "it is:\n%.*s", (int) n, is);
}

/* Goal: names, labels with what has to be escaped, numbers up to the largest, seconds exact to the ns. */
START_TEST(test_lines)
{
    struct evbuffer *out = evbuffer_new();
    struct prom p;
    prom_begin(&p, out);
    prom_family(&p, "a_total", PROM_COUNTER, "What it is.");
    prom_sample(&p, "");
    prom_number(&p, 0);
    prom_sample(&p, "");
    prom_label(&p, "name", "a\"b\\c\nd");
    prom_label_number(&p, "worker", 12);
    prom_labels(&p, "k=\"v\"", 5);
    prom_number(&p, UINT64_MAX);
    prom_family(&p, "h", PROM_HISTOGRAM, "H.");
    prom_sample(&p, "_bucket");
    prom_label_seconds(&p, "le", 1024);
    prom_seconds(&p, 0);
    prom_sample(&p, "_sum");
    prom_seconds(&p, UINT64_C(12000000340));
    prom_family(&p, "g", PROM_GAUGE, "G.");
    prom_sample(&p, "");
    prom_seconds(&p, UINT64_C(3000000000));
    ck_assert(prom_end(&p));
    expect(out, "# HELP mario_a_total What it is.\n# TYPE mario_a_total counter\nmario_a_total 0\n"
                "mario_a_total{name=\"a\\\"b\\\\c\\nd\",worker=\"12\",k=\"v\"} 18446744073709551615\n"
                "# HELP mario_h H.\n# TYPE mario_h histogram\nmario_h_bucket{le=\"0.000001024\"} 0\n"
                "mario_h_sum 12.00000034\n# HELP mario_g G.\n# TYPE mario_g gauge\nmario_g 3\n");
    evbuffer_free(out);
}
END_TEST

/* Goal: more than fits into the buffer comes out whole. */
START_TEST(test_much)
{
    struct evbuffer *out = evbuffer_new();
    struct prom p;
    prom_begin(&p, out);
    prom_family(&p, "x", PROM_GAUGE, "X.");
    for (uint32_t i = 0; i < 100000; i++) {
        prom_sample(&p, "");
        prom_number(&p, i);
    }
    ck_assert(prom_end(&p));
    evbuffer_drain(out, strlen("# HELP mario_x X.\n# TYPE mario_x gauge\n"));
    for (uint32_t i = 0; i < 100000; i++) {
        char wanted[32], *line = evbuffer_readln(out, NULL, EVBUFFER_EOL_LF);
        snprintf(wanted, sizeof wanted, "mario_x %u", i);
        UNIT_ASSERT(line != NULL && strcmp(line, wanted) == 0);
        free(line);
    }
    ck_assert_uint_eq(evbuffer_get_length(out), 0);
    evbuffer_free(out);
}
END_TEST

/* Goal: the counter table can be exported: rows of one metric stand together, have the same type, are counters if they
 * end with _total and only then; labels are whole; no two rows are the same line. */
START_TEST(test_table)
{
    for (uint32_t i = 0; i < STAT_COUNT; i++) {
        const char *m = stats_metric((enum counter) i), *label = strchr(m, '{');
        size_t n = strcspn(m, "{");
        bool total = n > 6 && strncmp(m + n - 6, "_total", 6) == 0;
        if (*m == '\0')
            continue;
        ck_assert_msg(total != stats_is_gauge((enum counter) i), "%s", m);
        ck_assert_msg(label == NULL || (m[strlen(m) - 1] == '}' && strstr(label, "=\"") != NULL), "%s", m);
        ck_assert_msg(strspn(m, "abcdefghijklmnopqrstuvwxyz_0123456789") == n, "%s", m);
        for (uint32_t k = 0; k + 1 < i; k++) {
            const char *other = stats_metric((enum counter) k), *before = stats_metric((enum counter)(i - 1));
            bool same = strcspn(other, "{") == n && strncmp(m, other, n) == 0;
            ck_assert_msg(!same || strncmp(before, m, n) == 0, "%s stands apart", m);
            ck_assert_msg(strcmp(m, other) != 0, "%s twice", m);
        }
    }
}
END_TEST

Suite *prom_suite(void)
{
    Suite *s = suite_create("prom");
    TCase *c = tcase_create("prom");
    tcase_add_test(c, test_lines);
    tcase_add_test(c, test_much);
    tcase_add_test(c, test_table);
    suite_add_tcase(s, c);
    return s;
}
