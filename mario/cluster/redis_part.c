/*
 * redis_part.c: one server of Redis: its two connections, how they come to be, and what happens when one of them ends:
 * then both do. The cluster's thread.
 */
#ifdef MARIO_WITH_REDIS
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/cluster/redis_inside.h"

enum {
    BACKOFF_LEAST_MS = 50,
    BACKOFF_MOST_MS = 2000,
    STEADY_MS = 2000,  /* who was up for so long begins with the least again */
    LOOK_UP_MS = 20,   /* looks whether a name has been found */
    NAME_MS = 5000,    /* a name must have been found */
    CONNECT_MS = 2000, /* both connections must be there */
    ANSWER_MS = 5000,  /* an answer must have come */
    QUIET_MS = 2000,   /* nothing on its way and nothing heard: PING */
    LATE_LOOKS = 2,    /* where all were stopped, the answer comes a moment after they go on */
    ROOM_BYTES = 256 * 1024,
    ROOM_ASKED = 16384
};

static const struct timeval look_up_pause = {.tv_usec = LOOK_UP_MS * 1000};

/* ---- The end ---- */

static void set_state(struct redis_part *p, enum redis_state state)
{
    p->state = state;
    p->since_ms = clock_ms();
}

/* From backoff/2 to backoff, then twice as long up to the most. */
static void rest(struct redis_part *p)
{
    uint32_t ms = p->backoff_ms / 2 + (uint32_t) (redis_random(p->bus) % (p->backoff_ms / 2 + 1));
    struct timeval pause = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
    p->backoff_ms = p->backoff_ms < BACKOFF_MOST_MS / 2 ? p->backoff_ms * 2 : BACKOFF_MOST_MS;
    event_add(p->again, &pause);
}

static void close_both(struct redis_part *p)
{
    redis_link_close(&p->commands);
    redis_link_close(&p->subscriptions);
    redis_hear_reset(p);
    p->commands_ready = p->loading = p->answered = false;
    p->commands_late = p->heard_late = 0;
    for (size_t n = p->asked.n; n > 0; n--)
        redis_answer_failed(p->bus, redis_line_take(&p->asked));
}

static bool connect_next(struct redis_part *p);

/* The part is down, because of text. Open answers are told as failed before that is told, when it is down already. */
static void fail(struct redis_part *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(struct redis_part *p, const char *format, ...)
{
    char text[256], why[640];
    enum redis_said said = p->password ? SAID_PASSWORD : SAID_UNREACHABLE;
    bool was_up = p->state == PART_UP, was_connecting = p->state == PART_CONNECTING;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (was_up && clock_ms() - p->since_ms >= STEADY_MS)
        p->backoff_ms = BACKOFF_LEAST_MS;
    set_state(p, PART_RESTING);
    p->password = false;
    close_both(p);
    if (was_connecting && connect_next(p))
        return;
    redis_lookup_end(&p->lookup);
    p->next = NULL;
    rest(p);
    if (!was_up && p->said >= said)
        return;
    p->said = said;
    snprintf(why, sizeof why, "%s%s:%s: %s", said == SAID_PASSWORD ? BUS_PASSWORD ": " : "redis ",
             p->address.host, p->address.port, text);
    p->bus->events->down(p->bus->arg, p->index, why);
}

void redis_part_broken(void *arg, const char *why)
{
    struct redis_part *p = arg;
    char text[256];
    snprintf(text, sizeof text, "%s", why);
    fail(p, "%s", text);
}

static bool begins_with(const struct redis_item *i, const char *text)
{
    return i->len >= strlen(text) && memcmp(i->bytes, text, strlen(text)) == 0;
}

void redis_part_refused(struct redis_part *p, struct redis_link *l, const struct redis_item *i)
{
    static const char *const words[] = {"NOAUTH", "WRONGPASS", "ERR AUTH", "ERR invalid password",
                                        "ERR Client sent AUTH"};
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++)
        p->password |= begins_with(i, words[w]);
    redis_link_spoil(l, "%.*s", (int) (i->len < 200 ? i->len : 200), i->bytes);
}

