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
    {CMD_FUNCTION_LOGIN, "login", login_answer},
    {CMD_FUNCTION_SAY_HELLO, "say_hello", hello_answer},
    {CMD_FUNCTION_ECHO, "echo", echo_answer},
};

sint32 function_register(SERVER *server, uint32 interval)
{
    for (size_t i = 0; i < sizeof function_rows / sizeof function_rows[0]; i++) {
        if (regist_akg_func(function_rows[i].id, function_rows[i].run) != 0) {
            fprintf(stderr, "maritcp: %s cannot be registered as 0x%04x\n", function_rows[i].name,
                    function_rows[i].id);
            return -1;
        }
    }
    if (regist_disconnected_func(online_leave) != 0 ||
        regist_timer_func(interval, online_report, server) != 0) {
        fprintf(stderr, "maritcp: the online count cannot be registered\n");
        return -1;
    }
    return 0;
}
