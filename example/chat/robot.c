/*
 * robot.c: what a robot does and checks. One thread.
 */
#include "robot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#include "words.h"

enum {
    HALF_WAY_LEAVES = 3,
    HALF_WAY_RETURNS = 7,
    HALF_WAY_LOSES = 1,
    KINDS = 10,
    COMMON_SPEAKERS = 100,
    RETRY_US = 200000,
    ATTEMPTS = 10 /* at each server, before it gives up */
};

struct plan plan;
struct tally tally;

static const char common_name[CHAT_NAME] = "robots";

uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

static void note_latency(uint64_t us)
{
    if (tally.latencies == tally.latencies_size) {
        uint64_t size = tally.latencies_size * 2 + 1024;
        uint32_t *all = realloc(tally.latency, size * sizeof *all);
        if (all == NULL)
            return;
        tally.latency = all;
        tally.latencies_size = size;
    }
    tally.latency[tally.latencies++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t) us;
}

/* ---- Its connections ---- */

static void watch(struct robot *r, struct link *l, int operation)
{
    struct epoll_event e = {.events = EPOLLIN | (link_wants_out(l) ? EPOLLOUT : 0)};
    e.data.u64 = (uint64_t) (uintptr_t) r | (l == &r->other);
    epoll_ctl(plan.epoll, operation, l->fd, &e);
}

static bool open_link(struct robot *r, struct link *l)
{
    if (link_connect(l, &plan.servers[r->server]) != 0)
        return false;
    watch(r, l, EPOLL_CTL_ADD);
    return true;
}

/* At once if it can be; a connection that cannot be written to any more is noticed when it is read. */
static void ask(struct robot *r, struct link *l, enum chat_request what, const char *word, const char *text)
{
    if (l->fd < 0 || !link_put(l, what, word, text, text == NULL ? 0 : strlen(text)) || !l->connected)
        return;
    link_send(l);
    if (link_wants_out(l))
        watch(r, l, EPOLL_CTL_MOD);
}

/* It can do no more. */
static void give_up(struct robot *r)
{
    link_close(&r->link);
    link_close(&r->other);
    if (r->stage < ROBOT_WAITS)
        tally.waiting++;
    if (r->stage != ROBOT_OVER)
        tally.over++;
    r->stage = ROBOT_OVER;
}

static bool may_move(const struct robot *r, int bye);
static void move(struct robot *r);

/* ---- What it does ---- */

static void room_name(const struct robot *r, char name[CHAT_NAME])
{
    char text[32];
    snprintf(text, sizeof text, "room-%u", r->room);
    word_make(name, text);
}

static void robot_name(uint32_t number, char name[CHAT_NAME])
{
    char text[32];
    snprintf(text, sizeof text, "robot-%u", number);
    word_make(name, text);
}

static void await(struct robot *r, uint16_t what)
{
    r->awaited = what;
    r->asked_at = now_us();
}

static void log_in(struct robot *r, struct link *l)
{
    r->attempts++;
    if (l->fd < 0 && !open_link(r, l)) {
        if (may_move(r, -1)) {
            move(r);
            return;
        }
        tally.bad_connect++;
        give_up(r);
        return;
    }
    ask(r, l, CHAT_LOGIN, r->name, NULL);
    await(r, CHAT_WELCOME);
}

static void do_login(struct robot *r)
{
    log_in(r, &r->link);
}

/* Into a room; where it was before, it wants what it has missed. */
static void join(struct robot *r, const char *room, const struct stay *stay)
{
    struct chat_join where = {.epoch = stay->is_in ? stay->epoch : 0,
                              .seen = stay->is_in ? stay->next - 1 : 0};
    if (link_put(&r->link, CHAT_JOIN, room, (const char *) &where + CHAT_NAME, sizeof where - CHAT_NAME))
        link_send(&r->link);
    if (link_wants_out(&r->link))
        watch(r, &r->link, EPOLL_CTL_MOD);
    await(r, CHAT_JOINED);
}

static void do_join_common(struct robot *r)
{
    join(r, common_name, &r->common);
}

static void do_join_own(struct robot *r)
{
    char name[CHAT_NAME];
    room_name(r, name);
    join(r, name, &r->own);
}

static void do_leave_own(struct robot *r)
{
    char name[CHAT_NAME];
    room_name(r, name);
    ask(r, &r->link, CHAT_LEAVE, name, NULL);
    await(r, CHAT_LEFT);
}