/* ---- The beginning ---- */

static bool open_both(struct redis_part *p, const struct addrinfo *to)
{
    struct event_base *base = p->bus->config.base;
    bool done = redis_link_open(&p->commands, base, to->ai_addr, to->ai_addrlen) &&
                redis_link_open(&p->subscriptions, base, to->ai_addr, to->ai_addrlen) &&
                redis_answer_greet(p) && redis_hear_greet(p);
    int error = errno;
    if (!done)
        close_both(p);
    errno = error;
    return done;
}

/* Try the next address of the name. False: there is none that can be tried. */
static bool connect_next(struct redis_part *p)
{
    while (p->next != NULL) {
        const struct addrinfo *to = p->next;
        p->next = to->ai_next;
        if (open_both(p, to)) {
            set_state(p, PART_CONNECTING);
            return true;
        }
    }
    return false;
}

static void look(struct redis_part *p)
{
    const char *why;
    if (!redis_lookup_over(p->lookup, &p->next, &why)) {
        event_add(p->again, &look_up_pause);
        return;
    }
    if (p->next == NULL)
        fail(p, "%s", why);
    else if (!connect_next(p))
        fail(p, "%s", strerror(errno));
}

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    struct redis_part *p = arg;
    (void) fd, (void) what;
    if (p->state == PART_RESTING) {
        set_state(p, PART_LOOKING_UP);
        p->lookup = redis_lookup_begin(&p->address);
        if (p->lookup == NULL) {
            fail(p, "%s", strerror(errno));
            return;
        }
    }
    if (p->state == PART_LOOKING_UP)
        look(p);
}

void redis_part_connected(void *arg)
{
    struct redis_part *p = arg;
    if (p->state == PART_CONNECTING && !p->commands.connecting && !p->subscriptions.connecting)
        set_state(p, PART_GREETING);
}

void redis_part_greeted(struct redis_part *p)
{
    if (p->state != PART_GREETING || !p->commands_ready || !p->hearing_ready)
        return;
    set_state(p, PART_UP);
    p->said = SAID_NOTHING;
    p->bus->events->up(p->bus->arg, p->index);
}

/* ---- While it is there ---- */

bool redis_part_has_room(const struct redis_part *p, bool comfortably)
{
    size_t share = comfortably ? 2 : 1;
    return redis_out_len(&p->commands.out) < ROOM_BYTES / share && p->asked.n < ROOM_ASKED / share;
}

void redis_part_read(void *arg)
{
    struct redis_part *p = arg;
    if (p->asked.n == 0)
        redis_link_be_lazy(&p->commands, false);
    if (p->wants_room && p->state == PART_UP && redis_part_has_room(p, true)) {
        p->wants_room = false;
        p->bus->events->room(p->bus->arg, p->index);
    }
}

/* False when that ended it. */
static bool send_both(struct redis_part *p)
{
    if (!redis_hear_flush(p))
        redis_link_spoil(&p->subscriptions, "no memory");
    bool sent = redis_link_send(&p->commands), said = redis_link_send(&p->subscriptions);
    if (sent && said)
        return true;
    redis_part_broken(p, sent ? p->subscriptions.why : p->commands.why);
    return false;
}

static void on_attend(evutil_socket_t fd, short what, void *arg)
{
    struct redis_part *p = arg;
    (void) fd, (void) what;
    p->attended = false;
    if (p->state >= PART_CONNECTING && send_both(p))
        redis_part_read(p);
}

void redis_part_attend(struct redis_part *p)
{
    if (p->attended)
        return;
    p->attended = true;
    event_active(p->attend, EV_TIMEOUT, 0);
}

