/*
 * mario_cluster.h: several servers as one. libmario-cluster, to be linked beside libmario (-lmario-cluster).
 *
 * Once it is on, mario_send_user(), mario_send_group(), mario_send_all() and mario_kick_user() reach all nodes, and
 * what mario_bind() says of a user's other connections holds across them. A message goes to those who are here
 * directly, and once to the bus; nodes hear of it that have such a user or such members. At most once across nodes, in
 * order for each sender and each user, group or all. While the bus is away everything goes on here, what is for others
 * waits up to cluster.queue bytes, and what does not fit is counted (cluster_dropped).
 *
 * A user is nobody's (cluster_nobody, MARIO_CLUSTER_NOBODY) if no node is subscribed to him: who has gone less than
 * cluster.linger ago still counts. What waited while the engine was away goes out 2.3 s after it is back, when the
 * other nodes have subscribed again.
 *
 * All binds of a user should say the same policy. A connection that is bound with (MANY, 0) takes no place: the bus
 * does not count it among devices_max, and it refuses nobody. A later (KICK_OLD, 1) closes it, wherever both are; a
 * KICK_OLD that leaves several leaves it, too. Binds of one connection are decided one after the other, in their
 * order.
 *
 * What must not be lost has a history: see mario_history().
 */
#ifndef MARIO_CLUSTER_H
#define MARIO_CLUSTER_H

#include "mario_conn.h"
#include "mario_push.h"
#include "mario_types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Switching it on ---- */

#define MARIO_CLUSTER_NODE_MAX      63u
#define MARIO_CLUSTER_PREFIX_MAX    31u
#define MARIO_CLUSTER_QUEUE_MIN     65536u
#define MARIO_CLUSTER_QUEUE_MAX     1073741824u
#define MARIO_CLUSTER_LINGER_MAX    3600u
#define MARIO_CLUSTER_HEARTBEAT_MAX 3600u
#define MARIO_CLUSTER_TTL_MAX       86400u

/* Fill it with mario_cluster_options_init(), then change what you need. Texts are copied. NULL, "" and "-" mean not
 * given. Names of prefix and node: letters, digits, '-', '_', '.'. */
struct mario_cluster_options {
    const char *bus; /* "redis" or "nats"; "-": none: one node, with histories in memory */
    const char *
        redis; /* host:port[,host:port ...], at most 16; default 127.0.0.1:6379. Channels are spread over them
                         * by hash: all nodes have the same list in the same order */
    const char *nats;   /* host:port[,host:port ...]: servers of one NATS cluster; default 127.0.0.1:4222 */
    const char *prefix; /* of all names on the bus, .. MARIO_CLUSTER_PREFIX_MAX; default "mario" */
    const char
        *node; /* this node, unique, .. MARIO_CLUSTER_NODE_MAX; default: made of host name and process id */
    const char *password_file; /* its first line is "password" or "user:password"; not readable for others */
    uint32 queue;              /* bytes that wait for the bus, QUEUE_MIN .. QUEUE_MAX; default 8 MB */
    uint32
        linger; /* seconds a user or group without anybody here stays subscribed, .. LINGER_MAX; default 2 */
    uint32 heartbeat; /* seconds between signs of life, 1 .. HEARTBEAT_MAX; default 10 */
    uint32 ttl; /* seconds without one until a node counts as dead, .. TTL_MAX; > heartbeat; default 30 */
};
void mario_cluster_options_init(struct mario_cluster_options *o);

/* Check them without connecting; the password file is read. 0, or -1 with one line in why[0 .. size-1], "KEY = VALUE:
 * what is wrong", and errno as below. Any thread. */
sint32 mario_cluster_check(const struct mario_cluster_options *o, char *why, uint32 size);

/* Switch the cluster on for the server that was made by mario_init_server() and starts next. It waits up to 3 s for
 * the bus; one that is not there yet is looked for as long as the server runs. 0, or -1 after one clear line on
 * standard error with errno: EINVAL (options), ENOSYS (built without this bus: the line says which package), EEXIST (a
 * node of this name lives), EACCES (password), EALREADY (it is on). Main thread, between init and start. It ends with
 * the server. */
sint32 mario_cluster_start(const struct mario_cluster_options *o);

/* ---- What happens ---- */