static void say(struct robot *r, const char *room)
{
    char text[64];
    snprintf(text, sizeof text, "this is line %u of robot %u", r->said + 1, r->number);
    ask(r, &r->link, CHAT_SAY, room, text);
    await(r, CHAT_SAID);
}

static void do_say(struct robot *r)
{
    char name[CHAT_NAME];
    room_name(r, name);
    say(r, name);
}

static void do_say_in_common(struct robot *r)
{
    say(r, common_name);
}

/* With the first connection still there; to another server, if there is one, and none was lost. */
static void do_login_again(struct robot *r)
{
    if (!r->has_moved)
        r->server = (r->server + 1) % plan.server_count;
    log_in(r, &r->other);
}

static void do_lose(struct robot *r)
{
    link_close(&r->link);
    do_login(r);
}

static void do_tell(struct robot *r)
{
    char name[CHAT_NAME];
    robot_name(r->number - 1, name); /* who is here already */
    ask(r, &r->link, CHAT_TELL, name, "between us");
    tally.tell++;
    await(r, CHAT_TOLD);
}

static bool is_steady(uint32_t number)
{
    uint32_t kind = number % KINDS;
    return kind != HALF_WAY_RETURNS && kind != HALF_WAY_LOSES;
}

/* What its script has at this step; NULL = it is through. */
static void (*script(const struct robot *r))(struct robot *)
{
    static void (*const plain[])(struct robot *) = {do_login, do_join_common, do_join_own};
    static void (*const turns[KINDS][3])(struct robot *) = {
        [HALF_WAY_LEAVES] = {do_leave_own, do_join_own},
        [HALF_WAY_RETURNS] = {do_login_again, do_join_common, do_join_own},
        [HALF_WAY_LOSES] = {do_lose, do_join_own, do_join_common},
    };
    uint32_t step = r->step, half = plan.lines / 2, turn = 0;
    if (step < 3)
        return plain[step];
    step -= 3;
    while (turn < 3 && turns[r->number % KINDS][turn] != NULL)
        turn++;
    if (step < half)
        return do_say;
    step -= half;
    if (step < turn)
        return turns[r->number % KINDS][step];
    step -= turn;
    if (step < plan.lines - half)
        return do_say;
    step -= plan.lines - half;
    if (r->number % COMMON_SPEAKERS == 0 && step-- == 0)
        return do_say_in_common;
    return step == 0 && r->number > 0 && is_steady(r->number - 1) ? do_tell : NULL;
}

static void next_step(struct robot *r)
{
    r->interrupted = 0;
    r->step++;
    if (script(r) == NULL) {
        r->stage = ROBOT_WAITS;
        tally.waiting++;
    }
}

/* ---- Coming back ---- */

/* What it does to be where it was: log in, then into the rooms that it was in. False: it is there. */
static bool come_back(struct robot *r)
{
    if (r->returning == 1)
        do_login(r);
    else if (r->returning == 2 && r->common.is_in)
        do_join_common(r);
    else if (r->returning <= 3 && r->own.is_in)
        do_join_own(r);
    else
        return false;
    return true;
}

/* One of these is done. When it is there what was interrupted is done again, unless it turns out to have been done. */
static void step_of_return(struct robot *r)
{
    r->awaited = 0;
    r->returning = r->returning == 2 && !r->common.is_in ? 4 : r->returning + 1;
    if (come_back(r))
        return;
    r->returning = 0;
    if (r->stage == ROBOT_BUSY && r->step == 0)
        next_step(r); /* it is logged in */
    r->next_at = now_us() + RETRY_US;
}

static bool may_move(const struct robot *r, int bye)
{
    return plan.server_count > 1 && r->stage > ROBOT_IDLE && r->stage < ROBOT_QUITS &&
           r->attempts <= ATTEMPTS * plan.server_count && (bye < 0 || bye == CHAT_WHY_STOPS);
}

/* To the next server. */
static void move(struct robot *r)
{
    link_close(&r->link);
    link_close(&r->other);
    if (r->returning == 0) {
        tally.moved++;
        r->interrupted = r->awaited;
        r->attempts = 0;
        r->has_moved = true;
    }
    r->server = (r->server + 1) % plan.server_count;
    r->returning = 1;
    r->awaited = 0;
    r->next_at = now_us() + RETRY_US / 2 + (uint64_t) random() % RETRY_US;
}

/* The step is done; the next one comes in a while. */
static void step_done(struct robot *r)
{
    r->awaited = 0;
    next_step(r);
    r->next_at = now_us() + (uint64_t) random() % (2000 * (uint64_t) plan.interval_ms + 1);
}

