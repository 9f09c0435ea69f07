/*
 * option.c: the option table, and loading a configuration by it. Main thread; once the server runs the thread `conf`.
 *
 * A row is the one truth about its option: the parser, -o, -t, the sample and the manual are made from it.
 */
#include "row.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define AT(member) offsetof(struct maritcp_conf, member)
#define SECONDS    0, MARIO_TIMEOUT_MAX, NULL

static const char *const full_names[] = {"refuse", "wait", NULL};
static const char *const assign_names[] = {"round_robin", "least", NULL};
static const char *const policy_names[] = {"many", "kick_old", "refuse_new", NULL};
static const char *const format_names[] = {"text", "json", NULL};
static const char *const slow_names[] = {"close", "drop_oldest", "drop_newest", "coalesce", NULL};
static const char *const bus_names[] = {"-", "redis", "nats", NULL};
static const char *const timing_names[] = {"off", "sampled", "all", NULL};
static const char *const limit_names[] = {"pause", "close", NULL};
static const char *const uring_names[] = {"off", "auto", NULL};
static const char *const records_names[] = {"openssl", "slim", NULL};
static const char *const shakes_names[] = {"off", "rsa", "all", NULL};
_Static_assert(MARIO_FULL_REFUSE == 0 && MARIO_FULL_WAIT == 1, "full_names is in the order of the enum");
_Static_assert(MARIO_ASSIGN_ROUND_ROBIN == 0 && MARIO_ASSIGN_LEAST == 1,
               "assign_names is in the order of the enum");
_Static_assert(MARIO_SLOW_CLOSE == 0 && MARIO_SLOW_DROP_OLDEST == 1 && MARIO_SLOW_DROP_NEWEST == 2 &&
                   MARIO_SLOW_COALESCE == 3,
               "slow_names is in the order of the enum");
_Static_assert(MARIO_TIMING_OFF == 0 && MARIO_TIMING_SAMPLED == 1 && MARIO_TIMING_ALL == 2,
               "timing_names is in the order of the enum");
_Static_assert(MARIO_LIMIT_PAUSE == 0 && MARIO_LIMIT_CLOSE == 1, "limit_names is in the order of the enum");
_Static_assert(MARIO_URING_OFF == 0 && MARIO_URING_AUTO == 1, "uring_names is in the order of the enum");
_Static_assert(MARIO_TLS_OPENSSL == 0 && MARIO_TLS_SLIM == 1, "records_names is in the order of the enum");
_Static_assert(MARIO_TLS_OFFLOAD_OFF == 0 && MARIO_TLS_OFFLOAD_RSA == 1 && MARIO_TLS_OFFLOAD_ALL == 2,
               "shakes_names is in the order of the enum");
_Static_assert(MARIO_BIND_MANY == 0 && MARIO_BIND_KICK_OLD == 1 && MARIO_BIND_REFUSE_NEW == 2,
               "policy_names is in the order of the enum");
_Static_assert(MARIO_LOG_TEXT == 0 && MARIO_LOG_JSON == 1, "format_names is in the order of the enum");

