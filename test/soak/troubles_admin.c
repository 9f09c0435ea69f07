/*
 * troubles_admin.c: operators, and who would be one: garbage, halves, crowds, wrong tokens at the server's admin
 * address, and questions that must be answered whatever else happens. Neighbours must not notice. Main thread.
 *
 * Who is too much there has to go, so an answer that never came is no complaint; a wrong one is.
 */
#include "soak.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "test/integration/surfer.h"

enum { CROWD_ROUNDS = 15, CROWD = 20, PEEK = 12 /* "HTTP/1.1 200" */ };

/* One more, by either address. */
static int open_one(struct trouble *t)
{
    ITEST_ASSERT(t->count < FDS_MAX, "%s has too many connections", t->kind->name);
    return t->fds[t->count++] = chance_in(&t->chance, 0, 3) == 0 ? surfer_open_unix() : surfer_open();
}

/* It may be gone already. */
static void send_some(int fd, const char *text, size_t n)
{
    net_send(fd, text, n);
}

static bool all_ended(struct soak *s, struct trouble *t)
{
    (void) s;
    return trouble_all_ended(t);
}

/* ---- Garbage, halves, crowds ---- */

static const char *const good[] = {
    "GET /api/stats HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/workers HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/conn/list?limit=50 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/conn/top?bytes HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/limits HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET /api/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
};
enum { GOOD = sizeof good / sizeof good[0] };

/* Bytes of chance, and requests in which some were changed. */
static void garbage_begin(struct soak *s, struct trouble *t)
{
    (void) s;
    for (uint32_t n = chance_in(&t->chance, 1, 20); n > 0; n--) {
        char text[600];
        const char *of = good[chance_in(&t->chance, 0, GOOD - 1)];
        size_t len = strlen(of);
        memcpy(text, of, len);
        for (uint32_t k = chance_in(&t->chance, 1, 40); k > 0; k--)
            text[chance_in(&t->chance, 0, (uint32_t) len - 1)] = (char) chance_next(&t->chance);
        int fd = open_one(t);
        send_some(fd, text, len);
        if (n % 3 == 0)
            shutdown(fd, SHUT_WR);
    }
}

/* They say a half, or nothing, and wait until they have to go. */
static void halves_begin(struct soak *s, struct trouble *t)
{
    (void) s;
    for (uint32_t n = chance_in(&t->chance, 1, 40); n > 0; n--) {
        const char *of = good[chance_in(&t->chance, 0, GOOD - 1)];
        send_some(open_one(t), of, chance_in(&t->chance, 0, (uint32_t) strlen(of) - 1));
    }
}

/* Some at a time, which leave at once, by FIN or RST, some with a question that nobody waits for. */
static bool crowd_is_over(struct soak *s, struct trouble *t)
{
    (void) s;
    for (int n = 0; n < CROWD; n++) {
        const char *of = good[chance_in(&t->chance, 0, GOOD - 1)];
        int fd = surfer_open();
        if (n % 2)
            send_some(fd, of, strlen(of));
        if (n % 3)
            net_reset(fd);
        else
            close(fd);
    }
    return ++t->step == CROWD_ROUNDS;
}

static void crowd_begin(struct soak *s, struct trouble *t)
{
    crowd_is_over(s, t);
}

/* ---- Answers ---- */

/* What each has got so far begins so; then as trouble_all_ended(). What comes behind it may be anything. */
static bool answers_are_good(struct soak *s, struct trouble *t, const char *wanted)
{
    for (uint32_t i = 0; i < t->count; i++) {
        char got[PEEK + 1] = "";
        ssize_t n = t->fds[i] < 0 ? 0 : recv(t->fds[i], got, PEEK, MSG_PEEK | MSG_DONTWAIT);
        if (n == PEEK && strncmp(got, "HTTP", 4) == 0 && strncmp(got, wanted, PEEK) != 0)
            complain(s, "an operator was answered '%s'", got);
    }
    return trouble_all_ended(t);
}

static void asks_begin(struct soak *s, struct trouble *t)
{
    (void) s;
    for (uint32_t n = chance_in(&t->chance, 1, 8); n > 0; n--) {
        const char *of = good[chance_in(&t->chance, 0, GOOD - 1)];
        send_some(open_one(t), of, strlen(of));
    }
}

static bool asks_is_over(struct soak *s, struct trouble *t)
{
    return answers_are_good(s, t, "HTTP/1.1 200");
}

/* Changes with a token that is nearly right, over TCP. */
static void tokens_begin(struct soak *s, struct trouble *t)
{
    (void) s;
    for (uint32_t n = chance_in(&t->chance, 1, 20); n > 0; n--) {
        char text[400], token[] = SURFER_TOKEN;
        token[chance_in(&t->chance, 0, sizeof token - 2)] ^= 1;
        int len =
            snprintf(text, sizeof text,
                     "POST /api/test/change HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                     "Authorization: Bearer %s\r\nContent-Length: 2\r\n\r\n{}",
                     token);
        t->fds[t->count++] = surfer_open();
        send_some(t->fds[t->count - 1], text, (size_t) len);
    }
}

static bool tokens_is_over(struct soak *s, struct trouble *t)
{
    return answers_are_good(s, t, "HTTP/1.1 401");
}

struct trouble_kind admin_troubles[] = {
    {"admin_garbage", NEEDS_NOTHING, 2, garbage_begin, all_ended, 0},
    {"admin_halves", NEEDS_NOTHING, 1, halves_begin, all_ended, 0},
    {"admin_crowd", NEEDS_NOTHING, 1, crowd_begin, crowd_is_over, 0},
    {"admin_asks", NEEDS_NOTHING, 3, asks_begin, asks_is_over, 0},
    {"admin_tokens", NEEDS_NOTHING, 1, tokens_begin, tokens_is_over, 0},
    {NULL, NEEDS_NOTHING, 0, NULL, NULL, 0},
};
