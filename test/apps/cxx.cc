/*
 * cxx.cc: the public headers in a C++ program: every public name is used at least once, and an ECHO server
 * comes out of it.
 *
 *     cxx        listens on a free port of 127.0.0.1
 *
 * Functions run on workers, main is the master.
 */
#define MARIO_NO_COMPAT
#include "mario/mario.h"

namespace {

/* Names of 0.9.9 that MARIO_NO_COMPAT leaves to programs. */
const unsigned MAX_PKG_LEN = 8192, CONN_BUF_LEN = 65535;
int timeout_set(int seconds)
{
    return seconds < static_cast<int>(MAX_PKG_LEN + CONN_BUF_LEN);
}

SERVER *server;

sint32 echo(CONN *c)
{
    const HEAD *req = reinterpret_cast<const HEAD *>(c->in_buf);
    static_assert(sizeof(HEAD) == 8, "the head has eight bytes");
    if (req->pkglen != c->in_buf_len || c->out_buf_len < SIZE_OF_HEAD)
        return -1;
    return bufferevent_write(c->bufev, c->in_buf, c->in_buf_len);
}

sint32 connected(CONN *c)
{
    c->user = new uint64(c->owner->ind);
    return 0;
}

sint32 ended(CONN *c)
{
    delete static_cast<uint64 *>(c->user);
    return 0;
}

sint32 leave(CONN *c)
{
    if (c->in_buf_len > SIZE_OF_HEAD)
        close_err_conn(c);
    else
        close_conn(c, g_akg_closed_id);
    return 0;
}

void report(LOG_QUEUE *q, void *)
{
    slog_info(q, "a line");
    slog_info_w(q, "cxx: %llu opened, %llu counters, %s, %llu",
                (unsigned long long) mario_stat(server, "opened"), (unsigned long long) mario_stat_count(),
                mario_stat_name(0), (unsigned long long) mario_stat_value(server, 0));
    slog_warn(q, "lost %llu", (unsigned long long) mario_log_dropped());
    record_log(q, 1, "port %u, %u workers, %u connections, version %s\n", mario_server_port(server, 0),
               mario_server_workernum(server), mario_server_connnum(server), mario_version());
}

void on_alarm(const struct mario_alarm *a)
{
    (void) a;
}

sint32 on_record(const MARIO_LOG_RECORD *r, void *)
{
    return r->text_len == 0;
}

void on_reopen(LOG_QUEUE *q, void *)
{
    mario_log_name(q, "log");
}

/* What this program has no use for. It is never called: it has to compile, and to be there. */
bool rest(CONN *c, const struct mario_options *o)
{
    char text[100];
    struct sockaddr_storage *address = nullptr;
    struct mario_log_options log;
    mario_log_options_init(&log);
    regist_log_func(on_record, nullptr);
    regist_log_reopen_func(on_reopen, nullptr);
    mario_log_level_of(MARIO_LOG_IN_app, MARIO_LOG_DEBUG);
    mario_log(c->owner->qlog, MARIO_LOG_IN_app, MARIO_LOG_DEBUG, 0, nullptr, "%u", mario_cores());
    mario_slog(c->owner->qlog, MARIO_LOG_DEBUG, 0, nullptr, "%d", mario_server_exit_code(server));
    return mario_supervise(o) == 0 && mario_user_check(o->user, text, sizeof text) == 0 &&
           mario_group_check(o->unix_group, text, sizeof text) == 0 &&
           mario_log_target_check("-", text, sizeof text) == 0 && mario_log_setup(&log) == 0 &&
           mario_log_levels_check("info", text, sizeof text) == 0 &&
           mario_log_levels("info", text, sizeof text) == 0 && regist_alarm_func(on_alarm) == 0 &&
           regist_akg_func_offload(1, echo) == 0 && regist_akg_func_offload_concurrent(2, echo) == 0 &&
           mario_peer(c, text, sizeof text) == 0 && mario_peer_addr(c, address) == 0;
}

bool prepare()
{
    FUNC_PTR f = echo;
    return regist_akg_func(0x6103, f) == 0 && regist_akg_func(0x6105, leave) == 0 &&
           regist_akg_func(static_cast<uint16>(g_akg_error_id), f) == -1 &&
           regist_connected_func(connected) == 0 && regist_closed_func(ended) == 0 &&
           regist_timeout_func(ended) == 0 && regist_error_func(ended) == 0 &&
           regist_disconnected_func(ended) == 0 && regist_stx(DEFAULT_STX) == 0 &&
           regist_stx(0x8eb69af7) == 0 && regist_timer_func(3600, report, nullptr) == 0 &&
           start_log_thread() == 0;
}

} /* namespace */

int main(int argc, char **)
{
    char why[100];
    struct mario_options o;
    mario_options_init(&o);
    if (argc > 5 && (run_daemon() != 0 || mario_daemon() != 0 || !rest(nullptr, &o)))
        return 2;
    mario_log_level(MARIO_LOG_INFO);
    o.listen = "127.0.0.1:0";
    o.workernum = 2;
    o.connnum = 50;
    o.when_full = MARIO_FULL_REFUSE;
    if (mario_log_open("-") != 0 || mario_listen_check(o.listen, why, sizeof why) != 0)
        return 2;
    server = argc > 5 ? init_server(0, 1, 1, 0, 0) : mario_init_server(&o);
    if (server == nullptr || !timeout_set(1) || create_log_queue() == nullptr || !prepare())
        return 2;
    signal_handler(SIGUSR1, [](int) { mario_stop_server(server); });
    nsleep(1);
    susleep(0, 1);
    mario_daemon_ready();
    bool clean = start_server(server) == nullptr;
    mario_free_server(&server);
    mario_log_flush(1000);
    return clean ? 0 : 3;
}
