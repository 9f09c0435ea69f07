/*
 * main.c: testapp, the server that the integration tests talk to: functions and hooks that do what an application
 * should not do, and that check what it may rely on. Here are its steps, from first to last line, on the main thread;
 * what the files share is in app.h, what it can be asked in commands.h.
 *
 *     testapp [-o section.key=value]...      options.c says which
 */
#include "app.h"

struct app app = {.with_hooks = true, .log_file = "-", .early = ""};

static void on_usr1(int sig)
{
    (void) sig;
    own_usr1++;
}

/* As a thread that waits for USR1, which nobody else may take then. */
static void *wait_for_usr1(void *set)
{
    for (int sig; sigwait(set, &sig) == 0;)
        own_usr1++;
    return NULL;
}

static void start_waiting(void)
{
    static sigset_t set;
    pthread_t t;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&t, NULL, wait_for_usr1, &set) == 0)
        pthread_detach(t);
}

int main(int argc, char **argv)
{
    struct mario_options o;
    mario_options_init(&o);
    mario_cluster_options_init(&app.cluster);
    o.workernum = 2;
    o.connnum = 1000;
    read_options(&o, argc, argv);
    if (!register_framings() || !register_tls())
        return 2;
    if (strcmp(app.early, "daemon") == 0)
        run_daemon();
    if (strcmp(app.early, "thread") == 0)
        start_log_thread();
    if (strcmp(app.early, "usr1") == 0)
        signal_handler(SIGUSR1, on_usr1);
    if (strcmp(app.early, "sigwait") == 0)
        start_waiting();
    if (!register_wrapped())
        return 2;
    sint32 code = app.supervised ? mario_supervise(&o) : -1;
    if (code < 0 && strcmp(app.early, "twice") == 0)
        code = mario_supervise(&o);
    if (code >= 0)
        return code;
    char both[512];
    snprintf(both, sizeof both, "%s,%s", o.listen, app.listen2);
    o.listen = app.listen2 != NULL ? both : o.listen;
    app.options = o;
    app.server = mario_init_server(&o);
    if (app.server == NULL)
        return 2;
    if (mario_log_open(app.log_file) != 0 || !register_all() || !register_commands() ||
        (app.with_route && !register_route()) || start_log_thread() != 0) {
        fprintf(stderr, "testapp: cannot be set up\n");
        return 2;
    }
    if (!start_cluster())
        return 3;
    if (app.stderr_is_full)
        stuff_stderr();
    start_server(app.server);
    await_threads();
    report(create_log_queue());
    code = mario_server_exit_code(app.server);
    mario_log_flush(2000);
    if (code == 3)
        _exit(3); /* a function still runs: there is nothing to be tidied up */
    mario_free_server(&app.server);
    return code;
}
