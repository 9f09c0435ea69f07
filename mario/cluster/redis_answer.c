/*
 * redis_answer.c: the connection with a part's commands: Redis answers them in the order in which they were asked; each
 * kind of question has a row here that says what becomes of its answer. The cluster's thread.
 */
#ifdef MARIO_WITH_REDIS
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mario/base/clock.h"
#include "mario/cluster/redis_inside.h"

enum { REFUSED_MS = 1000 /* between lines about what was refused */ };

/* ---- The line ---- */

bool redis_line_reserve(struct redis_line *l)
{
    if (l->n < l->size)
        return true;
    size_t size = l->size > 0 ? l->size * 2 : 64;
    struct redis_asked *at = malloc(size * sizeof *at);
    if (at == NULL)
        return false;
    for (size_t i = 0; i < l->n; i++)
        at[i] = l->at[(l->first + i) & (l->size - 1)];
    free(l->at);
    *l = (struct redis_line){.at = at, .n = l->n, .size = size};
    return true;
}

bool redis_line_add(struct redis_line *l, struct redis_asked a)
{
    if (!redis_line_reserve(l))
        return false;
    l->at[(l->first + l->n++) & (l->size - 1)] = a;
    return true;
}

struct redis_asked redis_line_take(struct redis_line *l)
{
    struct redis_asked a = l->at[l->first & (l->size - 1)];
    l->first++;
    l->n--;
    return a;
}

/* ---- What becomes of an answer. i NULL: there will be none ---- */

static bool is_number(const struct redis_item *i)
{
    return i != NULL && i->type == REDIS_NUMBER;
}

static bool is_error(const struct redis_item *i, const char *word)
{
    return i != NULL && i->type == REDIS_ERROR && i->len >= strlen(word) &&
           memcmp(i->bytes, word, strlen(word)) == 0;
}

static void answer_greeting(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    (void) a;
    if (is_error(i, ""))
        redis_part_refused(p, &p->commands, i);
}

/* A name is only for who looks at the engine. */
static void answer_name(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    if (is_error(i, "NOAUTH"))
        answer_greeting(p, a, i);
}

/* Which run of the server this is; who may not know takes them all for one. */
static void answer_info(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    static const char word[] = "run_id:";
    const char *at =
        i != NULL && i->type == REDIS_STRING ? memmem(i->bytes, i->len, word, sizeof word - 1) : NULL;
    strcpy(p->run, "-");
    if (at != NULL) {
        size_t n = 0, most = (size_t) (i->bytes + i->len - at) - (sizeof word - 1);
        for (at += sizeof word - 1; n < most && n < sizeof p->run - 1 && at[n] > ' '; n++)
            p->run[n] = at[n];
        p->run[n] = '\0';
    } else if (!is_error(i, "NOPERM")) {
        answer_greeting(p, a, i);
    }
}

static void answer_script(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    if (i == NULL)
        return;
    if (i->type != REDIS_STRING || i->len != sizeof p->digests[0] - 1) {
        answer_greeting(p, a, i);
        redis_link_spoil(&p->commands, "it knows no scripts");
        return;
    }
    memcpy(p->digests[a.detail], i->bytes, i->len);
    if (a.detail != SCRIPTS - 1)
        return;
    p->loading = false;
    if (!p->commands_ready) {
        p->commands_ready = true;
        redis_part_greeted(p);
    }
}

static void answer_nothing(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    (void) p, (void) a, (void) i;
}

static void answer_publish(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    if (a.cookie != 0)
        p->bus->events->published(p->bus->arg, a.cookie, is_number(i) ? i->number : -1);
}

static void answer_claim(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    enum bus_claim c = !is_number(i) ? CLAIM_FAILED : i->number == 1 ? CLAIM_OK : CLAIM_REFUSED;
    p->bus->events->claimed(p->bus->arg, a.cookie, c);
}

static void answer_renew(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    (void) a;
    if (is_number(i) && i->number >= RENEWED && i->number <= RENEWED_TAKEN)
        p->bus->events->renewed(p->bus->arg, p->index, (enum bus_renewed) i->number);
}

static void answer_append(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    p->bus->events->appended(p->bus->arg, a.cookie, is_number(i));
}

static void end_fetch(struct redis_part *p, struct redis_fetch *f, bool failed)
{
    struct bus *b = p->bus;
    b->events->history(b->arg, f->cookie, failed ? 0 : f->epoch, 0, NULL, 0, failed ? 0 : f->last,
                       failed ? 0 : f->base);
    free(f);
}

/* Anything but an array. */
static void answer_fetch(struct redis_part *p, struct redis_asked a, const struct redis_item *i)
{
    (void) i;
    end_fetch(p, (struct redis_fetch *) (uintptr_t) a.cookie, true);
}

static const struct {
    void (*answer)(struct redis_part *p, struct redis_asked a, const struct redis_item *i);
    bool is_greeting; /* errors are its own matter */
} rows[ASKED_WHATS] = {
    [ASKED_AUTH] = {answer_greeting, true},  [ASKED_NAME] = {answer_name, true},
    [ASKED_INFO] = {answer_info, true},      [ASKED_SCRIPT] = {answer_script, true},
    [ASKED_PING] = {answer_nothing, false},  [ASKED_PUBLISH] = {answer_publish, false},
    [ASKED_CLAIM] = {answer_claim, false},   [ASKED_RELEASE] = {answer_nothing, false},
    [ASKED_RENEW] = {answer_renew, false},   [ASKED_RETIRE] = {answer_nothing, false},
    [ASKED_APPEND] = {answer_append, false}, [ASKED_FETCH] = {answer_fetch, false},
};

/* ---- What fails ---- */

