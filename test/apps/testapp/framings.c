/*
 * framings.c: framings of an application's own, one that is right and one that is not; and a function that answers over
 * any framing. On the thread that runs functions of the connection; register_framings() on main.
 */
#include "app.h"

sint32 do_framed(CONN *c)
{
    own_functions++;
    own_functions_away += c->owner->base == NULL;
    track_is_wrong(c);
    return mario_reply(c, c->in_buf, c->in_buf_len);
}

/* `own`: 'P', a length of one byte, and so many bytes; a zero byte between two packets means nothing. What the state
 * counts is said when a packet begins with '?': as a packet of its own, which next() writes. */
static enum mario_frame_answer own_next(const struct mario_framing *framing, void *state, ubyte *data,
                                        uint32 n, uint32 seen, struct mario_frame *frame)
{
    uint32 packets;
    (void) framing;
    (void) seen;
    if (data[0] == 0 || data[0] == '?') {
        memcpy(&packets, state, sizeof packets);
        ubyte said[3] = {'P', 1, (ubyte) packets};
        if (data[0] == '?')
            bufferevent_write(mario_frame_conn()->bufev, said, sizeof said);
        frame->need = 1;
        return MARIO_FRAME_SKIP;
    }
    if (data[0] != 'P')
        return MARIO_FRAME_BAD;
    if (n < 2)
        return MARIO_FRAME_MORE;
    frame->at = 2;
    frame->len = data[1];
    frame->need = 2u + data[1];
    frame->id = TEST_FRAMED;
    if (n < frame->need)
        return MARIO_FRAME_MORE;
    memcpy(&packets, state, sizeof packets);
    packets++;
    memcpy(state, &packets, sizeof packets);
    return MARIO_FRAME_OK;
}

static sint32 own_wrap(CONN *c, uint16 id, const void *data, uint32 len)
{
    ubyte head[2] = {'P', (ubyte) len};
    (void) id;
    return len > 255
               ? -1
               : bufferevent_write(c->bufev, head, sizeof head) | bufferevent_write(c->bufev, data, len);
}

/* `mad`: a packet is a byte, which says what nonsense is answered. */
static enum mario_frame_answer mad_next(const struct mario_framing *framing, void *state, ubyte *data,
                                        uint32 n, uint32 seen, struct mario_frame *frame)
{
    (void) framing;
    (void) state;
    (void) seen;
    frame->id = TEST_SILENT;
    frame->need = 1;
    frame->len = 1;
    switch (data[0]) {
    case MAD_NEED_0:
        frame->need = 0;
        frame->len = 0;
        return MARIO_FRAME_OK;
    case MAD_NEED_MORE:
        frame->need = n + 1;
        return MARIO_FRAME_OK;
    case MAD_SHOWS_MORE:
        frame->at = 1;
        return MARIO_FRAME_OK;
    case MAD_SHOWS_AROUND: /* a sum that is small again */
        frame->at = 0xffffffff;
        frame->len = 2;
        return MARIO_FRAME_OK;
    case MAD_ID:
        frame->id = g_akg_error_id;
        return MARIO_FRAME_OK;
    case MAD_MORE_OF_LESS:
        return MARIO_FRAME_MORE;
    case MAD_SKIP_0:
        frame->need = 0;
        return MARIO_FRAME_SKIP;
    case MAD_ANSWER:
        return (enum mario_frame_answer) 77;
    case MAD_BAD:
        frame->fault = 0x123;
        return MARIO_FRAME_BAD;
    case MAD_ENDS_THREAD:
        pthread_exit(NULL);
    case MAD_CLOSES:
        close_conn(mario_frame_conn(), 0);
        return MARIO_FRAME_OK;
    case MAD_STICKS:
        stick(1);
        return MARIO_FRAME_OK;
    default:
        return MARIO_FRAME_OK;
    }
}

bool register_framings(void)
{
    static const struct mario_framing own = {
        .name = "own", .next = own_next, .wrap = own_wrap, .state_size = sizeof(uint32), .max = 1000};
    static const struct mario_framing mad = {.name = "mad", .next = mad_next, .max = 1000};
    return regist_framing(&own) == 0 && regist_framing(&mad) == 0 &&
           regist_word_func("framed", TEST_FRAMED, do_framed) == 0;
}
