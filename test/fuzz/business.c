/*
 * business.c: functions for the fuzzed worker. They run on the worker, which is the fuzzer's thread; those that are
 * offloaded on a thread of the pool while the fuzzer's thread waits for them.
 */
#include "business.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "further.h"
#include "mario/exec/executor.h"

enum deed { ECHO, SILENT, FLOOD, CLOSE, FAIL, KICK, DIE, REFER, CLOSE_FD };

static const struct {
    enum place place;
    enum deed deed;
} rows[] = {
    {INLINE, ECHO},      {INLINE, SILENT},      {INLINE, FLOOD},    {INLINE, CLOSE},     {INLINE, FAIL},
    {INLINE, KICK},      {INLINE, DIE},         {OFFLOADED, ECHO},  {OFFLOADED, SILENT}, {OFFLOADED, FLOOD},
    {OFFLOADED, CLOSE},  {OFFLOADED, FAIL},     {OFFLOADED, DIE},   {OFFLOADED, KICK},   {CONCURRENT, ECHO},
    {CONCURRENT, FLOOD}, {CONCURRENT, CLOSE},   {CONCURRENT, FAIL}, {INLINE, REFER},     {OFFLOADED, REFER},
    {INLINE, CLOSE_FD},  {OFFLOADED, CLOSE_FD},
};

struct business business;

unsigned business_count(void)
{
    return sizeof rows / sizeof rows[0];
}

enum place business_where(uint16 akg_id)
{
    return rows[akg_id - FIRST_ID].place;
}

/* What a function of c writes, or does to it, matters only then. An offloaded function's c is a copy. */
static bool is_open(const CONN *c)
{
    return business.shard->conns[c->ind].state == CONN_OPEN;
}

static enum reason reason_of(const CONN *c)
{
    return business.shard->conns[c->ind].reason;
}

static void say(struct client *a, CONN *c, const void *data, size_t n)
{
    int rc = bufferevent_write(c->bufev, data, n);
    MUST(rc == 0 || rules.starved);
    if (rc == 0 && is_open(c))
        peer_owes(&a->peer, data, n);
    if (!is_open(
            c)) /* who has only said that it will send no more still gets its answers; so does who is there at a stop */
        MUST(a->peer.dropped || a->peer.lost || a->peer.at_once ||
             !(reason_of(c) == REASON_peer_closed || reason_of(c) == REASON_stop));
}

static void say_much(struct client *a, CONN *c, size_t n)
{
    while (n > 0) {
        size_t part = n < c->out_buf_len ? n : c->out_buf_len;
        for (size_t i = 0; i < part; i++)
            c->out_buf[i] = (char) ((n + i) * 7);
        say(a, c, c->out_buf, part);
        n -= part;
    }
}

static void decide(struct client *a, const CONN *c, enum reason fate, uint16 err_type)
{
    if (!is_open(c) || a->peer.fate != REASON_NONE)
        return;
    a->peer.fate = fate;
    a->peer.err_type = err_type;
}

/* Twice, and then it writes: only what came before counts. */
static sint32 close_and_go_on(struct client *a, CONN *c, uint8_t how)
{
    static const uint16 ids[] = {1, g_akg_timeout_id, g_akg_closed_id, g_akg_error_id};
    uint16 id = ids[how & 3];
    say(a, c, "bye", 3);
    close_conn(c, id);
    close_err_conn(c);
    decide(a, c, id == g_akg_error_id ? REASON_function_error : REASON_function_closed, id);
    bufferevent_write(c->bufev, "after that", 10);
    return how & 4 ? 1 : 0;
}

static sint32 fail(struct client *a, CONN *c)
{
    say(a, c, "sorry", 5);
    decide(a, c, REASON_function_error, g_akg_error_id);
    return -1;
}

/* Close another one, which only a function on the worker can. */
static sint32 kick(struct client *a, CONN *c, uint8_t whom)
{
    struct client *victim = &business.clients[whom % CLIENTS];
    if (victim == a)
        return close_and_go_on(a, c, whom);
    if (victim->conn != NULL) {
        if (executor_here->shard != NULL && is_open(victim->conn))
            victim->peer.kicked = true;
        close_conn(victim->conn, 1);
        close_conn(victim->conn, g_akg_closed_id);
    }
    say(a, c, "kicked", 6);
    return 0;
}

