/*
 * redis_script.h: what Redis does in one step for us: scripts, loaded at each connect and known by their digests.
 *
 * Names on the engine, all under the cluster's prefix:
 *   PREFIX:e:NODE         the epoch of the node, as long as it renews it
 *   PREFIX:o:UID          who owns the uid: "NODE EPOCH ID", oldest first, separated by ','
 *   PREFIX:h:GROUP        the history, a stream; the number of a message is its id
 *   PREFIX:h:GROUP:meta   e: its epoch, s: the last number, b: the last one before this epoch,
 *                         r: the run of the engine that the epoch belongs to
 *   PREFIX:l:NODE:EPOCH   a channel on which nothing is ever said: who subscribes it is that node, alive
 * The last three kinds expire a week after they were last used.
 */
#ifndef MARIO_CLUSTER_REDIS_SCRIPT_H
#define MARIO_CLUSTER_REDIS_SCRIPT_H

enum redis_script {
    /* KEYS: o:UID. ARGV: prefix, node, epoch, id, how, most, again, head, milliseconds kept. 1 or 0: refused */
    SCRIPT_CLAIM,
    /* KEYS: o:UID. ARGV: node, epoch, id, milliseconds kept */
    SCRIPT_RELEASE,
    /* KEYS: e:NODE. ARGV: l:NODE, epoch, milliseconds. enum bus_renewed */
    SCRIPT_RENEW,
    /* KEYS: e:NODE. ARGV: epoch */
    SCRIPT_RETIRE,
    /* KEYS: h:GROUP, meta. ARGV: run, an epoch for a new one, milliseconds kept, n, channel, message */
    SCRIPT_APPEND,
    /* KEYS: h:GROUP, meta. ARGV: run, an epoch, milliseconds kept, from, most, bytes. An array: e, s, b, then number
     * and message of each; fewer than `most` when there are `bytes` of them */
    SCRIPT_FETCH,
    SCRIPTS
};
extern const char *const redis_scripts[SCRIPTS];

#endif
