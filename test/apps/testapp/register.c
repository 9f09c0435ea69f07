/*
 * register.c: which function answers which command, inline and offloaded; the hooks, timer functions and the alarm.
 * Main thread, before the server starts; do_register tries it later, on a worker.
 */
#include "app.h"

static const struct {
    uint16 id;
    FUNC_PTR f;
} rows[] = {
#define ROW(id, f) {id, f},
    FUNCTIONS(ROW)
#undef ROW
};

bool register_all(void)
{
    bool ok = regist_stx(STX) == 0 && regist_alarm_func(on_alarm) == 0 && regist_bound_func(on_bound) == 0 &&
              regist_receipt_func(on_receipt) == 0 && regist_timer_func(1, on_second, NULL) == 0 &&
              regist_timer_func(1, die_on_second, NULL) == 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        ok = ok && regist_akg_func(rows[i].id, rows[i].f) == 0;
    for (size_t i = 0; app.with_offload && i < sizeof rows / sizeof rows[0]; i++)
        ok = ok && (rows[i].id == TEST_CLOSE_OTHER || /* these look at what belongs to the worker */
                    rows[i].id == TEST_WRITE_OTHER || rows[i].id == TEST_OWN_EVENT ||
                    rows[i].id == TEST_OWN_SIGNAL || rows[i].id == TEST_OWN_TIMER ||
                    rows[i].id == TEST_KEEP_BUFEV ||
                    (regist_akg_func_offload(rows[i].id + TEST_OFFLOADED, rows[i].f) == 0 &&
                     regist_akg_func_offload_concurrent(rows[i].id + TEST_CONCURRENT, rows[i].f) == 0));
    if (app.with_hooks)
        ok = ok && regist_connected_func(on_connected) == 0 && regist_closed_func(on_closed) == 0 &&
             regist_timeout_func(on_timeout) == 0 && regist_error_func(on_error) == 0 &&
             regist_leave_func(on_leave) == 0 && regist_urgent_func(on_urgent) == 0;
    return ok;
}

static void never_called(LOG_QUEUE *q, void *arg)
{
    (void) q;
    (void) arg;
    own_wrong_state++;
}

sint32 do_register(CONN *c)
{
    sint32 rc[] = {regist_akg_func(0x1234, do_echo),
                   regist_connected_func(on_connected),
                   regist_closed_func(on_closed),
                   regist_timeout_func(on_timeout),
                   regist_error_func(on_error),
                   regist_disconnected_func(on_closed),
                   regist_leave_func(on_leave),
                   regist_urgent_func(on_urgent),
                   regist_akg_func_offload(0x1234, do_echo),
                   regist_akg_func_offload_concurrent(0x1235, do_echo),
                   regist_bound_func(on_bound),
                   regist_receipt_func(on_receipt),
                   regist_stx(1),
                   regist_timer_func(1, never_called, NULL)};
    return answer(c, rc, sizeof rc);
}