_Noreturn static void die(struct client *a, const CONN *c)
{
    if (is_open(c))
        a->peer.died = true;
    if (executor_here->shard == NULL)
        pthread_exit(NULL);
    business.deaths++;
    longjmp(business.death, 1);
}

/* ---- What is the application's ---- */

struct reference {
    struct client *a;
    CONN *c;
    const struct executor *executor;
    uint8_t how;
};

enum { REFERENCE_WRITES = 1, REFERENCE_CLOSES = 2 };

/* libevent gives it back: on the thread that wrote it, while its connection's function counts as running. */
static void on_reference(const void *data, size_t n, void *arg)
{
    struct reference r = *(struct reference *) arg;
    (void) n;
    free((void *) (uintptr_t) data);
    free(arg);
    business.cleanups++;
    MUST(executor_here == r.executor && executor_here->conn == r.c);
    if (r.how & REFERENCE_WRITES)
        bufferevent_write(r.c->bufev, "out of turn", 11);
    if (r.how & REFERENCE_CLOSES) {
        close_conn(r.c, 1);
        if (!r.a->peer.died)
            decide(r.a, r.c, REASON_function_closed, 1);
    }
}

static sint32 refer(struct client *a, CONN *c, uint8_t how)
{
    size_t n = 1 + (size_t) (how >> 2) * 128;
    struct reference *r = calloc(1, sizeof *r);
    unsigned char *data = calloc(1, n);
    MUST(r != NULL && data != NULL);
    memset(data, how, n);
    *r = (struct reference){.a = a, .c = c, .executor = executor_here, .how = how};
    say(a, c, "<", 1);
    if (evbuffer_add_reference(bufferevent_get_output(c->bufev), data, n, on_reference, r) != 0) {
        MUST(rules.starved);
        free(data);
        free(r);
        return 0;
    }
    business.references++;
    if (is_open(c))
        peer_owes(&a->peer, data, n);
    say(a, c, ">", 1);
    return 0;
}

/* What it must not: the number is somebody else's soon. */
static sint32 close_descriptor(struct client *a, CONN *c, uint8_t how)
{
    if (how & 1)
        say(a, c, "lost", 4);
    if (is_open(c) && !a->peer.lost) {
        MUST(close(c->fd) == 0);
        business.on_closed_fd(c->fd);
        business.closed_fds++;
        a->peer.lost = true;
    }
    return how & 2 ? close_and_go_on(a, c, how >> 2) : 0;
}

static sint32 behave(struct client *a, CONN *c, enum deed deed)
{
    uint8_t parameter = c->in_buf_len > SIZE_OF_HEAD ? (uint8_t) c->in_buf[SIZE_OF_HEAD] : 0;
    switch (deed) {
    case ECHO:
        say(a, c, c->in_buf, c->in_buf_len);
        return 0;
    case SILENT:
        return 0;
    case FLOOD:
        say_much(a, c, (size_t) parameter * 256);
        return 0;
    case CLOSE:
        return close_and_go_on(a, c, parameter);
    case FAIL:
        return fail(a, c);
    case KICK:
        return kick(a, c, parameter);
    case DIE:
        say(a, c, "I", 1);
        die(a, c);
    case REFER:
        return refer(a, c, parameter);
    case CLOSE_FD:
        return close_descriptor(a, c, parameter);
    }
    abort();
}

/* Who it is, it can ask wherever it runs. */
static void check_address(const struct client *a, const CONN *c)
{
    char text[64];
    MUST(mario_peer(c, text, sizeof text) == 0 && strcmp(text, a->address) == 0);
}

static void wait_at_gate(void)
{
    business.at_gate++;
    MUST(sem_wait(&business.gate) == 0);
    business.at_gate--;
}