/* Which part it was does not matter any more: the first one is there. */
void redis_answer_failed(struct bus *b, struct redis_asked a)
{
    rows[a.what].answer(&b->parts[0], a, NULL);
}

void redis_answer_failed_later(struct bus *b, struct redis_asked a)
{
    if (!redis_line_add(&b->failed, a))
        redis_answer_failed(b, a);
    else
        event_active(b->later, EV_TIMEOUT, 0);
}

/* Somebody emptied the scripts: they are loaded again. Everything else is said. */
static void refused(struct redis_part *p, const struct redis_item *i)
{
    uint64_t now = clock_ms();
    char line[640];
    if (is_error(i, "NOSCRIPT") && !p->loading) {
        p->loading = true;
        if (!redis_part_load(p))
            redis_link_spoil(&p->commands, "no memory");
    }
    if (p->bus->events->refused == NULL || (p->refused_ms != 0 && now < p->refused_ms + REFUSED_MS))
        return;
    p->refused_ms = now;
    snprintf(line, sizeof line, "redis %s:%s refuses: %.*s", p->address.host, p->address.port,
             (int) (i->len < 200 ? i->len : 200), i->bytes);
    p->bus->events->refused(p->bus->arg, p->index, line);
}

/* ---- A piece of a history ---- */

/* The bytes of a number as text; 0 if it is none. */
static uint64_t number_of(const struct redis_item *i)
{
    uint64_t n = 0;
    if (i->type != REDIS_STRING || i->len == 0)
        return 0;
    for (size_t c = 0; c < i->len; c++) {
        unsigned digit = (unsigned char) i->bytes[c] - (unsigned) '0';
        if (digit > 9 || __builtin_mul_overflow(n, (uint64_t) 10, &n) ||
            __builtin_add_overflow(n, (uint64_t) digit, &n))
            return 0;
    }
    return n;
}

static void hear_piece(struct redis_part *p, struct redis_fetch *f, const struct redis_item *i)
{
    struct bus *b = p->bus;
    if (i->index < 0)
        return;
    if (i->index == 0) {
        uint64_t epoch = number_of(i);
        f->failed = epoch == 0 || (f->begun && f->epoch != epoch);
        f->epoch = epoch;
        f->begun = true;
    } else if (i->index == 1) {
        f->last = number_of(i);
    } else if (i->index == 2) {
        f->base = number_of(i);
    } else if (i->index % 2 == 1) {
        f->seq = number_of(i);
        f->failed |= f->seq <= f->after;
    } else if (i->type == REDIS_STRING && !f->failed && f->got < f->left) {
        f->got++;
        f->after = f->seq;
        b->events->history(b->arg, f->cookie, f->epoch, f->seq, i->bytes, i->len, f->last, f->base);
    } else {
        f->failed = true;
    }
}

/* It is whole: the next one, or the end. */
static void end_piece(struct redis_part *p, struct redis_fetch *f)
{
    bool is_last = f->got == 0 || f->got == f->left || f->after >= f->last;
    f->left -= f->got;
    f->got = 0;
    if (f->failed || is_last)
        end_fetch(p, f, f->failed);
    else if (!redis_fetch_ask(p, f))
        end_fetch(p, f, true);
}

/* ---- What comes ---- */

static void on_item(void *arg, const struct redis_item *i)
{
    struct redis_part *p = arg;
    if (p->asked.n == 0) {
        redis_link_spoil(&p->commands, "it answers what nobody asked");
        return;
    }
    struct redis_asked *first = &p->asked.at[p->asked.first & (p->asked.size - 1)];
    if (i->index >= 0 || i->type == REDIS_ARRAY) {
        p->answered = false;
        if (first->what == ASKED_FETCH)
            hear_piece(p, (struct redis_fetch *) (uintptr_t) first->cookie, i);
        else
            redis_link_spoil(&p->commands, "its answers are of another kind");
        return;
    }
    struct redis_asked a = redis_line_take(&p->asked);
    p->answered = true;
    if (i->type == REDIS_ERROR && !rows[a.what].is_greeting)
        refused(p, i);
    rows[a.what].answer(p, a, i);
}

static void on_end(void *arg)
{
    struct redis_part *p = arg;
    if (!p->answered)
        end_piece(p, (struct redis_fetch *) (uintptr_t) redis_line_take(&p->asked).cookie);
    p->answered = false;
}

const struct redis_link_events redis_answer_events = {
    .connected = redis_part_connected,
    .item = on_item,
    .end = on_end,
    .read = redis_part_read,
    .broken = redis_part_broken,
};

/* ---- The greeting ---- */

bool redis_answer_greet(struct redis_part *p)
{
    const struct bus_config *c = &p->bus->config;
    struct redis_word auth[3] = {{"AUTH", 4, NULL, 0}};
    const struct redis_word info[] = {{"INFO", 4, NULL, 0}, {"server", 6, NULL, 0}};
    const struct redis_word name[] = {
        {"CLIENT", 6, NULL, 0}, {"SETNAME", 7, NULL, 0}, {p->bus->self, strlen(p->bus->self), NULL, 0}};
    size_t n = 1;
    if (c->password != NULL) {
        if (c->user != NULL)
            auth[n++] = (struct redis_word){c->user, strlen(c->user), NULL, 0};
        auth[n++] = (struct redis_word){c->password, strlen(c->password), NULL, 0};
        if (!redis_part_ask(p, (struct redis_asked){.what = ASKED_AUTH}, auth, n))
            return false;
    }
    return redis_part_ask(p, (struct redis_asked){.what = ASKED_NAME}, name, 3) &&
           redis_part_ask(p, (struct redis_asked){.what = ASKED_INFO}, info, 2) && redis_part_load(p);
}
#endif
