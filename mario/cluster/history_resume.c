/*
 * history_resume.c: those who come back to a group. Each goes through its history's lists:
 *
 *   wanting   until it is clear what it gets: the channel has to be subscribed, that nothing falls between, and what it
 *             needs to be fetched. Then its function of regist_resumed_func() is ordered.
 *   (asked)   that function, or a look how much waits for it, is on its way; an offloaded function may be in front.
 *   sending   pieces, as long as not much waits; when it has what members have, it is one.
 *   polling   enough waits for it: somebody slow is not to be drowned by what he missed.
 *
 * All that it gets, the join and then the group's messages go through one lane, from this thread: so each comes once,
 * in order. If numbers that it needs go meanwhile, it is told again. If it leaves meanwhile it gets no more, and the
 * join is none. The cluster's thread, but for run_here(), which is
 * called for the connection, on its worker.
 */
#include <errno.h>
#include <stdlib.h>

#include "mario/cluster/history_inside.h"

enum {
    STEPS = 1024,          /* a history's in one pass */
    FAILURES = 64,         /* full rings in one pass */
    WAITING_BYTES = 16384, /* more waits: it gets no more now */
    WAITING_MESSAGES = 4,
    PATIENCE_MS = 5,
    PATIENCE_MOST_MS = 320
};
#define JUST_JOIN UINT64_MAX

static _Atomic(FUNC_PTR) resumed_func;
static struct resume closed;                    /* stands in `done`: nobody takes from there any more */
static _Atomic(struct resume *) done = &closed; /* any worker -> the cluster's thread: a stack */

/* ---- Lists ---- */

static void add(struct resumes *l, struct resume *r)
{
    r->next = NULL;
    if (l->first == NULL)
        l->first = r;
    else
        l->last->next = r;
    l->last = r;
}

static struct resume *take(struct resumes *l)
{
    struct resume *r = l->first;
    if (r != NULL)
        l->first = r->next;
    return r;
}

bool resume_any(const struct history *h)
{
    return h->asked > 0 || h->wanting.first != NULL || h->sending.first != NULL || h->polling.first != NULL;
}

static void free_all(struct resumes *l)
{
    struct resume *r;
    while ((r = take(l)) != NULL)
        free(r);
}

void resume_free(struct history *h)
{
    free_all(&h->wanting);
    free_all(&h->sending);
    free_all(&h->polling);
}

/* ---- On the connection's worker ---- */

static int32_t tell(CONN *c, struct resume *r)
{
    FUNC_PTR f = atomic_load_explicit(&resumed_func, memory_order_relaxed);
    if (f == NULL)
        return 0;
    c->in_buf = (char *) &r->out;
    c->in_buf_len = sizeof r->out;
    c->err_type = 0;
    return f(c);
}

/* Also for a connection that has gone, and when the server has stopped. r is the stack's afterwards. */
static int32_t run_here(CONN *c, void *arg)
{
    struct resume *r = arg;
    int32_t rc = 0;
    r->is_gone = c == NULL;
    if (c != NULL) {
        histories.house.waiting(c, &r->messages, &r->bytes);
        r->is_off = histories.house.join_is_off(c, r->group, r->number) != 0;
        if (!r->is_told && !r->is_off)
            rc = tell(c, r);
    }
    r->next = atomic_load_explicit(&done, memory_order_relaxed);
    do {
        if (r->next == &closed) {
            free(r);
            return rc;
        }
    } while (!atomic_compare_exchange_weak_explicit(&done, &r->next, r, memory_order_release,
                                                    memory_order_relaxed));
    /* If the ring is full that thread is awake. */
    (void) histories.house.post(&(struct mario_route_order){.kind = HISTORY_KIND_LOOK});
    return rc;
}

/* ---- Beginning ---- */

void resume_open(void)
{
    atomic_store(&done, NULL);
}

void resume_close(void)
{
    struct resume *r = atomic_exchange(&done, &closed);
    while (r != NULL && r != &closed) {
        struct resume *next = r->next;
        free(r);
        r = next;
    }
}

/* r is one of h's from now on. */
static void enlist(struct history *h, struct resume *r)
{
    if (history_is_engine() && h != &histories.orphans) {
        if (!h->is_held)
            histories.engine.hold(histories.engine.arg, h->group, true);
        h->is_held = true;
        h->wants_base = !h->is_based;
    }
    add(&h->wanting, r);
    history_due(h);
}

bool resume_begin(uint64_t group, uint64_t id, uint32_t number, const uint64_t had[2])
{
    uint64_t epoch = had[0], seq = had[1];
    struct history *h = history_find(group);
    struct resume *r = malloc(sizeof *r);
    if (r == NULL)
        return false;
    *r = (struct resume){.id = id, .group = group, .number = number, .epoch = epoch, .next_seq = seq + 1};
    if (epoch == 0 && seq != 0)
        r->epoch = 1; /* none at all: it is told that there is a gap */
    if (seq == UINT64_MAX)
        r->next_seq = seq;
    enlist(h == NULL ? &histories.orphans : h, r);
    return true;
}

