/*
 * post.c: sending, with patience. The clerk's thread.
 */
#include "post.h"

enum { REST_NS = 1000000, RESTS_MAX = 3000 }; /* 3 s at least */

static LOG_QUEUE *complaints;

void post_setup(LOG_QUEUE *qlog)
{
    complaints = qlog;
}

/* An order was refused `times` times by now: rest and try it again? */
static bool again(uint32 times)
{
    if (errno == EAGAIN && times < RESTS_MAX) {
        nsleep(REST_NS);
        return true;
    }
    if (errno != ESHUTDOWN)
        slog_warn_t(complaints, "not sent: %s", strerror(errno));
    return false;
}

/* Give an order until it is accepted. */
#define INSIST(order)                                   \
    do {                                                \
        for (uint32 times = 0; (order) != 0; times++) { \
            if (!again(times))                          \
                return false;                           \
        }                                               \
        return true;                                    \
    } while (0)

struct mario_msg *post_make(uint16 what, const void *data, size_t len)
{
    struct mario_msg *m = mario_msg_packet(what, data, (uint32) len);
    if (m == NULL)
        slog_warn_t(complaints, "not sent: %s", strerror(errno));
    return m;
}

bool post_send(uint64 id, struct mario_msg *m)
{
    INSIST(mario_send(id, m));
}

bool post_user(uint64 user, struct mario_msg *m)
{
    INSIST(mario_send_user(user, m));
}

bool post_room(uint64 room, struct mario_msg *m, uint64 except_id)
{
    INSIST(mario_send_group(room, m, except_id));
}

bool post_last(uint64 id, struct mario_msg *m)
{
    INSIST(mario_kick(id, g_akg_closed_id, m));
}

bool post_join(uint64 id, uint64 room)
{
    INSIST(mario_join_id(id, room));
}

bool post_leave(uint64 id, uint64 room)
{
    INSIST(mario_leave_id(id, room));
}

bool post_run(uint64 id, sint32 (*f)(CONN *c, void *arg), void *arg)
{
    INSIST(mario_run(id, f, arg));
}

bool post_answer(uint64 id, uint16 what, const void *data, size_t len)
{
    struct mario_msg *m = post_make(what, data, len);
    bool ok = m != NULL && post_send(id, m);
    mario_msg_free(&m);
    return ok;
}
