/*
 * register.c: which function answers which command. Main thread, before the server starts.
 *
 * A function of your own: its id in protocol/mario_protocol.h, its prototype in function.h, its row here.
 */
#include "mario/mario.h"
#include "protocol/mario_protocol.h"

#include "function.h"

static const struct {
    uint16 id;
    const char *name;
    FUNC_PTR run;
} function_rows[] = {
    {CMD_FUNCTION_LOGIN, "login", login_answer}, {CMD_FUNCTION_SAY_HELLO, "say_hello", hello_answer},
    {CMD_FUNCTION_ECHO, "echo", echo_answer},    {CMD_FUNCTION_PUSH_TO, "push_to", push_to_answer},
    {CMD_FUNCTION_JOIN, "join", join_answer},    {CMD_FUNCTION_LEAVE, "leave", leave_answer},
    {CMD_FUNCTION_SAY, "say", say_answer},       {CMD_FUNCTION_WHO, "who", who_answer},
};

sint32 function_register(SERVER *server, const struct function_settings *settings)
{
    answer_setup(settings->stx);
    login_setup(settings->policy);
    group_setup(settings->cluster);
    for (size_t i = 0; i < sizeof function_rows / sizeof function_rows[0]; i++) {
        if (regist_akg_func(function_rows[i].id, function_rows[i].run) != 0) {
            fprintf(stderr, "maritcp: %s cannot be registered as 0x%04x\n", function_rows[i].name,
                    function_rows[i].id);
            return -1;
        }
    }
    if (words_register() != 0)
        return -1; /* the library has said it */
    if (settings->policy != MARIO_BIND_MANY && regist_bound_func(login_decided) != 0) {
        fprintf(stderr, "maritcp: login.policy cannot be registered\n");
        return -1;
    }
    if (regist_leave_func(leave_tell) != 0 || regist_disconnected_func(online_leave) != 0 ||
        regist_timer_func(settings->interval, online_report, server) != 0) {
        fprintf(stderr, "maritcp: the hooks cannot be registered\n");
        return -1;
    }
    if (settings->cluster && (regist_cluster_func(nodes_event) != 0 ||
                              regist_timer_func(settings->interval, nodes_report, server) != 0)) {
        fprintf(stderr, "maritcp: the cluster's events cannot be registered\n");
        return -1;
    }
    return 0;
}

void function_retime(SERVER *server, uint32 interval)
{
    mario_retime_func(server, interval, online_report, server);
    mario_retime_func(server, interval, nodes_report, server);
}