/* Nobody waits for how many heard what was published; for every other answer somebody does. */
bool redis_part_ask(struct redis_part *p, struct redis_asked a, const struct redis_word *w, size_t n)
{
    if (!redis_line_reserve(&p->asked) || !redis_out_command(&p->commands.out, w, n))
        return false;
    if (p->asked.n == 0)
        p->asked_ms = clock_ms();
    redis_line_add(&p->asked, a);
    if (a.what != ASKED_PUBLISH)
        redis_link_be_lazy(&p->commands, false);
    else if (p->asked.n == 1)
        redis_link_be_lazy(&p->commands, true);
    redis_part_attend(p);
    return true;
}

bool redis_part_load(struct redis_part *p)
{
    for (uint32_t i = 0; i < SCRIPTS; i++) {
        const struct redis_word w[] = {{"SCRIPT", 6, NULL, 0},
                                       {"LOAD", 4, NULL, 0},
                                       {redis_scripts[i], strlen(redis_scripts[i]), NULL, 0}};
        if (!redis_part_ask(p, (struct redis_asked){.what = ASKED_SCRIPT, .detail = i}, w, 3))
            return false;
    }
    return true;
}

/* True when an answer that is owed since `since` has been overdue at several looks in a row. */
static bool is_late(uint32_t *late, uint64_t since, uint64_t heard, uint64_t now)
{
    uint64_t last = heard > since ? heard : since;
    *late = now > last + ANSWER_MS ? *late + 1 : 0;
    return *late >= LATE_LOOKS;
}

/* False without memory. */
static bool ping(struct redis_part *p, uint64_t now)
{
    static const struct redis_word w[] = {{"PING", 4, NULL, 0}};
    bool done = true;
    if (p->asked.n == 0 && now >= p->commands.heard_ms + QUIET_MS)
        done = redis_part_ask(p, (struct redis_asked){.what = ASKED_PING}, w, 1);
    if (p->owed == 0 && now >= p->subscriptions.heard_ms + QUIET_MS)
        done = redis_hear_ping(p) && done;
    return done;
}

static void look_at_answers(struct redis_part *p, uint64_t now)
{
    if ((p->asked.n > 0 && is_late(&p->commands_late, p->asked_ms, p->commands.heard_ms, now)) ||
        (p->owed > 0 && is_late(&p->heard_late, p->owed_ms, p->subscriptions.heard_ms, now)))
        fail(p, "no answer within %d s", ANSWER_MS / 1000);
    else if (p->state == PART_UP && !ping(p, now))
        fail(p, "no memory");
}

void redis_part_tick(struct redis_part *p, uint64_t now)
{
    if (p->state == PART_LOOKING_UP && now > p->since_ms + NAME_MS)
        fail(p, "its name is not found within %d s", NAME_MS / 1000);
    else if (p->state == PART_CONNECTING && now > p->since_ms + CONNECT_MS)
        fail(p, "no connection within %d s", CONNECT_MS / 1000);
    else if (p->state >= PART_GREETING)
        look_at_answers(p, now);
}

/* ---- Its life ---- */

bool redis_part_setup(struct redis_part *p, struct bus *b, uint32_t index, const struct redis_address *a)
{
    *p = (struct redis_part){.bus = b, .index = index, .address = *a, .backoff_ms = BACKOFF_LEAST_MS};
    p->commands = (struct redis_link){.fd = -1, .events = &redis_answer_events, .arg = p};
    p->subscriptions = (struct redis_link){.fd = -1, .events = &redis_hear_events, .arg = p};
    p->again = evtimer_new(b->config.base, on_again, p);
    p->attend = event_new(b->config.base, -1, 0, on_attend, p);
    if (p->again == NULL || p->attend == NULL)
        return false;
    event_active(p->again, EV_TIMEOUT, 0);
    return true;
}

void redis_part_teardown(struct redis_part *p)
{
    if (p->bus == NULL)
        return;
    p->state = PART_RESTING;
    close_both(p);
    redis_lookup_end(&p->lookup);
    if (p->again != NULL)
        event_free(p->again);
    if (p->attend != NULL)
        event_free(p->attend);
    p->again = p->attend = NULL;
    redis_out_clear(&p->batch);
    free(p->asked.at);
    p->asked = (struct redis_line){.at = NULL};
}
#endif
