/*
 * option.h: maritcp's configuration: what can be set, and the four ways the option table is used.
 *
 * All of it runs on the main thread before the server starts. The table itself is in option.c.
 */
#ifndef MARITCP_OPTION_H
#define MARITCP_OPTION_H

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#include "mario/mario_cluster.h"
#include "mario/mario_log.h"
#include "mario/mario_push.h"
#include "mario/mario_server.h"
#include "mario/mario_tls.h"
#include "mario/mario_types.h"

/* Read when there is no -c and this file exists. */
#ifndef MARITCP_CONF_FILE
#define MARITCP_CONF_FILE "/etc/maritcp.conf"
#endif

#define CONF_ROWS_MAX     128u  /* rows the table may have */
#define CONF_LEVELS_SIZE  128u  /* bytes of log.level, NUL included */
#define CONF_LISTEN_SIZE  8192u /* bytes of a whole listen list, NUL included */
#define CONF_HOSTS_SIZE   1024u /* bytes of admin.hosts, NUL included */
#define CONF_USER_SIZE    65u
#define CONF_SERVERS_SIZE 1024u               /* bytes of a list of engines, NUL included */
#define CONF_TLS_MAX      MARIO_TLS_NAMES_MAX /* sections [tls NAME] */
#define CONF_TLS_KEYS     9u                  /* of each */
#define CONF_TLS_NAME     32u                 /* bytes of NAME, NUL included */
#define CONF_TLS_TEXT     512u                /* bytes of a text in it, NUL included */

/* A section [tls NAME]. */
struct conf_tls {
    char section[sizeof "tls " + CONF_TLS_NAME]; /* "tls NAME" */
    bool is_there; /* false: another configuration has it, and this one not: see conf_align() */
    sint32 line;   /* where it begins in the file; 0: in an override */
    char certificate[CONF_TLS_TEXT], key[CONF_TLS_TEXT], chain[CONF_TLS_TEXT], sni[CONF_TLS_TEXT];
    char alpn[CONF_TLS_TEXT], client_ca[CONF_TLS_TEXT], ciphers[CONF_TLS_TEXT];
    uint32 min_version, tickets;
    sint32 origin[CONF_TLS_KEYS]; /* as in struct maritcp_conf */
};

/* All values, checked. The texts of `server`, `log` and `cluster` point into the struct itself, so hand it on by
 * pointer; a copy would go on pointing here. */
struct maritcp_conf {
    struct mario_options server;
    uint32 stx;
    struct mario_log_options log;
    char log_level[CONF_LEVELS_SIZE]; /* mario_log_levels() takes it */
    uint32 collect_interval;          /* seconds */
    enum mario_bind login_policy;
    struct mario_cluster_options cluster;
    uint32 cluster_bus;                  /* 0: none; as cluster.bus */
    char listen[CONF_LISTEN_SIZE];       /* as server.listen */
    char log_file[PATH_MAX];             /* as log.target; also server.death_log */
    char user[CONF_USER_SIZE];           /* as server.user */
    char unix_group[CONF_USER_SIZE];     /* as server.unix_group */
    char admin_listen[CONF_LISTEN_SIZE]; /* as in server, like the next two */
    char admin_hosts[CONF_HOSTS_SIZE];
    char admin_token_file[PATH_MAX];
    char cluster_redis[CONF_SERVERS_SIZE], cluster_nats[CONF_SERVERS_SIZE]; /* as in cluster */
    char cluster_prefix[MARIO_CLUSTER_PREFIX_MAX + 1], cluster_node[MARIO_CLUSTER_NODE_MAX + 1];
    char cluster_password_file[PATH_MAX];
    char admit_allow_file[PATH_MAX], admit_deny_file[PATH_MAX]; /* as in server */
    struct conf_tls tls[CONF_TLS_MAX];
    uint32 tls_count;
    struct mario_tls
        certificates[CONF_TLS_MAX]; /* these, as the library takes them: [0 .. certificate_count-1] */
    uint32 certificate_count;
    int supervise;                /* 1: under mario_supervise() */
    char base[PATH_MAX];          /* relative paths were made absolute below it; "" if they were not */
    char file[PATH_MAX];          /* what was read; "" if there was none */
    bool once;                    /* that is a pipe or the like, which cannot be read a second time */
    bool again;                   /* this was read while the server runs: see conf_load_again() */
    sint32 origin[CONF_ROWS_MAX]; /* per row: 0 default, > 0 line of the file, < 0 the -n-th override */
};

/* What was wrong: one printable line without a newline, empty if nothing was. */
struct conf_error {
    char text[PATH_MAX + 1024];
};

/* Fill *conf with the defaults, then with file (NULL: none), then with the overrides "section.key=value" in
 * their order, then check what belongs together. Returns 0, or -1 with *err set; *conf is then not to be
 * used. */
sint32 conf_load(struct maritcp_conf *conf, const char *file, char *const overrides[], uint32 override_count,
                 struct conf_error *err) __attribute__((warn_unused_result, nonnull(1, 5)));

/* The same while the server runs, to see what the file says now. On any one thread at a time: nothing is asked that
 * takes a lock or a network, so the user is taken as it is written; and a file that is not a regular one is a mistake,
 * since opening it could wait for ever. */
sint32 conf_load_again(struct maritcp_conf *conf, const char *file, char *const overrides[],
                       uint32 override_count, struct conf_error *err)
    __attribute__((warn_unused_result, nonnull(1, 5)));

/* Make the file read, log.file, cluster.password_file and the unix sockets independent of the working directory: below
 * conf->base, which is that directory if it is "". Returns 0, or -1 with *err set. */
sint32 conf_make_absolute(struct maritcp_conf *conf, struct conf_error *err)
    __attribute__((warn_unused_result, nonnull));

/* Read the files of networks that it names. Returns 0, or -1 with *err set, which names file and line. Part of
 * conf_load(), but not of conf_load_again(): paths may have to be made absolute before. */
sint32 conf_check_networks(const struct maritcp_conf *conf, const char *file, char *const overrides[],
                           struct conf_error *err) __attribute__((warn_unused_result, nonnull(1, 4)));

/* Give the sections [tls NAME] of *conf the places that they have in *used, which has some of these: what is at a place
 * is then the same one in both, and one that is gone has a place with defaults. */
void conf_align(struct maritcp_conf *conf, const struct maritcp_conf *used);

/* Look at the certificates of all sections, and whether each name in the listen list is one. Returns 0, or -1 with *err
 * set. Part of conf_load(), but not of conf_load_again(): paths may have to be made absolute before. Files are read. */
sint32 conf_check_tls(const struct maritcp_conf *conf, const char *file, char *const overrides[],
                      struct conf_error *err) __attribute__((warn_unused_result, nonnull(1, 4)));

/* Print every option with its value, as a configuration file that reads back to the same values (-t). */
void conf_print(FILE *out, const struct maritcp_conf *conf);

/* Print conf/maritcp.conf: every option with its help and default. */
void conf_print_sample(FILE *out);

/* Print the part of maritcp(8) that describes the options, in mdoc. */
void conf_print_manual(FILE *out);

#endif