/* Another thread may have said that there is a history, and its order come later than the one to come back to it. True:
 * some wait for that. */
static bool find_homes(void)
{
    struct resumes left = histories.orphans.wanting;
    struct resume *r;
    bool waits = false;
    histories.orphans.wanting = (struct resumes){0};
    while ((r = take(&left)) != NULL) {
        struct history *h = r->is_given_up ? NULL : history_find(r->group);
        if (h != NULL) {
            enlist(h, r);
            continue;
        }
        r->is_given_up = r->is_given_up || !history_may_come();
        waits = waits || !r->is_given_up;
        add(&histories.orphans.wanting, r);
    }
    return waits;
}

/* ---- Deciding ---- */

static bool is_away(const struct history *h)
{
    return h == &histories.orphans ||
           (history_is_engine() && !histories.engine.is_up(histories.engine.arg, h->group));
}

/* Its numbers are those of h. */
static bool is_of(const struct history *h, const struct resume *r)
{
    return r->epoch == h->epoch && r->next_seq <= h->last + 1;
}

/* The number that r needs of h, and can get. */
static uint64_t reach_of(const struct history *h, const struct resume *r)
{
    return fetch_reach(h, is_of(h, r) ? r->next_seq : 1);
}

static bool is_ready(const struct history *h)
{
    return !history_is_engine() ||
           (h->is_based && !h->has_hole && histories.engine.is_subscribed(histories.engine.arg, h->group));
}

uint64_t resume_wanted(const struct history *h)
{
    uint64_t least = UINT64_MAX;
    for (const struct resume *r = h->wanting.first; r != NULL; r = r->next) {
        uint64_t reach = reach_of(h, r);
        if (reach < least)
            least = reach;
    }
    return least;
}

/* What r is told, and from where on it gets what. */
static void decide(const struct history *h, struct resume *r)
{
    r->out = (struct mario_resumed){.group = r->group, .gap = 1};
    r->is_told = false;
    if (is_away(h)) {
        r->epoch = 0;
        r->next_seq = JUST_JOIN;
        return;
    }
    bool fits = is_of(h, r) || (r->epoch == 0 && r->next_seq == 1);
    uint64_t first = reach_of(h, r);
    r->out.epoch = h->epoch;
    r->out.first = first;
    r->out.seq = h->last;
    r->out.messages = (uint32_t) (h->last + 1 - first);
    r->out.gap = !fits || first > r->next_seq;
    r->epoch = h->epoch;
    r->next_seq = first;
}

/* Order its function. False if that cannot be now. */
static bool order_run(struct history *h, struct resume *r)
{
    if (histories.house.run(r->id, run_here, r) == 0) {
        h->asked++;
        return true;
    }
    if (errno == EAGAIN || errno == ENOMEM)
        return false;
    free(r); /* no such name, or no server */
    return true;
}

static uint64_t pass_wanting(struct history *h)
{
    bool waits = h == &histories.orphans && find_homes();
    struct resumes left = h->wanting;
    struct resume *r;
    int steps = 0, failures = 0;
    h->wanting = (struct resumes){0};
    bool ready = is_away(h) || is_ready(h);
    while (ready && steps++ < STEPS && failures < FAILURES && (r = take(&left)) != NULL) {
        bool is_clear =
            is_away(h) ? h != &histories.orphans || r->is_given_up : reach_of(h, r) >= line_start(h);
        if (!is_clear) {
            add(&h->wanting, r); /* it is being fetched; or may have a home yet */
            continue;
        }
        struct resume before = *r;
        decide(h, r);
        if (order_run(h, r))
            continue;
        *r = before;
        failures++;
        add(&h->wanting, r);
    }
    bool more = ready && left.first != NULL;
    while ((r = take(&left)) != NULL)
        add(&h->wanting, r);
    if (failures > 0 || waits)
        return histories.house.now() + HISTORY_NS_PER_MS;
    return more ? 0 : UINT64_MAX;
}

/* ---- Sending ---- */

static void poll_later(struct history *h, struct resume *r, uint64_t now)
{
    r->patience_ms = r->patience_ms == 0 ? PATIENCE_MS : r->patience_ms;
    r->poll_ns = now + r->patience_ms * HISTORY_NS_PER_MS;
    add(&h->polling, r);
}

enum step { STEP_DONE, STEP_AGAIN, STEP_FULL };

/* One message for r with the next of what it lacks; *bytes more are on their way then. False if that cannot be yet. */
static bool send_piece(struct history *h, struct resume *r, uint32_t *bytes)
{
    uint64_t to;
    struct mario_msg_info info = {.len = 0};
    struct mario_msg *piece = line_piece(h, r->next_seq, &to);
    if (piece == NULL && to < r->next_seq)
        return false;
    if (piece != NULL)
        mario_msg_info(piece, &info);
    int32_t rc = piece == NULL ? 0 : histories.house.send(r->id, piece);
    mario_msg_free(&piece);
    if (rc != 0 && (errno == EAGAIN || errno == ENOMEM))
        return false;
    *bytes += info.len;
    r->next_seq = to + 1;
    return true;
}

