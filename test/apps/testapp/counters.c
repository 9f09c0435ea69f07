/*
 * counters.c: the app's own counters, as text and in the log; what the alarms count. Any thread counts; the report and
 * the alarm function run on the master.
 */
#include "app.h"

#define ROW(name) _Atomic uint64 own_##name;
OWN(ROW)
#undef ROW

int print_own(char *text, size_t size)
{
    int n = 0;
    text[0] = '\0';
#define ROW(name)        \
    if (own_##name != 0) \
        n += snprintf(text + n, size - (size_t) n, " " #name "=%llu", (unsigned long long) own_##name);
    OWN(ROW)
#undef ROW
    return n;
}

void report(LOG_QUEUE *q)
{
    char text[1200];
    print_own(text, sizeof text);
    slog_info_t(q, "testapp:%s", text);
}

void on_alarm(const struct mario_alarm *a)
{
    _Atomic uint64 *counters[] = {
        [MARIO_ALARM_STUCK] = &own_alarm_stuck,       [MARIO_ALARM_BACK] = &own_alarm_back,
        [MARIO_ALARM_REPLACED] = &own_alarm_replaced, [MARIO_ALARM_DIED] = &own_alarm_died,
        [MARIO_ALARM_LIMIT] = &own_alarm_limit,       [MARIO_ALARM_POOL] = &own_alarm_pool,
    };
    ++*counters[a->kind];
    own_alarm_akg = a->akg_id;
    own_alarm_v6 += a->cip == 0 && a->cip6[15] != 0;
}
