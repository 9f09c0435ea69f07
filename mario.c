/*
 * mario.c: maritcp, the reference application, from its first line to its last. It runs on the main thread,
 * which becomes the server's master. What it serves is in function/, what can be set in conf/, what goes over
 * the wire in protocol/; everything else is the library.
 */
#include "mario/mario.h"
#include "mario/mario_cluster.h"

#include "conf/cmdline.h"
#include "conf/job.h"
#include "conf/option.h"
#include "conf/reload.h"
#include "ctl/ctl.h"
#include "ctl/top.h"
#include "doctor/doctor.h"
#include "function/function.h"

/* 0 and 3 come from mario_server_exit_code(), those of a death from mario_supervise(). */
enum { EXIT_CONFIGURATION = 1, EXIT_NO_START = 2, EXIT_FAILED = 3 };

#define LAST_LINES_MS 500 /* how long the log may take to be written at the end */

/* A signal that arrives before the server waits for signals must neither kill the process nor be lost. */
static void signals_block(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1); /* the server's, who takes what is neither blocked nor handled */
    sigaddset(&set, SIGUSR2);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    signal_handler(SIGUSR1, SIG_IGN);
    signal_handler(SIGUSR2, SIG_IGN);
    signal_handler(SIGPIPE, SIG_IGN);
    if (getpid() == 1)
        signal_handler(SIGCHLD,
                       SIG_IGN); /* in a container others' orphans come to it; the kernel buries them */
}

/* Read the configuration. Returns -1 to go on, else the exit code. */
static sint32 configure(struct maritcp_conf *conf, const struct cmdline *cmd)
{
    static struct conf_error err;
    if (conf_load(conf, cmd->file, cmd->overrides, cmd->override_count, &err) != 0 ||
        (cmd->daemon && !cmd->test && conf_make_absolute(conf, &err) != 0)) {
        fprintf(stderr, "%s\n", err.text);
        return EXIT_CONFIGURATION;
    }
    char why[512];
    if (mario_cluster_check(&conf->cluster, why, sizeof why) != 0) { /* what is good, but was not built in */
        fprintf(stderr, "maritcp: cluster.%s\n", why);
        return EXIT_NO_START;
    }
    if (!cmd->test)
        return -1;
    conf_print(stdout, conf);
    return cmdline_flush();
}

static sint32 become_daemon(const struct maritcp_conf *conf)
{
    if (strcmp(conf->log_file, "-") == 0)
        fprintf(stderr,
                "maritcp: warning: a daemon's standard output goes nowhere; set log.file to keep the log\n");
    if (mario_daemon() == 0)
        return 0;
    fprintf(stderr, "maritcp: cannot become a daemon: %s\n", strerror(errno));
    return -1;
}

/* As server.user already, which must be able to open it again after a HUP or a restart. After a restart it may be
 * gone: the server goes on without. */
static sint32 open_log(const struct maritcp_conf *conf, int is_restart)
{
    struct mario_log_options log = conf->log;
    log.may_be_gone = is_restart;
    if (mario_log_levels(conf->log_level, NULL, 0) == 0 && mario_log_setup(&log) == 0)
        return 0;
    bool other = strcmp(conf->user, "-") != 0;
    fprintf(stderr, "maritcp: log.file %s cannot be opened%s%s: %s\n", conf->log_file,
            other ? " as server.user " : "", other ? conf->user : "", strerror(errno));
    return -1;
}

/* The certificates that listeners with tls= name. */
static sint32 register_certificates(const struct maritcp_conf *conf)
{
    for (uint32 i = 0; i < conf->certificate_count; i++) {
        if (regist_tls(&conf->certificates[i]) != 0)
            return -1;
    }
    return 0;
}

/* What the server needs before it runs. Says in one line what failed. */
static sint32 prepare(SERVER *server, const struct maritcp_conf *conf)
{
    bool cluster = conf->cluster_bus != 0;
    struct function_settings settings = {.stx = conf->stx,
                                         .policy = conf->login_policy,
                                         .interval = conf->collect_interval,
                                         .cluster = cluster};
    if (function_register(server, &settings) != 0)
        return -1;
    if (regist_stx(conf->stx) != 0 || start_log_thread() != 0) {
        fprintf(stderr, "maritcp: the log thread cannot be started: %s\n", strerror(errno));
        return -1;
    }
    return cluster ? mario_cluster_start(&conf->cluster) : 0; /* which says it itself */
}

/* What a reload changes outside of the library. */
static void tell_functions(SERVER *server, const struct maritcp_conf *conf)
{
    function_retime(server, conf->collect_interval);
}

/* Make the server, run it until it is stopped, take it down. */
static sint32 serve(const struct maritcp_conf *conf)
{
    SERVER *server = register_certificates(conf) == 0 ? mario_init_server(&conf->server) : NULL;
    if (server == NULL)
        return EXIT_NO_START;
    sint32 code = EXIT_NO_START;
    int is_restart = mario_stat(server, "restarts") > 0;
    if (open_log(conf, is_restart) == 0 && prepare(server, conf) == 0) {
        reload_open(server, tell_functions, is_restart);
        start_server(server);
        reload_close();
        code = mario_server_exit_code(server);
        if (code == EXIT_FAILED)
            _exit(code); /* a function may still run: exit() would wait for locks that it holds */
    }
    mario_free_server(&server);
    mario_log_flush(LAST_LINES_MS);
    return code;
}

int main(int argc, char **argv)
{
    static struct maritcp_conf conf;
    struct cmdline cmd;
    if (argc > 1 && strcmp(argv[1], "ctl") == 0)
        return ctl_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "top") == 0)
        return top_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "doctor") == 0)
        return doctor_main(argc - 1, argv + 1);
    signals_block();
    sint32 code = cmdline_init(&cmd, argc, argv);
    if (code < 0)
        code = configure(&conf, &cmd);
    if (code < 0 && cmd.daemon && become_daemon(&conf) != 0)
        code = EXIT_NO_START;
    if (code < 0 && conf.supervise)
        code = mario_supervise(&conf.server); /* goes on here in each child */
    if (code < 0 && (reload_setup(&conf, cmd.overrides, cmd.override_count) != 0 || job_regist() != 0))
        code = EXIT_NO_START;
    if (code < 0)
        code = serve(&conf);
    cmdline_fini(&cmd);
    return code;
}
