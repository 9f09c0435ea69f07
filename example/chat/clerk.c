/*
 * clerk.c: the clerk's thread and his inbox. clerk_ask() and clerk_tell() are called by workers, clerk_start() and
 * clerk_stop() by main.
 *
 * The inbox is a list under a mutex, held for a few instructions by both sides: the clerk takes the whole list at once
 * and works without it. Workers must not wait, so a full inbox is an answer.
 */
#include "clerk.h"

#include "far.h"
#include "hall.h"
#include "words.h"

enum { INBOX_MAX = 65536 };

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct command *first, **last;
    uint32 waiting;
    bool stops;
    pthread_t thread;
} inbox = {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER, .last = &inbox.first};

static struct command *make_command(struct guest *g, uint16 what, uint16 len)
{
    struct command *cmd = calloc(1, sizeof *cmd + len);
    if (cmd == NULL)
        return NULL;
    cmd->guest = g;
    cmd->what = what;
    cmd->len = len;
    return cmd;
}

struct guest *clerk_make_guest(const char name[CHAT_NAME])
{
    struct guest *g = calloc(1, sizeof *g);
    if (g == NULL)
        return NULL;
    memcpy(g->name, name, CHAT_NAME);
    g->user = word_number(name);
    g->since = (uint32) time(NULL);
    g->arrived = make_command(g, COMMAND_ARRIVED, 0);
    g->gone = make_command(g, COMMAND_GONE, 0);
    if (g->arrived != NULL && g->gone != NULL)
        return g;
    clerk_free_guest(g);
    return NULL;
}

void clerk_free_guest(struct guest *g)
{
    free(g->arrived);
    free(g->gone);
    free(g);
}

/* Put it behind the others, unless there are `most` already. */
static bool put(struct command *cmd, uint32 most)
{
    pthread_mutex_lock(&inbox.mutex);
    bool has_room = inbox.waiting < most;
    if (has_room) {
        if (inbox.first == NULL)
            pthread_cond_signal(&inbox.filled);
        *inbox.last = cmd;
        inbox.last = &cmd->next;
        inbox.waiting++;
    }
    pthread_mutex_unlock(&inbox.mutex);
    return has_room;
}

bool clerk_ask(struct guest *g, uint16 what, const char word[CHAT_NAME], const char *text, uint16 len)
{
    struct command *cmd = make_command(g, what, len);
    if (cmd == NULL)
        return false;
    memcpy(cmd->word, word, CHAT_NAME);
    if (len > 0)
        memcpy(cmd->text, text, len);
    if (put(cmd, INBOX_MAX))
        return true;
    free(cmd);
    return false;
}

void clerk_tell(struct command *cmd)
{
    put(cmd, UINT32_MAX);
}

/* All that waits, in *all; waits for it, for at most ms. False: nothing will come any more. */
static bool take_all(uint32 ms, struct command **all)
{
    struct timespec until;
    sint32 code = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&inbox.mutex);
    while (inbox.first == NULL && !inbox.stops && code == 0)
        code = ms == UINT32_MAX ? pthread_cond_wait(&inbox.filled, &inbox.mutex)
                                : pthread_cond_timedwait(&inbox.filled, &inbox.mutex, &until);
    *all = inbox.first;
    inbox.first = NULL;
    inbox.last = &inbox.first;
    inbox.waiting = 0;
    bool more = *all != NULL || !inbox.stops;
    pthread_mutex_unlock(&inbox.mutex);
    return more;
}

static void *work(void *unused)
{
    LOG_QUEUE *qlog = create_log_queue();
    struct command *cmd, *next;
    (void) unused;
    mario_log_name(qlog, "clerk");
    while (take_all(far_sweep(), &cmd)) {
        for (; cmd != NULL; cmd = next) {
            next = cmd->next;
            hall_serve(cmd, qlog);
        }
    }
    hall_clear();
    return NULL;
}

sint32 clerk_start(void)
{
    return pthread_create(&inbox.thread, NULL, work, NULL) == 0 ? 0 : -1;
}

void clerk_stop(void)
{
    pthread_mutex_lock(&inbox.mutex);
    inbox.stops = true;
    pthread_cond_signal(&inbox.filled);
    pthread_mutex_unlock(&inbox.mutex);
    pthread_join(inbox.thread, NULL);
}
