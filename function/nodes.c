/*
 * nodes.c: what the log says of other nodes. nodes_event() runs on the cluster's thread, or before there is one on the
 * main thread; nodes_report() on the master.
 */
#include "mario/mario.h"
#include "mario/mario_cluster.h"

#include "function.h"

/* The text has it all; what an operator should look at is a warning. */
void nodes_event(const struct mario_cluster_event *e)
{
    static LOG_QUEUE *q; /* of this thread: the main thread gives it away with the cluster */
    if (q == NULL && (q = create_log_queue()) != NULL)
        mario_log_name(q, "cluster");
    switch (e->what) {
    case MARIO_CLUSTER_DOWN:
    case MARIO_CLUSTER_GAP:
    case MARIO_CLUSTER_REFUSED:
        slog_warn_t(q, "cluster: %s", e->text);
        break;
    case MARIO_CLUSTER_UP:
    case MARIO_CLUSTER_NODE_JOINED:
    case MARIO_CLUSTER_NODE_LEFT:
        slog_info_t(q, "cluster: %s", e->text);
        break;
    case MARIO_CLUSTER_NOBODY: /* nobody here asks for receipts */
        break;
    }
}

void nodes_report(LOG_QUEUE *qlog, void *server)
{
    static const char *const names[] = {"subscriptions", "published", "received", "nobody",    "dropped",
                                        "lost",          "gaps",      "garbage",  "reconnects"};
    char line[512], name[32];
    size_t used = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(name, sizeof name, "cluster_%s", names[i]);
        used += (size_t) snprintf(line + used, sizeof line - used, "%s%s %llu", i > 0 ? ", " : "", names[i],
                                  (unsigned long long) mario_stat(server, name));
    }
    slog_info_t(qlog, "cluster: %s", line);
}
