/*
 * asker.c: one connection that asks. Runs on the thread it belongs to at the time.
 */
#include "asker.h"

#include <errno.h>
#include <string.h>

static void forget(struct asker *a)
{
    a->asked = a->sent = a->done;
    a->part = a->kept = 0;
    a->greeted = a->welcome = 0;
    a->blank = 0;
    a->watch = (struct net_watch){0};
}

void asker_open(struct asker *a, int fd)
{
    forget(a);
    a->fd = fd;
}

void asker_close(struct asker *a)
{
    if (a->fd >= 0)
        net_close(a->fd);
    a->fd = -1;
    forget(a);
}

/* As asker_send(). */
static int greet(struct asker *a, const struct exchange *x)
{
    size_t left = strlen(x->greeting + a->greeted);
    ptrdiff_t k = left == 0 ? 0 : net_send(a->fd, x->greeting + a->greeted, left);
    if (k < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    a->greeted = (uint16_t) (a->greeted + k);
    return (size_t) k == left;
}

int asker_send(struct asker *a, const struct exchange *x, unsigned char *scratch, size_t size)
{
    if (net_owes(a->fd) && net_send(a->fd, scratch, 0) < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -1;
    if (x->greeting != NULL && a->greeted < strlen(x->greeting)) {
        int took = greet(a, x);
        if (took <= 0)
            return took;
    }
    if (x->greeting != NULL && a->blank < ASKER_WELCOMED)
        return 1; /* it goes on when the answer is there */
    size_t len = x->request_len, room = size / len;
    while (a->sent != a->asked) {
        uint32_t n = a->asked - a->sent < room ? a->asked - a->sent : (uint32_t) room;
        exchange_build_run(x, a->number, a->sent, n, scratch);
        size_t bytes = n * len - a->part;
        ptrdiff_t k = net_send(a->fd, scratch + a->part, bytes);
        if (k < 0)
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        size_t have = a->part + (size_t) k;
        a->sent += (uint32_t) (have / len);
        a->part = (uint32_t) (have % len);
        if ((size_t) k < bytes)
            return 0;
    }
    return 1;
}

/* Look for the end of the answer to a greeting in what has come; it is used up. */
static void take_welcome(struct asker *a, const unsigned char *in, struct asker_news *news)
{
    static const char begin[] = "HTTP/1.1 101", end[] = "\r\n\r\n";
    while (news->used < news->bytes && a->blank < ASKER_WELCOMED && news->fault == FAULT_NONE) {
        char c = (char) in[news->used++];
        if (a->welcome < sizeof begin - 1 && c != begin[a->welcome])
            news->fault = FAULT_BAD_CONTENT;
        a->blank = c == end[a->blank] ? (uint8_t) (a->blank + 1) : c == end[0];
        a->welcome++;
    }
    news->welcomed = a->blank == ASKER_WELCOMED;
}

/* Judge what stands in in[0 .. news->bytes-1]; the first reply answers request done. */
static void judge(struct asker *a, const struct exchange *x, const unsigned char *in, struct asker_news *news)
{
    if (a->sent != a->done) {
        news->replies = exchange_count_right(x, in, news->bytes, a->sent - a->done);
        news->used += (size_t) news->replies * x->reply_len;
        a->done += news->replies;
    }
    while (news->used < news->bytes && news->fault == FAULT_NONE) {
        const unsigned char *next = in + news->used;
        size_t n = news->bytes - news->used;
        if (a->done == a->sent) {
            int away = exchange_is_away(x->stx, next, n);
            if (away != 0) /* else a reply to no request */
                news->fault = away > 0 ? FAULT_AWAY : FAULT_BAD_CONTENT;
            return;
        }
        int k = exchange_judge(x, a->number, a->done, next, n, &news->fault);
        if (k <= 0)
            return;
        news->used += (size_t) k;
        news->replies++;
        a->done++;
    }
}

ptrdiff_t asker_receive(struct asker *a, const struct exchange *x, unsigned char *in, size_t size,
                        struct asker_news *news, uint64_t *stamp)
{
    ptrdiff_t n;
    *news = (struct asker_news){.fault = FAULT_NONE};
    memcpy(in, a->keep, a->kept);
    do {
        n = stamp == NULL ? net_recv(a->fd, in + a->kept, size - a->kept)
                          : net_recv_stamped(a->fd, in + a->kept, size - a->kept, stamp);
    } while (n < 0 && errno == EINTR);
    if (n == 0)
        errno = 0;
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? 0 : -1;
    news->bytes = a->kept + (size_t) n;
    if (x->greeting != NULL && a->blank < ASKER_WELCOMED)
        take_welcome(a, in, news);
    judge(a, x, in, news);
    a->kept = news->fault == FAULT_NONE ? (uint32_t) (news->bytes - news->used) : 0;
    memcpy(a->keep, in + news->used, a->kept);
    return n;
}
