/*
 * functions.c: what runs on the workers. A client that breaks the protocol is closed without a word, by returning -1:
 * a wrong length, a name that is none, a text that is not clean, anything before LOGIN, LOGIN twice.
 */
#include "functions.h"

#include "clerk.h"
#include "far.h"
#include "hall.h"
#include "mario/mario_cluster.h"
#include "words.h"

enum {
    WAITING_MESSAGES = 256, /* that may wait for a slow reader; then the oldest are dropped */
    WAITING_BYTES = 262144,
    BURST = 10,        /* seconds' worth of requests at once */
    ASKED_MAX = 100,   /* whether a connection that was kicked has gone */
    REPLACED = 1,      /* err_type of a connection that was told so */
    REFUSALS_MAX = 100 /* requests beyond that in a row, and the connection ends */
};

static struct chat_settings settings; /* constant once the server runs */
static uint64 since;                  /* when it began, microseconds of 1970; likewise */
static struct mario_msg *replaced;    /* what the old one of two connections gets; likewise */

/* A packet to c, whose function runs. */
static sint32 answer(CONN *c, uint16 what, const void *data, uint16 len)
{
    HEAD head = {.stx = CHAT_STX, .pkglen = (uint16) (SIZE_OF_HEAD + len), .akg_id = what};
    if (bufferevent_write(c->bufev, &head, sizeof head) != 0)
        return -1;
    return len == 0 ? 0 : bufferevent_write(c->bufev, data, len);
}

static sint32 sorry(CONN *c, uint16 request, enum chat_why why, const char *word)
{
    struct chat_sorry s = {.request = request, .why = (uint16) why};
    if (word != NULL)
        memcpy(s.word, word, CHAT_NAME);
    return answer(c, CHAT_SORRY, &s, sizeof s);
}

static sint32 bye(CONN *c, enum chat_why why)
{
    struct chat_bye b = {.why = (uint16) why};
    answer(c, CHAT_BYE, &b, sizeof b);
    close_conn(c, 0);
    return 0;
}

static uint64 now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64) t.tv_sec * 1000 + (uint64) t.tv_nsec / 1000000;
}

/* ---- Coming ---- */

static sint32 too_late(CONN *c, void *unused)
{
    (void) unused;
    return bye(c, CHAT_WHY_LATE);
}

static sint32 chat_connected(CONN *c)
{
    return mario_timer(c, settings.login_s * 1000, too_late, NULL);
}

/* A quiet reader sends nothing for hours, and that is no reason to close him: he is asked. Who does not answer is
 * closed by the server's timeout. */
static sint32 ping(CONN *c, void *unused)
{
    (void) unused;
    if (answer(c, CHAT_PING, NULL, 0) != 0)
        return -1;
    return mario_timer(c, settings.ping_s * 1000, ping, NULL);
}

/* A login that waits until the name is free on all servers of a cluster. */
struct login {
    uint64 id, user;
    uint32 asked; /* times */
};

static sint32 bind_now(CONN *c, void *arg)
{
    struct login *l = arg;
    sint32 code = c == NULL ? 0 : mario_bind(c, l->user, MARIO_BIND_KICK_OLD, 1);
    free(l);
    return code;
}

/* The cluster's thread: n connections have the name. They are told, and end; when they have, it is taken. A bind alone
 * would end them too, but without a word. */
static void name_is_free(void *arg, uint64 n)
{
    struct login *l = arg;
    if (n > 0 && l->asked++ < ASKED_MAX &&
        (l->asked > 1 || mario_kick_user(l->user, REPLACED, replaced) == 0) &&
        mario_cluster_ask_user(l->user, name_is_free, l) == 0)
        return;
    if (mario_run(l->id, bind_now, l) != 0)
        free(l); /* its timer ends it */
}

/* Bind c to the user; the connection that has the name until now is told, and ends. What is ordered of a user before
 * binding to him reaches only those who were bound before, so c does not get its own good-bye. Of two logins at the
 * same time the one that binds last stays. */
static bool take_name(CONN *c, uint64 user)
{
    if (!far_is_on())
        return mario_kick_user(user, REPLACED, replaced) == 0 &&
               mario_bind(c, user, MARIO_BIND_KICK_OLD, 1) == 0;
    struct login *l = malloc(sizeof *l);
    if (l == NULL)
        return false;
    *l = (struct login){.id = mario_conn_id(c), .user = user};
    if (mario_cluster_ask_user(user, name_is_free, l) == 0)
        return true;
    free(l);
    return false;
}

static sint32 chat_login(CONN *c)
{
    const struct chat_word *login = (const struct chat_word *) (c->in_buf + SIZE_OF_HEAD);
    if (c->in_buf_len != SIZE_OF_HEAD + sizeof *login || c->user != NULL || word_number(login->word) == 0)
        return -1;
    struct guest *g = clerk_make_guest(login->word);
    if (g == NULL || !take_name(c, g->user)) {
        if (g != NULL)
            clerk_free_guest(g);
        return sorry(c, CHAT_LOGIN, CHAT_WHY_BUSY, login->word); /* the timer goes on */
    }
    g->id = mario_conn_id(c);
    g->refilled = now_ms();
    g->may_say = settings.rate * BURST;
    c->user = g;
    clerk_tell(g->arrived);
    return mario_slow_policy(c, MARIO_SLOW_COALESCE, WAITING_MESSAGES, WAITING_BYTES);
}

