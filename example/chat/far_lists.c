/*
 * far_lists.c: names, rooms and whereabouts on all servers: a clerk asks the others, and answers when all have, or when
 * one did not within half a second. The clerk's thread.
 */
#include "far_inside.h"
#include "post.h"

enum { PATIENCE_MS = 500, QUESTIONS_MAX = 1000 };

#define LIST_MAX (sizeof(struct chat_listed) + CHAT_SHOWN * sizeof(struct chat_listed_room))

struct question {
    struct question *next;
    uint64 nonce;
    uint64 until; /* milliseconds */
    uint64 id;    /* of the connection that waits */
    uint32 waits; /* answers that are still to come */
    uint16 what;
    char word[CHAT_NAME];
    size_t len;
    unsigned char bytes[LIST_MAX]; /* what is known so far, as the client will get it */
};

static struct question *questions; /* the youngest first */
static uint32 question_count;
static uint64 last_nonce;

static uint64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64) t.tv_sec * 1000 + (uint64) t.tv_nsec / 1000000;
}

/* ---- Adding up ---- */

static void append(struct question *q, const void *data, size_t n, size_t most)
{
    if (q->len + n > most)
        return;
    memcpy(q->bytes + q->len, data, n);
    q->len += n;
}

static void add_named(struct question *q, const unsigned char *data, size_t n)
{
    struct chat_named *sum = (struct chat_named *) q->bytes;
    const struct chat_named *more = (const struct chat_named *) data;
    if (n < sizeof *more)
        return;
    sum->members += more->members;
    for (size_t at = sizeof *more; at + CHAT_NAME <= n; at += CHAT_NAME)
        append(q, data + at, CHAT_NAME, sizeof *sum + CHAT_SHOWN * CHAT_NAME);
}

static void add_room(struct question *q, const struct chat_listed_room *room)
{
    struct chat_listed *sum = (struct chat_listed *) q->bytes;
    uint32 shown = (uint32) ((q->len - sizeof *sum) / sizeof *room);
    for (uint32 i = 0; i < shown; i++) {
        if (memcmp(sum->each[i].room, room->room, CHAT_NAME) == 0) {
            sum->each[i].members += room->members;
            return;
        }
    }
    sum->rooms++;
    append(q, room, sizeof *room, LIST_MAX);
}

static void add_listed(struct question *q, const unsigned char *data, size_t n)
{
    for (size_t at = sizeof(struct chat_listed); at + sizeof(struct chat_listed_room) <= n;
         at += sizeof(struct chat_listed_room))
        add_room(q, (const struct chat_listed_room *) (data + at));
}

/* ---- Questions ---- */

static void finish(struct question **place)
{
    static const uint16 answers[] = {
        [CHAT_NAMES] = CHAT_NAMED, [CHAT_WHO] = CHAT_FOUND, [CHAT_ROOMS] = CHAT_LISTED};
    struct question *q = *place;
    if (q->len > 0) {
        post_answer(q->id, answers[q->what], q->bytes, q->len);
    } else {
        struct chat_sorry s = {.request = q->what, .why = CHAT_WHY_NOBODY};
        memcpy(s.word, q->word, CHAT_NAME);
        post_answer(q->id, CHAT_SORRY, &s, sizeof s);
    }
    *place = q->next;
    question_count--;
    free(q);
}

bool far_ask(const struct command *cmd, const void *mine, size_t len)
{
    uint32 others = __atomic_load_n(&far_nodes, __ATOMIC_RELAXED);
    if (!far_is_on() || others == 0 || question_count == QUESTIONS_MAX || (len > 0 && cmd->what == CHAT_WHO))
        return false;
    struct far_ask ask = {.from = far_self, .nonce = ++last_nonce, .what = cmd->what};
    memcpy(ask.word, cmd->word, CHAT_NAME);
    struct question *q = malloc(sizeof *q);
    struct mario_msg *m = q == NULL ? NULL : post_make(FAR_ASK, &ask, sizeof ask);
    if (m == NULL) {
        free(q);
        return false;
    }
    *q = (struct question){.next = questions,
                           .nonce = ask.nonce,
                           .until = now_ms() + PATIENCE_MS,
                           .id = cmd->guest->id,
                           .waits = others,
                           .what = cmd->what,
                           .len = len};
    memcpy(q->word, cmd->word, CHAT_NAME);
    memcpy(q->bytes, mine, len);
    questions = q;
    question_count++;
    far_ask_all(m);
    mario_msg_free(&m);
    return true;
}

void far_tell(const struct far_ask *ask, const void *mine, size_t len)
{
    unsigned char bytes[sizeof(struct far_answer) + LIST_MAX];
    struct far_answer *answer = (struct far_answer *) bytes;
    answer->nonce = ask->nonce;
    memcpy(answer->bytes, mine, len);
    struct mario_msg *m = post_make(FAR_ANSWER, bytes, sizeof *answer + len);
    if (m != NULL)
        post_user(ask->from, m);
    mario_msg_free(&m);
}

void far_take(const struct far_answer *answer, size_t len)
{
    struct question **place = &questions;
    size_t n = len - sizeof *answer;
    while (*place != NULL && (*place)->nonce != answer->nonce)
        place = &(*place)->next;
    struct question *q = *place;
    if (q == NULL)
        return; /* answered without it */
    if (q->len == 0 && n <= LIST_MAX) {
        memcpy(q->bytes, answer->bytes, n);
        q->len = n;
    } else if (q->what == CHAT_NAMES) {
        add_named(q, answer->bytes, n);
    } else if (q->what == CHAT_ROOMS) {
        add_listed(q, answer->bytes, n);
    }
    if (--q->waits == 0 || (q->what == CHAT_WHO && q->len > 0))
        finish(place);
}

uint32 far_sweep(void)
{
    uint64 now = questions == NULL ? 0 : now_ms(), first = UINT64_MAX;
    for (struct question **place = &questions; *place != NULL;) {
        if (now >= (*place)->until) {
            finish(place);
            continue;
        }
        first = (*place)->until < first ? (*place)->until : first;
        place = &(*place)->next;
    }
    return first == UINT64_MAX ? UINT32_MAX : (uint32) (first - now);
}
