/*
 * record.c: what all robots have heard: each line as the first of them heard it. One thread.
 */
#include <stdlib.h>
#include <string.h>

#include "robot.h"

/* What was heard first of each line: a hash of who said what. */
static struct record {
    uint64_t *lines;
    uint64_t last, size;
} * records;

int record_setup(void)
{
    records = calloc(plan.rooms + 1, sizeof *records);
    return records == NULL ? -1 : 0;
}

void record_clear(void)
{
    for (uint32_t i = 0; i <= plan.rooms; i++)
        free(records[i].lines);
    free(records);
    free(tally.latency);
}

uint64_t record_last(uint32_t room)
{
    return records[room].last;
}

uint64_t record_hash(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h | 1; /* 0 = not heard yet */
}

bool record_agrees(uint32_t room, uint64_t number, uint64_t line)
{
    struct record *r = &records[room];
    if (number >= r->size) {
        uint64_t size = number * 2 + 64;
        uint64_t *lines = realloc(r->lines, size * sizeof *lines);
        if (lines == NULL)
            return false;
        memset(lines + r->size, 0, (size - r->size) * sizeof *lines);
        r->lines = lines;
        r->size = size;
    }
    if (r->lines[number] == 0)
        r->lines[number] = line;
    if (number > r->last)
        r->last = number;
    return r->lines[number] == line;
}