static void step_again(struct robot *r, uint64_t in_us)
{
    r->awaited = 0;
    r->next_at = now_us() + in_us;
    tally.busy++;
}

/* ---- What it hears ---- */

/* The stay that a room's name means; its number for record_agrees(). NULL: what is that? */
static struct stay *stay_of(struct robot *r, const char *name, uint32_t *room)
{
    char own[CHAT_NAME];
    room_name(r, own);
    bool is_common = memcmp(name, common_name, CHAT_NAME) == 0;
    *room = is_common ? plan.rooms : r->room;
    return is_common ? &r->common : memcmp(name, own, CHAT_NAME) == 0 ? &r->own : NULL;
}

static void hear_joined(struct robot *r, const struct packet *p)
{
    const struct chat_joined *j = (const struct chat_joined *) p->data;
    uint32_t room;
    uint64_t expected = j->next > CHAT_HISTORY ? j->next - CHAT_HISTORY : 1;
    struct stay *stay = stay_of(r, j->room, &room);
    if (stay == NULL || r->awaited != CHAT_JOINED) {
        tally.bad_answer++;
        return;
    }
    if (j->epoch == 0 && stay->is_in) { /* it has joined when it came back */
        step_done(r);
        return;
    }
    if (stay->is_in &&
        stay->epoch == j->epoch) { /* it goes on where it was, or with the oldest line that is kept */
        tally.too_old += expected > stay->next ? expected - stay->next : 0;
        expected = expected > stay->next ? expected : stay->next;
        tally.bad_gap += j->first > expected ? j->first - expected : 0;
    }
    if (j->first != expected)
        tally.bad_history++;
    tally.history += j->next - j->first;
    *stay = (struct stay){.is_in = true, .epoch = j->epoch, .next = j->first};
    if (r->returning != 0)
        step_of_return(r);
    else
        step_done(r);
}

static void hear_line(struct robot *r, const struct packet *p)
{
    const struct chat_said *s = (const struct chat_said *) p->data;
    uint32_t room;
    struct stay *stay = stay_of(r, s->room, &room);
    tally.heard++;
    if (stay == NULL || !stay->is_in) {
        tally.bad_answer++;
        return;
    }
    if (s->number > stay->next)
        tally.bad_gap += s->number - stay->next;
    if (s->number < stay->next)
        tally.bad_order++;
    stay->next = s->number + 1;
    if (!record_agrees(room, s->number, record_hash(s->from, p->len - CHAT_NAME)))
        tally.bad_content++;
    char expected[64];
    int len = snprintf(expected, sizeof expected, "this is line %u of robot %u", r->said + 1, r->number);
    if ((r->awaited != CHAT_SAID && r->interrupted != CHAT_SAID) ||
        memcmp(s->from, r->name, CHAT_NAME) != 0 || p->len - sizeof *s != (size_t) len ||
        memcmp(s->text, expected, (size_t) len) != 0)
        return; /* another's, or an older one of its own */
    r->said++;
    tally.said++;
    if (r->interrupted == 0)
        note_latency(now_us() - r->asked_at);
    if (r->returning == 0)
        step_done(r);
    else
        next_step(r); /* it had been said before the connection ended */
}

static void hear_told(struct robot *r, const struct packet *p)
{
    const struct chat_told *t = (const struct chat_told *) p->data;
    if (memcmp(t->to, r->name, CHAT_NAME) == 0) {
        tally.private ++;
        return;
    }
    if (r->awaited != CHAT_TOLD) {
        tally.bad_answer++;
        return;
    }
    tally.told++;
    step_done(r);
}

static void hear_sorry(struct robot *r, const struct packet *p)
{
    const struct chat_sorry *s = (const struct chat_sorry *) p->data;
    if (s->request == CHAT_TELL && s->why == CHAT_WHY_NOBODY && tally.moved > 0) {
        if (r->awaited == CHAT_TOLD)
            step_done(r); /* who is on the way to another server is nowhere */
        return;
    }
    if (s->why != CHAT_WHY_BUSY && s->why != CHAT_WHY_TOO_FAST) {
        tally.bad_answer++;
        give_up(r);
        return;
    }
    if (s->request == CHAT_TELL)
        tally.tell--;
    step_again(r, s->why == CHAT_WHY_BUSY ? RETRY_US : 5 * RETRY_US);
}

/* The new connection speaks from now on. The old one must be told, and end. */
static void change_over(struct robot *r)
{
    struct link old = r->link;
    r->link = r->other;
    r->other = old;
    watch(r, &r->link, EPOLL_CTL_MOD);
    if (r->other.fd >= 0)
        watch(r, &r->other, EPOLL_CTL_MOD);
    r->common.is_in = false;
    r->own.is_in = false;
}

