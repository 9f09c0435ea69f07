/*
 * wrapped.c: the framing `wrapped`: how testapp writes messages for connections of a framing of its own. Its wrap runs
 * on a worker, for a message with a CONN that is nobody's, which is checked; commands.h says what a text asks of it.
 */
#include "app.h"

static enum mario_frame_answer next_line(const struct mario_framing *framing, void *state, ubyte *data,
                                         uint32 n, uint32 seen, struct mario_frame *frame)
{
    const ubyte *end = memchr(data, '\n', n);
    (void) framing;
    (void) state;
    (void) seen;
    if (end == NULL)
        return MARIO_FRAME_MORE;
    frame->need = (uint32) (end - data) + 1;
    frame->len = frame->need - 1;
    frame->id = TEST_SILENT;
    return MARIO_FRAME_OK;
}

/* Who is nobody can do nothing. */
static bool is_nobody(CONN *c)
{
    char name[64];
    return c->fd == -1 && c->user == NULL && c->bufev != NULL && c->in_buf == NULL && c->owner != NULL &&
           c->owner->qlog != NULL && c->out_buf_len >= 2048 && mario_conn_id(c) == 0 &&
           mario_peer(c, name, sizeof name) == -1;
}

static sint32 never(CONN *c, void *arg)
{
    (void) c;
    (void) arg;
    own_wrong_state++;
    return 0;
}

static void try_everything(CONN *c)
{
    if (mario_join(c, 1) == 0 || mario_leave(c, 1) == 0 || mario_bind(c, 1, MARIO_BIND_MANY, 0) == 0 ||
        mario_timer(c, 1, never, NULL) == 0 || mario_slow_policy(c, MARIO_SLOW_CLOSE, 1, 1) == 0)
        own_wrong_state++;
    close_err_conn(c);
    memset(c->out_buf, 'o', c->out_buf_len);
}

static void on_cleanup(const void *data, size_t n, void *arg)
{
    (void) data;
    (void) n;
    (void) arg;
    own_unwrapped++;
}

/* Only the first one: who takes over goes on. */
static void only_once(void (*f)(void))
{
    static _Atomic bool done;
    if (!atomic_exchange(&done, true))
        f();
}

static void get_stuck(void)
{
    stick(1);
}

static void end_thread(void)
{
    pthread_exit(NULL);
}

static sint32 wrap(CONN *c, uint16 id, const void *data, uint32 len)
{
    const char *text = data;
    char what = len > 0 ? text[0] : 0;
    own_wraps++;
    if (!is_nobody(c) || (id != TEST_TEXT && id != TEST_PUSHED))
        own_wrong_state++;
    if (what == WRAP_REFUSES)
        bufferevent_write(c->bufev, "refused", 7);
    if (what == WRAP_REFUSES || what == WRAP_WRITES_NOTHING)
        return what == WRAP_REFUSES;
    if (what == WRAP_CLOSES)
        close_conn(c, 7);
    if (what == WRAP_CALLS)
        try_everything(c);
    if (what == WRAP_STICKS)
        only_once(get_stuck);
    if (what == WRAP_ENDS_THREAD)
        only_once(end_thread);
    if (what == WRAP_REFERS)
        evbuffer_add_reference(bufferevent_get_output(c->bufev), "by reference ", 13, on_cleanup, NULL);
    return bufferevent_write(c->bufev, "[", 1) != 0 || bufferevent_write(c->bufev, data, len) != 0 ||
           bufferevent_write(c->bufev, "]\n", 2) != 0;
}

bool register_wrapped(void)
{
    return regist_framing(
               &(struct mario_framing){.name = "wrapped", .next = next_line, .wrap = wrap, .max = 8192}) == 0;
}