/* The bind is decided. Only now is the client welcome; what it sent behind LOGIN may have been answered before. */
static sint32 chat_bound(CONN *c)
{
    struct guest *g = c->user;
    if (c->err_type != 0)
        return -1;
    /* Those who came together are not to be pinged together. */
    uint32 first_ping = settings.ping_s * 500 + (uint32) (g->user % (settings.ping_s * 500));
    if (mario_timer(c, 0, too_late, NULL) != 0 || mario_timer(c, first_ping, ping, NULL) != 0)
        return -1;
    struct chat_welcome w = {.since = since};
    return answer(c, CHAT_WELCOME, &w, sizeof w);
}

/* ---- Requests ---- */

/* Whether g may ask for one thing more. */
static bool may_ask(struct guest *g)
{
    uint64 now = now_ms();
    uint64 more = (now - g->refilled) * settings.rate / 1000;
    if (more > 0) {
        uint64 most = settings.rate * BURST;
        g->may_say = (uint32) (g->may_say + more < most ? g->may_say + more : most);
        g->refilled = now;
    }
    if (g->may_say == 0) {
        g->refused++;
        return false;
    }
    g->may_say--;
    g->refused = 0;
    return true;
}

/* What belongs to a request: a name, and a text behind it, or, if it is so, where somebody was. */
static const struct request {
    uint16 what;
    bool has_word, has_text, is_free; /* free: it does not count */
    uint16 more;                      /* bytes that may stand behind the name */
} requests[] = {
    {CHAT_JOIN, true, false, false, sizeof(struct chat_join) - CHAT_NAME},
    {CHAT_LEAVE, true, false, false, 0},
    {CHAT_SAY, true, true, false, 0},
    {CHAT_TELL, true, true, false, 0},
    {CHAT_NAMES, true, false, false, 0},
    {CHAT_WHO, true, false, false, 0},
    {CHAT_ROOMS, false, false, false, 0},
    {CHAT_QUIT, false, false, true, 0},
};

enum { REQUESTS = sizeof requests / sizeof requests[0] };

/* The row of an id that is registered with chat_request(). */
static const struct request *request_of(const CONN *c)
{
    uint16 what = ((const HEAD *) c->in_buf)->akg_id;
    const struct request *r = requests;
    while (r->what != what)
        r++;
    return r;
}

static sint32 chat_request(CONN *c)
{
    const struct request *r = request_of(c);
    const struct chat_words *data = (const struct chat_words *) (c->in_buf + SIZE_OF_HEAD);
    uint32 needed = SIZE_OF_HEAD + (r->has_word ? CHAT_NAME : 0);
    struct guest *g = c->user;
    if (g == NULL || far_is_ear(g) || c->in_buf_len < needed)
        return -1;
    uint32 len = c->in_buf_len - needed; /* of what is behind the name */
    if (r->has_text ? len < 1 || len > CHAT_TEXT : len != 0 && len != r->more)
        return -1;
    if ((r->has_word && word_number(data->word) == 0) || (r->has_text && !text_is_clean(data->text, len)))
        return -1;
    static const char no_word[CHAT_NAME];
    const char *word = r->has_word ? data->word : no_word;
    if (!r->is_free && !may_ask(g))
        return g->refused < REFUSALS_MAX ? sorry(c, r->what, CHAT_WHY_TOO_FAST, word)
                                         : bye(c, CHAT_WHY_FLOOD);
    if (!clerk_ask(g, r->what, word, data->text, (uint16) len))
        return sorry(c, r->what, CHAT_WHY_BUSY, word);
    return 0;
}

/* That it came is all that matters: the connection is not silent. */
static sint32 chat_pong(CONN *c)
{
    return c->user != NULL && c->in_buf_len == SIZE_OF_HEAD ? 0 : -1;
}

/* ---- Going ---- */

static sint32 chat_disconnected(CONN *c)
{
    struct guest *g = c->user;
    c->user = NULL;
    if (g == NULL || far_is_ear(g))
        return 0;
    g->is_replaced = c->err_type == REPLACED;
    clerk_tell(g->gone); /* the guest is the clerk's from here on */
    return 0;
}

/* ---- Setup ---- */

static struct mario_msg *bye_message(enum chat_why why)
{
    struct chat_bye b = {.why = (uint16) why};
    struct mario_msg *m = mario_msg_packet(CHAT_BYE, &b, sizeof b);
    if (m != NULL)
        mario_msg_keep(m);
    return m;
}

sint32 functions_register(const struct chat_settings *s)
{
    struct timespec now;
    settings = *s;
    clock_gettime(CLOCK_REALTIME, &now);
    since = (uint64) now.tv_sec * 1000000 + (uint64) now.tv_nsec / 1000;
    hall_setup(since);
    sint32 wrong = regist_stx(CHAT_STX);
    wrong |= regist_connected_func(chat_connected) | regist_disconnected_func(chat_disconnected);
    wrong |= regist_bound_func(chat_bound);
    wrong |= regist_akg_func(CHAT_LOGIN, chat_login) | regist_akg_func(CHAT_PONG, chat_pong);
    for (uint32 i = 0; i < REQUESTS; i++)
        wrong |= regist_akg_func(requests[i].what, chat_request);
    struct mario_msg *stops = bye_message(CHAT_WHY_STOPS);
    replaced = bye_message(CHAT_WHY_REPLACED);
    if (stops == NULL || replaced == NULL || mario_stop_message(stops) != 0)
        wrong = -1;
    mario_msg_free(&stops);
    return wrong;
}

void functions_forget(void)
{
    mario_msg_free(&replaced);
}
