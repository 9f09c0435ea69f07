/*
 * body.c: bodies of answers. Runs on the connection's worker, body_send() also on a thread of the pool.
 *
 * A long body is a struct body. Whose turn it is has it: a message on its way, whose receipt comes; or a call of
 * send_more(), which is ordered. If an order finds no room, nobody has it, and the connection's timer looks after it.
 */
#include "body.h"
#include "answer.h"

enum {
    WHOLE_MAX = 131072, /* a body up to this is written at once */
    PIECE = 61440,      /* of a longer one in a message */
    LOOK_AFTER_MS = 200
};

struct body {
    uint64 conn; /* its connection's name */
    uint64 at, left;
    int fd;
    bool closes;  /* the connection does, behind it */
    bool early;   /* something came meanwhile */
    bool sent;    /* the message that has it is on its way, or was */
    bool forlorn; /* nobody has it */
    int refs;     /* c->user, and whoever has it: not always on one thread */
};

static void body_unref(struct body *b)
{
    if (__atomic_sub_fetch(&b->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    close(b->fd);
    free(b);
}

/* The connection has done with it. */
static void body_leave(CONN *c)
{
    struct body *b = c->user;
    bool forlorn = b->forlorn;
    c->user = NULL;
    body_unref(b);
    if (forlorn)
        body_unref(b);
}

void body_came_early(CONN *c)
{
    struct body *b = c->user;
    b->early = true;
}

/* len bytes of a file to the end of out; false if it has become shorter. */
static bool read_into(struct evbuffer *out, int fd, uint64 at, uint64 len)
{
    while (len > 0) {
        struct evbuffer_iovec v;
        size_t want = len < PIECE ? (size_t) len : PIECE;
        if (evbuffer_reserve_space(out, (ev_ssize_t) want, &v, 1) != 1)
            return false;
        ssize_t n = pread(fd, v.iov_base, want, (off_t) at);
        v.iov_len = n > 0 ? (size_t) n : 0;
        if (evbuffer_commit_space(out, &v, 1) != 0 || n <= 0)
            return false;
        at += (uint64) n;
        len -= (uint64) n;
    }
    return true;
}

/* ---- Long ones ---- */

/* What is left of it goes out as the function's answer, so that whoever asks the next thing then is heard. */
static sint32 send_last(CONN *c, struct body *b)
{
    bool good = read_into(bufferevent_get_output(c->bufev), b->fd, b->at, b->left);
    if (b->closes || b->early)
        close_conn(c, g_akg_closed_id);
    body_leave(c);
    body_unref(b);
    return good ? 0 : -1;
}

/* A message of its next bytes, made in c's scratch; NULL if there is no room for it now. *good is false if the file has
 * become shorter. */
static struct mario_msg *make_piece(CONN *c, const struct body *b, bool *good)
{
    *good = pread(b->fd, c->out_buf, PIECE, (off_t) b->at) == PIECE;
    struct mario_msg *m = *good ? mario_msg(c->out_buf, PIECE) : NULL;
    if (m != NULL)
        mario_msg_keep(m);
    return m;
}

/* c is NULL if there is none any more. */
static sint32 send_more(CONN *c, void *arg)
{
    struct body *b = arg;
    bool good = true;
    if (c == NULL) {
        body_unref(b);
        return 0;
    }
    b->forlorn = false;
    if (b->left <= PIECE)
        return send_last(c, b);
    struct mario_msg *m = make_piece(c, b, &good);
    b->forlorn = m == NULL;
    if (m != NULL) {
        mario_msg_receipt(m, (uint64) (uintptr_t) b); /* from here on the message has it, sent or not */
        b->sent = mario_send(b->conn, m) == 0;
    }
    mario_msg_free(&m);
    return good ? 0 : -1;
}

/* What it was to go on with cannot be ordered. If the connection has gone, that was the last one to have it. */
static void forsake(struct body *b)
{
    b->forlorn = true;
    if (__atomic_load_n(&b->refs, __ATOMIC_ACQUIRE) == 1)
        body_unref(b);
}

static void on_receipt(const struct mario_receipt *r)
{
    struct body *b = (struct body *) (uintptr_t) r->tag;
    if (b->sent) {
        b->at += PIECE;
        b->left -= PIECE;
        b->sent = false;
    }
    if (mario_run(b->conn, send_more, b) != 0)
        forsake(b);
}

/* The connection's timer, while a body is being sent. */
static sint32 look_after(CONN *c, void *unused)
{
    struct body *b = c->user;
    if (b == NULL)
        return 0;
    if (mario_timer(c, LOOK_AFTER_MS, look_after, unused) != 0)
        return -1;
    return b->forlorn ? send_more(c, b) : 0;
}

static sint32 send_long(CONN *c, const struct body *with)
{
    struct body *b = malloc(sizeof *b);
    if (b == NULL || mario_timer(c, LOOK_AFTER_MS, look_after, NULL) != 0) {
        free(b);
        close(with->fd);
        return -1;
    }
    *b = *with;
    b->refs = 2;
    c->user = b;
    if (mario_run(b->conn, send_more, b) != 0)
        b->forlorn = true;
    return 0;
}

sint32 body_send(CONN *c, const struct head *h, int fd, uint64 at, uint64 len)
{
    if (len > WHOLE_MAX) {
        struct body b = {.conn = mario_conn_id(c), .at = at, .left = len, .fd = fd, .closes = !h->keep};
        return send_long(c, &b);
    }
    bool good = read_into(bufferevent_get_output(c->bufev), fd, at, len);
    close(fd);
    return good ? answer_end(c, h) : -1;
}

/* The end hook. */
static sint32 body_end(CONN *c)
{
    if (c->user != NULL)
        body_leave(c);
    return 0;
}

sint32 body_prepare(void)
{
    return regist_receipt_func(on_receipt) == 0 && regist_disconnected_func(body_end) == 0 ? 0 : -1;
}
