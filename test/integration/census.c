/*
 * census.c: connections and workers as operators get to see them. Main thread of a test.
 */
#include "census.h"

#include <stdio.h>
#include <string.h>

#include "test/apps/testapp/commands.h"

struct id id_of_conn(int fd)
{
    struct id id;
    struct test_done done;
    struct test_order o = {.kind = ORDER_ID};
    ck_assert_uint_eq(client_ask(fd, TEST_PUSH, &o, sizeof o, &done, sizeof done), sizeof done);
    snprintf(id.text, sizeof id.text, "%u.%u.%u", (unsigned) (done.value >> 56),
             (unsigned) (done.value >> 32 & 0xffffff), (unsigned) (uint32_t) done.value);
    return id;
}

struct listed listed;

static void note_page(const char *json)
{
    unsigned worker, slot, generation;
    for (const char *at = json; (at = strstr(at, "\"id\": \"")) != NULL; at++) {
        ITEST_ASSERT(sscanf(at, "\"id\": \"%u.%u.%u\"", &worker, &slot, &generation) == 3 &&
                         worker < WORKERS && slot < PLACES,
                     "no id: %.60s", at);
        listed.times[worker][slot]++;
        listed.generation[worker][slot] = generation;
    }
}

unsigned list_all(unsigned limit, void (*between)(unsigned page, void *arg), void *arg)
{
    char cursor[64] = "";
    unsigned pages = 0;
    memset(&listed, 0, sizeof listed);
    do {
        const char *json = operator_json("conn list limit=%u%s", limit, cursor);
        ITEST_ASSERT(operator_count(json, "\"id\"") <= limit, "more than %u: %s", limit, json);
        note_page(json);
        const char *next = operator_text(json, "cursor");
        snprintf(cursor, sizeof cursor, next[0] == '\0' ? "%s" : " cursor=%s", next);
        pages++;
        if (between != NULL)
            between(pages, arg);
    } while (cursor[0] != '\0');
    return pages;
}

const char *row_of(const char *json, const char *id)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"id\": \"%s\"", id);
    const char *row = strstr(json, quoted);
    ITEST_ASSERT(row != NULL, "%s is not in %s", id, json);
    return row;
}

const char *worker_row(uint32_t worker)
{
    char begins[32];
    const char *json = operator_json("workers");
    snprintf(begins, sizeof begins, "{\"worker\": %u,", worker);
    const char *row = strstr(json, begins);
    ITEST_ASSERT(row != NULL, "no worker %u: %s", worker, json);
    return row;
}