/* Whether l is a connection that was replaced: all that matters of it is how it ends. */
static bool is_old(const struct robot *r, const struct link *l)
{
    return l == &r->other && r->awaited != CHAT_WELCOME;
}

static void hear(struct robot *r, struct link *l, const struct packet *p)
{
    if (!packet_is_whole(p)) {
        tally.bad_packet++;
        return;
    }
    if (p->what == CHAT_BYE)
        l->bye = ((const struct chat_bye *) p->data)->why;
    if (p->what == CHAT_PING)
        ask(r, l, CHAT_PONG, NULL, NULL);
    if (is_old(r, l))
        return;
    switch (p->what) {
    case CHAT_WELCOME:
        r->attempts = 0;
        if (l == &r->other)
            change_over(r);
        if (r->returning != 0)
            step_of_return(r);
        else
            step_done(r);
        break;
    case CHAT_JOINED:
        hear_joined(r, p);
        break;
    case CHAT_LEFT:
        r->own.is_in = false;
        step_done(r);
        break;
    case CHAT_SAID:
        hear_line(r, p);
        break;
    case CHAT_TOLD:
        hear_told(r, p);
        break;
    case CHAT_PRESENCE:
        tally.presence++;
        break;
    case CHAT_SORRY:
        hear_sorry(r, p);
        break;
    case CHAT_BYE:
    case CHAT_PING:
        break;
    default:
        tally.bad_answer++;
    }
}

/* A connection is over: was that to be? */
static void ended(struct robot *r, struct link *l)
{
    int bye = l->bye;
    bool is_replaced = l == &r->other ? is_old(r, l) : r->awaited == CHAT_WELCOME && r->other.fd >= 0;
    link_close(l);
    if (is_replaced && bye == CHAT_WHY_REPLACED) {
        tally.replaced++;
        return;
    }
    if (is_replaced && l == &r->other && tally.moved > 0)
        return; /* its server went before it could say so */
    if (may_move(r, bye)) {
        move(r);
        return;
    }
    if (r->stage != ROBOT_QUITS || bye != CHAT_WHY_ASKED)
        tally.bad_end++;
    give_up(r);
}

/* ---- From outside ---- */

void robot_init(struct robot *r, uint32_t number)
{
    *r = (struct robot){
        .number = number, .room = number % plan.rooms, .server = number / plan.rooms % plan.server_count};
    robot_name(number, r->name);
    link_init(&r->link);
    link_init(&r->other);
}

void robot_start(struct robot *r)
{
    r->stage = ROBOT_BUSY;
    script(r)(r);
}

void robot_tick(struct robot *r, uint64_t now)
{
    if (r->awaited != 0 || now < r->next_at)
        return;
    if (r->returning != 0 && (r->stage == ROBOT_BUSY || r->stage == ROBOT_WAITS))
        come_back(r);
    else if (r->stage == ROBOT_BUSY)
        script(r)(r);
}

void robot_ready(struct robot *r, bool on_other)
{
    struct link *l = on_other ? &r->other : &r->link;
    struct packet p;
    int fd = l->fd, more, got;
    if (fd < 0)
        return;
    bool had_out = link_wants_out(l);
    bool is_over = link_send(l) != 0;
    if (l->connected && (got = link_receive(l)) != 0) {
        is_over = got < 0;
        while (l->fd == fd && (more = link_take(l, &p)) != 0) {
            if (more < 0) {
                tally.bad_packet++;
                is_over = true;
                break;
            }
            hear(r, l, &p);
            if (l->fd != fd && r->link.fd == fd)
                l = &r->link; /* it has become the one that speaks */
        }
    }
    if (l->fd != fd)
        return;
    if (is_over)
        ended(r, l);
    else if (had_out != link_wants_out(l))
        watch(r, l, EPOLL_CTL_MOD);
}

bool robot_has_all(const struct robot *r)
{
    return r->stage == ROBOT_OVER ||
           (r->common.next == record_last(plan.rooms) + 1 && r->own.next == record_last(r->room) + 1);
}

void robot_quit(struct robot *r)
{
    if (r->stage == ROBOT_OVER)
        return;
    r->stage = ROBOT_QUITS;
    ask(r, &r->link, CHAT_QUIT, NULL, NULL);
}

void robot_close(struct robot *r)
{
    link_close(&r->link);
    link_close(&r->other);
}
