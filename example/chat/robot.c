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
    RETRY_US = 200000
};

struct plan plan;
struct tally tally;

/* What was heard first of each line: a hash of who said what. */
static struct record {
    uint64_t *lines;
    uint32_t last, size;
} * records;

static const char common_name[CHAT_NAME] = "robots";

uint64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}

/* ---- What all have heard ---- */

int record_setup(void)
{
    records = calloc(plan.rooms + 1, sizeof *records);
    return records == NULL ? -1 : 0;
}

void record_clear(void)
{
    for (uint32_t i = 0; i <= plan.rooms; i++)
        free(records[i].lines);
    free(records);
    free(tally.latency);
}

uint32_t record_last(uint32_t room)
{
    return records[room].last;
}

static uint64_t hash(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h | 1; /* 0 = not heard yet */
}

/* Line `number` of a room is what others have heard as this one. */
static bool record_agrees(uint32_t room, uint32_t number, uint64_t line)
{
    struct record *r = &records[room];
    if (number >= r->size) {
        uint32_t size = number * 2 + 64;
        uint64_t *lines = realloc(r->lines, size * sizeof *lines);
        if (lines == NULL)
            return false;
        memset(lines + r->size, 0, (size - r->size) * sizeof *lines);
        r->lines = lines;
        r->size = size;
    }
    if (r->lines[number] == 0)
        r->lines[number] = line;
    if (number > r->last)
        r->last = number;
    return r->lines[number] == line;
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
    if (link_connect(l, &plan.server) != 0) {
        tally.bad_connect++;
        return false;
    }
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
    if (l->fd < 0 && !open_link(r, l)) {
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

static void do_join_common(struct robot *r)
{
    ask(r, &r->link, CHAT_JOIN, common_name, NULL);
    await(r, CHAT_JOINED);
}

static void do_join_own(struct robot *r)
{
    char name[CHAT_NAME];
    room_name(r, name);
    ask(r, &r->link, CHAT_JOIN, name, NULL);
    await(r, CHAT_JOINED);
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

/* With the first connection still there. */
static void do_login_again(struct robot *r)
{
    log_in(r, &r->other);
}

static void do_lose(struct robot *r)
{
    link_close(&r->link);
    r->common.is_in = false;
    r->own.is_in = false;
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

/* The step is done; the next one comes in a while. */
static void step_done(struct robot *r)
{
    r->awaited = 0;
    r->step++;
    if (script(r) == NULL) {
        r->stage = ROBOT_WAITS;
        tally.waiting++;
        return;
    }
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
    uint32_t room, expected = j->next > CHAT_HISTORY ? j->next - CHAT_HISTORY : 1;
    struct stay *stay = stay_of(r, j->room, &room);
    if (stay == NULL || r->awaited != CHAT_JOINED) {
        tally.bad_answer++;
        return;
    }
    if (j->first != expected)
        tally.bad_history++;
    tally.history += j->next - j->first;
    *stay = (struct stay){.is_in = true, .next = j->first};
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
    if (!record_agrees(room, s->number, hash(s->from, p->len - CHAT_NAME)))
        tally.bad_content++;
    char expected[64];
    int len = snprintf(expected, sizeof expected, "this is line %u of robot %u", r->said + 1, r->number);
    if (r->awaited != CHAT_SAID || memcmp(s->from, r->name, CHAT_NAME) != 0 ||
        p->len - sizeof *s != (size_t) len || memcmp(s->text, expected, (size_t) len) != 0)
        return; /* another's, or an older one of its own */
    r->said++;
    tally.said++;
    note_latency(now_us() - r->asked_at);
    step_done(r);
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
        if (l == &r->other)
            change_over(r);
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
    if (r->stage != ROBOT_QUITS || bye != CHAT_WHY_ASKED)
        tally.bad_end++;
    give_up(r);
}

/* ---- From outside ---- */

void robot_init(struct robot *r, uint32_t number)
{
    *r = (struct robot){.number = number, .room = number % plan.rooms};
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
    if (r->stage == ROBOT_BUSY && r->awaited == 0 && now >= r->next_at)
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
