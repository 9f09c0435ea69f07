/*
 * names.c: an application that has functions and variables of its own with the names that libmario uses inside. They
 * are the application's: the library neither calls nor changes them, and the two link.
 *
 *     names -o server.listen=ADDRESS -o log.file=PATH
 */
#include "mario/mario.h"

/* Names of functions, as one finds them in programs of every kind. */
#define FUNCTIONS(ROW)      \
    ROW(complain)           \
    ROW(check_failed)       \
    ROW(conn_close)         \
    ROW(conn_end)           \
    ROW(conn_open)          \
    ROW(crash_setup)        \
    ROW(dispatch_receive)   \
    ROW(doorbell_ring)      \
    ROW(executor_setup)     \
    ROW(codec_short)        \
    ROW(limit_cores)        \
    ROW(limit_raise)        \
    ROW(listen_close)       \
    ROW(listen_open)        \
    ROW(listen_parse)       \
    ROW(log_format)         \
    ROW(log_reopen)         \
    ROW(log_target_open)    \
    ROW(loop_setup)         \
    ROW(master_run)         \
    ROW(master_setup)       \
    ROW(mem_alloc)          \
    ROW(mem_free)           \
    ROW(offload_start)      \
    ROW(output_send)        \
    ROW(thread_start)       \
    ROW(privilege_drop)     \
    ROW(queue_send)         \
    ROW(registry_freeze)    \
    ROW(reply_setup)        \
    ROW(stats_name)         \
    ROW(supervise_ready)    \
    ROW(symbol_setup)       \
    ROW(wheel_set)          \
    ROW(util_fill_standard) \
    ROW(watchdog_look)      \
    ROW(wheel_init)         \
    ROW(worker_setup)       \
    ROW(worker_start)

#define ROW(name) void name(void);
FUNCTIONS(ROW)
#undef ROW

#define ROW(name)   \
    void name(void) \
    {               \
        abort();    \
    }
FUNCTIONS(ROW)
#undef ROW

/* And of variables. */
int logger = 1, log_context = 2, log_level_names = 3, executor_here = 4, faults = 5, log_syslog_path = 6,
    table = 7;

static sint32 echo(CONN *c)
{
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

/* The value of -o key=value. */
static const char *option(int argc, char **argv, const char *key)
{
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], key, strlen(key)) == 0)
            return argv[i] + strlen(key);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct mario_options o;
    mario_options_init(&o);
    o.listen = option(argc, argv, "server.listen=");
    o.workernum = 2;
    o.connnum = 100;
    SERVER *server = mario_init_server(&o);
    if (server == NULL || regist_stx(0x8eb69af7) != 0 || regist_akg_func(0x6103, echo) != 0 ||
        mario_log_open(option(argc, argv, "log.file=")) != 0 || start_log_thread() != 0)
        return 2;
    start_server(server);
    sint32 code = mario_server_exit_code(server);
    mario_log_flush(2000);
    mario_free_server(&server);
    int sum = logger + log_context + log_level_names + executor_here + faults + log_syslog_path + table;
    return sum == 28 ? code : 9;
}