static sint32 answer(CONN *c)
{
    struct client *a = c->user;
    if (c->fd < 0 || a->peer.is_loose) {
        if (executor_here->shard == NULL)
            wait_at_gate();
        return further_answer(c);
    }
    uint16 id = head_read16((const unsigned char *) c->in_buf + 6);
    enum place place = business_where(id);
    if (place != INLINE)
        wait_at_gate();
    MUST(a != NULL && a->server_fd == c->fd && (executor_here->shard != NULL) == (place == INLINE));
    MUST(place != INLINE || c->out_buf_len == rules.framing->max);
    if (place == INLINE)
        MUST(a->conn == c && a->peer.state == PEER_SERVED && a->peer.fate == REASON_NONE && !a->peer.kicked);
    check_address(a, c);
    peer_take(&a->peer, place, c->in_buf, c->in_buf_len);
    business.calls++;
    if (place == INLINE) {
        a->turn_calls++;
        business.kept = c->bufev;
    }
    return behave(a, c, rows[id - FIRST_ID].deed);
}

/* Where the script says that an urgent byte stands. */
static sint32 on_urgent(CONN *c)
{
    struct client *a = c->user;
    MUST(a != NULL && a->conn == c && a->peer.state == PEER_SERVED && a->peer.fate == REASON_NONE);
    say(a, c, "urgent", 6);
    if (a->mode & MODE_UNIX)
        say_much(a, c, 6000);
    return a->mode & MODE_DIE_AT_END ? fail(a, c) : 0;
}

/* ---- Hooks ---- */

static sint32 on_connected(CONN *c)
{
    struct client *a = NULL;
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct client *one = &business.clients[i];
        if (one->peer.state == PEER_ARRIVING && one->server_fd == c->fd)
            a = one;
    }
    if (a == NULL && further_is_late(c))
        return -1;
    MUST(a != NULL && c->user == NULL && c->in_buf_len == 0 && c->err_type == 0);
    if (!a->peer.is_loose)
        check_address(a, c);
    a->peer.state = PEER_SERVED;
    a->conn = c;
    c->user = a;
    if (a->peer.is_loose)
        return further_begin(c);
    switch (a->mode % MODE_DIE_AT_END % MODES) {
    case MODE_GREET:
        say(a, c, "hello", 5);
        return 0;
    case MODE_CLOSE:
        return close_and_go_on(a, c, 0);
    case MODE_FAIL:
        return fail(a, c);
    case MODE_FLOOD:
        say_much(a, c, 20000);
        return 0;
    case MODE_DIE:
        die(a, c);
    default:
        return 0;
    }
}

static sint32 on_end(CONN *c, uint16 hook)
{
    struct client *a = c->user;
    enum reason r = reason_of(c);
    if (a == NULL || a->peer.is_loose)
        return further_end(c);
    MUST(a != NULL && a->conn == c && a->server_fd == c->fd);
    check_address(a, c);
    peer_end(&a->peer, r, hook, c->err_type);
    business.ends[r]++;
    a->conn = NULL;
    business.lost_fds += a->peer.lost && r != REASON_peer_closed && r != REASON_reset;
    bufferevent_write(c->bufev, "too late", 8);
    if (business.kept != NULL)
        bufferevent_write(business.kept, "nobody's", 8);
    close_conn(c, 1);
    if (a->mode & MODE_DIE_AT_END)
        die(a, c);
    return -1;
}

static sint32 on_closed(CONN *c)
{
    return on_end(c, g_akg_closed_id);
}

static sint32 on_timeout(CONN *c)
{
    return on_end(c, g_akg_timeout_id);
}

static sint32 on_error(CONN *c)
{
    return on_end(c, g_akg_error_id);
}

static sint32 regist(uint16 id, enum place place)
{
    return place == INLINE      ? regist_akg_func(id, answer)
           : place == OFFLOADED ? regist_akg_func_offload(id, answer)
                                : regist_akg_func_offload_concurrent(id, answer);
}

void business_setup(struct shard *s)
{
    business.shard = s;
    MUST(sem_init(&business.gate, 0, 0) == 0);
    for (unsigned i = 0; i < business_count(); i++)
        MUST(regist((uint16) (FIRST_ID + i), rows[i].place) == 0);
    MUST(regist_connected_func(on_connected) == 0 && regist_closed_func(on_closed) == 0);
    MUST(regist_timeout_func(on_timeout) == 0 && regist_error_func(on_error) == 0);
    MUST(regist_urgent_func(on_urgent) == 0);
    for (unsigned i = 0; i < CLIENTS; i++)
        business.clients[i].fd = -1;
}