const struct row conf_rows[] = {
    {"server", "listen", ROW_LISTEN, RESTART, "0.0.0.0:8082", 0, 65535, NULL, AT(listen),
     "Where to listen. Port 0 takes any free one. [::] takes IPv6 alone: 0.0.0.0 beside it takes IPv4. A unix "
     "path has at most 107 bytes. A long list goes on in the next line, if that one is indented and this one ends "
     "with a comma. Behind an address may stand how packets look there, as in 127.0.0.1:8083 proto=line id=word, "
     "where telnet can say hello: docs/protocols.md has all options. Without any it is HEAD+Data."},
    {"server", "port", ROW_PORT, RESTART, "8082", 1, 65535, NULL, AT(listen),
     "A shorthand for listen = 0.0.0.0:port. Of listen and port, the one that is set last counts."},
    {"server", "unix_mode", ROW_OCTAL, RESTART, "0666", 0, MARIO_UNIX_MODE_MAX, NULL, AT(server.unix_mode),
     "Permissions of unix sockets, octal, whatever the umask. Who may write to one, and may get to it through "
     "the directories above it, may connect."},
    {"server", "unix_group", ROW_GROUP, RESTART, "-", 1, CONF_USER_SIZE - 1, NULL, AT(unix_group),
     "The group of unix sockets, a name or number, as with unix_mode = 0660. Root may give any, others one of "
     "their own. - is the group of who starts the server."},
    {"server", "workernum", ROW_NUMBER, RESTART, "0", 0, MARIO_WORKERNUM_MAX, NULL, AT(server.workernum),
     "Worker threads. 0 is one for each core that the process may use."},
    {"server", "connnum", ROW_NUMBER, RESTART, "0", 0, MARIO_CONNNUM_MAX, NULL, AT(server.connnum),
     "Connections for each worker. 0 is as many as the descriptor limit allows, at most 100,000."},
    {"server", "strict_limits", ROW_BOOL, RESTART, "on", 0, 1, NULL, AT(server.strict_limits),
     "What to do with a connnum that the descriptor limit cannot carry. on refuses to start, off takes less "
     "and says so."},
    {"server", "when_full", ROW_ENUM, LIVE, "refuse", 0, 1, full_names, AT(server.when_full),
     "What a connection gets when all places are taken. refuse closes it at once, wait leaves it in the "
     "kernel's backlog."},
    {"server", "assign", ROW_ENUM, LIVE, "round_robin", 0, 1, assign_names, AT(server.assign),
     "Which worker gets a new connection. round_robin is the next one that has room, least the one with the fewest "
     "connections: for connections that stay long, when others, such as health checks, come and go between them."},
    {"server", "timeout", ROW_NUMBER, LIVE, "300", SECONDS, AT(server.timeout),
     "Seconds without a byte from the client until its connection is closed. 0 is never."},
    {"server", "write_timeout", ROW_NUMBER, LIVE, "60", SECONDS, AT(server.write_timeout),
     "Seconds in which pending output did not shrink until the connection is closed. 0 is never."},
    {"server", "packet_timeout", ROW_NUMBER, LIVE, "10", SECONDS, AT(server.packet_timeout),
     "Seconds from a packet's first byte to its last until the connection is closed. 0 is never."},
    {"server", "keepalive", ROW_NUMBER, LIVE, "0", 0, MARIO_KEEPALIVE_MAX, NULL, AT(server.keepalive),
     "Seconds of silence after which the kernel asks a TCP client whether it is still there. One that answers "
     "nothing for as long again is closed, and one that acknowledges or takes no output for twice this time. 0 "
     "is never."},
    {"server", "max_pkglen", ROW_NUMBER, RESTART, "8192", MARIO_PKGLEN_MIN, MARIO_PKGLEN_MAX, NULL,
     AT(server.max_pkglen), "The largest packet that is accepted, in bytes, head included."},
    {"server", "stx", ROW_HEX, RESTART, "0x8eb69af7", 0, UINT32_MAX, NULL, AT(stx),
     "The magic that every packet starts with. Hexadecimal with 0x, otherwise decimal."},
    {"server", "backlog", ROW_NUMBER, LIVE, "4096", 1, MARIO_BACKLOG_MAX, NULL, AT(server.backlog),
     "Connections that the kernel holds until they are accepted. The kernel caps it at net.core.somaxconn."},
    {"server", "drain_timeout", ROW_NUMBER, LIVE, "10", 0, MARIO_DRAIN_MAX, NULL, AT(server.drain_timeout),
     "Seconds that a stop may take to answer what has arrived."},
    {"server", "linger", ROW_NUMBER, LIVE, "5", 0, MARIO_LINGER_MAX, NULL, AT(server.linger),
     "Seconds in which a client whose connection was closed acknowledged nothing of what is on its way, until a reset "
     "drops that. Meanwhile what it sends is read and dropped, and its place is free for others. 0 closes and leaves "
     "the rest to the kernel."},
    {"server", "prefault", ROW_BOOL, RESTART, "off", 0, 1, NULL, AT(server.prefault),
     "on touches the memory of all connections at start, off when it is first used."},
    {"server", "user", ROW_USER, RESTART, "-", 1, CONF_USER_SIZE - 1, NULL, AT(user),
     "The user to become once the listeners are open: a name or number, with a group behind a colon if it is "
     "not to be the user's own. Of root it keeps no other group and no capability. - stays who started it. The log "
     "is opened by this user, so it must be able to write it."},
    {"server", "supervise", ROW_BOOL, RESTART, "off", 0, 1, NULL, AT(supervise),
     "on has a parent process keep the listeners and start the server again when it dies, as -S does."},
    {"drain", "time", ROW_NUMBER, LIVE, "300", 1, MARIO_DRAIN_TIME_MAX, NULL, AT(server.drain_time),
     "Seconds in which a drain tells all clients to go elsewhere, one after the other."},
    {"drain", "rate", ROW_NUMBER, LIVE, "0", 0, MARIO_DRAIN_RATE_MAX, NULL, AT(server.drain_rate),
     "How many a second it tells instead. 0 is as drain.time says."},
    {"drain", "delay", ROW_NUMBER, LIVE, "5", 0, MARIO_DRAIN_MAX, NULL, AT(server.drain_delay),
     "Seconds from its beginning, when /readyz says 503, until nobody new comes and the first one is told: balancers "
     "have to notice."},
    {"drain", "spread", ROW_NUMBER, LIVE, "10", 0, MARIO_DRAIN_MAX, NULL, AT(server.drain_spread),
     "Who is told gets a number of seconds up to this one, each another, after which it is to come back. 0 is at "
     "once."},
    {"drain", "on_term", ROW_BOOL, LIVE, "off", 0, 1, NULL, AT(server.drain_on_term),
     "on has a TERM signal begin a drain, and stop when that is done; a second one stops. off stops at the first."},
    {"output", "high", ROW_SIZE, LIVE, "256k", MARIO_OUTPUT_MIN, MARIO_OUTPUT_MAX, NULL,
     AT(server.output_high),
     "Bytes of pending output above which a connection is not read. At most output.max; "
     "left out, it follows a smaller output.max."},
    {"output", "max", ROW_SIZE, LIVE, "4m", MARIO_OUTPUT_MIN, MARIO_OUTPUT_MAX, NULL, AT(server.output_max),
     "Bytes of pending output above which a connection is closed."},
    {"admit", "rate", ROW_NUMBER, LIVE, "0", 0, MARIO_ADMIT_RATE_MAX, NULL, AT(server.admit_rate),
     "Connections that are accepted a second in all; the rest waits in the kernel's backlog. Here and below 0 is any "
     "number, and unix sockets are exempt. For a minute after a restart this and the other rates are four times as "
     "high, since all clients come back."},
    {"admit", "ip_conns", ROW_NUMBER, LIVE, "0", 0, UINT32_MAX, NULL, AT(server.admit_ip_conns),
     "Connections that an address may have. More are reset at once, before they cost anything."},
    {"admit", "ip_rate", ROW_NUMBER, LIVE, "0", 0, MARIO_ADMIT_RATE_MAX, NULL, AT(server.admit_ip_rate),
     "New connections a second from an address; so many may come at once. More are reset."},
    {"admit", "net_conns", ROW_NUMBER, LIVE, "0", 0, UINT32_MAX, NULL, AT(server.admit_net_conns),
     "The same as admit.ip_conns for all of the network around the address."},
    {"admit", "net_rate", ROW_NUMBER, LIVE, "0", 0, MARIO_ADMIT_RATE_MAX, NULL, AT(server.admit_net_rate),
     "The same as admit.ip_rate for all of it."},
    {"admit", "v4_net", ROW_NUMBER, LIVE, "24", 1, 32, NULL, AT(server.admit_v4_net),
     "Bits of an IPv4 address that are its network."},
    {"admit", "v6_host", ROW_NUMBER, LIVE, "64", 1, 64, NULL, AT(server.admit_v6_host),
     "Bits of an IPv6 address that are one address here: whoever has one has at least 64 bits of them."},
    {"admit", "v6_net", ROW_NUMBER, LIVE, "48", 1, 64, NULL, AT(server.admit_v6_net),
     "Bits of an IPv6 address that are its network. At most admit.v6_host."},
    {"admit", "allow_file", ROW_NETWORKS, LIVE, "-", 1, PATH_MAX - 1, NULL, AT(admit_allow_file),
     "A file of networks, one a line as 10.0.0.0/8 or 2001:db8::/32, # begins a comment: none of all this is for them. "
     "It is read at each reload, as server.user. - is none."},
    {"admit", "deny_file", ROW_NETWORKS, LIVE, "-", 1, PATH_MAX - 1, NULL, AT(admit_deny_file),
     "The same: nobody of them is let in, but who is in admit.allow_file too. - is none."},
    {"admit", "ban_after", ROW_NUMBER, LIVE, "0", 0, MARIO_ADMIT_BAN_AFTER_MAX, NULL,
     AT(server.admit_ban_after),
     "How often an address may be refused for itself within a minute until it is banned. 0 is never."},
    {"admit", "ban_seconds", ROW_NUMBER, LIVE, "600", 1, MARIO_TIMEOUT_MAX, NULL,
     AT(server.admit_ban_seconds), "How long it is."},
    {"admit", "table", ROW_NUMBER, RESTART, "262144", MARIO_ADMIT_TABLE_MIN, MARIO_ADMIT_TABLE_MAX, NULL,
     AT(server.admit_table),
     "Addresses and networks that are known at a time, 32 bytes each. When all have connections, others are let in and "
     "not counted, which is counted as gate_overflow and said. A power of two. It is made when one of the four limits "
     "above is set first."},
    {"admit", "first_packet", ROW_NUMBER, LIVE, "0", SECONDS, AT(server.admit_first_packet),
     "Seconds from accept until a packet has to be complete; else the connection is closed. 0 is never."},
    {"limit", "packets", ROW_NUMBER, LIVE, "0", 0, UINT32_MAX, NULL, AT(server.limit_packets),
     "Packets that a connection may send a second; so many may come at once. 0 is any number."},
    {"limit", "bytes", ROW_SIZE, LIVE, "0", 0, UINT32_MAX, NULL, AT(server.limit_bytes),
     "Bytes that it may send. 0 is any number."},
    {"limit", "action", ROW_ENUM, LIVE, "pause", 0, 1, limit_names, AT(server.limit_action),
     "What one gets that sends more. pause reads it later, so that it waits in its own kernel; close closes it."},
    {"tls", "records", ROW_ENUM, LIVE, "openssl", 0, 1, records_names, AT(server.tls_records),
     "Who seals and opens what goes over connections with tls=, once they are greeted. openssl is OpenSSL, some 14 KB "
     "for each that is idle. slim is MarioTCP's own code around OpenSSL's ciphers, some hundred bytes, for those that "
     "speak TLS 1.3: docs/tls.md."},
    {"tls", "handshake_timeout", ROW_NUMBER, LIVE, "10", 1, MARIO_TLS_HANDSHAKE_MAX, NULL,
     AT(server.tls_handshake_timeout),
     "Seconds from accept until the handshake has to be done; else the connection is closed."},
    {"tls", "handshakes", ROW_NUMBER, LIVE, "256", 1, MARIO_TLS_HANDSHAKES_MAX, NULL,
     AT(server.tls_handshakes),
     "Handshakes that a worker does at the same time, 14 to 50 KB each. More connections wait, the newest is next."},
    {"tls", "offload", ROW_ENUM, RESTART, "off", 0, 2, shakes_names, AT(server.tls_offload),
     "Which handshakes are done by the threads of offload.threads, so that many at a time do not hold up who is "
     "connected. rsa are those of sections with an RSA key, which take a millisecond; all are all of them."},
    {"offload", "threads", ROW_NUMBER, RESTART, "16", 0, MARIO_OFFLOAD_THREADS_MAX, NULL,
     AT(server.offload_threads),
     "Threads for functions that may block. They are made only if there are such functions; 0 is refused "
     "then."},
    {"offload", "queue", ROW_NUMBER, RESTART, "1024", 1, MARIO_OFFLOAD_QUEUE_MAX, NULL,
     AT(server.offload_queue),
     "Packets of each worker that may be with these threads or wait for one. Beyond, their connections are "
     "not read until there is room."},
    {"push", "queue", ROW_NUMBER, LIVE, "64", 0, MARIO_PUSH_QUEUE_MAX, NULL, AT(server.push_queue),
     "Messages pushed to a connection that may wait for it because it reads too slowly. 0 is any number."},
    {"push", "bytes", ROW_SIZE, LIVE, "1m", 0, MARIO_PUSH_BYTES_MAX, NULL, AT(server.push_bytes),
     "Bytes of them. 0 is any number, if push.queue is not 0 as well."},
    {"push", "slow", ROW_ENUM, LIVE, "close", 0, 3, slow_names, AT(server.push_slow),
     "What becomes of a message for a connection that has that much waiting. close closes the connection, drop_oldest "
     "makes room, drop_newest drops the message itself, coalesce drops the one that it makes out of date, and "
     "otherwise makes room."},
    {"push", "groups", ROW_NUMBER, LIVE, "4096", 0, MARIO_PUSH_GROUPS_MAX, NULL, AT(server.push_groups),
     "Groups that a connection may be in; beyond, joining is refused and counted. 0 is any number."},
    {"push", "memory", ROW_SIZE, LIVE, "256m", 0, MARIO_PUSH_MEMORY_MAX, NULL, AT(server.push_memory),
     "Bytes that messages and what waits of them for all connections may take. Beyond, those that have not taken "
     "anything for longest lose what waits, then their connection. 0 is any number."},
    {"push", "lowat", ROW_SIZE, LIVE, "16k", 0, MARIO_PUSH_LOWAT_MAX, NULL, AT(server.push_lowat),
     "Bytes that the kernel takes for a client that does not read, beyond what is on its way: what comes then waits in "
     "the server, where push.queue counts it. 0 is as many as the kernel likes, some megabytes."},
    {"push", "ring", ROW_NUMBER, RESTART, "4096", MARIO_PUSH_RING_MIN, MARIO_PUSH_RING_MAX, NULL,
     AT(server.push_ring),
     "Orders to send, join and the like that may wait between a thread and a worker, 32 bytes each; when it is full, "
     "more are refused. A power of two."},
    {"push", "uring", ROW_ENUM, RESTART, "off", 0, 1, uring_names, AT(server.push_uring),
     "auto has messages for many connections sent by io_uring, if maritcp was built with it and the kernel allows; "
     "off by a call for each connection."},
    {"watch", "warn_ms", ROW_NUMBER, LIVE, "100", 0, MARIO_WATCH_MAX, NULL, AT(server.watch_warn_ms),
     "Milliseconds that a function may run until it is reported, with a backtrace; its worker gets no new "
     "connections meanwhile. 0 is no watch at all."},
    {"watch", "replace_ms", ROW_NUMBER, LIVE, "5000", 0, MARIO_WATCH_MAX, NULL, AT(server.watch_replace_ms),
     "Milliseconds that a function may run until another thread takes its worker's place; its own connection "
     "ends, the others go on. 0 is never. Not below watch.warn_ms."},
    {"watch", "replace_max", ROW_NUMBER, LIVE, "10", 0, MARIO_REPLACE_MAX, NULL, AT(server.watch_replace_max),
     "How many threads may be replaced within a minute, in all."},
    {"watch", "master_ms", ROW_NUMBER, LIVE, "10000", 0, MARIO_WATCH_MAX, NULL, AT(server.watch_master_ms),
     "Milliseconds in which the thread that accepts and stops may hang until its parent ends the process and "
     "starts the next one, with server.supervise = on. 0 is never."},
    {"stats", "timing", ROW_ENUM, LIVE, "sampled", 0, 2, timing_names, AT(server.stats_timing),
     "Of which calls of functions it is measured how long they take. sampled is about one wake-up of a connection in "
     "16, and all that is offloaded or a hook. all costs some ten nanoseconds for each packet. off measures nothing, "
     "nor how busy workers are; then nothing is slow."},
    {"slow", "ms", ROW_NUMBER, LIVE, "10", 0, MARIO_WATCH_MAX, NULL, AT(server.slow_ms),
     "Milliseconds from which on a call of a function is counted and noted as slow. 0 is never."},
    {"slow", "keep", ROW_NUMBER, LIVE, "256", 1, MARIO_SLOW_KEEP_MAX, NULL, AT(server.slow_keep),
     "How many slow calls are kept, the last ones."},
    {"log", "file", ROW_TARGET, LIVE, "-", 1, 180, NULL, AT(log_file),
     "Where log lines go. A path is a file that they are appended to, - is standard output, syslog the "
     "system's log. A HUP signal opens a file anew."},
    {"log", "level", ROW_LEVELS, LIVE, "info", 1, CONF_LEVELS_SIZE - 1, NULL, AT(log_level),
     "The least important kind of line that is still logged, and other levels for single subsystems, as in "
     "info,conn=debug."},
    {"log", "format", ROW_ENUM, LIVE, "text", 0, 1, format_names, AT(log.format),
     "What a line looks like. json is an object for each line."},
    {"log", "rotate_size", ROW_SIZE, LIVE, "0", 0, MARIO_LOG_ROTATE_MAX, NULL, AT(log.rotate_size),
     "Bytes above which the log file becomes FILE.1 and a new one is begun. 0 is never."},
    {"log", "rotate_daily", ROW_BOOL, LIVE, "off", 0, 1, NULL, AT(log.rotate_daily),
     "on does the same at the first line of a new day."},
    {"log", "keep", ROW_NUMBER, LIVE, "7", 1, MARIO_LOG_KEEP_MAX, NULL, AT(log.keep),
     "How many such files are kept, as FILE.1 and so on. The oldest is removed."},
    {"admin", "listen", ROW_DOORS, RESTART, "-", 0, 65535, NULL, AT(admin_listen),
     "Where operators ask and change things: HTTP, and on a unix socket the lines of maritcp ctl. A unix socket is for "
     "its owner and root alone. An address that others can reach needs admin.token_file. - is nowhere. A long list "
     "goes on in the next line as one of server.listen does."},
    {"admin", "hosts", ROW_HOSTS, RESTART, "localhost,127.0.0.1,[::1]", 1, CONF_HOSTS_SIZE - 1, NULL,
     AT(admin_hosts),
     "The names, without ports, by which a browser may call admin.listen. Any other is refused, so that a page of "
     "somebody else cannot get there by a name of its own."},
    {"admin", "token_file", ROW_TOKEN, RESTART, "-", 1, PATH_MAX - 1, NULL, AT(admin_token_file),
     "A file whose first line, 16 .. 256 characters, has to be known by who changes something over TCP. It is read as "
     "server.user. - is none: changes are made over the unix socket then."},
    {"login", "policy", ROW_ENUM, RESTART, "many", 0, 2, policy_names, AT(login_policy),
     "What a LOGIN means when its uid is logged in on other connections. many lets them be, kick_old closes the older "
     "ones, refuse_new this one."},
    {"collect", "interval", ROW_NUMBER, LIVE, "60", 1, MARIO_TIMEOUT_MAX, NULL, AT(collect_interval),
     "Seconds between two log lines that say how many are online."},
    {"cluster", "bus", ROW_ENUM, RESTART, "-", 0, 2, bus_names, AT(cluster_bus),
     "The engine by which several servers are one: a user, a group, a login are then the same on all of them. - is "
     "none. See docs/cluster.md."},
    {"cluster", "redis", ROW_SERVERS, RESTART, "127.0.0.1:6379", 1, CONF_SERVERS_SIZE - 1, NULL,
     AT(cluster_redis),
     "The Redis servers. What is sent is spread over them, so each node has the same list, in the same order. A long "
     "list goes on in the next line as one of server.listen does."},
    {"cluster", "nats", ROW_SERVERS, RESTART, "127.0.0.1:4222", 1, CONF_SERVERS_SIZE - 1, NULL,
     AT(cluster_nats), "Servers of one NATS cluster, any of which will do."},
    {"cluster", "prefix", ROW_NAME, RESTART, "mario", 1, MARIO_CLUSTER_PREFIX_MAX, NULL, AT(cluster_prefix),
     "What all names on the engine begin with, so that several clusters can share it."},
    {"cluster", "node", ROW_NAME, RESTART, "-", 1, MARIO_CLUSTER_NODE_MAX, NULL, AT(cluster_node),
     "The name of this node, which no other may have. - makes one of host name and process id."},
    {"cluster", "password_file", ROW_SECRET, RESTART, "-", 1, PATH_MAX - 1, NULL, AT(cluster_password_file),
     "A file whose first line is the engine's password, or user:password. A password that has a colon needs the user, "
     "or a colon before it. It is read as server.user. - is no password."},
    {"cluster", "queue", ROW_SIZE, RESTART, "8m", MARIO_CLUSTER_QUEUE_MIN, MARIO_CLUSTER_QUEUE_MAX, NULL,
     AT(cluster.queue),
     "Bytes that may wait for an engine that is away or slow. Beyond, what is for other nodes is dropped and counted "
     "as cluster_dropped; here all goes on."},
    {"cluster", "linger", ROW_NUMBER, RESTART, "2", 0, MARIO_CLUSTER_LINGER_MAX, NULL, AT(cluster.linger),
     "Seconds that a user or group stays subscribed after the last of its connections here has gone."},
    {"cluster", "heartbeat", ROW_NUMBER, RESTART, "10", 1, MARIO_CLUSTER_HEARTBEAT_MAX, NULL,
     AT(cluster.heartbeat), "Seconds between two signs of life of a node."},
    {"cluster", "ttl", ROW_NUMBER, RESTART, "30", 2, MARIO_CLUSTER_TTL_MAX, NULL, AT(cluster.ttl),
     "Seconds without a sign of life until a node counts as dead, and its logins are void. Above cluster.heartbeat."},
};

