/*
 * nodes.c: what was done with each of several servers. Main thread.
 */
#include "nodes.h"

#include <inttypes.h>
#include <stdbool.h>

#include "common.h"
#include "mode.h"

static const char *const names[NODE_COUNTS] = {"connections", "answered", "lost",    "published",
                                               "received",    "missing",  "unheard", "broken"};

/* Whether a mode counts this. */
static bool is_counted(const struct load_options *o, int count)
{
    if (count == NODE_CONNECTIONS)
        return true;
    return o->mode->pushes == (count >= NODE_PUBLISHED);
}

void nodes_add(struct node_book *into, const struct node_book *from, const struct load_options *o)
{
    for (uint32_t i = 0; i < o->targets.count; i++) {
        for (int n = 0; n < NODE_COUNTS; n++)
            into[i].counts[n] += from[i].counts[n];
        for (int f = 0; f < FAULT_COUNT; f++)
            into[i].faults[f] += from[i].faults[f];
    }
}

void nodes_print(const struct node_book *books, const struct load_options *o, FILE *out)
{
    for (uint32_t i = 0; o->targets.nodes && i < o->targets.count; i++) {
        fprintf(out, "node        %s:", o->targets.each[i].name);
        for (int n = 0; n < NODE_COUNTS; n++)
            if (is_counted(o, n))
                fprintf(out, "  %s %" PRIu64, names[n], books[i].counts[n]);
        for (int f = FAULT_NONE + 1; f < FAULT_COUNT; f++)
            if (books[i].faults[f] > 0)
                fprintf(out, "  %s %" PRIu64, fault_name((enum fault) f), books[i].faults[f]);
        fputc('\n', out);
    }
}

void nodes_json(const struct node_book *books, const struct load_options *o, FILE *out)
{
    if (!o->targets.nodes)
        return;
    fputs(",\"nodes\":[", out);
    for (uint32_t i = 0; i < o->targets.count; i++) {
        fputs(i == 0 ? "{" : ",{", out);
        common_json_text(out, "target", o->targets.each[i].name);
        for (int n = 0; n < NODE_COUNTS; n++)
            if (is_counted(o, n))
                fprintf(out, ",\"%s\":%" PRIu64, names[n], books[i].counts[n]);
        fputc(',', out);
        common_json_faults(out, "errors", books[i].faults);
        fputc('}', out);
    }
    fputc(']', out);
}