enum mario_cluster_what {
    MARIO_CLUSTER_UP = 1, /* the bus is there, and everything subscribed */
    MARIO_CLUSTER_DOWN,   /* it is not */
    MARIO_CLUSTER_GAP, /* messages for this node may have been missed, from_ms .. to_ms; it is closed now */
    MARIO_CLUSTER_NODE_JOINED, /* node */
    MARIO_CLUSTER_NODE_LEFT,   /* node; it said so, or was not heard of for cluster.ttl */
    MARIO_CLUSTER_REFUSED, /* the engine refuses what it is asked; another node has our name, or another version */
    MARIO_CLUSTER_NOBODY /* a message with a receipt (tag) for uid: nobody is online, on any node */
};
struct mario_cluster_event {
    enum mario_cluster_what what;
    const char *node;      /* whose; of this call only */
    uint64 from_ms, to_ms; /* milliseconds of 1970 */
    uint64 uid, tag;
    const char *text; /* one line for a log */
};
/* f gets them, on the cluster's thread; it must not block, and may call everything that any thread may. One function at
 * most, NULL removes. Before start; 0, or -1 once a server runs whose cluster is on. */
sint32 regist_cluster_func(void (*f)(const struct mario_cluster_event *));

/* ---- Who is where ---- */

/* Connections bound to uid, members of a group, on all nodes. Asked of the nodes concerned: f(arg, n) is called once,
 * on the cluster's thread, within a second; n counts those that answered. 0, or -1 with errno as in mario_push.h. */
sint32 mario_cluster_ask_user(uint64 uid, void (*f)(void *arg, uint64 n), void *arg);
sint32 mario_cluster_ask_group(uint64 group, void (*f)(void *arg, uint64 n), void *arg);

/* The same without waiting and without a function: what is known now of an earlier call, at most cluster.heartbeat old;
 * -1 if nothing is yet: it is asked, ask again. Those here are always counted as of now; while the bus is away nobody
 * can be asked, and soon they are all that is counted. Any thread. */
sint64 mario_cluster_online(uint64 uid);
sint64 mario_group_count_all(uint64 group);

/* ---- Histories ---- */

#define MARIO_HISTORY_MAX   65536u
#define MARIO_HISTORY_BYTES 268435456u

/* Keep the last n messages (.. MARIO_HISTORY_MAX; 0: none any more) that are sent to the group by mario_send_group(),
 * each with a sequence number from 1 on: in memory without a bus, in a Redis stream with one. All nodes say the same.
 * What is sent to such a group is delivered when it has its number, here too; where a message has a place for it
 * (mario_msg_stamp()) it is in there. While the bus is away it is delivered here at once, without a number (0), and is
 * not kept; one that was on its way to the bus when that went is not delivered here, unless it arrived there. One that
 * the engine refuses is delivered here without a number, too, maybe in front of some that have one.
 * except_id is ignored, and a receipt tells of no targets. What is missed while the bus is away, members get when it
 * is back. In memory all histories together take MARIO_HISTORY_BYTES at most: beyond, the oldest of the group that
 * grows go first. Any thread, between mario_cluster_start() and the stop: before start_server() it takes effect as the
 * server starts, later in a moment, until when messages are sent as ever. 0, or -1 with errno: EINVAL, ENOTSUP (over
 * NATS), EAGAIN, ENOMEM, ENOTCONN (the cluster is not on). */
sint32 mario_history(uint64 group, uint32 n);

/* What becomes of a mario_resume(). */
struct mario_resumed {
    uint64 group;
    uint64
        epoch; /* of the history: another one is another history, whose numbers mean nothing to the former */
    uint64 first;    /* the first message that follows has this number */
    uint64 seq;      /* the last one that there is: up to it they follow, then what is new */
    uint32 messages; /* that follow: seq - first + 1, or 0 */
    sint32 gap;      /* 1: some since the caller's number are not there any more, or epoch is another one */
};

/* Have c join the group and get what it missed: what was sent there since number seq of this epoch (0, 0: all that is
 * kept), then what is sent from now on, each once and in order, as fast as c takes it (several messages go out as one,
 * and count as one against push.queue). First the function of regist_resumed_func() is called as a function of c:
 * c->in_buf is a struct mario_resumed. It is called again, with gap 1, if what c needs goes while c is slow to get it.
 * While the bus is away epoch and messages are 0 and gap is 1: c is a member, and may leave and come back later.
 * A mario_leave() before all that has come ends it: nothing more is sent, but for what is on its way.
 * Instead of mario_join(), for a group that c is not in. In c's own functions and hooks, offloaded ones too. 0, or -1
 * with errno: EINVAL (also: no mario_history() of the group here), EAGAIN, ENOMEM, ENOTCONN, ENOTSUP. */
sint32 mario_resume(CONN *c, uint64 group, uint64 epoch, uint64 seq);
/* One function at most; NULL removes. Before start; 0, or -1 once a server runs whose cluster is on. */
sint32 regist_resumed_func(FUNC_PTR f);

#ifdef __cplusplus
}
#endif

#endif