const uint32 conf_row_count = sizeof conf_rows / sizeof conf_rows[0];
_Static_assert(sizeof conf_rows / sizeof conf_rows[0] <= CONF_ROWS_MAX, "origin[] has a place for each row");

const struct row *row_find(const char *section, const char *key)
{
    for (uint32 i = 0; i < conf_row_count; i++)
        if (strcmp(conf_rows[i].section, section) == 0 && strcmp(conf_rows[i].key, key) == 0)
            return &conf_rows[i];
    return NULL;
}

uint32 row_index(const struct row *row)
{
    return (uint32) (row - conf_rows);
}

const struct row *row_listen(void)
{
    return row_find("server", "listen");
}

bool section_exists(const char *section)
{
    if (section_is_tls(section))
        return true;
    for (uint32 i = 0; i < conf_row_count; i++)
        if (strcmp(conf_rows[i].section, section) == 0)
            return true;
    return false;
}

sint32 conf_fail(struct conf_error *err, const struct place *place, const char *section, const char *key,
                 const char *allowed, const char *fmt, ...)
{
    char why[WHY_SIZE + 64], where[PATH_MAX + 128];
    va_list args;
    va_start(args, fmt);
    vsnprintf(why, sizeof why, fmt, args);
    va_end(args);
    if (place->override != NULL)
        snprintf(where, sizeof where, "-o %.200s", place->override);
    else if (place->line > 0)
        snprintf(where, sizeof where, "%s:%d", place->file, place->line);
    else
        snprintf(where, sizeof where, "%s", place->file);
    /* An override's place is its text, which begins with the name already. */
    bool named = key != NULL && place->override == NULL;
    snprintf(err->text, sizeof err->text, "%s: %s%s%s%s%s%s%s%s", where, named ? section : "",
             named ? "." : "", named ? key : "", named ? ": " : "", why, allowed != NULL ? " (allowed: " : "",
             allowed != NULL ? allowed : "", allowed != NULL ? ")" : "");
    text_make_printable(err->text);
    return -1;
}

