/*
 * http.c: the framing `http`: a packet is a request, its head and its body. Runs on the connection's worker.
 *
 * What cannot be a request is answered here, with its status, and ends the connection: nobody can say where the next
 * one would begin.
 */
#include "answer.h"
#include "body.h"
#include "head.h"
#include "web.h"

/* Of a connection: what is known of the request that comes. */
struct http_state {
    uint32 line; /* bytes of its first line, 0 until it is there */
    uint32 head; /* bytes of its head, likewise */
    uint32 need; /* all of it */
    uint16 id;   /* whose it is */
};

static enum mario_frame_answer refuse(CONN *c, int status, struct mario_frame *frame)
{
    answer_status(c, NULL, status, NULL);
    frame->fault = (uint16) status; /* MARIO_FAULT_OWN and above: the log says it */
    return MARIO_FRAME_BAD;
}

/* The head is whole: what of the request is to come? HEAD_GOOD, or the status to refuse it with. `waits`: the client
 * sends the body when it is told to. */
static int look(struct http_state *s, const struct mario_framing *framing, const char *data, uint32 size,
                bool *waits)
{
    struct head h;
    int status = head_parse(data, size, &h);
    if (status != HEAD_GOOD)
        return status;
    if (size > framing->max || h.length > framing->max - size)
        return 413;
    struct head_text start = h.path;
    start.len = sizeof WEB_CGI_PATH - 1;
    s->head = size;
    s->need = size + (uint32) h.length;
    s->id = h.path.len >= start.len && head_equals(&start, WEB_CGI_PATH) ? WEB_CGI : WEB_FILE;
    *waits = h.expects;
    return HEAD_GOOD;
}

/* An empty line in front of a request, as some clients send it behind a body. */
static enum mario_frame_answer skip_line(CONN *c, const ubyte *data, uint32 n, struct mario_frame *frame)
{
    frame->need = 2;
    if (n < 2)
        return MARIO_FRAME_MORE;
    return data[1] == '\n' ? MARIO_FRAME_SKIP : refuse(c, 400, frame);
}

static enum mario_frame_answer http_next(const struct mario_framing *framing, void *state, ubyte *data,
                                         uint32 n, uint32 seen, struct mario_frame *frame)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_state *s = state;
    CONN *c = mario_frame_conn();
    if (c->user != NULL) { /* the answer before is still being sent */
        body_came_early(c);
        frame->need = n < framing->max ? n : framing->max;
        return MARIO_FRAME_SKIP;
    }
    if (data[0] == '\r')
        return skip_line(c, data, n, frame);
    if (seen == 0)
        *s = (struct http_state){.head = 0};
    if (s->head == 0) {
        uint32 size = 0;
        bool waits = false;
        int status = head_find((const char *) data, n, seen, &s->line, &size);
        if (status == HEAD_GOOD)
            status = look(s, framing, (const char *) data, size, &waits);
        if (status == HEAD_MORE)
            return MARIO_FRAME_MORE;
        if (status != HEAD_GOOD)
            return refuse(c, status, frame);
        if (waits && n == size && s->need > n)
            bufferevent_write(c->bufev, go_on, sizeof go_on - 1);
    }
    frame->need = frame->len = s->need;
    frame->id = s->id;
    return n < s->need ? MARIO_FRAME_MORE : MARIO_FRAME_OK;
}

sint32 http_regist(void)
{
    static const struct mario_framing http = {
        .name = "http", .next = http_next, .state_size = sizeof(struct http_state), .max = MARIO_FRAME_MAX};
    return regist_framing(&http);
}