/* The next thing for r, which then is in another list, or gone; or stays the caller's. */
static enum step step(struct history *h, struct resume *r, uint64_t now)
{
    if (r->next_seq != JUST_JOIN && (r->epoch != h->epoch || r->next_seq < line_start(h))) {
        add(&h->wanting, r); /* there it is told again */
        history_due(h);
        return STEP_DONE;
    }
    if (h->rest.count > 0) /* that is not for new ones */
        return STEP_FULL;
    if (r->next_seq == JUST_JOIN || r->next_seq > line_delivered(h)) {
        if (histories.house.join(r->id, r->group, r->number) != 0 && (errno == EAGAIN || errno == ENOMEM))
            return STEP_FULL;
        free(r);
        return STEP_DONE;
    }
    uint32_t bytes = 0; /* more than one message where packets stand between what is none */
    do {
        if (!send_piece(h, r, &bytes))
            return STEP_FULL;
    } while (bytes < PIECE_BYTES / 2 && r->next_seq <= line_delivered(h));
    if (r->next_seq > line_delivered(h))
        return STEP_AGAIN;
    r->patience_ms = 0;
    poll_later(h, r, now);
    return STEP_DONE;
}

static uint64_t pass_sending(struct history *h, uint64_t now)
{
    int steps = 0, failures = 0;
    struct resume *r;
    struct resumes full = {0};
    while (steps++ < STEPS && failures < FAILURES && (r = take(&h->sending)) != NULL) {
        enum step s;
        while ((s = step(h, r, now)) == STEP_AGAIN) {
        }
        if (s == STEP_FULL) {
            add(&full, r);
            failures++;
        }
    }
    bool more = h->sending.first != NULL;
    while ((r = take(&full)) != NULL)
        add(&h->sending, r);
    if (failures > 0)
        return now + HISTORY_NS_PER_MS;
    return more ? 0 : UINT64_MAX;
}

static uint64_t pass_polling(struct history *h, uint64_t now)
{
    struct resumes left = h->polling;
    struct resume *r;
    uint64_t when = UINT64_MAX;
    h->polling = (struct resumes){0};
    while ((r = take(&left)) != NULL) {
        if (r->poll_ns <= now) {
            if (order_run(h, r))
                continue;
            r->poll_ns = now + HISTORY_NS_PER_MS;
        }
        if (r->poll_ns < when)
            when = r->poll_ns;
        add(&h->polling, r);
    }
    return when;
}

uint64_t resume_pass(struct history *h, uint64_t now)
{
    uint64_t when = UINT64_MAX, w;
    if (h->sending.first != NULL)
        when = pass_sending(h, now);
    if (h->polling.first != NULL && (w = pass_polling(h, now)) < when)
        when = w;
    if (h->wanting.first != NULL && (w = pass_wanting(h)) < when)
        when = w;
    return when;
}

/* ---- Functions that have run ---- */

static void go_on(struct resume *r)
{
    struct history *h = history_find(r->group);
    if (h != NULL && h->asked > 0)
        h->asked--;
    if (r->is_gone) {
        if (h != NULL)
            history_due(h);
        free(r);
        return;
    }
    if (h == NULL || r->is_off ||
        r->next_seq == JUST_JOIN) { /* who is off does not join, but that is the end of it */
        h = &histories.orphans;
        r->next_seq = JUST_JOIN;
    }
    bool has_room = r->messages < WAITING_MESSAGES && r->bytes < WAITING_BYTES;
    if (!has_room && r->is_told && r->patience_ms < PATIENCE_MOST_MS)
        r->patience_ms *= 2;
    r->is_told = true;
    if (has_room || h == &histories.orphans)
        add(&h->sending, r);
    else
        poll_later(h, r, histories.house.now());
    history_due(h);
}

void resume_collect(void)
{
    if (atomic_load_explicit(&done, memory_order_relaxed) == NULL)
        return;
    struct resume *r = atomic_exchange_explicit(&done, NULL, memory_order_acquire), *first = NULL;
    while (r != NULL) { /* it was a stack */
        struct resume *next = r->next;
        r->next = first;
        first = r;
        r = next;
    }
    while ((r = first) != NULL) {
        first = r->next;
        go_on(r);
    }
}

/* ---- Without what they missed ---- */

void resume_give_up(struct history *h, bool all)
{
    struct resume *r;
    while ((r = take(&h->wanting)) != NULL) {
        r->is_given_up = true;
        add(&histories.orphans.wanting, r);
    }
    while (all && ((r = take(&h->sending)) != NULL || (r = take(&h->polling)) != NULL)) {
        r->next_seq = JUST_JOIN;
        add(&histories.orphans.sending, r);
    }
    history_due(&histories.orphans);
}

/* ---- Public ---- */

int32_t regist_resumed_func(FUNC_PTR f)
{
    if (history_runs())
        return -1;
    atomic_store_explicit(&resumed_func, f, memory_order_relaxed);
    return 0;
}