/* Near enough to be a slip of the finger: a third of the letters. */
static bool name_is_near(const char *name, uint32 distance)
{
    return distance <= 1 + strlen(name) / 3 && distance < strlen(name);
}

sint32 conf_fail_section(struct conf_error *err, const struct place *place, const char *section)
{
    char quoted[QUOTE_SIZE], hint[64] = "", all[256] = "";
    uint32 best = UINT32_MAX;
    for (uint32 i = 0; i < conf_row_count; i++) {
        const char *name = conf_rows[i].section;
        uint32 distance = text_distance(section, name);
        if (distance < best && name_is_near(name, distance)) {
            best = distance;
            snprintf(hint, sizeof hint, ", did you mean [%s]?", name);
        }
        if (i == 0 || strcmp(name, conf_rows[i - 1].section) != 0)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s%s", i ? ", " : "", name,
                     strcmp(name, "tls") == 0 ? ", tls NAME" : "");
    }
    text_quote(quoted, section);
    return conf_fail(err, place, NULL, NULL, all, "unknown section %s%s", quoted, hint);
}

sint32 conf_fail_key(struct conf_error *err, const struct place *place, const char *section, const char *key)
{
    char shown[48], hint[96] = "", all[256] = "";
    uint32 best = UINT32_MAX;
    bool named = section_is_tls(section);
    for (uint32 i = 0; i < conf_row_count + CONF_TLS_KEYS; i++) {
        const struct row *row = i < conf_row_count ? &conf_rows[i] : &section_rows[i - conf_row_count];
        bool here = i < conf_row_count ? strcmp(row->section, section) == 0 : named;
        uint32 distance = text_distance(key, row->key);
        /* A key of another section is a hint only if it is spelled right. */
        if (distance < best && (here ? name_is_near(row->key, distance) : distance == 0)) {
            best = distance;
            snprintf(hint, sizeof hint, ", did you mean %s.%s?", row->section, row->key);
        }
        if (here)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", *all ? ", " : "", row->key);
    }
    snprintf(shown, sizeof shown, "%s", key);
    return conf_fail(err, place, section, shown, all, "unknown key%s", hint);
}

