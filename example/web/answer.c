/*
 * answer.c: heads of answers. Runs where functions run: on workers, on threads of the pool.
 */
#include "answer.h"

enum { ANSWER_SIZE = 12288 }; /* a script's fields are no longer than a request's head */

static const char *reason_of(int status)
{
    static const struct {
        int status;
        const char *text;
    } reasons[] = {
        {200, "OK"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (reasons[i].status == status)
            return reasons[i].text;
    }
    return ""; /* a script's */
}

/* The time as HTTP writes it. Made once a second on each thread. */
static const char *date(void)
{
    static __thread char text[32];
    static __thread time_t made;
    time_t now = time(NULL);
    struct tm tm;
    if (now != made && gmtime_r(&now, &tm) != NULL) {
        static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        snprintf(text, sizeof text, "%.3s, %02d %.3s %04d %02d:%02d:%02d GMT", days + 3 * tm.tm_wday,
                 tm.tm_mday, months + 3 * tm.tm_mon, (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min,
                 tm.tm_sec);
        made = now;
    }
    return text;
}

sint32 answer_head(CONN *c, const struct answer *a)
{
    char text[ANSWER_SIZE], length[48] = "", type[96] = "";
    if (a->status != 204 && a->status != 304)
        snprintf(length, sizeof length, "Content-Length: %llu\r\n", (unsigned long long) a->length);
    if (a->type != NULL)
        snprintf(type, sizeof type, "Content-Type: %s\r\nX-Content-Type-Options: nosniff\r\n", a->type);
    int n = snprintf(text, sizeof text, "HTTP/1.1 %03d %s\r\nDate: %s\r\n%s%s%s%s\r\n", a->status,
                     a->reason != NULL ? a->reason : reason_of(a->status), date(), type, length,
                     a->fields != NULL ? a->fields : "", a->closes ? "Connection: close\r\n" : "");
    if (n < 0 || (size_t) n >= sizeof text)
        return -1;
    return bufferevent_write(c->bufev, text, (size_t) n);
}

sint32 answer_end(CONN *c, const struct head *h)
{
    if (!h->keep)
        close_conn(c, g_akg_closed_id);
    return 0;
}

sint32 answer_status(CONN *c, const struct head *h, int status, const char *fields)
{
    char text[64];
    int n = snprintf(text, sizeof text, "%d %s\n", status, reason_of(status));
    struct answer a = {
        .status = status, .fields = fields, .length = (uint64) n, .closes = h == NULL || !h->keep};
    a.type = status == 304 ? NULL : "text/plain; charset=utf-8";
    slog_debug_t(c->owner->qlog, "%d for %.*s", status, h != NULL ? (int) h->path.len : 1,
                 h != NULL ? h->path.at : "?");
    if (answer_head(c, &a) != 0)
        return -1;
    bool has_body = status != 304 && (h == NULL || !head_equals(&h->method, "HEAD"));
    if (has_body && bufferevent_write(c->bufev, text, (size_t) n) != 0)
        return -1;
    return h != NULL ? answer_end(c, h) : 0;
}