sint32 row_set(const struct row *row, struct maritcp_conf *conf, const char *text, const struct place *place,
               sint32 origin, struct conf_error *err)
{
    char why[WHY_SIZE], range[RANGE_SIZE];
    if (value_parse(row, conf, text, why) != 0) {
        value_range(row, range);
        /* About a listen list the library may have said it all. */
        return conf_fail(err, place, row->section, row->key, strstr(why, "(allowed: ") ? NULL : range, "%s",
                         why);
    }
    origin_set(conf, row, origin);
    if (row->type == ROW_PORT)
        origin_set(conf, row_listen(), origin);
    return 0;
}

bool copy_trimmed(char *out, size_t size, const char *text, size_t len)
{
    while (len > 0 && (*text == ' ' || *text == '\t'))
        text++, len--;
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len >= size)
        return false;
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

sint32 override_read(struct maritcp_conf *conf, const char *text, sint32 origin, const struct place *place,
                     enum row_when when, struct conf_error *err)
{
    char section[64], key[64], value[CONF_LISTEN_SIZE];
    struct row room;
    const char *equals = strchr(text, '=');
    const char *dot = equals != NULL ? memrchr(text, '.', (size_t) (equals - text)) : NULL;
    if (equals == NULL || dot == NULL)
        return conf_fail(err, place, NULL, NULL, "section.key=value", "missing '%s'",
                         equals != NULL ? "." : "=");
    if (!copy_trimmed(section, sizeof section, text, (size_t) (dot - text)))
        return conf_fail(err, place, NULL, NULL, "section.key=value", "the section is too long");
    if (!copy_trimmed(key, sizeof key, dot + 1, (size_t) (equals - dot - 1)))
        return conf_fail(err, place, NULL, NULL, "section.key=value", "the key is too long");
    if (!section_exists(section) ||
        (when == LIVE && section_is_tls(section) && section_find(conf, section) < 0))
        return conf_fail_section(err, place, section);
    if (section_is_tls(section) && section_begin(conf, section, place, err) != 0)
        return -1;
    const struct row *row = row_find_in(conf, section, key, &room);
    if (row == NULL)
        return conf_fail_key(err, place, section, key);
    if (when == LIVE && row->when != LIVE)
        return conf_fail(err, place, section, key, NULL, "needs a restart: set it in the file");
    if (!copy_trimmed(value, sizeof value, equals + 1, strlen(equals + 1)))
        return conf_fail(err, place, NULL, NULL, "up to 8191 bytes", "the value is too long");
    return row_set(row, conf, value, place, origin, err);
}

static sint32 load_defaults(struct maritcp_conf *conf, struct conf_error *err)
{
    struct place nowhere = {.file = "default"};
    mario_options_init(&conf->server);
    for (uint32 i = 0; i < conf_row_count; i++) {
        if (row_set(&conf_rows[i], conf, conf_rows[i].fallback, &nowhere, 0, err) != 0)
            return -1;
    }
    return section_defaults(conf, err);
}

void conf_settle(struct maritcp_conf *conf)
{
    section_settle(conf);
    conf->server.listen = conf->listen;
    conf->server.user = conf->user;
    conf->server.unix_group = conf->unix_group;
    conf->server.admin_listen = conf->admin_listen;
    conf->server.admin_hosts = conf->admin_hosts;
    conf->server.admin_token_file = conf->admin_token_file;
    conf->server.death_log = conf->log_file;
    conf->server.death_format = conf->log.format;
    conf->log.target = conf->log_file;
    conf->cluster.bus = bus_names[conf->cluster_bus];
    conf->cluster.redis = conf->cluster_redis;
    conf->cluster.nats = conf->cluster_nats;
    conf->cluster.prefix = conf->cluster_prefix;
    conf->cluster.node = conf->cluster_node;
    conf->cluster.password_file = conf->cluster_password_file;
    conf->server.admit_allow_file = conf->admit_allow_file;
    conf->server.admit_deny_file = conf->admit_deny_file;
    if (origin_of(conf, row_find("output", "high")) == 0 &&
        conf->server.output_high > conf->server.output_max)
        conf->server.output_high = conf->server.output_max; /* nobody asked for the default */
}

static sint32 load(struct maritcp_conf *conf, const char *file, char *const overrides[],
                   uint32 override_count, struct conf_error *err)
{
    err->text[0] = '\0';
    if (load_defaults(conf, err) != 0)
        return -1;
    snprintf(conf->file, sizeof conf->file, "%s", file != NULL ? file : "");
    if (file != NULL && file_read(conf, file, err) != 0)
        return -1;
    for (uint32 i = 0; i < override_count; i++) {
        struct place place = {.override = overrides[i]};
        if (override_read(conf, overrides[i], -1 - (sint32) i, &place, RESTART, err) != 0)
            return -1;
    }
    conf_settle(conf);
    return conf_check(conf, file, overrides, err);
}

sint32 conf_load(struct maritcp_conf *conf, const char *file, char *const overrides[], uint32 override_count,
                 struct conf_error *err)
{
    memset(conf, 0, sizeof *conf);
    return load(conf, file, overrides, override_count, err);
}

sint32 conf_load_again(struct maritcp_conf *conf, const char *file, char *const overrides[],
                       uint32 override_count, struct conf_error *err)
{
    memset(conf, 0, sizeof *conf);
    conf->again = true;
    return load(conf, file, overrides, override_count, err);
}
